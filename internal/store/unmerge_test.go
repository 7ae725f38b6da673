package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// between is a table in which somebody else acts just before an item whose sort key begins with at is read for the first time.
type between struct {
	table.Table
	at  string
	act func()
}

func (b *between) Get(ctx context.Context, k table.Key) (table.Item, error) {
	if act := b.act; act != nil && strings.HasPrefix(k.SK, b.at) {
		b.act = nil
		act()
	}
	return b.Table.Get(ctx, k)
}

// merged is a person of two customers whose phone writes into the case that their mail opened.
func (d *desk) merged() (merge, mailCase, phone string) {
	d.t.Helper()
	m := d.one(d.mail("m1", "maija@x.example", "a@x"))
	w := d.record(whatsApp("w0", "358401", "hello", d.now()))[0]
	solved := timeline.CaseSolved
	d.change(w.Case, store.Patch{State: &solved})
	made, err := d.Merge(context.Background(), store.CustomerOf(m.Entry), store.CustomerOf(w.Entry), "aino")
	if err != nil {
		d.t.Fatal(err)
	}
	d.pass(time.Minute)
	if joined := d.record(whatsApp("w1", "358401", "joins the mail's case", d.now()))[0]; joined.Case != m.Case {
		d.t.Fatalf("the message is in case %s, the person's open one is %s", joined.Case, m.Case)
	}
	return made.Merge, m.Case, store.CustomerOf(w.Entry)
}

// strangers are the entries of a customer that lie in a case of somebody who is another person.
func (d *desk) strangers(customer string) (entries []string) {
	d.t.Helper()
	who, err := d.Customer(context.Background(), customer)
	if err != nil {
		d.t.Fatal(err)
	}
	all, _, err := d.Timeline(context.Background(), customer, store.Page{})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range all {
		if !who.Is(store.CustomerOf(e.Case)) {
			entries = append(entries, e.Message.Text)
		}
	}
	return entries
}

func TestAnAppendThatRacesAnUnmergeIsFiledUnderItsOwnCustomer(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"A", "K#"} { // before the profile is read, and between the profile and the case
		d := newDesk(t)
		merge, _, phone := d.merged()
		d.pass(time.Minute)
		slow := d.over(&between{d.table, at, func() {
			if err := d.Unmerge(context.Background(), merge, "aino"); err != nil {
				t.Error(err)
			}
		}})
		if _, err := slow.Record(context.Background(), []store.Incoming{d.incoming(whatsApp("w2", "358401", "at that very moment", d.now()))}); err != nil {
			t.Fatal(err)
		}
		if left := d.strangers(phone); len(left) > 0 {
			t.Errorf("unmerged before %s was read: %q stay in a stranger's case", at, left)
		}
	}
}

// cutShort is a table that fails for good after a number of writes.
type cutShort struct {
	table.Table
	writes int
}

var errCut = errors.New("the process ended")

func (c *cutShort) Write(ctx context.Context, ops ...table.Op) error {
	if c.writes--; c.writes < 0 {
		return errCut
	}
	return c.Table.Write(ctx, ops...)
}

func TestAnUnmergeThatWasCutShortIsFoundWhenItIsDueAndFinished(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	merge, _, phone := d.merged()
	if err := d.over(&cutShort{d.table, 1}).Unmerge(ctx, merge, "aino"); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if left := d.strangers(phone); len(left) != 1 {
		t.Fatalf("%q is in a stranger's case, so nothing is left to be finished", left)
	}
	d.pass(2 * time.Minute)
	due, err := d.DueBefore(ctx, d.now(), 10)
	if err != nil || len(due) != 1 || due[0].Merge != merge {
		t.Fatalf("due: %+v, %v", due, err)
	}
	if err := d.Refile(ctx, merge); err != nil {
		t.Fatal(err)
	}
	if left := d.strangers(phone); len(left) > 0 {
		t.Errorf("%q stay in a stranger's case", left)
	}
	if due, err := d.DueBefore(ctx, d.now(), 10); err != nil || len(due) != 0 {
		t.Errorf("still due: %+v, %v", due, err)
	}
}
