package store_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

// holding lists the items whose key or body holds one of the words.
func (d *desk) holding(words ...string) (found []string) {
	d.t.Helper()
	for _, item := range d.scan() {
		for _, word := range words {
			if strings.Contains(item.PK+"/"+item.SK, word) || bytes.Contains(item.Body, []byte(word)) {
				found = append(found, fmt.Sprintf("%s holds %q: %s", item.Key, word, item.Body))
			}
		}
	}
	return found
}

func (d *desk) scan() []table.Item {
	d.t.Helper()
	items, err := d.table.Scan(context.Background(), table.Key{}, 100_000)
	if err != nil {
		d.t.Fatal(err)
	}
	return items
}

func (d *desk) nothing(words ...string) {
	d.t.Helper()
	for _, found := range d.holding(words...) {
		d.t.Error(found)
	}
}

func (d *desk) erase(customer string) *store.Erasure {
	d.t.Helper()
	done, err := d.Erase(context.Background(), customer, "admin")
	if err != nil {
		d.t.Fatal(err)
	}
	return done
}

func (d *desk) quarantine(q store.Quarantined, place int) string {
	d.t.Helper()
	id, err := d.Quarantine(context.Background(), q, place)
	if err != nil {
		d.t.Fatal(err)
	}
	return id
}

func emoji(of, phone, emoji string, at msg.Time) msg.Event {
	ev := about(msg.KindReaction, at)
	ev.From.Value = phone
	ev.Reaction = &msg.Reaction{Of: of, Emoji: emoji}
	return ev
}

func TestAnErasureTakesWhatWaitsForAMessageAndLeavesWhatIsOthers(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.record(whatsApp("w1", "358401", "hello", start))[0]
	d.record(emoji("later", "358401", "👍", start), emoji("later", "358777", "🙏", start))
	before := d.recount()["whatsapp/main"]
	d.pass(time.Minute)
	d.erase(store.CustomerOf(first.Entry))
	d.nothing("358401", "👍")
	if got := d.holding("358777"); len(got) != 1 {
		t.Errorf("somebody else's reaction is in %d items", len(got))
	}
	after := d.recount()["whatsapp/main"]
	if sum(after) != sum(before) || after.Pending != 1 {
		t.Errorf("the ledger went from %+v to %+v", before, after)
	}
	if out := d.record(emoji("later", "358401", "👍", start))[0]; out.As != store.Duplicate {
		t.Errorf("what was erased came again as %+v", out)
	}
	d.record(whatsApp("later", "358777", "here it is", d.now()))
	if got := d.recount()["whatsapp/main"]; got.Pending != 0 {
		t.Errorf("ledger: %+v", got)
	}
	d.nothing("358401")
}

func sum(c store.Counts) int64 { return c.Stored + c.Duplicate + c.Quarantined + c.Pending }

func TestAnErasureTakesOrphansAndQuarantinedEvents(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	first := d.record(whatsApp("w1", "358401", "hello", start))[0]
	d.record(emoji("never", "358401", "👍", start))
	d.pass(store.OrphanAfter + time.Minute)
	due, err := d.DueBefore(ctx, d.now(), 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range due {
		if one.Waiting == nil {
			continue
		}
		if n, err := d.Orphans(ctx, *one.Waiting); err != nil || n != 1 {
			t.Fatalf("%d orphans: %v", n, err)
		}
	}
	ev := whatsApp("w2", "358401", "a private matter", d.now())
	for i := range 3 { // a batch for a number that nobody has connected
		q := store.Quarantined{Channel: "whatsapp", Account: "main", Cause: "unknown_account", Envelope: "env-2", ReceivedAt: d.now(), Event: &ev, Scope: "2077"}
		if d.quarantine(q, i) == "" {
			t.Error("it was not kept")
		}
		ev.From.Value, ev.Thread = ev.From.Value+"0", "" // others'
		ev.Message = &msg.Message{Text: "something else"}
	}
	before := sum(d.recount()["whatsapp/main"])
	d.pass(time.Minute)
	d.erase(store.CustomerOf(first.Entry))
	d.nothing(`"358401"`, "👍", "private")
	list, _, err := d.QuarantineList(ctx, store.Page{}, true)
	if err != nil || len(list) != 2 {
		t.Errorf("%d inputs of others are in quarantine, want 2: %v", len(list), err)
	}
	if got := sum(d.recount()["whatsapp/main"]); got != before {
		t.Errorf("the ledger counts %d events, and %d before", got, before)
	}
	// The provider sends the message again, and the number is connected by now.
	again := d.incoming(whatsApp("w2", "358401", "a private matter", d.now()))
	again.Scope = "2077"
	if out := d.one(again); out.As != store.Duplicate {
		t.Errorf("an erased message came back: %+v", out)
	}
}

func TestAnErasureTakesRawInputWhoseSenderIsKnownWithItsBlobs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.one(d.mail("m1", "maija@mail.example", "m1@mail.example"))
	from := []msg.Address{{Kind: "email", Value: "maija@mail.example"}, {Kind: "email.unverified", Value: "maija@mail.example"}}
	id := d.quarantine(store.Quarantined{
		Channel: "email", Account: "main", Cause: "spam", Envelope: "env-2", ReceivedAt: d.now(), From: from,
		Raw: []byte("From: maija@mail.example"), RawBlob: "quarantine/20261122/env-2", Bodies: []string{"raw/20261122/env-2"},
	}, 0)
	torn := d.quarantine(store.Quarantined{Channel: "email", Account: "main", Cause: "malformed", Envelope: "env-3", ReceivedAt: d.now(), Raw: []byte("?")}, 0)
	done := d.erase(store.CustomerOf(first.Entry))
	if got := strings.Join(done.Blobs, " "); got != "raw/20261122/env-2 quarantine/20261122/env-2" {
		t.Errorf("blobs that go: %s", got)
	}
	if _, err := d.Quarantined(t.Context(), id); fault.Of(err) != fault.Missing {
		t.Errorf("the spam is still there: %v", err)
	}
	if _, err := d.Quarantined(t.Context(), torn); err != nil {
		t.Errorf("what is nobody's went too: %v", err)
	}
	d.nothing("maija@mail.example", "bWFpamFA") // raw input is base64 in an item
}

func TestWhatWasReceivedBeforeAnErasureIsNotKeptWhicheverWayItComes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	first := d.record(whatsApp("w1", "358401", "hello", start))[0]
	inQueue := d.incoming(whatsApp("w2", "358401", "in the queue", d.now()))
	waiting := d.incoming(emoji("w9", "358401", "👍", d.now()))
	spam := store.Quarantined{Channel: "whatsapp", Account: "main", Cause: "malformed", Envelope: "env-4", ReceivedAt: d.now(),
		From: []msg.Address{{Kind: "whatsapp.phone", Value: "358401"}}, Raw: []byte("x")}
	d.pass(time.Minute)
	d.erase(store.CustomerOf(first.Entry))
	d.pass(time.Hour)
	for _, in := range []store.Incoming{inQueue, waiting} {
		if out := d.one(in); out.As != store.Stored || out.Entry != "" {
			t.Errorf("an event of %s became %+v", in.ReceivedAt, out)
		}
		if out := d.one(in); out.As != store.Duplicate {
			t.Errorf("the second time it became %+v", out)
		}
	}
	if id := d.quarantine(spam, 0); id != "" {
		t.Errorf("it is in quarantine as %s", id)
	}
	d.nothing("in the queue", "358401", "👍")
	if got := d.recount()["whatsapp/main"]; got != (store.Counts{Stored: 4, Duplicate: 2}) {
		t.Errorf("ledger: %+v", got)
	}
	// What they write from now on is a new customer's.
	next := d.record(whatsApp("w3", "358401", "a new matter", d.now()))[0]
	if next.As != store.Stored || next.Entry == "" || store.CustomerOf(next.Entry) == store.CustomerOf(first.Entry) {
		t.Errorf("a message after the erasure became %+v", next)
	}
	if _, err := d.Erase(ctx, store.CustomerOf(first.Entry), "admin"); fault.Of(err) != fault.Missing {
		t.Errorf("erasing once more: %v", err)
	}
}

func TestAnErasureMeetsEveryAddressOfSomebodyWithMany(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var customer string
	const addresses = 450 // the profile holds 50, a page 200
	for i := range addresses {
		ev := whatsApp(fmt.Sprint("w", i), fmt.Sprintf("35840%04d", i), "hello", d.now())
		ev.From.Also = []msg.Address{{Kind: "whatsapp.user", Value: "FI.1"}}
		customer = store.CustomerOf(d.record(ev)[0].Entry)
	}
	last := msg.Address{Kind: "whatsapp.phone", Value: fmt.Sprintf("35840%04d", addresses-1)}
	if c, err := d.CustomerAt(t.Context(), last); err != nil || c.Customer != customer {
		t.Fatalf("the last address leads to %+v, %v", c, err)
	}
	if more, err := d.FurtherAddresses(t.Context(), customer); err != nil || len(more) != addresses+1-50 {
		t.Errorf("%d addresses stand beside the profile: %v", len(more), err)
	}
	if done := d.erase(customer); len(done.Identities) != addresses+1 {
		t.Errorf("%d addresses were erased, of %d", len(done.Identities), addresses+1)
	}
	if _, err := d.CustomerAt(t.Context(), last); fault.Of(err) != fault.Missing {
		t.Errorf("the last address still leads somewhere: %v", err)
	}
	d.nothing(customer, "35840")
}

func TestWhatIsInQuarantineExpires(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	ev := whatsApp("w1", "358401", "hello", start)
	known := d.quarantine(store.Quarantined{Channel: "whatsapp", Account: "main", Cause: "unknown_account", Envelope: "e1", ReceivedAt: start, Event: &ev}, 0)
	torn := d.quarantine(store.Quarantined{Channel: "whatsapp", Account: "main", Cause: "malformed", Envelope: "e2", ReceivedAt: start, RawBlob: "quarantine/20261122/e2"}, 0)
	batch := d.quarantine(store.Quarantined{Channel: "whatsapp", Account: "main", Cause: "malformed", Envelope: "e3", ReceivedAt: start,
		Bodies: []string{"raw/shared/20261122/e3"}, Expires: start.Add(14 * 24 * time.Hour)}, 0)
	var dropped []string
	drop := func(_ context.Context, keys []string) error { dropped = append(dropped, keys...); return nil }
	for _, c := range []struct {
		days int
		gone string
	}{{13, ""}, {14, batch}, {29, ""}, {30, torn}, {89, ""}, {90, known}} {
		d.pass(start.Add(time.Duration(c.days)*24*time.Hour + time.Minute).Sub(d.now()))
		due, err := d.DueBefore(ctx, d.now(), 10)
		if err != nil {
			t.Fatal(err)
		}
		gone := ""
		for _, one := range due {
			q, err := d.Expire(ctx, one.Quarantined, drop)
			if err != nil || q == nil {
				t.Fatalf("forget %+v: %+v, %v", one, q, err)
			}
			gone += q.ID
		}
		if gone != c.gone {
			t.Errorf("after %d days %q was forgotten, want %q", c.days, gone, c.gone)
		}
	}
	if got := strings.Join(dropped, " "); got != "quarantine/20261122/e2" {
		t.Errorf("blobs that went: %s", got)
	}
	d.nothing("358401", known, torn)
	if got := d.recount()["whatsapp/main"]; got != (store.Counts{}) {
		t.Errorf("ledger: %+v", got)
	}
}

func TestWhatCameTooEarlyToExpireStays(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.quarantine(store.Quarantined{Channel: "whatsapp", Account: "main", Cause: "malformed", Envelope: "e1", ReceivedAt: start, Raw: []byte("x")}, 0)
	if q, err := d.Expire(t.Context(), id, nil); err != nil || q != nil {
		t.Errorf("it was forgotten at once: %+v, %v", q, err)
	}
	q, err := d.Quarantined(t.Context(), id)
	if err != nil || q.Expires != start.Add(store.RawFor) {
		t.Errorf("it expires at %s: %v", q.Expires, err)
	}
}

func TestAReplayedInputKeepsNothingOfItsContent(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ev := whatsApp("w1", "358401", "hello", start)
	id := d.quarantine(store.Quarantined{Channel: "whatsapp", Account: "main", Cause: "unknown_account", Envelope: "e1", ReceivedAt: start, Event: &ev}, 0)
	q, err := d.Quarantined(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Replayed(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	d.nothing("358401", "hello")
	if d.quarantine(*q, 0) != id { // it is still not understood
		t.Error("it has another place")
	}
	if q, err = d.Quarantined(t.Context(), id); err != nil || q.Event == nil || !q.Replayed.IsZero() {
		t.Errorf("it came back as %+v, %v", q, err)
	}
}
