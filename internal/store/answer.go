package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Answer is what an agent, or the desk by itself, wants said to the customer of a case.
type Answer struct {
	Case string
	// Agent is the writer's user ID, Name what customers are shown.
	Agent, Name string
	Channel     string
	Account     string
	To          msg.Address
	Subject     string
	Text        string
	// Quote is the external ID of the message to quote.
	Quote string
	// MessageID is for mail: the Message-ID to send under, so that the answer to it finds the case.
	MessageID string
	// Undo is how long it is held back so that it can be withdrawn.
	Undo time.Duration
	// Key makes the answer happen once: the same key on the same case is the same answer. Empty: each call is a new one.
	Key string
	// Automatic marks an acknowledgement: nobody's turn changes.
	Automatic bool
}

// Reply writes an answer into the timeline, in state pending, in one transaction with the change of the case. The change
// feed gets it sent. Errors: Missing for an unknown case, Conflict when Key was used for another text.
func (s *Store) Reply(ctx context.Context, a Answer) (*timeline.Entry, error) {
	if a.Key == "" {
		a.Key = s.newID()
	}
	var written *timeline.Entry
	err := s.onCase(ctx, "answer", a.Case, func(u *unit, k table.Key, c *caseRecord) error {
		e, again, err := u.answer(c, &a)
		if err != nil {
			return err
		}
		written = &e.Entry
		if again {
			return nil
		}
		if a.MessageID != "" {
			if err := u.thread(e, a.MessageID); err != nil {
				return err
			}
			if err := u.replyToken(a.Channel, a.Case); err != nil {
				return err
			}
			if !slices.Contains(c.AnsweredOn, a.Channel) {
				c.AnsweredOn = append(c.AnsweredOn, a.Channel)
			}
		}
		c.Answered(&e.Entry)
		u.save(k, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return written, nil
}

// onCase does something to a case that must be there, in one transaction.
func (s *Store) onCase(ctx context.Context, doing, id string, f func(*unit, table.Key, *caseRecord) error) error {
	return s.update(ctx, doing+" case "+id, func(u *unit) error {
		k, c, err := u.header(id)
		if err != nil {
			return err
		}
		if c == nil {
			return missing("case", id)
		}
		return f(u, k, c)
	})
}

// answer makes the entry, or finds the one that the same key made before.
func (u *unit) answer(c *caseRecord, a *Answer) (e *entryRecord, again bool, err error) {
	now := u.s.now()
	hash := u.s.short("answer", a.Case, a.Agent, a.Key)
	marker := u.s.markerKey("answer", a.Case, a.Agent+"\x1f"+a.Key)
	made, err := fresh[pointer](u, marker)
	if err != nil {
		return nil, false, err
	}
	if made != nil {
		_, e, err := u.entry(made.Case)
		if err != nil {
			return nil, false, err
		}
		if e == nil || e.Message == nil || e.Message.Text != a.Text || e.Channel != a.Channel {
			return nil, false, fault.Newf(fault.Conflict, "idempotency_key", "the Idempotency-Key was used for another answer; choose a new one")
		}
		return e, true, nil
	}
	thread := threadOf(&c.Case, a)
	id := entryID(c.Customer, now, now, maxPlace, hash)
	e = &entryRecord{born: true, Entry: timeline.Entry{
		Event: msg.Event{
			Channel: a.Channel, Account: a.Account, Kind: msg.KindMessage, Time: now, Direction: msg.Out,
			From: msg.Address{Kind: "agent", Value: a.Agent, Name: a.Name}, To: []msg.Address{a.To}, Thread: thread,
			ReplyTo: a.Quote, Automatic: a.Automatic,
			Message: &msg.Message{Subject: a.Subject, Text: a.Text, MessageID: a.MessageID, References: slices.Clone(c.References)},
		},
		Entry: id, Case: c.Case.Case, Customer: c.Customer, Sort: now, ReceivedAt: now, StoredAt: now, ChangedAt: now,
		State: msg.Pending, Agent: a.Agent, Team: c.Team,
		Delivery: &timeline.Delivery{
			To: a.To, Due: now.Add(a.Undo), Quote: a.Quote, Since: c.Waiting,
			Conversation: timeline.Conversation(a.Channel, a.Account, thread),
		},
	}}
	k, err := entryKey(id)
	if err != nil {
		return nil, false, err
	}
	u.save(marker, &pointer{Case: id}).expires = now.Add(30 * 24 * hour)
	u.save(k, e)
	return e, false, nil
}

// threadOf is the thread that the answer continues: the case's newest on that channel and account, or one named by whom it
// goes to.
func threadOf(c *timeline.Case, a *Answer) string {
	prefix := timeline.Conversation(a.Channel, a.Account, "")
	for _, conversation := range slices.Backward(c.Conversations) {
		if thread, ok := strings.CutPrefix(conversation, prefix); ok {
			return thread
		}
	}
	return a.To.Value
}

func (u *unit) replyToken(channel, caseID string) error {
	k := u.s.replyTokenKey(u.s.ReplyToken(channel, caseID))
	have, err := load[pointer](u, k)
	if err != nil || have != nil {
		return err
	}
	u.save(k, &pointer{Case: caseID})
	return nil
}

// Note writes an internal note on a case. It moves no clock and is never sent.
func (s *Store) Note(ctx context.Context, caseID, agent, name, text, key string) (*timeline.Entry, error) {
	if key == "" {
		key = s.newID()
	}
	var written *timeline.Entry
	err := s.onCase(ctx, "note on", caseID, func(u *unit, k table.Key, c *caseRecord) error {
		marker := u.s.markerKey("note", caseID, agent+"\x1f"+key)
		made, err := fresh[pointer](u, marker)
		if err != nil {
			return err
		}
		if made != nil {
			written, err = u.written(made.Case)
			return err
		}
		now := s.now()
		id := entryID(c.Customer, now, now, maxPlace, s.short("note", caseID, agent, key))
		e := &entryRecord{born: true, Entry: timeline.Entry{
			Event: msg.Event{
				Channel: c.Channel, Account: c.Account, Kind: msg.KindNote, Time: now, Direction: msg.Out,
				From: msg.Address{Kind: "agent", Value: agent, Name: name}, Message: &msg.Message{Text: text},
			},
			Entry: id, Case: caseID, Customer: c.Customer, Sort: now, ReceivedAt: now, StoredAt: now, ChangedAt: now,
			Agent: agent, Team: c.Team,
		}}
		ek, err := entryKey(id)
		if err != nil {
			return err
		}
		c.Told(&e.Entry)
		u.save(marker, &pointer{Case: id}).expires = now.Add(30 * 24 * hour)
		u.save(ek, e)
		u.save(k, c)
		written = &e.Entry
		return nil
	})
	if err != nil {
		return nil, err
	}
	return written, nil
}

func (u *unit) written(entry string) (*timeline.Entry, error) {
	_, e, err := u.entry(entry)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, missing("entry", entry)
	}
	return &e.Entry, nil
}

// Patch is what an agent changes on a case; nil fields stay.
type Patch struct {
	State    *timeline.CaseState
	Agent    *string
	Team     *string
	Subject  *string
	Reason   *string
	Tags     *[]string
	SnoozeTo *msg.Time
	// Seen says that somebody has opened the case: the leads need not be told.
	Seen *string
	// IfChanged, when set, requires that the case was last changed then.
	IfChanged *msg.Time
}

// Change works a patch into a case and keeps the profiles of its person in step with what is open.
func (s *Store) Change(ctx context.Context, caseID string, p Patch) (*timeline.Case, error) {
	var changed timeline.Case
	err := s.onCase(ctx, "change", caseID, func(u *unit, k table.Key, c *caseRecord) error {
		if p.IfChanged != nil && *p.IfChanged != c.Changed {
			return fault.Newf(fault.Conflict, "changed", "case %s was changed at %s by somebody else; read it again", c.Reference, c.Changed)
		}
		if err := u.patch(c, &p); err != nil {
			return err
		}
		u.save(k, c)
		changed = c.Case
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &changed, nil
}

func (u *unit) patch(c *caseRecord, p *Patch) error {
	now := u.s.now()
	if p.Seen != nil && c.SeenBy == "" {
		c.SeenBy = *p.Seen
	}
	if p.Seen == nil {
		c.Acted, c.Changed = now, now
	}
	if p.Agent != nil && *p.Agent != c.Agent {
		if err := u.assign(c, *p.Agent); err != nil {
			return err
		}
	}
	setIf(&c.Team, p.Team)
	setIf(&c.Subject, p.Subject)
	setIf(&c.Reason, p.Reason)
	setIf(&c.Tags, p.Tags)
	switch {
	case p.State == nil:
	case *p.State == timeline.CaseSolved && c.State != timeline.CaseSolved:
		c.Solve(now)
		return u.closed(c)
	case *p.State == timeline.CaseSnoozed:
		if c.State == timeline.CaseSolved {
			return fault.Field("state", "a solved case can be reopened (state open), not snoozed")
		}
		if p.SnoozeTo == nil || *p.SnoozeTo <= now {
			return fault.Field("snoozed_until", "a snoozed case needs a time in the future")
		}
		c.Snooze(*p.SnoozeTo, now)
	case *p.State == timeline.CaseOpen && c.State != timeline.CaseOpen:
		solved := c.State == timeline.CaseSolved
		c.Reopen(now)
		if solved {
			return u.reopened(c)
		}
	case *p.State == timeline.CaseWaiting && c.State != timeline.CaseWaiting:
		if c.State == timeline.CaseSolved {
			return fault.Field("state", "a solved case can be reopened (state open), not set waiting")
		}
		c.State, c.Waiting, c.NextDue, c.SnoozedTo = timeline.CaseWaiting, 0, 0, 0
	}
	return nil
}

func setIf[T any](at *T, v *T) {
	if v != nil {
		*at = *v
	}
}

// assign moves the agent's pointer to the case, so that an agent's own work is found without an index.
func (u *unit) assign(c *caseRecord, agent string) error {
	if c.Agent != "" {
		k := assignedKey(c.Agent, c.Case.Case)
		if old, err := load[pointer](u, k); err != nil {
			return err
		} else if old != nil {
			u.remove(k)
		}
	}
	c.Agent = agent
	if agent == "" {
		return nil
	}
	k := assignedKey(agent, c.Case.Case)
	if _, err := load[pointer](u, k); err != nil {
		return err
	}
	u.save(k, &pointer{Case: c.Case.Case})
	return nil
}

func assignedKey(agent, caseID string) table.Key { return table.Key{PK: "A#" + agent, SK: caseID} }

// closed takes a solved case out of the open ones of everybody who is the person, and off its agent's desk.
func (u *unit) closed(c *caseRecord) error {
	if c.Agent != "" {
		k := assignedKey(c.Agent, c.Case.Case)
		if old, err := load[pointer](u, k); err != nil {
			return err
		} else if old != nil {
			u.remove(k)
		}
	}
	who, err := u.profile(c.Customer)
	if err != nil {
		return err
	}
	for _, member := range who.Members() {
		m, err := u.profile(member)
		if err != nil {
			return err
		}
		if m.Closes(c.Case.Case, u.s.now()) {
			u.save(m.key, m.customerRecord)
		}
	}
	return nil
}

// reopened makes the case the open one of its first conversation again, if nothing else has taken its place (I4).
func (u *unit) reopened(c *caseRecord) error {
	who, err := u.profile(c.Customer)
	if err != nil || len(c.Conversations) == 0 {
		return err
	}
	conversation := c.Conversations[0]
	if open, taken := who.Open[conversation]; taken && open.Case != c.Case.Case {
		return fault.Newf(fault.Conflict, "conversation_taken",
			"case %s cannot be reopened: the conversation goes on in case %s; answer there", c.Reference, open.Case)
	}
	if who.Opens(conversation, c.Case.Case, c.Opened) {
		u.save(who.key, who.customerRecord)
	}
	if c.Agent != "" {
		agent := c.Agent
		c.Agent = ""
		return u.assign(c, agent)
	}
	return nil
}

// CaseByReference finds a case by what people call it.
func (s *Store) CaseByReference(ctx context.Context, reference string) (*timeline.Case, error) {
	p, err := get[pointer](ctx, s, referenceKey(strings.ToUpper(reference)))
	if err != nil {
		return nil, fmt.Errorf("find case %s: %w", reference, err)
	}
	if p == nil {
		return nil, missing("case", reference)
	}
	return s.Case(ctx, p.Case)
}
