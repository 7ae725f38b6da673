package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

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
	// Expires is when it is forgotten, with what holds it. Whoever quarantines may give an earlier time than the store's own:
	// when the blob that holds the input goes.
	Expires msg.Time `json:"expires_at,omitzero"`

	// From is whose it seems to be, where that can be told without understanding it; an event tells by itself. Scope is the
	// account's, for an event that is understood. Both are for Quarantine, and not kept as they are.
	From  []msg.Address `json:"-"`
	Scope string        `json:"-"`
	// Whose are the addresses under which it is marked (HMACs), Object the external-ID item of its event.
	Whose  []string `json:"whose,omitempty"`
	Object string   `json:"object,omitempty"`
	// Bodies are blobs beside RawBlob that hold it and are nobody else's: an erasure takes them along.
	Bodies []string `json:"bodies,omitempty"`
}

// How long an input stays in quarantine: QuarantineFor when it is known whose it is, so that an erasure reaches it, else
// RawFor, as any raw input.
const (
	QuarantineFor = 90 * 24 * hour
	RawFor        = 30 * 24 * hour
)

func (q *Quarantined) counts() bool { return !q.Refused && q.Replayed.IsZero() }

func (q *Quarantined) index() map[table.Index]table.Key {
	if q.Expires.IsZero() {
		return nil
	}
	return due(q.Expires, "q"+q.ID)
}

// OwnBlobs are the blobs that hold the input and nobody else's.
func (q *Quarantined) OwnBlobs() []string {
	keys := slices.Clone(q.Bodies)
	if q.RawBlob != "" && !isShared(q.RawBlob) {
		keys = append(keys, q.RawBlob)
	}
	if q.Event != nil {
		keys = append(keys, eventBlobs(q.Event)...)
	}
	return keys
}

// objectKey is where the tombstone of an erased input lies: at the external ID of its event, else at a place of its own.
func (s *Store) objectKey(q *Quarantined) table.Key {
	if q.Object != "" {
		return table.Key{PK: q.Object, SK: "A"}
	}
	return s.externalKey("quarantine", q.Channel+"/"+q.Account, q.ID)
}

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
// comes again is counted in Seen, and is no longer taken for replayed. The ID is empty when the input was not kept, because
// whose it is was erased after it was received: then the caller deletes its blobs.
func (s *Store) Quarantine(ctx context.Context, q Quarantined, place int) (string, error) {
	day := q.ReceivedAt.Time().Format("20060102")
	id := day + "-" + s.hash("quarantine", q.Channel, q.Account, q.Envelope, fmt.Sprint(place), q.Cause)
	if q.Event != nil {
		q.From = subject(q.Event)
		if q.Scope != "" {
			q.Object = s.externalKey(q.Channel, q.Scope, cmp.Or(q.Event.Target(), objectID(q.Event))).PK
		}
	}
	q.Whose = s.addressKeys(q.From)
	err := s.update(ctx, "quarantine envelope "+q.Envelope, func(u *unit) error {
		q.ID = id
		kept, err := u.quarantine(q)
		if !kept {
			q.ID = ""
		}
		return err
	})
	return q.ID, err
}

// quarantine keeps an input within the unit, and says whether it did: what belongs to somebody who was erased is not kept.
func (u *unit) quarantine(q Quarantined) (kept bool, err error) {
	k, err := quarantineKey(q.ID)
	if err != nil {
		return false, err
	}
	if forgotten, err := u.forgotten(&q); err != nil || forgotten {
		return false, err
	}
	have, err := fresh[Quarantined](u, k)
	if err != nil {
		return false, err
	}
	q.Stored = u.s.now()
	if have != nil {
		q.Stored, q.Seen = have.Stored, have.Seen+1
	}
	stays := RawFor
	if len(q.Whose) > 0 {
		stays = QuarantineFor
	}
	if until := q.Stored.Add(stays); q.Expires.IsZero() || q.Expires > until {
		q.Expires = until
	}
	if err := u.quarantineDay(k.PK[2:], q.Expires); err != nil {
		return false, err
	}
	u.save(k, &q)
	return true, u.mark(q.Whose, k, 0)
}

// forgotten buries an input of somebody who was erased after it was received, and counts what comes again of one that is
// buried.
func (u *unit) forgotten(q *Quarantined) (bool, error) {
	gone, err := u.gone(q.Whose, q.ReceivedAt)
	if err != nil {
		return false, err
	}
	if gone {
		if !q.counts() {
			return true, nil
		}
		return true, u.bury(u.s.objectKey(q), q.Event, q.Channel, q.Account)
	}
	if q.Object == "" {
		return false, nil
	}
	k := u.s.objectKey(q)
	x, err := load[external](u, k)
	if err != nil || x == nil {
		return false, err
	}
	if !x.Erased && !slices.Contains(x.Forgotten, u.s.short("forgotten", q.Event.DedupeKey())) {
		return false, nil
	}
	x.Seen++
	u.save(k, x)
	return true, nil
}

// forgetQuarantined removes an input and what leads to it.
func (u *unit) forgetQuarantined(k table.Key, q *Quarantined) error {
	u.remove(k)
	return u.unmark(q.Whose, k)
}

// Expire forgets an input whose time in quarantine is over, after the blobs that only it names, and returns what it was; nil
// when it is not (any more) to be forgotten. It leaves the ledger of events, as a dead letter does when its time is over.
func (s *Store) Expire(ctx context.Context, id string, drop func(context.Context, []string) error) (*Quarantined, error) {
	k, err := quarantineKey(id)
	if err != nil {
		return nil, err
	}
	q, err := get[Quarantined](ctx, s, k)
	if err != nil || q == nil || q.Expires.IsZero() || q.Expires > s.now() {
		return nil, err
	}
	own := *q
	own.Bodies = nil // raw input has a time of its own
	if err := dropBlobs(drop).of(ctx, own.OwnBlobs()); err != nil {
		return nil, err
	}
	err = s.update(ctx, "forget quarantined input "+id, func(u *unit) error {
		q, err := load[Quarantined](u, k)
		if err != nil || q == nil {
			return err
		}
		return u.forgetQuarantined(k, q)
	})
	return q, err
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

// Replayed marks an input as given to the pipeline again: it leaves the quarantine's count, and what it held is on its way.
// The input is given as it was read before that: when it came back in the meantime, still not understood, it stays.
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
		q.Raw, q.Event = nil, nil // RawBlob stays: the same key may be written anew by now
		u.save(k, q)
		return nil
	})
}

// orphansAtOnce is how many events one transaction moves: each writes itself and a mark for every address of its sender.
const orphansAtOnce = 10

// Orphans moves what has waited too long for its message from the external-ID item to quarantine, and says how many events
// it were. The key is the base key that the due index names.
func (s *Store) Orphans(ctx context.Context, k table.Key) (int, error) {
	for moved := 0; ; {
		n, left := 0, 0
		err := s.update(ctx, "move orphans of "+k.PK, func(u *unit) error {
			n, left = 0, 0
			x, err := load[external](u, k)
			if err != nil || x == nil || x.Entry != "" || len(x.Waiting) == 0 || x.Since.Add(OrphanAfter) > s.now() {
				return err
			}
			n = min(len(x.Waiting), orphansAtOnce)
			for _, ev := range x.Waiting[:n] {
				if err := u.orphan(k, &ev, x.Account, x.Since, fmt.Sprintf("a %s came and its message never did", ev.Kind)); err != nil {
					return err
				}
			}
			x.Waiting = slices.Delete(x.Waiting, 0, n)
			if left = len(x.Waiting); left == 0 {
				x.Since = 0
			}
			u.save(k, x)
			return nil
		})
		if moved += n; err != nil || left == 0 {
			return moved, err
		}
	}
}

// orphan puts an event that has no message into quarantine, within the unit. k is where it waited.
func (u *unit) orphan(k table.Key, ev *msg.Event, account string, receivedAt msg.Time, detail string) error {
	day := u.s.now().Time().Format("20060102")
	_, err := u.quarantine(Quarantined{
		ID: day + "-" + u.s.hash("orphan", k.PK, ev.DedupeKey()), Channel: ev.Channel, Account: account, Cause: "orphan",
		Detail: detail, ReceivedAt: receivedAt, Event: ev, Whose: u.s.addressesOf(ev), Object: k.PK,
	})
	return err
}

// nameless quarantines an event that lacks the ID by which it would be told from others: all such would share one item, and
// the second would be taken for the first.
func (u *unit) nameless(in *Incoming, lacks string) (Outcome, error) {
	ev := &in.Event
	body, err := json.Marshal(ev)
	if err != nil {
		return Outcome{}, err
	}
	kept, err := u.quarantine(Quarantined{
		ID: in.ReceivedAt.Time().Format("20060102") + "-" + u.s.hash("nameless", in.Envelope, string(body)), Channel: ev.Channel,
		Account: ev.Account, Cause: "malformed", Detail: fmt.Sprintf("nothing in the %s %s", ev.Kind, lacks), Envelope: in.Envelope,
		ReceivedAt: in.ReceivedAt, Event: ev, Whose: u.s.addressesOf(ev),
	})
	if !kept {
		return Outcome{As: Stored}, err
	}
	return Outcome{As: Shelved}, err
}

// quarantineDay notes that something of the day is in quarantine: the list of days is how it is found. A day stays on it for
// longer than anything of it, so that nothing that is kept can go unseen.
func (u *unit) quarantineDay(day string, until msg.Time) error {
	k := table.Key{PK: quarantineDays, SK: day}
	known, err := load[pointer](u, k)
	if err != nil {
		return err
	}
	const whole = msg.Time(24 * hour / time.Millisecond)
	until = (until/whole + 31) * whole // so that it is written once a day at most
	if known != nil && u.items[k].expires >= until {
		return nil
	}
	u.save(k, &pointer{}).expires = until
	return nil
}
