//go:build parts

package scenario

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/awspolicy"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
)

// heldQueue is SQS whose delays and visibility go by the script's clock: what is delayed is held back here, and what was
// received and not deleted is made visible again here. SentAt is when the script's clock first saw it.
type heldQueue struct {
	queue.Queue
	clock *Clock

	mu      sync.Mutex
	delayed []held
	flying  map[string]flight
	sent    map[string]time.Time
	order   map[string]int
}

type held struct {
	out queue.Outgoing
	at  time.Time
	// by is the function that sent it.
	by string
}

type flight struct {
	m     queue.Message
	until time.Time
}

func newHeldQueue(q queue.Queue, clock *Clock) *heldQueue {
	return &heldQueue{Queue: q, clock: clock, flying: map[string]flight{}, sent: map[string]time.Time{}, order: map[string]int{}}
}

var _ queue.Queue = (*heldQueue)(nil)

// Send implements queue.Queue.
func (q *heldQueue) Send(ctx context.Context, out ...queue.Outgoing) error {
	if err := queue.Validate(out); err != nil {
		return err
	}
	var now []queue.Outgoing
	q.mu.Lock()
	for _, o := range out {
		if o.Delay > 0 {
			// SQS rounds delays up to whole seconds, and nothing less would tell a difference between the worlds.
			q.delayed = append(q.delayed, held{queue.Outgoing{Body: o.Body, Group: o.Group}, q.clock.Time().Add(o.Delay), awspolicy.Function(ctx)})
			continue
		}
		now = append(now, o)
	}
	q.mu.Unlock()
	for _, o := range now { // one by one, so that their order can be told
		if err := q.Queue.Send(ctx, o); err != nil {
			return err
		}
		time.Sleep(time.Millisecond) // SQS tells the order of two messages by milliseconds only
	}
	return nil
}

// Receive implements queue.Queue.
func (q *heldQueue) Receive(ctx context.Context, most int, _ time.Duration) ([]queue.Message, error) {
	got, err := q.Queue.Receive(ctx, most, 0)
	q.mu.Lock()
	defer q.mu.Unlock()
	slices.SortStableFunc(got, func(a, b queue.Message) int { return int(a.SentAt - b.SentAt) })
	for i := range got {
		m := &got[i]
		if _, seen := q.sent[m.ID]; !seen {
			q.sent[m.ID] = q.clock.Time()
		}
		m.SentAt = msg.TimeOf(q.sent[m.ID])
		q.flying[m.Handle] = flight{*m, q.clock.Time().Add(180 * time.Second)}
	}
	return got, err
}

// Ack implements queue.Queue.
func (q *heldQueue) Ack(ctx context.Context, ms ...queue.Message) error {
	if err := q.Queue.Ack(ctx, ms...); err != nil {
		return err // they come again
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range ms {
		delete(q.flying, m.Handle)
	}
	return nil
}

// moved lets through what is due by the script's clock.
func (q *heldQueue) moved(ctx context.Context) error {
	now := q.clock.Time()
	q.mu.Lock()
	var send []held
	q.delayed = slices.DeleteFunc(q.delayed, func(h held) bool {
		if h.at.After(now) {
			return false
		}
		send = append(send, h)
		return true
	})
	var back []queue.Message
	for handle, f := range q.flying {
		if !f.until.After(now) {
			back = append(back, f.m)
			delete(q.flying, handle)
		}
	}
	q.mu.Unlock()
	slices.SortStableFunc(send, func(a, b held) int { return a.at.Compare(b.at) })
	for _, h := range send {
		if err := q.Send(awspolicy.As(ctx, h.by), h.out); err != nil {
			return err
		}
	}
	for _, m := range back {
		if err := q.Queue.Release(ctx, m, 0); err != nil {
			return err
		}
	}
	return nil
}
