package pipeline_test

import (
	"testing"
	"time"
)

func TestAnAnswerThatNobodyWorksOnIsUnhealthyAfterAQuarterOfAnHour(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.send(d.graph.Text(maija, "Hei").ID("w1"))
	d.answer(maija, "Katson heti.") // and whoever should follow is away
	healthy := func(when string, want int) {
		t.Helper()
		must(t, d.Tick(t.Context()))
		if h := d.Health(); h.Stuck != want || h.Unhealthy() != want {
			t.Errorf("%s: %+v, want %d stuck", when, h, want)
		}
	}
	healthy("at once", 0)
	d.later(14 * time.Minute)
	healthy("woken in vain for a while", 0)
	d.later(2 * time.Minute)
	healthy("for a quarter of an hour", 1)
	d.settle()
	healthy("when it left", 0)
}
