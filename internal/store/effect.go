package store

import (
	"context"
	"fmt"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// effectsFor is how long it is remembered that an effect happened: longer than anything is replayed.
const effectsFor = 30 * 24 * time.Hour

func (s *Store) effectKey(effect string) table.Key {
	return table.Key{PK: "Y#" + s.hash("effect", effect), SK: "A"}
}

// Done says whether an outside effect has been noted as done.
func (s *Store) Done(ctx context.Context, effect string) (bool, error) {
	p, err := get[pointer](ctx, s, s.effectKey(effect))
	if err != nil {
		return false, fmt.Errorf("find out whether an effect is done: %w", err)
	}
	return p != nil, nil
}

// SetDone notes that an outside effect happened.
func (s *Store) SetDone(ctx context.Context, effect string) error {
	item := table.Item{Key: s.effectKey(effect), Rev: 1, Body: []byte("{}"), Expires: s.now().Add(effectsFor)}
	if err := s.write(ctx, table.Put(item, table.Any)); err != nil {
		return fmt.Errorf("note that an effect is done: %w", err)
	}
	return nil
}

// SetMedia records what became of a file of an entry, wherever it is shown: stored with its keys, or failed. A file of an entry that is gone is no
// error.
func (s *Store) SetMedia(ctx context.Context, entry string, part int, m msg.Media) error {
	return s.update(ctx, fmt.Sprintf("record file %d of entry %s", part, entry), func(u *unit) error {
		k, e, err := u.entry(entry)
		if err != nil || e == nil {
			return err
		}
		changed := false
		for _, have := range e.File(part, m.ID) {
			if have.State != msg.MediaStored { // else another worker was faster
				*have, changed = m, true
			}
		}
		if !changed {
			return nil
		}
		e.Touch(s.now())
		u.save(k, e)
		return nil
	})
}
