package dynamo

import (
	"fmt"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Record is a stream record in nobody's types: Lambda's events and the streams API both convert to it.
type Record struct {
	Shard, Sequence string
	// At is ApproximateCreationDateTime, which is in whole seconds.
	At msg.Time
	// Keys, Old and New are the record's Keys, OldImage and NewImage; Old and New are nil when the record has none.
	Keys, Old, New map[string]Value
}

// Change is the record as the change feed tells it. An error means that the item was not written by this program.
func (r Record) Change() (table.Change, error) {
	c := table.Change{Shard: r.Shard, Seq: r.Sequence, At: r.At}
	k, err := decode(lookup(r.Keys))
	if err != nil {
		return c, fmt.Errorf("stream record %s: %w", r.Sequence, err)
	}
	c.Key = k.Key
	for _, image := range []struct {
		from map[string]Value
		to   **table.Item
	}{{r.Old, &c.Old}, {r.New, &c.New}} {
		if image.from == nil {
			continue
		}
		i, err := decode(lookup(image.from))
		if err != nil {
			return c, fmt.Errorf("stream record %s: %w", r.Sequence, err)
		}
		*image.to = &i
	}
	return c, nil
}

func lookup(m map[string]Value) func(string) (Value, bool) {
	return func(name string) (Value, bool) { v, ok := m[name]; return v, ok }
}
