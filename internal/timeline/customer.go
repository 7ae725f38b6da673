package timeline

import (
	"maps"
	"slices"
	"sort"

	"github.com/aikajana/aikajana/internal/msg"
)

// Customer is the profile of one customer: who they are, what is open, and with whom they are one person.
type Customer struct {
	Customer string `json:"customer"`
	Name     string `json:"name"`
	Language string `json:"language,omitempty"`
	// Identities are the first addresses that the customer was met under; store keeps further ones beside the profile.
	Identities []msg.Address `json:"identities,omitempty"`
	Created    msg.Time      `json:"created"`
	// Open are the open cases by conversation (I4). Closed are the last ones solved, so that an answer reopens the right one.
	// ClosedAt is when those were closed.
	Open     map[string]OpenCase `json:"open,omitempty"`
	Closed   map[string]string   `json:"closed,omitempty"`
	ClosedAt map[string]msg.Time `json:"closed_at,omitempty"`
	// Person is the set of customers that merges in force have made one person, sorted; empty for one alone. Merges are
	// those records.
	Person []string `json:"person,omitempty"`
	Merges []Merge  `json:"merges,omitempty"`
	// Parted are merges of theirs that were taken back, the latest last: an erasure forgets those too.
	Parted []string `json:"parted,omitempty"`
	// Suggested are customers who seem to be the same person; nobody has confirmed it.
	Suggested []Suggestion `json:"suggested,omitempty"`
}

// OpenCase is an open case in a profile: what is needed to choose it without reading it.
type OpenCase struct {
	Case   string   `json:"case"`
	Opened msg.Time `json:"opened"`
}

// Merge says that two customers are one person. It is a record that can be taken back.
type Merge struct {
	Merge     string    `json:"merge"`
	Customers [2]string `json:"customers"`
	By        string    `json:"by"`
	At        msg.Time  `json:"at"`
}

// Suggestion is a customer who seems to be the same person, and why.
type Suggestion struct {
	Customer string `json:"customer"`
	// Why is "same_event" (one message named identities of both) or "cited_case".
	Why  string `json:"why"`
	Case string `json:"case,omitempty"`
}

// Bounds of lists in a profile.
const (
	// MaxPerson is how many customers can be one person.
	MaxPerson      = 20
	maxIdentities  = 50
	maxSuggestions = 20
	maxClosed      = 20
	maxOpen        = 200
	maxParted      = 50
)

// Members are the customers that are one person with c, c itself included.
func (c *Customer) Members() []string {
	if len(c.Person) == 0 {
		return []string{c.Customer}
	}
	return c.Person
}

// Is says that the other customer is the same person.
func (c *Customer) Is(other string) bool {
	return other == c.Customer || slices.Contains(c.Person, other)
}

// Meet notes an identity and, when there is none yet, the name that it goes by. It says whether anything changed.
func (c *Customer) Meet(a msg.Address) bool {
	name := a.Name
	a.Also, a.Name = nil, ""
	changed := false
	if c.Name == "" && name != "" {
		c.Name, changed = name, true
	}
	if c.Knows(a) || len(c.Identities) >= maxIdentities {
		return changed
	}
	a.Name = name
	c.Identities = append(c.Identities, a)
	return true
}

// Knows says that the profile holds the identity.
func (c *Customer) Knows(a msg.Address) bool {
	return slices.ContainsFunc(c.Identities, func(known msg.Address) bool { return known.Key() == a.Key() })
}

// Forget removes an identity that now belongs to nobody or to somebody else.
func (c *Customer) Forget(a msg.Address) bool {
	n := len(c.Identities)
	c.Identities = slices.DeleteFunc(c.Identities, func(known msg.Address) bool { return known.Key() == a.Key() })
	return len(c.Identities) != n
}

// Opens notes that a conversation is now served by an open case, and says whether that is new.
func (c *Customer) Opens(conversation, caseID string, at msg.Time) bool {
	if c.Open[conversation].Case == caseID {
		return false
	}
	if c.Open == nil {
		c.Open = map[string]OpenCase{}
	}
	if _, known := c.Open[conversation]; !known && len(c.Open) >= maxOpen {
		oldest := sortedKeys(c.Open)[0]
		for _, one := range sortedKeys(c.Open) {
			if c.Open[one].Opened < c.Open[oldest].Opened {
				oldest = one
			}
		}
		delete(c.Open, oldest)
	}
	c.Open[conversation] = OpenCase{Case: caseID, Opened: at}
	delete(c.Closed, conversation)
	return true
}

// Closes takes a solved case out of the open ones and remembers where it was. Of too many conversations, the one that was closed
// first is forgotten.
func (c *Customer) Closes(caseID string, at msg.Time) bool {
	changed := false
	for conversation, open := range c.Open {
		if open.Case != caseID {
			continue
		}
		delete(c.Open, conversation)
		if c.Closed == nil {
			c.Closed = map[string]string{}
		}
		if c.ClosedAt == nil {
			c.ClosedAt = map[string]msg.Time{}
		}
		if _, known := c.Closed[conversation]; !known && len(c.Closed) >= maxClosed {
			oldest := sortedKeys(c.Closed)[0]
			for _, one := range sortedKeys(c.Closed) {
				if c.ClosedAt[one] < c.ClosedAt[oldest] {
					oldest = one
				}
			}
			delete(c.Closed, oldest)
		}
		c.Closed[conversation], c.ClosedAt[conversation] = caseID, at
		changed = true
	}
	maps.DeleteFunc(c.ClosedAt, func(conversation string, _ msg.Time) bool { return c.Closed[conversation] == "" })
	return changed
}

// Part notes a merge that was taken back.
func (c *Customer) Part(merge string) {
	if len(c.Parted) >= maxParted {
		c.Parted = slices.Delete(c.Parted, 0, 1)
	}
	c.Parted = append(c.Parted, merge)
}

// Newest is the open case that was opened last, "" when there is none.
func (c *Customer) Newest() OpenCase {
	var newest OpenCase
	for _, conversation := range sortedKeys(c.Open) {
		if open := c.Open[conversation]; newest.Case == "" || open.Opened > newest.Opened {
			newest = open
		}
	}
	return newest
}

// Suggest notes somebody who seems to be the same person, once, and says whether that is new.
func (c *Customer) Suggest(s Suggestion) bool {
	if c.Is(s.Customer) || len(c.Suggested) >= maxSuggestions {
		return false
	}
	for _, known := range c.Suggested {
		if known.Customer == s.Customer {
			return false
		}
	}
	c.Suggested = append(c.Suggested, s)
	return true
}

// Components are the persons that merges in force make of the given customers: each sorted, the whole by first member.
func Components(customers []string, merges []Merge) [][]string {
	root := make(map[string]string, len(customers))
	for _, c := range customers {
		root[c] = c
	}
	var find func(string) string
	find = func(c string) string {
		if root[c] == "" {
			root[c] = c
		}
		if root[c] != c {
			root[c] = find(root[c])
		}
		return root[c]
	}
	for _, m := range merges {
		a, b := find(m.Customers[0]), find(m.Customers[1])
		root[max(a, b)] = min(a, b)
	}
	groups := map[string][]string{}
	for c := range root {
		r := find(c)
		groups[r] = append(groups[r], c)
	}
	persons := make([][]string, 0, len(groups))
	for _, group := range groups {
		slices.Sort(group)
		persons = append(persons, group)
	}
	sort.Slice(persons, func(i, j int) bool { return persons[i][0] < persons[j][0] })
	return persons
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
