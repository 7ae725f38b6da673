package local

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/queue"
)

// onDisk is a queue on the real file system of the temporary folder.
func onDisk(b *testing.B, dir string) (*engine.DB, *Queue) {
	b.Helper()
	db, err := engine.Open(dir, engine.Options{})
	if err != nil {
		b.Fatal(err)
	}
	q, err := New(db, "inbound", Options{})
	if err != nil {
		b.Fatal(err)
	}
	return db, q
}

// body is as large as a WhatsApp envelope.
var body = make([]byte, 1500)

func fill(b *testing.B, q *Queue, n int) {
	b.Helper()
	var sending sync.WaitGroup
	for range 8 {
		sending.Go(func() {
			out := make([]queue.Outgoing, 100)
			for i := range out {
				out[i] = queue.Outgoing{Body: body, Group: fmt.Sprintf("email/%d", i%7)}
			}
			for range n / 800 {
				if err := q.Send(b.Context(), out...); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	sending.Wait()
}

// BenchmarkSend64 is 64 senders, each message on disk before its Send returns.
func BenchmarkSend64(b *testing.B) {
	db, q := onDisk(b, b.TempDir())
	defer func() { _ = db.Close() }()
	var left atomic.Int64
	left.Store(int64(b.N))
	var sending sync.WaitGroup
	b.ResetTimer()
	for s := range 64 {
		sending.Go(func() {
			for left.Add(-1) >= 0 {
				if err := q.Send(b.Context(), queue.Outgoing{Body: body, Group: fmt.Sprintf("email/%d", s%7)}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	sending.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkSendOne is one sender alone: the latency of an fsync.
func BenchmarkSendOne(b *testing.B) {
	db, q := onDisk(b, b.TempDir())
	defer func() { _ = db.Close() }()
	for b.Loop() {
		if err := q.Send(b.Context(), queue.Outgoing{Body: body, Group: "email/main"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReceiveAck is workers that empty a full queue in batches of ten.
func BenchmarkReceiveAck(b *testing.B) {
	for _, workers := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			db, q := onDisk(b, b.TempDir())
			defer func() { _ = db.Close() }()
			fill(b, q, b.N+800)
			var left atomic.Int64
			left.Store(int64(b.N))
			ctx, stop := context.WithCancel(b.Context())
			defer stop()
			b.ResetTimer()
			queue.Work(ctx, q, func(_ context.Context, batch []queue.Message) []string {
				if left.Add(-int64(len(batch))) <= 0 {
					stop()
				}
				return nil
			}, queue.WorkOptions{Concurrency: workers, Wait: time.Second})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkSendAndWork is 64 senders and 4 workers at the same time, until all is worked off.
func BenchmarkSendAndWork(b *testing.B) {
	db, q := onDisk(b, b.TempDir())
	defer func() { _ = db.Close() }()
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var toSend, toWork atomic.Int64
	toSend.Store(int64(b.N))
	toWork.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	for s := range 64 {
		all.Go(func() {
			for toSend.Add(-1) >= 0 {
				if err := q.Send(b.Context(), queue.Outgoing{Body: body, Group: fmt.Sprintf("email/%d", s%7)}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Go(func() {
		queue.Work(ctx, q, func(_ context.Context, batch []queue.Message) []string {
			if toWork.Add(-int64(len(batch))) <= 0 {
				stop()
			}
			return nil
		}, queue.WorkOptions{Concurrency: 4, Wait: time.Second})
	})
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkOpen300k is opening a queue of 300,000 messages, and counting its ledger.
func BenchmarkOpen300k(b *testing.B) {
	dir := b.TempDir()
	db, q := onDisk(b, dir)
	fill(b, q, 300_000)
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		start := time.Now()
		db, q := onDisk(b, dir)
		b.ReportMetric(time.Since(start).Seconds(), "s/open")
		start = time.Now()
		if _, err := q.Ledger(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/ledger")
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
