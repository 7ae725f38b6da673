// Package app puts the parts together: the same program on both shapes. Which table, queues, blobs and secrets it stands on
// is decided in app/local and app/aws.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/all"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

// Deps are the backends and everything else from outside.
type Deps struct {
	Table                       table.Table
	Blobs                       blob.Store
	Secrets                     secret.Store
	Inbound, Mails, Media, Wake queue.Queue
	HTTP, Files                 *http.Client
	Inspect                     func(name, claimed string, body []byte) pipeline.FileFacts
	Mailer                      channel.Mailer
	Push                        pipeline.Push
	Notifiers                   []pipeline.Notifier
	Notice                      func([]byte) (*pipeline.MailNotice, error)
	// Instance names this process where it numbers what it accepts, see pipeline.Deps.
	Instance string
	// Key is the deployment key, 32 bytes.
	Key []byte
	// Now is the clock; Rand the source of IDs and secrets. Pause waits before a write that met another is tried again; nil
	// waits in real time.
	Now    func() msg.Time
	Rand   io.Reader
	Pause  func(ctx context.Context, attempt int) error
	Log    *slog.Logger
	Config pipeline.Config
}

// App is the program without a shape: handlers that a server or a Lambda calls.
type App struct {
	Channels *channel.Registry
	Store    *store.Store
	Pipeline *pipeline.Pipeline
}

// New puts the parts together.
func New(d Deps) (*App, error) {
	if d.Rand == nil {
		return nil, errors.New("start: no source of randomness")
	}
	registry, err := channel.NewRegistry(all.Adapters()...)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	ids := NewIDs(d.Rand)
	s, err := store.New(store.Options{Table: d.Table, Key: d.Key, Now: d.Now, NewID: ids, Pause: d.Pause})
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	p, err := pipeline.New(pipeline.Deps{
		Store: s, Blobs: d.Blobs, Secrets: d.Secrets, Channels: registry, Inbound: d.Inbound, Mails: d.Mails, Media: d.Media, Wake: d.Wake,
		HTTP: d.HTTP, Files: d.Files, Inspect: d.Inspect, Mailer: d.Mailer, Push: d.Push, Notifiers: d.Notifiers, Notice: d.Notice, Instance: d.Instance, Now: d.Now, NewID: ids, Log: d.Log, Config: d.Config,
	})
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return &App{Channels: registry, Store: s, Pipeline: p}, nil
}
