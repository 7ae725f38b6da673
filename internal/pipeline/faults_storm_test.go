package pipeline_test

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

// storm is a table that refuses every write while it is over its capacity.
type storm struct {
	table.Table
	over atomic.Bool
}

func (s *storm) Write(ctx context.Context, ops ...table.Op) error {
	if s.over.Load() {
		return table.ErrBusy
	}
	return s.Table.Write(ctx, ops...)
}

func TestFault58_NoStormOfThrottlingIsLongEnoughToDeadLetterWhatNobodyProcessed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	throttled := &storm{Table: d.table}
	d.rewire(func(deps *pipeline.Deps) {
		s, err := store.New(store.Options{
			Table: throttled, Key: bytes.Repeat([]byte("k"), 32), Now: d.now, NewID: d.newID, Pause: func(context.Context, int) error { return nil },
		})
		must(t, err)
		deps.Store = s
	})
	d.withMail(nil)
	picture := d.graph.AddMedia("image/jpeg", []byte("not really a picture"))
	d.graph.FailMedia(picture, 1) // so that it is fetched in the storm
	d.send(d.graph.Image(maija, picture, "näin kävi").ID("w0"))
	d.answerLater(maija, "Katson heti.", 10*time.Second)
	d.settle()
	throttled.over.Store(true)
	must(t, d.graph.MustPost(t.Context(), d.graph.Text(maija, "eka").ID("w1"), d.graph.Text(maija, "toka").ID("w2")))
	for range 16 { // four hours: more than three times the attempts that a message has
		d.pass(15 * time.Minute)
	}
	for name, q := range d.queues {
		depth, err := q.Depth(t.Context())
		must(t, err)
		if depth.Dead != 0 {
			t.Errorf("queue %s: %+v", name, depth)
		}
		if name == "inbound" && depth == (queue.Depth{}) {
			t.Error("the messages are gone")
		}
	}
	throttled.over.Store(false)
	d.pass(time.Hour)
	got := d.draw(maija)
	for _, line := range []string{"in received [image näin kävi stored]", "out delivered Katson heti.", "in received eka", "in received toka"} {
		if strings.Count(got, line+"\n") != 1 {
			t.Errorf("after the storm there is no line %q, or more than one:\n%s", line, got)
		}
	}
	d.even()
}
