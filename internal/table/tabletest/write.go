package tabletest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aikajana/aikajana/internal/table"
)

var writeTests = []test{
	{"absent writes revision 1 and refuses what is there", func(t *testing.T, h Harness) {
		write(t, h, table.Put(item("p", "a", "one"), table.Absent))
		expect(t, "first", found(t, h, key("p", "a")), "one@1")
		conflict(t, h.Table.Write(t.Context(), table.Put(item("p", "a", "two"), table.Absent)), map[int]int64{0: 1})
		conflict(t, h.Table.Write(t.Context(), table.Delete(key("p", "a"), table.Absent)), map[int]int64{0: 1})
		conflict(t, h.Table.Write(t.Context(), table.Check(key("p", "a"), table.Absent)), map[int]int64{0: 1})
		expect(t, "afterwards", found(t, h, key("p", "a")), "one@1")
		write(t, h, table.Check(key("p", "b"), table.Absent))
		write(t, h, table.Delete(key("p", "b"), table.Absent))
	}},
	{"at writes the next revision and refuses any other", func(t *testing.T, h Harness) {
		conflict(t, h.Table.Write(t.Context(), table.Put(item("p", "a", "x"), table.At(1))), map[int]int64{0: 0})
		write(t, h, table.Put(item("p", "a", "one"), table.Absent))
		write(t, h, table.Put(item("p", "a", "two"), table.At(1)))
		expect(t, "second", found(t, h, key("p", "a")), "two@2")
		conflict(t, h.Table.Write(t.Context(), table.Put(item("p", "a", "x"), table.At(1))), map[int]int64{0: 2})
		conflict(t, h.Table.Write(t.Context(), table.Check(key("p", "a"), table.At(3))), map[int]int64{0: 2})
		conflict(t, h.Table.Write(t.Context(), table.Delete(key("p", "a"), table.At(1))), map[int]int64{0: 2})
		write(t, h, table.Check(key("p", "a"), table.At(2)))
		write(t, h, table.Delete(key("p", "a"), table.At(2)))
		expect(t, "deleted", found(t, h, key("p", "a")), "absent")
		write(t, h, table.Put(item("p", "a", "again"), table.Absent))
		expect(t, "after a deletion", found(t, h, key("p", "a")), "again@1")
	}},
	{"any writes whatever is there, at the revision given", func(t *testing.T, h Harness) {
		i := item("p", "a", "x")
		i.Rev = 41
		write(t, h, table.Put(i, table.Any))
		expect(t, "new", found(t, h, i.Key), "x@41")
		i.Rev, i.Body = 5, []byte("y")
		write(t, h, table.Put(i, table.Any))
		expect(t, "over another", found(t, h, i.Key), "y@5")
		write(t, h, table.Delete(i.Key, table.Any), table.Delete(key("p", "none"), table.Any), table.Check(key("p", "nothing"), table.Any))
		write(t, h, table.Delete(i.Key, table.Any))
		expect(t, "deleted", found(t, h, i.Key), "absent")
	}},
	{"a transaction lands whole or not at all, and names every op that failed", func(t *testing.T, h Harness) {
		write(t, h, table.Put(item("p", "a", "1"), table.Absent), table.Put(item("q", "b", "1"), table.Absent), table.Check(key("q", "c"), table.Absent))
		err := h.Table.Write(t.Context(),
			table.Put(item("p", "new", "1"), table.Absent),
			table.Put(item("p", "a", "2"), table.Absent),
			table.Put(item("q", "b", "2"), table.At(1)),
			table.Check(key("p", "b"), table.At(4)),
			table.Delete(key("q", "d"), table.At(2)),
			table.Put(item("q", "any", "1"), table.Any))
		conflict(t, err, map[int]int64{1: 1, 3: 0, 4: 0})
		expect(t, "what would have been new", found(t, h, key("p", "new")), "absent")
		expect(t, "what needs nothing", found(t, h, key("q", "any")), "absent")
		expect(t, "what stood at its revision", found(t, h, key("q", "b")), "1@1")
		write(t, h, table.Put(item("p", "a", "2"), table.At(1)), table.Delete(key("q", "b"), table.At(1)), table.Put(item("q", "any", "1"), table.Any))
		expect(t, "written", found(t, h, key("p", "a")), "2@2")
		expect(t, "deleted", found(t, h, key("q", "b")), "absent")
	}},
	{"what was written outlives a restart", func(t *testing.T, h Harness) {
		write(t, h, table.Put(item("p", "a", "1"), table.Absent), table.Put(item("p", "b", "1"), table.Absent))
		write(t, h, table.Put(item("p", "a", "2"), table.At(1)), table.Delete(key("p", "b"), table.At(1)))
		if err := h.Table.Write(table.Redoable(t.Context()), table.Put(item("p", "c", "1"), table.Absent)); err != nil {
			t.Fatal(err)
		}
		h = h.Restart(t)
		expect(t, "a", found(t, h, key("p", "a")), "2@2")
		expect(t, "b", found(t, h, key("p", "b")), "absent")
		expect(t, "c", found(t, h, key("p", "c")), "1@1")
		conflict(t, h.Table.Write(t.Context(), table.Put(item("p", "a", "x"), table.Absent)), map[int]int64{0: 2})
	}},
	{"the outcome of random transactions matches a model", model},
	{"a context that has ended writes nothing", func(t *testing.T, h Harness) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Table.Write(ctx, table.Put(item("p", "a", ""), table.Any)); !errors.Is(err, context.Canceled) {
			t.Errorf("write: %v", err)
		}
		if _, err := h.Table.Get(ctx, key("p", "a")); !errors.Is(err, context.Canceled) {
			t.Errorf("get: %v", err)
		}
		if _, err := h.Table.Query(ctx, table.Query{PK: "p"}); !errors.Is(err, context.Canceled) {
			t.Errorf("query: %v", err)
		}
		expect(t, "afterwards", found(t, h, key("p", "a")), "absent")
	}},
}

// model runs random transactions over few keys beside a map from key to revision.
func model(t *testing.T, h Harness) {
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		pk := fmt.Sprint("m", round)
		revs := map[string]int64{}
		for range rapid.IntRange(1, 6).Draw(rt, "writes") {
			var ops []table.Op
			failed := map[int]int64{}
			next := map[string]int64{}
			for n, sk := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-d]`), 1, 4, rapid.ID[string]).Draw(rt, "keys") {
				rev, want := revs[sk], rapid.Int64Range(0, 3).Draw(rt, "rev")
				cond, holds, after := table.Any, true, want
				switch rapid.IntRange(0, 2).Draw(rt, "cond") {
				case 1:
					cond, holds, after = table.Absent, rev == 0, 1
				case 2:
					cond, holds, after = table.At(want), rev == want && want > 0, want+1
				}
				if after == 0 {
					after = 1
				}
				i := table.Item{Key: key(pk, sk), Rev: after}
				switch rapid.IntRange(0, 2).Draw(rt, "do") {
				case 0:
					ops, next[sk] = append(ops, table.Put(i, cond)), after
				case 1:
					ops, next[sk] = append(ops, table.Delete(i.Key, cond)), 0
				default:
					ops = append(ops, table.Check(i.Key, cond))
				}
				if !holds {
					failed[n] = rev
				}
			}
			err := again(func() error { return h.Table.Write(t.Context(), ops...) })
			if len(failed) > 0 {
				conflict(rt, err, failed)
				continue
			}
			if err != nil {
				rt.Fatal(err)
			}
			for sk, rev := range next {
				revs[sk] = rev
			}
		}
		for _, sk := range []string{"a", "b", "c", "d"} {
			want := "absent"
			if revs[sk] > 0 {
				want = fmt.Sprintf("@%d", revs[sk])
			}
			expect(rt, sk, found(t, h, key(pk, sk)), want)
		}
	})
}

var expiryTests = []test{
	{"TestFault66_AnExpiredItemCountsAsAbsentForReadingAndWriting", func(t *testing.T, h Harness) {
		i := item("p", "a", "old")
		i.Expires = h.Clock.Now().Add(10 * time.Second)
		write(t, h, table.Put(i, table.Absent))
		write(t, h, table.Put(i, table.At(1)))
		h.Clock.Advance(9999 * time.Millisecond)
		expect(t, "just before", found(t, h, i.Key), "old@2")
		conflict(t, h.Table.Write(t.Context(), table.Put(i, table.Absent)), map[int]int64{0: 2})
		h.Clock.Advance(time.Millisecond)
		expect(t, "at the moment", found(t, h, i.Key), "absent")
		conflict(t, h.Table.Write(t.Context(), table.Put(i, table.At(2))), map[int]int64{0: 0})
		conflict(t, h.Table.Write(t.Context(), table.Delete(i.Key, table.At(2))), map[int]int64{0: 0})
		conflict(t, h.Table.Write(t.Context(), table.Check(i.Key, table.At(2)), table.Put(item("p", "b", ""), table.Absent)), map[int]int64{0: 0})
		write(t, h, table.Check(i.Key, table.Absent))
		write(t, h, table.Check(i.Key, table.Absent), table.Put(item("p", "b", ""), table.Absent))
		write(t, h, table.Put(item("p", "a", "new"), table.Absent))
		expect(t, "written anew", found(t, h, i.Key), "new@1")
		h.Clock.Advance(time.Hour)
		expect(t, "an hour later, without an expiry", found(t, h, i.Key), "new@1")
	}},
	{"an expiry is kept in whole seconds and never comes early", func(t *testing.T, h Harness) {
		i := item("p", "a", "")
		i.Expires = Start + 1
		put(t, h, i)
		h.Clock.Advance(time.Millisecond)
		expect(t, "within its second", found(t, h, i.Key), "@0")
		got, err := h.Table.Get(t.Context(), i.Key)
		if err != nil || got.Expires != Start+1000 {
			t.Errorf("it expires at %d (%v), not %d", got.Expires, err, Start+1000)
		}
		h.Clock.Advance(time.Second)
		expect(t, "a second later", found(t, h, i.Key), "absent")
	}},
	{"expired items are left out of queries and do not count towards the limit", func(t *testing.T, h Harness) {
		for n := range 20 {
			i := item("p", fmt.Sprintf("%02d", n), "")
			if n%3 != 0 {
				i.Expires = Start.Add(time.Second)
			}
			put(t, h, i)
		}
		expect(t, "before", keys(query(t, h, table.Query{PK: "p", Limit: 3})), "00 01 02")
		h.Clock.Advance(time.Minute)
		expect(t, "up", keys(query(t, h, table.Query{PK: "p", Limit: 3})), "00 03 06")
		expect(t, "down", keys(query(t, h, table.Query{PK: "p", Limit: 3, Desc: true, After: "18"})), "15 12 09")
		expect(t, "all", keys(query(t, h, table.Query{PK: "p"})), "00 03 06 09 12 15 18")
	}},
}

var limitTests = []test{
	{"what is over a limit is refused and not written", func(t *testing.T, h Harness) {
		long := func(n int) string { return strings.Repeat("k", n) }
		many := func(n, size int) (ops []table.Op) {
			for k := range n {
				ops = append(ops, table.Put(item("p", fmt.Sprint("s", k), long(size)), table.Any))
			}
			return ops
		}
		for name, ops := range map[string][]table.Op{
			"no op":                      {},
			"101 ops":                    many(101, 0),
			"an item over 400 KB":        many(1, 400<<10),
			"over 4 MB":                  many(14, 300<<10),
			"no partition key":           {table.Put(item("", "s", ""), table.Any)},
			"no sort key":                {table.Delete(key("p", ""), table.Any)},
			"a long partition key":       {table.Put(item(long(2049), "s", ""), table.Any)},
			"a long sort key":            {table.Check(key("p", long(1025)), table.Any)},
			"a key twice":                {table.Put(item("p", "s", ""), table.Any), table.Check(key("p", "s"), table.Any)},
			"a key that is not UTF-8":    {table.Put(item("p", "s\xff", ""), table.Any)},
			"an empty index key":         {table.Put(table.Item{Key: key("p", "s"), Index: map[table.Index]table.Key{table.Due: {PK: "d"}}}, table.Any)},
			"an index that is not there": {table.Put(table.Item{Key: key("p", "s"), Index: map[table.Index]table.Key{"x": key("d", "d")}}, table.Any)},
		} {
			if err := h.Table.Write(t.Context(), ops...); !errors.Is(err, table.ErrLimit) {
				t.Errorf("%s: %v, want ErrLimit", name, err)
			}
		}
		for name, q := range map[string]table.Query{"no partition": {}, "a negative limit": {PK: "p", Limit: -1}, "an unknown index": {PK: "p", Index: "x"}} {
			if _, err := h.Table.Query(t.Context(), q); !errors.Is(err, table.ErrLimit) {
				t.Errorf("query with %s: %v, want ErrLimit", name, err)
			}
		}
		if n := len(query(t, h, table.Query{PK: "p"})); n != 0 {
			t.Errorf("%d items were written", n)
		}
	}},
	{"what is just within the limits is written", func(t *testing.T, h Harness) {
		i := item(strings.Repeat("p", table.MaxPK), strings.Repeat("s", table.MaxSK), strings.Repeat("b", table.MaxItemBody))
		i.Index = map[table.Index]table.Key{}
		for _, index := range []table.Index{table.WorkList, table.Due} {
			i.Index[index] = key(strings.Repeat("i", table.MaxPK), strings.Repeat("j", table.MaxSK))
		}
		put(t, h, i)
		got, err := h.Table.Get(t.Context(), i.Key)
		if diff := same(i, got); err != nil || diff != "" {
			t.Errorf("the largest item differs (%v)", err)
		}
		var ops []table.Op
		for n := range table.MaxOps {
			ops = append(ops, table.Put(item("many", fmt.Sprintf("%03d", n), strings.Repeat("x", 40<<10)), table.Absent))
		}
		write(t, h, ops...)
		if n := len(query(t, h, table.Query{PK: "many"})); n != table.MaxOps {
			t.Errorf("%d items of %d", n, table.MaxOps)
		}
	}},
}

var concurrencyTests = []test{
	{"of 64 writers on one key every one lands once", func(t *testing.T, h Harness) {
		write(t, h, table.Put(item("p", "n", ""), table.Absent))
		var wg sync.WaitGroup
		for w := range 64 {
			wg.Go(func() {
				mine := item("p", fmt.Sprintf("w%02d", w), "")
				for t.Context().Err() == nil {
					now, err := h.Table.Get(t.Context(), key("p", "n"))
					if err != nil {
						t.Error(err)
						return
					}
					now.Body = append(now.Body, byte(w))
					// Every other writer uses a transaction, so that the two kinds of write meet.
					ops := []table.Op{table.Put(now, table.At(now.Rev))}
					if w%2 == 0 {
						ops = append(ops, table.Put(mine, table.Absent))
					}
					err = h.Table.Write(t.Context(), ops...)
					if err == nil {
						return
					}
					if _, lost := errors.AsType[*table.Conflict](err); !lost && !errors.Is(err, table.ErrBusy) {
						t.Errorf("writer %d: %v", w, err)
						return
					}
				}
			})
		}
		wg.Wait()
		last, err := h.Table.Get(t.Context(), key("p", "n"))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[byte]int{}
		for _, w := range last.Body {
			seen[w]++
		}
		if len(last.Body) != 64 || len(seen) != 64 || last.Rev != 65 {
			t.Errorf("%d increments by %d writers, revision %d", len(last.Body), len(seen), last.Rev)
		}
		if n := len(query(t, h, table.Query{PK: "p", From: "w"})); n != 32 {
			t.Errorf("%d of the 32 items beside it", n)
		}
	}},
	{"of 16 writers of one absent key one wins", func(t *testing.T, h Harness) {
		var won sync.Map
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				err := again(func() error {
					return h.Table.Write(t.Context(), table.Put(item("p", "one", fmt.Sprint(w)), table.Absent), table.Put(item("p", fmt.Sprint("w", w), ""), table.Any))
				})
				if err == nil {
					won.Store(w, true)
				} else if _, lost := errors.AsType[*table.Conflict](err); !lost {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		n := 0
		won.Range(func(w, _ any) bool {
			n++
			expect(t, "the item", found(t, h, key("p", "one")), fmt.Sprintf("%d@1", w))
			return true
		})
		if n != 1 {
			t.Errorf("%d writers won", n)
		}
	}},
}

var lostTests = []test{
	{"TestFault61_AWriteWhoseAnswerGotLostCountsOnce", func(t *testing.T, h Harness) {
		k, other := key("p", "a"), item("p", "b", "")
		steps := [][]table.Op{
			{table.Put(item("p", "a", "1"), table.Absent)},
			{table.Put(item("p", "a", "2"), table.At(1))},
			{table.Put(item("p", "a", "3"), table.At(2)), table.Put(other, table.Absent)},
			{table.Put(item("p", "a", "4"), table.At(3)), table.Delete(other.Key, table.At(1))},
		}
		for n, ops := range steps {
			h.LoseAnswers(1)
			if err := again(func() error { return h.Table.Write(t.Context(), ops...) }); err != nil {
				t.Fatalf("write %d: %v", n+1, err)
			}
			expect(t, "after it", found(t, h, k), fmt.Sprintf("%d@%d", n+1, n+1))
		}
		h.LoseAnswers(1)
		if err := h.Table.Write(t.Context(), table.Delete(k, table.At(4))); err != nil && !errors.Is(err, table.ErrLost) {
			t.Errorf("delete: %v, want nil or ErrLost", err)
		}
		expect(t, "deleted", found(t, h, k), "absent")
	}},
	{"a write that never gets an answer is ErrLost and may be there", func(t *testing.T, h Harness) {
		h.LoseAnswers(1000)
		err := h.Table.Write(t.Context(), table.Put(item("p", "a", "1"), table.Absent))
		if !errors.Is(err, table.ErrLost) {
			t.Errorf("one op: %v, want ErrLost", err)
		}
		err = h.Table.Write(t.Context(), table.Put(item("p", "b", "1"), table.Absent), table.Put(item("p", "c", "1"), table.Absent))
		if !errors.Is(err, table.ErrLost) {
			t.Errorf("two ops: %v, want ErrLost", err)
		}
		h.LoseAnswers(0)
		expect(t, "one op", found(t, h, key("p", "a")), "1@1")
		expect(t, "two ops", found(t, h, key("p", "c")), "1@1")
	}},
}
