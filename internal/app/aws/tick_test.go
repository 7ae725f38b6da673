package aws

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/app/apptest"
	"github.com/aikajana/aikajana/internal/store"
)

func TestEachTickSaysHowThingsAre(t *testing.T) {
	t.Parallel()
	d := apptest.New(t, apptest.Options{})
	var out bytes.Buffer
	s := &System{App: d.App, always: slog.New(slog.NewJSONHandler(&out, nil))}
	said := func() (line struct {
		Msg       string
		Unhealthy *int
		Overdue   []string `json:"overdue_envelopes"`
	}) {
		t.Helper()
		out.Reset()
		if err := s.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Msg != LookedAfter || line.Unhealthy == nil {
			t.Fatalf("it said %q, %v", out.String(), err)
		}
		return line
	}
	lost := store.Noted{Account: "whatsapp/main", By: "k3f1", Done: []store.Done{{1, 1}, {3, 1}}}
	if err := d.Store.NoteEnvelopes(t.Context(), []store.Noted{lost}); err != nil {
		t.Fatal(err)
	}
	if line := said(); *line.Unhealthy != 0 || line.Overdue == nil || len(line.Overdue) > 0 {
		t.Errorf("when all is well: %+v", line)
	}
	d.Clock.Pass(store.OverdueAfter + time.Minute)
	if line := said(); *line.Unhealthy != 1 || len(line.Overdue) != 1 || !strings.HasPrefix(line.Overdue[0], "whatsapp/main instance k3f1 number 2 since ") {
		t.Errorf("an hour after one was overtaken: %+v", line)
	}
}
