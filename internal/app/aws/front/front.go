// Package front is the part of the AWS shape that customers see: forms, status pages, and the page on which the first
// administrator chooses a password. It is the only one that links html/template.
package front

import (
	"context"
	"net/http"
	"time"

	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/app/public"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/pages"
)

// New makes the pages of a system.
func New(s *aws.System) (http.Handler, error) {
	who, err := people.New(s.App, people.Options{BaseURL: s.Env.BaseURL, Log: s.Log})
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(s.Env.Zone)
	if err != nil {
		return nil, err
	}
	return public.New(s.App, public.Options{
		Key: s.Key, BaseURL: s.Env.BaseURL, Location: zone, Log: s.Log, NewID: s.Store.NewID, Setup: &firstStart{who.Auth},
	})
}

// MustNew is New for the main of a Lambda.
func MustNew(s *aws.System) http.Handler {
	h, err := New(s)
	if err != nil {
		aws.Exit(err)
	}
	return h
}

// firstStart is the set-up page's way in: the one-time link that "aikajana-aws setup" prints makes the first administrator.
// There is no demonstration account here: its made-up customer lives in the local binary.
type firstStart struct{ people *auth.Service }

// Check says whether the link still works.
func (f *firstStart) Check(ctx context.Context, token string) error {
	i, err := f.people.Peek(ctx, token)
	if err != nil || i.Kind != auth.Setup {
		return fault.Newf(fault.Missing, "not_found", "the set-up link does not work (any more)")
	}
	return nil
}

// Complete makes the administrator.
func (f *firstStart) Complete(ctx context.Context, token string, choice pages.SetupChoice) error {
	if err := f.Check(ctx, token); err != nil {
		return err
	}
	_, err := f.people.Accept(ctx, token, auth.Accepted{Password: choice.Password}, "setup")
	return err
}
