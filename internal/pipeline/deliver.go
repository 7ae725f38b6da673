package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

// wakeUp is the body of a message in the Wake queue: it says where to look, not what to do. What is to be done is decided
// from the entry, so a wake-up that is lost, late or doubled does no harm.
type wakeUp struct {
	Entry string `json:"entry,omitempty"`
	// Tell is what staff are to be told of outside the socket, instead of an entry to look at.
	Tell *store.Notification `json:"tell,omitempty"`
}

// wake asks Deliver to look at an answer after a while.
func (p *Pipeline) wake(ctx context.Context, entry, group string, after time.Duration) error {
	body, err := json.Marshal(wakeUp{Entry: entry})
	if err != nil {
		return fmt.Errorf("wake %s: %w", entry, err)
	}
	err = p.Wake.Send(ctx, queue.Outgoing{Body: body, Group: group, Delay: min(max(after, 0), queue.MaxDelay)})
	if err != nil {
		return fmt.Errorf("wake %s: %w", entry, err)
	}
	return nil
}

// wakeAll asks Deliver to look at answers now.
func (p *Pipeline) wakeAll(ctx context.Context, entries []string) error {
	out := make([]queue.Outgoing, len(entries))
	for i, entry := range entries {
		body, err := json.Marshal(wakeUp{Entry: entry})
		if err != nil {
			return fmt.Errorf("wake %s: %w", entry, err)
		}
		out[i] = queue.Outgoing{Body: body}
	}
	if err := p.Wake.Send(ctx, out...); err != nil {
		return fmt.Errorf("wake %d late answers: %w", len(entries), err)
	}
	return nil
}

// Deliver sends answers, and tells staff outside the socket. For an answer it writes state sending, synced, before the first byte leaves; whoever finds that state never
// sends. So an automatic retry causes at most one acceptance by the provider (I6).
func (p *Pipeline) Deliver(ctx context.Context, batch []queue.Message) (failed []string) {
	for i := range batch {
		m := &batch[i]
		var w wakeUp
		if err := json.Unmarshal(m.Body, &w); err != nil || w.Entry == "" && w.Tell == nil {
			p.Log.ErrorContext(ctx, "wake-up not understood", "message", m.ID, "err", err)
			continue // it holds nothing that could be lost: answers are found by the due index
		}
		if w.Tell != nil {
			if err := p.tell(ctx, w.Tell, m.Group); err != nil {
				failed = append(failed, m.ID)
			}
			continue
		}
		if err := p.deliver(ctx, w.Entry, m.Group); err != nil && fault.Of(err) != fault.Missing && !p.putOff(ctx, p.Wake, m, err) {
			p.Log.ErrorContext(ctx, "answer not delivered", "entry", w.Entry, "attempt", m.Attempt, "err", err)
			failed = append(failed, m.ID)
		}
	}
	return failed
}

func (p *Pipeline) deliver(ctx context.Context, entry, group string) error {
	a, err := p.Store.Begin(ctx, entry)
	switch {
	case err != nil:
		return err
	case a.Again > 0:
		return p.wake(ctx, entry, group, a.Again)
	case !a.Go:
		return nil
	}
	return p.attempt(ctx, &a)
}

func (p *Pipeline) attempt(ctx context.Context, a *store.Attempt) error {
	e := &a.Entry
	sender, info, account, err := p.senderOf(ctx, e)
	if err != nil {
		if fault.Of(err) == fault.Internal || fault.Of(err) == fault.Retry {
			return p.refusedFor(ctx, a, err)
		}
		return p.failed(ctx, e, reason(err), err)
	}
	if cause := windowClosed(&info, a, p.Now()); cause != nil {
		return p.failed(ctx, e, reason(cause), cause)
	}
	conn := channel.Conn{Account: account, HTTP: p.HTTP, Mail: p.Mailer}
	receipt, err := send(ctx, sender, conn, p.outbound(a, account))
	if err != nil {
		return p.notAccepted(ctx, a, err)
	}
	if receipt.State == "" {
		receipt.State = msg.Accepted
	}
	if _, err := p.Store.Accepted(ctx, e.Entry, scope(&info, account), receipt); err != nil {
		return fmt.Errorf("%s/%s took answer %s as %q, and that could not be written: %w", e.Channel, e.Account, e.Entry, receipt.Of, err)
	}
	return nil
}

// send turns a panic of an adapter into an uncertain outcome: nobody knows how far it came.
func send(ctx context.Context, s channel.Sender, c channel.Conn, o msg.Outbound) (r msg.Receipt, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fault.Newf(fault.Uncertain, "panic", "the adapter panicked while sending: %v", v)
		}
	}()
	return s.Send(ctx, c, o)
}

func (p *Pipeline) senderOf(ctx context.Context, e *timeline.Entry) (channel.Sender, channel.Info, *channel.Account, error) {
	adapter, ok := p.Channels.Get(e.Channel)
	if !ok {
		return nil, channel.Info{}, nil, fault.Newf(fault.Permanent, "no_channel", "this version knows no channel %s", e.Channel)
	}
	info := adapter.Info()
	sender, ok := adapter.(channel.Sender)
	if !ok {
		return nil, info, nil, fault.Newf(fault.Permanent, "no_answers", "channel %s carries no answers; answer by %v", e.Channel, info.AnswerBy)
	}
	account, err := p.accounts.sure(ctx, e.Channel, e.Account)
	if err != nil {
		return nil, info, nil, err
	}
	if account == nil {
		return nil, info, nil, fault.Newf(fault.Permanent, "no_account", "account %s/%s is not connected any more", e.Channel, e.Account)
	}
	return sender, info, account, nil
}

// windowClosed says that the provider will not take a free answer any more: the customer's last message is too old.
func windowClosed(info *channel.Info, a *store.Attempt, now msg.Time) error {
	last := a.Case.LastIn[a.Entry.Delivery.Conversation]
	if info.Window == 0 || last.IsZero() || now.Sub(last) < info.Window {
		return nil
	}
	return fault.Newf(fault.Permanent, "window_closed",
		"%s takes free answers for %s after the customer's last message only; answer by %v", info.Name, info.Window, info.AnswerBy)
}

func (p *Pipeline) outbound(a *store.Attempt, account *channel.Account) msg.Outbound {
	e := &a.Entry
	o := msg.Outbound{
		Entry: e.Entry, Attempt: e.Delivery.Attempt, To: e.Delivery.To, Thread: e.Thread, ReplyTo: e.Delivery.Quote, Automatic: e.Automatic,
		Reference: a.Case.Reference, SenderName: e.From.Name, Time: p.Now(),
	}
	if m := e.Message; m != nil {
		o.Text, o.Subject, o.MessageID, o.References = m.Text, m.Subject, m.MessageID, m.References
	}
	if o.MessageID == "" {
		return o
	}
	if o.Subject == "" {
		o.Subject = a.Case.Subject
	}
	o.ReplyAddress = replyAddress(account.Settings["address"], p.Store.ReplyToken(e.Channel, e.Case))
	return o
}

// replyAddress is the account's first address with a token of the case in it: whoever answers to it, answers to the case.
func replyAddress(addresses, token string) string {
	first, _, _ := strings.Cut(addresses, ",")
	local, domain, ok := strings.Cut(strings.TrimSpace(first), "@")
	if !ok {
		return ""
	}
	return local + "+" + token + "@" + domain
}

// How long an answer is tried, and how the pauses grow.
const (
	giveUpAfter = 24 * time.Hour
	firstPause  = 5 * time.Second
	longestWait = 15 * time.Minute
)

// notAccepted decides by the kind of the fault alone.
func (p *Pipeline) notAccepted(ctx context.Context, a *store.Attempt, err error) error {
	switch fault.Of(err) {
	case fault.Retry:
		return p.refusedFor(ctx, a, err)
	case fault.Permanent, fault.Invalid, fault.Denied, fault.Missing, fault.Conflict:
		return p.failed(ctx, &a.Entry, reason(err), err)
	}
	// Uncertain, and anything that nobody typed: sending again could double it.
	p.Log.WarnContext(ctx, "answer uncertain", "channel", a.Entry.Channel, "account", a.Entry.Account, "entry", a.Entry.Entry, "err", err)
	_, werr := p.Store.Unsure(ctx, a.Entry.Entry, reason(err).Title)
	return werr
}

// refusedFor puts the answer back for a later attempt; after a day it fails and the agent decides.
func (p *Pipeline) refusedFor(ctx context.Context, a *store.Attempt, err error) error {
	e := &a.Entry
	now := p.Now()
	if now.Sub(e.StoredAt) > giveUpAfter {
		why := msg.ReceiptCode{Code: "gave_up", Title: "given up after a day: " + reason(err).Title}
		return p.failed(ctx, e, why, fmt.Errorf("tried for %s: %w", giveUpAfter, err))
	}
	pause := max(fault.After(err), min(firstPause<<min(e.Delivery.Attempt-1, 10), longestWait))
	p.Log.WarnContext(ctx, "answer refused for now", "channel", e.Channel, "account", e.Account, "entry", e.Entry, "again_in", pause.String(), "err", err)
	if _, err := p.Store.Refused(ctx, e.Entry, reason(err).Title, now.Add(pause)); err != nil {
		return err
	}
	return p.wake(ctx, e.Entry, e.Channel+"/"+e.Account, pause)
}

func (p *Pipeline) failed(ctx context.Context, e *timeline.Entry, why msg.ReceiptCode, err error) error {
	p.Log.WarnContext(ctx, "answer failed", "channel", e.Channel, "account", e.Account, "entry", e.Entry, "code", why.Code, "err", err)
	_, werr := p.Store.Fail(ctx, e.Entry, why)
	return werr
}
