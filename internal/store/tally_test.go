package store_test

import (
	"testing"

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
