package local

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/queue"
)

// newFullable is a queue on a disk that is full whenever full says so.
func newFullable(t *testing.T) (b *bench, full *atomic.Bool) {
	full = &atomic.Bool{}
	b = &bench{disk: vfs.NewMem(), clock: &atomic.Int64{}, t: t}
	b.clock.Store(1_800_000_000_000)
	b.open(errorfs.Wrap(b.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && strings.HasSuffix(op.Path, ".log") && op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	})))
	return b, full
}

// mend makes room and waits until the store has noticed.
func (b *bench) mend(full *atomic.Bool) {
	b.t.Helper()
	full.Store(false)
	for end := time.Now().Add(time.Minute); b.db.Metrics().Full; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatal("the store stayed full")
		}
	}
}

func TestFault70_FullDiskRefusesMessagesAndCorruptsNone(t *testing.T) {
	t.Parallel()
	b, full := newFullable(t)
	b.send("a", "b")
	full.Store(true)
	// The write that meets the full disk may land later; every further one is refused before anything happens.
	first := b.Send(t.Context(), queue.Outgoing{Body: []byte("perhaps"), Group: "email/main"})
	if fault.Of(first) != fault.Uncertain {
		t.Errorf("got %v, want Uncertain", first)
	}
	refused := b.Send(t.Context(), queue.Outgoing{Body: []byte("refused"), Group: "email/main"})
	if fault.Of(refused) != fault.Retry || fault.After(refused) == 0 {
		t.Errorf("got %v, want a Retry that says when", refused)
	}
	if got, err := b.Receive(t.Context(), 10, 0); err == nil {
		t.Errorf("received %v without having recorded the delivery", got)
	}
	b.mend(full)
	if err := b.Send(t.Context(), queue.Outgoing{Body: []byte("c"), Group: "email/main"}); err != nil {
		t.Fatal(err)
	}
	b.wantLedger("email/main", queue.Ledger{Accepted: 4, Queued: 4})
	b.pass(time.Millisecond)
	bodies := make(map[string]bool)
	got := b.receive(10)
	for _, m := range got {
		bodies[string(m.Body)] = true
	}
	if len(got) != 4 || !bodies["perhaps"] || bodies["refused"] {
		t.Errorf("received %v, want a, b, c and the one that landed", bodies)
	}
	if err := b.Ack(t.Context(), got...); err != nil {
		t.Fatal(err)
	}
	b.wantLedger("email/main", queue.Ledger{Accepted: 4, Processed: 4})
}

func TestFault70_AcknowledgementThatLandsAfterItFailedCountsOnce(t *testing.T) {
	t.Parallel()
	b, full := newFullable(t)
	b.send("a")
	got := b.receive(1)
	full.Store(true)
	// An acknowledgement does not wait for the disk, so it takes a synced write to meet the full one.
	if err := b.Send(t.Context(), queue.Outgoing{Body: []byte("b"), Group: "email/main"}); fault.Of(err) != fault.Uncertain {
		t.Fatalf("got %v, want Uncertain", err)
	}
	if err := b.Ack(t.Context(), got...); err == nil {
		t.Fatal("an acknowledgement was taken on a full disk")
	}
	b.mend(full)
	if err := b.Ack(t.Context(), got...); err != nil {
		t.Fatal(err)
	}
	b.wantLedger("email/main", queue.Ledger{Accepted: 2, Processed: 1, Queued: 1})
	b.pass(visibility)
	if got := b.receive(10); len(got) != 1 || string(got[0].Body) != "b" {
		t.Errorf("received %v, want b", got)
	}
}

func TestFault68_FailedSyncAcceptsNothingMore(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	b := &bench{disk: vfs.NewCrashableMem(), clock: &atomic.Int64{}, t: t}
	b.clock.Store(1_800_000_000_000)
	b.open(errorfs.Wrap(b.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			return errors.New("the disk is on fire")
		}
		return nil
	})))
	b.send("a")
	broken.Store(true)
	for range 2 {
		if err := b.Send(t.Context(), queue.Outgoing{Body: []byte("b"), Group: "email/main"}); err == nil {
			t.Error("a message was accepted that was never synced")
		}
	}
	b.cutPower()
	b.wantLedger("email/main", queue.Ledger{Accepted: 1, Queued: 1})
}
