package pebble_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
	"github.com/aikajana/aikajana/internal/table/tabletest"
)

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// benchTable is a table on the real disk, under $TMPDIR.
func benchTable(b *testing.B) (*engine.DB, *pebble.Table) {
	b.Helper()
	db := openDB(b, b.TempDir(), vfs.Default)
	tab, err := pebble.New(db, (&tabletest.Clock{}).Now)
	if err != nil {
		b.Fatal(err)
	}
	return db, tab
}

// BenchmarkMessages stores messages as the pipeline does, by 64 writers: a durable commit of the raw envelope, then a durable
// transaction of entry, external ID, case header, profile and index, 8 keys in all; a reader follows the change feed.
func BenchmarkMessages(b *testing.B) {
	db, tab := benchTable(b)
	feed, err := tab.Feed(b.Context(), "react")
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 700)
	var next atomic.Int64
	var wg, reader sync.WaitGroup
	reader.Go(func() {
		for seen := 0; seen < 3*b.N; {
			changes, err := feed.Next(b.Context(), 1000)
			if err == nil {
				err = feed.Ack(b.Context())
			}
			if err != nil {
				return
			}
			seen += len(changes)
		}
	})
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				if err := storeMessage(b, db, tab, n, body); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	reader.Wait()
	m := db.Metrics()
	b.ReportMetric(float64(m.Members)/float64(m.Groups), "members/group")
}

func storeMessage(b *testing.B, db *engine.DB, tab *pebble.Table, n int64, body []byte) error {
	envelope := fmt.Appendf(nil, "q%016x", n)
	err := db.Apply(b.Context(), true, func(tx *engine.Tx) error {
		tx.Set(envelope, body)
		tx.Add([]byte("laccepted"), 1)
		return nil
	})
	if err != nil {
		return err
	}
	customer := fmt.Sprintf("C#%06d", n%50_000)
	head := table.Item{Key: table.Key{PK: customer, SK: "K#1"}, Body: body[:300]}
	head.Index = map[table.Index]table.Key{table.WorkList: {PK: "L#team#1", SK: fmt.Sprintf("%016d#%s", n, customer)}}
	for {
		cond := table.Absent
		if old, err := tab.Get(b.Context(), head.Key); err == nil {
			cond = table.At(old.Rev)
		} else if !errors.Is(err, table.ErrNotFound) {
			return err
		}
		ops := []table.Op{
			table.Put(table.Item{Key: table.Key{PK: customer, SK: fmt.Sprintf("E#%013d#%d", n, n)}, Body: body}, table.Absent),
			table.Put(table.Item{Key: table.Key{PK: fmt.Sprintf("X#%d", n), SK: "A"}, Body: body[:80]}, table.Absent),
			table.Put(head, cond),
		}
		err := db.Apply(b.Context(), true, func(tx *engine.Tx) error {
			tx.Delete(envelope)
			tx.Add([]byte("lprocessed"), 1)
			return tab.ApplyTx(tx, ops...)
		})
		if _, conflict := errors.AsType[*table.Conflict](err); !conflict {
			return err
		}
	}
}

// fill puts n entries into one partition.
func fill(b *testing.B, tab *pebble.Table, n int) {
	b.Helper()
	body := make([]byte, 700)
	for first := 0; first < n; first += table.MaxOps {
		var ops []table.Op
		for k := first; k < min(n, first+table.MaxOps); k++ {
			ops = append(ops, table.Put(table.Item{Key: table.Key{PK: "p", SK: fmt.Sprintf("E#%09d", k)}, Body: body}, table.Any))
		}
		if err := tab.Write(table.Redoable(b.Context()), ops...); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	_, tab := benchTable(b)
	fill(b, tab, 100_000)
	r := random(1)
	for b.Loop() {
		if _, err := tab.Get(b.Context(), table.Key{PK: "p", SK: fmt.Sprintf("E#%09d", r.IntN(100_000))}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPageOf50(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint("of ", n), func(b *testing.B) {
			_, tab := benchTable(b)
			fill(b, tab, n)
			r := random(1)
			for b.Loop() {
				items, err := tab.Query(b.Context(), table.Query{PK: "p", After: fmt.Sprintf("E#%09d", 50+r.IntN(n-50)), Desc: true, Limit: 50})
				if err != nil || len(items) != 50 {
					b.Fatal(len(items), err)
				}
			}
		})
	}
}
