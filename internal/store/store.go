// Package store keeps customers, identities, cases and entries in one table: the single-table logic, written once over the
// contract of package table. What may happen to them is decided in package timeline; here it is read, decided, and written
// if the revisions still hold.
//
// Reading order: keys.go (how things are named), unit.go (read, decide, write), record.go (what customers send),
// join.go (which customer, which case), answer.go, deliver.go and own.go (what agents send), read.go, merge.go and
// unmerge.go, ledger.go.
package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Store is the only reader and writer of the table. It has no state of its own beside its parts and is safe for concurrent
// use by any number of processes.
type Store struct {
	table table.Table
	key   []byte
	now   func() msg.Time
	newID func() string
	pause func(ctx context.Context, attempt int) error
}

// Options are a store's parts.
type Options struct {
	Table table.Table
	// Key is the deployment key (32 bytes): every key that is made from an address or an external ID is an HMAC under it.
	// Who loses it cannot find anybody again; it belongs in the backup.
	Key []byte
	// Now is the clock, NewID makes random IDs (at least 128 bits, a-z and 0-9).
	Now   func() msg.Time
	NewID func() string
	// Pause waits before a conflicting write is tried again; nil means a few milliseconds, growing, with jitter.
	Pause func(ctx context.Context, attempt int) error
}

// New makes a store.
func New(o Options) (*Store, error) {
	if len(o.Key) < 32 {
		return nil, fmt.Errorf("open store: the deployment key has %d bytes; it needs 32", len(o.Key))
	}
	if o.Table == nil || o.Now == nil || o.NewID == nil {
		return nil, errors.New("open store: table, clock and IDs must be given")
	}
	s := &Store{table: o.Table, key: o.Key, now: o.Now, newID: o.NewID, pause: o.Pause}
	if s.pause == nil {
		s.pause = backoff
	}
	return s, nil
}

// Table is the table below, for readers of whole tables (check, dump).
func (s *Store) Table() table.Table { return s.table }

// Now is the store's clock.
func (s *Store) Now() msg.Time { return s.now() }

// NewID is a new random ID from the store's source.
func (s *Store) NewID() string { return s.newID() }

func backoff(ctx context.Context, attempt int) error {
	most := min(time.Duration(1<<min(attempt, 8))*time.Millisecond, 200*time.Millisecond)
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(most)) + 1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// attempts bounds how often a conflicting write is tried again. 64 writers on one key need about that many in the worst
// case; whoever runs out gets a fault.Retry and comes back through the queue.
const attempts = 100

func tooBusy(doing string, err error) error {
	return fault.Newf(fault.Retry, "busy", "%s: others kept changing the same items for %d attempts; try again: %w", doing, attempts, err)
}
