package whatsapp

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// message reads one item of "messages": what a customer wrote, changed, took back or reacted to.
func (p *parser) message(s *batch, raw json.RawMessage, at string) {
	m, t, ok := p.head(raw, at)
	if !ok {
		return
	}
	if m.Type == "system" {
		p.system(s, m, t, raw, at)
		return
	}
	who := s.person(m.From, m.FromUser, m.FromParent)
	if who.Value == "" {
		p.malformed(raw, "%s.from: neither a phone number nor a user ID, and no contact says who it is", at)
		return
	}
	e := p.event(s, msg.KindMessage, string(m.ID), t)
	e.From, e.Thread = who, thread(string(m.GroupID), who)
	p.said(s, e, m, raw, at)
}

// echo reads one item of "message_echoes": what was written on our own number, in the WhatsApp Business app (quirk 9).
func (p *parser) echo(s *batch, raw json.RawMessage, at string) {
	m, t, ok := p.head(raw, at)
	if !ok {
		return
	}
	to := s.person(m.To, m.ToUser, m.ToParent)
	if to.Value == "" && m.GroupID == "" {
		p.malformed(raw, "%s.to: neither a phone number nor a user ID, and no contact says who it is", at)
		return
	}
	e := p.event(s, msg.KindMessage, string(m.ID), t)
	e.Direction, e.Thread = msg.Out, thread(string(m.GroupID), to)
	if to.Value != "" {
		e.To = []msg.Address{to}
	} else {
		p.malformed(raw, "%s.to: a group alone is nobody's timeline", at)
		return
	}
	if own := digits(string(m.From)); own != "" {
		e.From = msg.Address{Kind: KindPhone, Value: own}
	} else if s.number != "" {
		e.From = msg.Address{Kind: KindPhone, Value: s.number}
	}
	p.said(s, e, m, raw, at)
}

// head reads what every message has: an ID and, when the provider says, a time.
func (p *parser) head(raw json.RawMessage, at string) (*wireMessage, msg.Time, bool) {
	m := new(wireMessage)
	if !p.object(raw, at, m) {
		return nil, 0, false
	}
	if m.ID = text(strings.TrimSpace(string(m.ID))); m.ID == "" {
		p.malformed(raw, "%s.id: there is none", at)
		return nil, 0, false
	}
	t, err := when(m.Timestamp)
	if err != nil {
		p.malformed(raw, "%s.timestamp: %s", at, err)
		return nil, 0, false
	}
	return m, t, true
}

// said finishes an event about what somebody said: its kind follows from the type of the message.
func (p *parser) said(s *batch, e msg.Event, m *wireMessage, raw json.RawMessage, at string) {
	e.Native = s.native(e, m)
	switch m.kind() {
	case "reaction":
		if m.Reaction == nil || m.Reaction.MessageID == "" {
			p.malformed(raw, "%s.reaction.message_id: there is none", at)
			return
		}
		// No emoji, or an empty one, takes the reaction back (quirk 7).
		e.Kind, e.Reaction = msg.KindReaction, &msg.Reaction{Of: string(m.Reaction.MessageID), Emoji: string(m.Reaction.Emoji)}
	case "revoke":
		if m.Revoke == nil || m.Revoke.Original == "" {
			p.malformed(raw, "%s.revoke.original_message_id: there is none", at)
			return
		}
		e.Kind, e.Removal = msg.KindRemoval, &msg.Removal{Of: string(m.Revoke.Original)}
	case "edit":
		if m.Edit == nil || m.Edit.Original == "" {
			p.malformed(raw, "%s.edit.original_message_id: there is none", at)
			return
		}
		var now wireMessage
		if !p.object(m.Edit.Message, at+".edit.message", &now) {
			return
		}
		content, err := p.content(s, &now, m.Edit.Message)
		if err != "" {
			p.malformed(raw, "%s.edit.message.%s", at, err)
			return
		}
		e.Kind, e.Edit = msg.KindEdit, &msg.Edit{Of: string(m.Edit.Original), Message: content}
		if now.Context != nil {
			e.ReplyTo = string(now.Context.ID)
		}
	default:
		content, err := p.content(s, m, raw)
		if err != "" && len(m.Errors) > 0 { // the provider itself could not read it, and says why (quirk 8)
			content, err = msg.Message{Parts: []msg.Part{unknown(s, m, raw)}}, ""
		}
		if err != "" {
			p.malformed(raw, "%s.%s", at, err)
			return
		}
		e.Message = &content
		e.Automatic = m.Type == "request_welcome" // the chat was opened, nothing was written
		if m.Context != nil {
			e.ReplyTo = string(m.Context.ID)
			content.Parts = append(content.Parts, product(m.Context.Product)...)
		}
		if m.Referral != nil {
			content.Parts = append(content.Parts, referral(m.Referral))
		}
	}
	if e.Kind != msg.KindMessage {
		e.EventID = e.ID
	}
	p.events = append(p.events, e)
}

// content reads what a message holds, one type a line. The string it returns says which field is not as documented.
func (p *parser) content(s *batch, m *wireMessage, raw json.RawMessage) (c msg.Message, problem string) {
	switch m.kind() {
	case "text":
		if m.Text == nil || m.Text.Body == nil {
			return c, "text.body: there is none"
		}
		c.Text = *m.Text.Body
	case "image":
		return file(msg.PartImage, "image", m.Image)
	case "video":
		return file(msg.PartVideo, "video", m.Video)
	case "sticker":
		return file(msg.PartSticker, "sticker", m.Sticker)
	case "document":
		return file(msg.PartFile, "document", m.Document)
	case "audio":
		if m.Audio != nil && m.Audio.Voice {
			return file(msg.PartVoice, "audio", m.Audio)
		}
		return file(msg.PartAudio, "audio", m.Audio)
	case "voice": // before the Cloud API a type of its own
		return file(msg.PartVoice, "voice", m.Voice)
	case "location":
		return location(m.Location)
	case "contacts":
		return cards(m.Contacts)
	case "order":
		return order(m.Order)
	case "button":
		if m.Button == nil {
			return c, "button: there is none"
		}
		c.Parts = []msg.Part{{Kind: msg.PartChoice, Text: m.Button.Text, Payload: string(m.Button.Payload)}}
	case "interactive":
		if m.Interactive == nil { // quirk 8: seen with an error beside it
			c.Parts = []msg.Part{unknown(s, m, raw)}
			return c, ""
		}
		return interactive(s, m, raw)
	case "":
		return c, "type: there is none"
	default: // documented types change without notice: show what came, lose nothing
		c.Parts = []msg.Part{unknown(s, m, raw)}
	}
	return c, ""
}

// kind is the type of a message. Examples of places and contacts on Meta's older pages have none, so that what is there tells.
func (m *wireMessage) kind() string {
	if m.Type != "" {
		return m.Type
	}
	for _, one := range []struct {
		kind string
		set  bool
	}{
		{"text", m.Text != nil}, {"location", m.Location != nil}, {"contacts", m.Contacts != nil}, {"image", m.Image != nil},
		{"audio", m.Audio != nil}, {"voice", m.Voice != nil}, {"video", m.Video != nil}, {"document", m.Document != nil},
		{"sticker", m.Sticker != nil}, {"order", is(m.Order, '{')}, {"button", m.Button != nil}, {"interactive", m.Interactive != nil},
		{"reaction", m.Reaction != nil}, {"edit", m.Edit != nil}, {"revoke", m.Revoke != nil},
	} {
		if one.set {
			return one.kind
		}
	}
	return ""
}

// system reads a message that nobody wrote: a number or a user ID that changed (quirk 6).
func (p *parser) system(s *batch, m *wireMessage, t msg.Time, raw json.RawMessage, at string) {
	if m.System == nil {
		p.malformed(raw, "%s.system: there is none", at)
		return
	}
	switch m.System.Type {
	case "user_changed_number", "customer_changed_number", "user_changed_user_id":
	default:
		p.reject(channel.CauseUnsupported, raw, "%s.system.type: %s was written by nobody and changes no identity", at, printable(m.System.Type))
		return
	}
	number := m.System.Number
	if number == "" {
		number = m.System.NewNumber
	}
	// A later from_user_id may already be the new one; what was comes from the fields that say so.
	was := build(identities(m.From, m.System.PreviousUser, m.System.PreviousParent))
	now := build(identities(number, m.System.UserID, m.System.Parent))
	if was.Value == "" || now.Value == "" {
		p.malformed(raw, "%s.system: does not say who it was and who it is now", at)
		return
	}
	if c := s.contact(was.All()); c != nil {
		was.Name = clean(string(c.wire.Profile.Name))
	}
	e := p.event(s, msg.KindIdentity, string(m.ID), t)
	e.EventID, e.From, e.Thread = e.ID, was, thread(string(m.GroupID), was)
	e.Identity = &msg.Identity{Was: was, Now: now}
	p.events = append(p.events, e)
}

// states maps the provider's words; "played" is said of voice messages (quirk 10).
var states = map[string]msg.State{
	"accepted": msg.Accepted, "sent": msg.Sent, "delivered": msg.Delivered, "read": msg.Read, "played": msg.Read, "failed": msg.Failed,
}

// status reads one item of "statuses": how far an answer of ours has come.
func (p *parser) status(s *batch, raw json.RawMessage, at string) {
	var w wireStatus
	if !p.object(raw, at, &w) {
		return
	}
	state, known := states[w.Status]
	switch {
	case !known:
		p.reject(channel.CauseUnsupported, raw, "%s.status: %s is no delivery state", at, printable(w.Status))
		return
	case strings.TrimSpace(string(w.ID)) == "":
		p.malformed(raw, "%s.id: there is none", at)
		return
	}
	t, err := when(w.Timestamp)
	if err != nil {
		p.malformed(raw, "%s.timestamp: %s", at, err)
		return
	}
	phone, user, group := w.Recipient, w.User, ""
	if w.Type == "group" || w.Participant != "" || w.PartUser != "" {
		// In a group the recipient is the group, and each participant reports apart.
		phone, user, group = w.Participant, w.PartUser, strings.TrimSpace(string(w.Recipient))
	}
	parent := w.Parent
	if parent == "" {
		parent = w.OtherParent
	}
	who := s.person(phone, user, parent)
	e := p.event(s, msg.KindReceipt, strings.TrimSpace(string(w.ID)), t)
	e.From, e.Thread, e.Tag = who, thread(group, who), string(w.Tag)
	r := &msg.Receipt{Of: e.ID, Recipient: who.Value, State: state}
	if r.Recipient == "" {
		r.Recipient = group
	}
	if is(w.Pricing, '{') {
		r.Pricing = w.Pricing
	}
	if len(w.Errors) > 0 {
		first := w.Errors[0]
		r.Error = &msg.ReceiptCode{Code: string(first.Code), Title: first.Title}
		if r.Error.Title == "" {
			r.Error.Title = first.Message
		}
		e.Native = pack(nativeEvent{Details: first.Data.Details})
	}
	e.Receipt = r
	p.events = append(p.events, e)
}

// call reads one item of "calls". Only the end of a call tells everything about it: who, when, how it ended, how long it took.
func (p *parser) call(s *batch, raw json.RawMessage, at string) {
	var w wireCall
	if !p.object(raw, at, &w) {
		return
	}
	if w.Event != "terminate" {
		p.reject(channel.CauseUnsupported, raw, "%s.event: %s is not the end of a call", at, printable(w.Event))
		return
	}
	t, err := when(w.Timestamp)
	if err != nil || strings.TrimSpace(string(w.ID)) == "" {
		p.malformed(raw, "%s: the call has no ID, or a timestamp that cannot be read", at)
		return
	}
	e := p.event(s, msg.KindCall, strings.TrimSpace(string(w.ID)), t)
	e.Tag = string(w.Tag)
	call := &msg.Call{State: strings.ToLower(w.Status), Direction: msg.In, DurationS: int(min(max(w.Duration, 0), 1<<30))}
	var who msg.Address
	if w.Direction == "BUSINESS_INITIATED" {
		call.Direction, e.Direction = msg.Out, msg.Out
		if who = s.person(w.To, w.ToUser, ""); who.Value != "" {
			e.To = []msg.Address{who}
		}
		e.From = build(identities(w.From))
	} else {
		who = s.person(w.From, w.FromUser, "")
		e.From = who
	}
	if who.Value == "" {
		p.malformed(raw, "%s: the call names nobody", at)
		return
	}
	e.Thread, e.Call = thread("", who), call
	p.events = append(p.events, e)
}

// nativeEvent is what only WhatsApp has, kept for people who look closely; nothing outside this folder reads it.
type nativeEvent struct {
	Username            string          `json:"username,omitempty"`
	Forwarded           bool            `json:"forwarded,omitempty"`
	FrequentlyForwarded bool            `json:"frequently_forwarded,omitempty"`
	GroupID             string          `json:"group_id,omitempty"`
	ClickID             string          `json:"ctwa_clid,omitempty"`
	Referral            string          `json:"referral_source_id,omitempty"`
	Details             string          `json:"error_details,omitempty"`
	Product             json.RawMessage `json:"referred_product,omitempty"`
}

func (s *batch) native(e msg.Event, m *wireMessage) json.RawMessage {
	n := nativeEvent{GroupID: string(m.GroupID)}
	if m.Context != nil {
		n.Forwarded = m.Context.Forwarded || m.Context.FrequentlyForwarded
		n.FrequentlyForwarded = m.Context.FrequentlyForwarded
		if is(m.Context.Product, '{') {
			n.Product = m.Context.Product
		}
	}
	if m.Referral != nil {
		n.ClickID, n.Referral = m.Referral.ClickID, string(m.Referral.SourceID)
	}
	if i, ok := s.known[who{e.From.Kind, e.From.Value}]; ok {
		n.Username = s.contacts[i].username()
	}
	return pack(n)
}

// pack is nil when there is nothing to say.
func pack(n nativeEvent) json.RawMessage {
	if reflect.ValueOf(n).IsZero() {
		return nil
	}
	b, err := json.Marshal(n)
	if err != nil {
		return nil
	}
	return b
}
