package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Erasure says what was erased, for the ledger of erasures: no names, no addresses.
type Erasure struct {
	Customers []string `json:"customers"`
	At        msg.Time `json:"at"`
	By        string   `json:"by"`
	// Identities are the keys (HMACs) of the addresses, with the generation that is erased: what a restored table is
	// erased by again (I8).
	Identities []ErasedIdentity `json:"identities"`
	// Blobs are the blobs that held content of theirs.
	Blobs []string `json:"-"`
}

// ErasedIdentity is what stays of an address.
type ErasedIdentity struct {
	Key        string `json:"key"`
	Generation int    `json:"generation"`
	// Until is when they gave the address up, zero when it was theirs to the end: what came from it later is not theirs.
	Until msg.Time `json:"until,omitzero"`
}

// until is the time up to which an erasure takes what came from the address.
func (i *ErasedIdentity) until(erased msg.Time) msg.Time {
	if i.Until.IsZero() {
		return erased
	}
	return min(i.Until, erased)
}

// EraseHooks tie an erasure to what lies outside the table. Either may be nil.
type EraseHooks struct {
	// Note is told who is being erased before any content goes: for the ledger of erasures.
	Note func(context.Context, *Erasure) error
	// Drop deletes blobs. An item goes after the blobs that only it names, so that an erasure that is cut short finds them.
	Drop func(context.Context, []string) error
}

// dropBlobs is EraseHooks.Drop.
type dropBlobs func(context.Context, []string) error

func (d dropBlobs) of(ctx context.Context, keys []string) error {
	if d == nil || len(keys) == 0 {
		return nil
	}
	return d(ctx, keys)
}

// Erase is EraseWith without hooks: the caller deletes the blobs that are returned.
func (s *Store) Erase(ctx context.Context, customer, by string) (*Erasure, error) {
	return s.EraseWith(ctx, customer, by, EraseHooks{})
}

// EraseWith removes a person: all customers that are one with the given one, their entries, cases and addresses, what of theirs
// is in quarantine or waits for its message, and everything that leads to any of it. What stays are tombstones that hold HMACs
// and numbers only: a redelivery of an erased message is known for a duplicate, what was received before the erasure and comes
// later (from a queue, by a replay) is not kept, and the next message from the same address is a new customer's. Calling it
// again finishes what was cut short; the profile goes last, so until everything is gone the customer is still found.
func (s *Store) EraseWith(ctx context.Context, customer, by string, hooks EraseHooks) (*Erasure, error) {
	person, err := s.Person(ctx, customer)
	if err != nil {
		return nil, err
	}
	done := &Erasure{At: s.now(), By: by}
	for _, c := range person {
		done.Customers = append(done.Customers, c.Customer)
		if err := s.eraseAddresses(ctx, c, done); err != nil {
			return nil, fmt.Errorf("erase customer %s: %w; call again to finish", c.Customer, err)
		}
	}
	if hooks.Note != nil {
		if err := hooks.Note(ctx, done); err != nil {
			return nil, fmt.Errorf("erase customer %s: %w; call again to finish", customer, err)
		}
	}
	if err := s.eraseContent(ctx, person, done, hooks.Drop); err != nil {
		return nil, fmt.Errorf("erase customer %s: %w; call again to finish", customer, err)
	}
	return done, nil
}

func (s *Store) eraseContent(ctx context.Context, person []*timeline.Customer, done *Erasure, drop dropBlobs) error {
	for _, id := range done.Identities {
		if err := s.eraseOwned(ctx, id.Key, id.until(done.At), done, drop); err != nil {
			return err
		}
	}
	// The one that was asked for goes last: by it the others are found again.
	for _, c := range slices.Backward(person) {
		if err := s.erasePartition(ctx, c.Customer, done, drop); err != nil {
			return err
		}
	}
	// What was filed under one of them in a case of another that was still there.
	for _, c := range person {
		if err := s.eraseEntries(ctx, c.Customer, done, drop); err != nil {
			return err
		}
	}
	return nil
}

// eraseAddresses makes every address of a customer nobody's, and notes them: those of the profile, and those beside it.
func (s *Store) eraseAddresses(ctx context.Context, c *timeline.Customer, done *Erasure) error {
	erase := func(a kept) error {
		erased, err := s.eraseIdentity(ctx, c.Customer, a, done.At)
		if err == nil {
			done.Identities = append(done.Identities, erased)
		}
		return err
	}
	for _, a := range c.Identities {
		if err := erase(kept{Address: a}); err != nil {
			return err
		}
	}
	return s.eachKept(ctx, c.Customer, erase)
}

// eachKept calls f with every address that stands beside a customer's profile.
func (s *Store) eachKept(ctx context.Context, customer string, f func(kept) error) error {
	last := ""
	for {
		part, err := s.table.Query(ctx, table.Query{PK: "C#" + customer, From: "I#", To: "I$", After: last, Limit: MaxPage})
		if err != nil {
			return fmt.Errorf("list addresses: %w", err)
		}
		for i := range part {
			last = part[i].SK
			var a kept
			if err := json.Unmarshal(part[i].Body, &a); err != nil {
				return damaged(part[i].Key, err)
			}
			if err := f(a); err != nil {
				return err
			}
		}
		if len(part) < MaxPage {
			return nil
		}
	}
}

// FurtherAddresses lists the addresses of a customer that their profile has no room for.
func (s *Store) FurtherAddresses(ctx context.Context, customer string) ([]msg.Address, error) {
	var all []msg.Address
	err := s.eachKept(ctx, customer, func(a kept) error {
		if a.Until.IsZero() {
			all = append(all, a.Address)
		}
		return nil
	})
	return all, err
}

func (s *Store) eraseIdentity(ctx context.Context, customer string, a kept, at msg.Time) (ErasedIdentity, error) {
	k := s.identityKey(a.Address)
	erased := ErasedIdentity{Key: k.PK, Until: a.Until}
	err := s.update(ctx, "erase an address of customer "+customer, func(u *unit) error {
		id, err := load[identity](u, k)
		if err != nil {
			return err
		}
		if id == nil {
			id = &identity{}
		}
		theirs := id.Customer == customer
		if theirs {
			id.Customer = ""
			id.Generation++
		}
		if until := erased.until(at); theirs || !a.Until.IsZero() && id.Erased < until {
			id.Erased = max(id.Erased, until)
			u.save(k, id)
		}
		erased.Generation = id.Generation
		return nil
	})
	return erased, err
}

// erasePartition removes cases, then entries, then what else stands with the customer, then the profile as it was before:
// nothing can be filed in a case that is gone, and no case can be opened without writing the profile, so whatever came in
// between is found by going through it again.
func (s *Store) erasePartition(ctx context.Context, customer string, done *Erasure, drop dropBlobs) error {
	k, err := customerKey(customer)
	if err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		profile, err := s.table.Get(ctx, k)
		gone := errors.Is(err, table.ErrNotFound)
		if err != nil && !gone {
			return fmt.Errorf("read %s: %w", k, err)
		}
		cases, err := query[caseRecord](ctx, s, table.Query{PK: "C#" + customer, From: "K#", To: "K$"})
		if err != nil {
			return err
		}
		for _, c := range cases {
			if err := s.eraseCase(ctx, &c.Case); err != nil {
				return err
			}
		}
		if err := s.eraseEntries(ctx, customer, done, drop); err != nil {
			return err
		}
		if err := s.eraseRest(ctx, customer, &profile); err != nil || gone {
			return err
		}
		err = s.table.Write(ctx, table.Delete(k, table.At(profile.Rev)))
		var conflict *table.Conflict
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &conflict) && !isPassing(err):
			return fmt.Errorf("erase the profile: %w", err)
		case attempt == attempts:
			return tooBusy("erase the profile of customer "+customer, err)
		}
		if err := s.pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// eraseRest removes what is neither case nor entry: addresses beside the profile, marks of what was done once, and the merges
// that the profile names, also those that were taken back.
func (s *Store) eraseRest(ctx context.Context, customer string, profile *table.Item) error {
	var ops []table.Op
	if len(profile.Body) > 0 {
		var c timeline.Customer
		if err := json.Unmarshal(profile.Body, &c); err != nil {
			return damaged(profile.Key, err)
		}
		for _, m := range c.Merges {
			c.Parted = append(c.Parted, m.Merge)
		}
		for _, id := range slices.Compact(slices.Sorted(slices.Values(c.Parted))) {
			ops = append(ops, table.Delete(mergeKey(id), table.Any))
		}
	}
	for _, prefix := range []string{"I", "Y"} {
		items, err := s.table.Query(ctx, table.Query{PK: "C#" + customer, From: prefix + "#", To: prefix + "$"})
		if err != nil {
			return fmt.Errorf("list the rest: %w", err)
		}
		for i := range items {
			ops = append(ops, table.Delete(items[i].Key, table.Any))
		}
	}
	for part := range slices.Chunk(ops, table.MaxOps) {
		if err := s.write(table.Apart(ctx), part...); err != nil {
			return fmt.Errorf("erase the rest: %w", err)
		}
	}
	return nil
}
