package store_test

import (
	"context"
	"sync"
	"testing"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

func TestWhatANoteCountsTakesNoTally(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	record := func(by string) store.Outcome {
		in := d.incoming(whatsApp("w1", "358401", "hello", start))
		in.By = by
		out, err := d.Record(t.Context(), []store.Incoming{in})
		if err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	if out := record("webhook-1-0"); out.As != store.Stored || !out.First {
		t.Errorf("the first envelope: %+v", out)
	}
	if out := record("webhook-1-0"); out.As != store.Duplicate || !out.First {
		t.Errorf("the same envelope, come again: %+v", out)
	}
	if out := record("webhook-2-0"); out.As != store.Duplicate || out.First {
		t.Errorf("another envelope: %+v", out)
	}
	first := table.Change{Key: table.Key{PK: "X#1", SK: "A"}, New: &table.Item{
		Key: table.Key{PK: "X#1", SK: "A"}, Rev: 1, Body: []byte(`{"channel":"whatsapp","account":"main","entry":"e","by":"webhook-1-0"}`),
	}, Seq: "1", Shard: "one"}
	if err := d.Tally(t.Context(), []table.Change{first}); err != nil {
		t.Fatal(err)
	}
	shards, err := d.table.Query(t.Context(), table.Query{PK: "T#whatsapp#main", From: "one", To: "onf"})
	if err != nil || len(shards) != 0 {
		t.Errorf("a tally that counts nothing was written: %v, %v", shards, err)
	}
}

// listening remembers which items were written quietly, and refuses one from which something follows.
type listening struct {
	table.Table
	t *testing.T

	mu    sync.Mutex
	quiet int
}

func (l *listening) Write(ctx context.Context, ops ...table.Op) error {
	err := l.Table.Write(ctx, ops...)
	for _, op := range ops {
		if err != nil || !op.Item.Quiet {
			continue
		}
		l.mu.Lock()
		l.quiet++
		l.mu.Unlock()
		if _, counts, err := store.Contribution(&op.Item); err != nil || counts != (store.Counts{}) || !op.If.IsAbsent() {
			l.t.Errorf("%s was written quietly and counts %+v, %v: %s", op.Item.Key, counts, err, op.Item.Body)
		}
	}
	return err
}

func TestOnlyWhatNothingFollowsFromIsWrittenQuietly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	heard := &listening{Table: d.table, t: t}
	s := d.over(heard)
	record := func(want int, why string, all ...store.Incoming) {
		t.Helper()
		before := heard.quiet
		if _, err := s.Record(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if got := heard.quiet - before; got != want {
			t.Errorf("%s: %d items were written quietly, want %d", why, got, want)
		}
	}
	message := func(id, by string) store.Incoming {
		in := d.incoming(whatsApp(id, "358401", "hello "+id, start))
		in.By = by
		return in
	}
	reaction := func(of string) store.Incoming {
		return d.incoming(msg.Event{
			Channel: "whatsapp", Account: "main", Kind: msg.KindReaction, Time: start, From: msg.Address{Kind: "whatsapp.phone", Value: "358401"},
			Thread: "358401", EventID: "r-" + of, Reaction: &msg.Reaction{Of: of, Emoji: "👍"},
		})
	}
	record(1, "a message whose envelope is numbered", message("w1", "webhook-1-0"))
	record(0, "the same again, which counts a duplicate", message("w1", "webhook-2-0"))
	record(0, "one that comes twice in a batch", message("w2", "webhook-3-0"), message("w2", "webhook-4-0"))
	record(0, "a message whose envelope has no number", message("w3", ""))
	record(0, "a reaction that waits for its message", reaction("w4"))
	record(0, "the message, which ends the waiting", message("w4", "webhook-5-0"))
	if got := d.recount()["whatsapp/main"]; got.Duplicate != 2 || got.Pending != 0 {
		t.Errorf("the ledger is %+v", got)
	}
}
