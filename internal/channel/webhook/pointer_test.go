package webhook

import (
	"encoding/json"
	"testing"
)

// The document and pointers of RFC 6901 section 5, and what section 4 says of arrays.
func TestPointersOfTheStandardFindTheirValues(t *testing.T) {
	t.Parallel()
	doc, err := decode([]byte(`{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/foo": `["bar","baz"]`, "/foo/0": `"bar"`, "/": "0", "/a~1b": "1", "/c%d": "2", "/e^f": "3", "/g|h": "4", `/i\j`: "5", `/k"l`: "6", "/ ": "7", "/m~0n": "8",
	} {
		p, err := parsePointer(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		value, ok := p.in(doc)
		got, err := json.Marshal(value)
		if !ok || err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, %v; want %s", path, got, ok, err, want)
		}
	}
	for _, path := range []string{"/foo/2", "/foo/-", "/foo/00", "/foo/-1", "/foo/x", "/none", "/foo/0/x"} {
		p, err := parsePointer(path)
		if err != nil {
			t.Fatal(err)
		}
		if value, ok := p.in(doc); ok {
			t.Errorf("%s: found %v", path, value)
		}
	}
	for _, path := range []string{"foo", "/a~", "/a~2", "#/foo"} {
		if _, err := parsePointer(path); err == nil {
			t.Errorf("%s passed", path)
		}
	}
}
