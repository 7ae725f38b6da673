package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	queuelocal "github.com/aikajana/aikajana/internal/queue/local"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
)

// Sizes are the mean sizes, in bytes, of what the program writes for one message.
type Sizes struct{ Envelope, External, Entry, Case, Notification int }

func now() msg.Time { return msg.TimeOf(time.Now()) }

// Sample finds the sizes in a stopped data folder.
func Sample(ctx context.Context, data string) (s Sizes, err error) {
	db, err := engine.Open(filepath.Join(data, "store"), engine.Options{ReadOnly: true})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	t, err := pebble.New(db, now)
	if err != nil {
		return s, err
	}
	sums, counts := map[string]int{}, map[string]int{}
	for _, from := range []string{"C", "N", "X"} {
		items, err := t.Scan(ctx, table.Key{PK: from}, 10_000)
		if err != nil {
			return s, err
		}
		for _, i := range items {
			kind := i.PK[:1]
			if kind == "C" {
				kind = i.SK[:1]
			}
			sums[kind] += len(i.Body)
			counts[kind]++
		}
	}
	mean := func(kind string) int { return sums[kind] / max(counts[kind], 1) }
	return Sizes{External: mean("X"), Entry: mean("E"), Case: mean("K"), Notification: mean("N")}, nil
}

// Bare does with nothing but queue and table what the program does for each message: the envelope sent durably; external
// ID, entry and case header in one transaction; the notification; the acknowledgement; the change log followed and trimmed.
// No HTTP, no signature, no JSON, no reading of customers. It returns how long it took and the processor time it used.
func Bare(ctx context.Context, dir string, clients, messages, each int, s Sizes) (took, cpu time.Duration, err error) {
	db, err := engine.Open(dir, engine.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	b := &bare{db: db, sizes: s, cases: make([]atomic.Int64, Customers)}
	if b.table, err = pebble.New(db, now); err != nil {
		return 0, 0, err
	}
	if b.queue, err = queuelocal.New(db, "inbound", queuelocal.Options{}); err != nil {
		return 0, 0, err
	}
	feed, err := b.table.Feed(ctx, "react")
	if err != nil {
		return 0, 0, err
	}
	following, stop := context.WithCancel(ctx)
	var behind, writers sync.WaitGroup
	behind.Go(func() { _ = follow(following, feed, 256) })
	behind.Go(func() { queue.Work(following, b.queue, b.work, queue.WorkOptions{Batch: 64, Concurrency: 2}) })
	begun, used := time.Now(), OwnCPU()
	var next atomic.Int64
	failed := make(chan error, clients)
	for range clients {
		writers.Go(func() {
			for int(next.Add(1)-1)*each < messages {
				body := make([]byte, s.Envelope)
				_, _ = rand.Read(body)
				body[0] = byte(each)
				if err := b.queue.Send(ctx, queue.Outgoing{Body: body, Group: "whatsapp/main"}); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	writers.Wait()
	for b.stored.Load() < int64(messages/each*each) && ctx.Err() == nil && len(failed) == 0 {
		time.Sleep(time.Millisecond)
	}
	took, cpu = time.Since(begun), OwnCPU()-used
	stop()
	behind.Wait()
	close(failed)
	return took, cpu, <-failed
}

// follow moves the change feed on, so many changes at a time, until ctx ends.
func follow(ctx context.Context, feed table.Feed, most int) error {
	for {
		if _, err := feed.Next(ctx, most); err != nil {
			return err
		}
		if err := feed.Ack(ctx); err != nil {
			return err
		}
	}
}

type bare struct {
	db     *engine.DB
	table  *pebble.Table
	queue  *queuelocal.Queue
	sizes  Sizes
	cases  []atomic.Int64 // revision of each customer's case
	stored atomic.Int64
}

// work stores the messages of a batch.
func (b *bare) work(ctx context.Context, batch []queue.Message) (failed []string) {
	ctx = table.Redoable(ctx)
	for i := range batch {
		for n := range int(batch[i].Body[0]) {
			if err := b.store(ctx, batch[i].Body, n); err != nil {
				failed = append(failed, batch[i].ID)
				break
			}
		}
	}
	return failed
}

func (b *bare) store(ctx context.Context, body []byte, n int) error {
	who := (int(body[1])<<8 + int(body[2]) + n) % Customers
	id := hex.EncodeToString(body[3:16]) + fmt.Sprint(n)
	customer := fmt.Sprintf("C#%026d", who)
	at := fmt.Sprintf("%015d", now())
	fill := func(n int) []byte {
		out := make([]byte, n)
		for len(out) > 0 && n > 0 {
			n -= copy(out[len(out)-n:], body)
		}
		return out
	}
	for {
		rev := b.cases[who].Load()
		header := table.Item{Key: table.Key{PK: customer, SK: "K#k"}, Body: fill(b.sizes.Case), Index: map[table.Index]table.Key{
			table.WorkList: {PK: "L#team#support", SK: customer}, table.Due: {PK: "due#1", SK: customer},
		}}
		on := table.Absent
		if rev > 0 {
			on = table.At(rev)
		}
		err := b.table.Write(ctx,
			table.Put(table.Item{Key: table.Key{PK: "X#" + id, SK: "A"}, Body: fill(b.sizes.External)}, table.Absent),
			table.Put(table.Item{Key: table.Key{PK: customer, SK: "E#" + at + "#" + id}, Body: fill(b.sizes.Entry)}, table.Absent),
			table.Put(header, on))
		var conflict *table.Conflict
		if errors.As(err, &conflict) {
			continue
		}
		if err != nil {
			return err
		}
		b.cases[who].CompareAndSwap(rev, rev+1)
		break
	}
	err := b.table.Write(ctx, table.Put(table.Item{
		Key: table.Key{PK: "N#support", SK: at + "#" + id}, Rev: 1, Body: fill(b.sizes.Notification), Expires: now().Add(72 * time.Hour),
	}, table.Any))
	b.stored.Add(1)
	return err
}
