// Package desk tells staff on AWS what happens: through their sockets, whose connections API Gateway holds, and by mail. It is
// apart from package aws because most Lambdas tell nobody, and from package httpapi because the two that do serve no API.
package desk

import (
	"crypto/rand"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"

	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/notify"
	"github.com/aikajana/aikajana/internal/pipeline"
)

// Desk is the sockets of a System, and the people at them.
type Desk struct {
	*people.People
	*Sockets
	system *aws.System
}

// New finds the people of a system. gateway speaks for the WebSocket API; nil where no socket is ever told anything.
func New(s *aws.System, gateway Gateway) (*Desk, error) {
	who, err := people.New(s.App, people.Options{BaseURL: s.Env.BaseURL, Team: s.Env.Team, Rand: rand.Reader, Log: s.Log})
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(s.Env.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("start: base URL %q: %w", s.Env.BaseURL, err)
	}
	return &Desk{who, newSockets(who, s, base.Host, gateway), s}, nil
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

// Tell has the pipeline close the sockets of sessions that end, and tell staff: their sockets at once (React), and those who asked
// for it by mail (React finds out whether there are any, Deliver sends).
func (d *Desk) Tell() *pipeline.Pipeline {
	p := d.system.Pipeline
	p.Push, p.Watch = d.Sockets, d.Watch
	p.Notifiers = append(p.Notifiers, &notify.Mail{
		People: d.Auth, Told: d.system.Store, Mailer: p.Mailer, From: p.MailAddress, BaseURL: d.system.Env.BaseURL, Now: p.Now,
		Channels: p.Channels, Log: p.Log,
	})
	return p
}
