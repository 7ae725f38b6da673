package queuetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/queue"
)

// atOnce is a back-off for tests that do not want to wait.
func atOnce(int) time.Duration { return 0 }

func panicking(t *testing.T, h *Harness) {
	send(t, h.Queue, out("a"), out("b"))
	var mu sync.Mutex
	var reported []error
	seen := make(map[string]int)
	enough := make(chan struct{})
	handler := func(_ context.Context, batch []queue.Message) []string {
		mu.Lock()
		defer mu.Unlock()
		first := false
		for _, m := range batch {
			first = first || seen[string(m.Body)] == 0
			seen[string(m.Body)]++
		}
		if first {
			panic("out of paper")
		}
		if seen["a"] > 1 && seen["b"] > 1 {
			close(enough)
		}
		return nil
	}
	drain(t, h.Queue, queue.WorkOptions{Backoff: atOnce, Wait: time.Second, OnError: func(err error) {
		mu.Lock()
		defer mu.Unlock()
		reported = append(reported, err)
	}}, handler, enough)
	mu.Lock()
	defer mu.Unlock()
	if len(reported) == 0 || !strings.Contains(reported[0].Error(), "out of paper") || !strings.Contains(reported[0].Error(), "work.go") {
		t.Errorf("OnError was told %v, want the panic with its stack", reported)
	}
	h.wantEmpty(t)
}

func drains(t *testing.T, h *Harness) {
	send(t, h.Queue, out("a"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	queue.Work(ctx, h.Queue, func(inner context.Context, batch []queue.Message) []string {
		stop()
		if inner.Err() != nil {
			t.Error("the handler's context ended with the worker's")
		}
		if len(batch) != 1 {
			t.Errorf("a batch of %d", len(batch))
		}
		return nil
	}, queue.WorkOptions{Wait: time.Second})
	h.wantEmpty(t)
}

// wantEmpty waits until nothing is left in the queue.
func (h *Harness) wantEmpty(t *testing.T) {
	t.Helper()
	h.eventually(t, "an empty queue", func(ctx context.Context) (string, bool) {
		d, err := h.Queue.Depth(ctx)
		return fmt.Sprintf("%+v, %v", d, err), err == nil && d == queue.Depth{}
	})
}

func nothingLost(t *testing.T, h *Harness) {
	const senders, workers = 8, 4
	messages := h.Messages
	if messages == 0 {
		messages = 10_000
	}
	var mu sync.Mutex
	times := make(map[string]int, messages)
	enough := make(chan struct{})
	handler := func(_ context.Context, batch []queue.Message) (failed []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range batch {
			body := string(m.Body)
			if m.Attempt == 1 && strings.HasSuffix(body, "7") { // a tenth fails at first
				failed = append(failed, m.ID)
				continue
			}
			if times[body]++; times[body] == 1 && len(times) == messages {
				close(enough)
			}
		}
		return failed
	}
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for n := s; n < messages; n += 10 * senders {
				var out []queue.Outgoing
				for i := n; i < min(n+10*senders, messages); i += senders {
					out = append(out, queue.Outgoing{Body: fmt.Appendf(nil, "m%d", i), Group: fmt.Sprintf("email/%d", s)})
				}
				if err := h.Queue.Send(t.Context(), out...); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	drain(t, h.Queue, queue.WorkOptions{Backoff: atOnce, Concurrency: workers, Wait: time.Second, OnError: func(err error) { t.Error(err) }},
		handler, enough)
	sending.Wait()
	if len(times) != messages {
		t.Errorf("%d of %d messages came", len(times), messages)
	}
	h.wantEmpty(t)
}
