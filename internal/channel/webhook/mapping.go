package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/fault"
)

// Rule says how one kind of JSON becomes an event. The first rule that applies is taken; where none does, the event is a
// signal. Every [Place] is looked up in the whole event: for a CloudEvent that is its structured form, whatever the mode.
type Rule struct {
	// When limits the rule; without it the rule always applies.
	When *When `json:"when"`
	// Kind is "message" (also when empty) or "signal".
	Kind string `json:"kind"`

	// ID is unique within the account, for ever. Without one it is a CloudEvent's source and id, or the webhook-id.
	ID Place `json:"id"`
	// Time is RFC 3339, or Unix seconds or milliseconds.
	Time Place `json:"time"`
	// Thread brings messages together; without one those of the same person come together.
	Thread  Place `json:"thread"`
	From    From  `json:"from"`
	Subject Place `json:"subject"`

	// The following are for messages. ReplyTo is the ID of an earlier message.
	ReplyTo  Place `json:"reply_to"`
	Text     Place `json:"text"`
	Language Place `json:"language"`
	// Direction is "out" for what was said on our own account. Out lists more words that mean so.
	Direction Place    `json:"direction"`
	Out       []string `json:"out"`
	// Public is true for what others can read.
	Public      Place       `json:"public"`
	Attachments Attachments `json:"attachments"`
	// Fields is an object whose members are shown as a filled-in form.
	Fields Place `json:"fields"`

	// The following are for signals. Data is the whole event when it is not said.
	Type   Place `json:"type"`
	Source Place `json:"source"`
	Data   Place `json:"data"`
}

// When says to which events a rule applies: those with one of these texts at Path.
type When struct {
	Path   Place    `json:"path"`
	Equals []string `json:"equals"`
}

// From says who the customer is, also in messages whose direction is out.
type From struct {
	// Kind is "email", "phone", or a word of the sender's own for its users ("user" when empty).
	Kind  Place `json:"kind"`
	Value Place `json:"value"`
	Name  Place `json:"name"`
}

// Attachments says where the files are: Items is a list, and the others are looked up in each of its elements.
type Attachments struct {
	Items Place `json:"items"`
	URL   Place `json:"url"`
	Name  Place `json:"name"`
	Type  Place `json:"type"`
	Size  Place `json:"size"`
}

// ReadMapping reads the setting "mapping": one rule, or a list of them. Errors are of kind fault.Invalid and name the place.
func ReadMapping(text string) ([]Rule, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	var raws []json.RawMessage
	where := func(i int) string { return fmt.Sprintf("settings.mapping[%d]", i) }
	if strings.HasPrefix(text, "[") {
		if err := json.Unmarshal([]byte(text), &raws); err != nil {
			return nil, fault.Field("settings.mapping", "is not a list of rules: %w", err)
		}
	} else {
		if !json.Valid([]byte(text)) {
			return nil, fault.Field("settings.mapping", "is not JSON")
		}
		raws, where = []json.RawMessage{json.RawMessage(text)}, func(int) string { return "settings.mapping" }
	}
	rules := make([]Rule, len(raws))
	for i, raw := range raws {
		if err := strictly(where(i), raw, reflect.ValueOf(&rules[i]).Elem()); err != nil {
			return nil, err
		}
		if err := rules[i].check(where(i)); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

// strictly fills a struct and its structs from JSON, so that every error names the member at fault, however deep.
func strictly(where string, raw json.RawMessage, into reflect.Value) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return fault.Field(where, "is not a JSON object")
	}
	for i := range into.NumField() {
		name := into.Type().Field(i).Tag.Get("json")
		member, ok := members[name]
		delete(members, name)
		if !ok || bytes.Equal(bytes.TrimSpace(member), []byte("null")) {
			continue
		}
		field := into.Field(i)
		if field.Kind() == reflect.Pointer {
			field.Set(reflect.New(field.Type().Elem()))
			field = field.Elem()
		}
		if field.Kind() == reflect.Struct && field.Type() != reflect.TypeFor[Place]() {
			if err := strictly(where+"."+name, member, field); err != nil {
				return err
			}
		} else if err := json.Unmarshal(member, field.Addr().Interface()); err != nil {
			if field.Type() != reflect.TypeFor[Place]() {
				err = errors.New("is not of the documented type")
			}
			return fault.Field(where+"."+name, "%w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		return fault.Field(where+"."+name, "is not a member of a rule; see docs/channels/webhook.md")
	}
	return nil
}

func (r *Rule) check(where string) error {
	switch {
	case r.When != nil && (!r.When.Path.set || len(r.When.Equals) == 0):
		return fault.Field(where+".when", `needs "path" and at least one text in "equals"`)
	case r.Kind != "" && r.Kind != "message" && r.Kind != "signal":
		return fault.Field(where+".kind", `is neither "message" nor "signal"`)
	case r.signal():
		return nil
	case !r.From.Value.set:
		return fault.Field(where+".from.value", "is missing: a message needs somebody who wrote it")
	case !r.Text.set && !r.Subject.set && !r.Attachments.Items.set && !r.Fields.set:
		return fault.Field(where+".text", "is missing: a message needs text, subject, fields or attachments")
	case r.Attachments.Items.set && !r.Attachments.URL.set:
		return fault.Field(where+".attachments.url", "is missing: it says where a file can be fetched")
	}
	return nil
}

func (r *Rule) signal() bool { return r.Kind == "signal" }

func (r *Rule) applies(doc any) bool {
	if r.When == nil {
		return true
	}
	value, ok := r.When.Path.plain(doc)
	return ok && slices.Contains(r.When.Equals, value)
}

// ownRule is how CloudEvents of our own type are read. It is built and not parsed: every event of every account needs it.
func ownRule() Rule {
	at := func(path ...string) Place { return Place{path: path, set: true} }
	return Rule{
		When: &When{Path: at("type"), Equals: []string{"aikajana.message"}},
		Time: at("time"), Thread: at("data", "thread"), ReplyTo: at("data", "reply_to"),
		From:    From{Kind: at("data", "from", "kind"), Value: at("data", "from", "value"), Name: at("data", "from", "name")},
		Subject: at("data", "subject"), Text: at("data", "text"), Language: at("data", "language"),
		Direction: at("data", "direction"), Public: at("data", "public"), Fields: at("data", "fields"),
		Attachments: Attachments{Items: at("data", "attachments"), URL: at("url"), Name: at("name"), Type: at("type"), Size: at("size")},
	}
}
