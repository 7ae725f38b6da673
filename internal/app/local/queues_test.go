package local_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aikajana/aikajana/internal/app/local"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/queue"
	queuelocal "github.com/aikajana/aikajana/internal/queue/local"
)

// TestFault60_DeadLettersAreToldOfAndBroughtBack has one message in hand at five ends of a process. It is no envelope, so that
// what becomes of it afterwards shows: it comes to quarantine.
func TestFault60_DeadLettersAreToldOfAndBroughtBack(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	formDesk(t, data, io.Discard).end()
	dieHolding(t, filepath.Join(data, "store"), "inbound", queue.Outgoing{Body: []byte("no envelope"), Group: "form/main"})
	log := new(buffer)
	d := formDesk(t, data, log)
	said := log.String()
	for _, part := range []string{"messages became dead letters", `"queue":"inbound"`, `"group":"form/main"`, `run \"aikajana redrive inbound\"`} {
		if !strings.Contains(said, part) {
			t.Errorf("the log does not say %s:\n%s", part, said)
		}
	}
	if _, metrics := d.ask(http.MethodGet, "/metrics", ""); !strings.Contains(metrics, `aikajana_queue_messages{queue="inbound",state="dead"} 1`) ||
		!strings.Contains(metrics, `aikajana_envelopes_total{channel="form",account="main",state="dead"} 1`) {
		t.Errorf("the metrics do not tell of it:\n%s", metrics)
	}
	d.end()
	log = new(buffer)
	d = formDesk(t, data, log)
	if said := log.String(); !strings.Contains(said, "dead letters are waiting") {
		t.Errorf("the next start says nothing of what is still dead:\n%s", said)
	}
	d.call(http.MethodPost, "/api/v1/queues/inbound/redrive", nil, nil)
	d.until("the message in quarantine", func() bool {
		var list struct {
			Items []struct{ Cause, Account string }
		}
		d.call(http.MethodGet, "/api/v1/quarantine", nil, &list)
		return len(list.Items) == 1 && list.Items[0].Cause == "internal" && list.Items[0].Account == "main"
	})
	var ledgers struct {
		Items []struct {
			Channel   string
			Balanced  bool
			Envelopes queue.Ledger
		}
	}
	d.call(http.MethodGet, "/api/v1/reconciliation", nil, &ledgers)
	for _, l := range ledgers.Items {
		if want := (queue.Ledger{Accepted: 1, Processed: 1}); l.Channel == "form" && (!l.Balanced || l.Envelopes != want) {
			t.Errorf("the ledger is %+v, want %+v", l, want)
		}
	}
}

// formDesk serves a desk with a web form from a data folder.
func formDesk(t *testing.T, data string, log io.Writer) *desk {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "accounts.json")
	if err := os.WriteFile(conf, []byte(`{"accounts":[{"channel":"form","account":"main"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := local.Open(local.Options{Data: data, HTTP: "127.0.0.1:0", Config: conf, Token: token, AdminPassword: "correct-horse-battery", Log: slog.New(slog.NewJSONHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	d := &desk{t: t, data: data, base: "http://" + s.HTTPAddr()}
	d.end = sync.OnceFunc(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("it did not end in order: %v", err)
		}
	})
	t.Cleanup(d.end)
	return d
}

// dieHolding sends a message and ends as often as it may be delivered without having settled it.
func dieHolding(t *testing.T, store, name string, out queue.Outgoing) {
	t.Helper()
	for attempt := range queue.MaxAttempts {
		db, err := engine.Open(store, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		q, err := queuelocal.New(db, name, queuelocal.Options{})
		if err == nil && attempt == 0 {
			err = q.Send(t.Context(), out)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := q.Receive(context.Background(), 1, 0); err != nil || len(got) != 1 {
			t.Fatalf("received %v, %v", got, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
