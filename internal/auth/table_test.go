package auth_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

type memory struct {
	mu    sync.Mutex
	items map[table.Key]table.Item
	clock *clock
}

func openTable(t *testing.T, c *clock) table.Table {
	return &memory{items: map[table.Key]table.Item{}, clock: c}
}

func (m *memory) live(i table.Item) bool {
	return i.Expires == 0 || msg.TimeOf(m.clock.now()) < i.Expires
}

func (m *memory) Get(_ context.Context, k table.Key) (table.Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.items[k]
	if !ok || !m.live(i) {
		return i, table.ErrNotFound
	}
	return i, nil
}

func (m *memory) Query(_ context.Context, q table.Query) ([]table.Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []table.Item
	for k, i := range m.items {
		if k.PK == q.PK && k.SK >= q.From && (q.To == "" || k.SK < q.To) && k.SK > q.After && m.live(i) {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b table.Item) int { return strings.Compare(a.SK, b.SK) })
	if q.Limit > 0 && len(all) > q.Limit {
		all = all[:q.Limit]
	}
	return all, nil
}

func (m *memory) Write(_ context.Context, ops ...table.Op) error {
	if err := table.Validate(ops); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var c table.Conflict
	for n, op := range ops {
		i, ok := m.items[op.Item.Key]
		ok = ok && m.live(i)
		rev, at := op.If.Rev()
		if op.If.IsAbsent() && ok || at && (!ok || i.Rev != rev) {
			c.Failed = append(c.Failed, table.Failure{Op: n, Key: op.Item.Key, Found: i.Rev})
		}
	}
	if len(c.Failed) > 0 {
		return &c
	}
	for _, op := range ops {
		if op.Do == table.DoPut {
			m.items[op.Item.Key] = op.Item
		}
		if op.Do == table.DoDelete {
			delete(m.items, op.Item.Key)
		}
	}
	return nil
}
