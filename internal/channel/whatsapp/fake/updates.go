package fake

import (
	"encoding/json"
	"strconv"
	"time"
)

// Person is a customer. Phone or UserID may be empty, as at the real provider.
type Person struct {
	Phone, UserID, Parent, Name, Username string
}

// object is JSON under construction.
type object = map[string]any

// Update is one item of a webhook: a message, an echo or a status. The methods return changed copies.
type Update struct {
	list   string // messages, message_echoes or statuses
	person Person
	body   object
}

// ID sets the message's ID; otherwise the provider makes one.
func (u Update) ID(id string) Update { return u.with("id", id) }

// MessageID is the ID that the message has.
func (u Update) MessageID() string { id, _ := u.body["id"].(string); return id }

// At sets the time of the message, in whole seconds; otherwise it is the provider's now.
func (u Update) At(t time.Time) Update { return u.with("timestamp", strconv.FormatInt(t.Unix(), 10)) }

// ReplyTo makes the message quote another.
func (u Update) ReplyTo(id string) Update { return u.with("context", object{"id": id}) }

// Forwarded marks the message as forwarded.
func (u Update) Forwarded() Update { return u.with("context", object{"forwarded": true}) }

// Group puts the message into a group.
func (u Update) Group(id string) Update { return u.with("group_id", id) }

// Tag sets what a status carries back of the answer.
func (u Update) Tag(tag string) Update { return u.with("biz_opaque_callback_data", tag) }

func (u Update) with(key string, value any) Update {
	body := object{}
	for k, v := range u.body {
		body[k] = v
	}
	body[key] = value
	u.body = body
	return u
}

// message starts a customer's message.
func (p *Provider) message(from Person, kind string, content any) Update {
	p.mu.Lock()
	defer p.mu.Unlock()
	body := object{"id": p.id(from.Phone + from.UserID), "timestamp": strconv.FormatInt(p.o.Now().Unix(), 10), "type": kind}
	if content != nil {
		body[kind] = content
	}
	set(body, "from", from.Phone)
	set(body, "from_user_id", from.UserID)
	set(body, "from_parent_user_id", from.Parent)
	return Update{list: "messages", person: from, body: body}
}

// Text is a text message.
func (p *Provider) Text(from Person, text string) Update {
	return p.message(from, "text", object{"body": text})
}

// Image is a picture: a file that AddMedia keeps. An empty caption is left out.
func (p *Provider) Image(from Person, media, caption string) Update {
	return p.message(from, "image", p.content(media, caption, nil))
}

// Video is a film; see Image.
func (p *Provider) Video(from Person, media, caption string) Update {
	return p.message(from, "video", p.content(media, caption, nil))
}

// Voice is a voice message; see Image.
func (p *Provider) Voice(from Person, media string) Update {
	return p.message(from, "audio", p.content(media, "", object{"voice": true}))
}

// Audio is a sound file; see Image.
func (p *Provider) Audio(from Person, media string) Update {
	return p.message(from, "audio", p.content(media, "", object{"voice": false}))
}

// Document is any file; see Image.
func (p *Provider) Document(from Person, media, name, caption string) Update {
	return p.message(from, "document", p.content(media, caption, object{"filename": name}))
}

// Sticker is a sticker; see Image.
func (p *Provider) Sticker(from Person, media string) Update {
	return p.message(from, "sticker", p.content(media, "", object{"animated": false}))
}

func (p *Provider) content(media, caption string, more object) object {
	c := object{"id": media, "mime_type": "application/octet-stream"}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.media[media]; f != nil {
		c["mime_type"], c["sha256"] = f.kind, checksum(f.data)
	}
	set(c, "caption", caption)
	for k, v := range more {
		c[k] = v
	}
	return c
}

// Location is a place.
func (p *Provider) Location(from Person, latitude, longitude float64, name, address string) Update {
	c := object{"latitude": latitude, "longitude": longitude}
	set(c, "name", name)
	set(c, "address", address)
	return p.message(from, "location", c)
}

// Contact shares somebody's card.
func (p *Provider) Contact(from Person, name, phone string) Update {
	return p.message(from, "contacts", []any{object{"name": object{"formatted_name": name}, "phones": []any{object{"phone": phone, "type": "MOBILE"}}}})
}

// Order is a basket of one product.
func (p *Provider) Order(from Person, product string, quantity int, price float64, note string) Update {
	return p.message(from, "order", object{"catalog_id": "9001", "text": note, "product_items": []any{
		object{"product_retailer_id": product, "quantity": quantity, "item_price": price, "currency": "EUR"}}})
}

// Button is a pressed quick-reply button of a template.
func (p *Provider) Button(from Person, text, payload string) Update {
	return p.message(from, "button", object{"text": text, "payload": payload})
}

// Choice is a pressed reply button.
func (p *Provider) Choice(from Person, id, title string) Update {
	return p.message(from, "interactive", object{"type": "button_reply", "button_reply": object{"id": id, "title": title}})
}

// ListChoice is a chosen row of a list.
func (p *Provider) ListChoice(from Person, id, title, description string) Update {
	return p.message(from, "interactive", object{"type": "list_reply", "list_reply": object{"id": id, "title": title, "description": description}})
}

// Form is a filled-in form; answers is the JSON that goes into a string.
func (p *Provider) Form(from Person, answers string) Update {
	return p.message(from, "interactive", object{"type": "nfm_reply", "nfm_reply": object{"name": "flow", "body": "Sent", "response_json": answers}})
}

// Advertisement is a text of somebody who clicked an advertisement.
func (p *Provider) Advertisement(from Person, text, headline, url string) Update {
	return p.Text(from, text).with("referral", object{"source_url": url, "source_id": "1202", "source_type": "ad", "headline": headline, "ctwa_clid": "Aff"})
}

// Reaction puts an emoji on a message; an empty one takes it back.
func (p *Provider) Reaction(from Person, of, emoji string) Update {
	c := object{"message_id": of}
	set(c, "emoji", emoji)
	return p.message(from, "reaction", c)
}

// Edit changes the text of an earlier message.
func (p *Provider) Edit(from Person, of, text string) Update {
	return p.message(from, "edit", object{"original_message_id": of, "message": object{"type": "text", "text": object{"body": text}}})
}

// Revoke takes an earlier message back.
func (p *Provider) Revoke(from Person, of string) Update {
	return p.message(from, "revoke", object{"original_message_id": of})
}

// Unsupported is a message that the Cloud API does not hand on.
func (p *Provider) Unsupported(from Person) Update {
	return p.message(from, "unsupported", nil).with("errors", []any{object{
		"code": 131051, "title": "Message type unknown", "message": "Message type unknown",
		"error_data": object{"details": "Message type is currently not supported."}}})
}

// Unknown is a message of a type that nobody has documented yet.
func (p *Provider) Unknown(from Person, kind string, content any) Update {
	return p.message(from, kind, content)
}

// Changed says that a customer has another number or user ID now.
func (p *Provider) Changed(was, now Person) Update {
	kind := "user_changed_number"
	if was.Phone == "" {
		kind = "user_changed_user_id"
	}
	c := object{"type": kind, "body": "User changed"}
	set(c, "wa_id", now.Phone)
	set(c, "user_id", now.UserID)
	set(c, "previous_user_id", was.UserID)
	u := p.message(Person{Phone: was.Phone}, "system", c)
	u.person = Person{} // system messages come without a contact
	return u
}

// Echo is what was written to a customer in the WhatsApp Business app.
func (p *Provider) Echo(to Person, text string) Update {
	u := p.message(Person{Phone: p.o.DisplayNumber}, "text", object{"body": text})
	u.list, u.person = "message_echoes", to
	set(u.body, "to", to.Phone)
	set(u.body, "to_user_id", to.UserID)
	return u
}

// Status reports how far an answer has come: sent, delivered, read, played or failed.
func (p *Provider) Status(of Sent, status string) Update {
	b := object{"id": of.ID, "status": status, "timestamp": strconv.FormatInt(p.o.Now().Unix(), 10)}
	set(b, "recipient_id", of.To)
	set(b, "recipient_user_id", of.Recipient)
	set(b, "biz_opaque_callback_data", of.Tag)
	if of.Group {
		b["recipient_type"] = "group"
	}
	if status == "sent" {
		b["pricing"] = object{"billable": true, "pricing_model": "PMP", "category": "service", "type": "regular"}
	}
	return Update{list: "statuses", body: b}
}

// Failed reports that an answer failed after it was accepted.
func (p *Provider) Failed(of Sent, code int) Update {
	return p.Status(of, "failed").with("errors", []any{object{"code": code, "title": words[code], "message": words[code]}})
}

func set(o object, key, value string) {
	if value != "" {
		o[key] = value
	}
}

func (who Person) contact() object {
	c, profile := object{}, object{}
	set(profile, "name", who.Name)
	set(profile, "username", who.Username)
	set(c, "wa_id", who.Phone)
	set(c, "user_id", who.UserID)
	set(c, "parent_user_id", who.Parent)
	c["profile"] = profile
	return c
}

// Body is the delivery that holds the updates, escaped as Meta escapes: everything outside ASCII, and the slash.
func (p *Provider) Body(updates ...Update) []byte {
	lists, contacts, seen := map[string][]any{}, map[string][]any{}, map[Person]bool{}
	for _, u := range updates {
		field := "messages"
		if u.list == "message_echoes" {
			field = "smb_message_echoes"
		}
		lists[u.list] = append(lists[u.list], u.body)
		if u.person != (Person{}) && !seen[u.person] {
			seen[u.person] = true
			contacts[field] = append(contacts[field], u.person.contact())
		}
	}
	value := func(field string, names ...string) object {
		v := object{"messaging_product": "whatsapp", "metadata": object{"display_phone_number": p.o.DisplayNumber, "phone_number_id": p.o.PhoneNumberID}}
		if len(contacts[field]) > 0 {
			v["contacts"] = contacts[field]
		}
		for _, name := range names {
			if len(lists[name]) > 0 {
				v[name] = lists[name]
			}
		}
		return object{"field": field, "value": v}
	}
	var changes []any
	if len(lists["messages"])+len(lists["statuses"]) > 0 {
		changes = append(changes, value("messages", "messages", "statuses"))
	}
	if len(lists["message_echoes"]) > 0 {
		changes = append(changes, value("smb_message_echoes", "message_echoes"))
	}
	raw, err := json.Marshal(object{"object": "whatsapp_business_account", "entry": []any{object{"id": p.o.Business, "changes": changes}}})
	if err != nil {
		panic(err) // an Unknown with content that is not JSON: the test's own mistake
	}
	return escape(raw)
}
