package store

import (
	"errors"
	"slices"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// person is who an event is filed under: the customer's profile, loaded in the unit.
type person struct {
	key table.Key
	*customerRecord
}

// errErased says that an event came from somebody who was erased after it was received.
var errErased = errors.New("the sender was erased after this was received")

// customer finds the customer that an event belongs to, creating what is missing.
//
// All identities of the event are read. All known ones on one customer: that one. Several customers: the first in the order
// that the channel declares wins, and a merge is suggested, never made. An echo is filed under whom it was written to. Whose
// address changed is told by the old one: the new one may have been somebody else's before.
func (u *unit) customer(in *Incoming) (*person, error) {
	addresses := ranked(subject(&in.Event), in.Rules.Identities)
	change := in.Event.Identity
	if change != nil {
		addresses = append(ranked(change.Was.All(), in.Rules.Identities), ranked(change.Now.All(), in.Rules.Identities)...)
	}
	if len(addresses) == 0 {
		// Nobody is named (a device, a broken header): everything anonymous on the account is one customer's.
		addresses = []msg.Address{{Kind: "anonymous", Value: in.Event.Channel + "/" + in.Event.Account}}
	}
	known := make([]*identity, len(addresses))
	var winner string
	var others []string
	for i, a := range addresses {
		id, err := load[identity](u, u.s.identityKey(a))
		if err != nil {
			return nil, err
		}
		known[i] = id
		switch {
		case id != nil && in.ReceivedAt < id.Erased:
			return nil, errErased
		case id == nil || id.Customer == "":
		case winner == "":
			winner = id.Customer
		case winner != id.Customer && !slices.Contains(others, id.Customer):
			others = append(others, id.Customer)
		}
	}
	if winner == "" {
		generation := 0
		if known[0] != nil {
			generation = known[0].Generation
		}
		winner = u.s.customerID(addresses[0], generation)
	}
	who, err := u.profile(winner)
	if err != nil {
		return nil, err
	}
	for i, a := range addresses {
		if err := u.meet(who, a, known[i]); err != nil {
			return nil, err
		}
	}
	for _, other := range others {
		if who.Suggest(timeline.Suggestion{Customer: other, Why: "same_event"}) {
			u.save(who.key, who.customerRecord)
		}
		if change == nil {
			continue
		}
		// What they write from the new address goes to the other one's timeline: whoever reads that must see it too.
		they, err := u.profile(other)
		if err != nil {
			return nil, err
		}
		if they.Suggest(timeline.Suggestion{Customer: winner, Why: "same_event"}) {
			u.save(they.key, they.customerRecord)
		}
	}
	return who, nil
}

// ranked puts addresses into the order in which a channel declares their kinds.
func ranked(addresses []msg.Address, kinds []string) []msg.Address {
	slices.SortStableFunc(addresses, func(a, b msg.Address) int { return rank(kinds, a.Kind) - rank(kinds, b.Kind) })
	return addresses
}

// Subject lists the addresses of whom an event is about.
func Subject(ev *msg.Event) []msg.Address { return subject(ev) }

// subject lists whom the event is about: the sender, or for what we said elsewhere the ones it was said to.
func subject(ev *msg.Event) []msg.Address {
	switch {
	case ev.Identity != nil:
		return append(ev.Identity.Was.All(), ev.Identity.Now.All()...)
	case ev.Direction == msg.Out && len(ev.To) > 0:
		return ev.To[0].All()
	}
	return ev.From.All()
}

func rank(kinds []string, kind string) int {
	if i := slices.Index(kinds, kind); i >= 0 {
		return i
	}
	return len(kinds)
}

// profile loads a customer, or makes one that is saved with the first thing that changes it.
func (u *unit) profile(id string) (*person, error) {
	k, err := customerKey(id)
	if err != nil {
		return nil, err
	}
	c, err := load[customerRecord](u, k)
	if err != nil {
		return nil, err
	}
	if c == nil {
		c = &customerRecord{timeline.Customer{Customer: id, Created: u.s.now()}}
		u.save(k, c)
	}
	return &person{k, c}, nil
}

// meet makes the address one of the customer's, unless it is somebody else's.
func (u *unit) meet(who *person, a msg.Address, id *identity) error {
	k := u.s.identityKey(a)
	switch {
	case id == nil:
		u.save(k, &identity{Customer: who.Customer.Customer})
	case id.Customer == "":
		id.Customer, id.Retired = who.Customer.Customer, false
		u.save(k, id)
	case id.Customer != who.Customer.Customer:
		return nil
	}
	if who.Meet(a) {
		u.save(who.key, who.customerRecord)
	}
	if who.Knows(a) {
		return nil
	}
	// The profile is full. The address stands beside it, so that whoever is erased is erased by it too.
	at := u.s.keptKey(who.Customer.Customer, a)
	have, err := load[kept](u, at)
	if err != nil || have != nil && have.Until.IsZero() {
		return err
	}
	a.Also, a.Name = nil, ""
	u.save(at, &kept{Address: a})
	u.save(who.key, who.customerRecord) // an erasure at the same time must notice
	return nil
}

// rename works in that a customer's address changed: the old one is nobody's, and the next to use it is somebody else. The new
// one became theirs when they were met, unless it is another customer's: that one keeps it, and both are told of each other
// (see customer). The old one stays beside the profile, with the time until which it was theirs.
func (u *unit) rename(change *msg.Identity, at msg.Time) error {
	for _, was := range change.Was.All() {
		if slices.ContainsFunc(change.Now.All(), func(now msg.Address) bool { return now.Key() == was.Key() }) {
			continue
		}
		k := u.s.identityKey(was)
		id, err := load[identity](u, k)
		if err != nil {
			return err
		}
		if id == nil || id.Customer == "" {
			continue
		}
		owner, err := u.profile(id.Customer)
		if err != nil {
			return err
		}
		id.Customer, id.Retired = "", true
		id.Generation++
		u.save(k, id)
		owner.Forget(was)
		u.save(owner.key, owner.customerRecord)
		former := u.s.keptKey(owner.Customer.Customer, was)
		if _, err := load[kept](u, former); err != nil {
			return err
		}
		was.Name = ""
		u.save(former, &kept{Address: was, Until: at})
	}
	return nil
}

// join chooses the case: the one that is answered, the one that is open in the conversation (or, on chat-like channels,
// anywhere), or a new one. It returns the case's record; the caller works the entry into it and it is saved with the unit.
func (u *unit) join(in *Incoming, who *person, e *entryRecord) (*caseRecord, error) {
	cited, err := u.answered(in)
	if err != nil {
		return nil, err
	}
	if cited != nil && who.Is(cited.Customer) {
		if cited.CanReopen(in.ReceivedAt) {
			return u.enter(who, cited, e)
		}
		return u.open(in, who, e, cited, "follow_up")
	}
	if cited != nil { // somebody else's case: never joined, only pointed at
		e.Unverified = true
		if who.Suggest(timeline.Suggestion{Customer: cited.Customer, Why: "cited_case", Case: cited.Case.Case}) {
			u.save(who.key, who.customerRecord)
		}
	}
	found, err := u.openCase(in, who, e)
	if err != nil {
		return nil, err
	}
	if found != nil {
		if cited != nil {
			found.Link(cited.Case.Case, "cited")
		}
		if found.CanReopen(in.ReceivedAt) {
			return u.enter(who, found, e)
		}
		return u.open(in, who, e, found, "follow_up")
	}
	return u.open(in, who, e, cited, "cited")
}

// enter makes an existing case the one of the entry's conversation.
func (u *unit) enter(who *person, c *caseRecord, e *entryRecord) (*caseRecord, error) {
	k, err := caseKey(c.Case.Case)
	if err != nil {
		return nil, err
	}
	u.save(k, c)
	// A machine's mail, or what we said ourselves, is filed where it belongs but opens nothing that is closed.
	if c.State == timeline.CaseSolved && (e.Automatic || !e.Entry.FromCustomer()) {
		return c, nil
	}
	if c.State == timeline.CaseSolved && c.Agent != "" { // closing took it off the agent's desk
		agent := c.Agent
		c.Agent = ""
		if err := u.assign(c, agent); err != nil {
			return nil, err
		}
	}
	if who.Opens(timeline.ConversationOf(&e.Event), c.Case.Case, c.Opened) {
		u.save(who.key, who.customerRecord)
	}
	return c, nil
}

// answered is the case of a message that the event answers, or nil: by signed reply address, by external ID, by mail
// references from the newest to the oldest. Whether the sender may take part in it is the caller's question.
func (u *unit) answered(in *Incoming) (*caseRecord, error) {
	ev := &in.Event
	if ev.Message == nil {
		return nil, nil
	}
	if token := ev.Message.ReplyToken; token != "" {
		p, err := load[pointer](u, u.s.replyTokenKey(token))
		if err != nil {
			return nil, err
		}
		if p != nil {
			return u.caseOf(p.Case)
		}
	}
	if ev.ReplyTo != "" {
		x, err := load[external](u, u.s.externalKey(ev.Channel, in.Scope, ev.ReplyTo))
		if err != nil {
			return nil, err
		}
		if x != nil && x.Entry != "" {
			return u.caseOfEntry(x.Entry)
		}
	}
	if !in.Rules.References {
		return nil, nil
	}
	return u.referred(ev)
}

// maxLookups bounds how many Message-IDs of one mail are looked up, and how many entries under each.
const maxLookups = 10

func (u *unit) referred(ev *msg.Event) (*caseRecord, error) {
	ids := make([]string, 0, 1+len(ev.Message.References))
	if ev.Message.InReplyTo != "" {
		ids = append(ids, ev.Message.InReplyTo)
	}
	for _, id := range slices.Backward(ev.Message.References) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	var strangers *caseRecord
	for _, id := range ids[:min(len(ids), maxLookups)] {
		under, err := query[threaded](u.ctx, u.s, table.Query{PK: u.s.messageIDKey(id), Limit: maxLookups})
		if err != nil {
			return nil, err
		}
		for _, t := range under {
			c, err := u.caseOfEntry(t.Entry)
			if err != nil {
				return nil, err
			}
			if c == nil {
				continue
			}
			mine, err := u.belongs(ev, c)
			if err != nil {
				return nil, err
			}
			if mine {
				return c, nil
			}
			if strangers == nil {
				strangers = c
			}
		}
	}
	return strangers, nil
}

// belongs says that the event's sender is the person whose case it is.
func (u *unit) belongs(ev *msg.Event, c *caseRecord) (bool, error) {
	for _, a := range subject(ev) {
		id, err := load[identity](u, u.s.identityKey(a))
		if err != nil {
			return false, err
		}
		if id == nil || id.Customer == "" {
			continue
		}
		if id.Customer == c.Customer {
			return true, nil
		}
		who, err := u.profile(id.Customer)
		if err != nil {
			return false, err
		}
		if who.Is(c.Customer) {
			return true, nil
		}
	}
	return false, nil
}

func (u *unit) caseOf(id string) (*caseRecord, error) {
	_, c, err := u.header(id)
	return c, err
}

func (u *unit) caseOfEntry(id string) (*caseRecord, error) {
	_, e, err := u.entry(id)
	if err != nil || e == nil {
		return nil, err
	}
	return u.caseOf(e.Entry.Case)
}

// openCase is the case that the conversation is in, open or lately solved; on chat-like channels else the newest open case
// of the person on any channel. Nil when there is none.
func (u *unit) openCase(in *Incoming, who *person, e *entryRecord) (*caseRecord, error) {
	if in.Rules.Submission {
		return nil, nil
	}
	conversation := timeline.ConversationOf(&e.Event)
	if open, ok := who.Open[conversation]; ok && who.Is(CustomerOf(open.Case)) { // else a merge was taken back just now
		return u.caseOf(open.Case)
	}
	if in.Rules.ChatLike {
		newest := who.Newest()
		for _, member := range who.Members() {
			if member == who.Customer.Customer {
				continue
			}
			other, err := u.profile(member)
			if err != nil {
				return nil, err
			}
			if open := other.Newest(); newest.Case == "" || open.Case != "" && open.Opened > newest.Opened {
				newest = open
			}
		}
		if newest.Case != "" {
			return u.caseOf(newest.Case)
		}
	}
	if closed, ok := who.Closed[conversation]; ok && who.Is(CustomerOf(closed)) {
		return u.caseOf(closed)
	}
	return nil, nil
}

// open makes a new case for the entry, linked to another where there is one.
func (u *unit) open(in *Incoming, who *person, e *entryRecord, linked *caseRecord, why string) (*caseRecord, error) {
	id := who.Customer.Customer + "-k" + u.s.short("case", e.Entry.Entry)
	k, err := caseKey(id)
	if err != nil {
		return nil, err
	}
	c, err := fresh[caseRecord](u, k)
	if err != nil {
		return nil, err
	}
	if c != nil { // the event was here before and its external ID was lost: file it where it was
		return u.enter(who, c, e)
	}
	reference, err := u.refer(id)
	if err != nil {
		return nil, err
	}
	c = &caseRecord{timeline.Case{
		Case: id, Reference: reference, Customer: who.Customer.Customer, CustomerName: who.Name, State: timeline.CaseOpen,
		Team: in.Rules.Team, Channel: e.Channel, Account: e.Account, Subject: title(&e.Event), Opened: in.ReceivedAt,
	}}
	if linked != nil {
		c.Link(linked.Case.Case, why)
	}
	u.save(k, c)
	conversation := timeline.ConversationOf(&e.Event)
	switch {
	case e.Automatic, e.Kind == msg.KindIdentity, e.Direction == msg.Out:
		// Nobody asked anything: it is on record, and nothing is open. The profile is written all the same, so that an
		// erasure at the same time is noticed.
		c.State, c.Solved = timeline.CaseSolved, in.ReceivedAt
		u.save(who.key, who.customerRecord)
	case who.Opens(conversation, id, in.ReceivedAt):
		u.save(who.key, who.customerRecord)
	}
	return c, nil
}

// refer finds a free reference for a new case and takes it.
func (u *unit) refer(id string) (string, error) {
	for salt := 0; ; salt++ {
		reference := u.s.reference(id, salt)
		k := referenceKey(reference)
		taken, err := fresh[pointer](u, k)
		if err != nil {
			return "", err
		}
		if taken == nil {
			u.save(k, &pointer{Case: id})
			return reference, nil
		}
		if taken.Case == id {
			return reference, nil
		}
	}
}

const maxTitle = 120

// title is what a case is called until an agent says otherwise: the subject, or the first line of what was written.
func title(ev *msg.Event) string {
	if ev.Message == nil {
		return ""
	}
	for _, s := range []string{ev.Message.Subject, ev.Message.Text} {
		if s = firstLine(s); s != "" {
			return s
		}
	}
	for _, p := range ev.Message.Parts {
		if s := firstLine(p.Text); s != "" {
			return s
		}
	}
	return ""
}
