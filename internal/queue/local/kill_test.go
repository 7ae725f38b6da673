package local

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/queue"
)

// TestFault60_MessageThatKillsItsProcessIsDeadAfterItsLastAttempt kills real processes: this binary starts itself, the child
// receives the message from a store on the real disk, says so, and is killed while it holds it.
func TestFault60_MessageThatKillsItsProcessIsDeadAfterItsLastAttempt(t *testing.T) {
	if dir := os.Getenv("QUEUE_CHILD"); dir != "" {
		receiveAndHang(t, dir)
	}
	t.Parallel()
	dir := t.TempDir()
	db, q := openIn(t, dir)
	if err := q.Send(t.Context(), queue.Outgoing{Body: []byte("poison"), Group: "email/main"}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for attempt := 1; attempt <= queue.MaxAttempts; attempt++ {
		if got, want := killWhileWorking(t, dir), fmt.Sprintf("holds poison at attempt %d", attempt); got != want {
			t.Fatalf("the child %q, want %q", got, want)
		}
	}
	db, q = openIn(t, dir)
	defer func() { _ = db.Close() }() // nothing more is written
	if got, err := q.Receive(t.Context(), 1, 0); err != nil || len(got) > 0 {
		t.Errorf("received %v, %v, want nothing", got, err)
	}
	ledger, err := q.Ledger(t.Context())
	if want := (queue.Ledger{Accepted: 1, Dead: 1}); err != nil || ledger["email/main"] != want {
		t.Errorf("ledger %+v, %v, want %+v", ledger, err, want)
	}
}

func openIn(t *testing.T, dir string) (*engine.DB, *Queue) {
	t.Helper()
	db, err := engine.Open(dir, engine.Options{MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	q, err := New(db, "inbound", Options{})
	if err != nil {
		t.Fatal(err)
	}
	return db, q
}

// receiveAndHang is the child.
func receiveAndHang(t *testing.T, dir string) {
	_, q := openIn(t, dir)
	got, err := q.Receive(t.Context(), 1, 0)
	if err != nil || len(got) != 1 {
		t.Fatalf("received %v, %v", got, err)
	}
	fmt.Fprintf(os.Stdout, "holds %s at attempt %d\n", got[0].Body, got[0].Attempt)
	select {} // until it is killed
}

// killWhileWorking starts a child, kills it once it holds a message, and returns what it said.
func killWhileWorking(t *testing.T, dir string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "QUEUE_CHILD="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child said %q: %v", said, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	return strings.TrimSpace(said)
}
