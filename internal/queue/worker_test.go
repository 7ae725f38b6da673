package queue

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is a queue that hands out what it is told to, for the worker's own decisions; what a worker does to a real queue is
// shown by package queuetest.
type script struct {
	Queue
	mu       sync.Mutex
	receives []func() ([]Message, error)
	acked    []string
	released map[string]time.Duration
	settle   error
	end      context.CancelFunc
}

func (s *script) Receive(context.Context, int, time.Duration) ([]Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.receives) == 0 {
		s.end()
		return nil, nil
	}
	next := s.receives[0]
	s.receives = s.receives[1:]
	return next()
}

func (s *script) Ack(_ context.Context, ms ...Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range ms {
		s.acked = append(s.acked, m.ID)
	}
	return s.settle
}

func (s *script) Release(_ context.Context, m Message, d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released == nil {
		s.released = make(map[string]time.Duration)
	}
	s.released[m.ID] = d
	return s.settle
}

func batch(ids ...string) func() ([]Message, error) {
	return func() (ms []Message, err error) {
		for n, id := range ids {
			ms = append(ms, Message{ID: id, Attempt: n + 1})
		}
		return ms, nil
	}
}

// work runs the script to its end and returns what OnError was told.
func (s *script) work(t *testing.T, h Handler, o WorkOptions) (reported []error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.end = cancel
	o.OnError = func(err error) { reported = append(reported, err) }
	Work(ctx, s, h, o)
	return reported
}

func TestFailedMessagesAreReleasedWithABackOffByAttempt(t *testing.T) {
	t.Parallel()
	s := &script{receives: []func() ([]Message, error){batch("a", "b", "c")}}
	if errs := s.work(t, func(context.Context, []Message) []string { return []string{"a", "c"} }, WorkOptions{}); len(errs) > 0 {
		t.Errorf("OnError was told %v of an ordinary failure", errs)
	}
	if len(s.acked) != 1 || s.acked[0] != "b" {
		t.Errorf("acked %v, want b", s.acked)
	}
	if s.released["a"] != 10*time.Second || s.released["c"] != 40*time.Second || len(s.released) != 2 {
		t.Errorf("released %v, want a for 10 s and c for 40 s", s.released)
	}
}

func TestUnknownFailedIDFailsTheWholeBatch(t *testing.T) {
	t.Parallel()
	s := &script{receives: []func() ([]Message, error){batch("a", "b")}}
	errs := s.work(t, func(context.Context, []Message) []string { return []string{"x"} }, WorkOptions{})
	if len(s.acked) > 0 || len(s.released) != 2 || len(errs) != 1 || !errors.Is(errs[0], errUnknownFailure) {
		t.Errorf("acked %v, released %v, reported %v", s.acked, s.released, errs)
	}
}

func TestErrorsOfTheQueueAreReportedAndSurvived(t *testing.T) {
	t.Parallel()
	s := &script{settle: errors.New("no answer"), receives: []func() ([]Message, error){
		func() ([]Message, error) { return nil, errors.New("out of order") }, batch("a", "b"),
	}}
	errs := s.work(t, func(context.Context, []Message) []string { return []string{"a"} }, WorkOptions{})
	if len(errs) != 3 {
		t.Fatalf("reported %v, want the receive, the release and the acknowledgement", errs)
	}
	for n, want := range []string{"out of order", "release message a", "acknowledge 1 messages"} {
		if !strings.Contains(errs[n].Error(), want) {
			t.Errorf("report %d is %q, want %q in it", n, errs[n], want)
		}
	}
}

func TestMessagesReceivedAsTheWorkerStopsAreWorkedOn(t *testing.T) {
	t.Parallel()
	s := &script{}
	s.receives = []func() ([]Message, error){func() ([]Message, error) { s.end(); return []Message{{ID: "a"}}, errors.New("cut off") }}
	var handled int
	errs := s.work(t, func(_ context.Context, b []Message) []string { handled += len(b); return nil }, WorkOptions{})
	if handled != 1 || len(s.acked) != 1 || len(errs) > 0 {
		t.Errorf("handled %d, acked %v, reported %v", handled, s.acked, errs)
	}
}

func TestTimeoutBoundsTheHandlersContext(t *testing.T) {
	t.Parallel()
	s := &script{receives: []func() ([]Message, error){batch("a")}}
	s.work(t, func(ctx context.Context, _ []Message) []string {
		<-ctx.Done()
		return []string{"a"}
	}, WorkOptions{Timeout: time.Millisecond})
	if len(s.acked) > 0 || len(s.released) != 1 {
		t.Errorf("acked %v, released %v", s.acked, s.released)
	}
}

func TestBackOffIsBoundedWhateverTheAttempt(t *testing.T) {
	t.Parallel()
	for _, attempt := range []int{-1, 0, 1, 5, 6, 8, 100, 1 << 30} {
		if d := DefaultBackoff(attempt); d < 10*time.Second || d > MaxDelay {
			t.Errorf("attempt %d waits %s", attempt, d)
		}
	}
}
