package store

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// seen is a model of one instance: every number apart.
type seen struct{ done, void map[int64]bool }

func TestNumbersCountTheSameInWhateverOrderAndHoweverOftenTheyAreNoted(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		chance := mathrand.New(mathrand.NewPCG(seed, 1)) //nolint:gosec // a test that can be repeated
		last := 1 + chance.Int64N(30)
		model := seen{map[int64]bool{}, map[int64]bool{}}
		var notes []Noted
		var void [][2]int64
		stored := int64(0)
		for n := int64(1); n <= last; n++ {
			switch chance.IntN(6) {
			case 0: // lost
			case 1: // not confirmed, and did not land
				void = append(void, [2]int64{n, n})
				model.void[n] = true
			case 2: // not confirmed, and landed all the same
				void = append(void, [2]int64{n, n})
				model.done[n], stored = true, stored+2
				notes = append(notes, Noted{Account: "a/b", By: "i", Done: []Done{{n, 2}}})
			default:
				model.done[n], stored = true, stored+2
				notes = append(notes, Noted{Account: "a/b", By: "i", Done: []Done{{n, 2}}, Void: void})
			}
		}
		notes = append(notes, Noted{Account: "a/b", By: "i", End: last, Void: void})
		for range 5 {
			notes = append(notes, notes[chance.IntN(len(notes))])
		}
		chance.Shuffle(len(notes), func(i, j int) { notes[i], notes[j] = notes[j], notes[i] })
		e := &Envelopes{}
		for i := range notes {
			e.add(&notes[i], 1, false)
		}
		// A void number is told by every later note and at the end: none stays a gap.
		accepted, processed := e.Counted()
		if wantDone, wantAll := int64(len(model.done)), last-int64(len(model.void)); processed != wantDone || accepted != wantAll || e.Stored != stored {
			t.Fatalf("seed %d: accepted %d, processed %d, stored %d; want %d, %d, %d: %+v", seed, accepted, processed, e.Stored, wantAll, wantDone, stored, e.Instances["i"])
		}
		if missing := int64(len(e.Missing())); missing != accepted-processed {
			t.Fatalf("seed %d: %d are missing of %d - %d", seed, missing, accepted, processed)
		}
	}
}

func TestSpansAreASet(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		chance := mathrand.New(mathrand.NewPCG(seed, 2)) //nolint:gosec // a test that can be repeated
		var s spans
		model := map[int64]bool{}
		for range 20 {
			first := 1 + chance.Int64N(20)
			last := first + chance.Int64N(5) - 1
			with := chance.IntN(2) == 0
			if with {
				s = s.with(first, last)
			} else {
				s = s.without(first, last)
			}
			for n := first; n <= last; n++ {
				if with {
					model[n] = true
				} else {
					delete(model, n)
				}
			}
			for n := int64(0); n < 30; n++ {
				if s.has(n) != model[n] {
					t.Fatalf("seed %d: %v has %d: %t", seed, s, n, s.has(n))
				}
			}
			if s.size() != int64(len(model)) {
				t.Fatalf("seed %d: %v has %d numbers, want %d", seed, s, s.size(), len(model))
			}
			for i := range s {
				if s[i][0] > s[i][1] || i > 0 && s[i][0] <= s[i-1][1]+1 {
					t.Fatalf("seed %d: %v is not in order", seed, s)
				}
			}
		}
	}
}

// memory is a table for what notes need.
type memory struct {
	table.Table
	items map[table.Key]table.Item
	puts  int
}

func (m *memory) Get(_ context.Context, k table.Key) (table.Item, error) {
	if i, ok := m.items[k]; ok {
		return i, nil
	}
	return table.Item{}, table.ErrNotFound
}

func (m *memory) Query(_ context.Context, q table.Query) ([]table.Item, error) {
	var all []table.Item
	for k, i := range m.items {
		if k.PK == q.PK && k.SK >= q.From {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b table.Item) int { return strings.Compare(a.SK, b.SK) })
	return all, nil
}

func (m *memory) Write(_ context.Context, ops ...table.Op) error {
	for _, op := range ops {
		had, there := m.items[op.Item.Key]
		if rev, at := op.If.Rev(); at && had.Rev != rev || op.If.IsAbsent() && there {
			return &table.Conflict{}
		}
		op.Item.Rev = had.Rev + 1
		m.items[op.Item.Key] = op.Item
		m.puts++
	}
	return nil
}

func noting(t *testing.T) (*Store, *memory, *msg.Time) {
	t.Helper()
	now := msg.TimeOf(time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC))
	m := &memory{items: map[table.Key]table.Item{}}
	s, err := New(Options{Table: m, Key: []byte(strings.Repeat("k", 32)), Now: func() msg.Time { return now }, NewID: rand.Text})
	if err != nil {
		t.Fatal(err)
	}
	return s, m, &now
}

func TestFoldingChangesNothingThatIsCounted(t *testing.T) {
	t.Parallel()
	s, m, now := noting(t)
	for n := int64(1); n <= 600; n++ {
		if n%100 == 50 {
			continue // lost
		}
		err := s.NoteEnvelopes(t.Context(), []Noted{
			{Account: "whatsapp/main", By: fmt.Sprint("i", n%3), Done: []Done{{(n + 2) / 3, 1}}}, {Account: "email/main", Plain: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		*now = now.Add(time.Second)
		if n%150 == 0 {
			*now = now.Add(settling)
			before := told(t, s)
			folded, _, err := s.FoldEnvelopes(t.Context())
			if err != nil || n >= 300 && folded == 0 {
				t.Fatal(folded, err)
			}
			if after := told(t, s); after != before {
				t.Fatalf("after %d: %s before folding, %s after", n, before, after)
			}
		}
	}
	if got, want := told(t, s), "email/main 594 594 plain=594 stored=0 0 missing\nwhatsapp/main 600 594 plain=0 stored=594 6 missing"; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
	if most := 594 + 3*4; m.puts > most {
		t.Errorf("%d writes, want %d at most", m.puts, most)
	}
}

func told(t *testing.T, s *Store) string {
	t.Helper()
	all, err := s.Envelopes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, account := range []AccountKey{"email/main", "whatsapp/main"} {
		e := all[account]
		if e == nil {
			continue
		}
		accepted, processed := e.Counted()
		numbers := map[string]bool{}
		for _, n := range e.Missing() {
			numbers[fmt.Sprint(n.By, n.N)] = true
		}
		lines = append(lines, fmt.Sprintf("%s %d %d plain=%d stored=%d %d missing", account, accepted, processed, e.Plain, e.Stored, len(numbers)))
	}
	return strings.Join(lines, "\n")
}

func TestAnInstanceThatEndsEvenIsForgottenAndStillCounted(t *testing.T) {
	t.Parallel()
	s, _, now := noting(t)
	for i := range 20 {
		if err := s.NoteEnvelopes(t.Context(), []Noted{{Account: "whatsapp/main", By: fmt.Sprint("i", i), Done: []Done{{1, 1}, {2, 1}}, End: 2}}); err != nil {
			t.Fatal(err)
		}
		if err := s.NoteEnvelopes(t.Context(), []Noted{{Account: "whatsapp/main", By: fmt.Sprint("gap", i), End: 1}}); err != nil {
			t.Fatal(err)
		}
		*now = now.Add(25 * time.Hour)
		if _, _, err := s.FoldEnvelopes(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Envelopes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := all["whatsapp/main"]
	accepted, processed := e.Counted()
	if accepted != 60 || processed != 40 || len(e.Missing()) != 20 {
		t.Errorf("accepted %d, processed %d, missing %v", accepted, processed, e.Missing())
	}
	if even := len(e.Instances) - 20; even > 6 {
		t.Errorf("%d instances that are even are remembered", even)
	}
}

func TestTheEndOfAnInstanceShowsThatItsLastEnvelopeIsMissing(t *testing.T) {
	t.Parallel()
	s, _, now := noting(t)
	if err := s.NoteEnvelopes(t.Context(), []Noted{{Account: "whatsapp/main", By: "i", End: 1}}); err != nil {
		t.Fatal(err)
	}
	*now = now.Add(settling + time.Second)
	all, err := s.Envelopes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := Numbers(all["whatsapp/main"].Missing()); got != "instance i number 1" {
		t.Errorf("missing: %q", got)
	}
}

func TestWhatIsMissingForAnHourIsOverdueAndWhatIsOnlyLateIsNot(t *testing.T) {
	t.Parallel()
	s, _, now := noting(t)
	begun := *now
	note := func(numbers ...int64) {
		t.Helper()
		n := Noted{Account: "whatsapp/main", By: "i"}
		for _, number := range numbers {
			n.Done = append(n.Done, Done{number, 1})
		}
		if err := s.NoteEnvelopes(t.Context(), []Noted{n}); err != nil {
			t.Fatal(err)
		}
	}
	overdue := func(when string, want ...int64) {
		t.Helper()
		_, late, err := s.FoldEnvelopes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, o := range late {
			if o.Account != "whatsapp/main" || o.By != "i" || o.Since < begun {
				t.Errorf("%s: %+v", when, o)
			}
			got = append(got, o.N)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: overdue are %v, want %v", when, got, want)
		}
	}
	note(1, 3)
	overdue("just overtaken")
	for n := int64(4); n <= 2*foldAt+10; n += 2 { // always something in between, and several folds
		*now = now.Add(OverdueAfter / (foldAt + 10))
		note(n+1, n)
	}
	*now = begun.Add(OverdueAfter - time.Millisecond)
	overdue("within the hour")
	*now = begun.Add(OverdueAfter)
	overdue("an hour later", 2)
	*now = begun.Add(OverdueAfter + OverdueFor - time.Millisecond)
	overdue("folded", 2)
	overdue("and read again", 2)
	*now = begun.Add(OverdueAfter + OverdueFor)
	overdue("said for a day")
	note(2)
	overdue("done after all")
	note(2*foldAt + 100)
	*now = now.Add(OverdueAfter / 2)
	overdue("other numbers, half an hour")
	note(2*foldAt + 12)
	*now = now.Add(OverdueAfter / 2)
	overdue("the lowest of which came since")
}
