//go:build parts

package dynamo_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

func TestWritesThatMayLandApartCostOneUnitEachAndAllLand(t *testing.T) {
	t.Parallel()
	b, meter := setup(t), &dynamo.Meter{}
	one := dynamo.New(b.client, b.name, dynamo.Options{Now: func() msg.Time { return msg.TimeOf(time.Now()) }, Meter: meter})
	var ops []table.Op
	for n := range 40 { // more than one call takes
		ops = append(ops, table.Put(table.Item{Key: table.Key{PK: "N#support", SK: fmt.Sprintf("%03d", n)}, Rev: 1, Body: []byte(`{}`)}, table.Any))
	}
	ctx := table.Apart(t.Context())
	if err := one.Write(ctx, ops...); err != nil {
		t.Fatal(err)
	}
	if sum := meter.Sum(); sum.Writes != 40 {
		t.Errorf("%v units, want one for each of 40", sum.Writes)
	}
	if err := one.Write(ctx, table.Delete(ops[0].Item.Key, table.Any), table.Put(table.Item{Key: table.Key{PK: "N#support", SK: "100"}, Rev: 1}, table.Any)); err != nil {
		t.Fatal(err)
	}
	all, err := one.Query(t.Context(), table.Query{PK: "N#support"})
	if err != nil || len(all) != 40 || all[0].SK != "001" || all[39].SK != "100" {
		t.Errorf("%d items, %v", len(all), err)
	}
}

func TestFault58_BatchThatIsHalfTakenIsBusyAndLandsWholeWhenItIsRepeated(t *testing.T) {
	t.Parallel()
	b, meter := setup(t), &dynamo.Meter{}
	tab := b.table(meter)
	var ops []table.Op
	for n := range 40 { // two calls: the first is half taken, the second never made
		ops = append(ops, put("N#support", fmt.Sprintf("%03d", n), "{}", table.Any))
	}
	ctx := table.Apart(t.Context())
	b.wire.halving.Store(1)
	if err := tab.Write(ctx, ops...); !errors.Is(err, table.ErrBusy) || errors.Is(err, table.ErrLost) {
		t.Fatalf("half taken: %v, want ErrBusy", err)
	}
	there := func() int {
		all, err := tab.Query(t.Context(), table.Query{PK: "N#support"})
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if n, calls := there(), b.wire.writes.Load(); n != 12 || calls != 1 {
		t.Errorf("%d items are there after %d calls, want half of the 25 of the first", n, calls)
	}
	if err := tab.Write(ctx, ops...); err != nil || there() != 40 {
		t.Errorf("repeated: %v, and %d items are there", err, there())
	}

	b.wire.halving.Store(1)
	gone := []table.Op{table.Delete(ops[0].Item.Key, table.Any), table.Delete(ops[1].Item.Key, table.Any), put("N#support", "100", "{}", table.Any)}
	if err := tab.Write(ctx, gone...); !errors.Is(err, table.ErrBusy) || there() != 39 {
		t.Errorf("half of two deletes and a put: %v, and %d items are there, want one delete done", err, there())
	}
	if err := tab.Write(ctx, gone...); err != nil || there() != 39 {
		t.Errorf("repeated: %v, and %d items are there, want 40 less two and one more", err, there())
	}
}

func TestConditionKeepsAWriteTogetherEvenWhereItMayLandApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one := dynamo.New(b.client, b.name, dynamo.Options{Now: func() msg.Time { return msg.TimeOf(time.Now()) }})
	there, other := table.Key{PK: "X#1", SK: "A"}, table.Key{PK: "X#2", SK: "A"}
	if err := one.Write(t.Context(), table.Put(table.Item{Key: there}, table.Absent)); err != nil {
		t.Fatal(err)
	}
	err := one.Write(table.Apart(t.Context()), table.Put(table.Item{Key: other}, table.Any), table.Put(table.Item{Key: there}, table.Absent))
	var conflict *table.Conflict
	if !errors.As(err, &conflict) || !conflict.On(1) {
		t.Fatalf("got %v, want a conflict on the second", err)
	}
	if _, err := one.Get(t.Context(), other); !errors.Is(err, table.ErrNotFound) {
		t.Errorf("the first op landed alone: %v", err)
	}
}
