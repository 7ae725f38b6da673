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

// inHand leaves messages behind that were in hand together at so many ends of a process.
func inHand(t *testing.T, deaths int, bodies ...string) *bench {
	t.Helper()
	b := newBench(t)
	b.send(bodies...)
	for range deaths {
		var got []queue.Message
		for more := b.receive(50); len(more) > 0; more = b.receive(50) {
			got = append(got, more...)
			b.index.suspects.out = nil // all are to be in hand at once, which the queue itself would not allow
		}
		if len(got) != len(bodies) {
			t.Fatalf("received %d, want all %d", len(got), len(bodies))
		}
		b.cutPower()
	}
	return b
}

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(i)
	}
	return all
}

func TestSuspectsComeInEverSmallerBatchesAndLastAlone(t *testing.T) {
	t.Parallel()
	for deaths, want := range []int{40, 40, 16, 4, 1} {
		b := inHand(t, deaths, names(40)...)
		first, second := b.receive(50), b.receive(50)
		if len(first) != want || len(second) != 0 {
			t.Errorf("after %d deaths %d came, and then %d; want %d, and nothing while they are worked on", deaths, len(first), len(second), want)
		}
	}
}

func TestSuspectsComeApartWhileOthersComeAsUsual(t *testing.T) {
	t.Parallel()
	b := inHand(t, queue.MaxAttempts-1, "a", "b")
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
	b := inHand(t, suspectAfter, "a", "b")
	got := b.receive(10)
	if err := b.Ack(t.Context(), got[:1]...); err != nil {
		t.Fatal(err)
	}
	b.cutPower() // right after, and nothing else was written
	if got := b.receive(10); len(got) != 1 || string(got[0].Body) != "b" {
		t.Errorf("received %v, want b alone", got)
	}
}

func TestSuspectThatFailsInOrderIsNoneAnyMore(t *testing.T) {
	t.Parallel()
	b := inHand(t, queue.MaxAttempts-2, names(8)...)
	for range 2 { // in two batches of four
		for _, m := range b.receive(10) {
			if err := b.Release(t.Context(), m, time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.pass(time.Second)
	if got := b.receive(10); len(got) != 8 {
		t.Errorf("received %v, want all together: their process lived to say that they failed", got)
	}
}

// Nobody settles the first suspect here: its time runs out at its last attempt, and it is dead.
func TestSuspectThatHangsLetsTheNextOneCome(t *testing.T) {
	t.Parallel()
	b := inHand(t, queue.MaxAttempts-1, "a", "b")
	if got := b.receive(10); len(got) != 1 || string(got[0].Body) != "a" {
		t.Fatalf("received %v, want a", got)
	}
	waits := make(chan []queue.Message)
	go func() {
		got, err := b.Receive(t.Context(), 10, time.Minute)
		if err != nil {
			t.Error(err)
		}
		waits <- got
	}()
	b.pass(visibility)
	if got := <-waits; len(got) != 1 || string(got[0].Body) != "b" {
		t.Errorf("received %v, want b", got)
	}
	if dead, err := b.Dead(t.Context(), 10); err != nil || len(dead) != 1 || string(dead[0].Body) != "a" {
		t.Errorf("dead are %v, %v; want a", dead, err)
	}
}
