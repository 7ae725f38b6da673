// Package awsfilter decides which records an event source of template.yaml lets through to its function, as Lambda does. It is
// for whoever plays Lambda over stand-ins, none of which filters: what a filter holds back by mistake would be missed on AWS
// alone.
package awsfilter

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/awspolicy"
)

// Filter is the filter criteria of one event source: a record passes when one of its patterns holds. Safe for concurrent use.
type Filter struct{ patterns []map[string]any }

// Most is how many patterns one event source may have ("Control which events Lambda sends to your function" in the Lambda
// Developer Guide, read on 2026-11-30; ten on request).
const Most = 5

// New reads patterns in the syntax of Lambda's filter rules, of which equality, prefix and exists are understood; anything else
// is refused, so that nobody believes in a rule that is not played.
func New(patterns []string) (*Filter, error) {
	if len(patterns) == 0 || len(patterns) > Most {
		return nil, fmt.Errorf("read the filter: it has %d patterns; an event source takes 1 to %d", len(patterns), Most)
	}
	f := &Filter{}
	for _, text := range patterns {
		var p map[string]any
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return nil, fmt.Errorf("read the filter: pattern %s: %w", text, err)
		}
		if err := understood(p); err != nil {
			return nil, fmt.Errorf("read the filter: pattern %s: %w", text, err)
		}
		f.patterns = append(f.patterns, p)
	}
	return f, nil
}

// OfTemplate reads the filter of a function's event source out of a SAM template.
func OfTemplate(path, function, event string) (*Filter, error) {
	doc, err := awspolicy.Document(path)
	if err != nil {
		return nil, fmt.Errorf("read the filter of %s: %w", function, err)
	}
	var here any = doc
	for _, name := range []string{"Resources", function, "Properties", "Events", event, "Properties", "FilterCriteria", "Filters"} {
		inside, _ := here.(map[string]any)
		if here = inside[name]; here == nil {
			return nil, fmt.Errorf("read the filter of %s: the template has no %s there", function, name)
		}
	}
	list, _ := here.([]any)
	var patterns []string
	for _, one := range list {
		of, _ := one.(map[string]any)
		text, _ := of["Pattern"].(string)
		patterns = append(patterns, text)
	}
	return New(patterns)
}

var errRule = errors.New("only a list of texts, {\"prefix\": text} and {\"exists\": true or false} is understood")

func understood(pattern any) error {
	switch p := pattern.(type) {
	case map[string]any:
		for name, inside := range p {
			if err := understood(inside); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	case []any:
		for _, rule := range p {
			if _, ok := rule.(string); ok {
				continue
			}
			m, _ := rule.(map[string]any)
			_, prefix := m["prefix"].(string)
			_, exists := m["exists"].(bool)
			if len(m) != 1 || !prefix && !exists {
				return errRule
			}
		}
		return nil
	}
	return errRule
}

// Passes says whether the record, in the form of JSON (maps, lists, texts), goes to the function.
func (f *Filter) Passes(record map[string]any) bool {
	return slices.ContainsFunc(f.patterns, func(p map[string]any) bool { return holds(p, record) })
}

// holds matches all fields of a pattern. A rule that wants a field to be missing holds where what it would lie in is missing.
func holds(pattern map[string]any, record any) bool {
	for name, p := range pattern {
		value := field(record, name)
		switch p := p.(type) {
		case map[string]any:
			if !holds(p, value) {
				return false
			}
		case []any:
			if !slices.ContainsFunc(p, func(rule any) bool { return meets(rule, value) }) {
				return false
			}
		}
	}
	return true
}

func field(record any, name string) any {
	switch m := record.(type) {
	case map[string]any:
		return m[name]
	case map[string]string:
		if v, ok := m[name]; ok {
			return v
		}
	}
	return nil
}

func meets(rule, value any) bool {
	text, isText := value.(string)
	switch r := rule.(type) {
	case string:
		return isText && r == text
	case map[string]any:
		if prefix, ok := r["prefix"].(string); ok {
			return isText && strings.HasPrefix(text, prefix)
		}
		return (value != nil) == r["exists"]
	}
	return false
}
