package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
)

func TestNotificationsOfOneBatchMoveWithTheirEntries(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	feed, err := d.table.Feed(t.Context(), "react")
	if err != nil {
		t.Fatal(err)
	}
	const people = 150 // more than one transaction takes
	for n := range people {
		d.record(whatsApp(fmt.Sprint("w", n), fmt.Sprint("3584", n), "hello", start))
	}
	for range 3 { // each edit moves the notification of the first entry, all in the same batch of changes
		d.pass(time.Second)
		edit := about(msg.KindEdit, d.now())
		edit.Edit = &msg.Edit{Of: "w0", Message: msg.Message{Text: "hello at " + d.now().String()}}
		d.record(edit)
	}
	changes, err := feed.Next(t.Context(), 10*people)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a batch may come again
		told, err := d.Notify(t.Context(), changes)
		if err != nil || len(told) != len(changes) {
			t.Fatalf("%d places for %d changes: %v", len(told), len(changes), err)
		}
	}
	seen, cursor := map[string]*store.Notification{}, ""
	for {
		page, err := d.Notifications(t.Context(), "support", cursor, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range page {
			if seen[n.Entry] != nil {
				t.Errorf("I5: entry %s has two notifications", n.Entry)
			}
			seen[n.Entry], cursor = n, n.Cursor
		}
		if len(page) < 100 {
			break
		}
	}
	if len(seen) != people {
		t.Errorf("%d entries are told of, want %d", len(seen), people)
	}
	moved := 0
	for _, n := range seen {
		if n.At == d.now() {
			moved++
		}
	}
	if moved != 1 {
		t.Errorf("%d notifications are where the last edit moved them, want 1", moved)
	}
}

func TestChangesWithinOneMillisecondAreToldApartAndAMessageWithItsEditIsNew(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	feed, err := d.table.Feed(t.Context(), "react")
	if err != nil {
		t.Fatal(err)
	}
	edit := about(msg.KindEdit, d.now())
	edit.Edit = &msg.Edit{Of: "w1", Message: msg.Message{Text: "hello again"}}
	d.record(whatsApp("w1", "358401", "hello", start), edit) // they come in one batch: the team is told of a new message
	d.record(reaction(d, "first"))
	d.record(reaction(d, "second")) // the clock stands still between the two

	changes, err := feed.Next(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	told, err := d.Notify(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	var why []string
	last := msg.Time(0)
	for _, n := range told {
		if n == nil || n.Type != "entry" {
			continue
		}
		why = append(why, n.Why)
		if n.At <= last {
			t.Errorf("a later change of the entry is at %s, not after %s", n.At, last)
		}
		last = n.At
	}
	if got := strings.Join(why, " "); got != "new_case changed changed" {
		t.Errorf("told %q", got)
	}
	kept, err := d.Notifications(t.Context(), "support", "", 100)
	if err != nil || len(kept) != 1 || kept[0].At != last {
		t.Errorf("%d notifications are kept, want the last one alone: %v", len(kept), err)
	}
}

// reaction is a reaction to w1, which changes the entry and nothing else.
func reaction(d *desk, emoji string) msg.Event {
	ev := about(msg.KindReaction, d.now())
	ev.From.Value = emoji
	ev.Reaction = &msg.Reaction{Of: "w1", Emoji: emoji}
	return ev
}
