// Package table is the contract of a keyed table with transactions: what the store needs of DynamoDB, and what the embedded
// table must give just the same. Both implementations pass the suite of package tabletest.
package table

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// Key names an item. Items of one PK form a partition, ordered by SK as bytes.
type Key struct{ PK, SK string }

// String is "PK/SK", for errors and logs.
func (k Key) String() string { return k.PK + "/" + k.SK }

// Item is one record. Body is opaque; the store puts JSON there.
type Item struct {
	Key
	// Rev counts the writes of the key: 1 after a write with Absent, n+1 after one with At(n). A write with Any stores the
	// Rev that the caller gives.
	Rev  int64
	Body []byte
	// Index entries of the item by index; an item without one is not in that index.
	Index map[Index]Key
	// Expires, when set, is when the item stops existing for readers. Space is freed later. Kept in whole seconds.
	Expires msg.Time
	// Quiet, in a Put, says that nothing follows from this write: readers of the change feed need not be called for it, and may
	// or may not be shown it. It is not part of what is stored: an item that is read is never quiet.
	Quiet bool
}

// Index is a second order over some of the items. Its partition and sort key are in Item.Index; the sort key should end in
// something unique, because paging goes by it.
type Index string

// The two indexes. They may lag behind the items: correctness never depends on them.
const (
	// WorkList orders open cases by who must be served next.
	WorkList Index = "work"
	// Due lists what must be looked at by a certain time.
	Due Index = "due"
)

// Query asks for a part of one partition.
type Query struct {
	// Index, when set, makes PK and the range those of the index. Items found through an index carry keys only: their own
	// and, in Item.Index, that of this index to go on from; Body is nil and Rev 0. An index may still show expired items.
	Index Index
	PK    string
	// From <= sort key < To, as bytes. Empty means no bound.
	From, To string
	// After continues behind (with Desc: before) this sort key, exclusive.
	After string
	Desc  bool
	// Limit is how many items at most; 0 means all. Fewer than Limit items mean that there are no more.
	Limit int
}

// Op is one write of a transaction.
type Op struct {
	Do   Do
	Item Item // Put: the whole item; Delete and Check: its Key
	If   Cond
}

// Do says what an Op does.
type Do int

// What an Op can do.
const (
	DoPut Do = iota
	DoDelete
	DoCheck
)

// Cond is a precondition on the key.
type Cond struct {
	kind int
	rev  int64
}

// Any lets the write happen whatever is there.
var Any = Cond{}

// Absent requires that there is no such item. An expired item counts as absent.
var Absent = Cond{kind: 1}

// At requires that the item is there at this revision.
func At(rev int64) Cond { return Cond{kind: 2, rev: rev} }

// IsAbsent says that c is Absent.
func (c Cond) IsAbsent() bool { return c.kind == 1 }

// Rev is the revision that c requires, and whether it requires one.
func (c Cond) Rev() (int64, bool) { return c.rev, c.kind == 2 }

// Put writes an item.
func Put(i Item, c Cond) Op { return Op{Do: DoPut, Item: i, If: c} }

// Delete removes an item. Deleting what is not there succeeds with Any.
func Delete(k Key, c Cond) Op { return Op{Do: DoDelete, Item: Item{Key: k}, If: c} }

// Check writes nothing and only requires the precondition.
func Check(k Key, c Cond) Op { return Op{Do: DoCheck, Item: Item{Key: k}, If: c} }

// Table is the contract. All methods are safe for concurrent use.
type Table interface {
	// Get returns the item, read strongly consistent, or ErrNotFound. An expired item is not found.
	Get(ctx context.Context, k Key) (Item, error)
	// Query returns items in the order of their sort keys. Reads of a base partition are strongly consistent and whole; an
	// index may be stale. Expired items are left out, and do not count towards the limit.
	Query(ctx context.Context, q Query) ([]Item, error)
	// Write applies ops all together or not at all.
	//
	// Each Op names its precondition: Absent, At(rev) or Any. When one fails, Write returns a *Conflict that says which op
	// and what it found; nothing was written. ErrBusy means that another transaction held an item, or that the table is
	// throttling: try again. ErrLost means that no answer came: the write may have landed, so read before repeating. A
	// write that is repeated inside (by a driver that lost an answer) counts once. At most 100 ops and 4 MB in all, 400 KB
	// an item, PK 2,048 and SK 1,024 bytes, neither empty; a key may appear once: else ErrLimit, by both implementations
	// alike ([Validate]).
	//
	// When Write returns nil the result is durable, unless ctx came from [Redoable].
	Write(ctx context.Context, ops ...Op) error
}

// Scanner reads a whole table: for checks, backup and dumps. Both tables are Scanners.
type Scanner interface {
	// Scan returns up to limit (at least 1) items behind the key from, which need not exist; the zero Key is before all.
	// The order is by PK and SK as bytes in the embedded table, and DynamoDB's own otherwise. Fewer than limit items mean
	// that there are no more. An item that is neither written nor deleted meanwhile is returned exactly once over all
	// pages; others may be seen or not. Expired items are left out. Safe beside writers and other Scans.
	Scan(ctx context.Context, from Key, limit int) ([]Item, error)
}

// Change is one write, as the change feed tells it. Old is nil for a new item, New for a deleted one. Items that expire may
// show up as deleted, much later, or not at all; one that is overwritten before that shows up as Old.
type Change struct {
	Key      Key
	Old, New *Item
	// Seq orders the changes of one feed shard; Shard names it. Together they name the change for ever.
	Shard string
	Seq   string
	At    msg.Time
}

// Feed reads the changes of a table, from the first one on, for one reader.
type Feed interface {
	// Next returns up to max changes behind the last ones acknowledged, in order for each key. It waits until there is
	// one or ctx ends.
	Next(ctx context.Context, max int) ([]Change, error)
	// Ack says that the changes returned so far need not be returned again, also after a restart. Without it they come again.
	Ack(ctx context.Context) error
}

// Errors of Table. ErrBusy passes, whoever meets it and does not know tables: work that failed for it is tried again and becomes no
// dead letter, and a caller hears 503.
var (
	ErrNotFound = errors.New("there is no such item")
	ErrBusy     = fault.RetryAfter(time.Second, "busy", "the table is busy with the same item, or throttling: try again")
	ErrLost     = errors.New("no answer came from the table: the write may have landed")
	ErrLimit    = errors.New("over a limit of the table")
)

// Conflict says which precondition of a Write failed.
type Conflict struct {
	// Failed lists every op that failed, in order.
	Failed []Failure
}

// Failure is one op whose precondition did not hold.
type Failure struct {
	// Op is the index of the op in the call.
	Op  int
	Key Key
	// Found is the revision that was there, 0 for no item.
	Found int64
}

// Error names the first failure.
func (c *Conflict) Error() string {
	if len(c.Failed) == 0 {
		return "write: a precondition failed"
	}
	f := c.Failed[0]
	return fmt.Sprintf("write: op %d: %s is at revision %d (0: absent)", f.Op, f.Key, f.Found)
}

// On says whether the op with the given index failed.
func (c *Conflict) On(op int) bool {
	for _, f := range c.Failed {
		if f.Op == op {
			return true
		}
	}
	return false
}

type redoable struct{}

// Redoable marks writes that can be done again from something durable, should they be lost: the embedded table does not wait
// for the disk then. Nothing written later may survive a crash that such a write does not survive.
func Redoable(ctx context.Context) context.Context { return context.WithValue(ctx, redoable{}, true) }

// IsRedoable says that ctx came from Redoable.
func IsRedoable(ctx context.Context) bool { return ctx.Value(redoable{}) != nil }

type apart struct{}

// Apart marks writes whose ops need not land together: a Write of several unconditional ops may then write them one by one,
// and after an error some of them may be there. On DynamoDB that is half the price of a transaction. It is for what is done
// again after an error until it is whole; ops with a precondition land together all the same.
func Apart(ctx context.Context) context.Context { return context.WithValue(ctx, apart{}, true) }

// IsApart says that ctx came from Apart.
func IsApart(ctx context.Context) bool { return ctx.Value(apart{}) != nil }

// Limits that both implementations keep to. They are DynamoDB's, as documented on 2026-11-22 in
// docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html.
const (
	MaxOps      = 100
	MaxWrite    = 4 << 20
	MaxItem     = 400 << 10
	MaxPK       = 2048
	MaxSK       = 1024
	itemMargin  = 256 // attribute names and the numbers beside the body, as DynamoDB counts them
	MaxItemBody = MaxItem - MaxPK - MaxSK - itemMargin - 2*(MaxPK+MaxSK)
)

// Size is what the item counts towards the limits, in bytes: keys, body, index keys and a margin for names and numbers.
func (i *Item) Size() int {
	n := len(i.PK) + len(i.SK) + len(i.Body) + itemMargin
	for _, k := range i.Index {
		n += len(k.PK) + len(k.SK)
	}
	return n
}

// Validate refuses what a table refuses: the same, in the same words, for every implementation. The error wraps ErrLimit.
func Validate(ops []Op) error {
	if len(ops) == 0 || len(ops) > MaxOps {
		return fmt.Errorf("write %d ops: %w (1 to %d in one transaction)", len(ops), ErrLimit, MaxOps)
	}
	total := 0
	seen := make(map[Key]bool, len(ops))
	for n := range ops {
		item := &ops[n].Item
		if err := validateKey(item.Key); err != nil {
			return err
		}
		if seen[item.Key] {
			return fmt.Errorf("write %s: %w (a key may appear once in a transaction)", item.Key, ErrLimit)
		}
		seen[item.Key] = true
		for name, k := range item.Index {
			if !name.known() {
				return fmt.Errorf("write %s: %w (there is no index %q)", item.Key, ErrLimit, name)
			}
			if err := validateKey(k); err != nil {
				return fmt.Errorf("index %s of %s: %w", name, item.Key, err)
			}
		}
		size := item.Size()
		if size > MaxItem {
			return fmt.Errorf("write %s of %d bytes: %w (%d an item)", item.Key, size, ErrLimit, MaxItem)
		}
		total += size
	}
	if total > MaxWrite {
		return fmt.Errorf("write %d bytes: %w (%d in one transaction)", total, ErrLimit, MaxWrite)
	}
	return nil
}

// ValidateQuery refuses what a table refuses to look for. The error wraps ErrLimit.
func ValidateQuery(q Query) error {
	switch {
	case q.PK == "":
		return fmt.Errorf("query: %w (the partition key is empty)", ErrLimit)
	case q.Index != "" && !q.Index.known():
		return fmt.Errorf("query %s: %w (there is no index %q)", q.PK, ErrLimit, q.Index)
	case q.Limit < 0:
		return fmt.Errorf("query %s: %w (limit %d)", q.PK, ErrLimit, q.Limit)
	}
	return nil
}

func (i Index) known() bool { return i == WorkList || i == Due }

func validateKey(k Key) error {
	switch {
	case !utf8.ValidString(k.PK) || !utf8.ValidString(k.SK):
		return fmt.Errorf("key %q: %w (it is not UTF-8)", k, ErrLimit)
	case k.PK == "" || k.SK == "":
		return fmt.Errorf("key %q: %w (neither part may be empty)", k, ErrLimit)
	case len(k.PK) > MaxPK:
		return fmt.Errorf("partition key of %d bytes: %w (%d)", len(k.PK), ErrLimit, MaxPK)
	case len(k.SK) > MaxSK:
		return fmt.Errorf("sort key of %d bytes: %w (%d)", len(k.SK), ErrLimit, MaxSK)
	}
	return nil
}
