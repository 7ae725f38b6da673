package store

import (
	"context"
	"fmt"
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

// Erase removes a person: all customers that are one with the given one, their entries, cases and addresses. What stays are
// tombstones that hold HMACs and numbers only, so that a redelivery of an erased message is known for a duplicate and brings
// nothing back, and so that the next message from the same address is a new customer's. Calling it again finishes what was
// cut short. The caller deletes the blobs that are returned.
func (s *Store) Erase(ctx context.Context, customer, by string) (*Erasure, error) {
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
	for _, c := range person {
		if err := s.erasePartition(ctx, c.Customer, done); err != nil {
			return nil, fmt.Errorf("erase customer %s: %w; call again to finish", c.Customer, err)
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

func (s *Store) erasePartition(ctx context.Context, customer string, done *Erasure) error {
	for {
		entries, err := query[entryRecord](ctx, s, table.Query{PK: "C#" + customer, From: "E#", To: "E$", Limit: MaxPage})
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := s.eraseEntry(ctx, e.Entry.Entry, done); err != nil {
				return err
			}
		}
		if len(entries) < MaxPage {
			break
		}
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
	k, err := customerKey(customer)
	if err != nil {
		return err
	}
	return s.update(ctx, "erase the profile of customer "+customer, func(u *unit) error {
		if c, err := load[customerRecord](u, k); err != nil || c == nil {
			return err
		}
		u.remove(k)
		return nil
	})
}

func (s *Store) eraseEntry(ctx context.Context, entry string, done *Erasure) error {
	var blobs []string
	err := s.update(ctx, "erase entry "+entry, func(u *unit) error {
		blobs = nil
		k, err := entryKey(entry)
		if err != nil {
			return err
		}
		e, err := load[entryRecord](u, k)
		if err != nil || e == nil {
			return err
		}
		blobs = entryBlobs(&e.Entry)
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
		return nil
	})
	if err == nil {
		done.Blobs = append(done.Blobs, blobs...)
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
