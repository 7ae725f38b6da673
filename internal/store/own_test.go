package store_test

import (
	"context"
	"testing"

	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

// sending is a customer's case with an answer of which the provider has it, under the ID out1, and we do not know yet.
func (d *desk) sending() (first store.Outcome, answer *timeline.Entry) {
	d.t.Helper()
	first = d.record(whatsApp("w1", "358401", "hello", start))[0]
	answer = d.reply(first.Case, "answer")
	if a, err := d.Begin(context.Background(), answer.Entry); err != nil || !a.Go {
		d.t.Fatal(a, err)
	}
	return first, answer
}

func echo(to msg.Address) msg.Event {
	ev := whatsApp("out1", to.Value, "Katson heti.", start)
	ev.Direction, ev.From, ev.To = msg.Out, msg.Address{Kind: "whatsapp.phone", Value: "1055"}, []msg.Address{to}
	return ev
}

func tagged(ev msg.Event, entry string) msg.Event {
	ev.Tag = entry
	return ev
}

// sound says what the invariants have to say about everything in the table.
func (d *desk) sound() {
	d.t.Helper()
	report, err := check.Run(context.Background(), check.Input{Table: d.table, Unfollowed: -1})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, p := range report.Problems {
		d.t.Error(p)
	}
}

func TestAnAnswerAndItsEchoAreOneEntryWhateverComesFirst(t *testing.T) {
	t.Parallel()
	maija := msg.Address{Kind: "whatsapp.phone", Value: "358401"}
	accepted := func(d *desk, entry string) {
		if _, err := d.Accepted(context.Background(), entry, "1055", msg.Receipt{Of: "out1", State: msg.Accepted}); err != nil {
			d.t.Error(err)
		}
	}
	for name, one := range map[string]struct {
		events func(d *desk, entry string)
		counts store.Counts // beside the customer's own message and the last receipt
	}{
		"accepted, echo":       {func(d *desk, entry string) { accepted(d, entry); d.record(echo(maija)) }, store.Counts{Duplicate: 1}},
		"echo, accepted":       {func(d *desk, entry string) { d.record(echo(maija)); accepted(d, entry) }, store.Counts{Stored: 1}},
		"echo twice, accepted": {func(d *desk, entry string) { d.record(echo(maija), echo(maija)); accepted(d, entry) }, store.Counts{Stored: 1, Duplicate: 1}},
		"echo, its receipt, accepted": {func(d *desk, entry string) {
			d.record(echo(maija), receipt("out1", msg.Delivered, start))
			accepted(d, entry)
		}, store.Counts{Stored: 2}},
		"receipt, echo, accepted": {func(d *desk, entry string) {
			d.record(receipt("out1", msg.Delivered, start), echo(maija))
			accepted(d, entry)
		}, store.Counts{Stored: 2}},
		"echo, tagged receipt, and the answer to our send is lost": {func(d *desk, entry string) {
			d.record(echo(maija), tagged(receipt("out1", msg.Delivered, start), entry))
		}, store.Counts{Stored: 2}},
		"echo to an address that nobody knew": {func(d *desk, entry string) {
			d.record(echo(msg.Address{Kind: "whatsapp.user", Value: "FI.9"}))
			accepted(d, entry)
		}, store.Counts{Stored: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			first, answer := d.sending()
			one.events(d, answer.Entry)
			last := d.record(receipt("out1", msg.Read, start))[0]
			if last.Entry != answer.Entry {
				t.Errorf("the receipt found %s; the answer is %s", last.Entry, answer.Entry)
			}
			if got := texts(d.timelineOf(first.Entry)); got != "hello | Katson heti." {
				t.Errorf("timeline: %s", got)
			}
			e, err := d.Entry(context.Background(), answer.Entry)
			if err != nil || e.State != msg.Read || e.ID != "out1" {
				t.Errorf("answer: %+v, %v", e, err)
			}
			c, err := d.Case(context.Background(), first.Case)
			if err != nil || c.Out != 1 || len(c.Unsettled) != 0 || c.State != timeline.CaseWaiting {
				t.Errorf("case: %+v, %v", c, err)
			}
			want := one.counts
			want.Stored += 2
			if got := d.recount()["whatsapp/main"]; got != want {
				t.Errorf("ledger: %+v, want %+v", got, want)
			}
			d.sound()
		})
	}
}

func TestWhatWasSaidOfAnEchoIsSaidOfTheAnswer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first, answer := d.sending()
	reaction, edit := about(msg.KindReaction, start), about(msg.KindEdit, start.Add(1))
	reaction.Reaction, edit.Edit = &msg.Reaction{Of: "out1", Emoji: "👍"}, &msg.Edit{Of: "out1", Message: msg.Message{Text: "better words"}}
	d.record(echo(msg.Address{Kind: "whatsapp.phone", Value: "358401"}), reaction, edit)
	e, err := d.Accepted(context.Background(), answer.Entry, "1055", msg.Receipt{Of: "out1", State: msg.Accepted})
	if err != nil || len(e.Reactions) != 1 || len(e.Edits) != 1 || e.Message.Text != "better words" {
		t.Errorf("answer: %+v, %v", e, err)
	}
	if n := len(d.timelineOf(first.Entry)); n != 2 {
		t.Errorf("%d entries", n)
	}
	if got := d.recount()["whatsapp/main"]; got != (store.Counts{Stored: 4}) {
		t.Errorf("ledger: %+v", got)
	}
	d.sound()
}
