// Package timeline holds what a customer, a case and an entry are and the rules by which they change. It is pure: no I/O, no
// clock, no randomness. Package store keeps what is decided here.
package timeline

import (
	"slices"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
)

// Entry is one line of a customer's timeline: an event with what has become of it since.
//
// Its JSON is the event's with the fields below beside it. The ID names customer, place and object (see store.EntryID), so
// that it can be found without an index; to everybody else it is opaque.
type Entry struct {
	msg.Event
	Entry    string `json:"entry"`
	Case     string `json:"case"`
	Customer string `json:"customer"`
	// Sort is the time by which the timeline is ordered: see [SortTime]. ReceivedAt is when we took responsibility, StoredAt
	// when the entry was first written, ChangedAt when it last was: see [Entry.Touch].
	Sort       msg.Time `json:"sort"`
	ReceivedAt msg.Time `json:"received_at"`
	StoredAt   msg.Time `json:"stored_at"`
	ChangedAt  msg.Time `json:"changed_at"`
	// Late says that it was inserted before entries that were already there when it came.
	Late bool `json:"late"`
	// State is the delivery state of an answer, received for what came in.
	State msg.State `json:"state"`
	// Agent is who wrote it, for answers, notes and visits.
	Agent string `json:"agent,omitempty"`
	// Team is the team of the case when the entry was written: who hears about it.
	Team string `json:"team,omitempty"`
	// Opens says that the entry opened its case; Assignee is whose case it was when it came.
	Opens    bool   `json:"opens,omitempty"`
	Assignee string `json:"assignee,omitempty"`
	// Unverified says that the sender claims an address that was not proven, or cites a case that is not theirs.
	Unverified bool `json:"unverified,omitempty"`

	// Failure is why the answer failed or is delayed.
	Failure *msg.ReceiptCode `json:"failure,omitempty"`
	// Recipients holds the state by recipient, where the provider reports several.
	Recipients map[string]msg.State `json:"recipients,omitempty"`
	// Edits are the earlier versions, oldest first; Removed is when the sender took the message back.
	Edits     []Version  `json:"edits,omitempty"`
	Removed   msg.Time   `json:"removed,omitzero"`
	Reactions []Reaction `json:"reactions,omitempty"`

	// Delivery is how an answer is to go out; nil for everything else.
	Delivery *Delivery `json:"delivery,omitempty"`

	// Applied counts the edits, removals, reactions and receipts that changed the entry, Seen those that changed nothing.
	// With the external-ID items they make the ledger of events: see store.Contribution.
	Applied int `json:"applied,omitempty"`
	Seen    int `json:"seen,omitempty"`
	// Raw is the input that the entry was made from, compressed, when it is small enough to be kept here; RawBlob where it
	// lies otherwise. Neither leaves the server with the entry.
	Raw     []byte `json:"raw,omitempty"`
	RawBlob string `json:"raw_blob,omitempty"`
	// Envelope is the ID of the envelope it came in.
	Envelope string `json:"envelope,omitempty"`
}

// FromCustomer says that the customer said it: somebody has to do something about it.
func (e *Entry) FromCustomer() bool {
	return e.Direction == msg.In && (e.Kind == msg.KindMessage || e.Kind == msg.KindCall)
}

// Version is what a message said before it was edited.
type Version struct {
	At      msg.Time    `json:"at"`
	Message msg.Message `json:"message"`
}

// Reaction is one person's emoji on an entry.
type Reaction struct {
	From  msg.Address `json:"from"`
	Emoji string      `json:"emoji"`
	Time  msg.Time    `json:"time"`
}

// Delivery is how an answer goes out and how far its attempts have come.
type Delivery struct {
	To msg.Address `json:"to"`
	// Due is when the next attempt may be made, or when a state that should not last is looked at again.
	Due     msg.Time `json:"due,omitzero"`
	Attempt int      `json:"attempt"`
	// Started is when the present attempt began, Accepted when the provider took it.
	Started  msg.Time `json:"started,omitzero"`
	Accepted msg.Time `json:"accepted,omitzero"`
	// Claim is a random word by which whoever began the attempt knows it for theirs.
	Claim string `json:"claim,omitempty"`
	// Quote is the external ID of the message to quote.
	Quote string `json:"quote,omitempty"`
	// Cause is why the last attempt did not succeed, in words for an agent.
	Cause string `json:"cause,omitempty"`
	// Since is how long the customer had waited when the answer was written, should the agent take it back.
	Since msg.Time `json:"since,omitzero"`
	// MessageIDs are the Message-IDs under which a mail left, where they are not the message's own.
	MessageIDs []string `json:"message_ids,omitempty"`
	// Conversation is the one that keeps answers in order.
	Conversation string `json:"conversation"`
}

// Time limits of the order and of delivery.
const (
	// ClockSkew is how far ahead of our own clock a provider's time is believed.
	ClockSkew = time.Minute
	// OldestTime is how old a provider's time may be at receipt: longer than the longest redelivery (7 days) and a day.
	OldestTime = 8 * 24 * time.Hour
	// SendingTimeout is how long an attempt may take before nobody knows what became of it.
	SendingTimeout = 2 * time.Minute
	// LateAfter is how much older than the newest entry an event must be to be called late.
	LateAfter = time.Second
)

// SortTime is the time by which an event is ordered: the provider's, at most a minute after receipt. A time that only the
// sender asserts, that is missing or that is more than eight days old is not used: then it is the time of receipt.
func SortTime(at, receivedAt msg.Time, asserted bool) msg.Time {
	switch { // compared as times: a distance of centuries does not fit into a duration
	case asserted, at.IsZero(), at < receivedAt.Add(-OldestTime):
		return receivedAt
	case at > receivedAt.Add(ClockSkew):
		return receivedAt.Add(ClockSkew)
	}
	return at
}

// Bounds of what others can make an entry grow by: an entry must fit into an item.
const (
	maxEdits     = 50
	maxEditBytes = 100 << 10
	maxReactions = 500
)

// Apply works an edit, removal, reaction or receipt into the entry and says whether it changed anything. Applying the same
// event again, or an older one later, changes nothing: the result does not depend on how often and, as far as the event's
// own times tell, in which order events come.
func (e *Entry) Apply(ev *msg.Event, now msg.Time) bool {
	changed := false
	switch {
	case ev.Edit != nil:
		changed = e.edit(ev)
	case ev.Removal != nil:
		changed = e.remove(ev, now)
	case ev.Reaction != nil:
		changed = e.react(ev)
	case ev.Receipt != nil:
		changed = e.receive(ev.Receipt)
	}
	if changed {
		e.Applied++
		e.Touch(now)
	} else {
		e.Seen++
	}
	return changed
}

// edit puts a version where its time has it: what it said before is in Edits with the time at which that was replaced, so one
// that comes late goes between two others and the newest stands. A time that is not known counts as the newest.
func (e *Entry) edit(ev *msg.Event) bool {
	if e.Message == nil {
		return false
	}
	at, next, n := ev.Time, ev.Edit.Message, len(e.Edits)
	if at.IsZero() && n > 0 {
		at = e.Edits[n-1].At
	}
	place := n
	for place > 0 && e.Edits[place-1].At > at {
		place--
	}
	replaced := e.version(place)
	if len(next.Parts) == 0 {
		next.Parts = replaced.Parts // providers send the new caption alone
	}
	keepFiles(replaced, &next)
	if sameText(replaced, &next) && (at.IsZero() || place > 0 && e.Edits[place-1].At == at) {
		return false // it came before
	}
	if n >= maxEdits && place <= 1 {
		return false // older than all that are kept
	}
	e.Edits = slices.Insert(e.Edits, place, Version{At: at, Message: *replaced})
	if place == n {
		e.Message = &next
	} else {
		e.Edits[place+1].Message = next
	}
	for len(e.Edits) > maxEdits || len(e.Edits) > 1 && sizeOf(e.Edits) > maxEditBytes {
		e.Edits = slices.Delete(e.Edits, 1, 2) // the first version is what was sent, and stays
	}
	return true
}

// version is what stood before the edit at a place, or now.
func (e *Entry) version(place int) *msg.Message {
	if place < len(e.Edits) {
		return &e.Edits[place].Message
	}
	return e.Message
}

func sizeOf(versions []Version) int {
	n := 0
	for i := range versions {
		m := &versions[i].Message
		n += len(m.Text) + len(m.Quoted) + len(m.FullText)
		for j := range m.Parts {
			n += len(m.Parts[j].Text)
		}
	}
	return n
}

func sameText(a, b *msg.Message) bool {
	return a.Text == b.Text && a.Subject == b.Subject && slices.EqualFunc(a.Parts, b.Parts, func(x, y msg.Part) bool {
		return x.Kind == y.Kind && x.Text == y.Text && (x.Media == nil) == (y.Media == nil) && (x.Media == nil || x.Media.ID == y.Media.ID)
	})
}

// keepFiles lets a version show the files of the one that it replaces as they are, where both name the same.
func keepFiles(replaced, next *msg.Message) {
	for i := range next.Parts {
		m := next.Parts[i].Media
		if m == nil || m.ID == "" {
			continue
		}
		for j := range replaced.Parts {
			if have := replaced.Parts[j].Media; have != nil && have.ID == m.ID {
				same := *have
				next.Parts[i].Media = &same
			}
		}
	}
}

// File lists the places in which a file is shown: in the message as it is and as it was before it was edited. A file without
// an ID is known by its part of the message alone.
func (e *Entry) File(part int, id string) []*msg.Media {
	if e.Message == nil {
		return nil
	}
	if id == "" {
		if part >= len(e.Message.Parts) || e.Message.Parts[part].Media == nil || e.Message.Parts[part].Media.ID != "" {
			return nil
		}
		return []*msg.Media{e.Message.Parts[part].Media}
	}
	var files []*msg.Media
	add := func(m *msg.Message) {
		for i := range m.Parts {
			if f := m.Parts[i].Media; f != nil && f.ID == id {
				files = append(files, f)
			}
		}
	}
	add(e.Message)
	for i := range slices.Backward(e.Edits) {
		add(&e.Edits[i].Message)
	}
	return files
}

func (e *Entry) remove(ev *msg.Event, now msg.Time) bool {
	at := ev.Time
	if at.IsZero() {
		at = now
	}
	if !e.Removed.IsZero() && at >= e.Removed {
		return false
	}
	e.Removed = at
	return true
}

func (e *Entry) react(ev *msg.Event) bool {
	from := ev.From
	from.Also = nil
	for i := range e.Reactions {
		old := &e.Reactions[i]
		if old.From.Key() != from.Key() {
			continue
		}
		if ev.Time < old.Time {
			return false
		}
		if old.Emoji == ev.Reaction.Emoji {
			old.Time = ev.Time // nothing to see, but one from in between must not replace it
			return false
		}
		// A reaction that was taken back keeps its place without an emoji: an older one that comes late must not bring it back.
		old.Emoji, old.Time = ev.Reaction.Emoji, ev.Time
		return true
	}
	if len(e.Reactions) >= maxReactions {
		return false
	}
	e.Reactions = append(e.Reactions, Reaction{From: from, Emoji: ev.Reaction.Emoji, Time: ev.Time})
	return true
}

// receive moves the delivery state forward (I7). With several recipients the entry shows the most advanced, and failed only
// when all of them have failed.
func (e *Entry) receive(r *msg.Receipt) bool {
	if e.Direction != msg.Out {
		return false
	}
	changed := false
	if r.Recipient != "" && len(e.Recipients) < 256 {
		was, ok := e.Recipients[r.Recipient]
		if !ok {
			was = msg.Accepted
		}
		next, moved := was.Next(r.State)
		if moved || !ok {
			if e.Recipients == nil {
				e.Recipients = map[string]msg.State{}
			}
			e.Recipients[r.Recipient] = next
			changed = moved
		}
	}
	if next, moved := e.State.Next(r.State); moved && (r.State != msg.Failed || e.allFailed()) {
		e.State, changed = next, true
	}
	if changed && (r.State == msg.Failed || r.State == msg.Delayed) {
		e.Failure = r.Error
	}
	if changed && e.State != msg.Failed && e.State != msg.Delayed {
		e.Failure = nil
	}
	if changed && e.State.Settled() && e.Delivery != nil {
		e.Delivery.Due = 0
		e.Delivery.Cause = ""
	}
	return changed
}

func (e *Entry) allFailed() bool {
	for _, state := range e.Recipients {
		if state != msg.Failed {
			return false
		}
	}
	return true
}

// Settle moves the delivery state by our own doing (an attempt begins, ends, is taken back), outside the ledger of events.
func (e *Entry) Settle(s msg.State, now msg.Time) {
	e.State = s
	e.Touch(now)
}

// Touch notes a change. Of two changes of an entry the later one always has the greater time, also when both fall into the
// same millisecond or another machine's clock is behind: whoever shows the entry tells by this time which version is newer,
// and its notification moves by it.
func (e *Entry) Touch(now msg.Time) {
	e.ChangedAt = max(now, e.ChangedAt+1)
}
