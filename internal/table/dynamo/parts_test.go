//go:build parts

package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"

	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/standin/proxy"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
	"github.com/aikajana/aikajana/internal/table/dynamo/streams"
	"github.com/aikajana/aikajana/internal/table/tabletest"
)

// bench is a table in DynamoDB Local, with a proxy in front of it that makes trouble.
type bench struct {
	name, stream  string
	wire          *wire
	client        *dynamodb.Client
	streamsClient *dynamodbstreams.Client
	positions     streams.Positions
	clock         tabletest.Clock
}

var tables atomic.Int64 // names must differ within the stand-in that all tests of this binary share

func setup(t testing.TB) *bench {
	t.Helper()
	b := &bench{name: fmt.Sprintf("table-%d", tables.Add(1)), wire: &wire{}}
	p, err := proxy.Open(standin.DynamoDB(t), b.wire.decide)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	fast := func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 5 * time.Millisecond })
	}
	b.client = dynamodb.NewFromConfig(standin.Config(p.URL), func(o *dynamodb.Options) { o.Retryer = fast() })
	b.streamsClient = dynamodbstreams.NewFromConfig(standin.Config(standin.DynamoDB(t)))
	if b.stream, err = dynamo.CreateTable(t.Context(), b.client, b.name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := b.client.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: &b.name}); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) table(m *dynamo.Meter) *dynamo.Table {
	return dynamo.New(b.client, b.name, dynamo.Options{Now: b.clock.Now, Meter: m})
}

func (b *bench) harness() tabletest.Harness {
	return tabletest.Harness{
		Table: b.table(nil), Clock: &b.clock,
		Feed: func(_ *testing.T, reader string) table.Feed {
			return streams.NewFeed(b.streamsClient, b.stream, reader, &b.positions, 10*time.Millisecond)
		},
		Restart:     func(*testing.T) tabletest.Harness { return b.harness() },
		LoseAnswers: b.wire.lose,
	}
}

// wire decides what becomes of calls on their way: it loses answers to writes, throttles, or takes half of a batch, on request.
type wire struct {
	losing, throttling, halving atomic.Int64
	// writes counts calls that write, as they arrived; turn has every way to throttle come round.
	writes, turn atomic.Int64
	mu           sync.Mutex
	between      func() // runs once, between a lost answer and the repeated request
}

func (w *wire) lose(n int) { w.losing.Store(int64(n)) }

func (w *wire) decide(c *proxy.Call) proxy.Trouble {
	switch c.Action {
	case "PutItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem":
		w.writes.Add(1)
	case "GetItem", "Query":
	default:
		return nil
	}
	reads := c.Action == "GetItem" || c.Action == "Query"
	switch {
	case w.throttling.Add(-1) >= 0:
		return proxy.Throttle(int(w.turn.Add(1)))
	case !reads && w.losing.Add(-1) >= 0:
		return w.loseOne
	case c.Action == "BatchWriteItem" && w.halving.Add(-1) >= 0:
		return proxy.Half
	}
	return nil
}

func (w *wire) loseOne(x *proxy.Exchange) {
	x.Forward(x.Body) // the write has landed
	w.mu.Lock()
	if w.between != nil {
		w.between()
		w.between = nil
	}
	w.mu.Unlock()
	x.Cut()
}

func TestSuite(t *testing.T) {
	t.Parallel()
	empty := func(t *testing.T) tabletest.Harness { return setup(t).harness() }
	tabletest.Run(t, empty)
	tabletest.RunLost(t, empty)
}

// TestReadersThatWaitOnEmptyTablesGetTheFirstWrite: DynamoDB Local says to some of them that they read too far back, as
// https://github.com/aws/aws-sdk-java/issues/2923 (read on 2026-11-30) tells, and more often the more tables it holds.
func TestReadersThatWaitOnEmptyTablesGetTheFirstWrite(t *testing.T) {
	t.Parallel()
	var waiting sync.WaitGroup
	for range 40 {
		h := setup(t).harness()
		f := h.Feed(t, "reader")
		waiting.Go(func() {
			if got, err := f.Next(t.Context(), 10); err != nil || len(got) != 1 {
				t.Errorf("%d changes, %v", len(got), err)
			}
		})
		waiting.Go(func() {
			if err := h.Table.Write(t.Context(), put("p", "a", "1", table.Absent)); err != nil {
				t.Error(err)
			}
		})
	}
	waiting.Wait()
}

func put(pk, sk, body string, c table.Cond) table.Op {
	return table.Put(table.Item{Key: table.Key{PK: pk, SK: sk}, Body: []byte(body)}, c)
}

func TestFault61_ALostAnswerAndAWriterInBetweenIsNotCalledAConflict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tab := b.table(nil)
	other := dynamo.New(dynamodb.NewFromConfig(standin.Config(standin.DynamoDB(t))), b.name, dynamo.Options{Now: b.clock.Now})
	if err := tab.Write(t.Context(), put("p", "a", "0", table.Absent)); err != nil {
		t.Fatal(err)
	}
	b.wire.between = func() {
		if err := other.Write(t.Context(), put("p", "a", "other", table.At(2))); err != nil {
			t.Error(err)
		}
	}
	b.wire.lose(1)
	// It landed as revision 2 and was overwritten since: "nothing was written" would be wrong.
	if err := tab.Write(t.Context(), put("p", "a", "mine", table.At(1))); !errors.Is(err, table.ErrLost) {
		t.Errorf("one op: %v, want ErrLost", err)
	}
	b.wire.between = func() {
		if err := other.Write(t.Context(), put("p", "a", "other", table.At(4))); err != nil {
			t.Error(err)
		}
	}
	b.wire.lose(1)
	// A transaction is known by its token, whatever happened since.
	if err := tab.Write(t.Context(), put("p", "a", "mine", table.At(3)), put("p", "b", "", table.Absent)); err != nil {
		t.Errorf("two ops: %v, want nil", err)
	}
}

func TestFault58_ThrottlingIsTriedAgainAndThenBusy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tab := b.table(nil)
	b.wire.throttling.Store(2)
	if err := tab.Write(t.Context(), put("p", "a", "1", table.Absent)); err != nil {
		t.Errorf("throttled twice: %v", err)
	}
	b.wire.throttling.Store(1000)
	for range 5 { // so that each way to throttle is a transaction's
		for _, ops := range [][]table.Op{{put("p", "b", "", table.Absent)}, {put("p", "b", "", table.Absent), put("p", "c", "", table.Absent)}, {table.Delete(table.Key{PK: "p", SK: "a"}, table.Any)}} {
			if err := tab.Write(t.Context(), ops...); !errors.Is(err, table.ErrBusy) || errors.Is(err, table.ErrLost) {
				t.Errorf("%d ops throttled for ever: %v, want ErrBusy", len(ops), err)
			}
		}
	}
	if _, err := tab.Get(t.Context(), table.Key{PK: "p", SK: "a"}); !errors.Is(err, table.ErrBusy) {
		t.Errorf("a read throttled for ever: %v, want ErrBusy", err)
	}
	if _, err := tab.Query(t.Context(), table.Query{PK: "p"}); !errors.Is(err, table.ErrBusy) {
		t.Errorf("a query throttled for ever: %v, want ErrBusy", err)
	}
	b.wire.throttling.Store(0)
	if all, err := tab.Query(t.Context(), table.Query{PK: "p"}); err != nil || len(all) != 1 || all[0].SK != "a" {
		t.Errorf("after the storm there is %v, %v, want what was there before", all, err)
	}
}

// noise is a body that packing makes no smaller.
func noise(n int) string {
	b, x := make([]byte, n), uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 24)
	}
	return string(b)
}

func TestTheMeterCountsByAWSRules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	meter := &dynamo.Meter{}
	tab := b.table(meter)
	indexed := func(sk, place string, size int) table.Item {
		i := table.Item{Key: table.Key{PK: "p", SK: sk}, Body: make([]byte, size)}
		if place != "" {
			i.Index = map[table.Index]table.Key{table.WorkList: {PK: "L", SK: place}}
		}
		return i
	}
	for _, c := range []struct {
		name string
		do   func() error
		want dynamo.Units
	}{
		{"a small put", func() error { return tab.Write(t.Context(), put("p", "a", "x", table.Absent)) }, dynamo.Units{Calls: 1, Writes: 1}},
		{"a put of 3 KB", func() error { return tab.Write(t.Context(), put("p", "b", noise(3000), table.Absent)) }, dynamo.Units{Calls: 1, Writes: 3}},
		{"a small put over 3 KB", func() error { return tab.Write(t.Context(), put("p", "b", "x", table.At(1))) }, dynamo.Units{Calls: 1, Writes: 3}},
		{"a refused put", func() error { _ = tab.Write(t.Context(), put("p", "a", "x", table.Absent)); return nil }, dynamo.Units{Calls: 1, Writes: 1}},
		{"entering an index", func() error { return tab.Write(t.Context(), table.Put(indexed("c", "1", 10), table.Absent)) }, dynamo.Units{Calls: 1, Writes: 1, IndexWrites: 1}},
		{"staying in an index", func() error { return tab.Write(t.Context(), table.Put(indexed("c", "1", 20), table.At(1))) }, dynamo.Units{Calls: 1, Writes: 1}},
		{"moving in an index", func() error { return tab.Write(t.Context(), table.Put(indexed("c", "2", 20), table.At(2))) }, dynamo.Units{Calls: 1, Writes: 1, IndexWrites: 2}},
		{"leaving an index", func() error { return tab.Write(t.Context(), table.Delete(table.Key{PK: "p", SK: "c"}, table.At(3))) }, dynamo.Units{Calls: 1, Writes: 1, IndexWrites: 1}},
		{"a transaction of three", func() error {
			return tab.Write(t.Context(), put("p", "d", "x", table.Absent), put("p", "e", noise(1500), table.Absent), table.Check(table.Key{PK: "p", SK: "a"}, table.At(1)))
		}, dynamo.Units{Calls: 1, Writes: 2 + 4 + 2}},
		{"a single check", func() error { return tab.Write(t.Context(), table.Check(table.Key{PK: "p", SK: "a"}, table.At(1))) }, dynamo.Units{Calls: 1, Reads: 1}},
		{"finding nothing", func() error { _, _ = tab.Get(t.Context(), table.Key{PK: "p", SK: "none"}); return nil }, dynamo.Units{Calls: 1, Reads: 1}},
		{"a page of small items", func() error { _, err := tab.Query(t.Context(), table.Query{PK: "p"}); return err }, dynamo.Units{Calls: 1, Reads: 1}},
		{"an index page", func() error {
			_, err := tab.Query(t.Context(), table.Query{Index: table.WorkList, PK: "L"})
			return err
		}, dynamo.Units{Calls: 1, Reads: 0.5}},
	} {
		meter.Reset()
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := meter.Sum(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
