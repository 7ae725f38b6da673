package whatsapp

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aikajana/aikajana/internal/channel"
)

// The quick way through a delivery and the careful one must never differ, on the fixtures and on what is left of them when a
// byte is lost or a value is replaced.
func TestTheQuickWayAndTheCarefulWayGiveTheSame(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "*.http"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no fixtures: %v", err)
	}
	quick := 0
	same := func(name string, body []byte) {
		e := channel.Envelope{Channel: "whatsapp", Account: "main", Body: body}
		fast, careful := &parser{envelope: &e}, &parser{envelope: &e}
		if !fast.usual(body) {
			if len(fast.events)+len(fast.rejected) > 0 {
				t.Errorf("%s: the quick way gave up and left something behind", name)
			}
			return
		}
		quick++
		careful.body(body, "body", 0)
		if diff := cmp.Diff(careful.events, fast.events); diff != "" {
			t.Errorf("%s: events differ (-careful +quick):\n%s", name, diff)
		}
		if diff := cmp.Diff(careful.rejected, fast.rejected); diff != "" {
			t.Errorf("%s: rejections differ (-careful +quick):\n%s", name, diff)
		}
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := bytes.Cut(raw, []byte("\n\n"))
		same(file, body)
		if !json.Valid(body) {
			continue
		}
		for at := 0; at < len(body); at += 61 {
			same(file, append(bytes.Clone(body[:at]), body[at+1:]...))
		}
		for _, junk := range []string{"null", "17", "[]", "{}"} {
			for _, key := range []string{`"entry":`, `"changes":`, `"value":`, `"field":`, `"messages":`, `"statuses":`, `"contacts":`, `"metadata":`, `"object":`} {
				same(file, bytes.Replace(body, []byte(key), []byte(key+junk+`,`+key), 1))
				same(file, bytes.Replace(body, []byte(key), []byte(`"x":0,`+key), 1))
			}
		}
	}
	if quick < 100 {
		t.Errorf("only %d of all bodies took the quick way: it is not tested", quick)
	}
}
