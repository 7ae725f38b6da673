package dynamo

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/aikajana/aikajana/internal/table"
)

// Units are request units of an on-demand table, as AWS bills them.
type Units struct {
	Calls int64
	// Writes and IndexWrites are write request units (1 KB each), Reads read request units (4 KB each).
	Writes, IndexWrites, Reads float64
}

// Meter counts what calls would cost on AWS, by AWS's rules rather than by what a stand-in reports (DynamoDB Local says 2 for
// every transaction). The rules, as documented on 2026-11-22 in the Developer Guide's "DynamoDB read and write operations" and
// "Global secondary indexes":
//
//   - a write takes a unit for each KB begun, of the item before or after it, whichever is larger; deleting nothing takes 1;
//   - in a transaction every item takes twice that, a check included;
//   - a write whose condition fails is billed like one that lands;
//   - an index takes a write when an item enters or leaves it, two when it moves, none when its entry stays the same; index
//     writes are not doubled by transactions;
//   - a strongly consistent read takes a unit for each 4 KB begun, over all items of a page together; an eventually consistent
//     one half of that; finding nothing takes the least.
//
// To know the items before a write the Meter reads them, which it does not count: with concurrent writers of one key its
// figures are approximate. The zero Meter is ready; a nil one counts nothing. Safe for concurrent use.
type Meter struct {
	// Item, when set, is told of every item written, with the units that it and its index entries take. It is called by
	// whoever writes, several at once.
	Item func(k table.Key, units, index float64)

	mu   sync.Mutex
	kind map[string]Units
}

// Totals are the units so far by kind of call: put, delete, batch, transaction, get, query, query index, scan.
func (m *Meter) Totals() map[string]Units {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.kind)
}

// Sum is the units so far over all kinds.
func (m *Meter) Sum() (sum Units) {
	for _, u := range m.Totals() {
		sum.Calls += u.Calls
		sum.Writes += u.Writes
		sum.IndexWrites += u.IndexWrites
		sum.Reads += u.Reads
	}
	return sum
}

// Reset forgets everything counted so far.
func (m *Meter) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.kind)
}

func (m *Meter) add(kind string, u Units) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kind == nil {
		m.kind = make(map[string]Units)
	}
	sum := m.kind[kind]
	sum.Calls++
	sum.Writes += u.Writes
	sum.IndexWrites += u.IndexWrites
	sum.Reads += u.Reads
	m.kind[kind] = sum
}

const (
	strong   = 1.0
	eventual = 0.5
)

func (m *Meter) read(kind string, items []map[string]types.AttributeValue, price float64) {
	if m == nil {
		return
	}
	size := 0
	for _, i := range items {
		size += sizeOf(i)
	}
	m.add(kind, Units{Reads: price * float64(max(1, (size+4095)/4096))})
}

// before reads the items that are about to be written.
func (m *Meter) before(ctx context.Context, t *Table, ops []*table.Op) []map[string]types.AttributeValue {
	if m == nil || len(ops) == 1 && ops[0].Do == table.DoCheck {
		return nil
	}
	olds := make([]map[string]types.AttributeValue, len(ops))
	for n, op := range ops {
		out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: t.name, Key: keyOf(op.Item.Key), ConsistentRead: aws.Bool(true)})
		if err == nil { // otherwise the write itself will fail too
			olds[n] = out.Item
		}
	}
	return olds
}

// wrote counts a write that landed, or that failed on a condition.
func (m *Meter) wrote(t *Table, ops []*table.Op, olds []map[string]types.AttributeValue, apart bool, err error) {
	_, refused := errors.AsType[*table.Conflict](err)
	if m == nil || len(ops) == 0 || err != nil && !refused {
		return
	}
	kind, price := "transaction", 2.0
	switch {
	case len(ops) > 1 && apart:
		kind, price = "batch", 1.0
	case len(ops) == 1:
		kind, price = "put", 1.0
		if ops[0].Do == table.DoDelete {
			kind = "delete"
		}
	}
	var u Units
	for n, op := range ops {
		var after map[string]types.AttributeValue
		switch op.Do {
		case table.DoPut:
			after = t.encode(&op.Item, revision(op), "12345678901234567890123456")
		case table.DoCheck:
			after = olds[n]
		case table.DoDelete:
		}
		units, index := price*writeUnits(max(sizeOf(olds[n]), sizeOf(after))), 0.0
		if !refused {
			index = indexUnits(olds[n], after)
		}
		u.Writes += units
		u.IndexWrites += index
		if m.Item != nil {
			m.Item(op.Item.Key, units, index)
		}
	}
	m.add(kind, u)
}

// WriteUnits is what a single write of the item takes, as the table sends it; in a transaction it is twice that.
func WriteUnits(item map[string]types.AttributeValue) float64 { return writeUnits(sizeOf(item)) }

func writeUnits(size int) float64 { return float64(max(1, (size+1023)/1024)) }

func indexUnits(before, after map[string]types.AttributeValue) (units float64) {
	for _, index := range indexes {
		was, now := entryOf(before, index), entryOf(after, index)
		if place(was, index) == place(now, index) {
			continue
		}
		for _, entry := range []map[string]types.AttributeValue{was, now} {
			if entry != nil {
				units += writeUnits(sizeOf(entry))
			}
		}
	}
	return units
}

// entryOf is what an index with keys only holds of an item, nil for nothing.
func entryOf(item map[string]types.AttributeValue, index table.Index) map[string]types.AttributeValue {
	pk, sk := indexAttributes(index)
	if item[pk] == nil {
		return nil
	}
	return map[string]types.AttributeValue{"p": item["p"], "s": item["s"], pk: item[pk], sk: item[sk]}
}

func place(entry map[string]types.AttributeValue, index table.Index) table.Key {
	pk, sk := indexAttributes(index)
	get := attributes(entry)
	p, _ := get(pk)
	s, _ := get(sk)
	return table.Key{PK: p.S, SK: s.S}
}

// sizeOf is an item's size: names and values in UTF-8; a number takes about a byte for two digits and one more.
func sizeOf(item map[string]types.AttributeValue) (size int) {
	for name, value := range item {
		size += len(name)
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			size += len(v.Value)
		case *types.AttributeValueMemberB:
			size += len(v.Value)
		case *types.AttributeValueMemberN:
			size += (len(v.Value)+1)/2 + 1
		}
	}
	return size
}
