package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// What is kept of somebody outside their timeline (in quarantine, or waiting for its message) stands under their address too:
// a mark in the address's partition, by which an erasure finds it. See ADR 14.
//
//	I#<address>   A            whose the address is
//	              Q#<id>       a quarantined input of theirs
//	              X#<hash>     something of theirs waits there for its message

// owned is a mark: its key says everything.
type owned struct{}

// markKey is where it is noted that the item at k is of whom the address belongs to.
func markKey(address string, k table.Key) table.Key {
	if strings.HasPrefix(k.PK, "Q#") {
		return table.Key{PK: address, SK: "Q#" + k.SK}
	}
	return table.Key{PK: address, SK: k.PK}
}

// markedKey is the item that a mark is about.
func markedKey(mark table.Key) (table.Key, error) {
	if id, ok := strings.CutPrefix(mark.SK, "Q#"); ok {
		return quarantineKey(id)
	}
	return table.Key{PK: mark.SK, SK: "A"}, nil
}

// addressesOf are the partitions of the addresses that an event is about.
func (s *Store) addressesOf(ev *msg.Event) []string { return s.addressKeys(subject(ev)) }

func (s *Store) addressKeys(addresses []msg.Address) []string {
	keys := make([]string, 0, len(addresses))
	for _, a := range addresses {
		if k := s.identityKey(a).PK; !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// gone says that one of the addresses was erased after something was received from it: that is to be forgotten, whichever way
// it comes (I8). Where none was, the unit fails when one is erased before it commits.
func (u *unit) gone(addresses []string, receivedAt msg.Time) (bool, error) {
	for _, a := range addresses {
		k := table.Key{PK: a, SK: "A"}
		id, err := load[identity](u, k)
		if err != nil {
			return false, err
		}
		if id != nil && receivedAt < id.Erased {
			return true, nil
		}
		u.hold(k)
	}
	return false, nil
}

// mark notes under the addresses that the item at k is theirs. A mark with a time outlives what it is about and leads nowhere
// then; one without is removed with it.
func (u *unit) mark(addresses []string, k table.Key, until msg.Time) error {
	for _, a := range addresses {
		at := markKey(a, k)
		have, err := fresh[owned](u, at)
		if err != nil {
			return err
		}
		if have == nil || u.items[at].expires < until {
			u.save(at, &owned{}).expires = until
		}
	}
	return nil
}

// unmark is the opposite of mark.
func (u *unit) unmark(addresses []string, k table.Key) error {
	for _, a := range addresses {
		at := markKey(a, k)
		have, err := load[owned](u, at)
		if err != nil {
			return err
		}
		if have != nil {
			u.remove(at)
		}
	}
	return nil
}

// bury leaves the tombstone of an event that was forgotten before it was in a timeline: it counts as stored and erased, and
// what comes of it again is a duplicate. k is the external-ID item of its object, or of the object that it is about; ev is nil
// for raw input.
func (u *unit) bury(k table.Key, ev *msg.Event, channel, account string) error {
	x, err := load[external](u, k)
	if err != nil {
		return err
	}
	if x == nil {
		x = &external{Channel: channel, Account: account}
	}
	if x.Entry == "" && !x.Erased && (ev == nil || ev.Target() == "") {
		x.Erased = true
	} else {
		x.Applied++
	}
	if ev != nil && ev.Target() != "" {
		x.forget(u.s.short("forgotten", ev.DedupeKey()))
	}
	u.save(k, x)
	return nil
}

// wait keeps an event at the external ID of the message that it is about, until that comes.
func (u *unit) wait(k table.Key, x *external, in *Incoming) (Outcome, error) {
	ev := &in.Event
	dedupe := ev.DedupeKey()
	if slices.ContainsFunc(x.Waiting, func(w msg.Event) bool { return w.DedupeKey() == dedupe }) ||
		slices.Contains(x.Forgotten, u.s.short("forgotten", dedupe)) {
		x.Seen++
		u.save(k, x)
		return Outcome{As: Duplicate}, nil
	}
	addresses := u.s.addressesOf(ev)
	if gone, err := u.gone(addresses, in.ReceivedAt); err != nil {
		return Outcome{}, err
	} else if gone {
		return Outcome{As: Stored}, u.bury(k, ev, ev.Channel, ev.Account)
	}
	if len(x.Waiting) >= maxWaiting { // more than a provider ever sends ahead: kept, but not here
		detail := fmt.Sprintf("%d events wait for the same message already", maxWaiting)
		return Outcome{As: Shelved}, u.orphan(k, ev, ev.Account, in.ReceivedAt, detail)
	}
	if len(x.Waiting) == 0 {
		x.Since = u.s.now() // also for what was replayed: it waits anew
	}
	x.Waiting = append(x.Waiting, *ev)
	u.save(k, x)
	// The message may come for fifty people who wait: it must not have to write fifty items.
	return Outcome{As: Waits}, u.mark(addresses, k, x.Since.Add(OrphanAfter+QuarantineFor))
}

// eraseOwned erases what stands under an address and was received up to a time.
func (s *Store) eraseOwned(ctx context.Context, address string, until msg.Time, done *Erasure, drop dropBlobs) error {
	last := "Q"
	for {
		marks, err := s.table.Query(ctx, table.Query{PK: address, After: last, Limit: MaxPage})
		if err != nil {
			return fmt.Errorf("find what stands under an address: %w", err)
		}
		for i := range marks {
			last = marks[i].SK
			k, err := markedKey(marks[i].Key)
			if err != nil {
				return err
			}
			if strings.HasPrefix(k.PK, "Q#") {
				err = s.eraseQuarantined(ctx, k, marks[i].Key, until, done, drop)
			} else {
				err = s.eraseWaiting(ctx, k, address, until)
			}
			if err != nil {
				return err
			}
		}
		if len(marks) < MaxPage {
			return nil
		}
	}
}

// eraseQuarantined erases a quarantined input, after the blobs that hold it.
func (s *Store) eraseQuarantined(ctx context.Context, k, mark table.Key, until msg.Time, done *Erasure, drop dropBlobs) error {
	q, err := get[Quarantined](ctx, s, k)
	if err != nil || q != nil && q.ReceivedAt > until {
		return err
	}
	var blobs []string
	if q != nil {
		blobs = q.OwnBlobs()
	}
	if err := drop.of(ctx, blobs); err != nil {
		return err
	}
	done.Blobs = append(done.Blobs, blobs...)
	return s.update(ctx, "erase a quarantined input", func(u *unit) error {
		q, err := load[Quarantined](u, k)
		if err != nil {
			return err
		}
		if q == nil { // replayed or expired meanwhile, and the mark is what is left
			m, err := load[owned](u, mark)
			if err == nil && m != nil {
				u.remove(mark)
			}
			return err
		}
		if q.counts() {
			if err := u.bury(s.objectKey(q), q.Event, q.Channel, q.Account); err != nil {
				return err
			}
		}
		return u.forgetQuarantined(k, q)
	})
}

// eraseWaiting erases what somebody's events are that wait for a message.
func (s *Store) eraseWaiting(ctx context.Context, k table.Key, address string, until msg.Time) error {
	return s.update(ctx, "erase what waits for a message", func(u *unit) error {
		x, err := load[external](u, k)
		if err != nil {
			return err
		}
		if x == nil || len(x.Waiting) == 0 {
			return u.unmark([]string{address}, k)
		}
		if x.Since > until {
			return nil
		}
		theirs := func(ev msg.Event) bool { return slices.Contains(s.addressesOf(&ev), address) }
		for _, ev := range x.Waiting {
			if !theirs(ev) {
				continue
			}
			if err := u.bury(k, &ev, x.Channel, x.Account); err != nil {
				return err
			}
		}
		if x.Waiting = slices.DeleteFunc(x.Waiting, theirs); len(x.Waiting) == 0 {
			x.Since = 0
		}
		if err := u.unmark([]string{address}, k); err != nil {
			return err
		}
		u.save(k, x)
		return nil
	})
}
