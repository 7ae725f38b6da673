package whatsapp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
	if !p.usual(raw) {
		p.body(raw, "body", 0)
	}
	return p.events, errors.Join(p.rejected...)
}

// usual reads a delivery whose frame is just as Meta documents it, in one pass, and says whether it was. Going down level by
// level, as body does to find out what exactly is wrong, costs twice as much. Both give the same.
func (p *parser) usual(raw []byte) bool {
	var b struct {
		Object string `json:"object"`
		Entry  []struct {
			Changes []struct {
				Field string     `json:"field"`
				Value *wireValue `json:"value"`
			} `json:"changes"`
		} `json:"entry"`
		// With one of these it is wrapped, whatever else there is.
		AWSEntry json.RawMessage `json:"whatsAppWebhookEntry"`
		SNSText  json.RawMessage `json:"Message"`
		Records  json.RawMessage `json:"Records"`
	}
	if json.Unmarshal(raw, &b) != nil || b.Object != "whatsapp_business_account" || len(b.Entry) == 0 ||
		b.AWSEntry != nil || b.SNSText != nil || b.Records != nil {
		return false
	}
	for _, e := range b.Entry {
		if len(e.Changes) == 0 {
			return false
		}
		for _, c := range e.Changes {
			if c.Field != "messages" || c.Value == nil || !c.Value.holds() {
				return false
			}
		}
	}
	for i, e := range b.Entry {
		for j, c := range e.Changes {
			p.value(c.Value, "body.entry["+strconv.Itoa(i)+"].changes["+strconv.Itoa(j)+"].value")
		}
	}
	return true
}

// parser collects what one envelope gives.
type parser struct {
	envelope *channel.Envelope
	events   []msg.Event
	rejected []error
}

func (p *parser) reject(cause channel.Cause, raw []byte, format string, args ...any) {
	p.rejected = append(p.rejected, &channel.Rejected{Cause: cause, Detail: fmt.Sprintf(format, args...), Raw: raw, From: whose(raw)})
}

// whose lists everybody that an item names on its own level, whatever else is wrong with it: an erasure finds it by them.
func whose(raw []byte) []msg.Address {
	var item map[string]json.RawMessage
	if json.Unmarshal(raw, &item) != nil {
		return nil // torn: nobody can tell
	}
	read := func(name string) (t text) {
		_ = json.Unmarshal(item[name], &t) // what cannot be read names nobody
		return t
	}
	var all []msg.Address
	for _, names := range [][3]string{
		{"from", "from_user_id", "from_parent_user_id"}, {"to", "to_user_id", "to_parent_user_id"},
		{"recipient_id", "recipient_user_id", "parent_recipient_user_id"}, {"recipient_participant_id", "recipient_participant_user_id", ""},
	} {
		var parent text
		if names[2] != "" {
			parent = read(names[2])
		}
		all = append(all, identities(read(names[0]), read(names[1]), parent)...)
	}
	return all
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
	switch {
	case v.holds():
		p.value(&v, at+".value")
	case len(v.Errors) > 0:
		p.reject(channel.CauseUnsupported, raw, "%s.value.errors: the provider reports %s, about no message", at, v.Errors[0].describe())
	default:
		p.reject(channel.CauseUnsupported, raw, "%s.value: neither messages nor statuses", at)
	}
}

// value reads the items of one change, each by itself.
func (p *parser) value(v *wireValue, at string) {
	shared := newBatch(v)
	for _, list := range []struct {
		raw  json.RawMessage
		name string
		one  func(*batch, json.RawMessage, string)
	}{
		{v.Messages, ".messages", p.message}, {v.Echoes, ".message_echoes", p.echo}, {v.Statuses, ".statuses", p.status}, {v.Calls, ".calls", p.call},
	} {
		if !absent(list.raw) && !empty(list.raw) {
			p.each(list.raw, at+list.name, func(raw json.RawMessage, at string) { list.one(shared, raw, at) })
		}
	}
}

// event is what every event of the envelope starts from.
func (p *parser) event(s *batch, kind msg.Kind, id string, at msg.Time) msg.Event {
	return msg.Event{
		Channel: p.envelope.Channel, Account: p.envelope.Account, Scope: s.scope,
		ID: id, Kind: kind, Time: at, Direction: msg.In,
	}
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
