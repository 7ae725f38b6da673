package local

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/queue"
)

// Ledger implements queue.Counter.
//
// Accepted and Processed are counters; Queued and Dead are counted from what is really stored, a message counting only when
// both its record and its body are there. So a message that vanished from the store shows as a difference. The whole is of one
// moment. It reads every stored message once: a second or two for 300,000 of them, nothing to speak of when the queue is
// short.
func (q *Queue) Ledger(ctx context.Context) (map[string]queue.Ledger, error) {
	if err := q.settle(ctx); err != nil {
		return nil, err
	}
	ledger := make(map[string]queue.Ledger)
	var bodies []uint64 // in order, like everything in the store
	var broken error
	at := len(q.keys.prefix)
	lower, upper := engine.Span([]byte(q.keys.prefix))
	visited := 0
	err := q.db.Scan(lower, upper, false, func(key, value []byte) bool {
		if visited++; visited%1024 == 0 && ctx.Err() != nil {
			broken = ctx.Err()
			return false
		}
		switch kind := key[at]; kind {
		case kindBody:
			bodies = append(bodies, seqOf(key))
		case kindCounter:
			broken = count(ledger, key[at+1:], value)
		case kindDead, kindRecord:
			r, err := decodeRecord(value)
			if err != nil {
				broken = fmt.Errorf("message %s: %w", idOf(seqOf(key)), err)
				break
			}
			if _, found := slices.BinarySearch(bodies, seqOf(key)); found {
				l := ledger[r.group]
				if kind == kindDead {
					l.Dead++
				} else {
					l.Queued++
				}
				ledger[r.group] = l
			}
		}
		return broken == nil
	})
	if err == nil {
		err = broken
	}
	if err != nil {
		return nil, fmt.Errorf("count the messages of queue %s: %w", q.name, err)
	}
	return ledger, nil
}

// count puts one counter into the ledger; name is which one, then the group.
func count(ledger map[string]queue.Ledger, name, value []byte) error {
	if len(value) != 8 {
		return fmt.Errorf("counter %q holds %d bytes", name, len(value))
	}
	n := int64(binary.LittleEndian.Uint64(value)) //nolint:gosec // as package engine stores counters
	group := string(name[1:])
	l := ledger[group]
	switch name[0] {
	case counterAccepted:
		l.Accepted = n
	case counterProcessed:
		l.Processed = n
	}
	ledger[group] = l
	return nil
}
