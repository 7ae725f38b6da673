package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
}

// EraseHooks tie an erasure to what lies outside the table. Either may be nil.
type EraseHooks struct {
	// Note is told who is being erased before any content goes: for the ledger of erasures.
	Note func(context.Context, *Erasure) error
	// Drop deletes blobs. An entry goes after the blobs that only it names, so that an erasure that is cut short finds them.
	Drop func(context.Context, []string) error
}

// Erase is EraseWith without hooks: the caller deletes the blobs that are returned.
func (s *Store) Erase(ctx context.Context, customer, by string) (*Erasure, error) {
	return s.EraseWith(ctx, customer, by, EraseHooks{})
}

// EraseWith removes a person: all customers that are one with the given one, their entries, cases and addresses. What stays
// are tombstones that hold HMACs and numbers only, so that a redelivery of an erased message is known for a duplicate and
// brings nothing back, and so that the next message from the same address is a new customer's. Calling it again finishes what
// was cut short; the profile goes last, so until everything is gone the customer is still found.
func (s *Store) EraseWith(ctx context.Context, customer, by string, hooks EraseHooks) (*Erasure, error) {
	person, err := s.Person(ctx, customer)
	if err != nil {
		return nil, err
	}
	done := &Erasure{At: s.now(), By: by}
	for _, c := range person {
		done.Customers = append(done.Customers, c.Customer)
		for _, a := range c.Identities {
			erased, err := s.eraseIdentity(ctx, c.Customer, a)
			if err != nil {
				return nil, err
			}
			done.Identities = append(done.Identities, erased)
		}
	}
	if hooks.Note != nil {
		if err := hooks.Note(ctx, done); err != nil {
			return nil, fmt.Errorf("erase customer %s: %w; call again to finish", customer, err)
		}
	}
	// The one that was asked for goes last: by it the others are found again.
	for _, c := range slices.Backward(person) {
		if err := s.erasePartition(ctx, c.Customer, done, hooks.Drop); err != nil {
			return nil, fmt.Errorf("erase customer %s: %w; call again to finish", c.Customer, err)
		}
	}
	// What was filed under one of them in a case of another that was still there.
	for _, c := range person {
		if err := s.eraseEntries(ctx, c.Customer, done, hooks.Drop); err != nil {
			return nil, fmt.Errorf("erase customer %s: %w", c.Customer, err)
		}
	}
	return done, nil
}

func (s *Store) eraseIdentity(ctx context.Context, customer string, a msg.Address) (ErasedIdentity, error) {
	k := s.identityKey(a)
	var erased ErasedIdentity
	err := s.update(ctx, "erase an address of customer "+customer, func(u *unit) error {
		id, err := load[identity](u, k)
		if err != nil {
			return err
		}
		if id == nil {
			id = &identity{}
		}
		if id.Customer == customer {
			id.Customer = ""
			id.Generation++
			u.save(k, id)
		}
		erased = ErasedIdentity{Key: k.PK, Generation: id.Generation}
		return nil
	})
	return erased, err
}

// erasePartition removes cases, then entries, then the profile as it was before: nothing can be filed in a case that is gone,
// and no case can be opened without writing the profile, so whatever came in between is found by going through it again.
func (s *Store) erasePartition(ctx context.Context, customer string, done *Erasure, drop func(context.Context, []string) error) error {
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
		if err := s.eraseEntries(ctx, customer, done, drop); err != nil || gone {
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

func (s *Store) eraseEntries(ctx context.Context, customer string, done *Erasure, drop func(context.Context, []string) error) error {
	for {
		entries, err := query[entryRecord](ctx, s, table.Query{PK: "C#" + customer, From: "E#", To: "E$", Limit: MaxPage})
		if err != nil {
			return err
		}
		for _, e := range entries {
			blobs := entryBlobs(&e.Entry)
			if drop != nil && len(blobs) > 0 {
				if err := drop(ctx, blobs); err != nil {
					return err
				}
			}
			// One that was given another file meanwhile stays, and is met again.
			if err := s.eraseEntry(ctx, e.Entry.Entry, blobs, done); err != nil {
				return err
			}
		}
		if len(entries) == 0 {
			return nil
		}
	}
}

func (s *Store) eraseEntry(ctx context.Context, entry string, dropped []string, done *Erasure) error {
	gone := false
	err := s.update(ctx, "erase entry "+entry, func(u *unit) error {
		gone = false
		k, err := entryKey(entry)
		if err != nil {
			return err
		}
		e, err := load[entryRecord](u, k)
		if err != nil || e == nil {
			return err
		}
		if !slices.Equal(entryBlobs(&e.Entry), dropped) {
			return nil
		}
		if id := objectID(&e.Event); id != "" {
			xk := s.externalKey(e.Channel, e.Scope, id)
			x, err := load[external](u, xk)
			if err != nil {
				return err
			}
			if x != nil && x.Entry == entry {
				x.Entry, x.Erased, x.Waiting = "", true, nil
				x.Applied, x.Ignored = e.Applied, e.Seen
				u.save(xk, x)
			}
		}
		if e.Message != nil && e.Message.MessageID != "" {
			hk := table.Key{PK: s.messageIDKey(e.Message.MessageID), SK: entry}
			if t, err := load[threaded](u, hk); err != nil {
				return err
			} else if t != nil {
				u.remove(hk)
			}
		}
		u.remove(k)
		gone = true
		return nil
	})
	if err == nil && gone {
		done.Blobs = append(done.Blobs, dropped...)
	}
	return err
}

// entryBlobs lists the blobs that hold content of an entry: its raw input and its files, thumbnails included.
func entryBlobs(e *timeline.Entry) []string {
	var keys []string
	add := func(m *msg.Message) {
		if m == nil {
			return
		}
		if m.Body != "" {
			keys = append(keys, m.Body)
		}
		for _, p := range m.Parts {
			if p.Media == nil {
				continue
			}
			for _, key := range []string{p.Media.Key, p.Media.Thumbnail} {
				if key != "" {
					keys = append(keys, key)
				}
			}
		}
	}
	add(e.Message)
	for i := range e.Edits {
		add(&e.Edits[i].Message)
	}
	// Shared raw input holds other people's messages too; it is gone after at most 14 days.
	if e.RawBlob != "" && !strings.HasPrefix(e.RawBlob, "raw/shared/") {
		keys = append(keys, e.RawBlob)
	}
	return keys
}

func (s *Store) eraseCase(ctx context.Context, c *timeline.Case) error {
	return s.update(ctx, "erase case "+c.Reference, func(u *unit) error {
		k, err := caseKey(c.Case)
		if err != nil {
			return err
		}
		keys := []table.Key{k, referenceKey(c.Reference)}
		if c.Agent != "" {
			keys = append(keys, assignedKey(c.Agent, c.Case))
		}
		if rec, err := load[caseRecord](u, k); err != nil {
			return err
		} else if rec != nil {
			u.remove(k)
		}
		for _, pk := range keys[1:] {
			if p, err := load[pointer](u, pk); err != nil {
				return err
			} else if p != nil {
				u.remove(pk)
			}
		}
		for _, conversation := range c.Conversations {
			channel, _ := AccountKey(conversation).Split()
			tk := s.replyTokenKey(s.ReplyToken(channel, c.Case))
			if p, err := load[pointer](u, tk); err != nil {
				return err
			} else if p != nil {
				u.remove(tk)
			}
		}
		return nil
	})
}
