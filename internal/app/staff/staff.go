// Package staff lets the people of the desk at an app: who they are (auth) and what they can ask for (api). It is apart from
// package app because most Lambdas serve nobody and must not link the API.
package staff

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/aikajana/aikajana/internal/api"
	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Options are what staff need beside the app.
type Options struct {
	Secrets secret.Store
	Blobs   blob.Store
	Queues  map[string]queue.Queue
	Hub     *api.Hub
	BaseURL string
	// SocketURL is where sockets are opened, when it is not below BaseURL.
	SocketURL string
	Team      string
	Rand      io.Reader
	Log       *slog.Logger
	// Approximate says that the queues count as SQS does.
	Approximate bool
	Limits      api.Limits
	// Cost is what a password costs to check; the zero value is right for production.
	Cost auth.Cost
}

// Staff is the part of the program that people sign in to.
type Staff struct {
	Auth *auth.Service
	API  *api.API
}

// NewAuth says who is asking, for whoever needs that alone (sockets, notifications).
func NewAuth(a *app.App, o Options) (*auth.Service, error) {
	base, err := url.Parse(o.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("base URL %q: %w", o.BaseURL, err)
	}
	c := auth.Config{
		Table: a.Store.Table(), Now: func() time.Time { return a.Store.Now().Time() }, Rand: o.Rand, BaseURL: base, Cost: o.Cost, Audit: audit{o.Hub, o.Log},
	}
	return auth.New(c)
}

// New puts auth and API over an app.
func New(a *app.App, o Options) (*Staff, error) {
	people, err := NewAuth(a, o)
	if err != nil {
		return nil, fmt.Errorf("start auth: %w", err)
	}
	var ledgers []queue.Counter
	for _, name := range []string{"inbound", "mail"} {
		if c, ok := o.Queues[name].(queue.Counter); ok {
			ledgers = append(ledgers, c)
		}
	}
	doors, err := api.New(api.Deps{
		Store: a.Store, Auth: people, Channels: a.Channels, CommonSettings: app.CommonSettings(), Secrets: o.Secrets, Blobs: o.Blobs,
		Pipeline: path{a.Pipeline}, Queues: o.Queues, Ledgers: ledgers, Approximate: o.Approximate, Healthy: a.Store.Heartbeat, Hub: o.Hub, Log: o.Log,
		Config: api.Config{BaseURL: o.BaseURL, SocketURL: o.SocketURL, Team: o.Team, Limits: o.Limits},
	})
	if err != nil {
		return nil, err
	}
	return &Staff{people, doors}, nil
}

// path is the pipeline as the API asks for it.
type path struct{ *pipeline.Pipeline }

func (p path) Route(ctx context.Context, c *timeline.Case, last *timeline.Entry, channelID, accountID string) (*api.Route, error) {
	way, err := p.Pipeline.Route(ctx, c, last, channelID, accountID)
	if err != nil {
		return nil, err
	}
	return &api.Route{Channel: way.Channel, Account: way.Account, To: way.To, MessageID: way.MessageID, Info: way.Info}, nil
}

// audit writes security events to the log and closes the sockets of sessions that ended.
type audit struct {
	hub *api.Hub
	log *slog.Logger
}

func (a audit) Audit(ctx context.Context, e auth.Event) {
	a.log.InfoContext(ctx, "audit", "kind", e.Kind, "actor", e.Actor, "subject", e.Subject, "session", e.Session, "client", e.Client)
	if a.hub != nil {
		a.hub.Audit(ctx, e)
	}
}

var _ pipeline.Push = (*api.Hub)(nil)
