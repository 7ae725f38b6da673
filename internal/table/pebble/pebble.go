// Package pebble is the keyed table of the local binary, over the embedded store of package engine.
//
// # Layout
//
//	t <PK> 0 1 <SK>                                        item: see encodeItem
//	x <index> <PK> 0 1 <SK> 0 1 <item PK> 0 1 <item SK>    index entry: the item's expiry
//	x 0 <expiry> <item PK> 0 1 <item SK>                   items by when they expire, for Sweep
//	c <number>                                             change log: one record for each Write that changed something
//	r <reader>                                             the last change that a reader has acknowledged
//
// Partition keys are escaped so that one is never mistaken for the beginning of another and all sort as their bytes do.
package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Table is a table.Table and table.Scanner. There is one on a store at a time.
type Table struct {
	db  *engine.DB
	now func() msg.Time

	// seq is the number of the last change; only the committer touches it once the table is open.
	seq uint64

	mu      sync.Mutex
	readers map[string]position
	// first is the number of the oldest change still in the log.
	first uint64
	// grown is closed when the log has grown and somebody waits for that.
	grown   chan struct{}
	waiting bool
}

var (
	_ table.Table   = (*Table)(nil)
	_ table.Scanner = (*Table)(nil)
)

// New opens the table in the store. now is what expiry goes by and what changes are dated with.
func New(db *engine.DB, now func() msg.Time) (*Table, error) {
	t := &Table{db: db, now: now, readers: make(map[string]position), grown: make(chan struct{})}
	if err := t.openLog(); err != nil {
		return nil, fmt.Errorf("open the table: %w", err)
	}
	return t, nil
}

// Get is table.Table's.
func (t *Table) Get(ctx context.Context, k table.Key) (table.Item, error) {
	if err := ctx.Err(); err != nil {
		return table.Item{}, fmt.Errorf("get %s: %w", k, err)
	}
	raw, there, err := t.db.Get(itemKey(k))
	if err != nil {
		return table.Item{}, fmt.Errorf("get %s: %w", k, err)
	}
	if !there {
		return table.Item{}, fmt.Errorf("get %s: %w", k, table.ErrNotFound)
	}
	i, err := decodeItem(k, raw)
	if err != nil {
		return table.Item{}, err
	}
	if expired(i.Expires, t.now()) {
		return table.Item{}, fmt.Errorf("get %s: %w", k, table.ErrNotFound)
	}
	return i, nil
}

// Query is table.Table's. Indexes are never behind here.
func (t *Table) Query(ctx context.Context, q table.Query) ([]table.Item, error) {
	if err := table.ValidateQuery(q); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("query %s %s: %w", q.Index, q.PK, err)
	}
	prefix := appendEscaped([]byte{engine.PrefixItem}, q.PK)
	bound := func(sk string) []byte { return append(bytes.Clone(prefix), sk...) }
	past := func(sk string) []byte { return append(bound(sk), 0) } // the key next to sk
	decode := func(k, v []byte) (table.Item, error) {
		return decodeItem(table.Key{PK: q.PK, SK: string(k[len(prefix):])}, bytes.Clone(v))
	}
	if q.Index != "" {
		prefix = appendEscaped(indexPrefix(q.Index), q.PK)
		// Sort keys are escaped in an index, and the item's key follows them.
		bound = func(sk string) []byte { return appendEscapedPart(bytes.Clone(prefix), sk) }
		past = func(sk string) []byte { return append(bound(sk), 0, 2) }
		decode = func(k, v []byte) (table.Item, error) { return decodeEntry(q.Index, q.PK, k[len(prefix):], v) }
	}
	lower, upper := engine.Span(prefix)
	if q.From != "" {
		lower = bound(q.From)
	}
	if q.To != "" {
		upper = bound(q.To)
	}
	switch {
	case q.After == "":
	case q.Desc && bytes.Compare(bound(q.After), upper) < 0:
		upper = bound(q.After)
	case !q.Desc && bytes.Compare(past(q.After), lower) > 0:
		lower = past(q.After)
	}
	if bytes.Compare(lower, upper) >= 0 {
		return nil, nil
	}
	items, err := t.collect(ctx, lower, upper, q.Desc, q.Limit, decode)
	if err != nil {
		return nil, fmt.Errorf("query %s %s: %w", q.Index, q.PK, err)
	}
	if q.Index != "" {
		for n := range items {
			items[n].Expires = 0 // keys only
		}
	}
	return items, nil
}

// Scan is table.Scanner's, in the order of the keys.
func (t *Table) Scan(ctx context.Context, from table.Key, limit int) ([]table.Item, error) {
	if limit < 1 {
		return nil, fmt.Errorf("scan: %w (limit %d)", table.ErrLimit, limit)
	}
	lower, upper := engine.Span([]byte{engine.PrefixItem})
	if from != (table.Key{}) {
		lower = append(itemKey(from), 0)
	}
	items, err := t.collect(ctx, lower, upper, false, limit, func(k, v []byte) (table.Item, error) {
		key, err := decodeItemKey(k)
		if err != nil {
			return table.Item{}, err
		}
		return decodeItem(key, bytes.Clone(v))
	})
	if err != nil {
		return nil, fmt.Errorf("scan from %s: %w", from, err)
	}
	return items, nil
}

func (t *Table) collect(ctx context.Context, lower, upper []byte, desc bool, limit int, decode func(k, v []byte) (table.Item, error)) (items []table.Item, err error) {
	now := t.now()
	scanErr := t.db.Scan(lower, upper, desc, func(k, v []byte) bool {
		if err = ctx.Err(); err != nil {
			return false
		}
		var i table.Item
		if i, err = decode(k, v); err != nil {
			return false
		}
		if !expired(i.Expires, now) {
			items = append(items, i)
		}
		return limit == 0 || len(items) < limit
	})
	return items, errors.Join(scanErr, err)
}

// Write is table.Table's. It reads every key that it writes: the precondition, the image for the change log and the index
// entries to take away all come from that one read.
//
// A full disk is a fault.Retry.
func (t *Table) Write(ctx context.Context, ops ...table.Op) error {
	if err := table.Validate(ops); err != nil {
		return err
	}
	w := t.prepare(ops)
	err := t.db.Apply(ctx, !table.IsRedoable(ctx), w.apply)
	if fault.Of(err) == fault.Uncertain {
		return fmt.Errorf("write %s: %w: %w", ops[0].Item.Key, table.ErrLost, err)
	}
	return err
}

// ApplyTx does inside a transaction of the store what Write does: a table write and something else of the same store, like the
// acknowledgement of the message that caused it, land together. ops must have passed table.Validate.
func (t *Table) ApplyTx(tx *engine.Tx, ops ...table.Op) error { return t.prepare(ops).apply(tx) }

// writing is a Write with everything worked out that does not depend on what is there.
type writing struct {
	t    *Table
	now  msg.Time
	ops  []table.Op
	keys [][]byte
	news [][]byte
}

func (t *Table) prepare(ops []table.Op) *writing {
	w := &writing{t: t, now: t.now(), ops: ops, keys: make([][]byte, len(ops)), news: make([][]byte, len(ops))}
	for n := range ops {
		op := &ops[n]
		w.keys[n] = itemKey(op.Item.Key)
		if op.Do == table.DoPut {
			w.news[n] = encodeItem(&op.Item, revision(op))
		}
	}
	return w
}

// revision is what a put stores.
func revision(op *table.Op) int64 {
	if op.If.IsAbsent() {
		return 1
	}
	if rev, ok := op.If.Rev(); ok {
		return rev + 1
	}
	return op.Item.Rev
}

// apply runs on the committer.
func (w *writing) apply(tx *engine.Tx) error {
	olds := make([][]byte, len(w.ops))
	var failed []table.Failure
	for n := range w.ops {
		op := &w.ops[n]
		if op.Do == table.DoCheck && op.If == table.Any {
			continue
		}
		raw, there, err := tx.Get(w.keys[n])
		if err != nil {
			return err
		}
		var rev int64
		alive := false
		if there {
			olds[n] = raw
			h, err := decodeHeader(op.Item.Key, raw)
			if err != nil {
				return err
			}
			if alive = !expired(h.expires, w.now); alive {
				rev = h.rev
			}
		}
		want, at := op.If.Rev()
		if op.If.IsAbsent() && alive || at && (!alive || rev != want) {
			failed = append(failed, table.Failure{Op: n, Key: op.Item.Key, Found: rev})
		}
	}
	if failed != nil {
		return &table.Conflict{Failed: failed}
	}
	return w.commit(tx, olds)
}

func (w *writing) commit(tx *engine.Tx, olds [][]byte) error {
	record := startRecord(w.now)
	changed := false
	for n := range w.ops {
		op := &w.ops[n]
		if op.Do == table.DoCheck || op.Do == table.DoDelete && olds[n] == nil {
			continue
		}
		if err := moveEntries(tx, op, olds[n]); err != nil {
			return err
		}
		if op.Do == table.DoPut {
			tx.Set(w.keys[n], w.news[n])
		} else {
			tx.Delete(w.keys[n])
		}
		record = appendChange(record, op.Item.Key, olds[n], w.news[n])
		changed = true
	}
	if changed {
		w.t.log(tx, record)
	}
	return nil
}

// moveEntries brings the index entries from what the old item says to what the new one says.
func moveEntries(tx *engine.Tx, op *table.Op, old []byte) error {
	var item table.Item
	if op.Do == table.DoPut {
		item = op.Item
	}
	var before header
	if old != nil {
		var err error
		if before, err = decodeHeader(op.Item.Key, old); err != nil {
			return err
		}
	}
	expires := seconds(item.Expires)
	was := seconds(before.expires)
	for _, index := range indexes {
		place, stays := item.Index[index]
		left, there := before.index(index)
		if there && (!stays || left != place) {
			tx.Delete(entryKey(index, left, op.Item.Key))
		}
		if stays && (!there || left != place || expires != was) {
			tx.Set(entryKey(index, place, op.Item.Key), binary.AppendUvarint(nil, expires))
		}
	}
	if was != expires && was != 0 {
		tx.Delete(expiryKey(was, op.Item.Key))
	}
	if was != expires && expires != 0 {
		tx.Set(expiryKey(expires, op.Item.Key), nil)
	}
	return nil
}

// Sweep deletes up to limit expired items and says how many it deleted. Expired items are invisible without it; it only
// gives their space back. Readers of the change feed see the deletions.
func (t *Table) Sweep(ctx context.Context, limit int) (int, error) {
	var due []table.Key
	var bad error
	lower, _ := engine.Span([]byte{engine.PrefixIndex, expiryIndex})
	upper := expiryKey(uint64(t.now())/1000+1, table.Key{}) //nolint:gosec // now is after 1970
	err := t.db.Scan(lower, upper[:len(lower)+8], false, func(k, _ []byte) bool {
		var key table.Key
		if key, bad = decodeKey(k[len(lower)+8:]); bad != nil {
			return false
		}
		due = append(due, key)
		return len(due) < limit
	})
	if err = errors.Join(err, bad); err != nil {
		return 0, fmt.Errorf("look for expired items: %w", err)
	}
	swept := 0
	for len(due) > 0 {
		part := due[:min(len(due), table.MaxOps)]
		due = due[len(part):]
		err := t.db.Apply(ctx, false, func(tx *engine.Tx) error {
			var ops []table.Op
			for _, k := range part {
				raw, there, err := tx.Get(itemKey(k))
				if err != nil {
					return err
				}
				if !there {
					continue
				}
				h, err := decodeHeader(k, raw)
				if err != nil {
					return err
				}
				if expired(h.expires, t.now()) { // it may have been written anew meanwhile
					ops = append(ops, table.Delete(k, table.Any))
				}
			}
			swept += len(ops)
			return t.ApplyTx(tx, ops...)
		})
		if err != nil {
			return swept, fmt.Errorf("delete expired items: %w", err)
		}
	}
	return swept, nil
}

func expired(at, now msg.Time) bool { return at != 0 && at <= now }
