// Package tabletest is the conformance suite of package table: what every table and change feed must do, whatever it is
// built on. An implementation's own test gives [Run] a way to make an empty table.
package tabletest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Start is what a new Clock shows: a whole second.
const Start msg.Time = 1_800_000_000_000

// Clock is the time that the table under test goes by. It stands still unless it is advanced.
type Clock struct{ passed atomic.Int64 }

// Now is the time that the clock shows.
func (c *Clock) Now() msg.Time { return Start + msg.Time(c.passed.Load()) }

// Advance lets d pass.
func (c *Clock) Advance(d time.Duration) { c.passed.Add(d.Milliseconds()) }

// Harness is an empty table under test and what surrounds it.
type Harness struct {
	Table table.Table
	// Clock is what the table's now goes by.
	Clock *Clock
	// Feed opens the table's change feed for a reader; the first one is opened before anything is written.
	Feed func(t *testing.T, reader string) table.Feed
	// Restart closes the table, opens it again over the same data and returns the new harness: also for a table elsewhere,
	// whose client and feed positions it stands for.
	Restart func(t *testing.T) Harness
	// LoseAnswers makes the answers to the next n attempts at a write get lost, after the write landed. Only [RunLost] uses it.
	LoseAnswers func(n int)
}

// Run runs the whole suite. empty returns a new, empty table each time, and cleans up by itself.
func Run(t *testing.T, empty func(t *testing.T) Harness) {
	run(t, empty, []topic{
		{"query", queryTests}, {"write", writeTests}, {"expiry", expiryTests}, {"index", indexTests},
		{"limits", limitTests}, {"concurrency", concurrencyTests}, {"feed", feedTests}, {"scan", scanTests},
	})
}

// RunLost runs what a table behind a network must do besides.
func RunLost(t *testing.T, empty func(t *testing.T) Harness) {
	run(t, empty, []topic{{"lost", lostTests}})
}

type topic struct {
	name  string
	tests []test
}

func run(t *testing.T, empty func(t *testing.T) Harness, topics []topic) {
	for _, topic := range topics {
		t.Run(topic.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range topic.tests {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(t, empty(t))
				})
			}
		})
	}
}

type test struct {
	name string
	run  func(t *testing.T, h Harness)
}

func key(pk, sk string) table.Key { return table.Key{PK: pk, SK: sk} }

func item(pk, sk, body string) table.Item { return table.Item{Key: key(pk, sk), Body: []byte(body)} }

func write(t testing.TB, h Harness, ops ...table.Op) {
	t.Helper()
	if err := again(func() error { return h.Table.Write(t.Context(), ops...) }); err != nil {
		t.Fatalf("write %d ops: %v", len(ops), err)
	}
}

// again repeats f while the table is busy, as every caller has to.
func again(f func() error) error {
	for {
		if err := f(); !errors.Is(err, table.ErrBusy) {
			return err
		}
	}
}

// put writes items whatever is there, 25 at a time.
func put(t testing.TB, h Harness, items ...table.Item) {
	t.Helper()
	for part := range slices.Chunk(items, 25) {
		var ops []table.Op
		for _, i := range part {
			ops = append(ops, table.Put(i, table.Any))
		}
		write(t, h, ops...)
	}
}

func query(t testing.TB, h Harness, q table.Query) []table.Item {
	t.Helper()
	items, err := h.Table.Query(t.Context(), q)
	if err != nil {
		t.Fatalf("query %+v: %v", q, err)
	}
	return items
}

// keys are the sort keys of items, joined by blanks.
func keys(items []table.Item) string {
	var all []string
	for _, i := range items {
		all = append(all, i.SK)
	}
	return strings.Join(all, " ")
}

// found is what Get finds: the body and revision, or "absent".
func found(t testing.TB, h Harness, k table.Key) string {
	t.Helper()
	i, err := h.Table.Get(t.Context(), k)
	if errors.Is(err, table.ErrNotFound) {
		return "absent"
	}
	if err != nil {
		t.Fatalf("get %s: %v", k, err)
	}
	if i.Key != k {
		t.Errorf("get %s returned the item %s", k, i.Key)
	}
	return fmt.Sprintf("%s@%d", i.Body, i.Rev)
}

// reporter is what a test and a rapid check have in common.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func expect(t reporter, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// conflict checks that err is a *Conflict about exactly the ops in want, op index to found revision.
func conflict(t reporter, err error, want map[int]int64) {
	t.Helper()
	c, ok := errors.AsType[*table.Conflict](err)
	if !ok {
		t.Fatalf("got %v, want a conflict", err)
	}
	got := map[int]int64{}
	for _, f := range c.Failed {
		got[f.Op] = f.Found
		if !c.On(f.Op) {
			t.Errorf("On(%d) is false for an op that failed", f.Op)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("failed ops and the revisions found (-want +got):\n%s", diff)
	}
}

// same compares items: no body and an empty one are alike.
func same(want, got any) string {
	// Bodies are compared whole: cmp looks at byte after byte, which takes seconds for a megabyte.
	bodies := cmp.FilterValues(func(a, b []byte) bool { return len(a)+len(b) > 0 }, cmp.Comparer(bytes.Equal))
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), bodies)
}

// eventually repeats check until it returns "", for what an index may show late.
func eventually(t testing.TB, check func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		problem := check()
		if problem == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(problem)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
