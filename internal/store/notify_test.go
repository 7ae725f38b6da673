package store_test

import (
	"fmt"
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
