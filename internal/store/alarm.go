package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

func isPassing(err error) bool { return errors.Is(err, table.ErrBusy) || errors.Is(err, table.ErrLost) }

// DueItem is something that has to be looked at: an answer, a case, a merge that is not yet taken back whole, a quarantined input
// whose time is over, or what waits for its message. Exactly one of the five is set.
type DueItem struct {
	Entry, Case, Merge, Quarantined string
	Waiting                         *table.Key
	At                              msg.Time
}

// DueBefore lists what was to be looked at before t, up to limit for each shard of the index. The index may lag: whoever
// acts on an item reads it first.
func (s *Store) DueBefore(ctx context.Context, t msg.Time, limit int) ([]DueItem, error) {
	var all []DueItem
	for n := range dueShards {
		items, err := s.table.Query(ctx, table.Query{Index: table.Due, PK: dueShard(n), To: millis(t), Limit: limit})
		if err != nil {
			return nil, fmt.Errorf("list what is due: %w", err)
		}
		for i := range items {
			k := items[i].Key
			d := DueItem{At: keyTime(items[i].Index[table.Due].SK[:15])}
			switch {
			case len(k.SK) > 2 && k.SK[:2] == "E#":
				d.Entry = k.PK[2:] + "-e" + base36(keyTime(k.SK[2:17])) + k.SK[18:]
			case len(k.SK) > 2 && k.SK[:2] == "K#":
				d.Case = k.PK[2:] + "-" + k.SK[2:]
			case len(k.PK) > 2 && k.PK[:2] == "M#":
				d.Merge = k.PK[2:]
			case len(k.PK) > 2 && k.PK[:2] == "Q#":
				d.Quarantined = k.SK
			default:
				d.Waiting = &k
			}
			all = append(all, d)
		}
	}
	return all, nil
}

func keyTime(digits string) msg.Time {
	var t int64
	for i := range len(digits) {
		t = t*10 + int64(digits[i]-'0')
	}
	return msg.Time(t)
}

// Ring acts on a case whose alarm is due: a snooze ends, or the leads are told that nobody has seen it. It says whether
// anything was to be done.
func (s *Store) Ring(ctx context.Context, caseID string) (bool, error) {
	rang := false
	err := s.update(ctx, "look at case "+caseID, func(u *unit) error {
		rang = false
		k, c, err := u.header(caseID)
		if err != nil || c == nil {
			return err
		}
		now := s.now()
		at := c.Alarm()
		if at.IsZero() || at > now {
			return nil
		}
		if !c.SnoozedTo.IsZero() {
			c.Wake(now)
		} else {
			c.Warned = true
			c.Acted, c.Changed = now, now
		}
		u.save(k, c)
		rang = true
		return nil
	})
	return rang, err
}

// Heartbeat writes something durably: whether the deployment can take responsibility for anything.
func (s *Store) Heartbeat(ctx context.Context) error {
	item := table.Item{Key: table.Key{PK: "B#heartbeat", SK: "A"}, Rev: 1, Body: []byte(`{"at":"` + s.now().String() + `"}`)}
	if err := s.write(ctx, table.Put(item, table.Any)); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	return nil
}
