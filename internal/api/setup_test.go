package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/getkin/kin-openapi/openapi3filter"

	"github.com/aikajana/aikajana/internal/api"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/blob/dir"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/all"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/queue/local"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
	"github.com/aikajana/aikajana/internal/timeline"
)

const password = "correct horse battery"

// desk is the whole program but its channels' traffic, over a file system in memory: embedded table, local queues, pipeline.
type desk struct {
	t       *testing.T
	clock   *clock
	store   *store.Store
	auth    *auth.Service
	hub     *live.Hub
	api     *api.API
	pipe    *pipeline.Pipeline
	secrets *secrets
	blobs   *dir.Store
	table   *pebble.Table
	feed    table.Feed
	queues  map[string]queue.Queue
	server  *httptest.Server
	token   string // an administrator's
	log     *syncBuffer
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

// now moves on by a millisecond at each look, so that no two writes are at the same time.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Millisecond)
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// routed is the pipeline as app wires it.
type routed struct{ *pipeline.Pipeline }

func (r routed) Route(ctx context.Context, c *timeline.Case, last *timeline.Entry, channelID, account string) (*api.Route, error) {
	way, err := r.Pipeline.Route(ctx, c, last, channelID, account)
	if err != nil {
		return nil, err
	}
	return &api.Route{Channel: way.Channel, Account: way.Account, To: way.To, MessageID: way.MessageID, Info: way.Info}, nil
}

func setup(t *testing.T) *desk { return setupWith(t, api.Limits{}) }

func setupWith(t *testing.T, limits api.Limits) *desk {
	t.Helper()
	d := &desk{t: t, clock: &clock{at: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}, secrets: newSecrets(), log: &syncBuffer{}, hub: live.NewHub()}
	log := slog.New(slog.NewTextHandler(d.log, nil))
	now := func() msg.Time { return msg.TimeOf(d.clock.now()) }
	db, err := engine.Open("store", engine.Options{FS: vfs.NewMem(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	d.table, err = pebble.New(db, now)
	must(t, err)
	serial := 0
	var mu sync.Mutex
	newID := func() string {
		mu.Lock()
		defer mu.Unlock()
		serial++
		return fmt.Sprintf("id%030d", serial)
	}
	d.store, err = store.New(store.Options{Table: d.table, Key: bytes.Repeat([]byte("k"), 32), Now: now, NewID: newID})
	must(t, err)
	d.blobs, err = dir.Open(dir.Options{Root: t.TempDir(), Key: bytes.Repeat([]byte("b"), 32), LinkBase: "/files", Now: d.clock.now})
	must(t, err)
	d.queues = map[string]queue.Queue{}
	for _, name := range []string{"inbound", "mail", "media", "wake"} {
		d.queues[name], err = local.New(db, name, local.Options{Now: now})
		must(t, err)
	}
	registry, err := channel.NewRegistry(all.Adapters()...)
	must(t, err)
	d.pipe, err = pipeline.New(pipeline.Deps{
		Store: d.store, Blobs: d.blobs, Secrets: d.secrets, Channels: registry, Inbound: d.queues["inbound"], Mails: d.queues["mail"],
		Media: d.queues["media"], Wake: d.queues["wake"], HTTP: http.DefaultClient, Push: d.hub, Now: now, NewID: newID, Log: log,
		Config: pipeline.Config{BaseURL: "https://desk.example", Team: "support"},
	})
	must(t, err)
	d.auth, err = auth.New(auth.Config{Table: d.table, Now: d.clock.now, Cost: auth.Cost{MemoryKiB: 64, Passes: 1, AtOnce: 2}, Audit: d.hub})
	must(t, err)
	events, err := live.New(live.Deps{Store: d.store, Auth: d.auth, Hub: d.hub, Log: log})
	must(t, err)
	d.api, err = api.New(api.Deps{
		Store: d.store, Auth: d.auth, Channels: registry, Secrets: d.secrets, Blobs: d.blobs, Pipeline: routed{d.pipe}, Queues: d.queues,
		CommonSettings: []channel.Setting{{Name: "api_base"}, {Name: "sender_name"}},
		Ledgers:        []queue.Counter{d.queues["inbound"].(queue.Counter), d.queues["mail"].(queue.Counter)},
		Healthy:        d.store.Heartbeat, Live: events, Log: log,
		Config: api.Config{BaseURL: "https://desk.example", Limits: limits},
	})
	must(t, err)
	d.feed, err = d.table.Feed(t.Context(), "react")
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle("/", d.api)
	mux.Handle("/socket", d.api.Socket())
	d.server = httptest.NewServer(mux)
	t.Cleanup(d.server.Close)
	t.Cleanup(d.hub.Close)
	_, d.token, err = d.auth.CreateToken(t.Context(), "test", auth.Token{Name: "test", Roles: []auth.Role{auth.Administrator}})
	must(t, err)
	for _, a := range []store.Connected{
		{Channel: "whatsapp", Account: "main", Team: "sales", Settings: map[string]string{"phone_number_id": "1055"}},
		{Channel: "email", Account: "main", Team: "sales", Settings: map[string]string{"address": "help@desk.example"}},
		{Channel: "email", Account: "bills", Team: "billing", Settings: map[string]string{"address": "bills@desk.example"}},
	} {
		must(t, d.store.PutAccount(t.Context(), a))
	}
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// user makes a user of a team and signs in: the client carries the cookie.
func (d *desk) user(id string, role auth.Role, teams ...string) *client {
	d.t.Helper()
	_, err := d.auth.CreateUser(d.t.Context(), "test", auth.User{ID: id, Name: id + " Virtanen", Roles: []auth.Role{role}, Teams: teams}, password)
	must(d.t, err)
	c := d.anonymous()
	c.do("POST", "/api/v1/sessions", map[string]any{"user": id, "password": password}).want(201)
	return c
}

func (d *desk) anonymous() *client {
	jar, err := cookiejar.New(nil)
	must(d.t, err)
	return &client{d: d, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// admin holds the administrator's token.
func (d *desk) admin() *client {
	c := d.anonymous()
	c.token = d.token
	return c
}

// write takes in a text message from a customer, and lets React follow it up.
func (d *desk) write(channelID, account, from, text string) (entry, caseID, customer string) {
	d.t.Helper()
	kind, team := "whatsapp.phone", "sales"
	if channelID == "email" {
		kind = "email"
	}
	if account == "bills" {
		team = "billing"
	}
	d.clock.pass(time.Second)
	now := d.store.Now()
	out, err := d.store.Record(d.t.Context(), []store.Incoming{{
		Event: msg.Event{
			Channel: channelID, Account: account, ID: "x" + text + from, Kind: msg.KindMessage, Time: now, Direction: msg.In,
			From: msg.Address{Kind: kind, Value: from, Name: "Maija"}, Thread: from, Native: json.RawMessage(`{"secret":"native"}`),
			Message: &msg.Message{Text: text, ReplyToken: "reply-token-secret"},
		},
		Scope: account, ReceivedAt: now, Envelope: "envelope-secret", Raw: []byte("raw-secret"),
		Rules: store.Rules{Team: team, Identities: []string{kind}, Promise: timeline.Promise{FirstAnswer: time.Hour}},
	}})
	must(d.t, err)
	d.react()
	if out[0].As == store.Duplicate {
		return "", "", ""
	}
	c, err := d.store.Case(d.t.Context(), out[0].Case)
	must(d.t, err)
	return out[0].Entry, out[0].Case, c.Customer
}

// react follows up everything that was written.
func (d *desk) react() {
	d.t.Helper()
	for {
		backlog, err := d.table.Backlog()
		must(d.t, err)
		if backlog == 0 {
			return
		}
		changes, err := d.feed.Next(d.t.Context(), 100)
		must(d.t, err)
		must(d.t, d.pipe.React(d.t.Context(), changes))
		must(d.t, d.feed.Ack(d.t.Context()))
	}
}

// client is somebody who asks. Every answer is held to openapi.yaml.
type client struct {
	d     *desk
	http  *http.Client
	token string
}

// answer is what came back.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func (c *client) do(method, path string, body any, header ...string) *answer {
	c.d.t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		text, err = json.Marshal(b)
		must(c.d.t, err)
	}
	r, err := http.NewRequestWithContext(c.d.t.Context(), method, c.d.server.URL+path, bytes.NewReader(text))
	must(c.d.t, err)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for n := 0; n < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	resp, err := c.http.Do(r)
	must(c.d.t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	must(c.d.t, err)
	a := &answer{t: c.d.t, what: method + " " + path, status: resp.StatusCode, header: resp.Header, raw: raw}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			c.d.t.Fatalf("%s: the answer is no JSON object: %s", a.what, raw)
		}
	}
	c.d.conforms(r, a)
	return a
}

// conforms holds an answer to the document.
func (d *desk) conforms(r *http.Request, a *answer) {
	d.t.Helper()
	operations, err := d.api.Operations()
	must(d.t, err)
	for _, o := range operations {
		parameters, ok := match(o.Path, r.URL.Path)
		if !ok || o.Method != r.Method {
			continue
		}
		err := openapi3filter.ValidateResponse(d.t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: o.Route},
			Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.raw)),
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		})
		if err != nil {
			d.t.Errorf("%s answers %d against openapi.yaml: %v\n%s", a.what, a.status, err, a.raw)
		}
		return
	}
}

// match says whether a path is one of the template's.
func match(template, path string) (map[string]string, bool) {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	parameters := map[string]string{}
	for n := range want {
		switch {
		case strings.HasPrefix(want[n], "{"):
			parameters[strings.Trim(want[n], "{}")] = have[n]
		case want[n] != have[n]:
			return nil, false
		}
	}
	return parameters, true
}

func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: got %d, want %d\n%s", a.what, a.status, status, a.raw)
	}
	return a
}

func (a *answer) wantProblem(status int, code, field string) {
	a.t.Helper()
	a.want(status)
	if got, _ := a.body["field"].(string); a.body["code"] != code || got != field {
		a.t.Fatalf("%s: got code %v and field %q, want %q and %q\n%s", a.what, a.body["code"], got, code, field, a.raw)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		a.t.Fatalf("%s: Content-Type %q", a.what, ct)
	}
}

// at follows a path of field names and indexes ("items.0.case").
func (a *answer) at(path string) any {
	a.t.Helper()
	var v any = a.body
	for _, step := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			n := 0
			if _, err := fmt.Sscan(step, &n); err != nil || n >= len(x) {
				a.t.Fatalf("%s: there is no %s in\n%s", a.what, path, a.raw)
			}
			v = x[n]
		default:
			a.t.Fatalf("%s: there is no %s in\n%s", a.what, path, a.raw)
		}
	}
	return v
}

func (a *answer) text(path string) string {
	a.t.Helper()
	s, ok := a.at(path).(string)
	if !ok {
		a.t.Fatalf("%s: %s is no text in\n%s", a.what, path, a.raw)
	}
	return s
}

func (a *answer) items() []any {
	a.t.Helper()
	all, ok := a.body["items"].([]any)
	if !ok {
		a.t.Fatalf("%s: there are no items in\n%s", a.what, a.raw)
	}
	return all
}

func q(values ...string) string {
	v := url.Values{}
	for n := 0; n < len(values); n += 2 {
		v.Set(values[n], values[n+1])
	}
	return "?" + v.Encode()
}

// secrets is a secret store in memory: the file one has its own suite.
type secrets struct {
	mu  sync.Mutex
	all map[string][]string
}

func newSecrets() *secrets { return &secrets{all: map[string][]string{}} }

func (s *secrets) Get(_ context.Context, name string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.all[name]; ok {
		return slices.Clone(v), nil
	}
	return nil, secret.ErrNotFound
}

func (s *secrets) Put(_ context.Context, name string, values []string) error {
	if len(values) < 1 || len(values) > 2 {
		return errors.New("one or two values")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[name] = slices.Clone(values)
	return nil
}

func (s *secrets) Delete(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, name)
	return nil
}

func (s *secrets) List(_ context.Context, prefix string) (map[string][]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := maps.Clone(s.all)
	maps.DeleteFunc(out, func(name string, _ []string) bool { return !strings.HasPrefix(name, prefix) })
	return out, nil
}

// quarantine puts something there.
func (d *desk) quarantine(cause string) string {
	d.t.Helper()
	e := `{"id":"env1","channel":"whatsapp","account":"main","received_at":"2026-11-23T08:00:00.000Z"}` + "\n" + `{"object":"nonsense"}`
	id, err := d.store.Quarantine(d.t.Context(), store.Quarantined{
		Channel: "whatsapp", Account: "main", Cause: cause, Detail: "entry: it is missing", Envelope: "env1", ReceivedAt: d.store.Now(),
		Size: 21, Raw: []byte(e),
	}, 0)
	must(d.t, err)
	d.react()
	return id
}

// damage makes a case unreadable.
func (d *desk) damage(caseID string) {
	d.t.Helper()
	customer := store.CustomerOf(caseID)
	must(d.t, d.table.Write(d.t.Context(), table.Put(table.Item{
		Key: table.Key{PK: "C#" + customer, SK: "K#" + caseID[len(customer)+1:]}, Rev: 1, Body: []byte("{"),
	}, table.Any)))
}

// files serves what links point at.
func (d *desk) files() string {
	server := httptest.NewServer(d.blobs.Handler())
	d.t.Cleanup(server.Close)
	return server.URL
}

// quietly does something without the sockets being told.
func (d *desk) quietly(do func()) {
	push := d.pipe.Push
	d.pipe.Push = nil
	do()
	d.pipe.Push = push
}
