package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
	"github.com/aikajana/aikajana/internal/timeline"
)

// desk is a store over a real embedded table in memory, with a clock that the test moves.
type desk struct {
	*store.Store
	t     *testing.T
	table *pebble.Table
	mu    sync.Mutex
	clock msg.Time
	ids   int
}

var start = msg.TimeOf(time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC))

func newDesk(t *testing.T) *desk {
	t.Helper()
	db, err := engine.Open("store", engine.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &desk{t: t, clock: start}
	if d.table, err = pebble.New(db, d.now); err != nil {
		t.Fatal(err)
	}
	d.Store = d.over(d.table)
	return d
}

// over is a second store on the same data, over a table that may misbehave.
func (d *desk) over(tab table.Table) *store.Store {
	d.t.Helper()
	s, err := store.New(store.Options{Table: tab, Key: []byte(strings.Repeat("k", 32)), Now: d.now, NewID: d.newID})
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *desk) now() msg.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clock
}

func (d *desk) newID() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids++
	return fmt.Sprintf("id%024d", d.ids)
}

func (d *desk) pass(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock = d.clock.Add(by)
}

// whatsApp is a message as the adapter would give it.
func whatsApp(id, phone, text string, at msg.Time) msg.Event {
	return msg.Event{
		Channel: "whatsapp", Account: "main", ID: id, Kind: msg.KindMessage, Time: at, Direction: msg.In, Thread: phone,
		From: msg.Address{Kind: "whatsapp.phone", Value: phone, Name: "Maija"}, Message: &msg.Message{Text: text},
	}
}

func about(kind msg.Kind, at msg.Time) msg.Event {
	return msg.Event{Channel: "whatsapp", Account: "main", Kind: kind, Time: at, Direction: msg.In, From: msg.Address{Kind: "whatsapp.phone", Value: "358401"}}
}

func receipt(of string, state msg.State, at msg.Time) msg.Event {
	ev := about(msg.KindReceipt, at)
	ev.Receipt = &msg.Receipt{Of: of, State: state}
	return ev
}

func (d *desk) incoming(ev msg.Event) store.Incoming {
	return store.Incoming{Event: ev, Scope: "1055", ReceivedAt: d.now(), Envelope: "env-" + ev.ID, Rules: store.Rules{
		ChatLike: true, Identities: []string{"whatsapp.user", "whatsapp.phone"}, Team: "support", Promise: timeline.Promise{FirstAnswer: time.Hour},
	}}
}

func (d *desk) record(events ...msg.Event) []store.Outcome {
	d.t.Helper()
	in := make([]store.Incoming, len(events))
	for i := range events {
		in[i] = d.incoming(events[i])
	}
	out, err := d.Record(context.Background(), in)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *desk) mail(id, from, messageID string, references ...string) store.Incoming {
	kind := "email"
	if strings.HasPrefix(from, "!") {
		kind, from = "email.unverified", from[1:]
	}
	ev := msg.Event{
		Channel: "email", Account: "main", ID: id, Kind: msg.KindMessage, Time: d.now(), Direction: msg.In,
		From: msg.Address{Kind: kind, Value: from}, Message: &msg.Message{Subject: "Help", Text: "It broke.", MessageID: messageID, References: references},
	}
	if len(references) > 0 {
		ev.Message.InReplyTo = references[len(references)-1]
	}
	return store.Incoming{Event: ev, Scope: "help@desk.example", ReceivedAt: d.now(), Envelope: "env-" + id, Rules: store.Rules{
		References: true, Asserted: true, Identities: []string{"email", "email.unverified"}, Team: "support", Promise: timeline.Promise{FirstAnswer: 24 * time.Hour},
	}}
}

func (d *desk) one(in store.Incoming) store.Outcome {
	d.t.Helper()
	out, err := d.Record(context.Background(), []store.Incoming{in})
	if err != nil {
		d.t.Fatal(err)
	}
	return out[0]
}

func (d *desk) timelineOf(entry string) []*timeline.Entry {
	d.t.Helper()
	entries, _, err := d.Timeline(context.Background(), store.CustomerOf(entry), store.Page{})
	if err != nil {
		d.t.Fatal(err)
	}
	return entries
}

func texts(entries []*timeline.Entry) string {
	var all []string
	for _, e := range entries {
		if e.Message != nil {
			all = append(all, e.Message.Text)
		}
	}
	return strings.Join(all, " | ")
}

func TestMessagesOfOneCustomerBecomeOneCaseInOrderOfTheirTime(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	out := d.record(whatsApp("w1", "358401", "first", start), whatsApp("w2", "358401", "second", start.Add(time.Second)))
	d.pass(time.Minute)
	late := d.record(whatsApp("w0", "358401", "earlier", start.Add(-10*time.Second)))
	if got := texts(d.timelineOf(out[0].Entry)); got != "earlier | first | second" {
		t.Errorf("timeline: %s", got)
	}
	if out[0].Case != out[1].Case || late[0].Case != out[0].Case {
		t.Errorf("cases: %v %v", out, late)
	}
	e, err := d.Entry(context.Background(), late[0].Entry)
	if err != nil || !e.Late {
		t.Errorf("late entry: %+v, %v", e, err)
	}
	c, err := d.Case(context.Background(), out[0].Case)
	if err != nil || c.NextDue != start.Add(time.Hour) || c.State != timeline.CaseOpen || c.In != 3 || c.CustomerName != "Maija" {
		t.Errorf("case: %+v, %v", c, err)
	}
}

func TestTheSameMessageTwiceIsOneEntryAndOneDuplicate(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.record(whatsApp("w1", "358401", "hello", start))
	again := d.record(whatsApp("w1", "358401", "hello", start), whatsApp("w1", "358401", "hello", start))
	if first[0].As != store.Stored || again[0].As != store.Duplicate || again[1].As != store.Duplicate {
		t.Errorf("outcomes: %v then %v", first, again)
	}
	if n := len(d.timelineOf(first[0].Entry)); n != 1 {
		t.Errorf("%d entries", n)
	}
	if got := d.recount()["whatsapp/main"]; got != (store.Counts{Stored: 1, Duplicate: 2}) {
		t.Errorf("ledger: %+v", got)
	}
}

// recount sums the ledger over all items, as check does.
func (d *desk) recount() map[store.AccountKey]store.Counts {
	d.t.Helper()
	sums := map[store.AccountKey]store.Counts{}
	from := table.Key{}
	for {
		items, err := d.table.Scan(context.Background(), from, 100)
		if err != nil {
			d.t.Fatal(err)
		}
		for i := range items {
			account, c, err := store.Contribution(&items[i])
			if err != nil {
				d.t.Fatal(err)
			}
			s := sums[account]
			s.Stored += c.Stored
			s.Duplicate += c.Duplicate
			s.Pending += c.Pending
			s.Quarantined += c.Quarantined
			sums[account] = s
			from = items[i].Key
		}
		if len(items) < 100 {
			return sums
		}
	}
}

func TestFault25_SameMessageOnManyWorkersBecomesOneEntry(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	in := d.incoming(whatsApp("w1", "358401", "hello", start))
	stored := parallel(t, 16, func(int) (store.Outcome, error) {
		out, err := d.Record(context.Background(), []store.Incoming{in})
		if err != nil {
			return store.Outcome{}, err
		}
		return out[0], nil
	})
	n := 0
	for _, out := range stored {
		if out.As == store.Stored {
			n++
		}
	}
	if n != 1 || len(d.timelineOf(stored[0].Entry)) != 1 {
		t.Errorf("%d workers stored it", n)
	}
}

func parallel[T any](t *testing.T, n int, f func(int) (T, error)) []T {
	t.Helper()
	all := make([]T, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			v, err := f(i)
			if err != nil {
				t.Error(err)
			}
			all[i] = v
		})
	}
	wait.Wait()
	return all
}

func TestFault26_TenMessagesOfANewContactAtOnceAreOneCaseAndOneCustomer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	out := parallel(t, 10, func(i int) (store.Outcome, error) {
		in := d.incoming(whatsApp(fmt.Sprintf("w%d", i), "358401", fmt.Sprint(i), start.Add(time.Duration(i)*time.Millisecond)))
		out, err := d.Record(context.Background(), []store.Incoming{in})
		if err != nil {
			return store.Outcome{}, err
		}
		return out[0], nil
	})
	for _, o := range out {
		if o.Case != out[0].Case || store.CustomerOf(o.Entry) != store.CustomerOf(out[0].Entry) {
			t.Errorf("another case or customer: %+v", o)
		}
	}
	if got := texts(d.timelineOf(out[0].Entry)); got != "0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9" {
		t.Errorf("timeline: %s", got)
	}
}

func TestFault28_AnAlbumOfTenPicturesIsTenEntriesOfOneCaseInOrder(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var events []msg.Event
	for i := range 10 {
		ev := whatsApp(fmt.Sprintf("p%d", i), "358401", "", start.Add(time.Duration(i)*time.Millisecond))
		ev.Message.Parts = []msg.Part{{Kind: msg.PartImage, Text: fmt.Sprint(i), Media: &msg.Media{ID: fmt.Sprint(i)}}}
		events = append(events, ev)
	}
	out := d.record(events...)
	entries := d.timelineOf(out[0].Entry)
	for i, e := range entries {
		if e.Message.Parts[0].Text != fmt.Sprint(i) || e.Case != out[0].Case {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
	if len(entries) != 10 {
		t.Errorf("%d entries", len(entries))
	}
}

func TestReceiptBeforeItsMessageWaitsAndIsApplied(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	reaction := about(msg.KindReaction, start)
	reaction.Reaction = &msg.Reaction{Of: "w1", Emoji: "👍"}
	edit := about(msg.KindEdit, start.Add(time.Second))
	edit.Edit = &msg.Edit{Of: "w1", Message: msg.Message{Text: "hello again"}}
	waiting := d.record(reaction, edit, reaction)
	if waiting[0].As != store.Waits || waiting[1].As != store.Waits || waiting[2].As != store.Duplicate {
		t.Fatalf("outcomes: %v", waiting)
	}
	if got := d.recount()["whatsapp/main"]; got != (store.Counts{Pending: 2, Duplicate: 1}) {
		t.Errorf("ledger while waiting: %+v", got)
	}
	out := d.record(whatsApp("w1", "358401", "hello", start))
	e := d.timelineOf(out[0].Entry)[0]
	if e.Message.Text != "hello again" || len(e.Edits) != 1 || len(e.Reactions) != 1 || e.Reactions[0].Emoji != "👍" {
		t.Errorf("entry: %+v", e)
	}
	if got := d.recount()["whatsapp/main"]; got != (store.Counts{Stored: 3, Duplicate: 1}) {
		t.Errorf("ledger: %+v", got)
	}
}

func TestOrphansGoToQuarantineAfterSevenDays(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.record(receipt("never", msg.Read, start))
	d.pass(store.OrphanAfter + time.Minute)
	due, err := d.DueBefore(context.Background(), d.now(), 10)
	if err != nil || len(due) != 1 || due[0].Waiting == nil {
		t.Fatalf("due: %+v, %v", due, err)
	}
	if n, err := d.Orphans(context.Background(), *due[0].Waiting); err != nil || n != 1 {
		t.Fatalf("moved %d: %v", n, err)
	}
	list, _, err := d.QuarantineList(context.Background(), store.Page{}, false)
	if err != nil || len(list) != 1 || list[0].Cause != "orphan" || list[0].Event == nil {
		t.Errorf("quarantine: %+v, %v", list, err)
	}
	if got := d.recount()["whatsapp/main"]; got != (store.Counts{Quarantined: 1}) {
		t.Errorf("ledger: %+v", got)
	}
}

func (d *desk) reply(caseID, key string) *timeline.Entry {
	d.t.Helper()
	e, err := d.Reply(context.Background(), store.Answer{
		Case: caseID, Agent: "aino", Channel: "whatsapp", Account: "main", To: msg.Address{Kind: "whatsapp.phone", Value: "358401"}, Text: "Katson heti.", Key: key,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return e
}

func TestAnAnswerIsSentOnceAndItsReceiptsMoveItForward(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	out := d.record(whatsApp("w1", "358401", "hello", start))
	d.pass(time.Minute)
	e := d.reply(out[0].Case, "k1")
	if again := d.reply(out[0].Case, "k1"); again.Entry != e.Entry {
		t.Errorf("the same key made another answer: %s", again.Entry)
	}
	c, _ := d.Case(ctx, out[0].Case)
	if c.State != timeline.CaseWaiting || !c.NextDue.IsZero() || c.Out != 1 || len(c.Unsettled) != 1 {
		t.Errorf("case after the answer: %+v", c)
	}
	first, err := d.Begin(ctx, e.Entry)
	if err != nil || !first.Go {
		t.Fatalf("begin: %+v, %v", first, err)
	}
	second, err := d.Begin(ctx, e.Entry)
	if err != nil || second.Go || second.Again == 0 {
		t.Errorf("a second worker may send too: %+v, %v", second, err)
	}
	d.record(receipt("wamid.out", msg.Delivered, d.now())) // overtakes the provider's own answer
	if _, err := d.Accepted(ctx, e.Entry, "1055", msg.Receipt{Of: "wamid.out", State: msg.Accepted}); err != nil {
		t.Fatal(err)
	}
	got, _ := d.Entry(ctx, e.Entry)
	if got.State != msg.Delivered {
		t.Errorf("state %s", got.State)
	}
	if c, _ = d.Case(ctx, out[0].Case); len(c.Unsettled) != 0 {
		t.Errorf("still unsettled: %v", c.Unsettled)
	}
}

func TestFault24_DeliveredAfterReadChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	out := d.record(whatsApp("w1", "358401", "hello", start))
	e := d.reply(out[0].Case, "k1")
	if _, err := d.Begin(ctx, e.Entry); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Accepted(ctx, e.Entry, "1055", msg.Receipt{Of: "o1", State: msg.Accepted}); err != nil {
		t.Fatal(err)
	}
	d.record(receipt("o1", msg.Read, d.now()), receipt("o1", msg.Delivered, d.now()), receipt("o1", msg.Failed, d.now()))
	if got, _ := d.Entry(ctx, e.Entry); got.State != msg.Read {
		t.Errorf("state %s", got.State)
	}
}

func TestFault62_AnAttemptWhoseEndNobodySawIsUncertainAndNeverSentAgain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	out := d.record(whatsApp("w1", "358401", "hello", start))
	e := d.reply(out[0].Case, "k1")
	if a, err := d.Begin(ctx, e.Entry); err != nil || !a.Go {
		t.Fatalf("begin: %+v, %v", a, err)
	}
	d.pass(timeline.SendingTimeout + time.Second)
	if a, err := d.Begin(ctx, e.Entry); err != nil || a.Go {
		t.Fatalf("sent blindly: %+v, %v", a, err)
	}
	got, _ := d.Entry(ctx, e.Entry)
	c, _ := d.Case(ctx, out[0].Case)
	if got.State != msg.Uncertain || c.State != timeline.CaseOpen {
		t.Errorf("entry %s, case %s", got.State, c.State)
	}
	tagged := receipt("wamid.found", msg.Sent, d.now())
	tagged.Tag = e.Entry
	d.record(tagged)
	if c, _ = d.Case(ctx, out[0].Case); c.State != timeline.CaseWaiting || !c.NextDue.IsZero() {
		t.Errorf("the answer arrived and the case is still %s, due %s", c.State, c.NextDue)
	}
	d.record(receipt("wamid.found", msg.Read, d.now()))
	if got, _ = d.Entry(ctx, e.Entry); got.State != msg.Read {
		t.Errorf("after the tagged receipt: %s", got.State)
	}
}

func TestFault01_ASubjectOrAForeignReferenceNeverJoinsACase(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.one(d.mail("m1", "maija@x.example", "a@x"))
	reply := d.one(d.mail("m2", "maija@x.example", "b@x", "a@x"))
	stranger := d.one(d.mail("m3", "eve@y.example", "c@y", "a@x"))
	if reply.Case != first.Case {
		t.Error("the customer's own reply opened a case of its own")
	}
	if stranger.Case == first.Case {
		t.Fatal("a stranger joined by citing a Message-ID")
	}
	c, err := d.Case(context.Background(), stranger.Case)
	if err != nil || len(c.Linked) != 1 || c.Linked[0] != (timeline.Link{Case: first.Case, Why: "cited"}) {
		t.Errorf("the cited case is not suggested: %+v, %v", c, err)
	}
	if e, _ := d.Entry(context.Background(), stranger.Entry); !e.Unverified {
		t.Error("the stranger's mail is not shown as unverified")
	}
}

func TestFault05_AValidTokenFromANewSenderIsTheSendersOwn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.one(d.mail("m1", "maija@x.example", "a@x"))
	if _, err := d.Reply(context.Background(), store.Answer{
		Case: first.Case, Agent: "aino", Channel: "email", Account: "main", To: msg.Address{Kind: "email", Value: "maija@x.example"}, Text: "Hei", MessageID: "r@desk", Key: "k",
	}); err != nil {
		t.Fatal(err)
	}
	token := d.ReplyToken("email", first.Case)
	forwarded := d.mail("m2", "colleague@x.example", "z@x")
	forwarded.Event.Message.ReplyToken = token
	out := d.one(forwarded)
	if out.Case == first.Case || store.CustomerOf(out.Entry) == store.CustomerOf(first.Entry) {
		t.Error("the token made somebody else the customer")
	}
	own := d.mail("m3", "maija@x.example", "y@x")
	own.Event.Message.ReplyToken = token
	if out := d.one(own); out.Case != first.Case {
		t.Error("the customer's own answer to the reply address opened a new case")
	}
}

func TestFault07_AnUnknownReplyTokenIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.one(d.mail("m1", "maija@x.example", "a@x"))
	forged := d.mail("m2", "maija@x.example", "b@x")
	forged.Event.Message.ReplyToken = strings.Repeat("a", 26)
	if out := d.one(forged); out.Case == first.Case {
		t.Error("a token that nobody made joined a case")
	}
}

func TestAReopenedCaseIsBackOnItsAgentsDesk(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	first := d.one(d.mail("m1", "maija@x.example", "a@x"))
	solved, aino := timeline.CaseSolved, "aino"
	if _, err := d.Change(ctx, first.Case, store.Patch{Agent: &aino}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Change(ctx, first.Case, store.Patch{State: &solved}); err != nil {
		t.Fatal(err)
	}
	if mine, _, err := d.WorkList(ctx, store.WorkQuery{Agent: aino}); err != nil || len(mine) != 0 {
		t.Errorf("a solved case is on the desk: %v, %v", mine, err)
	}
	d.one(d.mail("m2", "maija@x.example", "b@x", "a@x"))
	if mine, _, err := d.WorkList(ctx, store.WorkQuery{Agent: aino}); err != nil || len(mine) != 1 {
		t.Errorf("the reopened case is not on the desk: %v, %v", mine, err)
	}
}

func TestAnAnswerReopensWithinSevenDaysAndLaterOpensALinkedCase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	first := d.one(d.mail("m1", "maija@x.example", "a@x"))
	solved := timeline.CaseSolved
	if _, err := d.Change(ctx, first.Case, store.Patch{State: &solved}); err != nil {
		t.Fatal(err)
	}
	d.pass(6 * 24 * time.Hour)
	if out := d.one(d.mail("m2", "maija@x.example", "b@x", "a@x")); out.Case != first.Case {
		t.Error("not reopened within seven days")
	}
	if c, _ := d.Case(ctx, first.Case); c.State != timeline.CaseOpen {
		t.Errorf("state %s", c.State)
	}
	if _, err := d.Change(ctx, first.Case, store.Patch{State: &solved}); err != nil {
		t.Fatal(err)
	}
	d.pass(8 * 24 * time.Hour)
	later := d.one(d.mail("m3", "maija@x.example", "c@x", "b@x"))
	c, err := d.Case(ctx, later.Case)
	if err != nil || later.Case == first.Case || len(c.Linked) != 1 || c.Linked[0].Why != "follow_up" {
		t.Errorf("case %+v, %v", c, err)
	}
}

func TestMergeShowsOneTimelineAndUnmergeLosesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	w := d.record(whatsApp("w1", "358401", "from the phone", start))[0]
	d.pass(time.Minute)
	m := d.one(d.mail("m1", "maija@x.example", "a@x"))
	a, b := store.CustomerOf(w.Entry), store.CustomerOf(m.Entry)
	merge, err := d.Merge(ctx, a, b, "aino")
	if err != nil {
		t.Fatal(err)
	}
	d.pass(time.Minute)
	joined := d.record(whatsApp("w2", "358401", "and again", d.now()))[0]
	for _, id := range []string{a, b} {
		entries, _, err := d.Timeline(ctx, id, store.Page{})
		if err != nil || texts(entries) != "from the phone | It broke. | and again" {
			t.Errorf("merged timeline: %s, %v", texts(entries), err)
		}
	}
	if joined.Case != w.Case {
		t.Errorf("the phone's conversation left its case")
	}
	if err := d.Unmerge(ctx, merge.Merge, "aino"); err != nil {
		t.Fatal(err)
	}
	if err := d.Unmerge(ctx, merge.Merge, "aino"); err != nil {
		t.Errorf("taking it back again: %v", err)
	}
	if got := texts(d.timelineOf(w.Entry)); got != "from the phone | and again" {
		t.Errorf("first timeline after undoing: %s", got)
	}
	if got := texts(d.timelineOf(m.Entry)); got != "It broke." {
		t.Errorf("second timeline after undoing: %s", got)
	}
}

func TestUnmergeGivesEntriesInAStrangersCaseACaseOfTheirOwn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	m := d.one(d.mail("m1", "maija@x.example", "a@x"))
	w0 := d.record(whatsApp("w0", "358401", "old", start))[0]
	solved := timeline.CaseSolved
	if _, err := d.Change(ctx, w0.Case, store.Patch{State: &solved}); err != nil {
		t.Fatal(err)
	}
	merge, err := d.Merge(ctx, store.CustomerOf(m.Entry), store.CustomerOf(w0.Entry), "aino")
	if err != nil {
		t.Fatal(err)
	}
	d.pass(time.Minute)
	w := d.record(whatsApp("w1", "358401", "joins the mail's case", d.now()))[0]
	if w.Case != m.Case {
		t.Fatalf("the message did not join the person's open case: %s, %s", w.Case, m.Case)
	}
	if err := d.Unmerge(ctx, merge.Merge, "aino"); err != nil {
		t.Fatal(err)
	}
	e, err := d.Entry(ctx, w.Entry)
	if err != nil || store.CustomerOf(e.Case) != store.CustomerOf(w.Entry) {
		t.Fatalf("the entry is still in a stranger's case: %+v, %v", e, err)
	}
	c, err := d.Case(ctx, e.Case)
	if err != nil || c.State != timeline.CaseOpen {
		t.Errorf("case of its own: %+v, %v", c, err)
	}
	d.pass(time.Minute)
	if next := d.record(whatsApp("w2", "358401", "goes on", d.now()))[0]; next.Case != e.Case {
		t.Errorf("the conversation does not go on in the new case")
	}
}

func TestWorkListOrdersByWhoMustBeServedNextAndPagesWithoutGaps(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	var want []string
	for i := range 25 {
		want = append(want, d.record(whatsApp(fmt.Sprintf("w%d", i), fmt.Sprintf("3584%d", i), "hi", d.now()))[0].Case)
		d.pass(time.Second)
	}
	var got []string
	after := ""
	for {
		cases, next, err := d.WorkList(ctx, store.WorkQuery{Teams: []string{"support"}, Page: store.Page{Limit: 7, After: after}})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			got = append(got, c.Case)
		}
		if after = next; next == "" {
			break
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %d cases in another order", len(got))
	}
	aino, solved := "aino", timeline.CaseSolved
	if _, err := d.Change(ctx, want[3], store.Patch{Agent: &aino}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Change(ctx, want[0], store.Patch{State: &solved}); err != nil {
		t.Fatal(err)
	}
	mine, _, err := d.WorkList(ctx, store.WorkQuery{Agent: "aino"})
	if err != nil || len(mine) != 1 || mine[0].Case != want[3] {
		t.Errorf("own cases: %v, %v", mine, err)
	}
	all, _, err := d.WorkList(ctx, store.WorkQuery{Teams: []string{"support"}})
	if err != nil || len(all) != 24 || all[0].Case != want[1] {
		t.Errorf("%d cases left, %v", len(all), err)
	}
}

func TestTimelinePagesNeverSkipOrRepeatWhateverIsInserted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	var customer string
	for i := range 30 {
		customer = store.CustomerOf(d.record(whatsApp(fmt.Sprintf("w%d", i), "358401", fmt.Sprint(i), start.Add(time.Duration(i)*time.Second)))[0].Entry)
	}
	seen := map[string]int{}
	before, page := "", 0
	for {
		entries, next, err := d.Timeline(ctx, customer, store.Page{Limit: 7, Before: before})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			seen[e.ID]++
		}
		d.record(whatsApp(fmt.Sprintf("new%d", page), "358401", "new", start.Add(time.Duration(31+page)*time.Second)))
		if page, before = page+1, next; next == "" {
			break
		}
	}
	for i := range 30 {
		if n := seen[fmt.Sprintf("w%d", i)]; n != 1 {
			t.Errorf("w%d was seen %d times", i, n)
		}
	}
}

func TestErasedStaysErasedThroughRedelivery(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t)
	first := d.record(whatsApp("w1", "358401", "secret", start))[0]
	d.record(receipt("w9", msg.Read, start))
	customer := store.CustomerOf(first.Entry)
	before := d.recount()["whatsapp/main"]
	if _, err := d.Erase(ctx, customer, "admin"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Customer(ctx, customer); fault.Of(err) != fault.Missing {
		t.Errorf("the profile is still there: %v", err)
	}
	erased := store.Counts{Stored: before.Stored + before.Pending} // what waited is forgotten, and was received all the same
	if got := d.recount()["whatsapp/main"]; got != erased {
		t.Errorf("erasing changed the ledger from %+v to %+v", before, got)
	}
	if out := d.record(whatsApp("w1", "358401", "secret", start))[0]; out.As != store.Duplicate {
		t.Errorf("a redelivery brought it back: %+v", out)
	}
	next := d.record(whatsApp("w2", "358401", "new", d.now()))[0]
	if store.CustomerOf(next.Entry) == customer {
		t.Error("the next message belongs to the erased customer")
	}
	items, err := d.table.Scan(ctx, table.Key{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		if strings.Contains(string(item.Body), "secret") {
			t.Errorf("%s still holds the text", item.Key)
		}
	}
}

// flaky loses the answers of writes that landed, and says that the table is busy.
type flaky struct {
	table.Table
	mu sync.Mutex
	n  int
}

func (f *flaky) Write(ctx context.Context, ops ...table.Op) error {
	f.mu.Lock()
	f.n++
	n := f.n
	f.mu.Unlock()
	switch n % 4 {
	case 1:
		if err := f.Table.Write(ctx, ops...); err != nil {
			return err
		}
		return fmt.Errorf("write: %w", table.ErrLost)
	case 2:
		return fmt.Errorf("write: %w", table.ErrBusy)
	case 3:
		return fmt.Errorf("write: %w", table.ErrLost)
	}
	return f.Table.Write(ctx, ops...)
}

func TestFault61_AWriteThatLandedCountsThoughItsAnswerWasLost(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s := d.over(&flaky{Table: d.table})
	for i := range 20 {
		out, err := s.Record(context.Background(), []store.Incoming{d.incoming(whatsApp(fmt.Sprintf("w%d", i), "358401", fmt.Sprint(i), start))})
		if err != nil || out[0].As != store.Stored {
			t.Fatalf("message %d: %v, %v", i, out, err)
		}
	}
	if got := d.recount()["whatsapp/main"]; got != (store.Counts{Stored: 20}) {
		t.Errorf("ledger: %+v", got)
	}
}

// failing answers the first reads of identities with an error.
type failing struct {
	table.Table
	left int
}

func (f *failing) Get(ctx context.Context, k table.Key) (table.Item, error) {
	if strings.HasPrefix(k.PK, "I#") && f.left > 0 {
		f.left--
		return table.Item{}, errors.New("the network is gone")
	}
	return f.Table.Get(ctx, k)
}

func TestFault69_AnErrorWhileLookingACustomerUpMakesNoSecondCustomer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.record(whatsApp("w1", "358401", "one", start))[0]
	s := d.over(&failing{Table: d.table, left: 1})
	in := d.incoming(whatsApp("w2", "358401", "two", start))
	if _, err := s.Record(context.Background(), []store.Incoming{in}); err == nil {
		t.Fatal("the error was swallowed")
	}
	out, err := s.Record(context.Background(), []store.Incoming{in})
	if err != nil || store.CustomerOf(out[0].Entry) != store.CustomerOf(first.Entry) {
		t.Errorf("another customer: %v, %v", out, err)
	}
}

// stale gives an index that shows nothing.
type stale struct{ table.Table }

func (s stale) Query(ctx context.Context, q table.Query) ([]table.Item, error) {
	if q.Index != "" {
		return nil, nil
	}
	return s.Table.Query(ctx, q)
}

func TestFault67_JoiningNeedsNoIndex(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s := d.over(stale{d.table})
	var cases []string
	for i := range 3 {
		out, err := s.Record(context.Background(), []store.Incoming{d.incoming(whatsApp(fmt.Sprintf("w%d", i), "358401", "hi", start))})
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, out[0].Case)
	}
	if cases[0] != cases[1] || cases[1] != cases[2] {
		t.Errorf("cases: %v", cases)
	}
}

func TestMoreThanCanWaitForOneMessageGoesToQuarantineAndIsNotLost(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for i := range 53 {
		reaction := about(msg.KindReaction, start.Add(time.Duration(i)*time.Second))
		reaction.Reaction = &msg.Reaction{Of: "w1", Emoji: "👍"}
		d.record(reaction)
	}
	if got := d.recount()["whatsapp/main"]; got != (store.Counts{Pending: 50, Quarantined: 3}) {
		t.Errorf("ledger: %+v", got)
	}
	list, _, err := d.QuarantineList(context.Background(), store.Page{}, false)
	if err != nil || len(list) != 3 || list[0].Event == nil || list[0].Cause != "orphan" {
		t.Errorf("quarantine: %+v, %v", list, err)
	}
}
