package pipeline_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	letters "github.com/aikajana/aikajana/internal/channel/email/fake"
	"github.com/aikajana/aikajana/internal/channel/form"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// renaming is a relay that gives each mail a Message-ID of its own, as SES does.
type renaming struct{ n int }

func (r *renaming) SendMail(context.Context, string, []string, []byte, string) (string, error) {
	r.n++
	return fmt.Sprintf("relay-%d@relay.example", r.n), nil
}

// encoded finds raw input inside an item.
var encoded = regexp.MustCompile(`[A-Za-z0-9+/]{24,}={0,2}`)

// traces finds every item and every blob that holds one of the words, the ledger of erasures apart.
func (d *desk) traces(words ...string) (found []string) {
	d.t.Helper()
	for from := (table.Key{}); ; {
		items, err := d.table.Scan(d.t.Context(), from, 500)
		must(d.t, err)
		for _, item := range items {
			from = item.Key
			text := append(encoded.ReplaceAllFunc(item.Body, func(b []byte) []byte {
				plain, _ := base64.StdEncoding.DecodeString(string(b)) // what is no base64 is searched as it is
				return plain
			}), item.Body...)
			for _, word := range words {
				if strings.Contains(item.PK+" "+item.SK, word) || bytes.Contains(text, []byte(word)) {
					found = append(found, fmt.Sprintf("%s holds %q: %.300s", item.Key, word, item.Body))
				}
			}
		}
		if len(items) < 500 {
			break
		}
	}
	for _, key := range d.files() {
		if strings.HasPrefix(key, pipeline.Erasures) {
			continue
		}
		body := d.blob(key)
		for _, word := range words {
			if strings.Contains(key, word) || bytes.Contains(body, []byte(word)) {
				found = append(found, fmt.Sprintf("blob %s holds %q", key, word))
			}
		}
	}
	return found
}

func (d *desk) files() (keys []string) {
	d.t.Helper()
	blobs, err := d.Blobs.List(d.t.Context(), "", "", 1000)
	must(d.t, err)
	for _, b := range blobs {
		keys = append(keys, b.Key)
	}
	return keys
}

func (d *desk) blob(key string) []byte {
	d.t.Helper()
	r, _, err := d.Blobs.Get(d.t.Context(), key, 0, 0)
	must(d.t, err)
	body, err := io.ReadAll(r)
	must(d.t, err)
	must(d.t, r.Close())
	return body
}

// tick lets Tick look, and everything that follows happen.
func (d *desk) tick() {
	d.t.Helper()
	must(d.t, d.Tick(d.t.Context()))
	d.settle()
}

const (
	herMail   = "maija.meikalainen@mail.example"
	herTyped  = "maija.typed@mail.example"
	herNumber = "358409998877"
)

// aLargeMail holds a file and more text than an item takes.
func aLargeMail(text string) []byte {
	var b strings.Builder
	b.WriteString("From: Maija Meikalainen <" + herMail + ">\r\nTo: help@desk.example\r\nSubject: invoice-secret\r\nMessage-ID: <m1@mail.example>\r\n" +
		"Date: Sun, 22 Nov 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n")
	for range 12_000 {
		b.WriteString(text + "\r\n")
	}
	b.WriteString("--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=budget.csv\r\n\r\nattached-secret\r\n--b--\r\n")
	return []byte(b.String())
}

// everythingOf makes a desk keep one of everything of one person, and says what her messages are known by.
func everythingOf(d *desk) (customer string) {
	t, ctx := d.t, d.t.Context()
	d.connect("email", map[string]string{"address": "help@desk.example"}, nil)
	d.connect("form", map[string]string{"acknowledge": "yes"}, nil)
	d.rewire(func(deps *pipeline.Deps) {
		deps.Mailer = &renaming{}
		deps.Inspect = func(name, claimed string, _ []byte) pipeline.FileFacts {
			return pipeline.FileFacts{Type: claimed, Name: name, Thumbnail: []byte("thumbnail-secret")}
		}
	})
	her := fake.Person{Phone: maija.Phone, Name: "Maija Meikalainen"}
	picture := d.graph.AddMedia("image/jpeg", []byte("picture-secret"))
	d.send(d.graph.Text(her, "text-secret").ID("wamid.w1"), d.graph.Image(her, picture, "caption-secret").ID("wamid.w2"))
	d.send(d.graph.Text(her, "text-secret").ID("wamid.w1")) // a redelivery
	customer = d.customer(her).Customer
	answer := d.answer(her, "answer-secret")
	d.settle()
	agent, until := "aino", d.now().Add(100*24*time.Hour)
	_, err := d.Store.Change(ctx, answer.Case, store.Patch{Agent: &agent, Tags: &[]string{"tag-secret"}})
	must(t, err)
	_, err = d.Store.Note(ctx, answer.Case, agent, "Aino", "note-secret", "key-1")
	must(t, err)

	for range 2 { // the second is a copy with raw input and long text of its own
		d.letter(letters.Letter{From: herMail, Raw: aLargeMail("long-secret"), MessageID: "m1@mail.example"}, "PASS")
	}
	byMail, err := d.Store.CustomerAt(ctx, msg.Address{Kind: "email", Value: herMail})
	must(t, err)
	merge, err := d.Store.Merge(ctx, customer, byMail.Customer, agent)
	must(t, err)
	must(t, d.Store.Unmerge(ctx, merge.Merge, agent))
	_, err = d.Store.Merge(ctx, customer, byMail.Customer, agent)
	must(t, err)
	// An answer by mail on the case that began in the messenger.
	_, err = d.Store.Reply(ctx, store.Answer{
		Case: answer.Case, Agent: agent, Channel: "email", Account: "main", To: msg.Address{Kind: "email", Value: herMail},
		Subject: "subject-secret", Text: "by-mail-secret", MessageID: "ours@desk.example", Key: "key-2",
	})
	must(t, err)
	d.settle()

	d.outside(her)
	s := form.Submission{ID: "once", Name: "Maija Meikalainen", Email: herTyped, Message: "form-secret"}
	body, err := s.Encode()
	must(t, err)
	must(t, d.Accept(ctx, &channel.Envelope{ID: d.newID(), Channel: "form", Account: "main", ReceivedAt: d.now(), Body: body,
		Header: http.Header{"Content-Type": {"application/json"}}}, d.Inbound))
	_, err = d.Store.PutStatus(ctx, "form", "main", s.EventID())
	must(t, err)
	d.settle()
	typed, err := d.Store.CustomerAt(ctx, msg.Address{Kind: form.KindEmail, Value: herTyped})
	must(t, err)
	_, err = d.Store.Merge(ctx, customer, typed.Customer, agent)
	must(t, err)

	snoozed := timeline.CaseSnoozed
	d.send(d.graph.Changed(her, fake.Person{Phone: herNumber, Name: her.Name}))
	_, err = d.Store.Change(ctx, answer.Case, store.Patch{State: &snoozed, SnoozeTo: &until})
	must(t, err)
	d.settle()
	return customer
}

// outside has the desk keep things of hers that are in no timeline.
func (d *desk) outside(her fake.Person) {
	t, ctx := d.t, d.t.Context()
	// An orphan, and something that still waits.
	d.send(d.graph.Reaction(her, "wamid.never", "💔"))
	d.pass(store.OrphanAfter + time.Minute)
	d.tick()
	d.send(d.graph.Reaction(her, "wamid.later", "💔"))
	// A mail that was judged spam, small and large; an item that the provider malformed.
	for _, raw := range [][]byte{[]byte("From: " + herMail + "\r\nSubject: spam-secret\r\n\r\nspam-secret"), aLargeMail("long-secret")} {
		must(t, d.AcceptMail(ctx, raw, channel.Mail{Via: "smtp", Sender: herMail, Recipients: []string{"help@desk.example"}, Spam: "FAIL"}))
	}
	d.send(d.graph.Text(her, "malformed-secret").ID("wamid.w9").At(time.Unix(-1, 0)))
	// A message for a number that nobody has connected.
	elsewhere := msg.Event{
		Channel: "whatsapp", Account: "main", Scope: "2077", ID: "wamid.w10", Kind: msg.KindMessage, Time: d.now(), Direction: msg.In,
		From: msg.Address{Kind: "whatsapp.phone", Value: her.Phone, Name: her.Name}, Message: &msg.Message{Text: "elsewhere-secret"},
	}
	_, err := d.Store.Quarantine(ctx, store.Quarantined{
		Channel: "whatsapp", Account: "main", Cause: "unknown_account", Envelope: "e", ReceivedAt: d.now(), Event: &elsewhere, Scope: "2077",
	}, 0)
	must(t, err)
	d.settle()
	list, _, err := d.Store.QuarantineList(ctx, store.Page{}, false)
	must(t, err)
	if len(list) != 5 {
		for _, q := range list {
			t.Logf("%+v", q)
		}
		t.Fatalf("%d inputs are in quarantine, want 5", len(list))
	}
}

func TestAnErasureLeavesNothingOfAPerson(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := newDesk(t)
	d.send(d.graph.Text(fake.Person{Phone: "358777", Name: "Pekka"}, "Pekan asia").ID("wamid.p1"))
	customer := everythingOf(d)
	person, err := d.Store.Person(ctx, customer)
	must(t, err)
	words := []string{"secret", "Meikalainen", maija.Phone, herNumber, herMail, herTyped, "💔", "form-", "wamid.w", "relay.example", "m1@mail.example"}
	for _, c := range person {
		words = append(words, c.Customer)
	}
	if before := d.traces(words...); len(before) < 50 {
		t.Fatalf("there is little to erase: %d traces", len(before))
	}
	d.pass(time.Minute)
	_, err = d.Erase(ctx, customer, "admin")
	must(t, err)
	d.settle()
	for _, found := range d.traces(words...) {
		t.Error(found)
	}
	if got := d.draw(fake.Person{Phone: "358777"}); !strings.Contains(got, "Pekan asia") {
		t.Errorf("somebody else's timeline: %q", got)
	}
	d.even()
	// It stays so when everything comes again.
	d.send(d.graph.Text(maija, "text-secret").ID("wamid.w1"))
	if found := d.traces("secret"); len(found) > 0 {
		t.Errorf("it came back: %q", found)
	}
	if _, err := d.Store.CustomerAt(ctx, msg.Address{Kind: "whatsapp.phone", Value: maija.Phone}); fault.Of(err) != fault.Missing {
		t.Errorf("a redelivery made a customer: %v", err)
	}
}

func TestSweepDeletesWhatNothingNamesAndNothingYoung(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := newDesk(t)
	everythingOf(d)
	named := d.files()
	orphans := []string{"body/20260101/gone-1", "media/nobody/nobody-e1/0", "media/nobody/nobody-e1/0.thumbnail", "quarantine/20261120/gone"}
	for _, key := range append(orphans, "raw/20261122/by-itself") {
		_, err := d.Blobs.Put(ctx, key, strings.NewReader("x"), blob.PutOptions{})
		must(t, err)
	}
	// The folder's clock is the machine's, the desk's is the test's.
	d.mu.Lock()
	d.clock = time.Now().Add(time.Hour)
	d.mu.Unlock()
	if n, err := pipeline.SweepUnnamed(ctx, d.table, d.Blobs, d.time()); err != nil || n != 0 {
		t.Errorf("%d young blobs were deleted: %v", n, err)
	}
	d.mu.Lock()
	d.clock = time.Now().Add(49 * time.Hour)
	d.mu.Unlock()
	if n, err := pipeline.SweepUnnamed(ctx, d.table, d.Blobs, d.time()); err != nil || n != len(orphans) {
		t.Errorf("%d blobs were deleted, want %d: %v", n, len(orphans), err)
	}
	left := map[string]bool{}
	for _, key := range d.files() {
		left[key] = true
	}
	for _, key := range append(named, "raw/20261122/by-itself") {
		if !left[key] {
			t.Errorf("%s went", key)
		}
	}
	for _, key := range orphans {
		if left[key] {
			t.Errorf("%s stayed", key)
		}
	}
	if len(left) != len(named)+1 {
		t.Errorf("%d blobs are left, want %d", len(left), len(named)+1)
	}
}
