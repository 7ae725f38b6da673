package pipeline_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aikajana/aikajana/internal/blob/dir"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/all"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/guard"
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

// desk is the whole path over real embedded parts, worked by hand: nothing happens between two steps of a test. The clock is
// the test's.
type desk struct {
	*pipeline.Pipeline
	t      *testing.T
	db     *engine.DB
	table  *pebble.Table
	feed   table.Feed
	queues map[string]*local.Queue
	hooks  *httptest.Server
	graph  *fake.Provider
	mu     sync.Mutex
	clock  time.Time
	ids    int
	log    *bytes.Buffer
}

// vault is a secret store that holds what the test puts there.
type vault map[string][]string

func (v vault) Get(_ context.Context, name string) ([]string, error) {
	if v[name] == nil {
		return nil, secret.ErrNotFound
	}
	return v[name], nil
}
func (v vault) Put(_ context.Context, name string, values []string) error {
	v[name] = values
	return nil
}
func (v vault) Delete(_ context.Context, name string) error { delete(v, name); return nil }
func (v vault) List(_ context.Context, _ string) (map[string][]string, error) {
	return v, nil
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, clock: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), queues: map[string]*local.Queue{}, log: new(bytes.Buffer)}
	db, err := engine.Open("store", engine.Options{FS: vfs.NewMem()})
	must(t, err)
	d.db = db
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	d.table, err = pebble.New(db, d.now)
	must(t, err)
	d.feed, err = d.table.Feed(t.Context(), "react")
	must(t, err)
	for _, name := range []string{"inbound", "mail", "media", "wake"} {
		d.queues[name], err = local.New(db, name, local.Options{Now: d.now})
		must(t, err)
	}
	blobs, err := dir.Open(dir.Options{Root: t.TempDir(), Key: bytes.Repeat([]byte("b"), 32), LinkBase: "/files", Now: d.time})
	must(t, err)
	registry, err := channel.NewRegistry(all.Adapters()...)
	must(t, err)
	s, err := store.New(store.Options{Table: d.table, Key: bytes.Repeat([]byte("k"), 32), Now: d.now, NewID: d.newID})
	must(t, err)
	d.Pipeline, err = pipeline.New(pipeline.Deps{
		Store: s, Blobs: blobs, Secrets: vault{
			"accounts/whatsapp/main/app_secret": {"secret"}, "accounts/whatsapp/main/access_token": {"token"}, "accounts/whatsapp/main/verify_token": {"verify"},
		},
		Channels: registry, Inbound: d.queues["inbound"], Mails: d.queues["mail"], Media: d.queues["media"], Wake: d.queues["wake"],
		HTTP: guard.New(guard.Options{AllowPrivate: true}).Client(), Now: d.now, NewID: d.newID,
		Log: slog.New(slog.NewJSONHandler(d.log, nil)), Config: pipeline.Config{BaseURL: "https://desk.example"},
	})
	must(t, err)
	d.graph = fake.New(fake.Options{PhoneNumberID: "1055", AppSecret: "secret", VerifyToken: "verify", AccessToken: "token", Now: d.time, Statuses: []string{"sent", "delivered"}})
	graph := httptest.NewServer(d.graph)
	t.Cleanup(graph.Close)
	mux := http.NewServeMux()
	mux.Handle("/hooks/{channel}/{account}", d.Ingest())
	d.hooks = httptest.NewServer(mux)
	t.Cleanup(d.hooks.Close)
	d.graph.SetWebhook(d.hooks.URL + "/hooks/whatsapp/main")
	must(t, s.PutAccount(t.Context(), store.Connected{
		Channel: "whatsapp", Account: "main", Team: "support", Settings: map[string]string{"phone_number_id": "1055", "api_base": graph.URL},
	}))
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (d *desk) time() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clock
}
func (d *desk) now() msg.Time { return msg.TimeOf(d.time()) }

func (d *desk) newID() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids++
	return fmt.Sprintf("id%024d", d.ids)
}

// pass lets time go by, and everything that is due happen.
func (d *desk) pass(by time.Duration) {
	d.t.Helper()
	d.later(by)
	for _, q := range d.queues {
		must(d.t, q.Wake(d.t.Context()))
	}
	d.settle()
}

// later has time go by and nobody work.
func (d *desk) later(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock = d.clock.Add(by)
}

// settle works until nothing is left to do now.
func (d *desk) settle() {
	d.t.Helper()
	for again := true; again; {
		for d.work() {
		}
		for _, err := range d.graph.Wait() {
			d.t.Error(err)
		}
		again = d.work() // statuses that the provider sent by itself
	}
}

func (d *desk) work() bool {
	d.t.Helper()
	ctx := d.t.Context()
	busy := false
	for name, handler := range map[string]queue.Handler{"inbound": d.Process, "mail": d.Mail, "media": d.Fetch, "wake": d.Deliver} {
		batch, err := d.queues[name].Receive(ctx, 10, 0)
		must(d.t, err)
		if len(batch) == 0 {
			continue
		}
		busy = true
		failed := map[string]bool{}
		for _, id := range handler(ctx, batch) {
			failed[id] = true
		}
		for _, m := range batch {
			if failed[m.ID] {
				must(d.t, d.queues[name].Release(ctx, m, time.Minute))
			} else {
				must(d.t, d.queues[name].Ack(ctx, m))
			}
		}
	}
	if backlog, err := d.table.Backlog(); err != nil || backlog == 0 {
		must(d.t, err)
		return busy
	}
	changes, err := d.feed.Next(ctx, 100)
	must(d.t, err)
	must(d.t, d.React(ctx, changes))
	must(d.t, d.feed.Ack(ctx))
	return true
}

func (d *desk) send(updates ...fake.Update) {
	d.t.Helper()
	must(d.t, d.graph.MustPost(d.t.Context(), updates...))
	d.settle()
}

var maija = fake.Person{Phone: "358401234567", Name: "Maija"}

func (d *desk) customer(p fake.Person) *timeline.Customer {
	d.t.Helper()
	c, err := d.Store.CustomerAt(d.t.Context(), msg.Address{Kind: "whatsapp.phone", Value: p.Phone})
	must(d.t, err)
	return c
}

// draw is a timeline in a few words a line, for comparing.
func (d *desk) draw(p fake.Person) string {
	d.t.Helper()
	entries, _, err := d.Store.Timeline(d.t.Context(), d.customer(p).Customer, store.Page{})
	must(d.t, err)
	var b strings.Builder
	for _, e := range entries {
		text := ""
		if e.Message != nil {
			text = e.Message.Text
			for _, part := range e.Message.Parts {
				text += " [" + string(part.Kind) + " " + part.Text
				if part.Media != nil {
					text += " " + string(part.Media.State)
				}
				text += "]"
			}
		}
		fmt.Fprintf(&b, "%s %s %s %s\n", e.Sort.Time().Format("15:04:05"), e.Direction, e.State, strings.Join(strings.Fields(text), " "))
	}
	return b.String()
}

func (d *desk) answer(p fake.Person, text string) *timeline.Entry {
	d.t.Helper()
	return d.answerLater(p, text, 0)
}

// answerLater answers so that it can be taken back for a while.
func (d *desk) answerLater(_ fake.Person, text string, undo time.Duration) *timeline.Entry {
	d.t.Helper()
	ctx := d.t.Context()
	cases, _, err := d.Store.WorkList(ctx, store.WorkQuery{Teams: []string{"support"}})
	must(d.t, err)
	if len(cases) == 0 {
		d.t.Fatal("nothing to answer")
	}
	route, err := d.Route(ctx, cases[0], nil, "", "")
	must(d.t, err)
	e, err := d.Store.Reply(ctx, store.Answer{Case: cases[0].Case, Agent: "aino", Channel: route.Channel, Account: route.Account, To: route.To, Text: text, Undo: undo})
	must(d.t, err)
	return e
}

// even says that both ledgers come out even and that nothing breaks an invariant.
func (d *desk) even() []pipeline.Balance {
	d.t.Helper()
	balances, err := d.Reconcile(d.t.Context())
	must(d.t, err)
	for _, b := range balances {
		if !b.Balanced {
			d.t.Errorf("%s/%s is not even: %+v", b.Channel, b.Account, b.Envelopes)
		}
	}
	report, err := check.Run(d.t.Context(), check.Input{Table: d.table})
	must(d.t, err)
	for _, p := range report.Problems {
		d.t.Error(p)
	}
	return balances
}

func TestAMessageIsStoredTheTeamNotifiedAndTheAnswerDelivered(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.send(d.graph.Text(maija, "Hei, se on rikki").ID("w1"))
	told, err := d.Store.Notifications(t.Context(), "support", "", 10)
	must(t, err)
	if len(told) != 1 || told[0].Why != "new_case" || told[0].For != "team" {
		t.Fatalf("notifications: %+v", told)
	}
	d.pass(40 * time.Second)
	d.answer(maija, "Katson heti.")
	d.settle()
	want := "08:00:00 in received Hei, se on rikki\n08:00:40 out delivered Katson heti.\n"
	if got := d.draw(maija); got != want {
		t.Errorf("timeline:\n%swant:\n%s", got, want)
	}
	b := d.even()[0]
	if b.Received != 3 || b.Stored != 3 || b.Envelopes.Accepted != 3 || b.Envelopes.Processed != 3 {
		t.Errorf("ledger: %+v", b)
	}
}

func TestAPictureThatFailsHoldsUpNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	picture := d.graph.AddMedia("image/jpeg", []byte("not really a picture"))
	d.graph.FailMedia(picture, 2)
	d.send(d.graph.Image(maija, picture, "näin kävi").ID("w1"))
	if got := d.draw(maija); got != "08:00:00 in received [image näin kävi waiting]\n" {
		t.Errorf("before: %s", got)
	}
	d.pass(10 * time.Minute)
	d.pass(10 * time.Minute)
	if got := d.draw(maija); got != "08:00:00 in received [image näin kävi stored]\n" {
		t.Errorf("after: %s", got)
	}
	d.even()
}

func TestFault16_AWrongSignatureIsRefusedKeptAndNeverParsed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	forger := fake.New(fake.Options{PhoneNumberID: "1055", AppSecret: "wrong", Now: d.time, Webhook: d.hooks.URL + "/hooks/whatsapp/main"})
	if status, err := forger.Post(t.Context(), forger.Text(maija, "x").ID("w1")); err != nil || status != http.StatusForbidden {
		t.Fatalf("a forged delivery was answered %d, %v", status, err)
	}
	unknown, err := http.Post(d.hooks.URL+"/hooks/whatsapp/nobody", "application/json", strings.NewReader("{}"))
	must(t, err)
	must(t, unknown.Body.Close())
	if unknown.StatusCode != http.StatusForbidden {
		t.Errorf("an unknown account is told from a wrong signature: %d", unknown.StatusCode)
	}
	d.settle()
	list, _, err := d.Store.QuarantineList(t.Context(), store.Page{}, false)
	must(t, err)
	if len(list) != 1 || list[0].Cause != "signature" || !list[0].Refused {
		t.Errorf("quarantine: %+v", list)
	}
	b := d.even()[0]
	if b.Received != 0 || b.Envelopes.Accepted != 0 {
		t.Errorf("a refused call counts as received: %+v", b)
	}
	if err := d.Replay(t.Context(), list[0].ID); err == nil {
		t.Error("a forged delivery was replayed")
	}
}

func TestAWebhookMayHaveThreeMegabytesAndNotAByteMore(t *testing.T) {
	t.Parallel()
	const most = 3 << 20
	for _, c := range []struct {
		name    string
		size    int
		chunked bool // no Content-Length
		want    int
	}{
		{"as large as may be", most, false, http.StatusOK},
		{"as large as may be, in chunks", most, true, http.StatusOK},
		{"a byte too large", most + 1, false, http.StatusRequestEntityTooLarge},
		{"a byte too large, in chunks", most + 1, true, http.StatusRequestEntityTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			body := d.graph.Body(d.graph.Text(maija, "iso").ID("w1"))
			body = append(body, bytes.Repeat([]byte(" "), c.size-len(body))...)
			var content io.Reader = bytes.NewReader(body)
			if c.chunked {
				content = io.MultiReader(content) // whose length nobody knows
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.hooks.URL+"/hooks/whatsapp/main", content)
			must(t, err)
			if chunked := r.ContentLength <= 0; chunked != c.chunked {
				t.Fatalf("Content-Length is %d", r.ContentLength)
			}
			r.Header.Set("X-Hub-Signature-256", d.graph.Sign(body))
			answer, err := http.DefaultClient.Do(r)
			must(t, err)
			must(t, answer.Body.Close())
			if answer.StatusCode != c.want {
				t.Errorf("%d bytes were answered %d, want %d", c.size, answer.StatusCode, c.want)
			}
			blobs, err := d.Blobs.List(t.Context(), "", "", 10)
			must(t, err)
			depth, err := d.queues["inbound"].Depth(t.Context())
			must(t, err)
			quarantined, _, err := d.Store.QuarantineList(t.Context(), store.Page{}, false)
			must(t, err)
			account, err := d.Store.ConnectedAccount(t.Context(), "whatsapp", "main")
			must(t, err)
			if len(quarantined) != 0 || !account.LastRefusal.At.IsZero() {
				t.Errorf("in quarantine is %+v, the last refusal is %+v", quarantined, account.LastRefusal)
			}
			if c.want != http.StatusOK {
				if len(blobs) != 0 || depth.Ready != 0 {
					t.Errorf("kept are %+v, queued are %d", blobs, depth.Ready)
				}
				if b := d.even(); len(b) > 0 && b[0].Envelopes.Accepted != 0 {
					t.Errorf("it counts as accepted: %+v", b)
				}
				return
			}
			if len(blobs) != 1 || blobs[0].Size != most || depth.Ready != 1 {
				t.Errorf("kept are %+v, queued are %d", blobs, depth.Ready)
			}
			d.settle()
			if got := d.draw(maija); got != "08:00:00 in received iso\n" {
				t.Errorf("timeline: %s", got)
			}
			d.even()
		})
	}
}

func TestFault22_WhatCannotBeUnderstoodIsQuarantinedAloneAndReplayable(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	body := bytes.Replace(d.graph.Body(d.graph.Text(maija, "eka").ID("w1"), d.graph.Text(maija, "toka").ID("w2")), []byte(`"messages":[`), []byte(`"messages":[{"from":7},`), 1)
	status, err := d.graph.PostBody(t.Context(), body)
	must(t, err)
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	d.settle()
	if got := d.draw(maija); got != "08:00:00 in received eka\n08:00:00 in received toka\n" {
		t.Errorf("timeline: %s", got)
	}
	list, _, err := d.Store.QuarantineList(t.Context(), store.Page{}, false)
	must(t, err)
	if len(list) != 1 || list[0].Refused {
		t.Fatalf("quarantine: %+v", list)
	}
	must(t, d.Replay(t.Context(), list[0].ID))
	d.settle()
	if b := d.even()[0]; b.Stored != 2 || b.Quarantined != 1 {
		t.Errorf("after a replay that changes nothing: %+v", b)
	}
}

func TestAnEventTooLargeForAnyItemIsQuarantinedWholeAndReplayable(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.send(d.graph.Text(maija, "eka").ID("w1"), d.graph.Text(maija, "toka").ID(strings.Repeat("w", 500<<10)))
	d.settle()
	if got := d.draw(maija); got != "08:00:00 in received eka\n" {
		t.Errorf("timeline: %s", got)
	}
	list, _, err := d.Store.QuarantineList(t.Context(), store.Page{}, false)
	must(t, err)
	if len(list) != 1 || list[0].Cause != "too_large" {
		t.Fatalf("quarantine: %+v", list)
	}
	must(t, d.Replay(t.Context(), list[0].ID)) // as after an upgrade that takes more; this one does not
	d.settle()
	list, _, err = d.Store.QuarantineList(t.Context(), store.Page{}, false)
	must(t, err)
	if b := d.even()[0]; len(list) != 1 || b.Stored != 1 {
		t.Errorf("after the replay: %+v in quarantine, ledger %+v", list, b)
	}
}

// drop removes the accepted message that holds the text from under the queue, as a defect or a stray hand would.
func (d *desk) drop(text string) {
	d.t.Helper()
	lower, upper := engine.Span([]byte{engine.PrefixQueue})
	var lost []byte
	must(d.t, d.db.Scan(lower, upper, false, func(key, value []byte) bool {
		if bytes.Contains(value, []byte(text)) {
			lost = bytes.Clone(key)
		}
		return lost == nil
	}))
	if lost == nil {
		d.t.Fatal("the message to drop is not there")
	}
	must(d.t, d.db.Apply(d.t.Context(), true, func(tx *engine.Tx) error { tx.Delete(lost); return nil }))
}

func TestADroppedAcceptedMessageMakesTheLedgerUnevenAndNamesTheChannel(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	must(t, d.graph.MustPost(t.Context(), d.graph.Text(maija, "hukkuu").ID("w1")))
	must(t, d.graph.MustPost(t.Context(), d.graph.Text(maija, "ei huku").ID("w2")))
	d.drop("hukkuu")
	d.settle()
	balances, err := d.Reconcile(t.Context())
	must(t, err)
	if b := balances[0]; b.Balanced || b.Channel != "whatsapp" || b.Account != "main" || b.Envelopes.Accepted != 2 {
		t.Errorf("the loss does not show: %+v", b)
	}
}
