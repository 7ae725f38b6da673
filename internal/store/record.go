package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

const hour = time.Hour

// Incoming is an event on its way into the timeline, with what the channel and the account say of it.
type Incoming struct {
	Event msg.Event
	// Scope is the provider's own ID of the account: external IDs are unique within it.
	Scope      string
	ReceivedAt msg.Time
	// Place is the event's place in its envelope: among events of the same time it decides the order.
	Place int
	// Envelope names the raw input. Raw is the event's part of it, compressed, when small; RawBlob where it lies otherwise.
	Envelope string
	Raw      []byte
	RawBlob  string
	// By names the event's place in a numbered envelope of its own account: the envelope's note counts the object that it is the
	// first to bring (see Outcome.First), and no tally does. Empty where envelopes are not numbered.
	By    string
	Rules Rules
}

// Rules are what a channel declares and an account sets, as far as the timeline must know.
type Rules struct {
	// Asserted times are shown and not used for the order.
	Asserted bool
	// ChatLike messages join the customer's newest open case on any channel.
	ChatLike bool
	// References says that mail headers name the conversation; Submission that each message is one of its own.
	References bool
	Submission bool
	// Identities lists identity kinds, the one that decides first.
	Identities []string
	Team       string
	Promise    timeline.Promise
}

// Outcome is what became of an event.
type Outcome struct {
	// As is stored, duplicate, pending or quarantined.
	As Became
	// Entry and Case are set when it is in a timeline. What was stored without an entry belonged to somebody who was erased
	// after it was received.
	Entry string
	Case  string
	// First says that this event of this envelope is the one that brought the object, now or when it was recorded before.
	First bool
}

// Became says where an accepted event ended (invariant I1).
type Became string

// What can become of an event here. Most of what is in quarantine comes there before (what cannot be parsed) or by Tick (what
// waited in vain); Shelved is what there is no room to let wait.
const (
	Stored    Became = "stored"
	Duplicate Became = "duplicate"
	Waits     Became = "pending"
	Shelved   Became = "quarantined"
)

// Record works events into the timelines they belong to, in one transaction: all of them or none. The outcomes are in the
// order of the events. Recording the same event again changes nothing but the count of duplicates.
//
// The caller keeps a call small: events of one customer, at most a few dozen. ErrLimit from the table means that it was too
// much at once; split and try again.
func (s *Store) Record(ctx context.Context, in []Incoming) ([]Outcome, error) {
	outcomes := make([]Outcome, len(in))
	err := s.update(ctx, fmt.Sprintf("record %d events", len(in)), func(u *unit) error {
		for i := range in {
			out, err := u.record(&in[i])
			if err != nil {
				return fmt.Errorf("event %s of %s/%s in envelope %s: %w", in[i].Event.Kind, in[i].Event.Channel,
					in[i].Event.Account, in[i].Envelope, err)
			}
			outcomes[i] = out
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

func (u *unit) record(in *Incoming) (Outcome, error) {
	ev := &in.Event
	if ev.Edit != nil || ev.Removal != nil || ev.Reaction != nil || ev.Receipt != nil {
		return u.recordAbout(in)
	}
	return u.recordObject(in)
}

// recordAbout works in what is said of another object: at its entry when it is here, at its external ID until it comes.
func (u *unit) recordAbout(in *Incoming) (Outcome, error) {
	ev := &in.Event
	erased := false // the answer that a tag names
	if ev.Tag != "" && ev.Receipt != nil {
		if k, err := entryKey(ev.Tag); err == nil {
			e, err := load[entryRecord](u, k)
			if err != nil {
				return Outcome{}, err
			}
			if e != nil && e.Channel == ev.Channel {
				return u.applyTagged(k, e, in)
			}
			erased = e == nil
		}
	}
	target := ev.Target()
	switch {
	case target == "" && erased:
		target = "tag\x1f" + ev.Tag // what names nothing else: each has an item of its own
	case target == "":
		return u.nameless(in, "says of which message it is")
	}
	k := u.s.externalKey(ev.Channel, in.Scope, target)
	x, err := load[external](u, k)
	if err != nil {
		return Outcome{}, err
	}
	switch {
	case x == nil && erased: // its receipt must not wait: it names the recipient (I8)
		u.save(k, &external{Channel: ev.Channel, Account: ev.Account, Own: true, Erased: true, Seen: 1})
		return Outcome{As: Duplicate}, nil
	case x == nil:
		x = &external{Channel: ev.Channel, Account: ev.Account}
	case x.Erased:
		x.Seen++
		u.save(k, x)
		return Outcome{As: Duplicate}, nil
	case x.Entry != "":
		ek, e, err := u.entry(x.Entry)
		if err != nil {
			return Outcome{}, err
		}
		if e == nil {
			x.Seen++ // the entry was erased
			u.save(k, x)
			return Outcome{As: Duplicate}, nil
		}
		return u.apply(ek, e, ev, e.State)
	}
	return u.wait(k, x, in)
}

// applyTagged works in a receipt that carries our own entry ID. It also tells us the external ID, should the answer to our
// send have been lost: from then on everything about the message finds it.
func (u *unit) applyTagged(k table.Key, e *entryRecord, in *Incoming) (Outcome, error) {
	ev := &in.Event
	was := e.State // before what waited for the external ID is worked in, too
	if of := ev.Receipt.Of; of != "" && of != e.ID {
		xk := u.s.externalKey(ev.Channel, in.Scope, of)
		x, err := load[external](u, xk)
		if err != nil {
			return Outcome{}, err
		}
		if x != nil && x.Erased { // an attempt that was given up: see detach
			x.Seen++
			u.save(xk, x)
			return Outcome{As: Duplicate, Entry: e.Entry.Entry, Case: e.Entry.Case}, nil
		}
		if e.ID == "" {
			if err := u.own(e, in.Scope, of); err != nil {
				return Outcome{}, err
			}
		}
	}
	return u.apply(k, e, ev, was)
}

func (u *unit) apply(k table.Key, e *entryRecord, ev *msg.Event, was msg.State) (Outcome, error) {
	out := Outcome{As: Duplicate, Entry: e.Entry.Entry, Case: e.Entry.Case}
	if e.Apply(ev, u.s.now()) {
		out.As = Stored
	}
	u.save(k, e)
	if e.State != was {
		return out, u.deliveryMoved(e, was)
	}
	return out, nil
}

// deliveryMoved tells the case that an answer is out, or that it came back.
func (u *unit) deliveryMoved(e *entryRecord, was msg.State) error {
	failed := e.State == msg.Failed
	if !failed && (was.Settled() || !e.State.Settled()) {
		return nil
	}
	k, c, err := u.header(e.Entry.Case)
	if err != nil || c == nil {
		return err
	}
	if e.State.Settled() {
		c.Case.Settled(e.Entry.Entry, u.s.now())
	}
	if !failed && was == msg.Uncertain {
		c.Arrived(u.s.now())
	}
	if failed && !e.Automatic {
		if err := u.undelivered(c, false); err != nil {
			return err
		}
	}
	u.save(k, c)
	return nil
}

// undelivered brings the case of an answer that did not go out back to the desk: its agent's, and its conversation's again
// unless that goes on elsewhere.
func (u *unit) undelivered(c *caseRecord, unsure bool) error {
	solved := c.State == timeline.CaseSolved
	c.Undelivered(u.s.now(), unsure)
	if !solved {
		return nil
	}
	who, err := u.profile(c.Customer)
	if err != nil {
		return err
	}
	if len(c.Conversations) > 0 {
		conversation := c.Conversations[0]
		if _, taken := who.Open[conversation]; !taken && who.Opens(conversation, c.Case.Case, c.Opened) {
			u.save(who.key, who.customerRecord)
		}
	}
	agent := c.Agent
	c.Agent = ""
	return u.assign(c, agent)
}

// recordObject stores a message, a call, a signal or a change of identity as an entry of its own.
func (u *unit) recordObject(in *Incoming) (Outcome, error) {
	ev := &in.Event
	if ev.ID == "" && (ev.EventID == "" || objectID(ev) == "") {
		return u.nameless(in, "has an ID")
	}
	xk := u.s.externalKey(ev.Channel, in.Scope, objectID(ev))
	x, err := fresh[external](u, xk)
	if err != nil {
		return Outcome{}, err
	}
	if x != nil && (x.Entry != "" || x.Erased) {
		x.Seen++
		x.keepCopies(in)
		u.save(xk, x)
		return Outcome{As: Duplicate, Entry: x.Entry, First: x.By != "" && x.By == in.By}, nil
	}
	if x == nil {
		x = &external{Channel: ev.Channel, Account: ev.Account}
	}
	e, err := u.place(in)
	if errors.Is(err, errErased) {
		return Outcome{As: Stored}, u.bury(xk, ev, ev.Channel, ev.Account)
	}
	if err != nil {
		return Outcome{}, err
	}
	x.Entry, x.By = e.Entry.Entry, in.By
	for i := range x.Waiting {
		e.Apply(&x.Waiting[i], u.s.now())
	}
	x.Waiting, x.Since = nil, 0
	u.save(xk, x)
	k, err := entryKey(e.Entry.Entry)
	if err != nil {
		return Outcome{}, err
	}
	if _, err := fresh[entryRecord](u, k); err != nil {
		return Outcome{}, err
	}
	u.save(k, e)
	return Outcome{As: Stored, Entry: e.Entry.Entry, Case: e.Entry.Case, First: in.By != ""}, nil
}

// objectID is the name under which an object is remembered: messages and calls by their own ID, so that receipts and edits
// find them, anything else by its dedupe key, which has a different form.
func objectID(ev *msg.Event) string {
	if ev.Kind == msg.KindMessage || ev.Kind == msg.KindCall {
		return ev.ID
	}
	return ev.DedupeKey()
}

// place finds customer and case for a new object and makes its entry.
func (u *unit) place(in *Incoming) (*entryRecord, error) {
	ev := &in.Event
	who, err := u.customer(in)
	if err != nil {
		return nil, err
	}
	now := u.s.now()
	sort := timeline.SortTime(ev.Time, in.ReceivedAt, in.Rules.Asserted)
	id := entryID(who.Customer.Customer, sort, in.ReceivedAt, in.Place, u.s.short("entry", ev.Channel, in.Scope, objectID(ev)))
	e := &entryRecord{born: true, Entry: timeline.Entry{
		Event: *ev, Entry: id, Customer: who.Customer.Customer, Sort: sort, ReceivedAt: in.ReceivedAt, StoredAt: now, ChangedAt: now,
		State: msg.Received, Raw: in.Raw, RawBlob: in.RawBlob, Envelope: in.Envelope,
	}}
	e.Scope = in.Scope // the entry must be able to find its external-ID item again
	if ev.Direction == msg.Out {
		e.State = msg.Sent
	}
	e.Unverified = strings.HasSuffix(ev.From.Kind, ".unverified")
	if in.Rules.References && e.Thread == "" {
		e.Thread = root(ev)
	}
	if ev.Kind == msg.KindIdentity {
		if err := u.rename(ev.Identity, in.ReceivedAt); err != nil {
			return nil, err
		}
	}
	c, err := u.join(in, who, e)
	if err != nil {
		return nil, err
	}
	if CustomerOf(c.Case.Case) != who.Customer.Customer {
		u.hold(who.key) // a merge makes it theirs, and may be being taken back just now: see Unmerge
	}
	e.Entry.Case, e.Team, e.Assignee = c.Case.Case, c.Team, c.Agent
	e.Opens = c.In == 0 && c.Out == 0
	e.Late = c.LastEntry.Sub(sort) > timeline.LateAfter
	if e.Entry.FromCustomer() {
		c.Heard(&e.Entry, in.Rules.Promise)
	} else {
		c.Told(&e.Entry)
	}
	if ev.Message != nil && ev.Message.MessageID != "" {
		if err := u.thread(e, ev.Message.MessageID); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// root names the tree of mails that the event belongs to: the oldest one that it refers to, or itself.
func root(ev *msg.Event) string {
	m := ev.Message
	switch {
	case m == nil:
		return ev.ID
	case len(m.References) > 0:
		return m.References[0]
	case m.InReplyTo != "":
		return m.InReplyTo
	case m.MessageID != "":
		return m.MessageID
	}
	return ev.ID
}

// thread notes the entry under its Message-ID.
func (u *unit) thread(e *entryRecord, messageID string) error {
	k := table.Key{PK: u.s.messageIDKey(messageID), SK: e.Entry.Entry}
	t, err := fresh[threaded](u, k)
	if err != nil || t != nil {
		return err
	}
	u.save(k, &threaded{Entry: e.Entry.Entry, Case: e.Entry.Case})
	return nil
}

// IsTooMuch says that a Record was refused because it was too much for one transaction.
func IsTooMuch(err error) bool { return errors.Is(err, table.ErrLimit) }
