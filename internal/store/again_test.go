package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// overtaken is a table whose next write is preceded by somebody else's and whose answer to the refusal is lost.
type overtaken struct {
	table.Table
	first func()
}

func (o *overtaken) Write(ctx context.Context, ops ...table.Op) error {
	if o.first == nil {
		return o.Table.Write(ctx, ops...)
	}
	first := o.first
	o.first = nil
	first()
	if err := o.Table.Write(ctx, ops...); err == nil {
		panic("the second write was not refused")
	}
	return table.ErrLost
}

func (d *desk) change(caseID string, p store.Patch) *timeline.Case {
	d.t.Helper()
	c, err := d.Change(context.Background(), caseID, p)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func TestTwoWhoBeginInTheSameMillisecondDoNotBothSendWhenAnAnswerIsLost(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	e := d.reply(d.record(whatsApp("w1", "358401", "hello", start))[0].Case, "answer")
	var first store.Attempt
	slow := d.over(&overtaken{d.table, func() {
		var err error
		if first, err = d.Begin(ctx, e.Entry); err != nil {
			t.Error(err)
		}
	}})
	second, err := slow.Begin(ctx, e.Entry)
	if err != nil || !first.Go || second.Go {
		t.Errorf("the first may send: %v; the second: %v, %v", first.Go, second.Go, err)
	}
}

func TestAFailedAnswerBringsASolvedCaseBackToItsConversationAndItsAgentsDesk(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	first := d.record(whatsApp("w1", "358401", "hello", start))[0]
	aino, solved := "aino", timeline.CaseSolved
	e := d.reply(first.Case, "answer")
	d.change(first.Case, store.Patch{Agent: &aino})
	d.change(first.Case, store.Patch{State: &solved})
	if _, err := d.Fail(ctx, e.Entry, msg.ReceiptCode{Code: "x"}); err != nil {
		t.Fatal(err)
	}
	if mine, _, err := d.WorkList(ctx, store.WorkQuery{Agent: aino}); err != nil || len(mine) != 1 {
		t.Errorf("on the desk: %v, %v", mine, err)
	}
	c, err := d.Customer(ctx, store.CustomerOf(first.Case))
	if err != nil || c.Newest().Case != first.Case {
		t.Errorf("open: %+v, %v", c, err)
	}
}

func TestAFailedAnswerWakesASnoozedCase(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.record(whatsApp("w1", "358401", "hello", start))[0]
	e := d.reply(first.Case, "answer")
	snoozed, until := timeline.CaseSnoozed, start.Add(72*time.Hour)
	d.change(first.Case, store.Patch{State: &snoozed, SnoozeTo: &until})
	if _, err := d.Fail(context.Background(), e.Entry, msg.ReceiptCode{Code: "x"}); err != nil {
		t.Fatal(err)
	}
	if c, err := d.Case(context.Background(), first.Case); err != nil || c.State != timeline.CaseOpen || !c.SnoozedTo.IsZero() || c.NextDue.IsZero() {
		t.Errorf("case: %+v, %v", c, err)
	}
}

func TestASolvedCaseCannotBeSnoozed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.record(whatsApp("w1", "358401", "hello", start))[0]
	solved, snoozed, until := timeline.CaseSolved, timeline.CaseSnoozed, start.Add(72*time.Hour)
	d.change(first.Case, store.Patch{State: &solved})
	if _, err := d.Change(context.Background(), first.Case, store.Patch{State: &snoozed, SnoozeTo: &until}); err == nil {
		t.Error("a case that leads nowhere was put away")
	}
}

func TestAReceiptThatNamesTheMessageSettlesTheCaseByWhatWaitedForIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.record(whatsApp("w1", "358401", "hello", start))[0]
	e := d.reply(first.Case, "answer")
	if a, err := d.Begin(context.Background(), e.Entry); err != nil || !a.Go {
		t.Fatal(a, err)
	}
	d.record(receipt("out1", msg.Delivered, start)) // untagged, and our own record of the ID is lost
	tagged := receipt("out1", msg.Sent, start)
	tagged.Tag = e.Entry
	d.record(tagged)
	c, err := d.Case(context.Background(), first.Case)
	if err != nil || len(c.Unsettled) != 0 {
		t.Errorf("the case waits for %v, %v", c.Unsettled, err)
	}
}
