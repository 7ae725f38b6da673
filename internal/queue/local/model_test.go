package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/aikajana/aikajana/internal/queue"
)

// TestAnyHistoryKeepsEveryMessageAndBalances does anything in any order, power cuts included, and holds the queue to what must
// be true after each step: the ledger balances, nobody is delivered what somebody else holds, no message is delivered
// more often than allowed without a redrive, and in the end every message is accounted for.
func TestAnyHistoryKeepsEveryMessageAndBalances(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{bench: newBench(t), sent: make(map[string]bool), acked: make(map[string]bool), held: make(map[string]holding), last: make(map[string]int)}
		defer func() { _ = m.db.Close() }() // ends with what the test found, not with how it closes
		rt.Repeat(map[string]func(*rapid.T){
			"send":      m.send,
			"receive":   m.receive,
			"ack":       m.ack,
			"release":   m.release,
			"time":      m.time,
			"power cut": m.powerCut,
			"redrive":   m.redrive,
			"":          m.check,
		})
		m.everything(rt)
	})
}

type holding struct {
	message  queue.Message
	until    int64
	released bool
}

type model struct {
	*bench
	count       int
	sent, acked map[string]bool
	held        map[string]holding
	last        map[string]int // attempt by body
}

func (m *model) send(t *rapid.T) {
	var out []queue.Outgoing
	for range rapid.IntRange(1, 3).Draw(t, "messages") {
		m.count++
		o := queue.Outgoing{Body: fmt.Append(nil, m.count), Group: rapid.SampledFrom([]string{"", "email/main", "form/main"}).Draw(t, "group")}
		if rapid.Bool().Draw(t, "delayed") {
			o.Delay = time.Duration(rapid.IntRange(1, 900).Draw(t, "delay")) * time.Second
		}
		out = append(out, o)
		m.sent[string(o.Body)] = true
	}
	if err := m.Send(m.t.Context(), out...); err != nil {
		t.Fatal(err)
	}
}

func (m *model) receive(t *rapid.T) {
	got, err := m.Receive(m.t.Context(), rapid.IntRange(1, 4).Draw(t, "at most"), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range got {
		body := string(one.Body)
		if h, ok := m.held[body]; ok && h.until > m.clock.Load() {
			t.Fatalf("message %s was delivered while it was held for another %d ms", body, h.until-m.clock.Load())
		}
		if !m.sent[body] || m.acked[body] {
			t.Fatalf("message %s was delivered: sent %v, acknowledged %v", body, m.sent[body], m.acked[body])
		}
		if one.Attempt != m.last[body]+1 || one.Attempt > queue.MaxAttempts {
			t.Fatalf("message %s is at attempt %d after %d", body, one.Attempt, m.last[body])
		}
		m.last[body] = one.Attempt
		m.held[body] = holding{message: one, until: m.clock.Load() + visibility.Milliseconds()}
	}
}

// one picks a delivery, also one that ran out; nil when there is none.
func (m *model) one(t *rapid.T) *queue.Message {
	var bodies []string
	for n := 1; n <= m.count; n++ {
		if _, ok := m.held[fmt.Sprint(n)]; ok {
			bodies = append(bodies, fmt.Sprint(n))
		}
	}
	if len(bodies) == 0 {
		return nil
	}
	message := m.held[rapid.SampledFrom(bodies).Draw(t, "which")].message
	return &message
}

func (m *model) ack(t *rapid.T) {
	one := m.one(t)
	if one == nil {
		return
	}
	if err := m.Ack(m.t.Context(), *one); err != nil {
		t.Fatal(err)
	}
	body := string(one.Body)
	delete(m.held, body)
	if _, stored, err := m.db.Get(m.keys.of(kindBody, mustSeq(t, one.ID))); err != nil {
		t.Fatal(err)
	} else if !stored { // else it was too late: dead already
		m.acked[body] = true
	}
}

func mustSeq(t *rapid.T, id string) uint64 {
	seq, _, ok := parseHandle(id + ".1")
	if !ok {
		t.Fatalf("ID %q cannot be read", id)
	}
	return seq
}

func (m *model) release(t *rapid.T) {
	one := m.one(t)
	if one == nil {
		return
	}
	delay := time.Duration(rapid.IntRange(0, 100).Draw(t, "delay")) * time.Second
	if err := m.Release(m.t.Context(), *one, delay); err != nil {
		t.Fatal(err)
	}
	h := m.held[string(one.Body)]
	if h.until > m.clock.Load() && !h.released { // otherwise it was no longer the caller's to release
		m.held[string(one.Body)] = holding{*one, m.clock.Load() + delay.Milliseconds(), true}
	}
}

func (m *model) time(t *rapid.T) {
	m.pass(time.Duration(rapid.IntRange(1, 200).Draw(t, "seconds")) * time.Second)
}

// powerCut loses what was not synced, or some of it. Acknowledgements may come undone; nobody holds anything any more.
func (m *model) powerCut(t *rapid.T) {
	old := m.db
	m.disk = m.disk.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "percent of the unsynced data that survives"),
		RNG:                 rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)), //nolint:gosec // a test's choice
	})
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(m.disk)
	clear(m.held)
	for body := range m.acked {
		if m.stored(t)[body] {
			delete(m.acked, body)
		}
	}
}

// stored lists the bodies in the store.
func (m *model) stored(t *rapid.T) map[string]bool {
	bodies := make(map[string]bool)
	if err := m.scan(kindBody, func(_ uint64, value []byte) bool { bodies[string(value)] = true; return true }); err != nil {
		t.Fatal(err)
	}
	return bodies
}

func (m *model) redrive(t *rapid.T) {
	letters, err := m.Dead(m.t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	n, err := m.Redrive(m.t.Context())
	if err != nil || n != len(letters) {
		t.Fatalf("redrove %d of %d dead letters, %v", n, len(letters), err)
	}
	for _, one := range letters {
		delete(m.last, string(one.Body))
		delete(m.held, string(one.Body))
	}
}

// check holds after every step.
func (m *model) check(t *rapid.T) {
	ledger, err := m.Ledger(m.t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sum queue.Ledger
	for group, l := range ledger {
		if l.Accepted != l.Processed+l.Queued+l.Dead {
			t.Fatalf("group %q does not balance: %+v", group, l)
		}
		sum.Accepted += l.Accepted
		sum.Queued += l.Queued
		sum.Dead += l.Dead
	}
	if sum.Accepted != int64(m.count) {
		t.Fatalf("%d messages were accepted of %d sent", sum.Accepted, m.count)
	}
	d, err := m.Depth(m.t.Context())
	if err != nil || d.Ready+d.Delayed+d.InFlight != sum.Queued || d.Dead != sum.Dead {
		t.Fatalf("depth %+v, %v does not match the ledger %+v", d, err, sum)
	}
	stored := m.stored(t)
	for body := range m.sent {
		if !stored[body] && !m.acked[body] {
			t.Fatalf("message %s is neither stored nor acknowledged", body)
		}
	}
}

// everything works the queue off and finds each message.
func (m *model) everything(t *rapid.T) {
	for range 10 {
		m.pass(queue.MaxDelay)
		m.redrive(t)
		for {
			got, err := m.Receive(m.t.Context(), 10, 0)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				break
			}
			for _, one := range got {
				m.acked[string(one.Body)] = true
			}
			if err := m.Ack(m.t.Context(), got...); err != nil {
				t.Fatal(err)
			}
		}
	}
	if d, err := m.Depth(m.t.Context()); d != (queue.Depth{}) || err != nil {
		t.Fatalf("depth %+v after everything was worked off, %v", d, err)
	}
	if missing := len(m.sent) - len(m.acked); missing != 0 {
		t.Fatal(errors.New("some messages never came"), missing)
	}
}
