package store_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

// problems is what an inspection of the whole table finds.
func (d *desk) problems() []string {
	d.t.Helper()
	i := store.NewInspection()
	for _, item := range d.scan() {
		i.Item(&item)
	}
	return i.Problems()
}

// alter changes one item behind the store's back: f gets its body as JSON, and nil deletes it.
func (d *desk) alter(pk, sk string, f func(body map[string]any)) {
	d.t.Helper()
	for _, item := range d.scan() {
		if !strings.HasPrefix(item.PK, pk) || !strings.HasPrefix(item.SK, sk) {
			continue
		}
		op := table.Delete(item.Key, table.Any)
		if f != nil {
			body := map[string]any{}
			err := json.Unmarshal(item.Body, &body)
			f(body)
			changed, marshalErr := json.Marshal(body)
			if err := errors.Join(err, marshalErr); err != nil {
				d.t.Fatal(err)
			}
			item.Body = changed
			op = table.Put(item, table.At(item.Rev))
		}
		if err := d.table.Write(d.t.Context(), op); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	d.t.Fatalf("there is no item %s/%s", pk, sk)
}

// busyDesk holds a bit of everything that an inspection looks at.
func busyDesk(t *testing.T) (d *desk, hers, his store.Outcome) {
	t.Helper()
	d = newDesk(t)
	ctx := t.Context()
	hers = d.record(whatsApp("w1", "358401", "hello", start))[0]
	his = d.one(d.mail("m1", "pekka@mail.example", "m1@mail.example"))
	agent := "aino"
	d.change(hers.Case, store.Patch{Agent: &agent})
	d.record(emoji("later", "358401", "👍", start))
	d.quarantine(store.Quarantined{Channel: "email", Account: "main", Cause: "spam", Envelope: "e", ReceivedAt: start, Raw: []byte("x"),
		From: []msg.Address{{Kind: "email", Value: "pekka@mail.example"}}}, 0)
	if _, err := d.Reply(ctx, store.Answer{Case: his.Case, Agent: agent, Channel: "email", Account: "main", Text: "yes", MessageID: "ours@desk.example",
		To: msg.Address{Kind: "email", Value: "pekka@mail.example"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Merge(ctx, store.CustomerOf(hers.Entry), store.CustomerOf(his.Entry), agent); err != nil {
		t.Fatal(err)
	}
	if found := d.problems(); len(found) > 0 {
		t.Fatalf("a desk in order: %q", found)
	}
	return d, hers, his
}

func TestAnInspectionFindsEachBrokenInvariant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(d *desk, hers, his store.Outcome)
		want string
	}{
		"an entry in a stranger's case": {func(d *desk, hers, his store.Outcome) {
			d.alter("M#", "A", func(b map[string]any) { b["undone"], b["undone_by"] = start.String(), "aino" })
			for _, o := range []store.Outcome{hers, his} {
				d.alter("C#"+store.CustomerOf(o.Entry), "A", func(b map[string]any) { delete(b, "person"); delete(b, "merges") })
			}
			d.alter("C#"+store.CustomerOf(hers.Entry), "E#", func(b map[string]any) { b["case"] = his.Case })
		}, "who is somebody else"},
		"an address that the profile does not know": {func(d *desk, hers, _ store.Outcome) {
			d.alter("C#"+store.CustomerOf(hers.Entry), "A", func(b map[string]any) { delete(b, "identities") })
		}, "whose profile knows 0"},
		"quarantine of a day that is not listed": {func(d *desk, _, _ store.Outcome) { d.alter("Q#days", "2", nil) }, "nobody sees it"},
		"quarantine without its mark":            {func(d *desk, _, _ store.Outcome) { d.alter("I#", "Q#", nil) }, "an erasure would miss it"},
		"something waiting without its mark":     {func(d *desk, _, _ store.Outcome) { d.alter("I#", "X#", nil) }, "stands under nobody's address"},
		"a mark without its input":               {func(d *desk, _, _ store.Outcome) { d.alter("Q#2", "2", nil) }, "and it is not"},
		"a reply address without its case": {func(d *desk, _, _ store.Outcome) {
			d.alter("R#token#", "A", func(b map[string]any) { b["case"] = "gone" })
		}, "leads to case gone"},
		"a Message-ID without its entry": {func(d *desk, _, _ store.Outcome) {
			d.alter("H#", "", func(b map[string]any) { b["entry"] = "gone" })
		}, "leads to entry gone"},
		"a case on the wrong desk": {func(d *desk, hers, _ store.Outcome) {
			d.alter("C#"+store.CustomerOf(hers.Entry), "K#", func(b map[string]any) { b["agent"] = "eero" })
		}, "on the desk of agent aino"},
		"a merge that a profile does not know": {func(d *desk, hers, _ store.Outcome) {
			d.alter("C#"+store.CustomerOf(hers.Entry), "A", func(b map[string]any) { delete(b, "merges") })
		}, "holds it for in force: false"},
		"a merge that is not there": {func(d *desk, _, _ store.Outcome) { d.alter("M#", "A", nil) }, "which is not there"},
		"an answer that nobody will look at": {func(d *desk, _, his store.Outcome) {
			for _, item := range d.scan() {
				if item.PK == "C#"+store.CustomerOf(his.Entry) && len(item.Index) > 0 && strings.HasPrefix(item.SK, "E#") {
					item.Index = nil
					if err := d.table.Write(d.t.Context(), table.Put(item, table.At(item.Rev))); err != nil {
						d.t.Fatal(err)
					}
				}
			}
		}, "in index due"},
		"what is left beside a profile": {func(d *desk, hers, _ store.Outcome) {
			item := table.Item{Key: table.Key{PK: "C#" + strings.Repeat("a", 26), SK: "I#x"}, Body: []byte(`{"kind":"email","value":"x@mail.example"}`)}
			if err := d.table.Write(d.t.Context(), table.Put(item, table.Absent)); err != nil {
				d.t.Fatal(err)
			}
		}, "is left of customer"},
		"more automatic answers than the cap": {func(d *desk, _, his store.Outcome) {
			for range 3 {
				if _, err := d.Reply(d.t.Context(), store.Answer{Case: his.Case, Channel: "email", Account: "main", Text: "We have it.", Automatic: true,
					To: msg.Address{Kind: "email", Value: "pekka@mail.example"}}); err != nil {
					d.t.Fatal(err)
				}
				d.pass(time.Minute)
			}
		}, "I10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, hers, his := busyDesk(t)
			c.do(d, hers, his)
			if found := strings.Join(d.problems(), "\n"); !strings.Contains(found, c.want) {
				t.Errorf("found %q, want %q in it", found, c.want)
			}
		})
	}
}
