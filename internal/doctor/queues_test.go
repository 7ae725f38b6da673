package doctor_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/doctor"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/queue/local"
)

// inHandAtEveryEnd leaves a message behind that has used its attempts up.
func inHandAtEveryEnd(t *testing.T, store, name string) {
	t.Helper()
	for attempt := range queue.MaxAttempts {
		db, err := engine.Open(store, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		q, err := local.New(db, name, local.Options{})
		if err == nil && attempt == 0 {
			err = q.Send(t.Context(), queue.Outgoing{Body: []byte("no envelope"), Group: "form/main"})
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := q.Receive(t.Context(), 1, 0); err != nil || len(got) != 1 {
			t.Fatalf("received %v, %v", got, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeadLettersAreAProblemWithTheCommandThatBringsThemBack(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	_, end := deskOn(t, data)
	end()
	inHandAtEveryEnd(t, filepath.Join(data, "store"), "inbound")
	at, _ := deskOn(t, data)
	found, err := doctor.Run(t.Context(), doctor.Options{Server: at, Token: token, Resolver: zone(t, nil, nil)})
	if err != nil {
		t.Fatal(err)
	}
	want(t, states(t, found), map[string]doctor.State{
		"queue inbound": doctor.Problem, "queue mail": doctor.OK, "ledger form/main": doctor.OK,
	})
	for _, f := range found {
		if f.Check == "queue" && f.Subject == "inbound" && (f.Found != "dead letters: 1" || !strings.Contains(f.Do, `"aikajana redrive inbound"`)) {
			t.Errorf("it found %q and says to do %q", f.Found, f.Do)
		}
	}
	if !doctor.Sick(found) {
		t.Error("dead letters are no problem?")
	}
}
