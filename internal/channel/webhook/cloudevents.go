package webhook

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// cloudEvent holds the context attributes of a CloudEvent (CloudEvents 1.0.2 section 3).
type cloudEvent struct {
	id, source, kind, subject string
	at                        msg.Time
	// data is the event's data as JSON; nil without any. Data that is no JSON is a string, or {"data_base64": …}.
	data any
	// extra are the other attributes, extensions included.
	extra map[string]any
}

// key is the event's ID: a source is a URI reference and so holds no space, which keeps (source, id) unambiguous.
func (c *cloudEvent) key() string { return c.sourceKey() + c.id }

func (c *cloudEvent) sourceKey() string { return strings.ReplaceAll(c.source, " ", "%20") + " " }

// structuredEvent reads the JSON format (CloudEvents JSON format 1.0.2 sections 2 and 3).
func structuredEvent(doc any) (*cloudEvent, error) {
	o, ok := doc.(map[string]any)
	if !ok {
		return nil, errors.New("is not a JSON object")
	}
	c := &cloudEvent{extra: map[string]any{}}
	for name, value := range o {
		switch name {
		case "specversion", "id", "source", "type", "subject", "time":
			if _, isString := value.(string); value != nil && !isString {
				return nil, fmt.Errorf("%s: is not a string", name)
			}
		case "data", "data_base64":
		default:
			if value != nil {
				c.extra[name] = value
			}
		}
	}
	text := func(name string) string { s, _ := o[name].(string); return s }
	c.id, c.source, c.kind, c.subject = text("id"), text("source"), text("type"), text("subject")
	if err := c.check(text("specversion"), text("time")); err != nil {
		return nil, err
	}
	var err error
	c.data, err = structuredData(o, text("datacontenttype"))
	return c, err
}

func structuredData(o map[string]any, contentType string) (any, error) {
	encoded, is64 := o["data_base64"]
	if !is64 || encoded == nil {
		return o["data"], nil
	}
	if o["data"] != nil {
		return nil, errors.New("data_base64: stands beside data; only one of them may")
	}
	s, _ := encoded.(string)
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("data_base64: is not base64")
	}
	return readData(raw, contentType)
}

// check holds the required attributes to the specification.
func (c *cloudEvent) check(version, at string) error {
	switch {
	case version == "":
		return errors.New("specversion: is missing")
	case version != "1.0":
		return errors.New(`specversion: is not "1.0"`)
	case c.id == "":
		return errors.New("id: is missing or empty")
	case c.source == "":
		return errors.New("source: is missing or empty")
	case c.kind == "":
		return errors.New("type: is missing or empty")
	case len(c.id) > maxID || len(c.source) > maxID || len(c.kind) > maxID || len(c.subject) > maxID:
		return fmt.Errorf("id, source, type or subject: is longer than %d bytes", maxID)
	}
	if _, err := url.Parse(c.source); err != nil {
		return errors.New("source: is not a URI reference")
	}
	var err error
	if c.at, err = msg.ParseTime(at); err != nil {
		return errors.New("time: is not RFC 3339")
	}
	return nil
}

// splitBinary reads a CloudEvent whose attributes are headers (HTTP binding section 3.1).
func splitBinary(env channel.Envelope, mediaType string) ([]item, []*channel.Rejected) {
	reject := func(err error) ([]item, []*channel.Rejected) {
		return nil, []*channel.Rejected{{Cause: channel.CauseMalformed, Detail: oneLine(err.Error()), Raw: env.Body}}
	}
	attribute := make(map[string]string)
	for _, name := range []string{"specversion", "id", "source", "type", "time", "subject", "dataschema"} {
		value, err := headerValue(env.Header.Get("Ce-" + name))
		if err != nil {
			return reject(fmt.Errorf("ce-%s: %w", name, err))
		}
		attribute[name] = value
	}
	c := &cloudEvent{id: attribute["id"], source: attribute["source"], kind: attribute["type"], subject: attribute["subject"], extra: map[string]any{}}
	if err := c.check(attribute["specversion"], attribute["time"]); err != nil {
		return reject(fmt.Errorf("ce-%w", err))
	}
	doc := map[string]any{}
	for name, value := range attribute {
		if value != "" {
			doc[name] = value
		}
	}
	if s := attribute["dataschema"]; s != "" {
		c.extra["dataschema"] = s
	}
	if mediaType != "" {
		doc["datacontenttype"], c.extra["datacontenttype"] = mediaType, mediaType
	}
	if len(env.Body) > 0 {
		data, err := readData(env.Body, mediaType)
		if err != nil {
			return reject(err)
		}
		doc["data"], c.data = data, data
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return reject(err)
	}
	return []item{{doc: doc, raw: raw, cloud: c, fallback: c.key()}}, nil
}

// readData makes JSON of data in its own format. No format means JSON (CloudEvents section 3.1).
func readData(raw []byte, contentType string) (any, error) {
	mediaType, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	mediaType = strings.TrimSpace(mediaType)
	switch {
	case mediaType == "", mediaType == "application/json", mediaType == "text/json", strings.HasSuffix(mediaType, "+json"):
		data, err := decode(raw)
		if err != nil {
			return nil, fmt.Errorf("data: is not the JSON that its content type says: %w", err)
		}
		return data, nil
	case utf8.Valid(raw):
		return string(raw), nil
	}
	return map[string]any{"data_base64": base64.StdEncoding.EncodeToString(raw)}, nil
}

// headerValue decodes an attribute's header: quotes first, then one round of percent-decoding (HTTP binding section 3.1.3.2).
func headerValue(s string) (string, error) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		var b strings.Builder
		for i := 1; i < len(s)-1; i++ {
			if s[i] == '\\' && i+1 < len(s)-1 {
				i++
			}
			b.WriteByte(s[i])
		}
		s = b.String()
	}
	decoded, err := url.PathUnescape(s)
	if err != nil || !utf8.ValidString(decoded) {
		return "", errors.New("is not percent-encoded UTF-8")
	}
	return decoded, nil
}
