package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

func changed(id, was, now string, also ...msg.Address) msg.Event {
	return msg.Event{
		Channel: "whatsapp", Account: "main", ID: id, EventID: id, Kind: msg.KindIdentity, Time: start, Direction: msg.In,
		Identity: &msg.Identity{
			Was: msg.Address{Kind: "whatsapp.phone", Value: was, Also: also}, Now: msg.Address{Kind: "whatsapp.phone", Value: now, Also: also},
		},
	}
}

func (d *desk) suggested(customer string) (all []string) {
	d.t.Helper()
	c, err := d.Customer(d.t.Context(), customer)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, s := range c.Suggested {
		all = append(all, s.Customer)
	}
	return all
}

func TestANumberThatSomebodyMovesToStaysItsOwnersAndBothAreTold(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mover := store.CustomerOf(d.record(whatsApp("a1", "358401", "mine", start))[0].Entry)
	owner := store.CustomerOf(d.record(whatsApp("b1", "358777", "and mine", start))[0].Entry)
	out := d.record(changed("c1", "358401", "358777"))[0]
	if got := store.CustomerOf(out.Entry); got != mover {
		t.Errorf("the change is filed with %s, want whose number changed", got)
	}
	if got := fmt.Sprint(d.suggested(mover), d.suggested(owner)); got != fmt.Sprintf("[%s] [%s]", owner, mover) {
		t.Errorf("suggestions: %s", got)
	}
	if got := store.CustomerOf(d.record(whatsApp("b2", "358777", "still mine", start))[0].Entry); got != owner {
		t.Errorf("the number went from its owner %s to %s", owner, got)
	}
	if got := store.CustomerOf(d.record(whatsApp("a2", "358401", "somebody new", start))[0].Entry); got == mover || got == owner {
		t.Errorf("who uses the old number next is taken for %s", got)
	}
}

func TestAChangeOfNumberKeepsTheAddressesThatStay(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	user := msg.Address{Kind: "whatsapp.user", Value: "FI.1"}
	first := whatsApp("a1", "358401", "mine", start)
	first.From.Also = []msg.Address{user}
	mover := store.CustomerOf(d.record(first)[0].Entry)
	d.record(whatsApp("b1", "358777", "theirs", start), changed("c1", "358401", "358777", user))
	next := whatsApp("a2", "358777", "from the new number", start)
	next.From.Also = []msg.Address{user}
	if got := store.CustomerOf(d.record(next)[0].Entry); got != mover {
		t.Errorf("the user ID stayed, and the message is filed with %s", got)
	}
}

func TestAnErasureTakesWhatCameFromANumberWhileItWasTheirs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mover := store.CustomerOf(d.record(whatsApp("a1", "358401", "mine", start))[0].Entry)
	hers := d.incoming(whatsApp("a2", "358401", "hers, on its way", d.now()))
	d.record(emoji("x", "358401", "💔", d.now()))
	d.pass(time.Minute)
	d.record(changed("c1", "358401", "358402"))
	d.pass(time.Minute)
	d.record(emoji("y", "358401", "👍", d.now())) // the next one with that number
	stranger := d.record(whatsApp("s1", "358401", "a stranger's", d.now()))[0]
	d.pass(time.Minute)
	d.erase(mover)
	d.nothing("💔", mover)
	if out := d.one(hers); out.Entry != "" {
		t.Errorf("what she wrote before became %+v", out)
	}
	if got := len(d.holding("👍")); got != 1 {
		t.Errorf("the stranger's reaction is in %d items", got)
	}
	if got := texts(d.timelineOf(stranger.Entry)); !strings.Contains(got, "a stranger's") {
		t.Errorf("the stranger's timeline: %s", got)
	}
}

func TestOfTooManyClosedConversationsTheOldestIsForgotten(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	solved := timeline.CaseSolved
	var cases []string
	for i := range 21 { // the newest conversation sorts first
		in := d.mail(fmt.Sprint("m", i), "maija@mail.example", fmt.Sprintf("%c@mail.example", 'z'-i))
		out := d.one(in)
		cases = append(cases, out.Case)
		d.change(out.Case, store.Patch{State: &solved})
		d.pass(time.Minute)
	}
	c, err := d.Customer(t.Context(), store.CustomerOf(cases[0]))
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, id := range c.Closed {
		left[id] = true
	}
	if len(c.ClosedAt) != len(c.Closed) {
		t.Errorf("%d times of %d", len(c.ClosedAt), len(c.Closed))
	}
	for i, id := range cases {
		if left[id] != (i > 0) {
			t.Errorf("case %d is remembered: %v", i, left[id])
		}
	}
}

func TestWhatNamesNothingIsKeptReadableAndApart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	call := whatsApp("", "358401", "", start)
	call.Kind, call.Message, call.Call = msg.KindCall, nil, &msg.Call{State: "missed"}
	events := []msg.Event{
		emoji("", "358401", "👍", start), emoji("", "358402", "👎", start), receipt("", msg.Read, start),
		whatsApp("", "358401", "one", start), whatsApp("", "358402", "two", start), call,
	}
	for range 2 { // the second time from the queue again
		for i, out := range d.record(events...) {
			if out.As != store.Shelved {
				t.Errorf("event %d became %+v", i, out)
			}
		}
	}
	list, _, err := d.QuarantineList(t.Context(), store.Page{}, false)
	if err != nil || len(list) != len(events) {
		t.Errorf("%d of %d are in quarantine: %v", len(list), len(events), err)
	}
	if got := d.recount()["whatsapp/main"]; got != (store.Counts{Quarantined: int64(len(events))}) {
		t.Errorf("ledger: %+v", got)
	}
}
