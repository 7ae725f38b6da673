package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Notification says that something of interest to a team was written. There is one per entry and team (I5): when the entry
// changes, it moves to the time of the change, so that whoever resumes from a cursor sees the entry as it is now, once.
type Notification struct {
	// Cursor places it: later ones are greater.
	Cursor string `json:"cursor"`
	// Type is "entry" (a new or changed entry) or "case" (an agent changed the case, or it needs attention).
	Type     string   `json:"type"`
	Team     string   `json:"team"`
	Customer string   `json:"customer"`
	Case     string   `json:"case"`
	Entry    string   `json:"entry,omitempty"`
	At       msg.Time `json:"at"`
	// For says who should hear of it, beside being shown: "team", "leads", "agent:<user>" or "" for nobody.
	For string `json:"for,omitempty"`
	// Why is "new_case", "message", "failed", "uncertain", "unseen", "assigned" or, when there is nothing more to say, [WhyChanged].
	Why string `json:"why"`
	// Changed is the entry as the change left it, for whoever follows the same change up; nil when it was read from the table.
	Changed *timeline.Entry `json:"-"`
}

// WhyChanged is why somebody is told of a thing that is neither new nor in need of attention.
const WhyChanged = "changed"

// NotificationsFor is how long notifications can be resumed from; older cursors refetch.
const NotificationsFor = 24 * time.Hour

// keepNotifications is longer, so that nobody resumes into a gap.
const keepNotifications = 3 * 24 * time.Hour

// Notify derives the notifications of changes and keeps them, many in one write. They are a function of the changes alone, so
// it may be called again, and is until all are there, so they may land apart; changes of one item must come in order. The
// result has one place for each change, nil where it is of no interest. An entry that is gone is told of no more.
//
// A change of an item that cannot be read is passed over: the error is a *Skipped then, and everything else is done.
func (s *Store) Notify(ctx context.Context, changes []table.Change) ([]*Notification, error) {
	ctx = table.Apart(ctx)
	told := make([]*Notification, len(changes))
	ops := make([]table.Op, 0, min(len(changes), table.MaxOps))
	place := make(map[table.Key]int, cap(ops)) // of each key in ops: a transaction takes a key once, and the last word counts
	add := func(op table.Op) error {
		if at, ok := place[op.Item.Key]; ok {
			ops[at] = op
			return nil
		}
		if len(ops) == table.MaxOps {
			if err := s.write(ctx, ops...); err != nil {
				return err
			}
			ops = ops[:0]
			clear(place)
		}
		place[op.Item.Key] = len(ops)
		ops = append(ops, op)
		return nil
	}
	skipped := new(Skipped)
	for i := range changes {
		c := &changes[i]
		now, was, err := notificationOf(c)
		if err != nil {
			skipped.add(c.Key, err)
			continue
		}
		if now == nil {
			if was != nil {
				if err := add(table.Delete(notificationKey(was), table.Any)); err != nil {
					return nil, fmt.Errorf("forget the notification of %s: %w", c.Key, err)
				}
			}
			continue
		}
		told[i] = now
		body, err := json.Marshal(now)
		if err != nil {
			return nil, fmt.Errorf("notify of %s: %w", c.Key, err)
		}
		item := table.Item{Key: notificationKey(now), Rev: 1, Body: body, Expires: now.At.Add(keepNotifications)}
		if err := add(table.Put(item, table.Any)); err != nil {
			return nil, fmt.Errorf("notify of %s: %w", c.Key, err)
		}
		if was != nil && notificationKey(was) != item.Key {
			if err := add(table.Delete(notificationKey(was), table.Any)); err != nil {
				return nil, fmt.Errorf("move the notification of %s: %w", c.Key, err)
			}
		}
	}
	if len(ops) > 0 {
		if err := s.write(ctx, ops...); err != nil {
			return nil, fmt.Errorf("notify of %d changes: %w", len(changes), err)
		}
	}
	return told, skipped.err()
}

// write makes unconditional writes, again where the table says so.
func (s *Store) write(ctx context.Context, ops ...table.Op) error {
	for attempt := 0; ; attempt++ {
		err := s.table.Write(ctx, ops...)
		if err == nil || attempt == attempts || !isPassing(err) {
			return err
		}
		if err := s.pause(ctx, attempt); err != nil {
			return err
		}
	}
}

func notificationKey(n *Notification) table.Key { return table.Key{PK: "N#" + n.Team, SK: n.Cursor} }

func notificationOf(c *table.Change) (now, was *Notification, err error) {
	if c.New == nil && c.Old == nil || !strings.HasPrefix(c.Key.PK, "C#") {
		return nil, nil, nil
	}
	if c.New == nil { // erased: what was told of it goes too
		was, _, err = notificationOf(&table.Change{Key: c.Key, New: c.Old})
		return nil, was, err
	}
	switch {
	case strings.HasPrefix(c.Key.SK, "E#"):
		return ofEntry(c)
	case strings.HasPrefix(c.Key.SK, "K#"):
		return ofCase(c)
	}
	return nil, nil, nil
}

func ofEntry(c *table.Change) (*Notification, *Notification, error) {
	now, was, err := decode[timeline.Entry](c)
	if err != nil {
		return nil, nil, err
	}
	if was != nil && was.ChangedAt == now.ChangedAt && was.Seen != now.Seen {
		return nil, nil, nil // only a duplicate was counted
	}
	n := entryNotification(now)
	n.Changed = now
	if was == nil {
		return n, nil, nil
	}
	return n, entryNotification(was), nil
}

func entryNotification(e *timeline.Entry) *Notification {
	n := &Notification{
		Cursor: millis(e.ChangedAt) + "#" + e.Entry, Type: "entry", Team: e.Team, Customer: e.Customer, Case: e.Case,
		Entry: e.Entry, At: e.ChangedAt, Why: WhyChanged,
	}
	switch {
	case e.Automatic:
	case e.State == msg.Failed && (e.Failure == nil || e.Failure.Code != "withdrawn"):
		n.Why, n.For = "failed", hearer(e.Agent)
	case e.State == msg.Uncertain:
		n.Why, n.For = "uncertain", hearer(e.Agent)
	case e.ChangedAt != e.StoredAt || e.Direction != msg.In:
	case e.Opens:
		n.Why, n.For = "new_case", hearer(e.Assignee)
	default:
		n.Why, n.For = "message", hearer(e.Assignee)
	}
	return n
}

func hearer(agent string) string {
	if agent == "" {
		return "team"
	}
	return "agent:" + agent
}

func ofCase(c *table.Change) (*Notification, *Notification, error) {
	// Most changes of cases only say that an entry came. No string can hold these bytes: its quotes would be escaped.
	if !bytes.Contains(c.New.Body, []byte(`"acted":`)) {
		return nil, nil, nil
	}
	now, was, err := decode[timeline.Case](c)
	if err != nil {
		return nil, nil, err
	}
	n := caseNotification(now)
	if was == nil || n == nil {
		return n, nil, nil
	}
	old := caseNotification(was)
	if old != nil && old.Cursor == n.Cursor {
		return nil, nil, nil // an entry came; its own notification tells
	}
	if now.Warned && !was.Warned {
		n.Why, n.For = "unseen", "leads"
	}
	if now.Agent != was.Agent && now.Agent != "" {
		n.Why, n.For = "assigned", "agent:"+now.Agent
	}
	return n, old, nil
}

// caseNotification tells of what was done to the case itself; nil when nothing was yet.
func caseNotification(c *timeline.Case) *Notification {
	if c.Acted.IsZero() {
		return nil
	}
	return &Notification{
		Cursor: millis(c.Acted) + "#" + c.Case, Type: "case", Team: c.Team, Customer: c.Customer, Case: c.Case, At: c.Acted, Why: WhyChanged,
	}
}

func decode[T any](c *table.Change) (now, was *T, err error) {
	now = new(T)
	if err := json.Unmarshal(c.New.Body, now); err != nil {
		return nil, nil, damaged(c.Key, err)
	}
	if c.Old == nil {
		return now, nil, nil
	}
	was = new(T)
	if err := json.Unmarshal(c.Old.Body, was); err != nil {
		return nil, nil, damaged(c.Key, err)
	}
	return now, was, nil
}

// Notifications lists what a team has been told behind a cursor, oldest first.
func (s *Store) Notifications(ctx context.Context, team, cursor string, limit int) ([]*Notification, error) {
	if cursor != "" && !validPlace(cursor) {
		return nil, fault.Field("cursor", "it is not a cursor; use what a notification carried")
	}
	return query[Notification](ctx, s, table.Query{PK: "N#" + team, After: cursor, Limit: limit})
}

// CursorAt is the cursor that stands for everything before a time.
func CursorAt(t msg.Time) string { return millis(t) + "#-" }

// CursorTime is the time of a cursor, or an error when it is none.
func CursorTime(cursor string) (msg.Time, error) {
	if !validPlace(cursor) {
		return 0, fault.Field("cursor", "it is not a cursor; use what a notification carried")
	}
	var t int64
	for i := range 15 {
		t = t*10 + int64(cursor[i]-'0')
	}
	return msg.Time(t), nil
}
