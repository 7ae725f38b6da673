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

// Unmerge takes a merge back. Entries that were filed in a case of somebody who is another person again get a case of their
// own customer, the same one however often this is called; nothing is lost and nothing moves between customers.
//
// From the moment it is taken back nothing more is filed in a stranger's case: whoever was about to finds that the profile
// has changed (see unit.hold). What was filed before is moved before this returns, or by Tick when it was cut short.
func (s *Store) Unmerge(ctx context.Context, id, by string) error {
	err := s.update(ctx, "take back merge "+id, func(u *unit) error {
		record, err := load[mergeRecord](u, mergeKey(id))
		if err != nil {
			return err
		}
		if record == nil {
			return missing("merge", id)
		}
		if !record.Undone.IsZero() {
			return nil // done before; the re-filing below may have been cut short
		}
		profiles, merges, err := u.persons(record.Customers[0], record.Customers[1])
		if err != nil {
			return err
		}
		record.Undone, record.UndoneBy = s.now(), by
		for _, p := range profiles {
			record.Refile = append(record.Refile, p.Customer.Customer)
			if slices.Contains(record.Customers[:], p.Customer.Customer) {
				p.Part(id) // regroup saves it
			}
		}
		u.save(mergeKey(id), record)
		merges = slices.DeleteFunc(merges, func(m timeline.Merge) bool { return m.Merge == id })
		return u.regroup(profiles, merges)
	})
	if err != nil {
		return err
	}
	if err := s.Refile(ctx, id); err != nil {
		return fmt.Errorf("take back merge %s: %w; call again to finish, or wait: it is finished within minutes", id, err)
	}
	return nil
}

// Refile finishes an unmerge: it goes through the entries of everybody who was the person and moves those that lie in a
// stranger's case. Calling it when nothing is left to do, or for a merge in force, changes nothing.
func (s *Store) Refile(ctx context.Context, merge string) error {
	record, err := get[mergeRecord](ctx, s, mergeKey(merge))
	if err != nil {
		return err
	}
	if record == nil {
		return missing("merge", merge)
	}
	if len(record.Refile) == 0 {
		return nil
	}
	for _, customer := range record.Refile {
		if err := s.refile(ctx, customer, merge); err != nil && fault.Of(err) != fault.Missing { // missing: erased meanwhile
			return err
		}
	}
	return s.update(ctx, "note that merge "+merge+" is taken back whole", func(u *unit) error {
		record, err := load[mergeRecord](u, mergeKey(merge))
		if err != nil || record == nil || len(record.Refile) == 0 {
			return err
		}
		record.Refile = nil
		u.save(mergeKey(merge), record)
		return nil
	})
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
		k, e, err := u.entry(entry)
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
		old, err := u.caseOf(e.Entry.Case)
		if err != nil {
			return err
		}
		c, err := u.splitCase(who.Customer.Customer+"-m"+u.s.short("unmerged", merge, e.Entry.Case), who, e, old)
		if err != nil {
			return err
		}
		if old != nil {
			old.Link(c.Case.Case, "undone_merge")
			old.Case.Settled(entry, s.now())
		}
		u.moveInto(who, c, e)
		e.Touch(s.now())
		u.save(k, e)
		return nil
	})
}

// moveInto files an entry in a case of its own customer, as if it had come there.
func (u *unit) moveInto(who *person, c *caseRecord, e *entryRecord) {
	was := e.Entry.Case
	e.Entry.Case = c.Case.Case
	if e.Delivery != nil && !e.State.Settled() {
		c.Unsettled = append(c.Unsettled, e.Entry.Entry)
	}
	if e.Sort > c.LastEntry {
		c.LastEntry = e.Sort
	}
	if e.Direction != msg.In || e.Kind != msg.KindMessage {
		return
	}
	c.In++
	if c.LastIn == nil {
		c.LastIn = map[string]msg.Time{}
	}
	conversation := timeline.ConversationOf(&e.Event)
	c.LastIn[conversation] = max(c.LastIn[conversation], e.Sort)
	if !slices.Contains(c.Conversations, conversation) {
		c.Conversations = append(c.Conversations, conversation)
	}
	if open := who.Open[conversation]; open.Case != "" && open.Case != was || c.State == timeline.CaseSolved {
		return
	}
	if who.Opens(conversation, c.Case.Case, c.Opened) {
		u.save(who.key, who.customerRecord)
	}
}

// splitCase is the case that an undone merge leaves behind for a customer, made where there is none yet: in the state of the
// one it is split from. Both are saved with the unit.
func (u *unit) splitCase(id string, who *person, e *entryRecord, old *caseRecord) (*caseRecord, error) {
	k, c, err := u.header(id)
	if err != nil {
		return nil, err
	}
	if old != nil {
		ok, err := caseKey(old.Case.Case)
		if err != nil {
			return nil, err
		}
		u.save(ok, old)
	}
	if c != nil {
		u.save(k, c)
		return c, nil
	}
	reference, err := u.refer(id)
	if err != nil {
		return nil, err
	}
	c = &caseRecord{timeline.Case{
		Case: id, Reference: reference, Customer: who.Customer.Customer, CustomerName: who.Name, State: timeline.CaseOpen,
		Team: e.Team, Channel: e.Channel, Account: e.Account, Subject: title(&e.Event), Opened: e.ReceivedAt, NextDue: u.s.now(),
		Changed: u.s.now(),
	}}
	if old != nil {
		c.State, c.Solved, c.SnoozedTo, c.Agent = old.State, old.Solved, old.SnoozedTo, ""
		c.NextDue, c.Waiting, c.FirstAnswer = old.NextDue, old.Waiting, old.FirstAnswer
		c.Link(old.Case.Case, "undone_merge")
	}
	u.save(k, c)
	return c, nil
}

// closeStrange takes cases of other people out of the profile's open and closed ones.
func (s *Store) closeStrange(ctx context.Context, customer string) error {
	return s.update(ctx, "tidy the open cases of customer "+customer, func(u *unit) error {
		k, err := customerKey(customer)
		if err != nil {
			return err
		}
		who, err := load[customerRecord](u, k)
		if err != nil || who == nil {
			return err
		}
		for conversation, open := range who.Open {
			if !who.Is(CustomerOf(open.Case)) {
				delete(who.Open, conversation)
				u.save(k, who)
			}
		}
		for conversation, closed := range who.Closed {
			if !who.Is(CustomerOf(closed)) {
				delete(who.Closed, conversation)
				u.save(k, who)
			}
		}
		return nil
	})
}
