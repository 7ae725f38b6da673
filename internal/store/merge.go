package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// mergeRecord is a merge as it is kept: it stays when the merge is taken back, so that everybody can see what was done.
type mergeRecord struct {
	timeline.Merge
	Undone   msg.Time `json:"undone,omitzero"`
	UndoneBy string   `json:"undone_by,omitempty"`
}

func mergeKey(id string) table.Key { return table.Key{PK: "M#" + id, SK: "A"} }

// Merge makes two customers one person. Nothing moves: entries and identities stay where they are and are read together.
// Merging who is one person already returns the merge that says so. Refused with Conflict when more than MaxPerson customers
// would be one person.
func (s *Store) Merge(ctx context.Context, a, b, by string) (*timeline.Merge, error) {
	if a == b {
		return nil, fault.Field("customers", "a customer cannot be merged with itself")
	}
	var made *timeline.Merge
	err := s.update(ctx, fmt.Sprintf("merge customers %s and %s", a, b), func(u *unit) error {
		profiles, merges, err := u.persons(a, b)
		if err != nil {
			return err
		}
		for _, m := range merges {
			if slices.Contains(m.Customers[:], a) && slices.Contains(m.Customers[:], b) {
				made = &m
				return nil
			}
		}
		made = &timeline.Merge{Merge: s.hash("merge", min(a, b), max(a, b), s.newID()), Customers: [2]string{a, b}, By: by, At: s.now()}
		k := mergeKey(made.Merge)
		if _, err := load[mergeRecord](u, k); err != nil {
			return err
		}
		u.save(k, &mergeRecord{Merge: *made})
		return u.regroup(profiles, append(merges, *made))
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// persons loads the profiles of everybody who is one person with any of the customers, and the merges in force among them.
func (u *unit) persons(ids ...string) ([]*person, []timeline.Merge, error) {
	var profiles []*person
	var merges []timeline.Merge
	seen := map[string]bool{}
	for len(ids) > 0 {
		id := ids[0]
		ids = ids[1:]
		if seen[id] {
			continue
		}
		seen[id] = true
		k, err := customerKey(id)
		if err != nil {
			return nil, nil, err
		}
		c, err := load[customerRecord](u, k)
		if err != nil {
			return nil, nil, err
		}
		if c == nil {
			return nil, nil, missing("customer", id)
		}
		profiles = append(profiles, &person{k, c})
		ids = append(ids, c.Person...)
		for _, m := range c.Merges {
			if !slices.ContainsFunc(merges, func(have timeline.Merge) bool { return have.Merge == m.Merge }) {
				merges = append(merges, m)
			}
		}
	}
	return profiles, merges, nil
}

// regroup writes into every profile who is one person with it under the merges in force.
func (u *unit) regroup(profiles []*person, merges []timeline.Merge) error {
	ids := make([]string, len(profiles))
	for i, p := range profiles {
		ids[i] = p.Customer.Customer
	}
	for _, group := range timeline.Components(ids, merges) {
		if len(group) > timeline.MaxPerson {
			return fault.Newf(fault.Conflict, "person_too_large", "%d customers would be one person; %d is the most", len(group), timeline.MaxPerson)
		}
		for _, p := range profiles {
			if !slices.Contains(group, p.Customer.Customer) {
				continue
			}
			p.Person, p.Merges = nil, nil
			if len(group) > 1 {
				p.Person = group
			}
			for _, m := range merges {
				if slices.Contains(group, m.Customers[0]) {
					p.Merges = append(p.Merges, m)
				}
			}
			p.Suggested = slices.DeleteFunc(p.Suggested, func(sg timeline.Suggestion) bool { return slices.Contains(group, sg.Customer) })
			u.save(p.key, p.customerRecord)
		}
	}
	return nil
}

// Unmerge takes a merge back. Entries that were filed in a case of somebody who is another person again get a case of their
// own customer, the same one however often this is called; nothing is lost and nothing moves between customers.
func (s *Store) Unmerge(ctx context.Context, id, by string) error {
	var affected []string
	err := s.update(ctx, "take back merge "+id, func(u *unit) error {
		record, err := load[mergeRecord](u, mergeKey(id))
		if err != nil {
			return err
		}
		if record == nil {
			return missing("merge", id)
		}
		profiles, merges, err := u.persons(record.Customers[0], record.Customers[1])
		if err != nil {
			return err
		}
		affected = nil
		for _, p := range profiles {
			affected = append(affected, p.Customer.Customer)
		}
		if !record.Undone.IsZero() {
			return nil // done before; the re-filing below may have been cut short
		}
		record.Undone, record.UndoneBy = s.now(), by
		u.save(mergeKey(id), record)
		merges = slices.DeleteFunc(merges, func(m timeline.Merge) bool { return m.Merge == id })
		return u.regroup(profiles, merges)
	})
	if err != nil {
		return err
	}
	for _, customer := range affected {
		if err := s.refile(ctx, customer, id); err != nil {
			return fmt.Errorf("take back merge %s: %w; call again to finish", id, err)
		}
	}
	return nil
}

// refile gives every entry of the customer that lies in a stranger's case a case of its own customer.
func (s *Store) refile(ctx context.Context, customer, merge string) error {
	who, err := s.Customer(ctx, customer)
	if err != nil {
		return err
	}
	last := ""
	for {
		part, err := query[entryRecord](ctx, s, table.Query{PK: "C#" + customer, From: "E#", To: "E$", After: last, Limit: MaxPage})
		if err != nil {
			return err
		}
		for _, e := range part {
			last = entrySK(e.Sort, e.Entry.Entry)
			if !who.Is(CustomerOf(e.Entry.Case)) {
				if err := s.refileEntry(ctx, e.Entry.Entry, merge); err != nil {
					return err
				}
			}
		}
		if len(part) < MaxPage {
			return s.closeStrange(ctx, customer)
		}
	}
}

func (s *Store) refileEntry(ctx context.Context, entry, merge string) error {
	return s.update(ctx, "file entry "+entry+" under its own customer", func(u *unit) error {
		k, err := entryKey(entry)
		if err != nil {
			return err
		}
		e, err := load[entryRecord](u, k)
		if err != nil || e == nil {
			return err
		}
		who, err := u.profile(e.Entry.Customer)
		if err != nil {
			return err
		}
		if who.Is(CustomerOf(e.Entry.Case)) {
			return nil
		}
		id := who.Customer.Customer + "-m" + s.short("unmerged", merge, e.Entry.Case)
		ck, err := caseKey(id)
		if err != nil {
			return err
		}
		c, err := load[caseRecord](u, ck)
		if err != nil {
			return err
		}
		old, err := u.caseOf(e.Entry.Case)
		if err != nil {
			return err
		}
		if c == nil {
			if c, err = u.splitCase(id, who, e, old); err != nil {
				return err
			}
		}
		if old != nil {
			old.Link(id, "undone_merge")
			old.Case.Settled(entry, s.now())
			ok, err := caseKey(old.Case.Case)
			if err != nil {
				return err
			}
			u.save(ok, old)
		}
		if e.Delivery != nil && !e.State.Settled() {
			c.Unsettled = append(c.Unsettled, entry)
		}
		if e.Sort > c.LastEntry {
			c.LastEntry = e.Sort
		}
		if e.Direction == msg.In && e.Kind == msg.KindMessage {
			c.In++
			if c.LastIn == nil {
				c.LastIn = map[string]msg.Time{}
			}
			conversation := timeline.ConversationOf(&e.Event)
			c.LastIn[conversation] = max(c.LastIn[conversation], e.Sort)
			if !slices.Contains(c.Conversations, conversation) {
				c.Conversations = append(c.Conversations, conversation)
			}
			if open := who.Open[conversation]; open.Case == "" || open.Case == e.Entry.Case {
				if c.State != timeline.CaseSolved && who.Opens(conversation, id, c.Opened) {
					u.save(who.key, who.customerRecord)
				}
			}
		}
		e.Entry.Case = id
		e.Touch(s.now())
		u.save(k, e)
		u.save(ck, c)
		return nil
	})
}

// splitCase is the case that an undone merge leaves behind for a customer: in the state of the one it is split from.
func (u *unit) splitCase(id string, who *person, e *entryRecord, old *caseRecord) (*caseRecord, error) {
	reference, err := u.refer(id)
	if err != nil {
		return nil, err
	}
	c := &caseRecord{timeline.Case{
		Case: id, Reference: reference, Customer: who.Customer.Customer, CustomerName: who.Name, State: timeline.CaseOpen,
		Team: e.Team, Channel: e.Channel, Account: e.Account, Subject: title(&e.Event), Opened: e.ReceivedAt, NextDue: u.s.now(),
		Changed: u.s.now(),
	}}
	if old != nil {
		c.State, c.Solved, c.SnoozedTo, c.Agent = old.State, old.Solved, old.SnoozedTo, ""
		c.NextDue, c.Waiting, c.FirstAnswer = old.NextDue, old.Waiting, old.FirstAnswer
		c.Link(old.Case.Case, "undone_merge")
	}
	return c, nil
}

// closeStrange takes cases of other people out of the profile's open and closed ones.
func (s *Store) closeStrange(ctx context.Context, customer string) error {
	return s.update(ctx, "tidy the open cases of customer "+customer, func(u *unit) error {
		who, err := u.profile(customer)
		if err != nil {
			return err
		}
		for conversation, open := range who.Open {
			if !who.Is(CustomerOf(open.Case)) {
				delete(who.Open, conversation)
				u.save(who.key, who.customerRecord)
			}
		}
		for conversation, closed := range who.Closed {
			if !who.Is(CustomerOf(closed)) {
				delete(who.Closed, conversation)
				u.save(who.key, who.customerRecord)
			}
		}
		return nil
	})
}

// MergeRecord reads a merge, also one that was taken back.
func (s *Store) MergeRecord(ctx context.Context, id string) (*timeline.Merge, bool, error) {
	if !plain(id) || id == "" {
		return nil, false, missing("merge", id)
	}
	m, err := get[mergeRecord](ctx, s, mergeKey(id))
	if err != nil {
		return nil, false, err
	}
	if m == nil {
		return nil, false, missing("merge", id)
	}
	return &m.Merge, m.Undone.IsZero(), nil
}
