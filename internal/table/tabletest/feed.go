package tabletest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/table"
)

// next reads until n changes came, without acknowledging.
func next(t *testing.T, f table.Feed, n int) (all []table.Change) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(all) < n {
		got, err := f.Next(ctx, n-len(all))
		if err != nil {
			t.Fatalf("after %d changes of %d: %v", len(all), n, err)
		}
		if len(got) == 0 {
			t.Fatal("Next returned nothing and no error")
		}
		all = append(all, got...)
	}
	return all
}

func ack(t *testing.T, f table.Feed) {
	t.Helper()
	if err := f.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// images describes changes as "key old>new" with body and revision.
func images(changes []table.Change) (all []string) {
	show := func(i *table.Item) string {
		if i == nil {
			return "-"
		}
		return fmt.Sprintf("%s@%d", i.Body, i.Rev)
	}
	for _, c := range changes {
		all = append(all, fmt.Sprintf("%s %s>%s", c.Key, show(c.Old), show(c.New)))
	}
	return all
}

var feedTests = []test{
	{"every write comes once, in order for each key, with what was there before and after", func(t *testing.T, h Harness) {
		f := h.Feed(t, "reader")
		write(t, h, table.Put(item("p", "a", "1"), table.Absent))
		write(t, h, table.Put(item("p", "a", "2"), table.At(1)))
		conflict(t, h.Table.Write(t.Context(), table.Put(item("p", "a", "x"), table.Absent)), map[int]int64{0: 2})
		write(t, h, table.Check(key("p", "a"), table.At(2)), table.Delete(key("p", "none"), table.Any))
		write(t, h, table.Put(item("p", "a", "9"), table.Any), table.Check(key("p", "none"), table.Absent))
		write(t, h, table.Delete(key("p", "a"), table.Any))
		write(t, h, table.Put(item("p", "a", "3"), table.Absent))
		got := next(t, f, 5)
		want := []string{"p/a ->1@1", "p/a 1@1>2@2", "p/a 2@2>9@0", "p/a 9@0>-", "p/a ->3@1"}
		if diff := same(want, images(got)); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		seen := map[string]bool{}
		for n, c := range got {
			if seen[c.Shard+" "+c.Seq] {
				t.Errorf("two changes are called %s %s", c.Shard, c.Seq)
			}
			seen[c.Shard+" "+c.Seq] = true
			if n > 0 && c.Shard == got[n-1].Shard && c.Seq <= got[n-1].Seq && len(c.Seq) <= len(got[n-1].Seq) {
				t.Errorf("change %d has number %s after %s", n, c.Seq, got[n-1].Seq)
			}
			if c.At.IsZero() {
				t.Errorf("change %d has no time", n)
			}
		}
	}},
	{"images are whole items", func(t *testing.T, h Harness) {
		f := h.Feed(t, "reader")
		i := indexed("a", "L", "1")
		i.Rev, i.Body, i.Expires = 3, []byte{0, 255}, Start.Add(time.Hour)
		put(t, h, i)
		j := i
		j.Index, j.Expires, j.Rev = nil, 0, 4
		put(t, h, j)
		got := next(t, f, 2)
		if diff := same(&i, got[0].New) + same(&i, got[1].Old) + same(&j, got[1].New); diff != "" {
			t.Errorf("images (-want +got):\n%s", diff)
		}
	}},
	{"a quiet write is a write like any other, and what is changed afterwards is told of", func(t *testing.T, h Harness) {
		f := h.Feed(t, "reader")
		quiet := item("p", "a", "1")
		quiet.Quiet = true
		write(t, h, table.Put(quiet, table.Absent))
		got, err := h.Table.Get(t.Context(), quiet.Key)
		if diff := same(table.Item{Key: quiet.Key, Rev: 1, Body: []byte("1")}, got); err != nil || diff != "" {
			t.Errorf("get: %v (-want +got):\n%s", err, diff)
		}
		write(t, h, table.Put(item("p", "a", "2"), table.At(1)))
		all := next(t, f, 1)
		if images(all)[0] == "p/a ->1@1" { // it may be told of, too
			all = next(t, f, 1)
		}
		if diff := same([]string{"p/a 1@1>2@2"}, images(all)); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		if all[0].Old.Quiet || all[0].New.Quiet {
			t.Error("an item that was read is quiet")
		}
	}},
	{"changes that were not acknowledged come again after a restart, the others do not", func(t *testing.T, h Harness) {
		f := h.Feed(t, "reader")
		for n := range 6 {
			write(t, h, table.Put(item("p", "a", fmt.Sprint(n)), table.Any))
		}
		first := next(t, f, 2)
		ack(t, f)
		ignored := next(t, f, 2)
		h = h.Restart(t)
		f = h.Feed(t, "reader")
		write(t, h, table.Put(item("p", "a", "6"), table.Any))
		rest := next(t, f, 5)
		want := []string{"p/a 1@0>2@0", "p/a 2@0>3@0", "p/a 3@0>4@0", "p/a 4@0>5@0", "p/a 5@0>6@0"}
		if diff := same(want, images(rest)); diff != "" {
			t.Errorf("after the restart (-want +got):\n%s", diff)
		}
		if len(first) != 2 || rest[0].Seq != ignored[0].Seq || rest[0].Shard != ignored[0].Shard {
			t.Errorf("the change that came again is called %s %s, and %s %s before", rest[0].Shard, rest[0].Seq, ignored[0].Shard, ignored[0].Seq)
		}
		ack(t, f)
		h = h.Restart(t)
		f = h.Feed(t, "reader")
		write(t, h, table.Put(item("p", "b", ""), table.Any))
		if diff := same([]string{"p/b ->@0"}, images(next(t, f, 1))); diff != "" {
			t.Errorf("after everything was acknowledged (-want +got):\n%s", diff)
		}
	}},
	{"a transaction read in parts goes on in the middle", func(t *testing.T, h Harness) {
		f := h.Feed(t, "reader")
		var ops []table.Op
		for n := range 7 {
			ops = append(ops, table.Put(item("p", fmt.Sprint(n), ""), table.Absent))
		}
		write(t, h, ops...)
		seen := map[string]int{}
		for range 7 {
			for _, c := range next(t, f, 1) {
				seen[c.Key.SK]++
			}
			ack(t, f)
			h = h.Restart(t)
			f = h.Feed(t, "reader")
		}
		if len(seen) != 7 {
			t.Errorf("saw %v, not every item once", seen)
		}
	}},
	{"a reader that waits is woken by a write", func(t *testing.T, h Harness) {
		f := h.Feed(t, "reader")
		got := make(chan []table.Change, 1)
		go func() {
			changes, err := f.Next(t.Context(), 10)
			if err != nil {
				t.Error(err)
			}
			got <- changes
		}()
		write(t, h, table.Put(item("p", "a", "1"), table.Absent))
		if diff := same([]string{"p/a ->1@1"}, images(<-got)); diff != "" {
			t.Errorf("it got (-want +got):\n%s", diff)
		}
	}},
	{"waiting ends with the context", func(t *testing.T, h Harness) {
		f := h.Feed(t, "reader")
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if got, err := f.Next(ctx, 1); err == nil || ctx.Err() == nil {
			t.Errorf("got %v, %v", got, err)
		}
	}},
	{"readers go their own ways", func(t *testing.T, h Harness) {
		one, two := h.Feed(t, "one"), h.Feed(t, "two")
		for n := range 5 {
			write(t, h, table.Put(item("p", "a", fmt.Sprint(n)), table.Any))
		}
		next(t, one, 5)
		ack(t, one)
		write(t, h, table.Put(item("p", "a", "5"), table.Any))
		if diff := same([]string{"p/a 4@0>5@0"}, images(next(t, one, 1))); diff != "" {
			t.Errorf("the fast one (-want +got):\n%s", diff)
		}
		if got := images(next(t, two, 6)); got[0] != "p/a ->0@0" || got[5] != "p/a 4@0>5@0" {
			t.Errorf("the slow one got %q", got)
		}
	}},
	{"under concurrent writers the feed is complete and in order for each key", func(t *testing.T, h Harness) {
		f := h.Feed(t, "reader")
		const writers, writes = 8, 20
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for n := range int64(writes) {
					i := item(fmt.Sprint("p", w), "a", "")
					cond := table.At(n)
					if n == 0 {
						cond = table.Absent
					}
					if err := again(func() error { return h.Table.Write(t.Context(), table.Put(i, cond)) }); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		last := map[table.Key]int64{}
		for range writers * writes / 10 {
			for _, c := range next(t, f, 10) {
				if c.New.Rev != last[c.Key]+1 {
					t.Fatalf("%s at revision %d came after %d", c.Key, c.New.Rev, last[c.Key])
				}
				if last[c.Key]++; (c.Old == nil) != (c.New.Rev == 1) || c.Old != nil && c.Old.Rev != c.New.Rev-1 {
					t.Fatalf("%s at revision %d has the old image %v", c.Key, c.New.Rev, c.Old)
				}
			}
			ack(t, f)
		}
		wg.Wait()
	}},
}
