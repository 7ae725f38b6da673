package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/table"
)

// maxProblems is how many problems Check lists: a damaged store has very many.
const maxProblems = 100

// Check reads the whole table and verifies what must hold of it: every item and every change can be read, every index entry
// belongs to an item that says so and the other way round, and no reader of the change log is ahead of it. nil means that all
// is well; otherwise the error lists what is not (the first hundred problems). The table should not be written meanwhile.
func (t *Table) Check(ctx context.Context) error {
	c := &check{t: t, ctx: ctx}
	err := errors.Join(
		c.each([]byte{engine.PrefixItem}, c.item),
		c.each(indexPrefix(table.WorkList), func(k, v []byte) error { return c.entry(table.WorkList, k, v) }),
		c.each(indexPrefix(table.Due), func(k, v []byte) error { return c.entry(table.Due, k, v) }),
		c.each([]byte{engine.PrefixIndex, expiryIndex}, c.expiry),
		c.each([]byte{engine.PrefixChange}, c.change),
		c.each([]byte{engine.PrefixReader}, c.reader),
	)
	if err != nil {
		return fmt.Errorf("check the table: %w", err)
	}
	return nil
}

type check struct {
	t        *Table
	ctx      context.Context
	problems int
	last     uint64
}

// each calls f for every key under prefix and gathers what it finds wrong.
func (c *check) each(prefix []byte, f func(k, v []byte) error) error {
	var found []error
	lower, upper := engine.Span(prefix)
	err := c.t.db.Scan(lower, upper, false, func(k, v []byte) bool {
		if err := c.ctx.Err(); err != nil {
			found = append(found, err)
			return false
		}
		if err := f(k, v); err != nil {
			found = append(found, err)
			c.problems++
		}
		return c.problems < maxProblems
	})
	return errors.Join(append(found, err)...)
}

// item checks that the index has what the item says.
func (c *check) item(k, v []byte) error {
	key, err := decodeItemKey(k)
	if err != nil {
		return err
	}
	h, err := decodeHeader(key, v)
	if err != nil {
		return err
	}
	expires := seconds(h.expires)
	for _, index := range indexes {
		place, ok := h.index(index)
		if !ok {
			continue
		}
		value, there, err := c.t.db.Get(entryKey(index, place, key))
		if err != nil {
			return err
		}
		if got, n := binary.Uvarint(value); !there || n <= 0 || got != expires {
			return fmt.Errorf("item %s is not at %s of index %s", key, place, index)
		}
	}
	if expires == 0 {
		return nil
	}
	_, there, err := c.t.db.Get(expiryKey(expires, key))
	if err == nil && !there {
		err = fmt.Errorf("item %s is not listed by its expiry", key)
	}
	return err
}

// entry checks that an index entry belongs to an item that says so.
func (c *check) entry(index table.Index, k, v []byte) error {
	pk, rest, err := cutEscaped(k[2:])
	if err != nil {
		return err
	}
	entry, err := decodeEntry(index, pk, rest, v)
	if err != nil {
		return err
	}
	h, there, err := c.header(entry.Key)
	if err != nil {
		return err
	}
	if place, ok := h.index(index); !there || !ok || place != entry.Index[index] {
		return fmt.Errorf("index %s has %s at %s, which the item does not say", index, entry.Key, entry.Index[index])
	}
	return nil
}

func (c *check) expiry(k, _ []byte) error {
	if len(k) < 10 {
		return fmt.Errorf("expiry entry %q: %w", k, errEncoding)
	}
	key, err := decodeKey(k[10:])
	if err != nil {
		return err
	}
	h, there, err := c.header(key)
	if err == nil && (!there || !bytes.Equal(k, expiryKey(seconds(h.expires), key))) {
		err = fmt.Errorf("item %s is listed by an expiry that it does not have", key)
	}
	return err
}

func (c *check) header(k table.Key) (header, bool, error) {
	raw, there, err := c.t.db.Get(itemKey(k))
	if err != nil || !there {
		return header{}, false, err
	}
	h, err := decodeHeader(k, raw)
	return h, true, err
}

func (c *check) change(k, v []byte) error {
	c.last = binary.BigEndian.Uint64(k[1:])
	_, err := decodeRecord(c.last, bytes.Clone(v))
	return err
}

func (c *check) reader(k, v []byte) error {
	r := reader{b: v}
	p := position{r.uvarint(), r.uvarint()}
	switch {
	case r.bad:
		return fmt.Errorf("reader %s of the change log: %w", k[1:], errEncoding)
	case c.last != 0 && p.seq > c.last:
		return fmt.Errorf("reader %s is at change %d of %d", k[1:], p.seq, c.last)
	}
	return nil
}
