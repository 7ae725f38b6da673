package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// item is one event of a request, before a rule is applied to it.
type item struct {
	// doc is the event as decoded JSON with json.Number, raw the same as bytes.
	doc any
	raw json.RawMessage
	// cloud is set for a CloudEvent.
	cloud *cloudEvent
	// place says which of several events it is, for people: "event 3 of 10: ".
	place string
	// fallback is the event's ID when it has none of its own.
	fallback string
}

// Parse makes an event of everything that the request holds. What is malformed is rejected by itself (FAULTS 22).
func (Adapter) Parse(env channel.Envelope) ([]msg.Event, error) {
	p, err := newParser(env)
	if err != nil {
		// The body is fine; it is the account that has to be mended. Then a replay brings it in.
		return nil, &channel.Rejected{Cause: channel.CauseMalformed, Detail: oneLine(err.Error())}
	}
	if !utf8.Valid(env.Body) {
		env.Body = bytes.ToValidUTF8(env.Body, []byte("\uFFFD"))
	}
	items, rejected := split(env)
	var events []msg.Event
	for _, it := range items {
		e, err := p.event(it)
		if err != nil {
			rejected = append(rejected, &channel.Rejected{Cause: channel.CauseMalformed, Detail: oneLine(it.place + err.Error()), Raw: it.raw})
			continue
		}
		events = append(events, *e)
	}
	errs := make([]error, len(rejected))
	for i, r := range rejected {
		errs[i] = r
	}
	return events, errors.Join(errs...)
}

// split takes a request apart by its content mode: CloudEvents batched, structured or binary, or other JSON.
func split(env channel.Envelope) ([]item, []*channel.Rejected) {
	malformed := func(format string, args ...any) []*channel.Rejected {
		return []*channel.Rejected{{Cause: channel.CauseMalformed, Detail: oneLine(fmt.Sprintf(format, args...))}}
	}
	mediaType, _, _ := mime.ParseMediaType(env.Header.Get("Content-Type"))
	batch := strings.HasPrefix(mediaType, "application/cloudevents-batch")
	structured := !batch && strings.HasPrefix(mediaType, "application/cloudevents")
	if (batch || structured) && !strings.HasSuffix(mediaType, "+json") && strings.Contains(mediaType, "+") {
		return nil, []*channel.Rejected{{Cause: channel.CauseUnsupported, Detail: "Content-Type: only the JSON format of CloudEvents is read", Raw: env.Body}}
	}
	if !batch && !structured && env.Header.Get("Ce-Specversion") != "" {
		return splitBinary(env, mediaType)
	}
	doc, err := decode(env.Body)
	if err != nil {
		return nil, malformed("body: is not JSON: %v", err)
	}
	list, isList := doc.([]any)
	switch {
	case batch && !isList:
		return nil, malformed("body: a CloudEvents batch is a JSON array")
	case batch, isList && len(list) > 0 && allCloud(list):
		return splitList(env, list, true)
	case structured, looksCloud(doc):
		return splitOne(env, doc, true)
	}
	if path, _ := parsePointer(env.Settings["items"]); path != nil || isList && env.Settings["items"] == "" && env.Settings["mapping"] != "" {
		value, _ := path.in(doc)
		list, ok := value.([]any)
		if !ok {
			return nil, malformed("items (%s): there is no list in the event", env.Settings["items"])
		}
		return splitList(env, list, false)
	}
	return splitOne(env, doc, false)
}

// looksCloud knows a structured CloudEvent that came as plain application/json, as several senders do.
func looksCloud(doc any) bool {
	o, ok := doc.(map[string]any)
	return ok && isText(o["specversion"]) && isText(o["id"]) && isText(o["source"]) && isText(o["type"])
}

// allCloud says that a list is a batch of CloudEvents; elements that are no objects at all are the batch's junk.
func allCloud(list []any) bool {
	some := false
	for _, one := range list {
		o, isObject := one.(map[string]any)
		if isObject && len(o) > 0 && !isText(o["specversion"]) {
			return false
		}
		some = some || looksCloud(one)
	}
	return some
}

func isText(v any) bool {
	s, ok := v.(string)
	return ok && s != ""
}

func splitOne(env channel.Envelope, doc any, cloud bool) ([]item, []*channel.Rejected) {
	it := item{doc: doc, raw: bytes.TrimSpace(env.Body), fallback: env.Header.Get("Webhook-Id")}
	if it.fallback == "" {
		it.fallback = "body:" + digest(it.raw)
	}
	return readCloud([]item{it}, cloud)
}

func splitList(env channel.Envelope, list []any, cloud bool) ([]item, []*channel.Rejected) {
	var junk []*channel.Rejected
	if n := len(list); n > MaxItems {
		rest, _ := json.Marshal(list[MaxItems:]) // came out of the decoder: cannot fail
		junk = append(junk, &channel.Rejected{Cause: channel.CauseTooLarge, Raw: rest,
			Detail: fmt.Sprintf("the request holds %d events; after the first %d they are left out: send fewer at a time", n, MaxItems)})
		list = list[:MaxItems]
	}
	items := make([]item, 0, len(list))
	seen := make(map[string]int, len(list))
	for i, one := range list {
		raw, _ := json.Marshal(one) // came out of the decoder: cannot fail
		if notObject(one) {
			junk = append(junk, &channel.Rejected{Cause: channel.CauseMalformed, Raw: raw,
				Detail: fmt.Sprintf("event %d of %d: is not a JSON object with something in it", i+1, len(list))})
			continue
		}
		// By content and not by place, so that a request sent again without one of its events names the others alike.
		name := env.Header.Get("Webhook-Id") + "#" + digest(raw)
		seen[name]++
		if n := seen[name]; n > 1 {
			name = fmt.Sprintf("%s#%d", name, n)
		}
		items = append(items, item{doc: one, raw: raw, place: fmt.Sprintf("event %d of %d: ", i+1, len(list)), fallback: name})
	}
	good, rejected := readCloud(items, cloud)
	return good, append(rejected, junk...)
}

// readCloud checks items that claim to be CloudEvents, and keeps those that are.
func readCloud(items []item, cloud bool) ([]item, []*channel.Rejected) {
	if !cloud {
		return items, nil
	}
	var good []item
	var rejected []*channel.Rejected
	for _, it := range items {
		c, err := structuredEvent(it.doc)
		if err != nil {
			rejected = append(rejected, &channel.Rejected{Cause: channel.CauseMalformed, Detail: oneLine(it.place + err.Error()), Raw: it.raw})
			continue
		}
		it.cloud = c
		good = append(good, it)
	}
	return good, rejected
}

func decode(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\uFEFF"))))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		return nil, plainJSONError(err)
	}
	if d.More() {
		return nil, errors.New("something follows the first value")
	}
	return doc, nil
}

// plainJSONError says where JSON is broken without repeating the character that broke it.
func plainJSONError(err error) error {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("broken at byte %d", e.Offset)
	}
	return errors.New("it ends too early or is empty")
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// oneLine fits an error into a rejection's detail.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}
