package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/aikajana/aikajana/internal/fault"
)

// Limits of one group. A group is what gathered during the previous commit, so these only bound memory.
const (
	groupMembers = 512
	groupBytes   = 8 << 20
)

// request is one Apply on its way through the committer.
type request struct {
	f    func(*Tx) error
	sync bool
	// state goes from waiting to taken (by the committer) or gone (by a caller who gave up): never both.
	state atomic.Int32
	done  chan struct{}

	err      error
	panicked any
	after    []func()
}

const (
	waiting int32 = iota
	taken
	gone
)

// Apply runs f on the committer and commits what it wrote, all or nothing.
//
// f sees everything applied before it. It must be quick, must not call Apply, and must not use its Tx after it returned; an
// error from it discards its own writes only and is returned as it is. nil means committed, and with sync that it
// survives a power cut. One fsync serves a whole group and whatever else waits for one; who does not ask for it waits for
// none. With sync and no writes it still waits until everything applied before is durable.
//
// fault.Retry: the disk is full, nothing happened. fault.Uncertain: the disk filled up in the middle, the writes may still
// land. When ctx ends before f has begun, f never runs and ctx's error is returned; after that Apply waits for the outcome.
func (db *DB) Apply(ctx context.Context, sync bool, f func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write to the store: %w", err)
	}
	if err := db.refused(); err != nil {
		return err
	}
	r := &request{f: f, sync: sync, done: make(chan struct{})}
	if err := db.enqueue(ctx, r); err != nil {
		return err
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, gone) {
			return fmt.Errorf("write to the store: %w", ctx.Err())
		}
		if err := db.outcome(r); err != nil {
			return err
		}
	case <-db.disk.stalled():
		if r.state.CompareAndSwap(waiting, gone) {
			return errFull()
		}
		if err := db.outcome(r); err != nil {
			return err
		}
	}
	if r.panicked != nil {
		panic(r.panicked) // in the goroutine whose function it was
	}
	return r.err
}

// outcome waits for a request that the committer has taken; an error means that it will not be known.
func (db *DB) outcome(r *request) error {
	select {
	case <-r.done:
		return nil
	case <-db.disk.stalled():
	}
	select {
	case <-r.done:
		return nil
	default:
		return fault.Newf(fault.Uncertain, "disk_full", "the disk of the store became full in the middle of a write, which may still land: free some space")
	}
}

func (db *DB) enqueue(ctx context.Context, r *request) error {
	db.inside.RLock()
	defer db.inside.RUnlock()
	if db.shut {
		return ErrClosed
	}
	select {
	case db.requests <- r:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("write to the store: %w", ctx.Err())
	case <-db.disk.stalled():
		return errFull()
	}
}

// commit is the committer: it takes what waits, applies it and answers.
func (db *DB) commit() {
	defer close(db.confirming)
	g := newGroup(db)
	for {
		select {
		case r := <-db.requests:
			g.run(r)
		case <-db.closing:
			for len(db.requests) > 0 { // nobody adds any more
				g.run(<-db.requests)
			}
			return
		}
	}
}

// group is what is committed together. It lives on the committer only and is used again and again.
type group struct {
	db      *DB
	tx      Tx
	members []*request
	sync    bool
	// behind says that something applied earlier has not been synced.
	behind bool
}

func newGroup(db *DB) *group {
	return &group{db: db, tx: Tx{db: db, cells: make(map[string]cell)}}
}

// run commits r together with whatever else is waiting.
func (g *group) run(r *request) {
	g.add(r)
	for len(g.members) < groupMembers && g.tx.bytes < groupBytes {
		select {
		case r = <-g.db.requests:
			g.add(r)
			continue
		default:
		}
		break
	}
	batch, err := g.flush()
	later := confirmation{batch: batch}
	for _, r := range g.members {
		if err != nil {
			r.err = err
		}
		if r.err == nil {
			for _, f := range r.after {
				f()
			}
		}
		if r.sync {
			later.members = append(later.members, r)
		} else {
			close(r.done)
		}
	}
	g.db.confirmLater(later)
	clear(g.members)
	g.members, g.sync = g.members[:0], false
	g.tx.reset()
}

// add runs one member. Synced members that fail are answered with the others: what they found may not be durable before that.
func (g *group) add(r *request) {
	if !r.state.CompareAndSwap(waiting, taken) {
		return
	}
	g.members = append(g.members, r)
	g.tx.begin()
	defer func() {
		if p := recover(); p != nil {
			r.panicked, r.err = p, errors.New("the function panicked")
			g.tx.rollback()
		}
	}()
	if r.err = r.f(&g.tx); r.err == nil {
		r.err = g.tx.err
	}
	if r.err != nil {
		g.tx.rollback()
		return
	}
	r.after = g.tx.after
	g.sync = g.sync || r.sync
}

// flush commits the group's writes. With a synced member it returns the batch that is on its way to the disk.
func (g *group) flush() (batch *pebble.Batch, err error) {
	if len(g.members) == 0 || len(g.tx.order) == 0 && (!g.sync || !g.behind) {
		return nil, nil
	}
	if failed := g.db.fatal.Load(); failed != nil {
		return nil, *failed
	}
	defer func() {
		// Pebble panics when it cannot write its log.
		if p := recover(); p != nil {
			batch, err = nil, g.db.fail(fmt.Errorf("commit: %v", p))
		}
	}()
	if batch, err = g.write(); err != nil {
		return nil, g.db.fail(err)
	}
	g.db.groups.Add(1)
	g.db.members.Add(int64(len(g.members)))
	g.behind = !g.sync
	if g.sync {
		g.db.syncs.Add(1)
	}
	return batch, nil
}

// write puts the group's writes into log and memory, and returns the batch when somebody has to wait for the disk.
func (g *group) write() (*pebble.Batch, error) {
	b := g.db.pebble.NewBatchWithSize(g.tx.bytes + 32*len(g.tx.order) + 16)
	if err := g.fill(b); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if !g.sync {
		return nil, errors.Join(b.Commit(pebble.NoSync), b.Close())
	}
	return b, g.db.pebble.ApplyNoSyncWait(b, pebble.Sync)
}

func (g *group) fill(b *pebble.Batch) error {
	if len(g.tx.order) == 0 {
		return b.LogData([]byte{0}, nil)
	}
	for _, key := range g.tx.order {
		c := g.tx.cells[key]
		var err error
		switch c.kind {
		case cellSet:
			err = b.Set([]byte(key), c.value, nil)
		case cellDelete:
			err = b.Delete([]byte(key), nil)
		case cellAdd:
			err = b.Merge([]byte(key), encodeCounter(c.delta), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// confirmation is members of a group that are answered when what they wrote and saw is on the disk.
type confirmation struct {
	batch   *pebble.Batch // nil: nothing of their own
	members []*request
}

// confirmations is how many groups may be on their way to the disk: more than there ever are with a disk that works, and with
// one that does not the committer waits here.
const confirmations = 64

// confirmLater has members answered once their group, and all before it, is durable. The committer goes on meanwhile.
func (db *DB) confirmLater(c confirmation) {
	if len(c.members) == 0 {
		return
	}
	if c.batch == nil && db.unconfirmed.Load() == 0 {
		c.answer(nil)
		return
	}
	db.unconfirmed.Add(1)
	db.confirming <- c
}

// confirm answers groups in the order in which they were committed. One fsync of Pebble's serves all that wait for one.
func (db *DB) confirm() {
	defer close(db.done)
	for c := range db.confirming {
		var err error
		if c.batch != nil {
			if err = errors.Join(c.batch.SyncWait(), c.batch.Close()); err != nil {
				err = db.fail(err)
			}
		}
		if failed := db.fatal.Load(); failed != nil {
			err = *failed
		}
		db.unconfirmed.Add(-1)
		c.answer(err)
	}
}

// answer ends the members' wait; an error replaces theirs.
func (c *confirmation) answer(err error) {
	for _, r := range c.members {
		if err != nil {
			r.err = err
		}
		close(r.done)
	}
}
