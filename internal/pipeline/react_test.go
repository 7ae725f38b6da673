package pipeline_test

import (
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/table"
)

func TestAChangeThatCannotBeReadIsPassedOverAlone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.send(d.graph.Text(maija, "ennen").ID("w1"))
	damaged := []table.Item{
		{Key: table.Key{PK: "C#" + d.customer(maija).Customer, SK: "E#000000000000000#x"}, Rev: 1, Body: []byte(`{"seen":"no number"}`)},
		{Key: table.Key{PK: "X#damaged", SK: "A"}, Rev: 1, Body: []byte(`{`)},
	}
	must(t, d.graph.MustPost(t.Context(), d.graph.Text(maija, "jälkeen").ID("w2")))
	for _, item := range damaged { // in one batch of the feed with what comes behind them
		must(t, d.table.Write(t.Context(), table.Put(item, table.Any)))
	}
	d.settle()
	told, err := d.Store.Notifications(t.Context(), "support", "", 10)
	if err != nil || len(told) != 2 {
		t.Errorf("%d entries are told of: %v", len(told), err)
	}
	ledger, err := d.Store.Ledger(t.Context())
	if err != nil || len(ledger) != 1 || ledger[0].Stored != 2 {
		t.Errorf("ledger: %+v, %v", ledger, err)
	}
	if n := d.PassedOver(); n != int64(len(damaged)) {
		t.Errorf("%d changes are counted as passed over", n)
	}
	for _, item := range damaged {
		if n := strings.Count(d.log.String(), `"key":"`+item.Key.String()); n != 1 {
			t.Errorf("%s is logged %d times", item.Key, n)
		}
	}
	for _, item := range damaged { // gone again, and the ledger is none the worse
		must(t, d.table.Write(t.Context(), table.Delete(item.Key, table.Any)))
	}
	d.settle()
	d.send(d.graph.Text(maija, "vielä").ID("w3"))
	if ledger, err = d.Store.Ledger(t.Context()); err != nil || ledger[0].Stored != 3 {
		t.Errorf("ledger: %+v, %v", ledger, err)
	}
	if balances, err := d.Reconcile(t.Context()); err != nil || balances[0].Stored != 3 {
		t.Errorf("balance: %+v, %v", balances, err)
	}
}
