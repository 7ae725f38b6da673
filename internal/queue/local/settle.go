package local

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/queue"
)

// Ack implements queue.Queue. It does not wait for the disk (see the package), but for a suspect: were its acknowledgement lost
// with the process, it would count as one more death. A delivery that ran out is still removed as long as nobody else has
// received the message again.
func (q *Queue) Ack(ctx context.Context, ms ...queue.Message) error {
	entries := q.claim(ms, false)
	if len(entries) == 0 {
		return nil
	}
	processed := make(map[string]int64, 1)
	for _, e := range entries {
		processed[e.group.name]++
	}
	suspect := slices.ContainsFunc(entries, func(e *entry) bool { return e.suspect })
	err := q.db.Apply(ctx, suspect, func(tx *engine.Tx) error {
		for _, e := range entries {
			tx.Delete(q.keys.of(kindRecord, e.seq))
			tx.Delete(q.keys.of(kindBody, e.seq))
		}
		for group, n := range processed {
			tx.Add(q.keys.counter(counterProcessed, group), n)
		}
		tx.After(func() { q.forget(entries) })
		return nil
	})
	if err == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		if q.index.live[e.seq] == e {
			q.index.hide(e, e.at, true)
		}
	}
	q.arm()
	return fmt.Errorf("acknowledge %d messages of queue %s: %w", len(entries), q.name, err)
}

// forget drops acknowledged messages. It runs on the committer, so that a message is gone from the index if and only if it is
// gone from the store, also when the acknowledgement was given up as failed before it landed.
func (q *Queue) forget(entries []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		q.index.remove(e)
		q.index.forget(e)
	}
	q.nextSuspect()
}

// nextSuspect tells a receiver that a suspect's turn may have come. The caller holds mu.
func (q *Queue) nextSuspect() {
	if q.index.suspects.ready > 0 {
		q.wake(1)
	}
}

// Release implements queue.Queue. Like a delay of Send, the delay survives a restart, though not a power cut right after.
func (q *Queue) Release(ctx context.Context, m queue.Message, delay time.Duration) error {
	if delay < 0 || delay > queue.MaxDelay {
		return fmt.Errorf("release message %s of queue %s: %w (delay %s, 0 to %s)", m.ID, q.name, queue.ErrLimit, delay, queue.MaxDelay)
	}
	entries := q.claim([]queue.Message{m}, true)
	if len(entries) == 0 {
		return nil
	}
	e := entries[0]
	at := q.o.Now().Add(delay)
	err := q.db.Apply(ctx, false, func(tx *engine.Tx) error {
		tx.Set(q.keys.of(kindRecord, e.seq), e.recordOf(e.attempts, at))
		return nil
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.index.hide(e, e.at, true)
		q.arm()
		return fmt.Errorf("release message %s of queue %s: %w", m.ID, q.name, err)
	}
	e.suspect = false // its process lived to say that it failed
	q.index.hide(e, at, false)
	q.index.promote(q.o.Now())
	q.wake(1)
	q.arm()
	return nil
}

// claim takes the messages of the given deliveries out of the index. Left out are those that are gone, in dead-lettering, or
// delivered to somebody else meanwhile; with inFlight also those that merely ran out.
func (q *Queue) claim(ms []queue.Message, inFlight bool) []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	entries := make([]*entry, 0, len(ms))
	for _, m := range ms {
		seq, attempts, ok := parseHandle(m.Handle)
		if !ok {
			continue
		}
		e := q.index.live[seq]
		if e == nil || e.attempts != attempts || e.state == stateBusy || inFlight && !(e.state == stateHidden && e.inFlight) {
			continue
		}
		q.index.remove(e)
		entries = append(entries, e)
	}
	return entries
}

// bury moves messages that have used up their attempts to the dead-letter queue. It need not wait for the disk: the
// attempts are recorded, so a crash only has it done again.
func (q *Queue) bury(ctx context.Context, doomed []*entry) error {
	if len(doomed) == 0 {
		return nil
	}
	err := q.db.Apply(ctx, false, func(tx *engine.Tx) error {
		for _, e := range doomed {
			tx.Delete(q.keys.of(kindRecord, e.seq))
			tx.Set(q.keys.of(kindDead, e.seq), e.record())
		}
		return nil
	})
	if err != nil {
		q.giveBack(doomed)
		return fmt.Errorf("move %d messages of queue %s to its dead-letter queue: %w", len(doomed), q.name, err)
	}
	dead := make([]queue.Message, len(doomed))
	for n, e := range doomed {
		dead[n] = e.message(nil, e.attempts)
		dead[n].Handle = "" // it is not a delivery
	}
	q.drop(doomed)
	q.o.OnDead(dead)
	return nil
}

// drop takes what is dead now out of the index.
func (q *Queue) drop(doomed []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range doomed {
		q.index.forget(e)
		q.index.dead++
	}
	q.nextSuspect()
}

// settle brings the queue up to the present: what became visible, and what is dead.
func (q *Queue) settle(ctx context.Context) error {
	q.mu.Lock()
	q.index.promote(q.o.Now())
	doomed := q.index.takeDoomed()
	q.wake(q.index.receivable())
	q.mu.Unlock()
	return q.bury(ctx, doomed)
}

// Wake has the queue look at its clock again: tests that move Options.Now call it, so that a waiting Receive notices.
func (q *Queue) Wake(ctx context.Context) error { return q.settle(ctx) }

// Depth implements queue.Queue, exactly. A message on its way between two states counts as in flight.
func (q *Queue) Depth(ctx context.Context) (queue.Depth, error) {
	if err := q.settle(ctx); err != nil {
		return queue.Depth{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	x := &q.index
	all, ready, delayed := int64(len(x.live)), int64(x.ready), int64(x.delayed)
	return queue.Depth{Ready: ready, Delayed: delayed, InFlight: all - ready - delayed, Dead: x.dead}, nil
}

// Dead implements queue.Queue: the oldest first, complete.
func (q *Queue) Dead(ctx context.Context, limit int) ([]queue.Message, error) {
	if err := q.settle(ctx); err != nil {
		return nil, err
	}
	var dead []queue.Message
	records, err := q.deadRecords(limit)
	if err != nil {
		return nil, fmt.Errorf("read the dead-letter queue of %s: %w", q.name, err)
	}
	for _, d := range records {
		body, _, err := q.db.Get(q.keys.of(kindBody, d.seq))
		if err != nil {
			return nil, fmt.Errorf("read the dead-letter queue of %s: %w", q.name, err)
		}
		m := d.message(body, d.attempts)
		m.Handle = "" // it is not a delivery
		dead = append(dead, m)
	}
	return dead, nil
}

// redriveBatch is how many messages are moved in one commit.
const redriveBatch = 256

// Redrive implements queue.Queue. Its count is exact and it is finished when it returns. Calling it twice at once moves every
// message once.
func (q *Queue) Redrive(ctx context.Context) (int, error) {
	if err := q.settle(ctx); err != nil {
		return 0, err
	}
	total := 0
	for {
		records, err := q.deadRecords(redriveBatch)
		if err == nil && len(records) > 0 {
			var moved int
			moved, err = q.revive(ctx, records)
			total += moved
		}
		if err != nil {
			return total, fmt.Errorf("redrive queue %s (%d messages are moved): %w", q.name, total, err)
		}
		if len(records) < redriveBatch {
			return total, nil
		}
	}
}

// revive moves those of the messages back that are still dead.
func (q *Queue) revive(ctx context.Context, records []*entry) (int, error) {
	moved := make([]*entry, 0, len(records))
	err := q.db.Apply(ctx, true, func(tx *engine.Tx) error {
		for _, e := range records {
			key := q.keys.of(kindDead, e.seq)
			if _, there, err := tx.Get(key); err != nil || !there {
				if err != nil {
					return err
				}
				continue // somebody else's Redrive was first
			}
			e.attempts, e.at = 0, 0
			tx.Delete(key)
			tx.Set(q.keys.of(kindRecord, e.seq), e.record())
			moved = append(moved, e)
		}
		tx.After(func() { q.resurrect(moved) })
		return nil
	})
	return len(moved), err
}

// resurrect makes revived messages receivable. It runs on the committer.
func (q *Queue) resurrect(entries []*entry) {
	q.mu.Lock()
	q.index.dead -= int64(len(entries))
	for _, e := range entries {
		e.group = q.index.group(e.group.name)
	}
	q.mu.Unlock()
	q.put(entries)
}

// deadRecords reads up to limit records of the dead-letter queue.
func (q *Queue) deadRecords(limit int) ([]*entry, error) {
	var entries []*entry
	var broken error
	if limit <= 0 {
		return nil, nil
	}
	err := q.scan(kindDead, func(seq uint64, value []byte) bool {
		r, err := decodeRecord(value)
		if err != nil {
			broken = fmt.Errorf("message %s: %w", idOf(seq), err)
			return false
		}
		entries = append(entries, &entry{seq: seq, group: &group{name: r.group}, sentAt: r.sentAt, attempts: r.attempts})
		return len(entries) < limit
	})
	if broken != nil {
		return nil, broken
	}
	return entries, err
}

// wake tells up to n waiting receivers to look again. The caller holds mu.
func (q *Queue) wake(n int) {
	x := &q.index
	for ; n > 0 && len(x.waiters) > 0; n-- {
		x.waiters[0] <- struct{}{} // has room for one, and is told once
		x.waiters = x.waiters[1:]
	}
}

// leave takes back a receiver's place. One that was told of a message in the same moment passes it on.
func (q *Queue) leave(waiter chan struct{}) {
	if waiter == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for n, w := range q.index.waiters {
		if w == waiter {
			q.index.waiters = append(q.index.waiters[:n], q.index.waiters[n+1:]...)
			return
		}
	}
	q.wake(1)
}

// arm has the waiting receivers told when the next hidden message becomes visible. The caller holds mu.
func (q *Queue) arm() {
	x := &q.index
	if len(x.waiters) == 0 || len(x.hidden) == 0 {
		return
	}
	in := max(x.hidden[0].at.Sub(q.o.Now()), time.Millisecond)
	if x.timer == nil {
		x.timer = time.AfterFunc(in, q.ring)
		return
	}
	x.timer.Reset(in)
}

// ring is what the timer does.
func (q *Queue) ring() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.index.promote(q.o.Now())
	q.wake(q.index.receivable() + len(q.index.doomed))
	q.arm()
}
