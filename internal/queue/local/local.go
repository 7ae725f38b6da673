// Package local is the queue of the local binary, inside the embedded store.
//
// # What is stored, and when it is durable
//
// A message is two records: a small one that says for whom it is, when it may be seen and how often it was delivered, and its
// body. Everything else (what is ready, in which order, what is in flight) lives in memory and is rebuilt from the small
// records when the queue is opened.
//
//   - Send waits for the disk: body, record and the group's counter "accepted" are one batch of the store.
//   - Receive waits for the disk too: the count of deliveries must be there even when the message kills the process each time
//     it is worked on, and what is merely written to the store's log still sits in the process's memory. Like all synced
//     writes it shares its fsync with whoever else is waiting for one.
//   - Ack does not wait. A power cut may bring the message back, which at-least-once delivery allows, and it brings back
//     everything applied after the acknowledgement as well. What the worker applied before (see [table.Redoable]) is in the
//     same log in front of the acknowledgement: the log never loses from the middle, so no acknowledgement survives a crash that
//     the work itself did not survive.
//   - Release does not wait either: a crash only brings the message back sooner.
//
// The visibility time-out is kept in memory: whoever was working on a message ended with this process, so after a restart
// all that was in flight can be received at once. What was in flight at two ends of a process and never settled is received
// apart from the rest from then on, in ever smaller batches and for its last attempt by itself; its acknowledgement waits for
// the disk. So the message that kills its process uses up its own attempts and takes none of its neighbours along.
package local

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
)

// DefaultVisibility is how long a received message stays invisible unless Options say otherwise: that of the queues on AWS.
const DefaultVisibility = 180 * time.Second

// Options of New. The zero value is right for production.
type Options struct {
	// Visibility is how long a received message stays invisible to others; DefaultVisibility when 0.
	Visibility time.Duration
	// Now is the clock; the machine's when nil. With another one, call Wake after moving it.
	Now func() msg.Time
	// OnError is told of a message that cannot be delivered because its stored body is gone: the ledger shows it too. It is
	// called from the goroutine that received; nil drops what it would be told.
	OnError func(error)
	// OnDead is told of the messages that have used up their attempts, once they are in the dead-letter queue; their bodies
	// and handles are left out. It is called from whatever call of the queue noticed; nil drops what it would be told.
	OnDead func([]queue.Message)
}

// Queue is a queue in an embedded store. All methods are safe for concurrent use.
type Queue struct {
	db   *engine.DB
	name string
	keys keys
	o    Options

	mu sync.Mutex
	// index is guarded by mu, which is never held over a call of db: the committer takes it (see engine.Tx.After).
	index index
}

var (
	_ queue.Queue   = (*Queue)(nil)
	_ queue.Counter = (*Queue)(nil)
)

// New opens the queue of the given name (lower-case letters, digits and "-") in db, and reads what is in it: about half a
// second for 300,000 messages. A name may be open once at a time. The queue has nothing to close; it ends with db.
func New(db *engine.DB, name string, o Options) (*Queue, error) {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return nil, fmt.Errorf("open queue %q: a name is lower-case letters, digits and \"-\"", name)
	}
	if o.Visibility <= 0 {
		o.Visibility = DefaultVisibility
	}
	if o.Now == nil {
		o.Now = func() msg.Time { return msg.TimeOf(time.Now()) }
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	if o.OnDead == nil {
		o.OnDead = func([]queue.Message) {}
	}
	q := &Queue{db: db, name: name, keys: newKeys(name), o: o}
	q.index.init()
	if err := q.load(); err != nil {
		return nil, fmt.Errorf("open queue %s: %w", name, err)
	}
	return q, nil
}

// load rebuilds the index from the small records.
func (q *Queue) load() error {
	now := q.o.Now()
	var broken error
	err := q.scan(kindRecord, func(seq uint64, value []byte) bool {
		r, err := decodeRecord(value)
		if err != nil {
			broken = fmt.Errorf("message %s: %w", idOf(seq), err)
			return false
		}
		q.index.add(&entry{seq: seq, group: q.index.group(r.group), sentAt: r.sentAt, attempts: r.attempts, at: r.visibleAt}, now)
		return true
	})
	if err == nil && broken == nil {
		err = q.scan(kindDead, func(seq uint64, _ []byte) bool {
			q.index.last = max(q.index.last, seq)
			q.index.dead++
			return true
		})
	}
	if broken != nil {
		return broken
	}
	return err
}

// Send implements queue.Sender. It returns once the messages are on disk; together with others that are sending at the same
// time they share one fsync.
func (q *Queue) Send(ctx context.Context, out ...queue.Outgoing) error {
	if err := queue.Validate(out); err != nil {
		return fmt.Errorf("queue %s: %w", q.name, err)
	}
	if len(out) == 0 {
		return nil
	}
	now := q.o.Now()
	entries := make([]*entry, len(out))
	accepted := make(map[string]int64, 1)
	q.mu.Lock()
	for n, o := range out {
		entries[n] = &entry{seq: q.index.next(now), group: q.index.group(o.Group), sentAt: now}
		if o.Delay > 0 {
			entries[n].at = now.Add(o.Delay)
		}
		accepted[o.Group]++
	}
	q.mu.Unlock()
	err := q.db.Apply(ctx, true, func(tx *engine.Tx) error {
		for n, e := range entries {
			tx.Set(q.keys.of(kindRecord, e.seq), e.record())
			tx.Set(q.keys.of(kindBody, e.seq), out[n].Body)
		}
		for group, n := range accepted {
			tx.Add(q.keys.counter(counterAccepted, group), n)
		}
		tx.After(func() { q.put(entries) })
		return nil
	})
	if err != nil {
		return fmt.Errorf("send %d messages to queue %s: %w", len(out), q.name, err)
	}
	return nil
}

// put makes stored messages receivable. It runs on the committer, so that a message is there if and only if it is stored,
// also when its sender gave up waiting.
func (q *Queue) put(entries []*entry) {
	now := q.o.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		q.index.add(e, now)
	}
	q.wake(len(entries))
}

// Receive implements queue.Queue. Groups that have messages ready take turns, one message each; within a group the
// messages come about in the order in which they were sent or came back. A message that may have ended two processes comes
// before all others, and only with its like.
func (q *Queue) Receive(ctx context.Context, limit int, wait time.Duration) ([]queue.Message, error) {
	limit = max(limit, 1)
	var timeout <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("receive from queue %s: %w", q.name, err)
		}
		taken, doomed, waiter := q.take(limit, wait > 0)
		if err := q.bury(ctx, doomed); err != nil {
			q.leave(waiter)
			q.giveBack(taken)
			return nil, err
		}
		if len(taken) > 0 {
			if got, err := q.deliver(ctx, taken); len(got) > 0 || err != nil {
				return got, err
			}
			continue // none of them had its body left
		}
		if waiter == nil {
			return nil, nil
		}
		select {
		case <-waiter:
		case <-timeout:
			q.leave(waiter)
			wait = 0 // one last look
		case <-ctx.Done():
			q.leave(waiter)
		}
	}
}

// take claims up to limit messages, and whatever has used up its attempts. When there is nothing and the caller wants to wait,
// it returns the channel that tells of new messages.
func (q *Queue) take(limit int, wait bool) (taken, doomed []*entry, waiter chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.index.promote(q.o.Now())
	taken, doomed = q.index.take(limit), q.index.takeDoomed()
	if len(taken) == 0 && wait {
		waiter = make(chan struct{}, 1)
		q.index.waiters = append(q.index.waiters, waiter)
		q.arm()
	}
	if q.index.receivable() > 0 {
		q.wake(1) // what is left is for whoever else is waiting
	}
	return taken, doomed, waiter
}

// deliver records one more delivery of each message and reads the bodies.
func (q *Queue) deliver(ctx context.Context, taken []*entry) ([]queue.Message, error) {
	err := q.db.Apply(ctx, true, func(tx *engine.Tx) error {
		taken = q.stillLive(taken)
		for _, e := range taken {
			tx.Set(q.keys.of(kindRecord, e.seq), e.recordOf(e.attempts+1, 0))
		}
		return nil
	})
	if err != nil {
		q.giveBack(taken)
		return nil, fmt.Errorf("receive from queue %s: %w", q.name, err)
	}
	got := make([]queue.Message, 0, len(taken))
	lost := make([]bool, len(taken))
	var failed error
	for n, e := range taken {
		body, found, err := q.db.Get(q.keys.of(kindBody, e.seq))
		if err != nil {
			failed = fmt.Errorf("receive message %s of queue %s: %w", idOf(e.seq), q.name, err)
			continue // it comes again after the visibility time-out
		}
		if lost[n] = !found; lost[n] {
			q.o.OnError(fmt.Errorf("queue %s: the body of message %s for %q is gone from the store and cannot be delivered: compare "+
				"the reconciliation and replay what is missing from its source", q.name, idOf(e.seq), e.group.name))
			continue
		}
		got = append(got, e.message(body, e.attempts+1))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	until := q.o.Now().Add(q.o.Visibility)
	for n, e := range taken {
		if lost[n] {
			q.index.forget(e)
			continue
		}
		e.attempts++
		q.index.hide(e, until, true)
	}
	q.arm()
	if len(got) > 0 {
		return got, nil
	}
	return nil, failed
}

// stillLive leaves out what was acknowledged after all: an acknowledgement that failed because the disk was full may land once
// there is room. It runs on the committer, where nothing can change that before the commit.
func (q *Queue) stillLive(entries []*entry) []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	live := make([]*entry, 0, len(entries))
	for _, e := range entries {
		if q.index.live[e.seq] == e {
			live = append(live, e)
		}
	}
	return live
}

// giveBack makes claimed messages receivable again.
func (q *Queue) giveBack(entries []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	for _, e := range entries {
		if q.index.live[e.seq] == e {
			q.index.hide(e, now, false)
		}
	}
	q.arm()
}
