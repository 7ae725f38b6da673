// Package apptest puts the whole program over an embedded store in memory, for tests of what stands in front of it: the API,
// the sockets, the mail to staff. Only tests import it. What a test cares about it says itself; the clock is its own.
package apptest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aikajana/aikajana/internal/api"
	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/app/staff"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/blob/dir"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/notify"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/queue/local"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/secret/file"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
	"github.com/aikajana/aikajana/internal/timeline"
)

// BaseURL is where the desk believes to be reached.
const BaseURL = "https://desk.example"

// Options are what a test wants otherwise; the zero value serves most.
type Options struct {
	// Limits bound how often the API may be asked.
	Limits api.Limits
	// Mailer hands mail over, to staff from desk@desk.example; nil for none.
	Mailer channel.Mailer
	// Start is the time at which the clock begins; 2026-11-23 08:00 UTC, a Monday, when zero.
	Start time.Time
}

// Desk is the program without servers, workers and tickers: a test is each of them. The sales team has WhatsApp and a mailbox,
// billing has a mailbox of its own.
type Desk struct {
	*app.App
	*staff.Staff
	T       testing.TB
	Clock   *Clock
	Hub     *live.Hub
	Table   *pebble.Table
	Blobs   *dir.Store
	Secrets secret.Store
	Queues  map[string]queue.Queue
	Log     *Log
	feed    table.Feed
}

// New makes a desk that ends with the test.
func New(t testing.TB, o Options) *Desk {
	t.Helper()
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	}
	d := &Desk{T: t, Clock: &Clock{at: o.Start}, Hub: live.NewHub(), Log: &Log{}, Queues: map[string]queue.Queue{}}
	log := slog.New(slog.NewTextHandler(d.Log, nil))
	key := bytes.Repeat([]byte("k"), 32)
	db, err := engine.Open("store", engine.Options{FS: vfs.NewMem(), Log: slog.New(slog.DiscardHandler)})
	d.must(err)
	t.Cleanup(func() { d.must(db.Close()) })
	t.Cleanup(d.Hub.Close)
	d.Table, err = pebble.New(db, d.Clock.Now)
	d.must(err)
	for _, name := range []string{"inbound", "mail", "media", "wake"} {
		d.Queues[name], err = local.New(db, name, local.Options{Now: d.Clock.Now})
		d.must(err)
	}
	data := t.TempDir()
	d.Blobs, err = dir.Open(dir.Options{Root: filepath.Join(data, "blobs"), Key: key, LinkBase: "/files", Now: func() time.Time { return d.Clock.Now().Time() }})
	d.must(err)
	d.Secrets, err = file.Open(file.Options{Path: filepath.Join(data, "secrets"), Key: key})
	d.must(err)
	d.App, err = app.New(app.Deps{
		Table: d.Table, Blobs: d.Blobs, Secrets: d.Secrets, Inbound: d.Queues["inbound"], Mails: d.Queues["mail"], Media: d.Queues["media"],
		Wake: d.Queues["wake"], HTTP: http.DefaultClient, Mailer: o.Mailer, Push: d.Hub, Key: key, Now: d.Clock.Now, Rand: rand.Reader, Log: log,
		Config: pipeline.Config{BaseURL: BaseURL, Team: "support"},
	})
	d.must(err)
	d.Staff, err = staff.New(d.App, staff.Options{
		Secrets: d.Secrets, Blobs: d.Blobs, Queues: d.Queues, Hub: d.Hub, BaseURL: BaseURL, Log: log, Limits: o.Limits,
		Cost: auth.Cost{MemoryKiB: 64, Passes: 1, AtOnce: 2},
	})
	d.must(err)
	if o.Mailer != nil {
		d.Pipeline.Notifiers = []pipeline.Notifier{&notify.Mail{
			People: d.Auth, Told: d.Store, Mailer: o.Mailer, From: func(context.Context) (string, error) { return "desk@desk.example", nil },
			BaseURL: BaseURL, Now: d.Clock.Now, Channels: d.Channels, Log: log,
		}}
	}
	d.feed, err = d.Table.Feed(t.Context(), "react")
	d.must(err)
	for _, a := range []store.Connected{
		{Channel: "whatsapp", Account: "main", Team: "sales", Settings: map[string]string{"phone_number_id": "1055"}},
		{Channel: "email", Account: "main", Team: "sales", Settings: map[string]string{"address": "help@desk.example"}},
		{Channel: "email", Account: "bills", Team: "billing", Settings: map[string]string{"address": "bills@desk.example"}},
	} {
		d.must(d.Store.PutAccount(t.Context(), a))
	}
	return d
}

func (d *Desk) must(err error) {
	d.T.Helper()
	if err != nil {
		d.T.Fatal(err)
	}
}

// React follows up everything that was written.
func (d *Desk) React() {
	d.T.Helper()
	for {
		backlog, err := d.Table.Backlog()
		d.must(err)
		if backlog == 0 {
			return
		}
		changes, err := d.feed.Next(d.T.Context(), 100)
		d.must(err)
		d.must(d.Pipeline.React(d.T.Context(), changes))
		d.must(d.feed.Ack(d.T.Context()))
	}
}

// Deliver sends what is to be sent now: answers, and mail to staff.
func (d *Desk) Deliver() {
	d.T.Helper()
	q := d.Queues["wake"]
	for {
		batch, err := q.Receive(d.T.Context(), 10, 0)
		d.must(err)
		if len(batch) == 0 {
			return
		}
		failed := d.Pipeline.Deliver(d.T.Context(), batch)
		for _, m := range batch {
			if slices.Contains(failed, m.ID) {
				d.must(q.Release(d.T.Context(), m, time.Minute))
			} else {
				d.must(q.Ack(d.T.Context(), m))
			}
		}
		d.React()
	}
}

// Quietly does something without the sockets being told.
func (d *Desk) Quietly(do func()) {
	push := d.Pipeline.Push
	d.Pipeline.Push = nil
	defer func() { d.Pipeline.Push = push }()
	do()
}

// Write takes in a text message from Maija, by WhatsApp or mail, a second after whatever was last, and follows it up. It names
// nothing when the message was there already.
func (d *Desk) Write(channelID, account, from, text string) (entry, caseID, customer string) {
	d.T.Helper()
	return d.WriteAs(channelID, account, msg.Address{Value: from, Name: "Maija"}, text)
}

// WriteAs is Write by somebody else; the kind of the address is the channel's.
func (d *Desk) WriteAs(channelID, account string, from msg.Address, text string) (entry, caseID, customer string) {
	d.T.Helper()
	from.Kind = "whatsapp.phone"
	if channelID == "email" {
		from.Kind = "email"
	}
	team := "sales"
	if account == "bills" {
		team = "billing"
	}
	d.Clock.Pass(time.Second)
	now := d.Store.Now()
	out, err := d.Store.Record(d.T.Context(), []store.Incoming{{
		Event: msg.Event{
			Channel: channelID, Account: account, ID: "x" + text + from.Value, Kind: msg.KindMessage, Time: now, Direction: msg.In,
			From: from, Thread: from.Value, Native: json.RawMessage(`{"secret":"native"}`),
			Message: &msg.Message{Text: text, ReplyToken: "reply-token-secret"},
		},
		Scope: account, ReceivedAt: now, Envelope: "envelope-secret", Raw: []byte("raw-secret"),
		Rules: store.Rules{Team: team, Identities: []string{from.Kind}, Promise: timeline.Promise{FirstAnswer: time.Hour}},
	}})
	d.must(err)
	d.React()
	if out[0].As == store.Duplicate {
		return "", "", ""
	}
	c, err := d.Store.Case(d.T.Context(), out[0].Case)
	d.must(err)
	return out[0].Entry, out[0].Case, c.Customer
}

// Token makes an API token and says its secret.
func (d *Desk) Token(name string, role auth.Role, teams ...string) string {
	d.T.Helper()
	_, secret, err := d.Auth.CreateToken(d.T.Context(), "test", auth.Token{Name: name, Roles: []auth.Role{role}, Teams: teams})
	d.must(err)
	return secret
}

// Clock is a test's clock. It moves on by a millisecond at each look, so that no two writes are at the same time. Safe for
// concurrent use.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// Now is the time.
func (c *Clock) Now() msg.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Millisecond)
	return msg.TimeOf(c.at)
}

// Pass lets time pass.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Log keeps what the program logged. Safe for concurrent use.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is everything so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
