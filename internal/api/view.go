package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

// opt is nil for a zero value: a field that is left out.
func opt[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// get is the value behind an optional field, or the zero value.
func get[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

// some is never null in JSON.
func some[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

func viewAll[A, B any](all []A, view func(A) B) []B {
	out := make([]B, len(all))
	for n, one := range all {
		out[n] = view(one)
	}
	return out
}

// hideCursor makes a place of the store opaque and fit for an address; showCursor takes it back.
func hideCursor(place string) *Cursor {
	if place == "" {
		return nil
	}
	return opt(live.Cursor(place))
}

func showCursor(field string, c *Cursor) (string, error) {
	if c == nil {
		return "", nil
	}
	place, ok := live.Place(*c)
	if !ok {
		return "", fault.Field("query."+field, "it is not a place in this list; use what an earlier page returned")
	}
	return place, nil
}

// inQuery names a field of the store's as the caller wrote it.
func inQuery(err error) error {
	if fault.Of(err) != fault.Invalid {
		return err
	}
	return fault.Field("query.after", "it is not a place in this list; use what an earlier page returned")
}

const defaultPage = 50

func limitOf(l *Limit) int {
	if l == nil {
		return defaultPage
	}
	return int(*l)
}

func viewCase(c *timeline.Case) Case {
	v := Case{
		Case: c.Case, Reference: c.Reference, Customer: c.Customer, CustomerName: c.CustomerName, State: c.State, Team: c.Team,
		Agent: c.Agent, Channel: c.Channel, Account: c.Account, Subject: c.Subject, Reason: c.Reason, Tags: some(c.Tags),
		Opened: c.Opened, NextDue: c.NextDue, Changed: c.Changed, WaitingSince: opt(c.Waiting), FirstAnswer: opt(c.FirstAnswer),
		SnoozedUntil: opt(c.SnoozedTo), SolvedAt: opt(c.Solved), SeenBy: opt(c.SeenBy),
		MessagesIn: int32(c.In), MessagesOut: int32(c.Out), //nolint:gosec // far below 2^31
	}
	if len(c.LastIn) > 0 {
		v.LastIn = &c.LastIn
	}
	if len(c.Unsettled) > 0 {
		v.Unsettled = &c.Unsettled
	}
	if len(c.Linked) > 0 {
		linked := viewAll(c.Linked, func(l timeline.Link) CaseLink { return CaseLink(l) })
		v.Linked = &linked
	}
	return v
}

// etag stands for the state of a case.
func etag(revision int64) string { return fmt.Sprintf("%q", fmt.Sprint(revision)) }

func revisionOf(ifMatch *IfMatch) (int64, bool) {
	if ifMatch == nil {
		return 0, false
	}
	var n int64
	if _, err := fmt.Sscanf(*ifMatch, `"%d"`, &n); err != nil {
		return 0, false
	}
	return n, true
}

// viewCustomer is the customer with what belongs to the whole person.
func viewCustomer(person []*timeline.Customer, cases []*timeline.Case) Customer {
	first := person[0]
	v := Customer{
		Customer: first.Customer, Name: first.Name, Language: opt(first.Language), Created: first.Created,
		Identities: []Identity{}, Person: some(slices.Clone(first.Members())), Merges: []Merge{}, Suggested: []Suggestion{},
		Cases: viewAll(cases, viewCase),
	}
	seen := map[string]bool{}
	for _, member := range person {
		if v.Name == "" {
			v.Name = member.Name
		}
		for _, a := range member.Identities {
			v.Identities = append(v.Identities, Identity{Customer: member.Customer, Address: a})
		}
		for _, m := range member.Merges {
			if !seen[m.Merge] {
				seen[m.Merge] = true
				v.Merges = append(v.Merges, viewMerge(&m))
			}
		}
		for _, s := range member.Suggested {
			if !seen["s"+s.Customer] && !first.Is(s.Customer) {
				seen["s"+s.Customer] = true
				v.Suggested = append(v.Suggested, Suggestion{Customer: s.Customer, Why: s.Why, Case: opt(s.Case)})
			}
		}
	}
	return v
}

func viewMerge(m *timeline.Merge) Merge {
	return Merge{Merge: m.Merge, Customers: m.Customers[:], By: m.By, At: m.At}
}

// viewUser shows the address to administrators and to the user alone.
func viewUser(u auth.User, p *auth.Principal) User {
	v := User{
		Id: u.ID, Name: u.Name, Roles: some(u.Roles), Teams: some(u.Teams), Presence: u.Presence, Language: Language(u.Language),
		NotifyByMail: u.NotifyByMail, Disabled: u.Disabled, CreatedAt: u.CreatedAt, Revision: u.Revision,
	}
	if p.ID == u.ID || p.May(auth.ManageUsers) {
		v.Email = opt(u.Email)
	}
	return v
}

func viewNotification(n *store.Notification) Notification {
	return Notification{
		Cursor: *hideCursor(n.Cursor), Type: NotificationType(n.Type), Why: NotificationWhy(n.Why), At: n.At, Team: n.Team,
		Customer: n.Customer, Case: n.Case, Entry: n.Entry,
	}
}

// parseAddress reads "kind:value"; ok says that a kind was given.
func parseAddress(text string, kinds []string) (a msg.Address, ok bool) {
	kind, value, found := strings.Cut(text, ":")
	if found && slices.Contains(kinds, kind) {
		return msg.Address{Kind: kind, Value: value}, true
	}
	return msg.Address{Value: text}, false
}
