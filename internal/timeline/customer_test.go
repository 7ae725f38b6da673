package timeline_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aikajana/aikajana/internal/timeline"
)

func merge(a, b string) timeline.Merge { return timeline.Merge{Customers: [2]string{a, b}} }

func TestAPersonIsEverybodyThatMergesTieTogether(t *testing.T) {
	t.Parallel()
	got := timeline.Components([]string{"a", "b", "c", "d", "e"}, []timeline.Merge{merge("e", "b"), merge("c", "d"), merge("d", "b")})
	if diff := cmp.Diff([][]string{{"a"}, {"b", "c", "d", "e"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestThePersonsDoNotDependOnTheOrderOfMergesAndCoverEverybodyOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var customers []string
		for i := range rapid.IntRange(1, 20).Draw(t, "n") {
			customers = append(customers, fmt.Sprintf("c%02d", i))
		}
		one := rapid.SampledFrom(customers)
		merges := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) timeline.Merge { return merge(one.Draw(t, "a"), one.Draw(t, "b")) }), 0, 20).Draw(t, "merges")
		got := timeline.Components(customers, merges)
		if diff := cmp.Diff(got, timeline.Components(customers, rapid.Permutation(merges).Draw(t, "order"))); diff != "" {
			t.Fatal(diff)
		}
		if all := slices.Sorted(slices.Values(slices.Concat(got...))); !slices.Equal(all, customers) {
			t.Fatalf("of %v there are %v", customers, all)
		}
		for _, m := range merges {
			for _, person := range got {
				if slices.Contains(person, m.Customers[0]) != slices.Contains(person, m.Customers[1]) {
					t.Fatalf("%v are two persons: %v", m.Customers, got)
				}
			}
		}
	})
}
