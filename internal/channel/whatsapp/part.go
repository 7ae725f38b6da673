package whatsapp

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/aikajana/aikajana/internal/msg"
)

// file reads a picture, sound, film, document or sticker. The caption is the part's text, as the customer sees it.
func file(kind msg.PartKind, field string, m *wireMedia) (c msg.Message, problem string) {
	if m == nil {
		return c, field + ": there is none"
	}
	url := m.URL
	if url == "" {
		url = m.Link
	}
	if m.ID == "" && url == "" {
		return c, field + ".id: there is none, and no url either"
	}
	c.Parts = []msg.Part{{Kind: kind, Text: m.Caption, Media: &msg.Media{
		ID: string(m.ID), URL: url, Type: m.MimeType, Name: m.Filename, SHA256: m.SHA256,
	}}}
	return c, ""
}

func location(l *wireLocation) (c msg.Message, problem string) {
	if l == nil || l.Latitude == nil || l.Longitude == nil {
		return c, "location: latitude or longitude is missing"
	}
	words := joined(", ", l.Name, l.Address)
	if words == "" {
		words = strconv.FormatFloat(*l.Latitude, 'f', -1, 64) + ", " + strconv.FormatFloat(*l.Longitude, 'f', -1, 64)
	}
	c.Parts = []msg.Part{{Kind: msg.PartLocation, Text: words, URL: l.URL, Location: &msg.Location{
		Latitude: *l.Latitude, Longitude: *l.Longitude, Name: l.Name, Address: l.Address,
	}}}
	return c, ""
}

// cards reads shared contacts: readable as name, company, numbers and addresses, and whole as they came.
func cards(all []json.RawMessage) (c msg.Message, problem string) {
	if len(all) == 0 {
		return c, "contacts: there are none"
	}
	for _, raw := range all {
		var card wireCard
		if !is(raw, '{') || json.Unmarshal(raw, &card) != nil {
			c.Parts = append(c.Parts, msg.Part{Kind: msg.PartRaw, Text: "a contact that cannot be shown", Raw: raw})
			continue
		}
		name := card.Name.Formatted
		if name == "" {
			name = joined(" ", card.Name.First, card.Name.Last)
		}
		words := []string{name, card.Org.Company}
		for _, phone := range card.Phones {
			if phone.Phone == "" {
				phone.Phone = phone.WaID
			}
			words = append(words, string(phone.Phone))
		}
		for _, email := range card.Emails {
			words = append(words, email.Email)
		}
		readable := joined(", ", words...)
		if readable == "" {
			readable = "a contact without a name"
		}
		c.Parts = append(c.Parts, msg.Part{Kind: msg.PartContact, Text: readable, Contact: raw})
	}
	return c, ""
}

// order reads a shopping basket: one line for each product, and the note that came with it as the message's text.
func order(raw json.RawMessage) (c msg.Message, problem string) {
	var o wireOrder
	if !is(raw, '{') || json.Unmarshal(raw, &o) != nil {
		return c, "order: not as documented"
	}
	lines := make([]string, 0, len(o.Items))
	for _, item := range o.Items {
		line := joined(" × ", string(item.Quantity), string(item.Product))
		if price := joined(" ", string(item.Price), item.Currency); price != "" {
			line += " (" + price + ")"
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	c.Text = o.Text
	c.Parts = []msg.Part{{Kind: msg.PartOrder, Text: joined("\n", lines...), Order: raw}}
	return c, ""
}

// interactive reads what a customer did with buttons, a list, a form (WhatsApp Flow) or a request to call.
func interactive(s *batch, m *wireMessage, raw json.RawMessage) (c msg.Message, problem string) {
	i := m.Interactive
	switch {
	case i.Button != nil:
		c.Parts = []msg.Part{{Kind: msg.PartChoice, Text: i.Button.Title, Payload: string(i.Button.ID)}}
	case i.List != nil:
		c.Parts = []msg.Part{{Kind: msg.PartChoice, Text: i.List.Title, Payload: string(i.List.ID)}}
	case i.Form != nil:
		c.Parts = []msg.Part{form(i.Form.Body, i.Form.Response)}
	case i.CallPermission != nil:
		c.Parts = []msg.Part{{Kind: msg.PartChoice, Text: "calls: " + i.CallPermission.Response, Payload: i.CallPermission.Response}}
	default:
		c.Parts = []msg.Part{unknown(s, m, raw)}
	}
	return c, ""
}

// form reads a filled-in form. Its answers are JSON inside a string, and need not be an object (quirk 8); the order of the
// fields is the form's own and is kept.
func form(body string, response json.RawMessage) msg.Part {
	part := msg.Part{Kind: msg.PartForm, Text: body}
	var inner string
	if is(response, '"') && json.Unmarshal(response, &inner) == nil {
		response = json.RawMessage(inner)
	}
	part.Payload = string(bytes.ToValidUTF8(response, []byte("\ufffd")))
	if fields, ok := ordered(response); ok {
		part.Form = fields
	} else if part.Payload != "" {
		part.Form = []msg.Field{{Value: plain(json.RawMessage(part.Payload))}}
	}
	if part.Text == "" {
		part.Text = "a filled-in form"
	}
	return part
}

// ordered lists the fields of a JSON object as they stand in it.
func ordered(raw json.RawMessage) ([]msg.Field, bool) {
	if !is(raw, '{') || !json.Valid(raw) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if _, err := decoder.Token(); err != nil {
		return nil, false
	}
	var fields []msg.Field
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, false
		}
		key, _ := name.(string) // the keys of an object are strings
		fields = append(fields, msg.Field{Name: key, Value: plain(value)})
	}
	return fields, true
}

// plain is a string without its quotes, a list of strings joined, and any other value as JSON.
func plain(raw json.RawMessage) string {
	var s string
	if is(raw, '"') && json.Unmarshal(raw, &s) == nil {
		return s
	}
	var list []string
	if is(raw, '[') && json.Unmarshal(raw, &list) == nil {
		return strings.Join(list, ", ")
	}
	if absent(raw) {
		return ""
	}
	return string(bytes.TrimSpace(raw))
}

// referral says where the customer came from: an advertisement, a post or a story.
func referral(r *wireReferral) msg.Part {
	part := msg.Part{Kind: msg.PartLink, Text: joined(": ", r.Headline, r.Body), URL: r.SourceURL}
	if r.SourceType == "story" || r.SourceType == "status" {
		part.Kind = msg.PartStory
	}
	if part.Text == "" {
		part.Text = joined(" ", "came from", r.SourceType, string(r.SourceID))
	}
	return part
}

// product says which product of the catalogue a message is about.
func product(raw json.RawMessage) []msg.Part {
	var w wireProduct
	if !is(raw, '{') || json.Unmarshal(raw, &w) != nil || w.Product == "" {
		return nil
	}
	return []msg.Part{{Kind: msg.PartLink, Text: "about product " + string(w.Product), Payload: string(w.Product)}}
}

// unknown keeps what we cannot read, with words that an agent can: the provider's, or the type's name.
func unknown(s *batch, m *wireMessage, raw json.RawMessage) msg.Part {
	words := ""
	for _, e := range append(m.Errors, s.errors...) {
		title := e.Title
		if title == "" {
			title = e.Message
		}
		if words = joined(": ", clean(title), clean(e.Data.Details)); words != "" {
			break
		}
	}
	kind := m.Type
	switch {
	case kind == "request_welcome":
		words = "The customer opened the chat."
	case kind == "unsupported" && m.Unsupported != nil && m.Unsupported.Type != "":
		words = joined(" ", words, "("+printable(m.Unsupported.Type)+")")
	case words == "":
		words = "a message of type " + printable(kind) + ", which cannot be shown"
	}
	return msg.Part{Kind: msg.PartRaw, Text: words, Raw: raw}
}

// joined joins the words that are not empty.
func joined(separator string, words ...string) string {
	kept := words[:0:0]
	for _, w := range words {
		if w = strings.TrimSpace(w); w != "" {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, separator)
}
