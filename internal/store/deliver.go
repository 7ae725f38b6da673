package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Attempt says what Deliver is to do with an answer.
type Attempt struct {
	// Go: the state is sending now, and it is this caller's to send.
	Go bool
	// Again: nothing to do yet; look again after that long. Zero with Go false means that nothing is left to do.
	Again time.Duration
	// First is another answer of the conversation that must go first; Again is then when to look again at the latest.
	First string
	Entry timeline.Entry
	Case  timeline.Case
}

// Begin claims the next attempt to send an answer: it moves from pending to sending at its revision, so that only one caller
// gets Go. Whoever finds it in state sending never sends (I6): after two minutes it becomes uncertain.
func (s *Store) Begin(ctx context.Context, entry string) (Attempt, error) {
	var a Attempt
	err := s.update(ctx, "begin to send "+entry, func(u *unit) error {
		a = Attempt{}
		k, e, err := u.entry(entry)
		if err != nil {
			return err
		}
		if e == nil || e.Delivery == nil {
			return nil // erased, or nothing that is sent
		}
		now := s.now()
		switch e.State {
		case msg.Pending:
		case msg.Sending:
			if left := e.Delivery.Started.Add(timeline.SendingTimeout).Sub(now); left > 0 {
				a.Again = left
				return nil
			}
			return u.uncertain(e, "nobody knows what became of the attempt: the process ended while it was being sent")
		default:
			return nil
		}
		if left := e.Delivery.Due.Sub(now); left > 0 {
			a.Again = left
			return nil
		}
		_, c, err := u.header(e.Entry.Case)
		if err != nil || c == nil {
			return err
		}
		first, err := u.before(c, e)
		if err != nil {
			return err
		}
		if first != nil {
			a.First, a.Again = first.Entry.Entry, max(first.Delivery.Due.Sub(now), orderPause)
			return nil
		}
		e.Settle(msg.Sending, now)
		e.Delivery.Attempt++
		e.Delivery.Started = now
		e.Delivery.Claim = s.newID() // two that claim in one millisecond must not take the other's write for their own
		e.Delivery.Due = now.Add(timeline.SendingTimeout)
		e.Delivery.Cause = ""
		u.save(k, e)
		a.Go, a.Entry, a.Case = true, e.Entry, c.Case
		return nil
	})
	return a, err
}

// orderPause is how soon at the earliest an answer is looked at again that waits for the one before it. It is woken when that
// one is out; this is for when the wake-up was lost.
const orderPause = 10 * time.Second

// before is the answer of the same conversation that must go out first, nil when there is none. One whose fate is uncertain
// holds nobody up: an agent decides about it.
func (u *unit) before(c *caseRecord, e *entryRecord) (*entryRecord, error) {
	for _, id := range c.Unsettled {
		if id == e.Entry.Entry {
			return nil, nil
		}
		_, other, err := u.entry(id)
		if err != nil {
			return nil, err
		}
		if other != nil && other.Delivery != nil && other.Delivery.Conversation == e.Delivery.Conversation &&
			(other.State == msg.Pending || other.State == msg.Sending) {
			return other, nil
		}
	}
	return nil, nil
}

// HeldUp says that an answer does not go out because another of its conversation is to go first.
func (s *Store) HeldUp(ctx context.Context, entry string) (bool, error) {
	held := false
	err := s.update(ctx, "look at answer "+entry, func(u *unit) error {
		held = false
		_, e, err := u.entry(entry)
		if err != nil || e == nil || e.Delivery == nil {
			return err
		}
		_, c, err := u.header(e.Entry.Case)
		if err != nil || c == nil {
			return err
		}
		first, err := u.before(c, e)
		held = first != nil
		return err
	})
	return held, err
}

// NextAnswer is the answer of the same conversation that waited for this one, "" when none did.
func (s *Store) NextAnswer(ctx context.Context, e *timeline.Entry) (string, error) {
	c, err := s.Case(ctx, e.Case)
	if err != nil {
		return "", err
	}
	for _, id := range c.Unsettled {
		if id == e.Entry {
			continue
		}
		other, err := s.Entry(ctx, id)
		if err != nil {
			return "", err
		}
		if other.State == msg.Pending && other.Delivery != nil && other.Delivery.Conversation == e.Delivery.Conversation {
			return id, nil
		}
	}
	return "", nil
}

// Accepted records that the provider took the answer, under the external ID that the receipt names.
func (s *Store) Accepted(ctx context.Context, entry, scope string, r msg.Receipt) (*timeline.Entry, error) {
	return s.outcome(ctx, entry, func(u *unit, e *entryRecord) error {
		now := s.now()
		was := e.State
		if next, ok := e.State.Next(r.State); ok {
			e.Settle(next, now)
		}
		e.Delivery.Accepted, e.Delivery.Due, e.Delivery.Cause = now, 0, ""
		if r.Of != "" && e.ID == "" {
			if err := u.own(e, scope, r.Of); err != nil {
				return err
			}
		}
		if r.MessageID != "" && e.Message != nil && r.MessageID != e.Message.MessageID {
			if err := u.thread(e, r.MessageID); err != nil {
				return err
			}
			e.Delivery.MessageIDs = append(e.Delivery.MessageIDs, r.MessageID)
		}
		return u.deliveryMoved(e, was)
	})
}

// Refused records that the provider certainly did not take the answer: it is tried again at the given time.
func (s *Store) Refused(ctx context.Context, entry, cause string, again msg.Time) (*timeline.Entry, error) {
	return s.outcome(ctx, entry, func(_ *unit, e *entryRecord) error {
		if e.State != msg.Sending {
			return nil // a receipt was faster
		}
		e.Settle(msg.Pending, s.now())
		e.Delivery.Due, e.Delivery.Cause = again, cause
		return nil
	})
}

// Fail records that the answer will not go out: the case comes back to the desk.
func (s *Store) Fail(ctx context.Context, entry string, why msg.ReceiptCode) (*timeline.Entry, error) {
	return s.outcome(ctx, entry, func(u *unit, e *entryRecord) error {
		was := e.State
		next, ok := was.Next(msg.Failed)
		if !ok {
			return nil
		}
		e.Settle(next, s.now())
		e.Failure = &why
		e.Delivery.Due, e.Delivery.Cause = 0, why.Title
		return u.deliveryMoved(e, was)
	})
}

// Unsure records that nobody knows whether the provider took the answer. A receipt, a tag or the agent settles it.
func (s *Store) Unsure(ctx context.Context, entry, cause string) (*timeline.Entry, error) {
	return s.outcome(ctx, entry, func(u *unit, e *entryRecord) error {
		if e.State != msg.Sending {
			return nil
		}
		return u.uncertain(e, cause)
	})
}

// OnItsWay is the ID of the answer that an item of the table holds, if it is one that is still to be sent or being sent;
// otherwise it is empty.
func OnItsWay(item *table.Item) (string, error) {
	if !strings.HasPrefix(item.PK, "C#") || !strings.HasPrefix(item.SK, "E#") {
		return "", nil
	}
	var e entryRecord
	if err := json.Unmarshal(item.Body, &e); err != nil {
		return "", damaged(item.Key, err)
	}
	if e.Delivery == nil || e.State != msg.Pending && e.State != msg.Sending {
		return "", nil
	}
	return e.Entry.Entry, nil
}

// Hold takes an answer that is on its way out of everybody's hands: it becomes uncertain, and an agent decides. It is for a
// table that was brought back from a copy, since nobody knows there what went out after the copy was made.
func (s *Store) Hold(ctx context.Context, entry, cause string) (*timeline.Entry, error) {
	return s.outcome(ctx, entry, func(u *unit, e *entryRecord) error {
		if e.State != msg.Pending && e.State != msg.Sending {
			return nil
		}
		return u.uncertain(e, cause)
	})
}

func (u *unit) uncertain(e *entryRecord, cause string) error {
	now := u.s.now()
	e.Settle(msg.Uncertain, now)
	e.Delivery.Due, e.Delivery.Cause = 0, cause
	k, err := entryKey(e.Entry.Entry)
	if err != nil {
		return err
	}
	u.save(k, e)
	ck, c, err := u.header(e.Entry.Case)
	if err != nil || c == nil {
		return err
	}
	if !e.Automatic {
		if err := u.undelivered(c, true); err != nil {
			return err
		}
	}
	u.save(ck, c)
	return nil
}

func (s *Store) outcome(ctx context.Context, entry string, f func(*unit, *entryRecord) error) (*timeline.Entry, error) {
	var written *timeline.Entry
	err := s.update(ctx, "record the outcome of sending "+entry, func(u *unit) error {
		k, e, err := u.entry(entry)
		if err != nil {
			return err
		}
		if e == nil || e.Delivery == nil {
			return missing("answer", entry)
		}
		if err := f(u, e); err != nil {
			return err
		}
		u.save(k, e)
		written = &e.Entry
		return nil
	})
	return written, err
}

// Decision is what an agent decides about an answer that did not go the ordinary way.
type Decision string

// The decisions.
const (
	// Withdraw takes back an answer that is still pending. WasSent and WasNotSent settle an uncertain one; Resend makes a
	// new attempt of a failed one.
	Withdraw   Decision = "withdraw"
	WasSent    Decision = "sent"
	WasNotSent Decision = "not_sent"
	Resend     Decision = "resend"
)

// Decide carries an agent's decision out. Conflict says that the answer is no longer in the state that the decision is
// about: it went out in the meantime.
func (s *Store) Decide(ctx context.Context, entry string, d Decision, p timeline.Promise) (*timeline.Entry, error) {
	return s.outcome(ctx, entry, func(u *unit, e *entryRecord) error {
		now := s.now()
		was := e.State
		wrong := func() error {
			return fault.Newf(fault.Conflict, "state", "answer %s is %s: it is too late, or too early, to decide %q", entry, was, d)
		}
		switch {
		case d == Withdraw && was == msg.Pending:
			return u.withdraw(e, p)
		case d == WasSent && was == msg.Uncertain:
			e.Settle(msg.Sent, now)
			e.Delivery.Cause = ""
			return u.deliveryMoved(e, was)
		case d == WasNotSent && was == msg.Uncertain, d == Resend && was == msg.Failed && e.Removed.IsZero():
			e.Settle(msg.Pending, now)
			e.Failure = nil
			e.Delivery.Due, e.Delivery.Cause = now, ""
			if err := u.detach(e); err != nil {
				return err
			}
			return u.unsettled(e)
		}
		return wrong()
	})
}

func (u *unit) withdraw(e *entryRecord, p timeline.Promise) error {
	now := u.s.now()
	e.Settle(msg.Failed, now)
	e.Failure = &msg.ReceiptCode{Code: "withdrawn", Title: "taken back by the agent before it was sent"}
	e.Removed = now
	e.Delivery.Due = 0
	k, c, err := u.header(e.Entry.Case)
	if err != nil || c == nil {
		return err
	}
	c.Case.Settled(e.Entry.Entry, now)
	if !e.Delivery.Since.IsZero() && c.Waiting.IsZero() {
		c.Unanswered(e.Delivery.Since, p, now)
	}
	u.save(k, c)
	return nil
}

func (u *unit) unsettled(e *entryRecord) error {
	k, c, err := u.header(e.Entry.Case)
	if err != nil || c == nil {
		return err
	}
	c.Case.Settled(e.Entry.Entry, u.s.now())
	c.Unsettled = append(c.Unsettled, e.Entry.Entry)
	u.save(k, c)
	return nil
}
