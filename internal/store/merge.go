package store

import (
	"context"
	"fmt"
	"slices"
	"time"

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
	// Refile are the customers whose entries have not all been looked through since it was undone.
	Refile []string `json:"refile,omitempty"`
}

// refileAfter is when Tick finishes an unmerge that was cut short: longer than one takes.
const refileAfter = time.Minute

func (m *mergeRecord) index() map[table.Index]table.Key {
	if len(m.Refile) == 0 {
		return nil
	}
	return due(m.Undone.Add(refileAfter), m.Merge.Merge)
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
