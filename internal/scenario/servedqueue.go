package scenario

import (
	"context"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/queue"
	queuelocal "github.com/aikajana/aikajana/internal/queue/local"
)

// gate is between the workers of a program that works by itself and their queues: while it is shut, nobody gets anything. Safe for
// concurrent use.
type gate struct {
	mu sync.Mutex
	// opened is closed while the gate is open.
	opened chan struct{}
	// polls break off the polls that wait at a queue; none tells that there is none left.
	polls map[int]context.CancelFunc
	next  int
	none  *sync.Cond
}

func newGate() *gate {
	g := &gate{opened: make(chan struct{}), polls: map[int]context.CancelFunc{}}
	g.none = sync.NewCond(&g.mu)
	close(g.opened)
	return g
}

// shut returns once nobody polls any more. What was taken before is worked on.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
		g.opened = make(chan struct{})
	default:
	}
	for _, stop := range g.polls {
		stop()
	}
	for len(g.polls) > 0 {
		g.none.Wait()
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
	default:
		close(g.opened)
	}
}

// pass waits until the gate is open. The poll ends early when it is shut; whoever polls calls end.
func (g *gate) pass(ctx context.Context) (poll context.Context, end func(), err error) {
	for {
		g.mu.Lock()
		opened := g.opened
		select {
		case <-opened:
			defer g.mu.Unlock()
			poll, stop := context.WithCancel(ctx)
			n := g.next
			g.next++
			g.polls[n] = stop
			return poll, func() { g.left(n) }, nil
		default:
		}
		g.mu.Unlock()
		select {
		case <-opened:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

func (g *gate) left(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.polls[n]()
	delete(g.polls, n)
	if len(g.polls) == 0 {
		g.none.Broadcast()
	}
}

// polledQueue is a queue as the program that works by itself sees it: it may be held, and be in the trouble that leaves nothing
// undone which nobody knows of. What the script's own hands do goes past it, to the queue itself.
type polledQueue struct {
	*queuelocal.Queue
	name   string
	hand   *gate
	faults *Faults
}

// Send may land and say that it did not.
func (q *polledQueue) Send(ctx context.Context, out ...queue.Outgoing) error {
	err := q.Queue.Send(ctx, out...)
	if err == nil && q.faults.asked("program", func() bool { return onceOf(q.faults.sendLose, q.name) }) {
		return fault.RetryAfter(time.Second, "lost", "no answer came from queue %s", q.name)
	}
	return err
}

// Receive waits while the queue is held, and may deliver the same twice in a batch.
func (q *polledQueue) Receive(ctx context.Context, most int, wait time.Duration) ([]queue.Message, error) {
	poll, end, err := q.hand.pass(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	got, err := q.Queue.Receive(poll, most, wait)
	if err != nil && poll.Err() != nil && ctx.Err() == nil {
		return got, nil //nolint:nilerr // the poll was broken off, and found nothing
	}
	if len(got) > 0 && q.faults.asked("program", func() bool { return q.once(q.faults.twice) }) {
		got = append(got, got...)
	}
	return got, err
}

// once uses up what is asked of this queue.
func (q *polledQueue) once(asked map[string]bool) bool {
	is := asked[q.name]
	delete(asked, q.name)
	return is
}
