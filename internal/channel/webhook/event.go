package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// maxID is the longest ID, thread, address or type, in bytes; nothing real comes near it.
const maxID = 500

// maxFiles is how many attachments of one message are fetched.
const maxFiles = 50

// A claimed time outside of these is a mistake, and says nothing: 2000-01-01 and 2100-01-01.
const (
	earliest msg.Time = 946_684_800_000
	latest   msg.Time = 4_102_444_800_000
)

// parser applies the account's rules.
type parser struct {
	account string
	trusted bool
	rules   []Rule
}

func newParser(env channel.Envelope) (*parser, error) {
	if _, err := parsePointer(env.Settings["items"]); err != nil {
		return nil, fmt.Errorf("settings.items: %w", err)
	}
	rules, err := ReadMapping(env.Settings["mapping"])
	if err != nil {
		return nil, err
	}
	return &parser{account: env.Account, trusted: env.Settings["trust_addresses"] == "yes", rules: append(rules, ownRule())}, nil
}

func (p *parser) event(it item) (*msg.Event, error) {
	for i := range p.rules {
		if !p.rules[i].applies(it.doc) || p.rules[i].When == nil && notObject(it.doc) {
			continue
		}
		if p.rules[i].signal() {
			return p.signal(&p.rules[i], it)
		}
		return p.message(&p.rules[i], it)
	}
	return p.signal(&Rule{Kind: "signal", Type: defaultType()}, it)
}

func notObject(doc any) bool {
	o, ok := doc.(map[string]any)
	return !ok || len(o) == 0
}

// defaultType and defaultTime are where Standard Webhooks recommends to put them ("Payload structure").
func defaultType() Place { return Place{set: true, path: pointer{"type"}} }

func defaultTime() Place { return Place{set: true, path: pointer{"timestamp"}} }

// base makes what all events have in common.
func (p *parser) base(r *Rule, it item) (*msg.Event, error) {
	e := &msg.Event{Channel: "webhook", Account: p.account, Direction: msg.In}
	var err error
	if e.ID, err = word(r.ID, it.doc, "id"); err != nil {
		return nil, err
	}
	switch {
	case e.ID != "":
	case it.cloud != nil:
		e.ID = it.cloud.key()
	default:
		e.ID = it.fallback
	}
	e.EventID = e.ID
	if it.cloud != nil {
		e.Time = it.cloud.at
	}
	if at, err := instant(r.Time.value(it.doc)); err != nil {
		return nil, err
	} else if at != 0 {
		e.Time = at
	} else if !r.Time.set && e.Time == 0 {
		e.Time, _ = instant(defaultTime().value(it.doc)) // nobody said that it is a time
	}
	if e.Time < earliest || e.Time > latest {
		e.Time = 0
	}
	if e.Thread, err = word(r.Thread, it.doc, "thread"); err != nil {
		return nil, err
	}
	if e.From, err = p.person(r, it.doc); err != nil {
		return nil, err
	}
	return e, nil
}

func (p *parser) message(r *Rule, it item) (*msg.Event, error) {
	e, err := p.base(r, it)
	if err != nil {
		return nil, err
	}
	if e.From.Value == "" {
		return nil, errors.New("from.value: there is nothing at the place that the mapping names, so nobody wrote the message")
	}
	if e.Thread == "" {
		e.Thread = e.From.Key()
	}
	m := msg.Message{}
	direction, public, replyTo := "", "", ""
	for _, f := range []struct {
		name string
		from Place
		to   *string
	}{
		{"subject", r.Subject, &m.Subject}, {"text", r.Text, &m.Text}, {"language", r.Language, &m.Language},
		{"direction", r.Direction, &direction}, {"public", r.Public, &public}, {"reply_to", r.ReplyTo, &replyTo},
	} {
		var ok bool
		if *f.to, ok = f.from.plain(it.doc); !ok {
			return nil, fmt.Errorf("%s: is neither text nor a number", f.name)
		}
	}
	e.Kind, e.Message, e.ReplyTo, e.Public = msg.KindMessage, &m, replyTo, public == "true"
	if it.cloud != nil && replyTo != "" && !strings.Contains(replyTo, " ") {
		e.ReplyTo = it.cloud.sourceKey() + replyTo
	}
	if slices.Contains(append([]string{"out", "outbound", "outgoing"}, r.Out...), direction) {
		e.Direction, e.To, e.From = msg.Out, []msg.Address{e.From}, msg.Address{}
	}
	fields, err := fields(r.Fields.value(it.doc))
	if err != nil {
		return nil, err
	}
	if len(fields) > 0 {
		m.Parts = append(m.Parts, msg.Part{Kind: msg.PartForm, Form: fields})
	}
	files, err := r.Attachments.read(it.doc)
	if err != nil {
		return nil, err
	}
	m.Parts = append(m.Parts, files...)
	if m.Text == "" && m.Subject == "" && len(m.Parts) == 0 {
		return nil, errors.New("text: there is nothing at the places that the mapping names: no text, subject, fields or attachments")
	}
	return e, nil
}

func (p *parser) signal(r *Rule, it item) (*msg.Event, error) {
	e, err := p.base(r, it)
	if err != nil {
		return nil, err
	}
	s := msg.Signal{}
	s.Type, _ = word(r.Type, it.doc, "type") // one that is no word is data like the rest
	if s.Source, err = word(r.Source, it.doc, "source"); err != nil {
		return nil, err
	}
	data := it.doc
	subject := ""
	if c := it.cloud; c != nil {
		subject = c.subject
		s.Type, s.Source, data = first(s.Type, c.kind), first(s.Source, c.source), c.data
		e.Native = c.native()
	}
	if r.Data.set {
		data = r.Data.value(it.doc)
	}
	s.Type = first(s.Type, "unknown")
	s.Source = first(s.Source, p.account)
	if data != nil {
		if s.Data, err = json.Marshal(data); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
	}
	if e.From.Value == "" {
		e.From = msg.Address{Kind: KindSource, Value: strings.TrimSpace(p.account + ":" + s.Source)}
		if subject != "" {
			e.From.Value = strings.TrimSpace(e.From.Value + "#" + subject)
		}
	}
	e.Kind, e.Signal, e.Thread = msg.KindSignal, &s, first(e.Thread, e.From.Key())
	return e, nil
}

// native keeps the attributes that Signal has no place for.
func (c *cloudEvent) native() json.RawMessage {
	attributes := make(map[string]any, len(c.extra)+1)
	for name, value := range c.extra {
		attributes[name] = value
	}
	if c.subject != "" {
		attributes["subject"] = c.subject
	}
	if len(attributes) == 0 {
		return nil
	}
	b, _ := json.Marshal(attributes) // came out of the decoder: cannot fail
	return b
}

// person says who the customer is, as far as the account lets the sender say so.
func (p *parser) person(r *Rule, doc any) (msg.Address, error) {
	kind, err := word(r.From.Kind, doc, "from.kind")
	if err != nil {
		return msg.Address{}, err
	}
	value, err := word(r.From.Value, doc, "from.value")
	if err != nil {
		return msg.Address{}, err
	}
	if value == "" {
		return msg.Address{}, nil
	}
	name, _ := r.From.Name.plain(doc) // a name of another type is no reason to lose the message
	a := msg.Address{Name: strings.TrimSpace(name)}
	trusted := func(yes, no string) string {
		if p.trusted {
			return yes
		}
		return no
	}
	switch kind {
	case "email":
		if parsed, err := mail.ParseAddress(value); err == nil {
			a.Kind, a.Value = trusted(KindEmail, KindEmailUnverified), strings.TrimSpace(strings.ToLower(parsed.Address))
			a.Name = first(a.Name, parsed.Name)
			return a, nil
		}
	case "phone":
		if digits := onlyDigits(value); len(strings.TrimPrefix(digits, "+")) >= 5 {
			a.Kind, a.Value = trusted(KindPhone, KindPhoneUnverified), digits
			return a, nil
		}
	}
	// Another account's user 17 is somebody else.
	a.Kind, a.Value = KindUser, strings.TrimSpace(p.account+":"+first(kind, "user")+":"+value)
	return a, nil
}

func onlyDigits(s string) string {
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
	if strings.HasPrefix(s, "+") {
		return "+" + digits
	}
	if after, ok := strings.CutPrefix(digits, "00"); ok {
		return "+" + after
	}
	return digits
}

// word reads an ID or the like: text of at most maxID bytes.
func word(from Place, doc any, name string) (string, error) {
	s, ok := from.plain(doc)
	switch {
	case !ok:
		return "", fmt.Errorf("%s: is neither text nor a number", name)
	case len(s) > maxID:
		return "", fmt.Errorf("%s: is longer than %d bytes", name, maxID)
	}
	return strings.TrimSpace(s), nil
}

// instant reads RFC 3339, or Unix time: seconds below 10^11 (the year 5138), milliseconds above.
func instant(v any) (msg.Time, error) {
	bad := errors.New("time: is neither RFC 3339 nor Unix seconds or milliseconds")
	switch v := v.(type) {
	case nil:
		return 0, nil
	case string:
		if at, err := msg.ParseTime(v); err == nil {
			return at, nil
		}
		return instantNumber(v, bad)
	case json.Number:
		return instantNumber(v.String(), bad)
	}
	return 0, bad
}

func instantNumber(s string, bad error) (msg.Time, error) {
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || n < 0 || n > 1e14:
		return 0, bad
	case n < 1e11:
		n *= 1000
	}
	return msg.Time(n), nil
}

func fields(v any) ([]msg.Field, error) {
	if v == nil {
		return nil, nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("fields: is not an object")
	}
	var all []msg.Field
	for name, value := range object {
		text, isText := value.(string)
		if !isText {
			b, err := json.Marshal(value)
			if err != nil {
				return nil, fmt.Errorf("fields: %w", err)
			}
			text = string(b)
		}
		all = append(all, msg.Field{Name: name, Value: text})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all, nil
}

// read lists the files. An element that is none is shown as it came: the message is worth more than its attachment.
func (a *Attachments) read(doc any) ([]msg.Part, error) {
	v := a.Items.value(doc)
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, errors.New("attachments.items: is not a list")
	}
	var parts []msg.Part
	for i, one := range list {
		if i == maxFiles {
			rest, err := json.Marshal(list[i:])
			if err != nil {
				return nil, fmt.Errorf("attachments.items[%d]: %w", i, err)
			}
			return append(parts, msg.Part{Kind: msg.PartRaw, Text: fmt.Sprintf("%d attachments more", len(list)-i), Raw: rest}), nil
		}
		where, _ := a.URL.plain(one)
		if u, err := url.Parse(where); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			raw, err := json.Marshal(one)
			if err != nil {
				return nil, fmt.Errorf("attachments.items[%d]: %w", i, err)
			}
			parts = append(parts, msg.Part{Kind: msg.PartRaw, Text: "an attachment without a web address", Raw: raw})
			continue
		}
		name, _ := a.Name.plain(one)
		kind, _ := a.Type.plain(one)
		size, _ := a.Size.plain(one)
		n, _ := strconv.ParseInt(size, 10, 64) // 0 is "unknown"
		parts = append(parts, msg.Part{Kind: partKind(kind), Media: &msg.Media{
			ID: strconv.Itoa(i + 1), URL: where, Name: name, Type: kind, Size: max(n, 0)}})
	}
	return parts, nil
}

func partKind(mediaType string) msg.PartKind {
	switch class, _, _ := strings.Cut(mediaType, "/"); class {
	case "image":
		return msg.PartImage
	case "audio":
		return msg.PartAudio
	case "video":
		return msg.PartVideo
	}
	return msg.PartFile
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
