package store_test

import (
	"context"
	"fmt"
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

func TestTheSameMailRefusedForTwoAccountsIsKeptForBoth(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	for _, account := range []string{"main", "sales", "sales"} {
		q := store.Quarantined{Channel: "email", Account: account, Cause: "malformed", Envelope: "mail-1", ReceivedAt: start}
		if _, err := d.Quarantine(ctx, q, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.recount(); got["email/main"].Quarantined != 1 || got["email/sales"].Quarantined != 1 {
		t.Errorf("ledger: %+v", got)
	}
}

func TestAnInputThatCameBackBeforeItsReplayWasNotedStaysInQuarantine(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	q := store.Quarantined{Channel: "email", Account: "main", Cause: "malformed", Envelope: "mail-1", ReceivedAt: start}
	id, err := d.Quarantine(ctx, q, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, comesBack := range []bool{true, false} {
		read, err := d.Quarantined(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if comesBack {
			if _, err := d.Quarantine(ctx, q, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Replayed(ctx, read); err != nil {
			t.Fatal(err)
		}
		list, _, err := d.QuarantineList(ctx, store.Page{}, false)
		if err != nil || (len(list) == 1) != comesBack {
			t.Errorf("it came back: %v; in quarantine: %+v, %v", comesBack, list, err)
		}
	}
}

func TestAReplayedOrphanWaitsAnew(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	early := receipt("never", msg.Read, start)
	key := func() table.Key {
		t.Helper()
		due, err := d.DueBefore(ctx, d.now().Add(30*24*time.Hour), 10)
		if err != nil || len(due) != 1 || due[0].Waiting == nil {
			t.Fatalf("due: %+v, %v", due, err)
		}
		return *due[0].Waiting
	}
	d.record(early)
	d.pass(store.OrphanAfter)
	k := key()
	again := func() *store.Quarantined {
		t.Helper()
		if n, err := d.Orphans(ctx, k); err != nil || n != 1 {
			t.Fatalf("moved %d, %v", n, err)
		}
		list, _, err := d.QuarantineList(ctx, store.Page{}, false)
		if err != nil || len(list) != 1 {
			t.Fatalf("quarantine: %+v, %v", list, err)
		}
		in := d.incoming(early)
		in.ReceivedAt = start // as a replay has it
		d.one(in)
		if err := d.Replayed(ctx, list[0]); err != nil {
			t.Fatal(err)
		}
		return list[0]
	}
	first := again()
	if n, err := d.Orphans(ctx, k); err != nil || n != 0 {
		t.Errorf("what was replayed did not wait: %d, %v", n, err)
	}
	d.pass(store.OrphanAfter)
	if second := again(); second.ID == first.ID {
		t.Errorf("two days have one item: %s", second.ID)
	}
}

func TestACapCountsWhatIsAskedForAgainOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	for _, one := range []struct {
		what string
		want bool
	}{{"case1", true}, {"case1", true}, {"case2", false}, {"case1", true}} {
		if ok, err := d.TakeOnce(ctx, "acknowledgement", "maija", one.what, 1, int64(time.Hour/time.Millisecond)); err != nil || ok != one.want {
			t.Errorf("%s: %v, %v", one.what, ok, err)
		}
	}
}

func TestAReceiptOfAnAttemptThatWasGivenUpDoesNotTouchTheNewOne(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	e := d.reply(d.record(whatsApp("w1", "358401", "hello", start))[0].Case, "answer")
	attempt := func(id string) {
		t.Helper()
		if a, err := d.Begin(ctx, e.Entry); err != nil || !a.Go {
			t.Fatal(a, err)
		}
		if _, err := d.Accepted(ctx, e.Entry, "1055", msg.Receipt{Of: id, State: msg.Accepted}); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want msg.State) {
		t.Helper()
		if now, err := d.Entry(ctx, e.Entry); err != nil || now.State != want {
			t.Errorf("it is %s, %v; want %s", now.State, err, want)
		}
	}
	attempt("out1")
	failed := receipt("out1", msg.Failed, start)
	d.record(failed)
	is(msg.Failed)
	if _, err := d.Decide(ctx, e.Entry, store.Resend, timeline.Promise{}); err != nil {
		t.Fatal(err)
	}
	tagged := failed
	tagged.Tag = e.Entry
	again := d.record(failed, tagged)
	if again[0].As != store.Duplicate || again[1].As != store.Duplicate {
		t.Errorf("outcomes: %v", again)
	}
	is(msg.Pending)
	attempt("out2")
	d.record(tagged, failed)
	is(msg.Accepted)
	d.record(receipt("out2", msg.Delivered, start)) // untagged: found by its own ID
	is(msg.Delivered)
}

func TestMailsThatInventThreadsDoNotOutgrowCaseAndProfile(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	first := d.one(d.mail("m0", "maija@x.example", "root@x"))
	for i := range 210 {
		in := d.mail(fmt.Sprint("m", i+1), "maija@x.example", fmt.Sprint(i, "@x"), "invented"+fmt.Sprint(i)+"@x", "root@x")
		if out := d.one(in); out.Case != first.Case {
			t.Fatalf("mail %d is in case %s", i, out.Case)
		}
	}
	c, err := d.Case(ctx, first.Case)
	if err != nil || len(c.LastIn) > 50 || len(c.Conversations) > 50 || len(c.References) > 20 {
		t.Errorf("%d times, %d conversations, %d references, %v", len(c.LastIn), len(c.Conversations), len(c.References), err)
	}
	who, err := d.Customer(ctx, store.CustomerOf(first.Case))
	if err != nil || len(who.Open) > 200 {
		t.Errorf("%d open, %v", len(who.Open), err)
	}
}

func TestTwoWhoCountAtOnceStayWithinTheCapWhenAnAnswerIsLost(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	hour := int64(time.Hour / time.Millisecond)
	var first bool
	slow := d.over(&overtaken{d.table, func() {
		var err error
		if first, err = d.Take(ctx, "test", "somebody", 1, hour); err != nil {
			t.Error(err)
		}
	}})
	second, err := slow.Take(ctx, "test", "somebody", 1, hour)
	if err != nil || !first || second {
		t.Errorf("the cap is one; the first was told %v, the second %v, %v", first, second, err)
	}
}

// lostThen is a table that writes, lets somebody else act, and loses the answer; once.
type lostThen struct {
	table.Table
	then func()
}

func (l *lostThen) Write(ctx context.Context, ops ...table.Op) error {
	err := l.Table.Write(ctx, ops...)
	if then := l.then; then != nil && err == nil {
		l.then = nil
		then()
		return table.ErrLost
	}
	return err
}

func TestALostAnswerCountsOneDuplicateAtMostAndStoresOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.record(whatsApp("w0", "358401", "before", start))[0]
	again := whatsApp("w1", "358401", "hello", start)
	for _, one := range []struct {
		meanwhile func()
		want      store.Counts
	}{
		{func() {}, store.Counts{Stored: 2}},
		{func() { // everything that the write touched is another before anybody looks
			d.record(again)
			d.record(whatsApp("w2", "358401", "more", start))
			edit := about(msg.KindEdit, start)
			edit.Edit = &msg.Edit{Of: "w1", Message: msg.Message{Text: "hello, edited"}}
			d.record(edit)
		}, store.Counts{Stored: 4, Duplicate: 3}}, // w1 twice, as sent, and once too often
	} {
		d.pass(time.Minute)
		if _, err := d.over(&lostThen{d.table, one.meanwhile}).Record(context.Background(), []store.Incoming{d.incoming(again)}); err != nil {
			t.Fatal(err)
		}
		if got := d.recount()["whatsapp/main"]; got != one.want {
			t.Errorf("ledger: %+v, want %+v", got, one.want)
		}
	}
	if got := texts(d.timelineOf(first.Entry)); got != "before | hello, edited | more" && got != "before | more | hello, edited" {
		t.Errorf("timeline: %s", got)
	}
	d.sound()
}
