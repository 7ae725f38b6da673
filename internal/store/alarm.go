package store

import (
	"context"
	"encoding/json"
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

// dueRounds is where the last look at each shard of the index of what is due stopped, "" where it saw the end.
type dueRounds struct {
	After [dueShards]string `json:"after"`
}

var dueRoundsKey = table.Key{PK: "B#due", SK: "A"}

// DueBefore lists what was to be looked at before t, up to limit for each shard of the index. What there was no room for comes
// first in the next call, so that whatever is not done with and stays due keeps nothing else from being looked at: n items
// are all listed within n/limit calls and one. The index may lag: whoever acts on an item reads it first.
//
// Where the next call goes on is noted before this one returns: what its caller does not get done comes again in the next
// round. Should the note fail, the error comes with the items.
func (s *Store) DueBefore(ctx context.Context, t msg.Time, limit int) ([]DueItem, error) {
	rounds, err := get[dueRounds](ctx, s, dueRoundsKey)
	if err != nil {
		return nil, fmt.Errorf("list what is due: %w", err)
	}
	if rounds == nil {
		rounds = &dueRounds{}
	}
	var all []DueItem
	was := rounds.After
	for n := range dueShards {
		items, err := s.dueRound(ctx, n, millis(t), &rounds.After[n], limit)
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
	if rounds.After == was {
		return all, nil
	}
	body, err := json.Marshal(rounds)
	if err == nil {
		err = s.write(ctx, table.Put(table.Item{Key: dueRoundsKey, Rev: 1, Body: body}, table.Any))
	}
	if err != nil {
		return all, fmt.Errorf("note how far what is due was listed: %w", err)
	}
	return all, nil
}

// dueRound reads on in one shard behind after, and from its beginning when it comes to the end; after moves along.
func (s *Store) dueRound(ctx context.Context, shard int, to string, after *string, limit int) ([]table.Item, error) {
	from := *after
	items, err := s.table.Query(ctx, table.Query{Index: table.Due, PK: dueShard(shard), After: from, To: to, Limit: limit})
	if err != nil {
		return nil, err
	}
	*after = ""
	if len(items) < limit && from != "" {
		rest, err := s.table.Query(ctx, table.Query{
			Index: table.Due, PK: dueShard(shard), To: min(to, from+"\x00"), Limit: limit - len(items),
		})
		if err != nil {
			return nil, err
		}
		items = append(items, rest...)
	}
	if len(items) == limit {
		*after = items[limit-1].Index[table.Due].SK
	}
	return items, nil
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
