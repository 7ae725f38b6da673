package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/queue/local"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

// kind is what goes wrong at a call.
type kind int

const (
	none kind = iota
	crashBefore
	crashAfter
	// refused fails before anything happened; lost after it happened.
	refused
	lost
	// lostBefore fails like lost, and nothing happened.
	lostBefore
	// overtaken has a second process work on the same thing first.
	overtaken
	// stale has an index know nothing yet.
	stale
	kinds
)

func (k kind) String() string {
	return [...]string{"none", "crash before", "crash after", "refused", "lost", "lost before it happened", "overtaken", "stale index"}[k]
}

// plan says what goes wrong at which call. Calls are counted from 0 over the whole run.
type plan struct {
	at    map[int]kind
	calls int
	log   []string
	// first says of a call whether no effect was before it in its process: else a crash before it is the one after that.
	first []bool
	begun bool
	// rival says of a call whether somebody else was about to act.
	rival []bool
	// chance, when set, decides by rand for the calls below until.
	chance  float64
	until   int
	seed    uint64
	shuffle bool
	hit     []string
}

var errFailed = errors.New("it failed")

// call makes one call with what is planned for it.
func (p *plan) call(w *world, what string, f func() error) error {
	w.calling.Lock()
	defer w.calling.Unlock()
	if w.dead {
		runtime.Goexit()
	}
	n := p.calls
	p.calls++
	p.log, p.first = append(p.log, what), append(p.first, !p.begun)
	p.rival = append(p.rival, w.rival != nil)
	p.begun = p.begun || !reads(what)
	k := p.at[n]
	if p.chance > 0 && n < p.until && w.rand.Float64() < p.chance {
		k = kind(1 + w.rand.IntN(int(kinds)-1))
	}
	if k != none && possible(what, k) {
		p.hit = append(p.hit, fmt.Sprintf("%s at call %d, %s", k, n, what))
	} else {
		return f()
	}
	isTable := strings.HasPrefix(what, "table.")
	switch k {
	case crashBefore:
		w.crash()
	case crashAfter:
		_ = f() // nobody is left to hear of it
		w.crash()
	case refused:
		if isTable {
			return table.ErrBusy
		}
		return errFailed
	case lost:
		if err := f(); err != nil {
			return err
		}
		if isTable {
			return table.ErrLost
		}
		return errFailed
	case lostBefore:
		if isTable {
			return table.ErrLost
		}
		return errFailed
	case overtaken:
		w.overtake()
	case stale:
		return nil // nothing found
	}
	return f()
}

// possible says what can go wrong where.
func possible(what string, k kind) bool {
	switch k {
	case none:
		return false
	case crashBefore, crashAfter:
		return !reads(what) // else it is the crash after the effect before it
	case refused:
		return true
	case lost:
		return what == "table.Write" || what == "provider.Send" || strings.HasPrefix(what, "queue.") || what == "blob.Put" || what == "blob.Delete"
	case lostBefore:
		return what == "table.Write"
	case overtaken:
		return what == "table.Write" || what == "table.Get"
	case stale:
		return what == "table.Query(index)"
	}
	return false
}

func reads(what string) bool {
	return what == "table.Get" || strings.HasPrefix(what, "table.Query") || what == "blob.Get"
}

// overtake has a second process do everything that there is to do, as if each message had been delivered twice, or what
// somebody else is about to do at this time.
func (w *world) overtake() {
	if w.rival != nil {
		w.rivals()
		return
	}
	if again := w.inHand; again != nil {
		w.inHand = nil // once is enough
		again(w.other)
	}
}

// rivals does what a rival is about to do, if it is not done yet.
func (w *world) rivals() {
	if rival := w.rival; rival != nil {
		w.rival = nil
		rival(w.other)
	}
}

type faultyTable struct {
	table.Table
	w *world
}

func (t *faultyTable) Get(ctx context.Context, k table.Key) (i table.Item, err error) {
	var found error
	err = t.w.plan.call(t.w, "table.Get", func() error { i, found = t.Table.Get(ctx, k); return nil })
	return i, errors.Join(err, found)
}

func (t *faultyTable) Query(ctx context.Context, q table.Query) (items []table.Item, err error) {
	what := "table.Query"
	if q.Index != "" {
		what = "table.Query(index)"
	}
	err = t.w.plan.call(t.w, what, func() (err error) { items, err = t.Table.Query(ctx, q); return err })
	return items, err
}

func (t *faultyTable) Write(ctx context.Context, ops ...table.Op) error {
	return t.w.plan.call(t.w, "table.Write", func() error { return t.Table.Write(ctx, ops...) })
}

type faultyQueue struct {
	*local.Queue
	w    *world
	name string
}

func (q faultyQueue) Send(ctx context.Context, out ...queue.Outgoing) error {
	return q.w.plan.call(q.w, "queue.Send "+q.name, func() error { return q.Queue.Send(ctx, out...) })
}

func (q faultyQueue) Ack(ctx context.Context, m ...queue.Message) error {
	return q.w.plan.call(q.w, "queue.Ack "+q.name, func() error { return q.Queue.Ack(ctx, m...) })
}

func (q faultyQueue) Release(ctx context.Context, m queue.Message, after time.Duration) error {
	return q.w.plan.call(q.w, "queue.Release "+q.name, func() error { return q.Queue.Release(ctx, m, after) })
}

type faultyBlobs struct {
	blobs
	w *world
}

func (b faultyBlobs) Put(ctx context.Context, key string, r io.Reader, o blob.PutOptions) (i blob.Info, err error) {
	err = b.w.plan.call(b.w, "blob.Put", func() (err error) { i, err = b.blobs.Put(ctx, key, r, o); return err })
	return i, err
}

func (b faultyBlobs) Get(ctx context.Context, key string, from, n int64) (r io.ReadCloser, i blob.Info, err error) {
	err = b.w.plan.call(b.w, "blob.Get", func() (err error) { r, i, err = b.blobs.Get(ctx, key, from, n); return err })
	return r, i, err
}

func (b faultyBlobs) Delete(ctx context.Context, key string) error {
	return b.w.plan.call(b.w, "blob.Delete", func() error { return b.blobs.Delete(ctx, key) })
}

// blindTable writes whatever the preconditions say: the defect of a check before a write that is not one with it.
type blindTable struct{ table.Table }

func (t blindTable) Write(ctx context.Context, ops ...table.Op) error {
	blind := make([]table.Op, len(ops))
	for i, op := range ops {
		blind[i] = op
		blind[i].If = table.Any
		if rev, ok := op.If.Rev(); ok {
			blind[i].Item.Rev = rev + 1
		} else if op.If.IsAbsent() {
			blind[i].Item.Rev = 1
		}
	}
	return t.Table.Write(ctx, blind...)
}

// sendFirst delivers without claiming the attempt before the first byte leaves.
func (w *world) sendFirst(ctx context.Context, batch []queue.Message) (failed []string) {
	for _, m := range batch {
		_, id, _ := strings.Cut(string(m.Body), `"entry":"`)
		id = strings.TrimSuffix(id, `"}`)
		e, err := w.p.Store.Entry(ctx, id)
		if err != nil || e.State != msg.Pending {
			continue
		}
		r, err := adapter{w.provider, true}.Send(ctx, channel.Conn{}, msg.Outbound{Entry: e.Entry, To: e.Delivery.To, Automatic: e.Automatic})
		if err == nil {
			var a store.Attempt
			if a, err = w.p.Store.Begin(ctx, id); err == nil && a.Go {
				_, err = w.p.Store.Accepted(ctx, id, "main", r)
			}
		}
		if err != nil {
			failed = append(failed, m.ID)
		}
	}
	return failed
}
