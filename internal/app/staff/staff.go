// Package staff lets the people of the desk at an app: package people with what they can ask for (api). It is apart from
// packages app and people because most Lambdas serve nobody and must not link the API.
package staff

import (
	"context"
	"io"
	"log/slog"

	"github.com/aikajana/aikajana/internal/api"
	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/live"
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
	// Hub holds the sockets of this process; nil where there are none.
	Hub     *live.Hub
	BaseURL string
	// SocketURL is where sockets are opened, when it is not below BaseURL.
	SocketURL string
	Team      string
	Rand      io.Reader
	Log       *slog.Logger
	Limits    api.Limits
	// Cost is what a password costs to check; the zero value is right for production.
	Cost auth.Cost
}

// Staff is the part of the program that people sign in to.
type Staff struct {
	*people.People
	API *api.API
}

// New puts people and API over an app.
func New(a *app.App, o Options) (*Staff, error) {
	who, err := people.New(a, people.Options{Hub: o.Hub, BaseURL: o.BaseURL, Team: o.Team, Rand: o.Rand, Log: o.Log, Cost: o.Cost})
	if err != nil {
		return nil, err
	}
	doors, err := api.New(api.Deps{
		Store: a.Store, Auth: who.Auth, Channels: a.Channels, CommonSettings: app.CommonSettings(), Secrets: o.Secrets, Blobs: o.Blobs,
		Pipeline: path{a.Pipeline}, Queues: o.Queues, Healthy: a.Store.Heartbeat, Live: who.Live, Log: o.Log,
		Config: api.Config{BaseURL: o.BaseURL, SocketURL: o.SocketURL, Team: o.Team, Limits: o.Limits},
	})
	if err != nil {
		return nil, err
	}
	return &Staff{who, doors}, nil
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

func (p path) Reconcile(ctx context.Context) ([]api.Ledger, error) {
	balances, err := p.Pipeline.Reconcile(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]api.Ledger, len(balances))
	for i := range balances {
		b := &balances[i]
		all[i] = api.Ledger{
			Channel: b.Channel, Account: b.Account, Received: b.Received, Stored: b.Stored, Duplicate: b.Duplicate, Quarantined: b.Quarantined,
			Pending: b.Pending, Dead: b.Dead, Balanced: b.Balanced, Envelopes: api.Envelopes{
				Accepted: b.Envelopes.Accepted, Processed: b.Envelopes.Processed, Queued: b.Envelopes.Queued, Dead: b.Envelopes.Dead, Approximate: b.Approximate,
			},
		}
		if b.Envelopes.Missing != "" {
			all[i].Envelopes.Missing = &b.Envelopes.Missing
		}
		if !b.LastReceived.IsZero() {
			all[i].LastReceived = &b.LastReceived
		}
	}
	return all, nil
}
