package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
)

func arrivesOnce(t *testing.T, h *Harness) {
	send(t, h.Queue, queue.Outgoing{Body: []byte(`{"a":"ä"}`), Group: "whatsapp/main"})
	m := h.one(t, h.Queue)
	if string(m.Body) != `{"a":"ä"}` || m.Group != "whatsapp/main" || m.Attempt != 1 || m.ID == "" || m.SentAt == 0 {
		t.Errorf("received %+v with body %q", m, m.Body)
	}
	ack(t, h.Queue, m)
	h.Pass(h.Visibility)
	none(t, h.Queue)
	ack(t, h.Queue, m) // again: no error
}

func anyBytes(t *testing.T, h *Harness) {
	all := make([]byte, 256)
	for n := range all {
		all[n] = byte(n)
	}
	bodies := []string{"plain", "ÅÄÖ 🎉", "line\r\nline\ttab", "\x00", "\xff\xfe", string(all), "base64:", "base64:cGxhaW4=", "\uFFFF", "\uFFFD"}
	want := make(map[string]bool)
	for _, body := range bodies {
		want[body] = true
		send(t, h.Queue, out(body))
	}
	for range bodies {
		m := h.one(t, h.Queue)
		if !want[string(m.Body)] {
			t.Errorf("received %q, which was not sent or came twice", m.Body)
		}
		delete(want, string(m.Body))
		ack(t, h.Queue, m)
	}
}

func manyInOneCall(t *testing.T, h *Harness) {
	const n = 23 // more than two batches of SQS, and more than 1 MiB together
	var all []queue.Outgoing
	want := make(map[string]bool)
	for i := range n {
		body := strings.Repeat(fmt.Sprintf("%02d", i), 50_000)
		want[body] = true
		all = append(all, out(body))
	}
	send(t, h.Queue, all...)
	for range n {
		m := h.one(t, h.Queue)
		delete(want, string(m.Body))
		ack(t, h.Queue, m)
	}
	if len(want) > 0 {
		t.Errorf("%d of %d messages did not come", len(want), n)
	}
	send(t, h.Queue) // none at all: no error
}

func visibility(t *testing.T, h *Harness) {
	send(t, h.Queue, out("a"))
	first := h.one(t, h.Queue)
	none(t, h.Queue)
	h.Pass(h.Visibility)
	second := h.one(t, h.Queue)
	if second.ID != first.ID || second.Attempt != 2 || second.Handle == first.Handle || second.SentAt != first.SentAt {
		t.Errorf("after %+v received %+v, want the same message, attempt 2, another handle", first, second)
	}
	none(t, h.Queue)
	ack(t, h.Queue, second)
}

func lateAck(t *testing.T, h *Harness) {
	send(t, h.Queue, out("a"))
	first := h.one(t, h.Queue)
	h.Pass(h.Visibility)
	second := h.one(t, h.Queue)
	ack(t, h.Queue, first)
	ack(t, h.Queue, second)
	h.Pass(h.Visibility)
	none(t, h.Queue)
}

func delayed(t *testing.T, h *Harness) {
	send(t, h.Queue, queue.Outgoing{Body: []byte("later"), Delay: h.Visibility}, out("now"))
	if m := h.one(t, h.Queue); string(m.Body) != "now" {
		t.Errorf("received %q first", m.Body)
	}
	none(t, h.Queue)
	h.Pass(h.Visibility)
	for { // the other one may come again by now
		if m := h.one(t, h.Queue); string(m.Body) == "later" {
			if m.Attempt != 1 {
				t.Errorf("attempt %d, want 1", m.Attempt)
			}
			return
		}
	}
}

func released(t *testing.T, h *Harness) {
	send(t, h.Queue, out("a"))
	first := h.one(t, h.Queue)
	if err := h.Queue.Release(t.Context(), first, 0); err != nil {
		t.Fatal(err)
	}
	second := h.one(t, h.Queue)
	if second.ID != first.ID || second.Attempt != 2 {
		t.Errorf("received %+v, want message %s at attempt 2", second, first.ID)
	}
	ack(t, h.Queue, second)
}

func releasedLater(t *testing.T, h *Harness) {
	send(t, h.Queue, out("a"))
	first := h.one(t, h.Queue)
	if err := h.Queue.Release(t.Context(), first, 2*h.Visibility); err != nil {
		t.Fatal(err)
	}
	h.Pass(h.Visibility)
	none(t, h.Queue) // its delay counts, not the time-out that it had
	h.Pass(h.Visibility)
	if second := h.one(t, h.Queue); second.ID != first.ID || second.Attempt != 2 {
		t.Errorf("received %+v, want message %s at attempt 2", second, first.ID)
	}
}

func dead(t *testing.T, h *Harness) {
	send(t, h.Queue, out("poison"), out("good"))
	if letters, err := h.Queue.Dead(t.Context(), 10); err != nil || len(letters) > 0 {
		t.Fatalf("found %d dead letters in a new queue, %v", len(letters), err)
	}
	for attempt := 1; attempt <= queue.MaxAttempts; {
		m := h.one(t, h.Queue)
		if string(m.Body) == "good" {
			ack(t, h.Queue, m)
			continue
		}
		if m.Attempt != attempt {
			t.Errorf("attempt %d, want %d", m.Attempt, attempt)
		}
		attempt++
		if err := h.Queue.Release(t.Context(), m, 0); err != nil {
			t.Fatal(err)
		}
	}
	none(t, h.Queue)
	h.wantDead(t, h.Queue, 1)
	for range 2 { // looking removes nothing
		h.eventually(t, "the dead letter", func(ctx context.Context) (string, bool) {
			letters, err := h.Queue.Dead(ctx, 10)
			if err != nil || len(letters) != 1 {
				return fmt.Sprintf("%d dead letters, %v", len(letters), err), false
			}
			m := letters[0]
			return fmt.Sprintf("%+v", m), string(m.Body) == "poison" && m.Group == "email/main" && m.ID != "" && m.SentAt != 0
		})
	}
}

func crashLoop(t *testing.T, h *Harness) {
	send(t, h.Queue, out("poison"))
	q := h.Queue
	for attempt := 1; attempt <= queue.MaxAttempts; attempt++ {
		m := h.one(t, q)
		if m.Attempt != attempt || string(m.Body) != "poison" {
			t.Fatalf("received %q, attempt %d, want attempt %d", m.Body, m.Attempt, attempt)
		}
		q = h.Reopen()
		h.Pass(h.Visibility)
	}
	none(t, q)
	h.wantDead(t, q, 1)
	q = h.Reopen()
	h.wantDead(t, q, 1)
	none(t, q)
}

func redriven(t *testing.T, h *Harness) {
	send(t, h.Queue, out("a"))
	h.exhaust(t, h.Queue)
	if n, err := h.Queue.Redrive(t.Context()); err != nil || n != 1 && n != -1 {
		t.Fatalf("redrove %d messages, %v; want 1, or -1 for unknown", n, err)
	}
	for attempt := 1; attempt <= queue.MaxAttempts; attempt++ {
		m := h.one(t, h.Queue)
		if m.Attempt != attempt || string(m.Body) != "a" || m.Group != "email/main" {
			t.Fatalf("received %+v, want attempt %d", m, attempt)
		}
		if err := h.Queue.Release(t.Context(), m, 0); err != nil {
			t.Fatal(err)
		}
	}
	none(t, h.Queue)
	h.wantDead(t, h.Queue, 1)
}

func depth(t *testing.T, h *Harness) {
	want := func(want queue.Depth) {
		t.Helper()
		h.eventually(t, fmt.Sprintf("depth %+v", want), func(ctx context.Context) (string, bool) {
			d, err := h.Queue.Depth(ctx)
			return fmt.Sprintf("%+v, %v", d, err), err == nil && d == want
		})
	}
	want(queue.Depth{})
	send(t, h.Queue, out("a"), out("b"), out("c"), queue.Outgoing{Body: []byte("later"), Delay: queue.MaxDelay})
	want(queue.Depth{Ready: 3, Delayed: 1})
	m := h.one(t, h.Queue)
	want(queue.Depth{Ready: 2, Delayed: 1, InFlight: 1})
	ack(t, h.Queue, m)
	want(queue.Depth{Ready: 2, Delayed: 1})
}

func limits(t *testing.T, h *Harness) {
	fits := out("fits")
	for name, o := range map[string]queue.Outgoing{
		"a body over the limit":                  {Body: make([]byte, queue.MaxBody+1)},
		"text over the limit":                    {Body: bytes.Repeat([]byte("a"), queue.MaxBody+1)},
		"bytes over the limit once in base64":    {Body: bytes.Repeat([]byte{0}, queue.MaxBody*3/4)},
		"no body":                                {},
		"a delay over the limit":                 {Body: []byte("a"), Delay: queue.MaxDelay + time.Second},
		"a delay into the past":                  {Body: []byte("a"), Delay: -time.Second},
		"a group over the limit":                 {Body: []byte("a"), Group: strings.Repeat("g", queue.MaxGroup+1)},
		"a group that a message cannot be given": {Body: []byte("a"), Group: "email/ä"},
	} {
		if err := h.Queue.Send(t.Context(), fits, o); !errors.Is(err, queue.ErrLimit) {
			t.Errorf("%s: got %v, want ErrLimit", name, err)
		}
	}
	none(t, h.Queue) // the good one of each call was not sent alone
	send(t, h.Queue, fits)
	m := h.one(t, h.Queue)
	if err := h.Queue.Release(t.Context(), m, queue.MaxDelay+time.Second); !errors.Is(err, queue.ErrLimit) {
		t.Errorf("release with a delay over the limit: got %v, want ErrLimit", err)
	}
	ack(t, h.Queue, m)
}

func atTheLimits(t *testing.T, h *Harness) {
	large := bytes.Repeat([]byte("a"), queue.MaxBody)
	group := strings.Repeat("g", queue.MaxGroup)
	send(t, h.Queue, queue.Outgoing{Body: large, Group: group}, queue.Outgoing{Body: []byte("later"), Delay: queue.MaxDelay},
		queue.Outgoing{Body: large})
	for range 2 {
		m := h.one(t, h.Queue)
		if !bytes.Equal(m.Body, large) || m.Group != group && m.Group != "" {
			t.Errorf("received %d bytes for %q", len(m.Body), m.Group)
		}
		ack(t, h.Queue, m)
	}
	none(t, h.Queue)
}

func receiveWaits(t *testing.T, h *Harness) {
	none(t, h.Queue)
	type result struct {
		got []queue.Message
		err error
	}
	received := make(chan result)
	// Shorter than the wait: a receive that finds the message only when its wait is over does not pass.
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	go func() {
		for {
			got, err := h.Queue.Receive(ctx, 10, 20*time.Second)
			if len(got) > 0 || err != nil {
				received <- result{got, err}
				return
			}
		}
	}()
	select {
	case r := <-received:
		t.Fatalf("received %d messages from an empty queue, %v", len(r.got), r.err)
	case <-time.After(50 * time.Millisecond): // long enough for most runs to be waiting by now; right either way
	}
	before := msg.TimeOf(time.Now())
	send(t, h.Queue, out("a"))
	if r := <-received; r.err != nil || len(r.got) != 1 {
		t.Errorf("received %d messages, %v, want the one sent at %s", len(r.got), r.err, before)
	}
}

func receiveEnds(t *testing.T, h *Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := h.Queue.Receive(ctx, 10, 20*time.Second)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context was cancelled", err)
	}
	send(t, h.Queue, out("a")) // a receiver that left takes no message with it
	ack(t, h.Queue, h.one(t, h.Queue))
}
