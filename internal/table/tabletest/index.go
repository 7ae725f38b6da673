package tabletest

import (
	"fmt"
	"testing"

	"github.com/aikajana/aikajana/internal/table"
)

// indexed is an item of p with a place in the work list.
func indexed(sk, list, at string) table.Item {
	return table.Item{Key: key("p", sk), Index: map[table.Index]table.Key{table.WorkList: key(list, at)}}
}

func list(t *testing.T, h Harness, q table.Query, want string) {
	t.Helper()
	eventually(t, func() string {
		if got := keys(query(t, h, q)); got != want {
			return fmt.Sprintf("%+v: got %q, want %q", q, got, want)
		}
		return ""
	})
}

var indexTests = []test{
	{"an item enters, moves within and between partitions, and leaves an index", func(t *testing.T, h Harness) {
		put(t, h, indexed("a", "L1", "3"), indexed("b", "L1", "1"), indexed("c", "L2", "2"), item("p", "none", ""))
		one, two := table.Query{Index: table.WorkList, PK: "L1"}, table.Query{Index: table.WorkList, PK: "L2"}
		list(t, h, one, "b a")
		list(t, h, two, "c")
		put(t, h, indexed("b", "L1", "4"))
		list(t, h, one, "a b")
		put(t, h, indexed("a", "L2", "3"))
		list(t, h, one, "b")
		list(t, h, two, "c a")
		put(t, h, item("p", "c", "out"))
		list(t, h, two, "a")
		write(t, h, table.Delete(key("p", "a"), table.Any))
		list(t, h, two, "")
		expect(t, "what only left the index", found(t, h, key("p", "c")), "out@0")
		h = h.Restart(t)
		list(t, h, one, "b")
	}},
	{"an index gives keys only, its own among them", func(t *testing.T, h Harness) {
		i := indexed("a", "L", "1")
		i.Body, i.Rev, i.Index[table.Due] = []byte("body"), 4, key("due", "9")
		put(t, h, i)
		for index, k := range i.Index {
			want := []table.Item{{Key: i.Key, Index: map[table.Index]table.Key{index: k}}}
			eventually(t, func() string { return same(want, query(t, h, table.Query{Index: index, PK: k.PK})) })
		}
	}},
	{"an index is read in ranges and pages like a partition", func(t *testing.T, h Harness) {
		for n := range 9 {
			put(t, h, indexed(fmt.Sprint("i", 8-n), "L", fmt.Sprintf("%d", n)), indexed(fmt.Sprint("j", n), "L\x00", fmt.Sprint(n)))
		}
		q := table.Query{Index: table.WorkList, PK: "L"}
		list(t, h, q, "i8 i7 i6 i5 i4 i3 i2 i1 i0")
		q.From, q.To = "2", "7"
		list(t, h, q, "i6 i5 i4 i3 i2")
		q.Limit = 2
		list(t, h, q, "i6 i5")
		q.After = query(t, h, q)[1].Index[table.WorkList].SK
		list(t, h, q, "i4 i3")
		q.Desc, q.After = true, ""
		list(t, h, q, "i2 i3")
		q.After = "5"
		list(t, h, q, "i4 i5")
	}},
	{"two items at the same place of an index are both there", func(t *testing.T, h Harness) {
		put(t, h, indexed("a", "L", "1"), indexed("b", "L", "1"))
		eventually(t, func() string {
			if n := len(query(t, h, table.Query{Index: table.WorkList, PK: "L"})); n != 2 {
				return fmt.Sprintf("%d items, want 2", n)
			}
			return ""
		})
		write(t, h, table.Delete(key("p", "a"), table.Any))
		list(t, h, table.Query{Index: table.WorkList, PK: "L"}, "b")
	}},
	{"a refused write leaves the index as it was", func(t *testing.T, h Harness) {
		write(t, h, table.Put(indexed("a", "L", "1"), table.Absent))
		conflict(t, h.Table.Write(t.Context(), table.Put(indexed("a", "M", "1"), table.Absent)), map[int]int64{0: 1})
		list(t, h, table.Query{Index: table.WorkList, PK: "L"}, "a")
		list(t, h, table.Query{Index: table.WorkList, PK: "M"}, "")
	}},
}
