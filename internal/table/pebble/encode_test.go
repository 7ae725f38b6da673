package pebble

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// FuzzDamagedRecordsAreRefused gives the decoders what a damaged disk might: an error, never a panic.
func FuzzDamagedRecordsAreRefused(f *testing.F) {
	item := encodeItem(&table.Item{Body: []byte("x"), Expires: 5000, Index: map[table.Index]table.Key{table.Due: {PK: "due", SK: "9"}}}, 3)
	f.Add(item)
	f.Add(appendChange(startRecord(1), table.Key{PK: "p", SK: "a"}, nil, item))
	f.Add(entryKey(table.Due, table.Key{PK: "due", SK: "9"}, table.Key{PK: "p\x00", SK: "a"})[2:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := decodeItem(table.Key{PK: "p", SK: "a"}, b); err == nil && len(i.Body) > len(b) {
			t.Errorf("a body of %d bytes out of %d", len(i.Body), len(b))
		}
		if all, err := decodeRecord(1, b); err == nil && len(all) > len(b) {
			t.Errorf("%d changes out of %d bytes", len(all), len(b))
		}
		if pk, rest, err := cutEscaped(b); err == nil {
			if _, err := decodeEntry(table.Due, pk, rest, b); err == nil && len(rest) < 4 {
				t.Errorf("an index entry out of %q", rest)
			}
		}
		_, _ = decodeKey(b) // the key of whatever it is
	})
}

func TestKeysSortAsTheirPartsDoAndComeBack(t *testing.T) {
	t.Parallel()
	part := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', 0xfe, 0xff}), 1, 4), func(b []byte) string { return string(b) })
	rapid.Check(t, func(t *rapid.T) {
		a, b := table.Key{PK: part.Draw(t, "pk"), SK: part.Draw(t, "sk")}, table.Key{PK: part.Draw(t, "pk"), SK: part.Draw(t, "sk")}
		want := strings.Compare(a.PK, b.PK)
		if want == 0 {
			want = strings.Compare(a.SK, b.SK)
		}
		if got := bytes.Compare(itemKey(a), itemKey(b)); got != want {
			t.Fatalf("%q and %q compare as %d, their keys as %d", a, b, want, got)
		}
		if back, err := decodeItemKey(itemKey(a)); back != a || err != nil {
			t.Fatalf("%q came back as %q, %v", a, back, err)
		}
		entry := entryKey(table.Due, a, b)
		pk, rest, err := cutEscaped(entry[2:])
		if err != nil || pk != a.PK {
			t.Fatalf("entry %q: partition %q, %v", entry, pk, err)
		}
		i, err := decodeEntry(table.Due, pk, rest, []byte{0})
		if err != nil || i.Key != b || i.Index[table.Due] != a {
			t.Fatalf("entry %q came back as %v, %v", entry, i, err)
		}
	})
}

func TestItemsAndChangesComeBack(t *testing.T) {
	t.Parallel()
	item := rapid.Custom(func(t *rapid.T) table.Item {
		i := table.Item{Rev: rapid.Int64().Draw(t, "rev"), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body")}
		i.Expires = msg.Time(rapid.Int64Range(0, 1e10).Draw(t, "expires") * 1000)
		for _, index := range indexes {
			if rapid.Bool().Draw(t, "indexed") {
				if i.Index == nil {
					i.Index = map[table.Index]table.Key{}
				}
				i.Index[index] = table.Key{PK: rapid.StringN(1, 9, -1).Draw(t, "pk"), SK: rapid.StringN(1, 9, -1).Draw(t, "sk")}
			}
		}
		return i
	})
	rapid.Check(t, func(t *rapid.T) {
		before, after := item.Draw(t, "before"), item.Draw(t, "after")
		k := table.Key{PK: rapid.StringN(1, 9, -1).Draw(t, "pk"), SK: rapid.StringN(1, 9, -1).Draw(t, "sk")}
		before.Key, after.Key = k, k
		b := startRecord(77)
		b = appendChange(b, k, nil, encodeItem(&before, before.Rev))
		b = appendChange(b, k, encodeItem(&before, before.Rev), encodeItem(&after, after.Rev))
		b = appendChange(b, k, encodeItem(&after, after.Rev), nil)
		got, err := decodeRecord(5, b)
		want := []table.Change{
			{Key: k, New: &before, Seq: "0000000000000005-01", At: 77},
			{Key: k, Old: &before, New: &after, Seq: "0000000000000005-02", At: 77},
			{Key: k, Old: &after, Seq: "0000000000000005-03", At: 77},
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	})
}
