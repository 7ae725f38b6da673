package scenario_test

import (
	"testing"

	"github.com/aikajana/aikajana/internal/scenario"
)

func TestStoriesAreToldByTheProgramAsItIsServedInTheSameBytes(t *testing.T) {
	t.Parallel()
	told := 0
	for _, name := range names(t) {
		s := read(t, name)
		if s.ByHand {
			continue
		}
		told++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, name, play(t, s, scenario.NewServed))
		})
	}
	if told < 40 {
		t.Errorf("only %d stories are told by the program as it is served, at least 40 are wanted", told)
	}
}
