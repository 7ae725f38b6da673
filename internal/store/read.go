package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Page asks for a part of a list. After and Before are opaque: what an earlier page returned as Next.
type Page struct {
	After, Before string
	Limit         int
}

// MaxPage is the most that one page holds.
const MaxPage = 200

func (p Page) limit() int {
	if p.Limit <= 0 || p.Limit > MaxPage {
		return MaxPage
	}
	return p.Limit
}

// Case reads a case.
func (s *Store) Case(ctx context.Context, id string) (*timeline.Case, error) {
	k, err := caseKey(id)
	if err != nil {
		return nil, err
	}
	c, err := get[caseRecord](ctx, s, k)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, missing("case", id)
	}
	return &c.Case, nil
}

// Knows says whether the channel's external ID is that of a message here, or of one that was erased, or that something waits
// for it. scope is the provider's own ID of the account.
func (s *Store) Knows(ctx context.Context, channel, scope, id string) (bool, error) {
	if id == "" {
		return false, nil
	}
	x, err := get[external](ctx, s, s.externalKey(channel, scope, id))
	return x != nil, err
}

// Entry reads an entry.
func (s *Store) Entry(ctx context.Context, id string) (*timeline.Entry, error) {
	k, err := entryKey(id)
	if err != nil {
		return nil, err
	}
	e, err := get[entryRecord](ctx, s, k)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, missing("entry", id)
	}
	return &e.Entry, nil
}

// Customer reads a profile.
func (s *Store) Customer(ctx context.Context, id string) (*timeline.Customer, error) {
	k, err := customerKey(id)
	if err != nil {
		return nil, err
	}
	c, err := get[customerRecord](ctx, s, k)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, missing("customer", id)
	}
	return &c.Customer, nil
}

// CustomerAt finds the customer whose address it is. The address's kind must be given.
func (s *Store) CustomerAt(ctx context.Context, a msg.Address) (*timeline.Customer, error) {
	id, err := get[identity](ctx, s, s.identityKey(a))
	if err != nil {
		return nil, err
	}
	if id == nil || id.Customer == "" {
		return nil, fault.Newf(fault.Missing, "not_found", "nobody is known by this %s address", a.Kind)
	}
	return s.Customer(ctx, id.Customer)
}

// Person reads the profiles of everybody who is one person with the customer, the customer first.
func (s *Store) Person(ctx context.Context, id string) ([]*timeline.Customer, error) {
	first, err := s.Customer(ctx, id)
	if err != nil {
		return nil, err
	}
	all := []*timeline.Customer{first}
	for _, member := range first.Members() {
		if member == id {
			continue
		}
		other, err := s.Customer(ctx, member)
		if fault.Of(err) == fault.Missing {
			continue // erased in the meantime
		}
		if err != nil {
			return nil, err
		}
		all = append(all, other)
	}
	return all, nil
}

// Timeline reads the chronological whole of the person that the customer is, over all merged customers.
//
// Without bounds it starts with the newest entries; entries are returned oldest first all the same. Next continues into the
// past with Before; with After the page goes forward in time. An entry is never skipped or repeated by paging, whatever is
// inserted meanwhile (I3).
func (s *Store) Timeline(ctx context.Context, customer string, p Page) (entries []*timeline.Entry, next string, err error) {
	c, err := s.Customer(ctx, customer)
	if err != nil {
		return nil, "", err
	}
	forward := p.After != ""
	cursor := p.After + p.Before
	if cursor != "" && !validPlace(cursor) {
		return nil, "", fault.Field(pick(forward, "after", "before"), "it is not a place in a timeline; use what an earlier page returned")
	}
	limit := p.limit()
	members := c.Members()
	for _, member := range members {
		part, err := query[entryRecord](ctx, s, table.Query{
			PK: "C#" + member, From: "E#", To: "E$", After: after("E#", cursor), Desc: !forward, Limit: limit + 1,
		})
		if err != nil {
			return nil, "", fmt.Errorf("timeline of customer %s: %w", customer, err)
		}
		for _, e := range part {
			entries = append(entries, &e.Entry)
		}
	}
	slices.SortFunc(entries, func(a, b *timeline.Entry) int {
		if forward {
			return strings.Compare(place(a), place(b))
		}
		return strings.Compare(place(b), place(a))
	})
	if len(entries) > limit {
		entries = entries[:limit]
		next = place(entries[limit-1])
	}
	if !forward {
		slices.Reverse(entries)
	}
	return entries, next, nil
}

func after(prefix, cursor string) string {
	if cursor == "" {
		return ""
	}
	return prefix + cursor
}

func pick[T any](take bool, yes, no T) T {
	if take {
		return yes
	}
	return no
}

// place is where an entry stands in any timeline: the sort key without its prefix.
func place(e *timeline.Entry) string { return strings.TrimPrefix(entrySK(e.Sort, e.Entry), "E#") }

// Place is the opaque cursor that stands for an entry in a timeline.
func Place(e *timeline.Entry) string { return place(e) }

func validPlace(cursor string) bool {
	at, rest, ok := strings.Cut(cursor, "#")
	if !ok || len(at) != 15 || len(rest) == 0 || len(rest) > 100 {
		return false
	}
	for i := range len(at) {
		if at[i] < '0' || at[i] > '9' {
			return false
		}
	}
	return plain(rest)
}

// CaseEntries reads the newest entries of one case, oldest first.
func (s *Store) CaseEntries(ctx context.Context, c *timeline.Case, limit int) ([]*timeline.Entry, error) {
	var found []*timeline.Entry
	page := Page{Limit: MaxPage}
	for len(found) < limit {
		entries, next, err := s.Timeline(ctx, c.Customer, page)
		if err != nil {
			return nil, err
		}
		for _, e := range slices.Backward(entries) {
			if e.Case == c.Case && len(found) < limit {
				found = append(found, e)
			}
		}
		if next == "" || len(entries) > 0 && entries[0].Sort < c.Opened.Add(-timeline.OldestTime) {
			break
		}
		page.Before = next
	}
	slices.Reverse(found)
	return found, nil
}

// WorkQuery chooses a part of the work list.
type WorkQuery struct {
	Teams []string
	// Agent, when set, asks for that agent's own cases only.
	Agent string
	// Later asks for what is snoozed or waits for the customer.
	Later   bool
	Channel string
	State   timeline.CaseState
	Page    Page
}

// scanPages bounds how far one call looks for cases that pass a filter.
const scanPages = 10

// WorkList lists cases in the order in which they must be served. Next continues.
func (s *Store) WorkList(ctx context.Context, q WorkQuery) (cases []*timeline.Case, next string, err error) {
	if q.Page.After != "" && !validPlace(q.Page.After) {
		return nil, "", fault.Field("after", "it is not a place in a work list; use what an earlier page returned")
	}
	if q.Agent != "" {
		return s.assigned(ctx, q)
	}
	limit := q.Page.limit()
	cursor := q.Page.After
	for range scanPages {
		keys, more, err := s.workKeys(ctx, q, cursor, limit)
		if err != nil {
			return nil, "", err
		}
		found, err := s.headers(ctx, keys)
		if err != nil {
			return nil, "", err
		}
		for i, c := range found {
			cursor = keys[i].SK
			if c != nil && q.matches(c) {
				cases = append(cases, c)
			}
			if len(cases) == limit {
				if i < len(found)-1 || more {
					return cases, cursor, nil
				}
				return cases, "", nil
			}
		}
		if !more {
			return cases, "", nil
		}
	}
	return cases, cursor, nil
}

func (q *WorkQuery) matches(c *timeline.Case) bool {
	return (q.Channel == "" || c.Channel == q.Channel) && (q.State == "" || c.State == q.State) &&
		(len(q.Teams) == 0 || slices.Contains(q.Teams, c.Team))
}

// workKeys merges the index partitions of the teams.
func (s *Store) workKeys(ctx context.Context, q WorkQuery, cursor string, limit int) (keys []table.Key, more bool, err error) {
	for _, team := range q.Teams {
		items, err := s.table.Query(ctx, table.Query{
			Index: table.WorkList, PK: workListPK(team, q.Later), After: cursor, Limit: limit + 1,
		})
		if err != nil {
			return nil, false, fmt.Errorf("work list of team %s: %w", team, err)
		}
		for i := range items {
			keys = append(keys, table.Key{PK: items[i].PK, SK: items[i].Index[table.WorkList].SK})
		}
	}
	slices.SortFunc(keys, func(a, b table.Key) int { return strings.Compare(a.SK, b.SK) })
	if len(keys) > limit {
		return keys[:limit], true, nil
	}
	return keys, false, nil
}

// headerReaders is how many case headers are read side by side.
const headerReaders = 8

// headers reads the cases that index entries name; nil where one is gone.
func (s *Store) headers(ctx context.Context, keys []table.Key) ([]*timeline.Case, error) {
	cases := make([]*timeline.Case, len(keys))
	errs := make([]error, len(keys))
	var wait sync.WaitGroup
	tokens := make(chan struct{}, headerReaders)
	for i, k := range keys {
		_, id, _ := strings.Cut(k.SK, "#")
		wait.Add(1)
		tokens <- struct{}{}
		go func() {
			defer func() { <-tokens; wait.Done() }()
			c, err := s.Case(ctx, id)
			if fault.Of(err) == fault.Missing && err != nil {
				return
			}
			cases[i], errs[i] = c, err
		}()
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return cases, nil
}

// assigned lists an agent's own cases: few enough to be read and put in order here.
func (s *Store) assigned(ctx context.Context, q WorkQuery) (cases []*timeline.Case, next string, err error) {
	pointers, err := query[pointer](ctx, s, table.Query{PK: "A#" + q.Agent})
	if err != nil {
		return nil, "", fmt.Errorf("cases of agent %s: %w", q.Agent, err)
	}
	keys := make([]table.Key, len(pointers))
	for i, p := range pointers {
		keys[i] = table.Key{SK: "#" + p.Case}
	}
	all, err := s.headers(ctx, keys)
	if err != nil {
		return nil, "", err
	}
	at := func(c *timeline.Case) string { t, _ := c.Order(); return millis(t) + "#" + c.Case }
	for _, c := range all {
		if c == nil || !q.matches(c) || c.State == timeline.CaseSolved {
			continue
		}
		if _, later := c.Order(); later == q.Later && at(c) > q.Page.After {
			cases = append(cases, c)
		}
	}
	slices.SortFunc(cases, func(a, b *timeline.Case) int { return strings.Compare(at(a), at(b)) })
	if limit := q.Page.limit(); len(cases) > limit {
		return cases[:limit], at(cases[limit-1]), nil
	}
	return cases, "", nil
}
