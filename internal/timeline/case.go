package timeline

import (
	"slices"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
)

// CaseState says whose turn it is.
type CaseState string

// The states of a case.
const (
	// CaseOpen: the desk has something to do. CaseWaiting: the customer has. CaseSnoozed: until a time or an answer.
	CaseOpen    CaseState = "open"
	CaseWaiting CaseState = "waiting"
	CaseSnoozed CaseState = "snoozed"
	CaseSolved  CaseState = "solved"
)

// Case is one matter of a customer: a labelled span of the timeline.
type Case struct {
	Case         string    `json:"case"`
	Reference    string    `json:"reference"`
	Customer     string    `json:"customer"`
	CustomerName string    `json:"customer_name"`
	State        CaseState `json:"state"`
	Team         string    `json:"team"`
	Agent        string    `json:"agent,omitempty"`
	Channel      string    `json:"channel"`
	Account      string    `json:"account"`
	Subject      string    `json:"subject"`
	Reason       string    `json:"reason,omitempty"`
	Tags         []string  `json:"tags,omitempty"`
	Opened       msg.Time  `json:"opened"`
	// NextDue is when somebody must have been served: the work list's order. Zero when nothing is owed.
	NextDue msg.Time `json:"next_due,omitzero"`

	// Conversations are the ones that have joined the case, the one that opened it first.
	Conversations []string `json:"conversations,omitempty"`
	// LastIn is when the customer last wrote, by conversation: reply windows count from it. Quote is the newest message.
	LastIn map[string]msg.Time `json:"last_in,omitempty"`
	// LastEntry is the newest entry's sort time.
	LastEntry msg.Time `json:"last_entry"`
	Changed   msg.Time `json:"changed"`
	// Acted is when an agent last changed the case itself (state, assignment, tags).
	Acted msg.Time `json:"acted,omitzero"`
	// FirstAnswer is when a person first answered; Waiting is since when the customer has waited for the present answer.
	FirstAnswer msg.Time `json:"first_answer,omitzero"`
	Waiting     msg.Time `json:"waiting_since,omitzero"`
	SnoozedTo   msg.Time `json:"snoozed_until,omitzero"`
	Solved      msg.Time `json:"solved_at,omitzero"`
	// Recalled is when an answer of unknown fate brought the case back to the desk, while nothing else has since.
	Recalled msg.Time `json:"recalled,omitzero"`
	// SeenBy is who opened the case first since it last needed somebody.
	SeenBy string `json:"seen_by,omitempty"`
	// Warn is when the leads hear of it if nobody has seen it; Warned that they have.
	Warn   msg.Time `json:"warn,omitzero"`
	Warned bool     `json:"warned,omitempty"`
	// Unsettled are answers that are not yet out, oldest first.
	Unsettled []string `json:"unsettled,omitempty"`
	In        int      `json:"messages_in"`
	Out       int      `json:"messages_out"`
	// Linked are other cases that this one follows up or seems to belong to; Suggested that nobody has confirmed it.
	Linked []Link `json:"linked,omitempty"`
	// AnsweredOn are the channels on which a reply address leads to the case.
	AnsweredOn []string `json:"answered_on,omitempty"`
	// Thread is the mail thread's subject and latest references, for the next answer.
	References []string `json:"references,omitempty"`
}

// Link points at another case.
type Link struct {
	Case string `json:"case"`
	// Why is "follow_up" (the case was solved too long ago), "cited" (somebody else's case was cited) or "undone_merge".
	Why string `json:"why"`
}

// Promise is the service level that applies to a case.
type Promise struct {
	FirstAnswer time.Duration
	// Hours is nil when the clock runs day and night.
	Hours *Hours
}

// Deadline is when an answer to something received at t is due.
func (p Promise) Deadline(t msg.Time) msg.Time {
	if p.Hours == nil {
		return t.Add(p.FirstAnswer)
	}
	return p.Hours.Add(t, p.FirstAnswer)
}

// ReopenWithin is how long an answer reopens a solved case; later it opens a new one, linked.
const ReopenWithin = 7 * 24 * time.Hour

// CanReopen says whether a message received at t still belongs to the solved case.
func (c *Case) CanReopen(t msg.Time) bool {
	return c.State != CaseSolved || t.Sub(c.Solved) <= ReopenWithin
}

// maxLinks, maxConversations and maxReferences bound lists that a stranger can make grow.
const (
	maxLinks         = 20
	maxConversations = 50
	maxReferences    = 20
)

// Heard works an entry that came from the customer into the case: who has to do what by when.
//
// The clock starts at receipt of the first message that nobody has answered, and further messages do not move it. Machine
// mail is recorded and moves nothing.
func (c *Case) Heard(e *Entry, p Promise) {
	c.In++
	c.note(e)
	conversation := ConversationOf(&e.Event)
	c.heardIn(conversation, e.Sort)
	c.joinConversation(conversation)
	if e.Message != nil && e.Message.MessageID != "" {
		c.refer(e.Message.MessageID)
	}
	if e.Automatic {
		return
	}
	if c.Waiting.IsZero() {
		c.Waiting = e.ReceivedAt
		c.NextDue = p.Deadline(e.ReceivedAt)
		c.Warn, c.Warned, c.SeenBy = half(e.ReceivedAt, c.NextDue), false, ""
	}
	c.State = CaseOpen
	c.SnoozedTo, c.Solved, c.Recalled = 0, 0, 0
}

// heardIn notes when the customer last wrote in a conversation; of too many, the one that was silent longest is forgotten.
func (c *Case) heardIn(conversation string, at msg.Time) {
	if c.LastIn == nil {
		c.LastIn = map[string]msg.Time{}
	}
	if _, known := c.LastIn[conversation]; !known && len(c.LastIn) >= maxConversations {
		oldest := sortedKeys(c.LastIn)[0]
		for _, one := range sortedKeys(c.LastIn) {
			if c.LastIn[one] < c.LastIn[oldest] {
				oldest = one
			}
		}
		delete(c.LastIn, oldest)
	}
	c.LastIn[conversation] = max(at, c.LastIn[conversation])
}

func half(from, to msg.Time) msg.Time { return from + (to-from)/2 }

func (c *Case) note(e *Entry) {
	if e.Sort > c.LastEntry {
		c.LastEntry = e.Sort
	}
	if e.ChangedAt > c.Changed {
		c.Changed = e.ChangedAt
	}
}

func (c *Case) joinConversation(conversation string) {
	if slices.Contains(c.Conversations, conversation) || len(c.Conversations) >= maxConversations {
		return
	}
	c.Conversations = append(c.Conversations, conversation)
}

func (c *Case) refer(messageID string) {
	if slices.Contains(c.References, messageID) {
		return
	}
	c.References = append(c.References, messageID)
	if n := len(c.References); n > maxReferences {
		// The first names the thread, the last ones place the answer (RFC 5322 section 3.6.4).
		c.References = slices.Delete(c.References, 1, 1+n-maxReferences)
	}
}

// Told works what was said on our own account elsewhere (an echo), a note, a call or a signal into the case: recorded, and an
// echo counts as an answer.
func (c *Case) Told(e *Entry) {
	c.note(e)
	if e.Direction == msg.Out && e.Kind == msg.KindMessage && !e.Automatic {
		c.Out++
		c.answered(e.Sort)
	}
}

// Answered works a new answer by an agent into the case: the turn passes to the customer.
func (c *Case) Answered(e *Entry) {
	c.note(e)
	c.Out++
	c.Unsettled = append(c.Unsettled, e.Entry)
	if e.Message != nil && e.Message.MessageID != "" {
		c.refer(e.Message.MessageID)
	}
	if !e.Automatic {
		c.answered(e.StoredAt)
	}
}

func (c *Case) answered(at msg.Time) {
	if c.FirstAnswer.IsZero() {
		c.FirstAnswer = at
	}
	if c.State == CaseOpen || c.State == CaseSnoozed {
		c.State = CaseWaiting
	}
	c.Waiting, c.NextDue, c.Warn, c.SnoozedTo = 0, 0, 0, 0
}

// Undelivered brings a case back to the desk because an answer failed or its fate is unknown: due at once.
//
// When it turns out that an answer whose fate was unknown did arrive, [Case.Arrived] takes that back; a failure stays.
func (c *Case) Undelivered(now msg.Time, unsure bool) {
	c.State, c.Solved, c.SnoozedTo = CaseOpen, 0, 0
	if c.Waiting.IsZero() {
		c.Waiting, c.NextDue = now, now
		if unsure {
			c.Recalled = now
		}
	}
	if !unsure {
		c.Recalled = 0
	}
	c.Changed = now
}

// Arrived notes that an answer whose fate was unknown did arrive: when nothing else brought the case to the desk since, it is
// the customer's turn again.
func (c *Case) Arrived(now msg.Time) {
	if c.State == CaseOpen && !c.Recalled.IsZero() && c.Waiting == c.Recalled {
		c.State, c.Waiting, c.NextDue, c.Recalled = CaseWaiting, 0, 0, 0
		c.Changed = now
	}
}

// Unanswered takes back an answer that the agent withdrew before it was sent: the customer is waiting again, since before.
func (c *Case) Unanswered(since msg.Time, p Promise, now msg.Time) {
	c.Out--
	if c.State == CaseWaiting {
		c.State = CaseOpen
	}
	c.Waiting, c.NextDue = since, p.Deadline(since)
	c.Changed = now
}

// Settled removes an answer from those that are not yet out.
func (c *Case) Settled(entry string, now msg.Time) {
	c.Unsettled = slices.DeleteFunc(c.Unsettled, func(u string) bool { return u == entry })
	c.Changed = now
}

// Link notes another case, once.
func (c *Case) Link(other, why string) {
	for _, l := range c.Linked {
		if l.Case == other {
			return
		}
	}
	if other != c.Case && len(c.Linked) < maxLinks {
		c.Linked = append(c.Linked, Link{Case: other, Why: why})
	}
}

// Solve closes the case; Snooze puts it away until a time or an answer; Reopen brings it back.
func (c *Case) Solve(now msg.Time) {
	c.State, c.Solved = CaseSolved, now
	c.Waiting, c.NextDue, c.Warn, c.SnoozedTo = 0, 0, 0, 0
	c.Acted, c.Changed = now, now
}

// Snooze puts the case away until a time or an answer.
func (c *Case) Snooze(until, now msg.Time) {
	c.State, c.SnoozedTo = CaseSnoozed, until
	c.Acted, c.Changed = now, now
}

// Wake ends a snooze: the case is due now unless an earlier promise stands.
func (c *Case) Wake(now msg.Time) {
	if c.State != CaseSnoozed {
		return
	}
	c.Reopen(now)
}

// Reopen brings the case back to the desk.
func (c *Case) Reopen(now msg.Time) {
	c.State, c.SnoozedTo, c.Solved = CaseOpen, 0, 0
	if c.NextDue.IsZero() {
		c.NextDue = now
	}
	c.Acted, c.Changed = now, now
}

// Order is the case's place in the work list: who must be served next comes first. Later lists what waits for somebody or
// something else, by when it comes back or was last touched.
func (c *Case) Order() (at msg.Time, later bool) {
	switch c.State {
	case CaseOpen:
		if c.NextDue.IsZero() {
			return c.Opened, false
		}
		return c.NextDue, false
	case CaseSnoozed:
		return c.SnoozedTo, true
	}
	return c.Opened, true
}

// Alarm is when Tick has to look at the case: the end of a snooze, or half of the promised time with nobody having seen it.
// Zero when there is nothing to look at.
func (c *Case) Alarm() msg.Time {
	switch {
	case c.State == CaseSnoozed:
		return c.SnoozedTo
	case c.State == CaseOpen && !c.Warned && c.SeenBy == "" && c.Agent == "":
		return c.Warn
	}
	return 0
}

// ConversationOf names the conversation that an event belongs to: its channel, account and thread.
func ConversationOf(e *msg.Event) string { return Conversation(e.Channel, e.Account, e.Thread) }

// Conversation is (channel, account, thread key) in one string.
func Conversation(channel, account, thread string) string {
	return channel + "/" + account + "/" + thread
}
