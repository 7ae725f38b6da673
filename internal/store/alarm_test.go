package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

func TestStuckAnswersDoNotKeepASnoozeFromEnding(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const stuck, limit, shards = 60, 3, 4
	d := newDesk(t)
	for i := range stuck { // none of them is ever sent: each stays due, before everything that comes due later
		d.reply(d.record(whatsApp(fmt.Sprintf("w%d", i), fmt.Sprintf("3584%d", i), "hello", d.now()))[0].Case, "answer")
	}
	d.pass(time.Minute)
	c := d.record(whatsApp("w", "358401", "hello", d.now()))[0].Case
	snoozed, until := timeline.CaseSnoozed, d.now().Add(time.Minute)
	d.change(c, store.Patch{State: &snoozed, SnoozeTo: &until})
	d.pass(time.Hour)
	seen, found := map[string]int{}, false
	for range (stuck+limit)/limit + 1 { // all of them may be in one shard
		due, err := d.DueBefore(ctx, d.now(), limit)
		if err != nil || len(due) > limit*shards {
			t.Fatalf("%d are due, %v", len(due), err)
		}
		for _, one := range due {
			seen[one.Entry]++
			found = found || one.Case == c
		}
	}
	if !found {
		t.Error("the end of the snooze was never listed")
	}
	for entry, n := range seen {
		if entry != "" && n < 2 {
			t.Errorf("answer %s is stuck and was looked at %d time", entry, n)
		}
	}
	if delete(seen, ""); len(seen) != stuck {
		t.Errorf("%d of %d stuck answers were looked at", len(seen), stuck)
	}
}

func TestEverythingDueIsListedEachTimeWhenThereIsRoomForIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for i := range 10 {
		d.reply(d.record(whatsApp(fmt.Sprintf("w%d", i), fmt.Sprintf("3584%d", i), "hello", d.now()))[0].Case, "answer")
	}
	d.pass(time.Minute)
	for _, limit := range []int{1, 100, 100, 10, 100} { // also after calls that there was too little room for
		due, err := d.DueBefore(context.Background(), d.now(), limit)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, one := range due {
			seen[one.Entry] = true
		}
		if limit >= 10 && (len(seen) != 10 || len(due) != 10) {
			t.Errorf("with room for %d: %d listed, %d different", limit, len(due), len(seen))
		}
	}
}
