package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Tx is what a function given to [DB.Apply] reads and writes with. It is valid only while that function runs, on the
// goroutine that runs it.
type Tx struct {
	db *DB
	// cells holds what the group has written so far; order its keys as they were first written.
	cells map[string]cell
	order []string
	bytes int
	// undo takes back what the member that is running has written, last first.
	undo  []undone
	mark  int
	after []func()
	err   error
}

type cellKind uint8

const (
	cellSet cellKind = iota + 1
	cellDelete
	cellAdd // on top of whatever the database holds
)

type cell struct {
	kind  cellKind
	value []byte
	delta int64
}

type undone struct {
	key    string
	before cell // zero: there was none
}

func (tx *Tx) begin() { tx.undo, tx.after, tx.err, tx.mark = tx.undo[:0], nil, nil, len(tx.order) }

func (tx *Tx) rollback() {
	for _, u := range slices.Backward(tx.undo) {
		if u.before.kind == 0 {
			delete(tx.cells, u.key)
		} else {
			tx.cells[u.key] = u.before
		}
	}
	tx.order = tx.order[:tx.mark]
}

func (tx *Tx) reset() {
	clear(tx.cells)
	clear(tx.order)
	tx.order, tx.bytes = tx.order[:0], 0
}

// Get returns the value of key and whether it is there. The value is the caller's.
func (tx *Tx) Get(key []byte) ([]byte, bool, error) {
	c := tx.cells[string(key)]
	switch c.kind {
	case cellSet:
		return bytes.Clone(c.value), true, nil
	case cellDelete:
		return nil, false, nil
	case cellAdd:
		n, err := tx.db.Counter(key)
		return encodeCounter(n + c.delta), true, err
	}
	return tx.db.Get(key)
}

// Counter is the value of a counter, 0 when nothing was ever added to it.
func (tx *Tx) Counter(key []byte) (int64, error) {
	b, found, err := tx.Get(key)
	if err != nil || !found {
		return 0, err
	}
	return counter(key, b)
}

// Set writes a value. The Tx keeps value: it must not be changed afterwards.
func (tx *Tx) Set(key, value []byte) { tx.put(key, cell{kind: cellSet, value: value}) }

// Delete removes key; that it is not there is no error.
func (tx *Tx) Delete(key []byte) { tx.put(key, cell{kind: cellDelete}) }

// Add adds delta to a counter without reading it. A key is either a counter or a plain value for ever: adding to a plain value
// fails the Apply when the value is of the same group, and otherwise every later read of it.
func (tx *Tx) Add(key []byte, delta int64) {
	c := tx.cells[string(key)]
	switch c.kind {
	case cellSet:
		n, err := counter(key, c.value)
		if err != nil {
			tx.err = err
			return
		}
		c.value = encodeCounter(n + delta)
	case cellDelete:
		c = cell{kind: cellSet, value: encodeCounter(delta)}
	default:
		c = cell{kind: cellAdd, delta: c.delta + delta}
	}
	tx.put(key, c)
}

// After runs f on the committer once the writes of this Apply are in log and memory, before Apply returns; not when they are
// discarded. They may not be durable yet, but whatever follows from f is behind them in the log: it cannot become durable
// without them. It is for waking who waits, so it must neither block nor fail.
func (tx *Tx) After(f func()) { tx.after = append(tx.after, f) }

func (tx *Tx) put(key []byte, c cell) {
	k := string(key)
	before, there := tx.cells[k]
	tx.undo = append(tx.undo, undone{k, before})
	if !there {
		tx.order = append(tx.order, k)
	}
	tx.cells[k] = c
	tx.bytes += len(k) + len(c.value)
}

// Scan calls f for every key in [lower, upper) in byte order, or the opposite with reverse, until f returns false. A nil
// bound is none. It sees what the group has written so far; f must not write, and must not keep key or value.
//
// It costs a pass over everything that the group has written besides what it visits.
func (tx *Tx) Scan(lower, upper []byte, reverse bool, f func(key, value []byte) bool) error {
	var own []string
	for _, k := range tx.order {
		if k >= string(lower) && (upper == nil || k < string(upper)) {
			own = append(own, k)
		}
	}
	slices.Sort(own)
	if reverse {
		slices.Reverse(own)
	}
	before := func(a, b string) bool { return a < b != reverse && a != b }
	going := true
	// emit hands over one of the group's own cells, on top of the value that the database has for it.
	emit := func(key string, base []byte) error {
		switch c := tx.cells[key]; c.kind {
		case cellSet:
			going = f([]byte(key), c.value)
		case cellAdd:
			n, err := int64(0), error(nil)
			if base != nil {
				n, err = counter([]byte(key), base)
			}
			if err != nil {
				return err
			}
			going = f([]byte(key), encodeCounter(n+c.delta))
		case cellDelete:
		}
		return nil
	}
	var failed error
	err := tx.db.Scan(lower, upper, reverse, func(key, value []byte) bool {
		for going && failed == nil && len(own) > 0 && before(own[0], string(key)) {
			failed = emit(own[0], nil)
			own = own[1:]
		}
		switch {
		case !going || failed != nil:
		case len(own) > 0 && own[0] == string(key):
			failed = emit(own[0], value)
			own = own[1:]
		default:
			going = f(key, value)
		}
		return going && failed == nil
	})
	for err == nil && failed == nil && going && len(own) > 0 {
		failed = emit(own[0], nil)
		own = own[1:]
	}
	return errors.Join(err, failed)
}

// Get returns the value of key and whether it is there. The value is the caller's.
func (db *DB) Get(key []byte) ([]byte, bool, error) {
	if !db.read() {
		return nil, false, ErrClosed
	}
	defer db.readDone()
	value, closer, err := db.pebble.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %q from the store: %w", key, err)
	}
	value = append(make([]byte, 0, len(value)), value...)
	if err := closer.Close(); err != nil {
		return nil, false, fmt.Errorf("read %q from the store: %w", key, err)
	}
	return value, true, nil
}

// Counter is the value of a counter, 0 when nothing was ever added to it.
func (db *DB) Counter(key []byte) (int64, error) {
	b, found, err := db.Get(key)
	if err != nil || !found {
		return 0, err
	}
	return counter(key, b)
}

// Scan calls f for every key in [lower, upper) in byte order, or the opposite with reverse, until f returns false. A nil
// bound is none. It sees the store as it was when Scan began; f must not keep key or value.
func (db *DB) Scan(lower, upper []byte, reverse bool, f func(key, value []byte) bool) (err error) {
	if !db.read() {
		return ErrClosed
	}
	defer db.readDone()
	it, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("read the store from %q: %w", lower, err)
	}
	defer func() {
		if e := it.Close(); e != nil && err == nil {
			err = fmt.Errorf("read the store from %q: %w", lower, e)
		}
	}()
	first, next := it.First, it.Next
	if reverse {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read %q from the store: %w", it.Key(), err)
		}
		if !f(it.Key(), value) {
			break
		}
	}
	return nil
}

func counter(key, value []byte) (int64, error) {
	n, ok := decodeCounter(value)
	if !ok {
		return 0, fmt.Errorf("key %q of the store is not a counter: it holds %d bytes", key, len(value))
	}
	return n, nil
}

// sumMerger adds counters up when Pebble reads or compacts them. Its name is in every store: it never changes.
func sumMerger() *pebble.Merger {
	return &pebble.Merger{Name: "aikajana.sum", Merge: func(key, value []byte) (pebble.ValueMerger, error) {
		n, err := counter(key, value)
		return &sum{n: n}, err
	}}
}

type sum struct{ n int64 }

func (s *sum) MergeNewer(value []byte) error {
	n, err := counter(nil, value)
	s.n += n
	return err
}

func (s *sum) MergeOlder(value []byte) error { return s.MergeNewer(value) }

func (s *sum) Finish(bool) ([]byte, io.Closer, error) { return encodeCounter(s.n), nil, nil }
