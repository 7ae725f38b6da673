package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/app/public"
	"github.com/aikajana/aikajana/internal/app/staff"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/blob/dir"
	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/guard"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	queuelocal "github.com/aikajana/aikajana/internal/queue/local"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/secret/file"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
	"github.com/aikajana/aikajana/internal/timeline"
)

// queueNames are the queues, in the order in which their workers take turns.
var queueNames = []string{"inbound", "mail", "media", "wake"}

// cheap is what a password costs to check in a story: nothing is protected by it.
var cheap = auth.Cost{MemoryKiB: 64, Passes: 1, AtOnce: 2}

// local is the local shape: the embedded store on a file system in memory, wired as package app/local wires it.
type local struct {
	stage  *Stage
	db     *engine.DB
	table  *pebble.Table
	queues map[string]*queuelocal.Queue
	// troubled are the queues behind the faults.
	troubled map[string]queue.Queue
	blobs    *dir.Store
	secrets  secret.Store
	app      *app.App
	staff    *staff.Staff
	hub      *live.Hub
	door     http.Handler
	sockets  *httptest.Server
	feed     *pebble.Feed
	pending  []table.Change
}

// NewLocal builds the local world.
func NewLocal(ctx context.Context, s *Stage) (World, error) {
	w := &local{stage: s, queues: map[string]*queuelocal.Queue{}}
	if err := w.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("build the local world: %w", err), w.Close())
	}
	return w, nil
}

func (w *local) open(ctx context.Context) error {
	s := w.stage
	var err error
	if w.db, err = engine.Open("store", engine.Options{FS: vfs.NewMem(), Log: s.Log}); err != nil {
		return err
	}
	if w.table, err = pebble.New(w.db, s.Clock.Now); err != nil {
		return err
	}
	w.troubled = map[string]queue.Queue{}
	for _, name := range queueNames {
		if w.queues[name], err = queuelocal.New(w.db, name, queuelocal.Options{Now: s.Clock.Now}); err != nil {
			return err
		}
		w.troubled[name] = &troubledQueue{Queue: w.queues[name], Counter: w.queues[name], name: name, faults: s.Faults}
	}
	w.blobs, err = dir.Open(dir.Options{Root: filepath.Join(s.Dir, "blobs"), Key: s.Key, LinkBase: BaseURL + "/files", Now: s.Clock.Time})
	if err != nil {
		return err
	}
	w.secrets, err = file.Open(file.Options{Path: filepath.Join(s.Dir, "secrets"), KeyPath: filepath.Join(s.Dir, "secrets.key")})
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation("Europe/Helsinki")
	if err != nil {
		return err
	}
	g := guard.New(guard.Options{AllowPrivate: true})
	w.hub = live.NewHub()
	w.app, err = app.New(app.Deps{
		Table: troubledTable{w.table, s.Faults}, Blobs: troubledBlobs{w.blobs, s.Faults}, Secrets: w.secrets, Inbound: w.troubled["inbound"], Mails: w.troubled["mail"],
		Media: w.troubled["media"], Wake: w.troubled["wake"], HTTP: g.Client(), Files: g.Follower(), Inspect: app.InspectFile, Mailer: s.Mailer, Push: w.hub,
		Key: s.Key, Now: s.Clock.Now, Rand: s.Rand, Pause: atOnce, Log: s.Log, Config: pipeline.Config{BaseURL: BaseURL, Hours: timeline.OfficeHours(zone)},
	})
	if err != nil {
		return err
	}
	w.staff, err = staff.New(w.app, staff.Options{
		Secrets: w.secrets, Blobs: w.blobs, Queues: w.troubled, Hub: w.hub, BaseURL: BaseURL, Log: s.Log, Cost: cheap,
	})
	if err != nil {
		return err
	}
	pages, err := public.New(w.app, public.Options{Key: s.Key, BaseURL: BaseURL, Location: zone, Log: s.Log, NewID: w.app.Store.NewID})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/hooks/{channel}/{account}", w.app.Pipeline.Ingest())
	mux.Handle("/api/", w.staff.API)
	mux.Handle("/healthz", w.staff.API)
	mux.Handle("/", pages)
	w.door = mux
	w.feed, err = w.table.Feed(ctx, "react")
	return err
}

// App implements World.
func (w *local) App() *app.App { return w.app }

// People implements World.
func (w *local) People() *people.People { return w.staff.People }

// Secrets implements World.
func (w *local) Secrets() secret.Store { return w.secrets }

// Door implements World.
func (w *local) Door() http.Handler { return w.door }

// Sockets implements World.
func (w *local) Sockets(context.Context) (string, error) {
	if w.sockets == nil {
		w.sockets = httptest.NewServer(w.staff.API.Socket())
	}
	return "ws" + strings.TrimPrefix(w.sockets.URL, "http") + "/socket", nil
}

// Connections implements World.
func (w *local) Connections(context.Context) (int, error) { return w.hub.Sockets(), nil }

// Queue implements World.
func (w *local) Queue(name string) queue.Queue { return w.troubled[name] }

// Mail implements World: what our own SMTP listener does with a mail that it has judged.
func (w *local) Mail(ctx context.Context, m *Letter) error {
	facts := m.Facts
	facts.Via = "smtp"
	return w.app.Pipeline.AcceptMail(ctx, m.Raw, facts)
}

// Handle implements World.
func (w *local) Handle(ctx context.Context, name string, batch []queue.Message) ([]string, error) {
	p := w.app.Pipeline
	handler := map[string]queue.Handler{"inbound": p.Process, "mail": p.Mail, "media": p.Fetch, "wake": p.Deliver}[name]
	return handler(ctx, batch), nil
}

// React implements World.
func (w *local) React(ctx context.Context) (int, error) {
	if len(w.pending) == 0 {
		backlog, err := w.table.Backlog()
		if err != nil || backlog == 0 {
			return 0, err
		}
		if w.pending, err = w.feed.Next(ctx, 100); err != nil {
			return 0, err
		}
	}
	if err := w.app.Pipeline.React(ctx, w.pending); err != nil {
		return 0, err
	}
	n := len(w.pending)
	w.pending = nil
	return n, w.feed.Ack(ctx)
}

// Tick implements World.
func (w *local) Tick(ctx context.Context) error { return w.app.Pipeline.Tick(ctx) }

// Moved implements World.
func (w *local) Moved(ctx context.Context) error {
	for _, name := range queueNames {
		if err := w.queues[name].Wake(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Redriven implements World: the local queue has moved everything when it returns.
func (w *local) Redriven(context.Context, string) error { return nil }

// Check implements World.
func (w *local) Check(ctx context.Context) ([]string, error) {
	if err := w.table.Check(ctx); err != nil {
		return []string{err.Error()}, nil //nolint:nilerr // it is what is wrong with the table
	}
	in := check.Input{Table: w.table, Queues: map[string]queue.Counter{}}
	for name, q := range w.queues {
		in.Queues[name] = q
	}
	r, err := check.Run(ctx, in)
	if err != nil {
		return nil, err
	}
	return r.Problems, nil
}

// Close implements World.
func (w *local) Close() error {
	if w.sockets != nil {
		w.sockets.Close()
	}
	if w.db == nil {
		return nil
	}
	return w.db.Close()
}
