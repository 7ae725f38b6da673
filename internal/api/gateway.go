package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

// Poster reaches sockets that somebody else holds open (API Gateway's connection API).
type Poster interface {
	// Post sends one message. ErrGone says that the connection is no more (410).
	Post(ctx context.Context, connection string, body []byte) error
	// Drop closes a connection; one that is gone is no error.
	Drop(ctx context.Context, connection string) error
}

// ErrGone says that a connection is no more.
var ErrGone = errors.New("the connection is gone")

// Gateway is the staff socket where connections outlive the process: it keeps them in the table and sends through a Poster.
// It is the pipeline's Push there, as Hub is on the local binary. What one push misses, the client gets by its cursor.
//
// A client behind a gateway says {"type":"resume","cursor":"…"} once it is open, because nothing can be sent while it opens.
// Both shapes understand that, so clients need not know which one they talk to. Safe for concurrent use.
type Gateway struct {
	api    *API
	poster Poster

	mu    sync.Mutex
	known map[string]checked // principals by connection, for recheckEvery
}

type checked struct {
	principal auth.Principal
	at        msg.Time
}

// NewGateway puts sockets held by a gateway over an API.
func NewGateway(a *API, p Poster) *Gateway {
	return &Gateway{api: a, poster: p, known: map[string]checked{}}
}

// connection is what is kept of an open socket, in the partition connectionsPK under its ID.
type connection struct {
	Credential auth.Credential `json:"credential"`
	OpenedAt   msg.Time        `json:"opened_at"`
}

const connectionsPK = "W#open"

// connectionLife is longer than a gateway lets a connection live (2 h, as documented on 2026-11-22 in
// docs.aws.amazon.com/apigateway/latest/developerguide/limits.html).
const connectionLife = 2*time.Hour + 15*time.Minute

// Open lets a connection in that came with the request of its opening: its ticket and its origin are checked as on the local
// binary, and the errors are the same.
func (g *Gateway) Open(ctx context.Context, r *http.Request, id string) error {
	p, _, err := g.api.openSocket(r.WithContext(ctx))
	if err != nil {
		return err
	}
	now := g.api.Store.Now()
	body, err := json.Marshal(connection{Credential: p.Credential, OpenedAt: now})
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	err = g.api.Store.Table().Write(ctx, table.Put(table.Item{
		Key: table.Key{PK: connectionsPK, SK: id}, Rev: 1, Body: body, Expires: now.Add(connectionLife),
	}, table.Any))
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	return nil
}

// Closed forgets a connection. One that is not known is no error.
func (g *Gateway) Closed(ctx context.Context, id string) error {
	g.mu.Lock()
	delete(g.known, id)
	g.mu.Unlock()
	if err := g.api.Store.Table().Write(ctx, table.Delete(table.Key{PK: connectionsPK, SK: id}, table.Any)); err != nil {
		return fmt.Errorf("forget a socket: %w", err)
	}
	return nil
}

// Said answers what a client said. The error is for the log: the client is told nothing of it.
func (g *Gateway) Said(ctx context.Context, id string, frame []byte) error {
	item, err := g.api.Store.Table().Get(ctx, table.Key{PK: connectionsPK, SK: id})
	if errors.Is(err, table.ErrNotFound) {
		return g.poster.Drop(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("read a socket: %w", err)
	}
	p, err := g.principal(ctx, &item)
	if err != nil || p == nil {
		return err
	}
	send := func(ctx context.Context, body []byte) error { return g.poster.Post(ctx, id, body) }
	if cursor, ok := resumes(frame); ok {
		err = g.api.Resume(ctx, p, cursor, send)
		if fault.Of(err) == fault.Invalid {
			err = send(ctx, g.api.Answer(nil))
		}
	} else {
		err = send(ctx, g.api.Answer(frame))
	}
	if errors.Is(err, ErrGone) {
		return g.Closed(ctx, id)
	}
	return err
}

// resumes reads {"type":"resume","cursor":"…"}.
func resumes(frame []byte) (cursor string, ok bool) {
	var said struct {
		Type   string `json:"type"`
		Cursor string `json:"cursor"`
	}
	if err := json.Unmarshal(frame, &said); err != nil || said.Type != "resume" || said.Cursor == "" {
		return "", false
	}
	return said.Cursor, true
}

// principal says whose a connection is, a few seconds old at most. Nil when the session has ended: the connection is dropped.
func (g *Gateway) principal(ctx context.Context, item *table.Item) (*auth.Principal, error) {
	now := g.api.Store.Now()
	g.mu.Lock()
	have, ok := g.known[item.SK]
	g.mu.Unlock()
	if ok && now.Sub(have.at) < recheckEvery {
		return &have.principal, nil
	}
	var c connection
	if err := json.Unmarshal(item.Body, &c); err != nil {
		return nil, fmt.Errorf("read a socket: it is damaged: %w", err)
	}
	p, err := g.api.Auth.Check(ctx, c.Credential)
	if fault.Code(err) == auth.CodeUnauthenticated {
		return nil, errors.Join(g.poster.Drop(ctx, item.SK), g.Closed(ctx, item.SK))
	}
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) > keepLimits {
		clear(g.known)
	}
	g.known[item.SK] = checked{p, now}
	return &p, nil
}

// Push implements the pipeline's Push: each notification goes to every connection whose principal may see it. A connection
// that is gone is forgotten; whatever else fails is logged, and made up for when the client resumes.
func (g *Gateway) Push(ctx context.Context, told []*store.Notification) {
	open, err := g.api.Store.Table().Query(ctx, table.Query{PK: connectionsPK})
	if err != nil {
		g.api.Log.WarnContext(ctx, "sockets were not told", "notifications", len(told), "err", err)
		return
	}
	if len(open) == 0 {
		return
	}
	ready := make([]*message, 0, len(told))
	for _, n := range told {
		m, err := g.api.message(ctx, n)
		if err != nil {
			g.api.Log.WarnContext(ctx, "sockets were not told", "case", n.Case, "err", err)
			continue
		}
		if m != nil {
			ready = append(ready, m)
		}
	}
	for i := range open {
		if err := g.pushTo(ctx, &open[i], ready); err != nil {
			g.api.Log.WarnContext(ctx, "a socket was not told", "err", err)
		}
	}
}

func (g *Gateway) pushTo(ctx context.Context, item *table.Item, ready []*message) error {
	p, err := g.principal(ctx, item)
	if err != nil || p == nil {
		return err
	}
	for _, m := range ready {
		if !m.seenBy(p) {
			continue
		}
		err := g.poster.Post(ctx, item.SK, m.body)
		if errors.Is(err, ErrGone) {
			return g.Closed(ctx, item.SK)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
