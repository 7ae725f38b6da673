package pipeline_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
)

// numbered is a mail provider that gives each mail an ID of its own and remembers the tag.
type numbered struct{ tags []string }

// SendMail implements channel.Mailer.
func (n *numbered) SendMail(_ context.Context, _ string, _ []string, _ []byte, tag string) (string, error) {
	n.tags = append(n.tags, tag)
	return "provider-1@mail.example", nil
}

// TestReceiptOfAMailIsThatOfTheAnswerItNames: by the tag of the send, else by the provider's ID; and of what is no answer, like a
// mail to staff, nothing is kept, because its receipts would wait for it and name people.
func TestReceiptOfAMailIsThatOfTheAnswerItNames(t *testing.T) {
	t.Parallel()
	d, r := newDesk(t), &numbered{}
	d.withMail(nil)
	d.rewire(func(deps *pipeline.Deps) { deps.Mailer = r })
	d.announced()
	maija := msg.Address{Kind: "email", Value: "maija@world.example"}
	d.putMail("ses/one", "Hei.")
	must(t, d.Mails.Send(t.Context(), queue.Outgoing{Body: announcement(t, "ses-1", "ses/one"), Group: "email/main"}))
	d.settle()
	d.reply(d.open()[0], "Katson.")
	if len(r.tags) != 1 || r.tags[0] == "" {
		t.Fatalf("sent with the tags %q", r.tags)
	}
	receipt := func(state msg.State, of, tag string) msg.Event {
		return msg.Event{Channel: "email", ID: of, Kind: msg.KindReceipt, Direction: msg.In, Automatic: true, Tag: tag,
			Receipt: &msg.Receipt{Of: of, Recipient: "maija@world.example", State: state}}
	}
	d.rewire(func(deps *pipeline.Deps) {
		deps.Notice = func(raw []byte) (*pipeline.MailNotice, error) {
			var n pipeline.MailNotice
			return &n, json.Unmarshal(raw, &n.Receipts)
		}
	})
	for _, one := range []struct {
		what    string
		receipt msg.Event
		state   msg.State
	}{
		{"of a mail to staff", receipt(msg.Failed, "provider-9@mail.example", ""), msg.Accepted},
		{"of another's answer", receipt(msg.Failed, "provider-9@mail.example", "nobody"), msg.Accepted},
		{"without a tag", receipt(msg.Delayed, "provider-1@mail.example", ""), msg.Delayed},
		{"with a tag alone", receipt(msg.Delivered, "another-1@mail.example", r.tags[0]), msg.Delivered},
	} {
		body, err := json.Marshal([]msg.Event{one.receipt})
		must(t, err)
		must(t, d.Mails.Send(t.Context(), queue.Outgoing{Body: body}))
		d.settle()
		e, err := d.Store.Entry(t.Context(), r.tags[0])
		must(t, err)
		if e.State != one.state {
			t.Errorf("after the receipt %s the answer is %s, want %s", one.what, e.State, one.state)
		}
	}
	if got := d.texts(maija); len(got) != 2 {
		t.Errorf("the timeline is %q", got)
	}
	for _, b := range d.even() {
		if b.Channel == "email" && (b.Pending != 0 || b.Quarantined != 0) {
			t.Errorf("receipts of no answer are kept: %+v", b)
		}
	}
}
