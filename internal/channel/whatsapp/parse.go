package whatsapp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// Parse reads one delivery: as Meta posts it, or as AWS End User Messaging Social publishes it, bare or inside an SNS
// notification. Up to 1,000 messages and statuses come in one (quirk 4); each stands by itself.
func (a Adapter) Parse(e channel.Envelope) ([]msg.Event, error) {
	p := &parser{envelope: &e}
	raw := e.Body
	if !utf8.Valid(raw) { // not JSON then, but what can be read of it should be
		raw = bytes.ToValidUTF8(raw, []byte("\ufffd"))
	}
	p.body(raw, "body", 0)
	return p.events, errors.Join(p.rejected...)
}

// parser collects what one envelope gives.
type parser struct {
	envelope *channel.Envelope
	events   []msg.Event
	rejected []error
}

func (p *parser) reject(cause channel.Cause, raw []byte, format string, args ...any) {
	p.rejected = append(p.rejected, &channel.Rejected{Cause: cause, Detail: fmt.Sprintf(format, args...), Raw: raw})
}

func (p *parser) malformed(raw []byte, format string, args ...any) {
	p.reject(channel.CauseMalformed, raw, format, args...)
}

// The deepest wrapping there is: a queue record that holds an SNS notification that holds AWS's event that holds the entry.
const wrappings = 3

// body reads a whole delivery; depth counts the wrappings around it.
func (p *parser) body(raw []byte, at string, depth int) {
	var b wireBody
	if err := json.Unmarshal(raw, &b); err != nil {
		p.malformed(nil, "%s: not the JSON object that is documented (%s)", at, jsonError(err))
		return
	}
	switch {
	case depth > wrappings:
		p.malformed(nil, "%s: wrapped more often than is documented", at)
	case !absent(b.AWSEntry):
		p.inner(b.AWSEntry, at+".whatsAppWebhookEntry", depth)
	case !absent(b.Records):
		p.each(b.Records, at+".Records", func(raw json.RawMessage, at string) {
			var r wireRecord
			switch {
			case !p.object(raw, at, &r):
			case is(r.SNS, '{'):
				p.body(r.SNS, at+".Sns", depth+1)
			case r.Body != nil:
				p.body([]byte(*r.Body), at+".body", depth+1)
			default:
				p.malformed(raw, "%s: neither an SNS notification nor a queue message", at)
			}
		})
	case b.SNSText != nil:
		if b.SNSType != "" && b.SNSType != "Notification" {
			p.reject(channel.CauseUnsupported, nil, "%s.Type: SNS sent a %s, which is for whoever set the subscription up", at, printable(b.SNSType))
			return
		}
		p.body([]byte(*b.SNSText), at+".Message", depth+1)
	case b.Object != "" && b.Object != "whatsapp_business_account":
		p.malformed(nil, "%s.object: %s is not whatsapp_business_account; is another product subscribed to this URL?", at, printable(b.Object))
	case !absent(b.Entry):
		p.each(b.Entry, at+".entry", p.entry)
	case !absent(b.Changes): // one entry by itself, as AWS hands it on
		p.each(b.Changes, at+".changes", p.change)
	default:
		p.malformed(nil, "%s.entry: there is none", at)
	}
}

// inner reads what AWS puts into whatsAppWebhookEntry: a string that holds JSON (quirk 12), or that JSON itself.
func (p *parser) inner(raw json.RawMessage, at string, depth int) {
	if is(raw, '"') {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			p.malformed(nil, "%s: not a JSON string (%s)", at, jsonError(err))
			return
		}
		raw = json.RawMessage(text)
	}
	p.body(raw, at, depth+1)
}

// each calls one for every item of a list, and rejects what is not a list or holds nothing.
func (p *parser) each(raw json.RawMessage, at string, one func(raw json.RawMessage, at string)) {
	var items []json.RawMessage
	if !is(raw, '[') {
		p.malformed(raw, "%s: not a list", at)
		return
	}
	if err := json.Unmarshal(raw, &items); err != nil {
		p.malformed(raw, "%s: not a list (%s)", at, jsonError(err))
		return
	}
	if len(items) == 0 {
		p.malformed(raw, "%s: the list is empty", at)
	}
	for i, item := range items {
		one(item, at+"["+strconv.Itoa(i)+"]")
	}
}

// object reads one item; null and anything but an object is malformed.
func (p *parser) object(raw json.RawMessage, at string, into any) bool {
	if !is(raw, '{') {
		p.malformed(raw, "%s: not an object", at)
		return false
	}
	if err := json.Unmarshal(raw, into); err != nil {
		p.malformed(raw, "%s: %s", at, jsonError(err))
		return false
	}
	return true
}

func (p *parser) entry(raw json.RawMessage, at string) {
	var e wireEntry
	if p.object(raw, at, &e) {
		p.each(e.Changes, at+".changes", p.change)
	}
}

func (p *parser) change(raw json.RawMessage, at string) {
	var c wireChange
	if !p.object(raw, at, &c) {
		return
	}
	switch c.Field {
	case "messages", "smb_message_echoes", "calls", "":
	default: // templates, account updates, history, app state, groups, preferences, and what is yet to come (quirk 13)
		p.reject(channel.CauseUnsupported, raw, "%s.field: %s is not taken up by this channel", at, printable(c.Field))
		return
	}
	var v wireValue
	if !p.object(c.Value, at+".value", &v) {
		return
	}
	at += ".value"
	shared := p.batch(v)
	known := false
	for _, list := range []struct {
		raw  json.RawMessage
		name string
		one  func(*batch, json.RawMessage, string)
	}{
		{v.Messages, ".messages", p.message}, {v.Echoes, ".message_echoes", p.echo}, {v.Statuses, ".statuses", p.status}, {v.Calls, ".calls", p.call},
	} {
		if absent(list.raw) {
			continue
		}
		known = true
		p.each(list.raw, at+list.name, func(raw json.RawMessage, at string) { list.one(shared, raw, at) })
	}
	if !known && len(shared.errors) > 0 {
		p.reject(channel.CauseUnsupported, raw, "%s.errors: the provider reports %s, about no message", at, shared.errors[0].describe())
	} else if !known {
		p.reject(channel.CauseUnsupported, raw, "%s: neither messages nor statuses", at)
	}
}

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

// batch reads what the items share. Nothing here is needed to keep a message, so nothing here rejects one.
func (p *parser) batch(v wireValue) *batch {
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
	s.alone = len(s.contacts) == 1 && len(items(v.Messages))+len(items(v.Echoes))+len(items(v.Statuses)) == 1
	return s
}

// event is what every event of the envelope starts from.
func (p *parser) event(s *batch, kind msg.Kind, id string, at msg.Time) msg.Event {
	return msg.Event{
		Channel: p.envelope.Channel, Account: p.envelope.Account, Scope: s.scope,
		ID: id, Kind: kind, Time: at, Direction: msg.In,
	}
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

// when reads a timestamp: seconds as documented, milliseconds as sometimes sent (quirk 5), a string or a number. An absent
// one is the zero time; one that is there and cannot be read is an error.
func when(raw json.RawMessage) (msg.Time, error) {
	if absent(raw) {
		return 0, nil
	}
	var written text
	if err := json.Unmarshal(raw, &written); err != nil {
		return 0, errors.New("neither a string nor a number")
	}
	s := strings.TrimSpace(string(written))
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return 0, errors.New("not a count of seconds")
		}
		n = t.UnixMilli()
	} else if n < milliseconds {
		n *= 1000
	}
	if n <= 0 || n > latest {
		return 0, errors.New("not a time between 1970 and 2100")
	}
	return msg.Time(n), nil
}

const (
	// As seconds this is the year 5138, as milliseconds 1973: anything from here on is milliseconds.
	milliseconds = 100_000_000_000
	latest       = 4102444800000 // 2100-01-01 in milliseconds
)

func (e wireError) describe() string {
	words := e.Title
	if words == "" {
		words = e.Message
	}
	return strings.TrimSpace("error " + printable(string(e.Code)) + " " + printable(words))
}

// printable makes a provider's word fit for a one-line detail.
func printable(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "")
	}
	return strings.Trim(strconv.Quote(s), `"`)
}

// clean trims a name and takes out what would break a line.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}

// jsonError says what is wrong with JSON without repeating any of it.
func jsonError(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%s is a %s where a %s belongs", printable(strings.TrimPrefix(e.Field, "wireContent.")), strings.SplitN(e.Value, " ", 2)[0], e.Type.Kind())
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("invalid JSON at byte %d", e.Offset)
	}
	return "invalid JSON"
}
