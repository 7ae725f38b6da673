package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/table"
)

// EraseAgain erases what an earlier erasure erased, in a table that was restored from before it (I8). Exactly the customers
// that were erased then go: a merge that the restored table still has and that had been taken back before the erasure is
// taken back first, so that nobody else goes along. Where nothing of them is left it changes nothing. The caller deletes
// the blobs that are returned; calling again finishes what was cut short.
func (s *Store) EraseAgain(ctx context.Context, past *Erasure) (*Erasure, error) {
	done := &Erasure{Customers: past.Customers, At: past.At, By: past.By, Identities: past.Identities}
	for _, id := range past.Identities {
		if err := s.raiseGeneration(ctx, id, past); err != nil {
			return nil, err
		}
	}
	for _, c := range past.Customers {
		if err := s.separate(ctx, c, past.Customers); err != nil {
			return nil, err
		}
	}
	for _, id := range past.Identities {
		if err := s.eraseOwned(ctx, id.Key, id.until(past.At), done, nil); err != nil {
			return nil, fmt.Errorf("erase what stands under an address again: %w; start again to finish", err)
		}
	}
	for _, c := range past.Customers {
		if err := s.erasePartition(ctx, c, done, nil); err != nil {
			return nil, fmt.Errorf("erase customer %s again: %w; start again to finish", c, err)
		}
	}
	return done, nil
}

// raiseGeneration makes the next message from an address a new customer's.
func (s *Store) raiseGeneration(ctx context.Context, past ErasedIdentity, erasure *Erasure) error {
	k := table.Key{PK: past.Key, SK: "A"}
	return s.update(ctx, "erase an address again", func(u *unit) error {
		id, err := load[identity](u, k)
		if err != nil {
			return err
		}
		if id == nil {
			id = &identity{}
		}
		if until := past.until(erasure.At); id.Erased < until {
			id.Erased = until
			u.save(k, id)
		}
		if id.Generation >= past.Generation {
			return nil
		}
		id.Generation = past.Generation
		if slices.Contains(erasure.Customers, id.Customer) {
			id.Customer = ""
		}
		u.save(k, id)
		return nil
	})
}

// separate takes back the merges that tie a customer to anybody but the given ones.
func (s *Store) separate(ctx context.Context, customer string, with []string) error {
	c, err := s.Customer(ctx, customer)
	if fault.Of(err) == fault.Missing {
		return nil
	}
	if err != nil {
		return err
	}
	for _, m := range c.Merges {
		if slices.Contains(with, m.Customers[0]) == slices.Contains(with, m.Customers[1]) {
			continue
		}
		if err := s.Unmerge(ctx, m.Merge, "erasure"); err != nil {
			return fmt.Errorf("separate customer %s from others before erasing again: %w", customer, err)
		}
	}
	return nil
}
