package scenario

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/table"
)

// Faults say what goes wrong between the program and what it stands on: by what the script has asked for, by its clock, and by
// who is at work. In the local world they wrap what is embedded; in the AWS world proxies ask them (see awsfaults.go). What the
// script's own hands do meets none of them. Safe for concurrent use.
type Faults struct {
	clock *Clock

	mu sync.Mutex
	// writesUntil is until when the table refuses every write, readsUntil until when it refuses to read of customers.
	writesUntil, readsUntil time.Time
	// lose is how many writes land without an answer, half how many writes that may land apart are half taken.
	lose, half int
	// sendLose is how many sends land without an answer, sendTwice how many land twice because of that, ackLose how many
	// acknowledgements never arrive, by queue.
	sendLose, sendTwice, ackLose map[string]int
	// queueUntil is until when a queue takes no call; twice are the queues that deliver everything twice.
	queueUntil map[string]time.Time
	twice      map[string]bool
	// crash ends a worker before or after one of its writes; poison is at how many writes a worker is killed.
	crashIn     string
	crashBefore bool
	crashAt     int
	poison      int
	// stale says that the indexes show nothing to workers; blobsUntil is until when no blob can be read.
	stale      bool
	blobsUntil time.Time
	// hits counts the calls that met trouble.
	hits int
	// waiting are troubles with an end that nothing has met yet, by the statement that asked for them.
	waiting map[string]bool
}

// NewFaults is fair weather by the clock.
func NewFaults(clock *Clock) *Faults {
	return &Faults{clock: clock, sendLose: map[string]int{}, sendTwice: map[string]int{}, ackLose: map[string]int{}, queueUntil: map[string]time.Time{}, twice: map[string]bool{}, waiting: map[string]bool{}}
}

// crashed is what a worker that ends in the middle panics with.
type crashed struct{ where string }

// Error says which worker it was.
func (c crashed) Error() string { return "the " + c.where + " was killed here, as the script says" }

// place is where the program is at work, for the faults that meet one worker only.
type place struct{}

func in(ctx context.Context, where string) context.Context {
	return context.WithValue(ctx, place{}, where)
}

// at is where the program is at work; "" are the script's own hands.
func at(ctx context.Context) string {
	where, _ := ctx.Value(place{}).(string)
	return where
}

// beforeWrite panics where the script has a worker killed before a write; what it returns does so after the write.
func (f *Faults) beforeWrite(ctx context.Context) (after func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	where := at(ctx)
	if where == "worker" && f.poison > 0 {
		f.poison--
		panic(crashed{where})
	}
	if where != "" && f.crashIn == where && f.crashAt > 0 {
		if f.crashAt--; f.crashAt == 0 {
			f.crashIn = ""
			if f.crashBefore {
				panic(crashed{where})
			}
			return func() { panic(crashed{where}) }
		}
	}
	return func() {}
}

// before says that it is not yet that time.
func (f *Faults) before(until time.Time) bool { return f.clock.Time().Before(until) }

// meets is before, for whoever the trouble meets.
func (f *Faults) meets(until time.Time, trouble string) bool {
	if !f.before(until) {
		return false
	}
	delete(f.waiting, trouble)
	return true
}

// The troubles that have an end.
const (
	writesRefused  = "table refuses writes"
	readsRefused   = "table refuses reads of customers"
	blobsRefused   = "blobs cannot be read"
	queueThrottled = "queue is throttled: "
)

// unmet are the troubles that the script has asked for and that never met anybody: the story does not tell what it says.
func (f *Faults) unmet() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Collect(maps.Keys(f.waiting))
	for trouble, left := range map[string]int{"table loses answers": f.lose, "table takes half": f.half, f.crashIn + " crashes": f.crashAt} {
		if left > 0 {
			all = append(all, trouble)
		}
	}
	for trouble, left := range map[string]map[string]int{"loses answers": f.sendLose, "loses acknowledgements": f.ackLose, "repeats sends": f.sendTwice} {
		for name, n := range left {
			if n > 0 {
				all = append(all, "queue "+name+" "+trouble)
			}
		}
	}
	for name := range f.twice {
		all = append(all, "queue "+name+" delivers twice")
	}
	slices.Sort(all)
	return all
}

// once uses up one of what is left.
func once(left *int) bool {
	if *left == 0 {
		return false
	}
	*left--
	return true
}

// onceOf is once for one queue.
func onceOf(left map[string]int, name string) bool {
	if left[name] == 0 {
		return false
	}
	left[name]--
	return true
}

// isRefusing says that the table is refusing right now.
func (f *Faults) isRefusing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.before(f.writesUntil) || f.before(f.readsUntil)
}

// isThrottling says that a queue takes no call right now.
func (f *Faults) isThrottling(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.before(f.queueUntil[name])
}

// mayLoseAck says that an acknowledgement may come to nothing now.
func (f *Faults) mayLoseAck(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ackLose[name] > 0 || f.before(f.queueUntil[name])
}

// asked says what becomes of a call at that place: the answer of what is called with the lock held. Nothing ever becomes of what
// the script's own hands do.
func (f *Faults) asked(where string, what func() bool) bool {
	if where == "" {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	met := what()
	if met {
		f.hits++
	}
	return met
}

// met is how many calls have met trouble so far.
func (f *Faults) met() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
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

// Get fails as the script says.
func (t troubledTable) Get(ctx context.Context, k table.Key) (table.Item, error) {
	if t.readsFail(ctx, k.PK) {
		return table.Item{}, table.ErrBusy
	}
	return t.Table.Get(ctx, k)
}

func (t troubledTable) readsFail(ctx context.Context, pk string) bool {
	return ofCustomers(pk) && t.faults.asked(at(ctx), func() bool { return t.faults.meets(t.faults.readsUntil, readsRefused) })
}

// ofCustomers says that a partition is that of a customer or of one of their addresses: DynamoDB throttles hot partitions, while
// it goes on to serve the others, such as that of the accounts.
func ofCustomers(pk string) bool { return strings.HasPrefix(pk, "C#") || strings.HasPrefix(pk, "I#") }

// Write fails as the script says.
func (t troubledTable) Write(ctx context.Context, ops ...table.Op) error {
	f, where := t.faults, at(ctx)
	after := f.beforeWrite(ctx)
	if f.asked(where, func() bool { return f.meets(f.writesUntil, writesRefused) }) {
		return table.ErrBusy
	}
	lose := f.asked(where, func() bool { return once(&f.lose) })
	half := mayLandApart(ctx, ops) && f.asked(where, func() bool { return once(&f.half) })
	if half {
		ops = ops[:len(ops)/2]
	}
	err := t.Table.Write(ctx, ops...)
	switch {
	case err == nil && half:
		return table.ErrBusy
	case err == nil && lose:
		return table.ErrLost
	}
	after()
	return err
}

// mayLandApart says that a write is one that DynamoDB may take by half, see [table.Apart].
func mayLandApart(ctx context.Context, ops []table.Op) bool {
	return len(ops) > 1 && table.IsApart(ctx) && !slices.ContainsFunc(ops, func(op table.Op) bool { return op.If != table.Any })
}

// Query fails as the script says, and finds nothing in an index that is stale.
func (t troubledTable) Query(ctx context.Context, q table.Query) ([]table.Item, error) {
	if t.readsFail(ctx, q.PK) {
		return nil, table.ErrBusy
	}
	if q.Index != "" && at(ctx) == "worker" && t.faults.asked("worker", func() bool { return t.faults.stale }) {
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

// troubledQueue is an embedded queue behind the faults. Its ledger shows through.
type troubledQueue struct {
	queue.Queue
	queue.Counter
	name   string
	faults *Faults

	mu sync.Mutex
	// again are messages that are delivered once more.
	again []queue.Message
}

func (q *troubledQueue) throttled(ctx context.Context) error {
	if q.faults.asked(at(ctx), func() bool { return q.faults.meets(q.faults.queueUntil[q.name], queueThrottled+q.name) }) {
		return fault.RetryAfter(time.Second, "throttled", "queue %s is asked for too much", q.name)
	}
	return nil
}

// Send may land and say that it did not. Nothing in this shape sends again by itself when an answer is lost, as the SDK of AWS
// does: what that comes to is that a message is delivered twice.
func (q *troubledQueue) Send(ctx context.Context, out ...queue.Outgoing) error {
	if err := q.throttled(ctx); err != nil {
		return err
	}
	if err := q.Queue.Send(ctx, out...); err != nil {
		return err
	}
	if q.faults.asked(at(ctx), func() bool { return onceOf(q.faults.sendLose, q.name) }) {
		return fault.RetryAfter(time.Second, "lost", "no answer came from queue %s", q.name)
	}
	if q.faults.asked(at(ctx), func() bool { return onceOf(q.faults.sendTwice, q.name) }) {
		q.faults.change(func() { q.faults.twice[q.name] = true })
	}
	return nil
}

// Receive may deliver the same once more.
func (q *troubledQueue) Receive(ctx context.Context, most int, wait time.Duration) ([]queue.Message, error) {
	if err := q.throttled(ctx); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.again) > 0 {
		got := q.again
		q.again = nil
		return got, nil
	}
	got, err := q.Queue.Receive(ctx, most, wait)
	if len(got) > 0 && q.faults.asked(at(ctx), func() bool { return q.faults.twice[q.name] }) {
		q.again = got
	}
	return got, err
}

// Ack may never arrive.
func (q *troubledQueue) Ack(ctx context.Context, ms ...queue.Message) error {
	if err := q.throttled(ctx); err != nil {
		return err
	}
	if q.faults.asked(at(ctx), func() bool { return onceOf(q.faults.ackLose, q.name) }) {
		return fault.RetryAfter(time.Second, "lost", "no answer came from queue %s", q.name)
	}
	return q.Queue.Ack(ctx, ms...)
}

// troubledBlobs are blobs that cannot be read for a while.
type troubledBlobs struct {
	blob.Store
	faults *Faults
}

// Get fails as the script says.
func (b troubledBlobs) Get(ctx context.Context, key string, from, n int64) (io.ReadCloser, blob.Info, error) {
	if b.faults.asked(at(ctx), func() bool { return b.faults.meets(b.faults.blobsUntil, blobsRefused) }) {
		return nil, blob.Info{}, fault.RetryAfter(time.Second, "unavailable", "read blob %s: it cannot be read right now", key)
	}
	return b.Store.Get(ctx, key, from, n)
}
