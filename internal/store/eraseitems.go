package store

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// eraseEntries erases every entry of a customer, each after the blobs that hold content of it.
func (s *Store) eraseEntries(ctx context.Context, customer string, done *Erasure, drop dropBlobs) error {
	for {
		entries, err := query[entryRecord](ctx, s, table.Query{PK: "C#" + customer, From: "E#", To: "E$", Limit: MaxPage})
		if err != nil {
			return err
		}
		for _, e := range entries {
			x, err := get[external](ctx, s, s.externalKey(e.Channel, e.Scope, objectID(&e.Event)))
			if err != nil {
				return err
			}
			blobs := blobsOf(&e.Entry, x)
			if err := drop.of(ctx, blobs); err != nil {
				return err
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
		k, e, err := u.entry(entry)
		if err != nil || e == nil {
			return err
		}
		xk := s.externalKey(e.Channel, e.Scope, objectID(&e.Event))
		x, err := load[external](u, xk)
		if err != nil || !slices.Equal(blobsOf(&e.Entry, x), dropped) {
			return err
		}
		if x != nil && x.Entry == entry {
			x.Entry, x.Erased, x.Waiting, x.Copies = "", true, nil, nil
			x.Applied, x.Ignored = x.Applied+e.Applied, x.Ignored+e.Seen
			u.save(xk, x)
		}
		for _, pointer := range s.pointersTo(&e.Entry) {
			if err := u.drop(pointer); err != nil {
				return err
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

// pointersTo are the items, beside the external ID, that are there for an entry alone.
func (s *Store) pointersTo(e *timeline.Entry) []table.Key {
	var keys []table.Key
	add := func(messageID string) {
		if k := (table.Key{PK: s.messageIDKey(messageID), SK: e.Entry}); messageID != "" && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	if e.Message != nil {
		add(e.Message.MessageID)
	}
	if e.Delivery != nil {
		for _, id := range e.Delivery.MessageIDs {
			add(id)
		}
	}
	if e.Direction == msg.In && e.Kind == msg.KindMessage {
		keys = append(keys, s.statusKey(s.StatusToken(e.Channel, e.Scope, e.ID)))
	}
	return keys
}

// drop removes what is at k, whatever it is.
func (u *unit) drop(k table.Key) error {
	if _, known := u.items[k]; !known {
		if _, err := load[json.RawMessage](u, k); err != nil {
			return err
		}
	}
	if u.items[k].value != nil {
		u.remove(k)
	}
	return nil
}

// blobsOf lists the blobs that hold content of an entry: its raw input, further copies of that, long texts and files.
func blobsOf(e *timeline.Entry, x *external) []string {
	keys := entryBlobs(e)
	if x == nil || x.Entry != e.Entry {
		return keys
	}
	for _, key := range x.Copies {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// entryBlobs lists the blobs that an entry itself names, thumbnails included.
func entryBlobs(e *timeline.Entry) []string {
	keys := eventBlobs(&e.Event)
	for i := range e.Edits {
		keys = append(keys, messageBlobs(&e.Edits[i].Message)...)
	}
	if e.RawBlob != "" && !isShared(e.RawBlob) {
		keys = append(keys, e.RawBlob)
	}
	return keys
}

// eventBlobs lists the blobs that an event names.
func eventBlobs(ev *msg.Event) []string {
	keys := messageBlobs(ev.Message)
	if ev.Edit != nil {
		keys = append(keys, messageBlobs(&ev.Edit.Message)...)
	}
	return keys
}

func messageBlobs(m *msg.Message) []string {
	if m == nil {
		return nil
	}
	var keys []string
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
	return keys
}

// NamedBlobs lists the blobs that an item of the table names.
func NamedBlobs(item *table.Item) ([]string, error) {
	if !bytes.Contains(item.Body, []byte(`/`)) {
		return nil, nil
	}
	switch {
	case strings.HasPrefix(item.SK, "E#"):
		e := new(timeline.Entry)
		if err := json.Unmarshal(item.Body, e); err != nil {
			return nil, damaged(item.Key, err)
		}
		return entryBlobs(e), nil
	case strings.HasPrefix(item.PK, "Q#") && item.PK != quarantineDays:
		q := new(Quarantined)
		if err := json.Unmarshal(item.Body, q); err != nil {
			return nil, damaged(item.Key, err)
		}
		return q.OwnBlobs(), nil
	case strings.HasPrefix(item.PK, "X#"):
		x := new(external)
		if err := json.Unmarshal(item.Body, x); err != nil {
			return nil, damaged(item.Key, err)
		}
		keys := x.Copies
		for i := range x.Waiting {
			keys = append(keys, eventBlobs(&x.Waiting[i])...)
		}
		return keys, nil
	}
	return nil, nil
}

// isShared says that a blob holds raw input of several people: it goes with nobody, and is gone after at most 14 days.
func isShared(key string) bool { return strings.HasPrefix(key, "raw/shared/") }

// eraseCase removes a case and what leads to it.
func (s *Store) eraseCase(ctx context.Context, c *timeline.Case) error {
	return s.update(ctx, "erase case "+c.Reference, func(u *unit) error {
		k, c, err := u.header(c.Case)
		if err != nil || c == nil {
			return err
		}
		keys := []table.Key{referenceKey(c.Reference)}
		if c.Agent != "" {
			keys = append(keys, assignedKey(c.Agent, c.Case.Case))
		}
		channels := slices.Clone(c.AnsweredOn)
		for _, conversation := range c.Conversations {
			if channel, _ := AccountKey(conversation).Split(); !slices.Contains(channels, channel) {
				channels = append(channels, channel)
			}
		}
		for _, channel := range channels {
			keys = append(keys, s.replyTokenKey(s.ReplyToken(channel, c.Case.Case)))
		}
		for _, pointer := range keys {
			if err := u.drop(pointer); err != nil {
				return err
			}
		}
		u.remove(k)
		return nil
	})
}
