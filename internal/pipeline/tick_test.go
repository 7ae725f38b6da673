package pipeline_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
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

func TestAnAnswerThatIsToGoAfterARefusedOneIsNotStuck(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.send(d.graph.Text(maija, "Hei").ID("w1"))
	for range 100 {
		d.graph.Next(fake.Refuse(400, 131056)) // which passes, some time
	}
	d.answer(maija, "Katson heti.")
	d.send(d.graph.Text(maija, "Ja vielä yksi asia").ID("w2"))
	d.answer(maija, "Se on rikki meilläkin.")
	for minute := range 40 {
		d.pass(time.Minute)
		must(t, d.Tick(t.Context()))
		if h := d.Health(); h.Stuck != 0 {
			t.Fatalf("minute %d: %d answers are stuck", minute, h.Stuck)
		}
	}
	if timeline := d.draw(maija); strings.Count(timeline, "pending") != 2 {
		t.Errorf("both wait:\n%s", timeline)
	}
}

func TestWhatCannotBeLookedAtIsAsHealthyAsItWas(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.send(d.graph.Text(maija, "Hei").ID("w1"))
	d.answer(maija, "Katson heti.")
	d.later(16 * time.Minute)
	must(t, d.Tick(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Tick(ctx); err == nil {
		t.Fatal("nothing failed")
	}
	if h := d.Health(); h.Stuck != 1 {
		t.Errorf("%d answers are stuck, want the one of the last look", h.Stuck)
	}
}
