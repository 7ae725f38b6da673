package scenario

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/table"
)

// Faults stand between the program and what it stands on. Safe for concurrent use.
type Faults struct {
	mu sync.Mutex
	// refuseUntil is until when the table refuses every write.
	refuseUntil time.Time
	// lose is how many writes land without an answer.
	lose int
	// queueLose is how many sends land without an answer, by queue.
	queueLose map[string]int
	// crash ends a worker before or after one of its writes.
	crashIn     string
	crashBefore bool
	crashAt     int
	// stale says that the indexes show nothing to workers; blobsUntil is until when no blob can be read.
	stale      bool
	blobsUntil time.Time
	// poison is at how many writes a worker is killed.
	poison int
	clock  *Clock
}

// NewFaults is fair weather by the clock.
func NewFaults(clock *Clock) *Faults { return &Faults{clock: clock, queueLose: map[string]int{}} }

// crashed is what a worker that ends in the middle panics with.
type crashed struct{ where string }

// Error says which worker it was.
func (c crashed) Error() string { return "the " + c.where + " was killed here, as the script says" }

// place is where the program is at work, for the faults that meet one worker only.
type place struct{}

func in(ctx context.Context, where string) context.Context {
	return context.WithValue(ctx, place{}, where)
}

// beforeWrite says what is to become of a write: refused, or landing without an answer. It panics where the script has the
// worker killed; after does so for a death after the write.
func (f *Faults) beforeWrite(ctx context.Context) (refuse, lose bool, after func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after = func() {}
	where, _ := ctx.Value(place{}).(string)
	if where == "" {
		return false, false, after // the test's own hands
	}
	if where == "worker" && f.poison > 0 {
		f.poison--
		panic(crashed{where})
	}
	if f.crashIn == where && f.crashAt > 0 {
		if f.crashAt--; f.crashAt == 0 {
			f.crashIn = ""
			if f.crashBefore {
				panic(crashed{where})
			}
			after = func() { panic(crashed{where}) }
		}
	}
	if f.clock.Time().Before(f.refuseUntil) {
		return true, false, after
	}
	if f.lose > 0 {
		f.lose--
		return false, true, after
	}
	return false, false, after
}

// indexStale says that a worker's question to an index finds nothing yet.
func (f *Faults) indexStale(ctx context.Context) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stale && ctx.Value(place{}) == "worker"
}

func (f *Faults) blobsFail() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clock.Time().Before(f.blobsUntil)
}

func (f *Faults) isRefusing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clock.Time().Before(f.refuseUntil)
}

func (f *Faults) sendLost(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queueLose[name] == 0 {
		return false
	}
	f.queueLose[name]--
	return true
}

func (f *Faults) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// troubledTable is the embedded table behind the faults.
type troubledTable struct {
	table.Table
	faults *Faults
}

// Write fails as the script says.
func (t troubledTable) Write(ctx context.Context, ops ...table.Op) error {
	refuse, lose, after := t.faults.beforeWrite(ctx)
	if refuse {
		return table.ErrBusy
	}
	err := t.Table.Write(ctx, ops...)
	if err == nil && lose {
		return table.ErrLost
	}
	after()
	return err
}

// Query finds nothing in an index that is stale.
func (t troubledTable) Query(ctx context.Context, q table.Query) ([]table.Item, error) {
	if q.Index != "" && t.faults.indexStale(ctx) {
		return nil, nil
	}
	return t.Table.Query(ctx, q)
}

// Scan reads past the faults.
func (t troubledTable) Scan(ctx context.Context, from table.Key, limit int) ([]table.Item, error) {
	s, ok := t.Table.(table.Scanner)
	if !ok {
		return nil, errors.New("this table cannot be read whole")
	}
	return s.Scan(ctx, from, limit)
}

// troubledQueue is a queue whose answers get lost.
type troubledQueue struct {
	queue.Queue
	name   string
	faults *Faults
}

// Send may land and say that it did not.
func (q troubledQueue) Send(ctx context.Context, out ...queue.Outgoing) error {
	if err := q.Queue.Send(ctx, out...); err != nil {
		return err
	}
	if q.faults.sendLost(q.name) {
		return fault.RetryAfter(time.Second, "lost", "no answer came from queue %s", q.name)
	}
	return nil
}

// troubledBlobs are blobs that cannot be read for a while.
type troubledBlobs struct {
	blob.Store
	faults *Faults
}

// Get fails as the script says.
func (b troubledBlobs) Get(ctx context.Context, key string, from, n int64) (io.ReadCloser, blob.Info, error) {
	if b.faults.blobsFail() {
		return nil, blob.Info{}, fault.RetryAfter(time.Second, "unavailable", "read blob %s: it cannot be read right now", key)
	}
	return b.Store.Get(ctx, key, from, n)
}
