// Package httpapi is the desk's HTTP API on AWS. Only the Lambda that serves it links it.
package httpapi

import (
	"crypto/rand"
	"net/http"

	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/staff"
)

// New serves the API of a system. Sockets are opened elsewhere (package desk); the API only hands out their tickets.
func New(s *aws.System) (http.Handler, error) {
	people, err := staff.New(s.App, staff.Options{
		Secrets: s.Secrets, Blobs: s.Blobs, Queues: s.Queues, BaseURL: s.Env.BaseURL, Team: s.Env.Team, Rand: rand.Reader, Log: s.Log,
		SocketURL: s.Env.SocketURL,
	})
	if err != nil {
		return nil, err
	}
	return people.API, nil
}

// MustNew is New for the main of a Lambda: what is missing ends the process with a line that says so.
func MustNew(s *aws.System) http.Handler {
	h, err := New(s)
	if err != nil {
		aws.Exit(err)
	}
	return h
}
