package queuetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/queue"
)

// Fault57 shows: record 3 of 10 fails; only that one is reported and comes again.
func Fault57(t *testing.T, h *Harness) {
	var ten []queue.Outgoing
	for n := range 10 {
		ten = append(ten, out(fmt.Sprintf("m%d", n)))
	}
	send(t, h.Queue, ten...)
	var mu sync.Mutex
	times := make(map[string]int)
	enough := make(chan struct{})
	handler := func(_ context.Context, batch []queue.Message) (failed []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range batch {
			times[string(m.Body)]++
			if string(m.Body) == "m3" && m.Attempt == 1 {
				failed = append(failed, m.ID)
			}
		}
		if len(times) == 10 && times["m3"] == 2 {
			close(enough)
		}
		return failed
	}
	drain(t, h.Queue, queue.WorkOptions{Backoff: atOnce, Wait: time.Second, OnError: func(err error) { t.Error(err) }}, handler, enough)
	for body, n := range times {
		if want := map[bool]int{false: 1, true: 2}[body == "m3"]; n != want {
			t.Errorf("%s came %d times, want %d", body, n, want)
		}
	}
	h.wantEmpty(t)
}

// Fault58 shows: what a handler needs is throttled for far longer than a message has attempts. A handler that sends such a message
// again with a delay, and reports no failure, loses none of them to the dead-letter queue.
func Fault58(t *testing.T, h *Harness) {
	const messages, refusals = 5, queue.MaxAttempts + 2
	for n := range messages {
		send(t, h.Queue, out(fmt.Sprintf("m%d", n)))
	}
	var mu sync.Mutex
	refused, done := make(map[string]int), make(map[string]bool)
	enough := make(chan struct{})
	handler := func(ctx context.Context, batch []queue.Message) (failed []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range batch {
			body := string(m.Body)
			if refused[body] < refusals {
				refused[body]++
				if err := h.Queue.Send(ctx, queue.Outgoing{Body: m.Body, Group: m.Group}); err != nil {
					t.Error(err)
					failed = append(failed, m.ID)
				}
				continue
			}
			if done[body] = true; len(done) == messages {
				close(enough)
			}
		}
		return failed
	}
	drain(t, h.Queue, queue.WorkOptions{Wait: time.Second, OnError: func(err error) { t.Error(err) }}, handler, enough)
	h.wantEmpty(t) // nothing dead
}

// Fault59 shows: the dead-letter queue is redriven twice; every message is worked on once more and no more often.
func Fault59(t *testing.T, h *Harness) {
	send(t, h.Queue, out("a"), out("b"), out("c"))
	for range 3 * queue.MaxAttempts {
		if err := h.Queue.Release(t.Context(), h.one(t, h.Queue), 0); err != nil {
			t.Fatal(err)
		}
	}
	none(t, h.Queue)
	h.wantDead(t, h.Queue, 3)
	for range 2 {
		if _, err := h.Queue.Redrive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for range 3 {
		m := h.one(t, h.Queue)
		got = append(got, string(m.Body))
		ack(t, h.Queue, m)
	}
	if slices.Sort(got); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("received %q, want each message once", got)
	}
	if _, err := h.Queue.Redrive(t.Context()); err != nil {
		t.Errorf("redrive nothing: %v", err)
	}
	h.Pass(h.Visibility)
	none(t, h.Queue)
	h.wantEmpty(t)
}

// Fault60 shows: a worker is killed while it works; another one takes over after the visibility time-out.
func Fault60(t *testing.T, h *Harness) {
	send(t, h.Queue, out("a"))
	first := h.one(t, h.Queue)
	none(t, h.Queue) // nobody else gets it while it may still be worked on
	q := h.Reopen()
	h.Pass(h.Visibility)
	second := h.one(t, q)
	if second.ID != first.ID || second.Attempt != 2 {
		t.Errorf("received %+v, want message %s at attempt 2", second, first.ID)
	}
	ack(t, q, second)
	h.Pass(h.Visibility)
	none(t, q)
}
