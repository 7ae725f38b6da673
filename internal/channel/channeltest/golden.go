package channeltest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// golden compares what becomes of one fixture with its .events.json and .err, or rewrites them.
func golden(t *testing.T, a channel.Adapter, f Fixture) {
	t.Helper()
	events, panicked, err := parse(a, f.Envelope())
	if panicked != nil {
		t.Fatalf("Parse panicked: %v", panicked)
	}
	gotEvents, gotErr := renderEvents(t, events), renderRejections(err)
	if len(events) == 0 && gotErr != "" {
		gotEvents = ""
	}
	if *update {
		write(t, f.sidecar(".events.json"), gotEvents)
		write(t, f.sidecar(".err"), gotErr)
		return
	}
	wantEvents, wantErr := read(t, f.sidecar(".events.json")), read(t, f.sidecar(".err"))
	if wantEvents == "" && wantErr == "" {
		t.Fatalf("%s has neither %s.events.json nor %s.err: run the test with -update, then read what it wrote", f.Path, f.Case, f.Case)
	}
	if diff := cmp.Diff(wantEvents, gotEvents); diff != "" {
		t.Errorf("events differ from %s (-want +got):\n%s", f.sidecar(".events.json"), diff)
	}
	if diff := cmp.Diff(wantErr, gotErr); diff != "" {
		t.Errorf("rejections differ from %s (-want +got):\n%s", f.sidecar(".err"), diff)
	}
}

// renderEvents prints events for people: indented, with < > & as they are.
func renderEvents(t *testing.T, events []msg.Event) string {
	t.Helper()
	if events == nil {
		events = []msg.Event{}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(events); err != nil {
		t.Fatalf("the events are not JSON: %v", err)
	}
	return b.String()
}

func renderRejections(err error) string {
	var b strings.Builder
	for _, r := range channel.Rejections(err) {
		b.WriteString(r.Error())
		b.WriteByte('\n')
	}
	return b.String()
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// write replaces a golden file; an empty one is removed.
func write(t *testing.T, path, content string) {
	t.Helper()
	var err error
	if content == "" {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, []byte(content), 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
