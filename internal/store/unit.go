package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// unit is one attempt at a transaction: it remembers what was read at which revision and what is to be written, so that
// several events can be worked into the same items before anything is written. At the end every changed item is written
// under the condition that it still is as it was read.
//
// A unit is used by one goroutine.
type unit struct {
	s     *Store
	ctx   context.Context
	items map[table.Key]*slot
	order []table.Key
	// hopeful units take new items (see fresh) for absent without reading; after a conflict they are read.
	hopeful bool
}

type slot struct {
	rev     int64
	value   any // nil: absent or deleted
	dirty   bool
	held    bool // not written, and must not have changed either
	index   map[table.Index]table.Key
	expires msg.Time
}

// update reads, decides and writes until nobody else came between. The function may run several times and must have no
// effect beside the unit.
func (s *Store) update(ctx context.Context, doing string, f func(*unit) error) error {
	var last error
	for attempt := range attempts {
		if attempt > 0 {
			if err := s.pause(ctx, attempt); err != nil {
				return fmt.Errorf("%s: %w", doing, err)
			}
		}
		u := &unit{s: s, ctx: ctx, items: map[table.Key]*slot{}, hopeful: attempt == 0}
		if err := f(u); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		err := u.commit()
		var conflict *table.Conflict
		switch {
		case err == nil:
			return nil
		case errors.As(err, &conflict), errors.Is(err, table.ErrBusy):
			last = err
		case errors.Is(err, table.ErrLost):
			if landed, readErr := u.landed(); readErr != nil {
				return fmt.Errorf("%s: %w", doing, readErr)
			} else if landed {
				return nil
			}
			last = err
		default:
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	return tooBusy(doing, last)
}

// load returns the value at k, decoded once per unit, or nil when there is none. What it points at may be changed; save says
// that it was.
func load[T any](u *unit, k table.Key) (*T, error) {
	if have, ok := u.items[k]; ok {
		if have.value == nil {
			return nil, nil
		}
		return have.value.(*T), nil
	}
	item, err := u.s.table.Get(u.ctx, k)
	if errors.Is(err, table.ErrNotFound) {
		u.remember(k, &slot{})
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", k, err)
	}
	v := new(T)
	if err := json.Unmarshal(item.Body, v); err != nil {
		return nil, fmt.Errorf("read %s: it is damaged: %w", k, err)
	}
	u.remember(k, &slot{rev: item.Rev, value: v, index: item.Index, expires: item.Expires})
	return v, nil
}

// entry loads an entry by its ID, nil when there is none, and says where it lies.
func (u *unit) entry(id string) (table.Key, *entryRecord, error) {
	k, err := entryKey(id)
	if err != nil {
		return k, nil, err
	}
	e, err := load[entryRecord](u, k)
	return k, e, err
}

// header loads a case by its ID, nil when there is none, and says where it lies.
func (u *unit) header(id string) (table.Key, *caseRecord, error) {
	k, err := caseKey(id)
	if err != nil {
		return k, nil, err
	}
	c, err := load[caseRecord](u, k)
	return k, c, err
}

// fresh is load for something that is most likely not there yet: a hopeful unit does not read it, and finds out when the
// write is refused.
func fresh[T any](u *unit, k table.Key) (*T, error) {
	if _, ok := u.items[k]; !ok && u.hopeful {
		u.remember(k, &slot{})
		return nil, nil
	}
	return load[T](u, k)
}

func (u *unit) remember(k table.Key, s *slot) {
	u.items[k] = s
	u.order = append(u.order, k)
}

// save writes v at k when the unit commits. k must have been loaded (or called fresh) before.
func (u *unit) save(k table.Key, v any) *slot {
	have, ok := u.items[k]
	if !ok {
		have = &slot{}
		u.remember(k, have)
	}
	have.value, have.dirty = v, true
	return have
}

// remove deletes k when the unit commits.
func (u *unit) remove(k table.Key) {
	have := u.items[k]
	have.value, have.dirty, have.index = nil, true, nil
}

// hold requires that what was read at k is still there unchanged when the unit commits, without writing it: for what the
// decision rests on beside the items that it changes.
func (u *unit) hold(k table.Key) { u.items[k].held = true }

// indexed is a value that knows its places in the indexes.
type indexed interface {
	index() map[table.Index]table.Key
}

func (u *unit) ops() ([]table.Op, error) {
	ops := make([]table.Op, 0, len(u.order))
	for _, k := range u.order {
		have := u.items[k]
		cond := table.Absent
		if have.rev > 0 {
			cond = table.At(have.rev)
		}
		if !have.dirty {
			if have.held {
				ops = append(ops, table.Check(k, cond))
			}
			continue
		}
		if have.value == nil {
			if have.rev > 0 {
				ops = append(ops, table.Delete(k, cond))
			}
			continue
		}
		if e, ok := have.value.(*entryRecord); ok && e.born {
			e.ChangedAt = e.StoredAt
		}
		body, err := json.Marshal(have.value)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", k, err)
		}
		item := table.Item{Key: k, Body: body, Index: have.index, Expires: have.expires}
		if v, ok := have.value.(indexed); ok {
			item.Index = v.index()
		}
		if v, ok := have.value.(*external); ok && have.rev == 0 {
			item.Quiet = v.countsNothing()
		}
		ops = append(ops, table.Put(item, cond))
	}
	return ops, nil
}

func (u *unit) commit() error {
	ops, err := u.ops()
	if err != nil || len(ops) == 0 {
		return err
	}
	return u.s.table.Write(u.ctx, ops...)
}

// landed finds out whether a write whose answer was lost is there: all of it is, or none. Items that others have changed
// since do not tell, so one that is as we wrote it is looked for.
//
// It can be wrong in two ways, and neither loses or doubles anything. When others have changed every item since, a write that
// landed counts as lost and is decided anew, over what it wrote itself: an event is then known for a duplicate, and the ledger
// counts one duplicate that nobody sent, at most one for each lost answer. When somebody else wrote the very same bytes at the
// same revision, a write that was refused counts as landed: what was wanted is there, and where it matters who wrote it (an
// attempt to send, a cap) the item holds a random word of its writer.
func (u *unit) landed() (bool, error) {
	ops, err := u.ops()
	if err != nil {
		return false, err
	}
	for _, op := range ops {
		if op.Do != table.DoPut {
			continue
		}
		expected := int64(1)
		if rev, ok := op.If.Rev(); ok {
			expected = rev + 1
		}
		found, err := u.s.table.Get(u.ctx, op.Item.Key)
		switch {
		case errors.Is(err, table.ErrNotFound):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("find out whether a write landed: read %s: %w", op.Item.Key, err)
		case found.Rev < expected:
			return false, nil
		case found.Rev == expected:
			return string(found.Body) == string(op.Item.Body), nil
		}
	}
	return false, nil
}

// get reads one value outside any transaction; missing things are nil.
func get[T any](ctx context.Context, s *Store, k table.Key) (*T, error) {
	item, err := s.table.Get(ctx, k)
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", k, err)
	}
	v := new(T)
	if err := json.Unmarshal(item.Body, v); err != nil {
		return nil, fmt.Errorf("read %s: it is damaged: %w", k, err)
	}
	return v, nil
}

// query reads values of one partition in order.
func query[T any](ctx context.Context, s *Store, q table.Query) ([]*T, error) {
	items, err := s.table.Query(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", q.PK, err)
	}
	all := make([]*T, 0, len(items))
	for i := range items {
		v := new(T)
		if err := json.Unmarshal(items[i].Body, v); err != nil {
			return nil, fmt.Errorf("read %s: it is damaged: %w", items[i].Key, err)
		}
		all = append(all, v)
	}
	return all, nil
}
