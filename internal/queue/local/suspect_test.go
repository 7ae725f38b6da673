package local

import (
	"fmt"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/queue"
)

// process lives until it works on one of the messages that kill it, or until there is nothing left to do. Like the local
// binary it has two workers with a batch each in hand; what neither has finished when it dies comes again. It says whether it
// died.
func process(t *testing.T, b *bench, deadly map[string]bool, acked map[string]bool) bool {
	t.Helper()
	hands := [2][]queue.Message{}
	for {
		for n := range hands {
			if len(hands[n]) == 0 {
				hands[n] = b.receive(10)
			}
		}
		if len(hands[0])+len(hands[1]) == 0 {
			return false
		}
		for n, batch := range hands {
			for _, m := range batch {
				if deadly[string(m.Body)] {
					return true
				}
			}
			if err := b.Ack(t.Context(), batch...); err != nil {
				t.Fatal(err)
			}
			for _, m := range batch {
				acked[string(m.Body)] = true
			}
			hands[n] = nil
		}
	}
}

func TestFault60_MessageThatKillsItsProcessTakesNobodyAlong(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var told []queue.Message
	b.onDead = func(dead []queue.Message) { told = append(told, dead...) }
	deadly, acked := map[string]bool{"7": true, "31": true}, map[string]bool{}
	const all = 60
	for n := range all {
		b.send(fmt.Sprint(n))
	}
	deaths := 0
	for process(t, b, deadly, acked) {
		if deaths++; deaths > 2*queue.MaxAttempts {
			t.Fatalf("%d deaths and no end", deaths)
		}
		b.cutPower()
	}
	dead, err := b.Dead(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range dead {
		if !deadly[string(m.Body)] {
			t.Errorf("message %s is dead: it killed nobody", m.Body)
		}
	}
	if len(dead) != len(deadly) || len(acked) != all-len(deadly) {
		t.Errorf("%d are dead and %d done of %d, want %d dead and the others done", len(dead), len(acked), all, len(deadly))
	}
	b.wantLedger("email/main", queue.Ledger{Accepted: all, Processed: all - 2, Dead: 2})
	if len(told) != 2 || told[0].ID != dead[0].ID || told[1].ID != dead[1].ID || told[0].Group != "email/main" || told[0].Attempt != queue.MaxAttempts {
		t.Errorf("whoever looks after the queue was told of %v, want the two that are dead", told)
	}
}

// inHandTwice leaves messages behind that were in hand at two ends of a process.
func inHandTwice(t *testing.T, bodies ...string) *bench {
	t.Helper()
	b := newBench(t)
	b.send(bodies...)
	for range suspectAfter {
		if got := b.receive(10); len(got) != len(bodies) {
			t.Fatalf("received %d, want %d together", len(got), len(bodies))
		}
		b.cutPower()
	}
	return b
}

func TestSuspectsComeOneAtATimeWhileOthersComeAsUsual(t *testing.T) {
	t.Parallel()
	b := inHandTwice(t, "a", "b")
	b.send("c", "d")
	first, others, none := b.receive(10), b.receive(10), b.receive(10)
	if len(first) != 1 || string(first[0].Body) != "a" || len(others) != 2 || len(none) != 0 {
		t.Fatalf("received %v, then %v, then %v; want a alone, then c and d, then nothing while a is worked on", first, others, none)
	}
	if err := b.Ack(t.Context(), first...); err != nil {
		t.Fatal(err)
	}
	if second := b.receive(10); len(second) != 1 || string(second[0].Body) != "b" {
		t.Errorf("received %v, want b once a is done", second)
	}
}

func TestSuspectThatIsDoneDoesNotComeBackAfterAPowerCut(t *testing.T) {
	t.Parallel()
	b := inHandTwice(t, "a", "b")
	if err := b.Ack(t.Context(), b.receive(10)...); err != nil {
		t.Fatal(err)
	}
	b.cutPower() // right after, and nothing else was written
	if got := append(b.receive(10), b.receive(10)...); len(got) != 1 || string(got[0].Body) != "b" {
		t.Errorf("received %v, want b alone", got)
	}
}

func TestSuspectThatFailsInOrderIsNoneAnyMore(t *testing.T) {
	t.Parallel()
	b := inHandTwice(t, "a", "b")
	for range 2 {
		if err := b.Release(t.Context(), b.receive(10)[0], time.Second); err != nil {
			t.Fatal(err)
		}
	}
	b.pass(time.Second)
	if got := b.receive(10); len(got) != 2 {
		t.Errorf("received %v, want both together: their process lived to say that they failed", got)
	}
}

// Nobody acknowledges or releases here: the first suspect's time runs out, once with attempts left and at last without.
func TestSuspectThatHangsLetsTheNextOneCome(t *testing.T) {
	t.Parallel()
	b := inHandTwice(t, "a", "b")
	waits := make(chan []queue.Message)
	first := b.receive(10)
	receive := func() {
		got, err := b.Receive(t.Context(), 10, time.Minute)
		if err != nil {
			t.Error(err)
		}
		waits <- got
	}
	go receive()
	if err := b.Ack(t.Context(), first...); err != nil {
		t.Fatal(err)
	}
	for attempt := suspectAfter + 1; attempt <= queue.MaxAttempts; attempt++ {
		if got := <-waits; len(got) != 1 || string(got[0].Body) != "b" || got[0].Attempt != attempt {
			t.Fatalf("received %v, want b at attempt %d", got, attempt)
		}
		go receive()
		if attempt < queue.MaxAttempts {
			b.pass(visibility)
		}
	}
	b.send("c")
	if got := <-waits; len(got) != 1 || string(got[0].Body) != "c" {
		t.Errorf("received %v, want c", got)
	}
}
