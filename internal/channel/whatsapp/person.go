package whatsapp

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/msg"
)

// batch is what all items of one change share.
type batch struct {
	scope    string
	number   string // our own, digits
	contacts []contact
	errors   list[wireError]
	// known finds a contact by an identity, so that a thousand messages do not each go through a thousand contacts.
	known map[who]int
	// alone says that the change holds one item and one contact: they are the same person's, whatever the numbers say.
	alone bool
}

// contact is somebody of the contacts list, with their identities.
type contact struct {
	wire *wireContact
	are  []msg.Address
}

// who is an identity without a name.
type who struct{ kind, value string }

// newBatch reads what the items share. Nothing here is needed to keep a message, so nothing here rejects one.
func newBatch(v *wireValue) *batch {
	s := &batch{errors: v.Errors, known: make(map[who]int, 2*len(v.Contacts)), contacts: make([]contact, len(v.Contacts))}
	for i := range v.Contacts {
		c := &v.Contacts[i]
		s.contacts[i] = contact{c, identities(c.WaID, c.UserID, c.Parent)}
		for _, one := range s.contacts[i].are {
			if _, taken := s.known[who{one.Kind, one.Value}]; !taken {
				s.known[who{one.Kind, one.Value}] = i
			}
		}
	}
	var m wireMetadata
	if is(v.Metadata, '{') && json.Unmarshal(v.Metadata, &m) == nil {
		s.scope, s.number = strings.TrimSpace(string(m.Number)), digits(string(m.Displays))
	}
	s.alone = len(s.contacts) == 1 && len(items(v.Messages))+len(items(v.Echoes))+len(items(v.Statuses))+len(items(v.Calls)) == 1
	return s
}

// person puts together who somebody is, from what an item says and what the contacts say of the same person. A phone number
// may be missing (quirk 1), and a user ID may stand where a phone number is expected (quirk 2).
func (s *batch) person(phone, user, parent text) msg.Address {
	found := identities(phone, user, parent)
	name, handle := "", ""
	if c := s.contact(found); c != nil {
		name, handle = clean(string(c.wire.Profile.Name)), c.username()
		for _, more := range c.are {
			// Two spellings of one phone number are in use in some countries (quirk 11): the item's own is the one to answer.
			if !slices.ContainsFunc(found, func(a msg.Address) bool { return a.Kind == more.Kind }) {
				found = append(found, more)
			}
		}
	}
	if len(found) == 0 {
		return msg.Address{}
	}
	// The phone number comes first for people to read; which identity decides is said by Info.Identities.
	slices.SortStableFunc(found, func(a, b msg.Address) int { return rank(a.Kind) - rank(b.Kind) })
	person := build(found)
	if person.Name = name; name == "" && handle != "" {
		person.Name = "@" + strings.TrimPrefix(handle, "@")
	}
	return person
}

// build makes one address of all the identities of one person, the first one in front.
func build(found []msg.Address) msg.Address {
	if len(found) == 0 {
		return msg.Address{}
	}
	person := found[0]
	if len(found) > 1 {
		person.Also = found[1:]
	}
	return person
}

func (c *contact) username() string {
	if handle := clean(string(c.wire.Profile.Username)); handle != "" {
		return handle
	}
	return clean(string(c.wire.Username))
}

func rank(kind string) int {
	return slices.Index([]string{KindPhone, KindUser, KindParent}, kind)
}

// contact finds the contact that shares an identity with those found; the only one, when it can be nobody else's.
func (s *batch) contact(found []msg.Address) *contact {
	for _, one := range found {
		if i, ok := s.known[who{one.Kind, one.Value}]; ok {
			return &s.contacts[i]
		}
	}
	if s.alone {
		return &s.contacts[0]
	}
	return nil
}

// identities sorts up to three values into the kinds that they are, whichever field they came in.
func identities(values ...text) []msg.Address {
	var all []msg.Address
	for _, v := range values {
		one := identity(string(v))
		if one.Value != "" && !slices.ContainsFunc(all, func(a msg.Address) bool { return a.Kind == one.Kind && a.Value == one.Value }) {
			all = append(all, one)
		}
	}
	return all
}

func identity(v string) msg.Address {
	v = strings.TrimSpace(v)
	if kind := userKind(v); kind != "" {
		return msg.Address{Kind: kind, Value: v}
	}
	if number := digits(v); number != "" {
		return msg.Address{Kind: KindPhone, Value: number}
	}
	return msg.Address{}
}

// userKind tells a business-scoped user ID (two capital letters of a country, a dot, 1 to 128 letters and digits) and a
// parent's (with "ENT." in between) from anything else, which gives "".
func userKind(v string) string {
	if len(v) < 4 || v[2] != '.' || v[0] < 'A' || v[0] > 'Z' || v[1] < 'A' || v[1] > 'Z' {
		return ""
	}
	rest, parent := strings.CutPrefix(v[3:], "ENT.")
	if rest == "" || len(rest) > 128 {
		return ""
	}
	for i := range len(rest) {
		c := rest[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return ""
		}
	}
	if parent {
		return KindParent
	}
	return KindUser
}

// digits is a phone number without its decoration, or "" for what is none. E.164 allows 15 digits.
func digits(s string) string {
	if !onlyDigits(s) {
		s = strings.Map(func(r rune) rune {
			if strings.ContainsRune("+ -().\u00a0", r) {
				return -1
			}
			return r
		}, s)
	}
	if len(s) < 3 || len(s) > 20 || !onlyDigits(s) {
		return ""
	}
	return s
}

func onlyDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// valueOf is the value of a kind within an address, or "".
func valueOf(a msg.Address, kind string) string {
	if a.Kind == kind {
		return a.Value
	}
	for _, one := range a.Also {
		if one.Kind == kind {
			return one.Value
		}
	}
	return ""
}

// thread names the conversation: the group, else the person by the identity that is in every webhook.
func thread(group string, person msg.Address) string {
	if group != "" {
		return group
	}
	for _, kind := range []string{KindUser, KindPhone, KindParent} {
		if v := valueOf(person, kind); v != "" {
			return v
		}
	}
	return ""
}
