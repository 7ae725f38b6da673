package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// pointer is a JSON Pointer (RFC 6901), split and unescaped. nil points at the whole document.
type pointer []string

func parsePointer(s string) (pointer, error) {
	if s == "" {
		return nil, nil
	}
	if s[0] != '/' {
		return nil, fmt.Errorf("%q is not a JSON Pointer (RFC 6901): it starts with /", s)
	}
	tokens := strings.Split(s[1:], "/")
	for i, t := range tokens {
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(t), "~") {
			return nil, fmt.Errorf("%q is not a JSON Pointer (RFC 6901): ~ must be followed by 0 or 1", s)
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return tokens, nil
}

// in is the value that p points at, and whether there is one. Numbers in doc are json.Number.
func (p pointer) in(doc any) (any, bool) {
	for _, step := range p {
		switch v := doc.(type) {
		case map[string]any:
			next, ok := v[step]
			if !ok {
				return nil, false
			}
			doc = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) || step != strconv.Itoa(i) {
				return nil, false
			}
			doc = v[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

// Place says where a value comes from: "/a/b" is a JSON Pointer into the event, "=text" the text itself, "" nowhere.
type Place struct {
	text string
	path pointer
	set  bool
}

// UnmarshalJSON reads a Place and checks it.
func (p *Place) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return errors.New(`is not a string like "/data/id" or "=text"`)
	}
	if s == "" {
		return nil
	}
	p.set = true
	if text, ok := strings.CutPrefix(s, "="); ok {
		p.text = text
		return nil
	}
	if s[0] != '/' {
		return fmt.Errorf("%q starts with neither / (a JSON Pointer, RFC 6901) nor = (a fixed text)", s)
	}
	var err error
	p.path, err = parsePointer(s)
	return err
}

// value is what stands at the place; nil when there is nothing.
func (p Place) value(doc any) any {
	if !p.set {
		return nil
	}
	if p.path == nil {
		return p.text
	}
	v, _ := p.path.in(doc)
	return v
}

// plain is the value as text: strings, numbers and true or false. Ok is false for lists and objects; nothing is "".
func (p Place) plain(doc any) (text string, ok bool) {
	switch v := p.value(doc).(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}
