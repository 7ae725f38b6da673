package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/queue/queuetest"
)

func TestConformance(t *testing.T) { t.Parallel(); queuetest.Run(t, harness) }

func TestFault57_OnlyTheFailedMessageOfABatchComesAgain(t *testing.T) {
	t.Parallel()
	queuetest.Fault57(t, harness(t))
}

func TestFault58_ThrottledWorkIsNotDeadLetteredUnprocessed(t *testing.T) {
	t.Parallel()
	queuetest.Fault58(t, harness(t))
}

func TestFault59_RedrivingTwiceDeliversOnce(t *testing.T) {
	t.Parallel()
	queuetest.Fault59(t, harness(t))
}

func TestFault60_KilledWorkersMessageIsTakenOver(t *testing.T) {
	t.Parallel()
	queuetest.Fault60(t, harness(t))
}

// bench is a queue on a disk that can lose its power, with a clock that the test moves.
type bench struct {
	*Queue
	db    *engine.DB
	disk  *vfs.MemFS
	clock *atomic.Int64
	t     testing.TB
	// onDead, when set, is told what Options.OnDead is.
	onDead func([]queue.Message)
}

const visibility = time.Minute

func newBench(t testing.TB) *bench {
	b := &bench{disk: vfs.NewCrashableMem(), clock: &atomic.Int64{}, t: t}
	b.clock.Store(1_800_000_000_000)
	b.open(b.disk)
	return b
}

func (b *bench) open(fs vfs.FS) {
	b.t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	db, err := engine.Open("store", engine.Options{FS: fs, Log: quiet, OnFatal: func(err error) { b.t.Logf("the store failed: %v", err) }})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = db.Close() }) // after a simulated crash it may complain
	b.db = db
	b.Queue = b.queue()
}

func (b *bench) queue() *Queue {
	b.t.Helper()
	q, err := New(b.db, "inbound", Options{Visibility: visibility, Now: func() msg.Time { return msg.Time(b.clock.Load()) },
		OnError: func(err error) { b.t.Log(err) }, OnDead: func(dead []queue.Message) {
			if b.onDead != nil {
				b.onDead(dead)
			}
		}})
	if err != nil {
		b.t.Fatal(err)
	}
	return q
}

// cutPower drops everything that was not synced and starts again.
func (b *bench) cutPower() {
	b.t.Helper()
	b.disk = b.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0, RNG: rand.New(rand.NewPCG(1, 2))})
	b.open(b.disk)
}

func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	b.clock.Add(d.Milliseconds())
	if err := b.Wake(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) send(bodies ...string) {
	b.t.Helper()
	for _, body := range bodies {
		if err := b.Send(b.t.Context(), queue.Outgoing{Body: []byte(body), Group: "email/main"}); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) receive(n int) []queue.Message {
	b.t.Helper()
	got, err := b.Receive(b.t.Context(), n, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

func (b *bench) wantLedger(group string, want queue.Ledger) {
	b.t.Helper()
	ledger, err := b.Ledger(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	if got := ledger[group]; got != want {
		b.t.Errorf("ledger of %s is %+v, want %+v", group, got, want)
	}
}

func harness(t *testing.T) *queuetest.Harness {
	b := newBench(t)
	return &queuetest.Harness{
		Queue: b.Queue, Visibility: visibility, Pass: b.pass,
		Reopen: func() queue.Queue { b.cutPower(); return b.Queue },
	}
}

func TestLedgerBalancesAtEveryStep(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send("a", "b", "c")
	if err := b.Send(t.Context(), queue.Outgoing{Body: []byte("x"), Group: "form/main", Delay: time.Hour / 4}); err != nil {
		t.Fatal(err)
	}
	b.wantLedger("email/main", queue.Ledger{Accepted: 3, Queued: 3})
	b.wantLedger("form/main", queue.Ledger{Accepted: 1, Queued: 1})
	got := b.receive(3)
	b.wantLedger("email/main", queue.Ledger{Accepted: 3, Queued: 3})
	if err := b.Ack(t.Context(), got[0], got[0]); err != nil {
		t.Fatal(err)
	}
	if err := b.Ack(t.Context(), got[0]); err != nil { // once more: counts once
		t.Fatal(err)
	}
	b.wantLedger("email/main", queue.Ledger{Accepted: 3, Processed: 1, Queued: 2})
	for range queue.MaxAttempts {
		b.pass(visibility)
		b.receive(3)
	}
	b.pass(visibility)
	b.wantLedger("email/main", queue.Ledger{Accepted: 3, Processed: 1, Dead: 2})
	if n, err := b.Redrive(t.Context()); n != 2 || err != nil {
		t.Fatalf("redrove %d, %v, want 2", n, err)
	}
	b.wantLedger("email/main", queue.Ledger{Accepted: 3, Processed: 1, Queued: 2})
	if err := b.Ack(t.Context(), b.receive(3)...); err != nil {
		t.Fatal(err)
	}
	b.wantLedger("email/main", queue.Ledger{Accepted: 3, Processed: 3})
	b.wantLedger("form/main", queue.Ledger{Accepted: 1, Queued: 1})
}

func TestMessageDroppedUnderneathShowsInTheLedger(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]byte{"its body": kindBody, "its record": kindRecord} {
		b := newBench(t)
		b.send("a", "b")
		err := b.db.Apply(t.Context(), true, func(tx *engine.Tx) error {
			var first []byte
			lower, upper := engine.Span(append([]byte(b.keys.prefix), kind))
			if err := tx.Scan(lower, upper, false, func(key, _ []byte) bool {
				first = append(first, key...)
				return false
			}); err != nil {
				return err
			}
			tx.Delete(first)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		b.wantLedger("email/main", queue.Ledger{Accepted: 2, Queued: 1})
		b.cutPower()
		got := b.receive(10)
		if len(got) != 1 || string(got[0].Body) != "b" {
			t.Errorf("%s: received %v, want only b", name, got)
		}
		b.wantLedger("email/main", queue.Ledger{Accepted: 2, Queued: 1})
	}
}

func TestFault68_SentMessagesSurviveAPowerCutRightAfter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send("a", "b")
	b.cutPower()
	b.wantLedger("email/main", queue.Ledger{Accepted: 2, Queued: 2})
	got := b.receive(10)
	if len(got) != 2 || got[0].Attempt != 1 {
		t.Fatalf("received %v", got)
	}
	b.cutPower()
	got = b.receive(10)
	if len(got) != 2 || got[0].Attempt != 2 {
		t.Fatalf("received %v, want both at attempt 2", got)
	}
	if err := b.Ack(t.Context(), got[0]); err != nil {
		t.Fatal(err)
	}
	b.send("c") // takes the acknowledgement in front of it to the disk as well
	b.cutPower()
	b.wantLedger("email/main", queue.Ledger{Accepted: 3, Processed: 1, Queued: 2})
	if got := append(b.receive(10), b.receive(10)...); len(got) != 2 {
		t.Errorf("received %v, want two", got)
	}
}

// TestFault68_PowerCutUnderLoadLosesNothingThatWasSent cuts the power at some moment while many send, receive and acknowledge.
func TestFault68_PowerCutUnderLoadLosesNothingThatWasSent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var mu sync.Mutex
	sent, acked := make(map[string]bool), make(map[string]bool)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var busy sync.WaitGroup
	enough := make(chan struct{})
	for s := range 8 {
		busy.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				body := fmt.Sprintf("%d-%d", s, n)
				if err := b.Send(ctx, queue.Outgoing{Body: []byte(body), Group: "email/main"}); err != nil {
					continue
				}
				mu.Lock()
				if sent[body] = true; len(sent) == 500 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	q := b.Queue
	busy.Go(func() {
		queue.Work(ctx, q, func(_ context.Context, batch []queue.Message) []string {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range batch {
				acked[string(m.Body)] = true
			}
			return nil
		}, queue.WorkOptions{Concurrency: 2, Wait: time.Second})
	})
	<-enough
	mu.Lock() // nothing is reported as sent between here and the cut
	promised := make(map[string]bool)
	for body := range sent {
		if !acked[body] {
			promised[body] = true
		}
	}
	b.cutPower()
	mu.Unlock()
	cancel()
	busy.Wait()
	for {
		got := b.receive(100)
		if len(got) == 0 {
			break
		}
		for _, m := range got {
			delete(promised, string(m.Body))
		}
		if err := b.Ack(t.Context(), got...); err != nil {
			t.Fatal(err)
		}
	}
	if len(promised) > 0 {
		t.Errorf("%d messages were lost: %v", len(promised), promised)
	}
	ledger, err := b.Ledger(t.Context())
	if l := ledger["email/main"]; err != nil || l.Accepted != l.Processed || l.Queued+l.Dead != 0 {
		t.Errorf("ledger %+v, %v", l, err)
	}
}

func TestAcknowledgementNeverSurvivesWithoutTheWorkBeforeIt(t *testing.T) {
	t.Parallel()
	work := []byte("t the worker's result")
	for synced := range 2 { // whether something synced follows or the power goes first
		b := newBench(t)
		b.send("a")
		got := b.receive(1)
		if err := b.db.Apply(t.Context(), false, func(tx *engine.Tx) error { tx.Set(work, []byte("done")); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := b.Ack(t.Context(), got...); err != nil {
			t.Fatal(err)
		}
		if synced == 1 {
			b.send("b")
		}
		b.cutPower()
		_, done, err := b.db.Get(work)
		if err != nil {
			t.Fatal(err)
		}
		again := false
		for _, m := range b.receive(10) {
			again = again || string(m.Body) == "a"
		}
		if done == again || done != (synced == 1) {
			t.Errorf("synced %d: the work survived: %v, the message comes again: %v", synced, done, again)
		}
	}
}

func TestGroupThatFloodsDoesNotStarveAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for n := range 200 {
		if err := b.Send(t.Context(), queue.Outgoing{Body: fmt.Appendf(nil, "flood %d", n), Group: "email/main"},
			queue.Outgoing{Body: fmt.Appendf(nil, "flood %d", n), Group: "whatsapp/main"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, group := range []string{"form/main", "sms/main"} {
		if err := b.Send(t.Context(), queue.Outgoing{Body: []byte("urgent"), Group: group}, queue.Outgoing{Body: []byte("urgent"), Group: group}); err != nil {
			t.Fatal(err)
		}
	}
	counts := make(map[string]int)
	for range 2 {
		for _, m := range b.receive(4) {
			counts[m.Group]++
		}
	}
	for _, group := range []string{"email/main", "whatsapp/main", "form/main", "sms/main"} {
		if counts[group] != 2 {
			t.Errorf("the first eight messages are %v, want two of each group", counts)
		}
	}
}

func TestMessagesOfAGroupComeInTheirOrderAlsoAfterARestart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send("a", "b", "c", "d")
	b.cutPower()
	for n, m := range b.receive(10) {
		if want := string("abcd"[n]); string(m.Body) != want {
			t.Errorf("message %d is %q, want %q", n, m.Body, want)
		}
	}
}

func TestDelaySurvivesARestart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.Send(t.Context(), queue.Outgoing{Body: []byte("a"), Delay: time.Minute}); err != nil {
		t.Fatal(err)
	}
	b.cutPower()
	if got := b.receive(1); len(got) > 0 {
		t.Errorf("received %q before its time", got[0].Body)
	}
	b.pass(time.Minute)
	if got := b.receive(1); len(got) != 1 {
		t.Error("did not come after its delay")
	}
}

func TestReceiverThatWaitsIsToldWhenADelayEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.Send(t.Context(), queue.Outgoing{Body: []byte("a"), Delay: time.Minute}); err != nil {
		t.Fatal(err)
	}
	received := make(chan int)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() {
		got, err := b.Receive(ctx, 1, time.Hour)
		if err != nil {
			t.Error(err)
		}
		received <- len(got)
	}()
	for b.waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	b.pass(time.Minute)
	if n := <-received; n != 1 {
		t.Errorf("received %d messages", n)
	}
}

func (q *Queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.index.waiters)
}

func TestStaleDeliveryDoesNotTakeAMessageFromWhoHasItNow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send("a")
	first := b.receive(1)[0]
	b.pass(visibility)
	second := b.receive(1)[0]
	if err := b.Release(t.Context(), first, 0); err != nil {
		t.Fatal(err)
	}
	if err := b.Ack(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if got := b.receive(1); len(got) > 0 {
		t.Error("a stale release made it visible to a third")
	}
	b.wantLedger("email/main", queue.Ledger{Accepted: 1, Queued: 1})
	if err := b.Ack(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	b.wantLedger("email/main", queue.Ledger{Accepted: 1, Processed: 1})
}

func TestQueuesOfOneStoreDoNotMix(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other, err := New(b.db, "inbound-2", Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.send("a")
	if got, err := other.Receive(t.Context(), 1, 0); err != nil || len(got) > 0 {
		t.Errorf("the other queue received %v, %v", got, err)
	}
	if ledger, err := other.Ledger(t.Context()); err != nil || len(ledger) > 0 {
		t.Errorf("the other queue counts %v, %v", ledger, err)
	}
	if _, err := New(b.db, "In bound", Options{}); err == nil {
		t.Error("a name with a space was taken")
	}
}

func TestSenderThatGivesUpLeavesTheQueueConsistent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.Send(ctx, queue.Outgoing{Body: []byte("a"), Group: "email/main"})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
	b.wantLedger("email/main", queue.Ledger{})
	if got := b.receive(1); len(got) > 0 {
		t.Error("it was sent all the same")
	}
}
