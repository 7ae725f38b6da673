// Package queuetest is the conformance suite of package queue: what every queue must do, SQS and the embedded one alike.
//
// [Run] holds what the contract says. The functions named after cases of docs/faults.md are apart, so that each implementation can
// give them their own test name.
package queuetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/queue"
)

// Harness is an empty queue with what a test needs to control it.
type Harness struct {
	Queue queue.Queue
	// Visibility is the queue's visibility time-out.
	Visibility time.Duration
	// Pass returns when at least d has passed for the queue: it moves the queue's clock, or sleeps.
	Pass func(d time.Duration)
	// Reopen ends the process that uses the queue as if it had been killed, and returns the queue as the next process finds
	// it. What was in flight need not be visible before the visibility time-out has passed.
	Reopen func() queue.Queue
	// Patience is how long to wait for what should come at once: zero where the queue is exact.
	Patience time.Duration
	// Messages is how many messages the run without loss sends; 10,000 when 0.
	Messages int
}

// Open makes a harness over a new queue, and cleans up after the test.
type Open func(t *testing.T) *Harness

// Run runs the suite, each test over a queue of its own and in parallel.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Harness)
	}{
		{"MessageArrivesAsItWasSentAndIsGoneOnceAcked", arrivesOnce},
		{"AnyBytesTravelUnchanged", anyBytes},
		{"MoreMessagesThanABatchAreSentInOneCall", manyInOneCall},
		{"ReceivedMessageIsInvisibleUntilTheTimeoutAndThenComesAgain", visibility},
		{"AckOfADeliveryThatRanOutIsNoError", lateAck},
		{"DelayedMessageComesAfterItsDelay", delayed},
		{"ReleasedMessageComesAgainAtOnce", released},
		{"MessageReleasedWithADelayComesAfterIt", releasedLater},
		{"MessageIsDeadAfterItsLastAttempt", dead},
		{"MessageThatKillsItsProcessEachTimeIsDeadAfterItsLastAttempt", crashLoop},
		{"RedrivenMessageHasAllItsAttemptsAgain", redriven},
		{"DepthCountsWhatIsWhere", depth},
		{"LimitsAreRefused", limits},
		{"LargestMessagesAndLongestDelayAreTaken", atTheLimits},
		{"ReceiveWaitsForAMessage", receiveWaits},
		{"ReceiveReturnsWhenItsContextEnds", receiveEnds},
		{"BatchWithAPanicComesAgain", panicking},
		{"WorkFinishesTheBatchInHandWhenItIsStopped", drains},
		{"NothingIsLostBetweenManyWorkers", nothingLost},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

// deadline bounds every wait of the suite; only a failing test reaches it.
const deadline = 60 * time.Second

func send(t *testing.T, q queue.Sender, out ...queue.Outgoing) {
	t.Helper()
	if err := q.Send(t.Context(), out...); err != nil {
		t.Fatal(err)
	}
}

func out(body string) queue.Outgoing { return queue.Outgoing{Body: []byte(body), Group: "email/main"} }

// one receives exactly one message.
func (h *Harness) one(t *testing.T, q queue.Queue) queue.Message {
	t.Helper()
	for end := time.Now().Add(max(h.Patience, time.Second)); ; {
		got, err := q.Receive(t.Context(), 1, max(h.Patience, time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 1 {
			return got[0]
		}
		if len(got) > 1 || time.Now().After(end) {
			t.Fatalf("received %d messages, want one", len(got))
		}
	}
}

// none receives nothing.
func none(t *testing.T, q queue.Queue) {
	t.Helper()
	got, err := q.Receive(t.Context(), 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) > 0 {
		t.Fatalf("received %q, want nothing", got[0].Body)
	}
}

func ack(t *testing.T, q queue.Queue, ms ...queue.Message) {
	t.Helper()
	if err := q.Ack(t.Context(), ms...); err != nil {
		t.Fatal(err)
	}
}

// exhaust delivers the queue's only message until it is dead, and waits until the dead-letter queue shows it.
func (h *Harness) exhaust(t *testing.T, q queue.Queue) {
	t.Helper()
	for range queue.MaxAttempts {
		if err := q.Release(t.Context(), h.one(t, q), 0); err != nil {
			t.Fatal(err)
		}
	}
	none(t, q)
	h.wantDead(t, q, 1)
}

// wantDead waits until the dead-letter queue holds n messages.
func (h *Harness) wantDead(t *testing.T, q queue.Queue, n int64) {
	t.Helper()
	h.eventually(t, fmt.Sprintf("%d dead letters", n), func(ctx context.Context) (string, bool) {
		d, err := q.Depth(ctx)
		return fmt.Sprintf("%+v %v", d, err), err == nil && d.Dead == n
	})
}

// eventually calls f until it is true, at once and then for as long as the queue may take.
func (h *Harness) eventually(t *testing.T, what string, f func(context.Context) (string, bool)) {
	t.Helper()
	end := time.Now().Add(h.Patience)
	for {
		found, ok := f(t.Context())
		if ok {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("want %s, found %s", what, found)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// drain has a handler work until f says that it is enough.
func drain(t *testing.T, q queue.Queue, o queue.WorkOptions, h queue.Handler, enough <-chan struct{}) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), deadline)
	defer stop()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		queue.Work(ctx, q, h, o)
	}()
	select {
	case <-enough:
	case <-ctx.Done():
		t.Errorf("gave up after %s", deadline)
	}
	stop()
	<-finished
}
