package channeltest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// Fuzz runs Parse over whatever the fuzzer makes of the fixtures and of their structured mutations. Events that come out
// must be consistent, whatever went in.
func Fuzz(f *testing.F, a channel.Adapter, o Options) {
	f.Helper()
	info := a.Info()
	fixtures, err := Fixtures(info, o)
	if err != nil {
		f.Fatal(err)
	}
	for i, fixture := range fixtures {
		f.Add(uint8(i), fixture.Body)
		n := 0
		for _, mutated := range mutations(fixture.Body, uint64(i)) {
			if n++; n > 40 { // a corpus that starts within a second
				break
			}
			f.Add(uint8(i), mutated)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		// The fixture lends its headers, query, mail facts and settings; the body is the fuzzer's.
		e := fixtures[int(which)%len(fixtures)].Envelope()
		e.Body = body
		checkBroken(a, o, e, t.Errorf)
	})
}

// checkMutations parses broken variants of every fixture, and junk in the place of every element of every array.
func checkMutations(a channel.Adapter, o Options, fixtures []Fixture, problem report) {
	share := max(20, o.mutations()/len(fixtures))
	for i, f := range fixtures {
		at := func(format string, args ...any) { problem("case %s: %s", f.Case, fmt.Sprintf(format, args...)) }
		total := 0
		for range mutations(f.Body, uint64(i)) {
			total++
		}
		every, n := total/share+1, 0
		for what, mutated := range mutations(f.Body, uint64(i)) {
			if n++; n%every != 0 {
				continue
			}
			e := f.Envelope()
			e.Body = mutated
			checkBroken(a, o, e, func(format string, args ...any) { at("%s: %s", what, fmt.Sprintf(format, args...)) })
		}
		checkBatch(a, f, share, at)
	}
}

// checkBroken holds Parse to what must be true of any bytes at all.
func checkBroken(a channel.Adapter, o Options, e channel.Envelope, problem report) {
	events, panicked, err := parse(a, e)
	if panicked != nil {
		problem("Parse panicked: %v\n%q", panicked, clip(e.Body))
		return
	}
	checkEvents(a.Info(), o, e, events, problem)
	checkRejections(err, problem)
	if len(events) == 0 && err == nil && !o.AllowEmpty {
		problem("Parse gave neither an event nor a rejection: the input is lost\n%q", clip(e.Body))
	}
}

// checkBatch puts junk in the place of one element of each array of a JSON body. What the body gives without that element
// must still be there, and when the element carried an event, its loss must be told.
func checkBatch(a channel.Adapter, f Fixture, limit int, problem report) {
	root, ok := decode(f.Body)
	if !ok {
		return
	}
	whole := identify(a, f, root, problem)
	n := 0
	for place, array := range arrays(root) {
		for i := range array {
			if n++; n > limit {
				return
			}
			without := identify(a, f, replaceAt(root, place, slices.Delete(slices.Clone(array), i, i+1)), problem)
			for _, junk := range []any{nil, 17.0, "junk", []any{}, map[string]any{}} {
				changed := slices.Clone(array)
				changed[i] = junk
				with := identify(a, f, replaceAt(root, place, changed), problem)
				if lost := missing(without.events, with.events); lost != "" {
					problem("junk (%v) at %s[%d] loses the event %s of another item", junk, place, i, lost)
				}
				carried, gone := missing(whole.events, without.events), missing(whole.events, with.events)
				// A list left empty may be rejected for that alone, so only the lists that are not tell exactly.
				silent := with.rejected == 0 || len(array) > 1 && with.rejected <= without.rejected
				if carried != "" && gone != "" && silent {
					problem("junk (%v) at %s[%d] loses the event %s, and nothing was rejected in its place", junk, place, i, gone)
				}
			}
		}
	}
}

// result is what an input gives, by what identifies each event to a person: kind, object and target.
type result struct {
	events   map[string]int
	rejected int
}

func identify(a channel.Adapter, f Fixture, root any, problem report) result {
	e := f.Envelope()
	body, err := json.Marshal(root)
	if err != nil {
		problem("write a mutated body: %v", err)
		return result{}
	}
	e.Body = body
	events, panicked, err := parse(a, e)
	if panicked != nil {
		problem("Parse panicked: %v\n%q", panicked, clip(body))
	}
	r := result{events: map[string]int{}, rejected: len(channel.Rejections(err))}
	for i := range events {
		r.events[name(&events[i])]++
	}
	return r
}

func name(e *msg.Event) string {
	return strings.Join([]string{string(e.Kind), e.ID, e.Target()}, " ")
}

// missing names an event of want that got has fewer of.
func missing(want, got map[string]int) string {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] < want[name] {
			return strconv.Quote(name)
		}
	}
	return ""
}

// mutations yields broken variants of a body, the same ones every time: junk in the place of each JSON value, keys renamed
// and removed, and bytes cut off, flipped and doubled.
func mutations(body []byte, seed uint64) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if root, ok := decode(body); ok {
			for place, value := range values(root, "$") {
				for _, junk := range junkFor(value) {
					mutated, err := json.Marshal(replaceAt(root, place, junk))
					if err == nil && !yield(fmt.Sprintf("junk %.40v at %s", junk, place), mutated) {
						return
					}
				}
			}
		}
		random := rand.New(rand.NewPCG(seed, uint64(len(body))))
		for range 40 {
			if len(body) == 0 {
				return
			}
			cut := random.IntN(len(body))
			if !yield(fmt.Sprintf("cut at %d", cut), bytes.Clone(body[:cut])) {
				return
			}
			flipped := bytes.Clone(body)
			flipped[cut] ^= byte(1 + random.IntN(255))
			if !yield(fmt.Sprintf("flipped at %d", cut), flipped) {
				return
			}
			end := cut + random.IntN(len(body)-cut)
			doubled := slices.Concat(body[:end], body[cut:])
			if !yield(fmt.Sprintf("doubled %d to %d", cut, end), doubled) {
				return
			}
		}
	}
}

// junkFor lists what to put in the place of a value: other types, and extremes of its own type.
func junkFor(value any) []any {
	junk := []any{nil, true, -1.0, "", []any{}, map[string]any{}, []any{nil}, map[string]any{"id": []any{1.0}}}
	switch value.(type) {
	case string:
		return append(junk, "\x00\u202e\ufffd", strings.Repeat("9", 400), "99999999999999999999", "-1", "1e400", "{", "[1]", `"x"`, " 1 ")
	case float64, json.Number:
		return append(junk, 1e18, 0.5)
	case map[string]any:
		return append(junk, "{}", map[string]any{"type": "type", "unknown": map[string]any{}})
	}
	return junk
}

// place is a way into a JSON value: keys and indexes.
type place struct {
	path string
	keys []any
}

func (p place) String() string { return p.path }

func (p place) key(k string) place {
	return place{p.path + "." + k, append(slices.Clone(p.keys), k)}
}

func (p place) index(i int) place {
	return place{p.path + "[" + strconv.Itoa(i) + "]", append(slices.Clone(p.keys), i)}
}

// values yields every value inside root, root included, with its place.
func values(root any, path string) iter.Seq2[place, any] {
	return func(yield func(place, any) bool) { walk(place{path: path}, root, yield) }
}

func walk(at place, value any, yield func(place, any) bool) bool {
	if !yield(at, value) {
		return false
	}
	switch value := value.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(value)) {
			if !walk(at.key(k), value[k], yield) {
				return false
			}
		}
	case []any:
		for i, one := range value {
			if !walk(at.index(i), one, yield) {
				return false
			}
		}
	}
	return true
}

func arrays(root any) iter.Seq2[place, []any] {
	return func(yield func(place, []any) bool) {
		for at, value := range values(root, "$") {
			if array, ok := value.([]any); ok && !yield(at, array) {
				return
			}
		}
	}
}

// replaceAt returns root with another value at the place, sharing what did not change.
func replaceAt(root any, at place, value any) any {
	if len(at.keys) == 0 {
		return value
	}
	rest := place{keys: at.keys[1:]}
	switch key := at.keys[0].(type) {
	case string:
		object := maps.Clone(root.(map[string]any))
		object[key] = replaceAt(object[key], rest, value)
		return object
	default:
		array := slices.Clone(root.([]any))
		array[key.(int)] = replaceAt(array[key.(int)], rest, value)
		return array
	}
}

// decode reads a JSON object or array; numbers keep their digits.
func decode(body []byte) (any, bool) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var root any
	if err := decoder.Decode(&root); err != nil || decoder.More() {
		return nil, false
	}
	switch root.(type) {
	case map[string]any, []any:
		return root, true
	}
	return nil, false
}

// checkLimits parses inputs that are large or deep rather than wrong.
func checkLimits(a channel.Adapter, o Options, problem report) {
	e := channel.Envelope{ID: "env-limits", Channel: a.Info().ID, Account: Account, ReceivedAt: ReceivedAt, Settings: o.Settings}
	if slices.Contains(a.Info().Headers, "Content-Type") {
		e.Header = http.Header{"Content-Type": {"application/json"}}
	}
	for what, body := range map[string][]byte{
		"no bytes":     nil,
		"white space":  []byte(" \r\n\t "),
		"NULs":         make([]byte, 4096),
		"deep arrays":  bytes.Repeat([]byte("["), 200_000),
		"deep objects": bytes.Repeat([]byte(`{"a":`), 200_000),
		"3 MB string":  slices.Concat([]byte(`{"object":"`), bytes.Repeat([]byte("å"), 3<<19), []byte(`"}`)),
		"not UTF-8":    []byte("{\"object\":\"\xff\xfe\xe5\"}"),
	} {
		e.Body = body
		checkBroken(a, o, e, func(format string, args ...any) { problem("%s: %s", what, fmt.Sprintf(format, args...)) })
	}
}

func canonical(header string) string { return http.CanonicalHeaderKey(header) }

func clip(b []byte) []byte { return b[:min(len(b), 2000)] }
