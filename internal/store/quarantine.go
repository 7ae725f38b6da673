package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Quarantined is an input that no event could be made of, or that must not be worked on: kept as it came, with a typed
// cause, until it is replayed or forgotten.
type Quarantined struct {
	ID         string   `json:"id"`
	Channel    string   `json:"channel"`
	Account    string   `json:"account"`
	Cause      string   `json:"cause"`
	Detail     string   `json:"detail"`
	Envelope   string   `json:"envelope"`
	ReceivedAt msg.Time `json:"received_at"`
	Stored     msg.Time `json:"stored_at"`
	// Size is the raw input's, in bytes. Raw is the envelope, encoded as the queue holds it, when small; RawBlob where it
	// lies otherwise. Neither is shown in lists.
	Size    int    `json:"size"`
	Raw     []byte `json:"raw,omitempty"`
	RawBlob string `json:"raw_blob,omitempty"`
	// Event is set when what waits is an event that was understood (an orphan, a loop), not raw input.
	Event *msg.Event `json:"event,omitempty"`
	// Refused says that it was turned away at the door (a wrong signature): it never was accepted and does not count.
	Refused bool `json:"refused,omitempty"`
	// Replayed is when it was given to the pipeline again.
	Replayed msg.Time `json:"replayed,omitzero"`
	// Seen counts how often the same input came again.
	Seen int `json:"seen,omitempty"`
}

func (q *Quarantined) counts() bool { return !q.Refused && q.Replayed.IsZero() }

// quarantineDays lists the days on which anything came into quarantine.
const quarantineDays = "Q#days"

func quarantineKey(id string) (table.Key, error) {
	day, rest, ok := strings.Cut(id, "-")
	if !ok || len(day) != 8 || len(rest) != 26 || !plain(id) {
		return table.Key{}, missing("quarantined input", id)
	}
	return table.Key{PK: "Q#" + day, SK: id}, nil
}

// Quarantine keeps an input. The ID is made from account, envelope, place and cause, so the same input is kept once: one that
// comes again is counted in Seen, and is no longer taken for replayed.
func (s *Store) Quarantine(ctx context.Context, q Quarantined, place int) (string, error) {
	day := q.ReceivedAt.Time().Format("20060102")
	q.ID = day + "-" + s.hash("quarantine", q.Channel, q.Account, q.Envelope, fmt.Sprint(place), q.Cause)
	k, err := quarantineKey(q.ID)
	if err != nil {
		return "", err
	}
	err = s.update(ctx, "quarantine envelope "+q.Envelope, func(u *unit) error {
		have, err := fresh[Quarantined](u, k)
		if err != nil {
			return err
		}
		if have != nil {
			have.Replayed, have.Detail = 0, q.Detail
			have.Seen++
			u.save(k, have)
			return nil
		}
		if err := u.quarantineDay(day); err != nil {
			return err
		}
		q.Stored = s.now()
		u.save(k, &q)
		return nil
	})
	return q.ID, err
}

// QuarantineList lists what is in quarantine, newest day first, without the raw inputs. Next continues.
func (s *Store) QuarantineList(ctx context.Context, p Page, all bool) (list []*Quarantined, next string, err error) {
	days, err := s.table.Query(ctx, table.Query{PK: quarantineDays, Desc: true})
	if err != nil {
		return nil, "", fmt.Errorf("list quarantine: %w", err)
	}
	limit := p.limit()
	if p.After != "" {
		if _, err := quarantineKey(p.After); err != nil {
			return nil, "", fault.Field("after", "it is not a place in the quarantine; use what an earlier page returned")
		}
	}
	for _, day := range days {
		q := table.Query{PK: "Q#" + day.SK, Limit: limit + 1}
		if p.After != "" {
			if day.SK > p.After[:8] {
				continue
			}
			if day.SK == p.After[:8] {
				q.After = p.After
			}
		}
		for {
			part, err := query[Quarantined](ctx, s, q)
			if err != nil {
				return nil, "", fmt.Errorf("list quarantine: %w", err)
			}
			for _, one := range part {
				q.After = one.ID
				if !all && !one.Replayed.IsZero() {
					continue
				}
				if len(list) == limit {
					return list, list[limit-1].ID, nil
				}
				one.Raw = nil
				list = append(list, one)
			}
			if len(part) <= limit {
				break
			}
		}
	}
	return list, "", nil
}

// Quarantined reads one input with its raw form.
func (s *Store) Quarantined(ctx context.Context, id string) (*Quarantined, error) {
	k, err := quarantineKey(id)
	if err != nil {
		return nil, err
	}
	q, err := get[Quarantined](ctx, s, k)
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, missing("quarantined input", id)
	}
	return q, nil
}

// Replayed marks an input as given to the pipeline again: it leaves the quarantine's count. The input is given as it was read
// before that: when it came back in the meantime, still not understood, it stays.
func (s *Store) Replayed(ctx context.Context, was *Quarantined) error {
	id := was.ID
	k, err := quarantineKey(id)
	if err != nil {
		return err
	}
	return s.update(ctx, "replay "+id, func(u *unit) error {
		q, err := load[Quarantined](u, k)
		if err != nil {
			return err
		}
		if q == nil {
			return missing("quarantined input", id)
		}
		if q.Seen != was.Seen {
			return nil
		}
		q.Replayed = s.now()
		u.save(k, q)
		return nil
	})
}

// Orphans moves what has waited too long for its message from the external-ID item to quarantine, and says how many events
// it were. The key is the base key that the due index names.
func (s *Store) Orphans(ctx context.Context, k table.Key) (int, error) {
	moved := 0
	err := s.update(ctx, "move orphans of "+k.PK, func(u *unit) error {
		moved = 0
		x, err := load[external](u, k)
		if err != nil || x == nil || x.Entry != "" || len(x.Waiting) == 0 || x.Since.Add(OrphanAfter) > s.now() {
			return err
		}
		for i := range x.Waiting {
			ev := x.Waiting[i]
			if err := u.orphan(k, &ev, x.Account, x.Since, fmt.Sprintf("a %s came and its message never did", ev.Kind)); err != nil {
				return err
			}
			moved++
		}
		x.Waiting = slices.Delete(x.Waiting, 0, len(x.Waiting))
		u.save(k, x)
		return nil
	})
	return moved, err
}

// orphan puts an event that has no message into quarantine, within the unit.
func (u *unit) orphan(k table.Key, ev *msg.Event, account string, receivedAt msg.Time, detail string) error {
	day := u.s.now().Time().Format("20060102")
	if err := u.quarantineDay(day); err != nil {
		return err
	}
	q := &Quarantined{
		ID: day + "-" + u.s.hash("orphan", k.PK, ev.DedupeKey()), Channel: ev.Channel, Account: account, Cause: "orphan",
		Detail: detail, ReceivedAt: receivedAt, Stored: u.s.now(), Event: ev,
	}
	qk, err := quarantineKey(q.ID)
	if err != nil {
		return err
	}
	have, err := load[Quarantined](u, qk)
	if err != nil {
		return err
	}
	if have != nil { // replayed today, and its message still has not come; or the same event came again
		have.Replayed = 0
		q = have
	}
	u.save(qk, q)
	return nil
}

// quarantineDay notes that something of the day is in quarantine: the list of days is how it is found. A day stays on it, so
// that nothing that is kept can go unseen.
func (u *unit) quarantineDay(day string) error {
	k := table.Key{PK: quarantineDays, SK: day}
	known, err := load[pointer](u, k)
	if err != nil || known != nil {
		return err
	}
	u.save(k, &pointer{})
	return nil
}
