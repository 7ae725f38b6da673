// Package desk is the part of the AWS shape that staff meet: the HTTP API, and the sockets at API Gateway. It is apart from
// package aws because most Lambdas serve nobody and must not link the API.
package desk

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"

	"github.com/aikajana/aikajana/internal/api"
	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/staff"
	"github.com/aikajana/aikajana/internal/notify"
	"github.com/aikajana/aikajana/internal/pipeline"
)

// Desk is the API and the sockets of a System.
type Desk struct {
	*staff.Staff
	*Sockets
	system *aws.System
}

// New lets staff at a system. gateway speaks for the WebSocket API; nil where no socket is ever told anything.
func New(s *aws.System, gateway Gateway) (*Desk, error) {
	people, err := staff.New(s.App, staff.Options{
		Secrets: s.Secrets, Blobs: s.Blobs, Queues: s.Queues, Hub: api.NewHub(), BaseURL: s.Env.BaseURL, Team: s.Env.Team, Rand: rand.Reader,
		Log: s.Log, Approximate: true, SocketURL: s.Env.SocketURL,
	})
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(s.Env.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("start: base URL %q: %w", s.Env.BaseURL, err)
	}
	return &Desk{people, newSockets(people, s, base.Host, gateway), s}, nil
}

// MustNew is New for the main of a Lambda: what is missing ends the process with a line that says so. The gateway is the one
// of AIKAJANA_SOCKET_ENDPOINT, when that is set.
func MustNew(s *aws.System) *Desk {
	var gateway Gateway
	if s.Env.SocketEndpoint != "" {
		gateway = apigatewaymanagementapi.NewFromConfig(s.Config, func(o *apigatewaymanagementapi.Options) {
			o.BaseEndpoint = &s.Env.SocketEndpoint
		})
	}
	d, err := New(s, gateway)
	if err != nil {
		aws.Exit(err)
	}
	return d
}

// Tell has the pipeline tell staff: their sockets at once, and those who asked for it by mail.
func (d *Desk) Tell() *pipeline.Pipeline {
	p := d.system.Pipeline
	p.Push = d.Sockets
	p.Notifiers = append(p.Notifiers, &notify.Mail{
		People: d.Auth, Told: d.system.Store, Mailer: p.Mailer, From: p.MailAddress, BaseURL: d.system.Env.BaseURL, Now: p.Now,
	})
	return p
}

// Handler serves the HTTP API.
func (d *Desk) Handler() http.Handler { return d.API }
