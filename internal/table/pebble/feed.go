package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// position is a place in the change log: behind change number part (from 1) of record seq.
type position struct{ seq, part uint64 }

// String is what Change.Seq shows; it sorts as the changes do.
func (p position) String() string { return fmt.Sprintf("%016x-%02x", p.seq, p.part) }

func (p position) encode() []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, p.seq), p.part)
}

func (p position) before(q position) bool { return p.seq < q.seq || p.seq == q.seq && p.part < q.part }

func logKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{engine.PrefixChange}, seq)
}

func readerKey(name string) []byte { return append([]byte{engine.PrefixReader}, name...) }

// openLog finds the ends of the log and how far its readers are.
func (t *Table) openLog() error {
	var bad error
	lower, upper := engine.Span([]byte{engine.PrefixReader})
	err := t.db.Scan(lower, upper, false, func(k, v []byte) bool {
		r := reader{b: v}
		p := position{r.uvarint(), r.uvarint()}
		if r.bad {
			bad = fmt.Errorf("reader %s of the change log: %w", k[1:], errEncoding)
			return false
		}
		t.readers[string(k[1:])] = p
		t.seq = max(t.seq, p.seq) // the log may have been trimmed to nothing
		return true
	})
	lower, upper = engine.Span([]byte{engine.PrefixChange})
	last := t.db.Scan(lower, upper, true, func(k, _ []byte) bool {
		t.seq = max(t.seq, binary.BigEndian.Uint64(k[1:]))
		return false
	})
	t.first = t.seq + 1
	first := t.db.Scan(lower, upper, false, func(k, _ []byte) bool {
		t.first = binary.BigEndian.Uint64(k[1:])
		return false
	})
	return errors.Join(err, bad, last, first)
}

// A record of the log: time, then for each change key (PK, SK), 1 and the old item or 0, 1 and the new item or 0.
func startRecord(now msg.Time) []byte { return binary.AppendVarint(make([]byte, 0, 512), int64(now)) }

func appendChange(b []byte, k table.Key, before, after []byte) []byte {
	b = appendString(appendString(b, k.PK), k.SK)
	for _, image := range [][]byte{before, after} {
		if image == nil {
			b = append(b, 0)
		} else {
			b = appendBytes(append(b, 1), image)
		}
	}
	return b
}

// decodeRecord reads the changes of a record and keeps b.
func decodeRecord(seq uint64, b []byte) ([]table.Change, error) {
	r := reader{b: b}
	at := msg.Time(r.varint())
	var all []table.Change
	for part := uint64(1); len(r.b) > 0; part++ {
		c := table.Change{Key: table.Key{PK: r.string(), SK: r.string()}, Seq: position{seq, part}.String(), At: at}
		for _, image := range []**table.Item{&c.Old, &c.New} {
			if r.byte() == 0 {
				continue
			}
			i, err := decodeItem(c.Key, r.bytes())
			if err != nil {
				return nil, fmt.Errorf("change %s: %w", c.Seq, err)
			}
			*image = &i
		}
		if r.bad {
			return nil, fmt.Errorf("change %s cannot be read: %w", c.Seq, errEncoding)
		}
		all = append(all, c)
	}
	return all, nil
}

// log adds a record in the batch that holds the write itself. It runs on the committer.
func (t *Table) log(tx *engine.Tx, record []byte) {
	t.seq++
	tx.Set(logKey(t.seq), record)
	tx.After(t.wake)
}

func (t *Table) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting {
		close(t.grown)
		t.grown, t.waiting = make(chan struct{}), false
	}
}

// Feed opens the change feed for a named reader, which goes on where it last acknowledged. A new reader begins with the oldest
// change that is still there: all of them, when it is registered before anything is written. From then on changes are kept
// until it acknowledges them. The feed has one shard, "log".
//
// Only one Feed of a name may be open. Its methods are safe for concurrent use, although one goroutine usually has it.
func (t *Table) Feed(ctx context.Context, reader string) (*Feed, error) {
	t.mu.Lock()
	p, known := t.readers[reader]
	t.mu.Unlock()
	if !known {
		err := t.db.Apply(ctx, true, func(tx *engine.Tx) error {
			t.mu.Lock()
			defer t.mu.Unlock()
			p = position{seq: t.first - 1}
			// "All of the record before the oldest": whatever its number of changes was.
			p.part = allParts
			t.readers[reader] = p
			tx.Set(readerKey(reader), p.encode())
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("register reader %s of the change log: %w", reader, err)
		}
	}
	return &Feed{t: t, name: reader, read: p}, nil
}

// allParts is behind the last change of any record.
const allParts = 1 << 16

// Forget unregisters a reader, so that the log is no longer kept for it.
func (t *Table) Forget(ctx context.Context, reader string) error {
	err := t.db.Apply(ctx, true, func(tx *engine.Tx) error {
		t.mu.Lock()
		delete(t.readers, reader)
		t.mu.Unlock()
		tx.Delete(readerKey(reader))
		t.trim(tx)
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget reader %s of the change log: %w", reader, err)
	}
	return nil
}

// Backlog is how many records of the log wait for the slowest reader.
func (t *Table) Backlog() (uint64, error) {
	var last uint64
	lower, upper := engine.Span([]byte{engine.PrefixChange})
	err := t.db.Scan(lower, upper, true, func(k, _ []byte) bool {
		last = binary.BigEndian.Uint64(k[1:])
		return false
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil || last < t.first {
		return 0, err
	}
	return last - t.first + 1, nil
}

// trim deletes what all readers have acknowledged, as a part of the transaction that moved one of them.
func (t *Table) trim(tx *engine.Tx) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.readers) == 0 {
		return
	}
	keep := t.seq + 1
	for _, p := range t.readers {
		if p.part == allParts {
			p.seq++
		}
		keep = min(keep, p.seq)
	}
	for ; t.first < keep; t.first++ {
		tx.Delete(logKey(t.first))
	}
}

// Feed is a table.Feed.
type Feed struct {
	t    *Table
	name string

	// next is held by Next, also while it waits; mu never for long, so that Ack needs not wait for the next change.
	next sync.Mutex
	mu   sync.Mutex
	read position // behind what Next has returned
}

var _ table.Feed = (*Feed)(nil)

// Next is table.Feed's. What it returns is durable, although it may come of a write that did not wait for the disk: so an
// outside effect can follow at once.
func (f *Feed) Next(ctx context.Context, most int) ([]table.Change, error) {
	f.next.Lock()
	defer f.next.Unlock()
	for {
		grown := f.t.waitGrown()
		changes, behind, err := f.t.changes(f.position(), max(most, 1))
		if err != nil {
			return nil, fmt.Errorf("read the change log for %s: %w", f.name, err)
		}
		if len(changes) > 0 {
			if err := f.t.db.Apply(ctx, true, func(*engine.Tx) error { return nil }); err != nil {
				return nil, fmt.Errorf("read the change log for %s: %w", f.name, err)
			}
			f.mu.Lock()
			f.read = behind
			f.mu.Unlock()
			return changes, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for changes for %s: %w", f.name, ctx.Err())
		}
	}
}

func (f *Feed) position() position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read
}

// waitGrown is closed by the next change.
func (t *Table) waitGrown() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = true
	return t.grown
}

// changes reads up to most changes behind p, and says behind which the next ones are.
func (t *Table) changes(p position, most int) (all []table.Change, behind position, err error) {
	behind = p
	_, upper := engine.Span([]byte{engine.PrefixChange})
	scanErr := t.db.Scan(logKey(p.seq), upper, false, func(k, v []byte) bool {
		seq := binary.BigEndian.Uint64(k[1:])
		var record []table.Change
		if record, err = decodeRecord(seq, append([]byte(nil), v...)); err != nil {
			return false
		}
		done := uint64(0)
		if seq == p.seq {
			done = min(p.part, uint64(len(record)))
		}
		take := record[done:]
		if room := most - len(all); len(take) > room {
			take = take[:room]
		}
		for n := range take {
			take[n].Shard = shard
		}
		all = append(all, take...)
		if part := done + uint64(len(take)); part == uint64(len(record)) {
			behind = position{seq, allParts}
		} else {
			behind = position{seq, part}
		}
		return len(all) < most
	})
	return all, behind, errors.Join(scanErr, err)
}

const shard = "log"

// Ack is table.Feed's. It does not wait for the disk: after a power cut changes may come again.
func (f *Feed) Ack(ctx context.Context) error {
	p := f.position()
	err := f.t.db.Apply(ctx, false, func(tx *engine.Tx) error {
		f.t.mu.Lock()
		moved := f.t.readers[f.name].before(p)
		if moved {
			f.t.readers[f.name] = p
		}
		f.t.mu.Unlock()
		if moved {
			tx.Set(readerKey(f.name), p.encode())
			f.t.trim(tx)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("acknowledge changes for %s: %w", f.name, err)
	}
	return nil
}
