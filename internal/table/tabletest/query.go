package tabletest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aikajana/aikajana/internal/table"
)

var queryTests = []test{
	{"an item comes back as it was written", func(t *testing.T, h Harness) {
		i := table.Item{
			Key: key("C#ä\x00/1", "E#\U0001F600 x"), Rev: 7, Body: []byte{0, 1, 255, '"'}, Expires: Start.Add(1e12),
			Index: map[table.Index]table.Key{table.WorkList: key("L#team#ö", "2026#1"), table.Due: key("due", "\x00\x01")},
		}
		put(t, h, i, table.Item{Key: key("C#1", "empty")})
		got, err := h.Table.Get(t.Context(), i.Key)
		if diff := same(i, got); err != nil || diff != "" {
			t.Errorf("get: %v (-want +got):\n%s", err, diff)
		}
		if diff := same([]table.Item{i}, query(t, h, table.Query{PK: i.PK})); diff != "" {
			t.Errorf("query (-want +got):\n%s", diff)
		}
		expect(t, "an item without a body", found(t, h, key("C#1", "empty")), "@0")
		expect(t, "another partition", found(t, h, key("C#2", "empty")), "absent")
		expect(t, "another sort key", found(t, h, key("C#1", "empt")), "absent")
	}},
	{"items are ordered by the bytes of their sort keys", func(t *testing.T, h Harness) {
		sks := []string{"\x00", "\x00\x00", "\x01", "A", "A\x00", "A#", "AA", "B", "a", "z", "\x7f", "\u0080", "é", "ÿ", "Ω", "\uffff", "\U0001F600"}
		want := slices.Sorted(slices.Values(sks)) // Go compares strings by their bytes
		for _, sk := range slices.Backward(sks) {
			put(t, h, item("p", sk, ""), item("p\x00", sk, ""), item("p\x00\x01", sk, ""), item("o", sk, ""))
		}
		expect(t, "ascending", keys(query(t, h, table.Query{PK: "p"})), strings.Join(want, " "))
		slices.Reverse(want)
		expect(t, "descending", keys(query(t, h, table.Query{PK: "p", Desc: true})), strings.Join(want, " "))
		expect(t, "of the partition beside it", keys(query(t, h, table.Query{PK: "p\x00", Desc: true})), strings.Join(want, " "))
		if n := len(query(t, h, table.Query{PK: "p\x01"})); n != 0 {
			t.Errorf("%d items in an empty partition", n)
		}
	}},
	{"a range includes its lower bound and leaves out its upper one", func(t *testing.T, h Harness) {
		for _, sk := range []string{"a", "b", "c", "d", "e"} {
			put(t, h, item("p", sk, ""))
		}
		for _, c := range []struct {
			q    table.Query
			want string
		}{
			{table.Query{From: "b", To: "d"}, "b c"},
			{table.Query{From: "b", To: "d", Desc: true}, "c b"},
			{table.Query{From: "bb"}, "c d e"},
			{table.Query{To: "c"}, "a b"},
			{table.Query{To: "a"}, ""},
			{table.Query{From: "f"}, ""},
			{table.Query{From: "c", To: "c"}, ""},
			{table.Query{From: "d", To: "b"}, ""},
			{table.Query{After: "b"}, "c d e"},
			{table.Query{After: "bb"}, "c d e"},
			{table.Query{After: "b", Desc: true}, "a"},
			{table.Query{After: "bb", Desc: true}, "b a"},
			{table.Query{After: "e"}, ""},
			{table.Query{After: "a", Desc: true}, ""},
			{table.Query{From: "b", To: "e", After: "b", Limit: 1}, "c"},
			{table.Query{From: "b", To: "e", After: "b", Limit: 9}, "c d"},
			{table.Query{From: "b", To: "e", After: "d", Desc: true}, "c b"},
			{table.Query{From: "c", To: "e", After: "a"}, "c d"},
			{table.Query{From: "a", To: "c", After: "e", Desc: true}, "b a"},
			{table.Query{From: "a", To: "c", After: "d"}, ""},
			{table.Query{From: "c", To: "e", After: "b", Desc: true}, ""},
			{table.Query{Limit: 2}, "a b"},
			{table.Query{Limit: 2, Desc: true}, "e d"},
			{table.Query{Limit: 5}, "a b c d e"},
			{table.Query{Limit: 6}, "a b c d e"},
		} {
			c.q.PK = "p"
			expect(t, fmt.Sprintf("%+v", c.q), keys(query(t, h, c.q)), c.want)
		}
	}},
	{"paging never skips or repeats", pages},
	{"a partition larger than a megabyte is read whole", func(t *testing.T, h Harness) {
		var items []table.Item
		for n := range 30 {
			items = append(items, item("p", fmt.Sprintf("%02d", n), strings.Repeat("x", 100<<10)))
		}
		put(t, h, items...)
		got := query(t, h, table.Query{PK: "p", Desc: true, Limit: 29})
		slices.Reverse(got)
		if diff := same(items[1:], got); diff != "" {
			t.Errorf("the items differ: got %s", keys(got))
		}
	}},
}

// pages compares random ranges, read page by page, with a model, while other partitions hold the same keys.
func pages(t *testing.T, h Harness) {
	sk := rapid.StringMatching(`[ab\x00é]{1,3}`)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		pk := fmt.Sprintf("p%d", round)
		sks := rapid.SliceOfNDistinct(sk, 0, 12, rapid.ID[string]).Draw(rt, "keys")
		for _, s := range sks {
			put(t, h, item(pk, s, s))
		}
		gone := rapid.SliceOfN(sk, 0, 3).Draw(rt, "deleted")
		for _, s := range gone {
			write(t, h, table.Delete(key(pk, s), table.Any))
		}
		bound := rapid.OneOf(rapid.Just(""), sk)
		q := table.Query{PK: pk, From: bound.Draw(rt, "from"), To: bound.Draw(rt, "to"), Desc: rapid.Bool().Draw(rt, "desc"), Limit: rapid.IntRange(1, 5).Draw(rt, "limit")}
		var want []string
		for _, s := range slices.Sorted(slices.Values(sks)) {
			if s >= q.From && (q.To == "" || s < q.To) && !slices.Contains(gone, s) {
				want = append(want, s)
			}
		}
		if q.Desc {
			slices.Reverse(want)
		}
		var got []string
		for {
			page := query(t, h, q)
			if len(page) > q.Limit || len(got) > len(want) {
				rt.Fatalf("%+v: %d items for a limit of %d; so far %q, want %q", q, len(page), q.Limit, got, want)
			}
			for _, i := range page {
				got = append(got, i.SK)
			}
			if len(page) < q.Limit {
				break
			}
			q.After = page[len(page)-1].SK
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("%+v: got %q, want %q", q, got, want)
		}
	})
}

var scanTests = []test{
	{"a scan returns every item once", func(t *testing.T, h Harness) {
		s, ok := h.Table.(table.Scanner)
		if !ok {
			t.Fatal("the table is not a table.Scanner")
		}
		want := map[table.Key]string{}
		for n := range 40 {
			i := item(fmt.Sprintf("p%d", n%7), fmt.Sprintf("s%d", n), fmt.Sprint(n))
			want[i.Key] = string(i.Body)
			put(t, h, i)
		}
		expired := item("p1", "expired", "")
		expired.Expires = Start
		put(t, h, expired)
		for _, limit := range []int{1, 7, 1000} {
			got := map[table.Key]string{}
			var from table.Key
			for {
				page, err := s.Scan(t.Context(), from, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range page {
					if _, twice := got[i.Key]; twice {
						t.Errorf("%s came twice", i.Key)
					}
					got[i.Key] = string(i.Body)
				}
				if len(page) < limit {
					break
				}
				from = page[len(page)-1].Key
			}
			if diff := same(want, got); diff != "" {
				t.Errorf("limit %d (-want +got):\n%s", limit, diff)
			}
		}
	}},
}
