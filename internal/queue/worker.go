package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// WorkOptions says how [Work] works. The zero value works on batches of 10, one at a time.
type WorkOptions struct {
	// Batch is how many messages a call of the handler gets at most: 10 when 0, and never more than 10 from SQS.
	Batch int
	// Wait is how long one Receive waits for a message: 20 s when 0, the most that SQS allows.
	Wait time.Duration
	// Concurrency is how many batches are worked on at the same time: 1 when 0.
	Concurrency int
	// Timeout, when set, bounds one call of the handler through its context. Keep it well below the queue's visibility
	// time-out (a sixth, as AWS advises), or what is still being worked on is delivered to somebody else as well.
	Timeout time.Duration
	// Backoff is how long a message that failed its nth attempt stays invisible; DefaultBackoff when nil.
	Backoff func(attempt int) time.Duration
	// OnError is told what went wrong: a receive, an acknowledgement, a failed message's release, a handler's panic with its
	// stack. Nothing is lost by any of them. It is called from several goroutines; nil drops what it would be told.
	OnError func(error)
}

// DefaultBackoff is 10 s after the first attempt, doubled by each further one: two and a half minutes until a message has had
// all its attempts.
func DefaultBackoff(attempt int) time.Duration {
	return min(10*time.Second<<min(max(attempt-1, 0), 7), MaxDelay)
}

// pauseAfterError is how long a poller waits after a failed Receive, doubled up to its 32-fold while it goes on failing.
const pauseAfterError = 100 * time.Millisecond

// Work receives messages, calls h with them, acknowledges all but those that h reports as failed, and releases the failed ones
// after a back-off. It does for the local binary and for tests what an event-source mapping does on AWS, and returns only
// after ctx has ended and every batch in hand is finished; h's own context does not end with ctx, so that a batch is not cut
// off half-way.
//
// A panic of h counts as a failure of its whole batch, and so does a failed ID that is not in the batch, because then nobody
// knows which message was meant; both are reported to OnError. Of several messages with one ID, which SQS may deliver, all
// count as failed when the ID does.
func Work(ctx context.Context, q Queue, h Handler, o WorkOptions) {
	o = o.withDefaults()
	var pollers sync.WaitGroup
	for range o.Concurrency {
		pollers.Go(func() { poll(ctx, q, h, o) })
	}
	pollers.Wait()
}

func (o WorkOptions) withDefaults() WorkOptions {
	if o.Batch <= 0 {
		o.Batch = 10
	}
	if o.Wait <= 0 {
		o.Wait = 20 * time.Second
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 1
	}
	if o.Backoff == nil {
		o.Backoff = DefaultBackoff
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	return o
}

// poll works on one batch after the other until ctx ends.
func poll(ctx context.Context, q Queue, h Handler, o WorkOptions) {
	pause := pauseAfterError
	for ctx.Err() == nil {
		batch, err := q.Receive(ctx, o.Batch, o.Wait)
		if len(batch) > 0 { // also when ctx ended meanwhile: they were delivered, so an attempt of theirs is spent
			workOn(context.WithoutCancel(ctx), q, h, batch, o)
		}
		switch {
		case err == nil:
			pause = pauseAfterError
		case ctx.Err() != nil:
			return // the error says only that the receive was broken off
		default:
			o.OnError(fmt.Errorf("receive messages: %w", err))
			sleep(ctx, pause)
			pause = min(2*pause, 32*pauseAfterError)
		}
	}
}

// workOn has the batch handled and settles every message of it.
func workOn(ctx context.Context, q Queue, h Handler, batch []Message, o WorkOptions) {
	failed := handle(ctx, h, batch, o)
	done := make([]Message, 0, len(batch))
	for _, m := range batch {
		if !slices.Contains(failed, m.ID) {
			done = append(done, m)
			continue
		}
		if err := q.Release(ctx, m, o.Backoff(m.Attempt)); err != nil {
			o.OnError(fmt.Errorf("release message %s, which comes again after the visibility time-out instead: %w", m.ID, err))
		}
	}
	if len(done) == 0 {
		return
	}
	if err := q.Ack(ctx, done...); err != nil {
		o.OnError(fmt.Errorf("acknowledge %d messages, which will be delivered again: %w", len(done), err))
	}
}

// handle calls h and returns the IDs that failed.
func handle(ctx context.Context, h Handler, batch []Message, o WorkOptions) (failed []string) {
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	ids := make([]string, len(batch))
	for n, m := range batch {
		ids[n] = m.ID
	}
	defer func() {
		if p := recover(); p != nil {
			o.OnError(fmt.Errorf("work on messages %v: panic: %v\n%s", ids, p, debug.Stack()))
			failed = ids
		}
	}()
	failed = h(ctx, slices.Clone(batch))
	for _, id := range failed {
		if !slices.Contains(ids, id) {
			o.OnError(fmt.Errorf("work on messages %v: %w: %q", ids, errUnknownFailure, id))
			return ids
		}
	}
	return failed
}

var errUnknownFailure = errors.New("the handler reported as failed what was not in the batch, so the whole batch counts as failed")

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
