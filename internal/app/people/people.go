// Package people says who staff are (auth) and tells them what happens (live). It is apart from package staff because whoever
// only signs people in or only tells them something must not link the HTTP API.
package people

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/pipeline"
)

// Options are what people need beside the app.
type Options struct {
	// Hub holds the sockets of this process; nil where there are none.
	Hub     *live.Hub
	BaseURL string
	// Team is whose the cases are of accounts that name no team.
	Team string
	Rand io.Reader
	Log  *slog.Logger
	// Cost is what a password costs to check; the zero value is right for production.
	Cost auth.Cost
}

// People are staff, as everything sees them that serves or tells them.
type People struct {
	Auth *auth.Service
	Live *live.Events
}

// New puts people over an app.
func New(a *app.App, o Options) (*People, error) {
	base, err := url.Parse(o.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("base URL %q: %w", o.BaseURL, err)
	}
	if o.Hub == nil {
		o.Hub = live.NewHub()
	}
	who, err := auth.New(auth.Config{
		Table: a.Store.Table(), Now: func() time.Time { return a.Store.Now().Time() }, Rand: o.Rand, BaseURL: base, Cost: o.Cost, Audit: audit{o.Hub, o.Log},
	})
	if err != nil {
		return nil, fmt.Errorf("start auth: %w", err)
	}
	events, err := live.New(live.Deps{Store: a.Store, Auth: who, Hub: o.Hub, Team: o.Team, Log: o.Log})
	if err != nil {
		return nil, err
	}
	return &People{who, events}, nil
}

// audit writes security events to the log and closes the sockets of sessions that ended.
type audit struct {
	hub *live.Hub
	log *slog.Logger
}

func (a audit) Audit(ctx context.Context, e auth.Event) {
	a.log.InfoContext(ctx, "audit", "kind", e.Kind, "actor", e.Actor, "subject", e.Subject, "session", e.Session, "client", e.Client)
	a.hub.Audit(ctx, e)
}

var _ pipeline.Push = (*live.Hub)(nil)
