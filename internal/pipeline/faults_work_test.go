package pipeline_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	hooks "github.com/aikajana/aikajana/internal/channel/webhook/fake"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

func TestFault19_EveryWebhookIsVerifiedAndNothingElseIsLetIn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	bodies := []string{"", "{}", "[]", "x=1", `{"specversion":"1.0","id":"1","source":"x","type":"aikajana.message","data":{}}`}
	verified := 0
	for _, id := range d.Channels.IDs() {
		adapter, _ := d.Channels.Get(id)
		info := adapter.Info()
		settings, secrets := map[string]string{"phone_number_id": "1055", "address": "help@desk.example"}, map[string]string{}
		for _, s := range info.Settings {
			if s.Secret {
				secrets[s.Name] = "a-secret-of-the-test-0123456789"
			}
		}
		for _, keys := range []map[string]string{secrets, nil} { // with its secrets, and with none
			for name := range secrets {
				must(t, d.Secrets.Delete(t.Context(), pipeline.SecretName(id, "main", name)))
			}
			d.connect(id, settings, keys)
			for _, body := range bodies {
				for _, forged := range []string{"", "sha256=" + strings.Repeat("0", 64), "v1,AAAA"} {
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.hooks.URL+"/hooks/"+id+"/main", strings.NewReader(body))
					must(t, err)
					r.Header.Set("Content-Type", "application/json")
					if forged != "" {
						for _, name := range append([]string{"X-Hub-Signature-256", "Webhook-Signature", "X-Signature", "Authorization"}, info.Headers...) {
							r.Header.Set(name, forged)
						}
					}
					resp, err := http.DefaultClient.Do(r)
					must(t, err)
					must(t, resp.Body.Close())
					if resp.StatusCode != http.StatusForbidden {
						t.Errorf("%s took %q signed %q: %d", id, body, forged, resp.StatusCode)
					}
				}
			}
		}
		if _, ok := adapter.(channel.Webhook); ok {
			verified++
		}
	}
	if verified < 2 {
		t.Errorf("only %d channels have webhooks: the test tries nothing", verified)
	}
	for name, q := range d.queues {
		depth, err := q.Depth(t.Context())
		must(t, err)
		if depth != (queue.Depth{}) {
			t.Errorf("queue %s: %+v", name, depth)
		}
	}
	for _, b := range d.even() {
		if b.Envelopes.Accepted != 0 {
			t.Errorf("%s/%s accepted %d", b.Channel, b.Account, b.Envelopes.Accepted)
		}
	}
}

func TestFault20_AReplayedWebhookIsRefusedWhenOldAndChangesNothingWhenNew(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const secret = "a-secret-of-the-test-0123456789"
	d.connect("webhook", nil, map[string]string{"signing_secret": secret})
	sent := d.time()
	sender := &hooks.Sender{URL: d.hooks.URL + "/hooks/webhook/main", Secret: secret, Source: "//shop.example", Now: func() time.Time { return sent }}
	send := func(want int) {
		t.Helper()
		status, err := sender.Message(t.Context(), "order-1", hooks.Message{From: hooks.Person{Kind: "shop.customer", Value: "77"}, Text: "Missä tilaukseni on?"})
		must(t, err)
		if status/100 != want/100 {
			t.Errorf("answered %d, want %d", status, want)
		}
		d.settle()
	}
	send(200)
	d.pass(time.Minute)
	send(200)
	d.pass(10 * time.Minute)
	send(403)
	for _, b := range d.even() {
		if b.Channel == "webhook" && (b.Stored != 1 || b.Duplicate != 1 || b.Envelopes.Accepted != 2) {
			t.Errorf("ledger: %+v", b)
		}
	}
	if open := d.open(); len(open) != 1 {
		t.Errorf("%d cases are open", len(open))
	}
}

// mortal is a table under which the process dies at the nth write: before it, or right after it landed. Groups are recorded
// side by side: once dead, none of them writes any more.
type mortal struct {
	table.Table
	at     int
	landed bool

	mu     sync.Mutex
	writes int
	dead   bool
}

func (m *mortal) Write(ctx context.Context, ops ...table.Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if !m.dead && m.writes != m.at {
		return m.Table.Write(ctx, ops...)
	}
	if !m.dead && m.landed {
		if err := m.Table.Write(ctx, ops...); err != nil {
			return err
		}
	}
	m.dead = true
	runtime.Goexit() // a panic could be recovered; nothing of ours runs on after this
	return nil
}

// live runs a step of the pipeline that may end before its end.
func (m *mortal) live(step func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		step()
	}()
	<-done
}

func TestFault27_AProcessKilledAtAnyWriteLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	for _, landed := range []bool{false, true} {
		for at := 1; ; at++ {
			d := newDesk(t)
			doomed := &mortal{Table: d.table, at: at, landed: landed}
			healthy := d.Pipeline
			d.rewire(func(deps *pipeline.Deps) {
				s, err := store.New(store.Options{Table: doomed, Key: bytes.Repeat([]byte("k"), 32), Now: d.now, NewID: d.newID})
				must(t, err)
				deps.Store = s
			})
			must(t, d.graph.MustPost(t.Context(), d.graph.Text(maija, "eka").ID("w1"), d.graph.Text(maija, "toka").ID("w2")))
			must(t, d.graph.MustPost(t.Context(), d.graph.Text(fake.Person{Phone: "358407654321", Name: "Kalle"}, "kolmas").ID("w3")))
			batch, err := d.Inbound.Receive(t.Context(), 10, 0)
			must(t, err)
			doomed.live(func() {
				if failed := d.Process(t.Context(), batch); len(failed) > 0 && !doomed.dead {
					t.Errorf("write %d: %q failed: %s", at, failed, d.log)
				}
			})
			d.Pipeline = healthy // the process that is started next; nothing was acknowledged
			d.pass(4 * time.Minute)
			if got := d.draw(maija); got != "08:00:00 in received eka\n08:00:00 in received toka\n" {
				t.Errorf("killed at write %d (landed: %v): %s", at, landed, got)
			}
			if open := d.open(); len(open) != 2 {
				t.Errorf("killed at write %d (landed: %v): %d cases", at, landed, len(open))
			}
			if b := d.even()[0]; b.Stored != 3 {
				t.Errorf("killed at write %d (landed: %v): %+v", at, landed, b)
			}
			if !doomed.dead {
				if at < 3 {
					t.Errorf("only %d writes were tried", at-1)
				}
				break
			}
		}
	}
}

func TestFault32_TheTextIsThereThoughItsFileNeverComes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	lost := d.graph.AddMedia("image/jpeg", []byte("a picture"))
	d.graph.FailMedia(lost, 1000)
	d.send(d.graph.Image(maija, lost, "näin kävi").ID("w1"))
	if got := d.draw(maija); got != "08:00:00 in received [image näin kävi waiting]\n" {
		t.Errorf("at once: %s", got)
	}
	d.pass(time.Second)
	fine := d.graph.AddMedia("image/jpeg", []byte("another picture"))
	d.send(d.graph.Image(maija, fine, "ja näin").ID("w2"))
	want := "08:00:00 in received [image näin kävi waiting]\n08:00:01 in received [image ja näin stored]\n"
	if got := d.draw(maija); got != want {
		t.Errorf("a file that fails holds up another:\n%s", got)
	}
	for range 14 {
		d.pass(15 * time.Minute)
	}
	if got := d.draw(maija); got != strings.Replace(want, "waiting", "failed", 1) {
		t.Errorf("after some hours:\n%s", got)
	}
	depth, err := d.Media.Depth(t.Context())
	must(t, err)
	if depth != (queue.Depth{}) {
		t.Errorf("the queue of files is not empty: %+v", depth)
	}
	d.even()
}

func TestFault35_NoNameOfASenderIsPartOfAKey(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for n, name := range []string{"../../etc/canary", "canary\x00.exe", "\u202ecanary\u202c.gpj", "can\u200bary.pdf", "/canary", "..\\canary", "CON:canary"} {
		media := d.graph.AddMedia("application/pdf", fmt.Appendf(nil, "%%PDF-1.4 %d", n))
		d.send(d.graph.Document(maija, media, name, "").ID(fmt.Sprintf("w%d", n)))
	}
	d.pass(time.Minute)
	if n := strings.Count(d.draw(maija), "stored"); n != 7 {
		t.Fatalf("%d of seven files are there:\n%s", n, d.draw(maija))
	}
	keys := d.keys()
	if len(keys) < 14 {
		t.Fatalf("only %d keys were looked at", len(keys))
	}
	for _, key := range keys {
		bare := strings.ReplaceAll(strings.ToLower(key), "\u200b", "")
		if strings.Contains(bare, "canary") || strings.Contains(key, "..") || strings.ContainsAny(key, "\x00\\:\u202e") {
			t.Errorf("a name is part of the key %q", key)
		}
	}
}

// keys lists the keys of all blobs and items.
func (d *desk) keys() (keys []string) {
	d.t.Helper()
	blobs, err := d.Blobs.List(d.t.Context(), "", "", 1000)
	must(d.t, err)
	for _, b := range blobs {
		keys = append(keys, b.Key)
	}
	items, err := d.table.Scan(d.t.Context(), table.Key{}, 1000)
	must(d.t, err)
	for _, i := range items {
		keys = append(keys, i.PK+" "+i.SK)
	}
	return keys
}

// gone is an envelope whose body lies in a blob that is not there.
func (d *desk) gone(id, key string) []byte {
	d.t.Helper()
	return fmt.Appendf(nil, `{"id":%q,"channel":"whatsapp","account":"main","received_at":%q,"blob":%q}`+"\n", id, d.now().Time().Format("2006-01-02T15:04:05.000Z"), key)
}

func TestFault57_OnlyTheRecordThatFailsIsReported(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for n := range 10 {
		if n == 2 {
			must(t, d.Inbound.Send(t.Context(), queue.Outgoing{Body: d.gone("lost", "raw/20261122/lost"), Group: "whatsapp/main"}))
			continue
		}
		must(t, d.graph.MustPost(t.Context(), d.graph.Text(maija, fmt.Sprintf("viesti %d", n)).ID(fmt.Sprintf("w%d", n))))
	}
	batch, err := d.Inbound.Receive(t.Context(), 10, 0)
	must(t, err)
	if len(batch) != 10 {
		t.Fatalf("a batch of %d", len(batch))
	}
	var third string
	for _, m := range batch {
		if bytes.Contains(m.Body, []byte("raw/20261122/lost")) {
			third = m.ID
		}
	}
	failed := d.Process(t.Context(), batch)
	equal(t, "the failed ones", failed, []string{third})
	if n := strings.Count(d.draw(maija), "viesti"); n != 9 {
		t.Errorf("%d of the other nine are stored", n)
	}
}

func TestFault59_RedrivingTwiceStoresOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const key = "raw/20261122/late"
	must(t, d.Inbound.Send(t.Context(), queue.Outgoing{Body: d.gone("late", key), Group: "whatsapp/main"}))
	for range queue.MaxAttempts + 1 {
		d.pass(5 * time.Minute)
	}
	if depth, err := d.Inbound.Depth(t.Context()); err != nil || depth.Dead != 1 {
		t.Fatalf("it is not in the dead-letter queue: %+v, %v", depth, err)
	}
	if b := d.even()[0]; b.Envelopes.Dead != 1 {
		t.Errorf("ledger: %+v", b)
	}
	body := d.graph.Body(d.graph.Text(maija, "myöhässä").ID("w1"))
	_, err := d.Blobs.Put(t.Context(), key, bytes.NewReader(body), blob.PutOptions{})
	must(t, err)
	for _, want := range []int{1, 0} {
		n, err := d.Inbound.Redrive(t.Context())
		must(t, err)
		if n != want {
			t.Errorf("redrove %d, want %d", n, want)
		}
	}
	// The same again by hand, as an operator does who is not sure whether the first time worked.
	must(t, d.Inbound.Send(t.Context(), queue.Outgoing{Body: d.gone("late", key), Group: "whatsapp/main"}))
	d.settle()
	if got := d.draw(maija); got != "08:30:00 in received myöhässä\n" && strings.Count(got, "\n") != 1 {
		t.Errorf("timeline: %s", got)
	}
	if b := d.even()[0]; b.Stored != 1 || b.Duplicate != 1 || b.Envelopes.Dead != 0 {
		t.Errorf("ledger: %+v", b)
	}
}

func TestFault60_AnotherWorkerTakesOverAndTheFirstComingBackChangesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	must(t, d.graph.MustPost(t.Context(), d.graph.Text(maija, "hei").ID("w1")))
	slow, err := d.Inbound.Receive(t.Context(), 10, 0)
	must(t, err)
	if len(slow) != 1 {
		t.Fatalf("received %d", len(slow))
	}
	if early, err := d.Inbound.Receive(t.Context(), 10, 0); err != nil || len(early) != 0 {
		t.Fatalf("two workers have it at the same time: %v, %v", early, err)
	}
	d.pass(4 * time.Minute)
	if got := strings.Count(d.draw(maija), "\n"); got != 1 {
		t.Fatalf("nobody took over: %d entries", got)
	}
	if failed := d.Process(t.Context(), slow); len(failed) != 0 {
		t.Errorf("the first worker fails: %q", failed)
	}
	must(t, d.Inbound.Ack(t.Context(), slow...))
	d.settle()
	if got := strings.Count(d.draw(maija), "\n"); got != 1 {
		t.Errorf("%d entries", got)
	}
	if b := d.even()[0]; b.Stored != 1 || b.Duplicate != 1 || b.Envelopes.Processed != 1 {
		t.Errorf("ledger: %+v", b)
	}
}

func TestFault07_AReplyAddressIsRefusedUnlessItsSecretIsOurs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.withMail(nil)
	d.send(d.graph.Text(maija, "Salaista").ID("w1"))
	c := d.open()[0]
	right := d.Store.ReplyToken("whatsapp", c.Case)
	if len(right) < 26 { // 26 characters of base32 are 130 bits
		t.Errorf("a reply token of %d characters", len(right))
	}
	for n, token := range []string{c.Reference, strings.ToLower(c.Reference), c.Case, "1", right[:25], right[:25] + "b", right + "a", d.Store.ReplyToken("email", c.Case)} {
		from := msg.Address{Kind: "email", Value: fmt.Sprintf("mallory%d@evil.example", n)}
		raw := fmt.Sprintf("From: %s\r\nTo: help+%s@desk.example\r\nSubject: Re: %s\r\nMessage-ID: <t%d@evil.example>\r\n\r\nHei\r\n", from.Value, token, c.Reference, n)
		must(t, d.AcceptMail(t.Context(), []byte(raw), channel.Mail{Via: "smtp", Sender: from.Value, Recipients: []string{"help+" + token + "@desk.example"}, DMARC: "PASS"}))
		d.settle()
		equal(t, "the stranger's timeline", d.texts(from), []string{"in Hei"})
		who, err := d.Store.CustomerAt(t.Context(), from)
		must(t, err)
		for _, s := range who.Suggested {
			t.Errorf("token %q points at %+v", token, s)
		}
	}
	if got := strings.Count(d.draw(maija), "\n"); got != 1 {
		t.Errorf("the customer has %d entries", got)
	}
}

func TestFault16_AHundredRefusedBodiesAnHourAreKept(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	forger := fake.New(fake.Options{PhoneNumberID: "1055", AppSecret: "wrong", Now: d.time})
	handler := d.hooks.Config.Handler
	for n := range 130 {
		body := forger.Body(forger.Text(maija, "x").ID(fmt.Sprintf("w%d", n)))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks/whatsapp/main", bytes.NewReader(body))
		r.Header.Set("X-Hub-Signature-256", forger.Sign(body))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden {
			t.Fatalf("answered %d", w.Code)
		}
		if b, err := io.ReadAll(w.Body); err != nil || strings.Contains(string(b), "sign") {
			t.Fatalf("the answer says why: %s", b)
		}
	}
	kept, page := 0, store.Page{Limit: 100}
	for {
		list, next, err := d.Store.QuarantineList(t.Context(), page, true)
		must(t, err)
		kept += len(list)
		if next == "" {
			break
		}
		page.After = next
	}
	if kept != 100 {
		t.Errorf("%d bodies are kept", kept)
	}
}
