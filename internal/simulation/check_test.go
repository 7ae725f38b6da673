package simulation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// verify checks everything that must hold once nothing waits any more. expected are the scenario's own expectations.
func (w *world) verify(expected func(*world)) []string {
	ctx := context.Background()
	in := check.Input{Table: w.table, Queues: map[string]queue.Counter{}}
	for name, q := range w.queues {
		in.Queues[name] = q
		d, err := q.Depth(ctx)
		w.must(err)
		if d.Dead > 0 {
			w.wrong("I9: queue %s gave up %d messages", name, d.Dead)
		}
	}
	report, err := check.Run(ctx, in)
	w.must(err)
	w.problems = append(w.problems, report.Problems...)
	entries := w.entries()
	w.once(entries)
	w.order(entries)
	w.conversations()
	for entry, n := range w.provider.took {
		if n > 1 {
			w.wrong("I6: the provider took answer %s %d times", entry, n)
		}
	}
	for address, n := range w.provider.automatic {
		if hours := int(w.clock.Sub(start).Hours()) + 1; n > hours {
			w.wrong("I10: %s was sent %d acknowledgements in %d hours", address, n, hours)
		}
	}
	w.gone()
	if expected != nil {
		expected(w)
	}
	return w.problems
}

// once: every message that the desk took is in exactly one timeline (I1, I2), unless its person was erased.
func (w *world) once(entries []*timeline.Entry) {
	count := map[string]int{}
	for _, e := range entries {
		if e.Kind == msg.KindMessage { // an answer bears the ID of its echo
			count[e.ID]++
		}
	}
	for id := range w.accepted {
		if n := count[id]; n > 1 || n == 0 && len(w.erased) == 0 {
			w.wrong("I1: message %s is in %d entries", id, n)
		}
	}
}

// order: pages in both directions hold what the whole holds, once, by time (I3).
func (w *world) order(entries []*timeline.Entry) {
	ctx := context.Background()
	customers := map[string]bool{}
	for _, e := range entries {
		customers[e.Customer] = true
	}
	for customer := range customers {
		whole, _, err := w.other.Store.Timeline(ctx, customer, store.Page{})
		if err != nil {
			w.wrong("I3: the timeline of customer %s cannot be read: %v", customer, err)
			return
		}
		if !slices.IsSortedFunc(whole, func(a, b *timeline.Entry) int { return int(a.Sort - b.Sort) }) {
			w.wrong("I3: the timeline of customer %s is out of order", customer)
		}
		var paged []*timeline.Entry
		page := store.Page{Limit: 2}
		for {
			part, next, err := w.other.Store.Timeline(ctx, customer, page)
			w.must(err)
			paged = append(slices.Clone(part), paged...)
			if page.Before = next; next == "" {
				break
			}
		}
		if ids(paged) != ids(whole) {
			w.wrong("I3: pages of customer %s hold %s and the whole %s", customer, ids(paged), ids(whole))
		}
	}
}

func ids(entries []*timeline.Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Entry)
	}
	return strings.Join(all, " ")
}

// conversations: one open case for each, and everything open can be found from its customer (I4).
func (w *world) conversations() {
	cases, profiles := map[string]*timeline.Case{}, map[string]*timeline.Customer{}
	for _, item := range w.items() {
		if !strings.HasPrefix(item.PK, "C#") {
			continue
		}
		switch {
		case strings.HasPrefix(item.SK, "K#"):
			c := new(timeline.Case)
			w.must(json.Unmarshal(item.Body, c))
			cases[c.Case] = c
		case item.SK == "A":
			c := new(timeline.Customer)
			w.must(json.Unmarshal(item.Body, c))
			profiles[c.Customer] = c
		}
	}
	open := map[string]string{}
	for id, c := range cases {
		if c.State == timeline.CaseSolved || len(c.Conversations) == 0 {
			continue
		}
		key := c.Customer + " " + c.Conversations[0]
		if other := open[key]; other != "" {
			w.wrong("I4: conversation %s of customer %s is open in cases %s and %s", c.Conversations[0], c.Customer, other, id)
		}
		open[key] = id
		if who := profiles[c.Customer]; who != nil && who.Open[c.Conversations[0]].Case == "" {
			w.wrong("I4: case %s is %s and its conversation does not lead to it", id, c.State)
		}
	}
	for _, e := range w.entries() {
		if who := profiles[e.Customer]; who == nil || !who.Is(store.CustomerOf(e.Case)) {
			w.wrong("entry %s of customer %s is filed in case %s of somebody else", e.Entry, e.Customer, e.Case)
		}
		if c := cases[e.Case]; c != nil && e.State.Settled() && slices.Contains(c.Unsettled, e.Entry) {
			w.wrong("answer %s is %s and its case still waits for it", e.Entry, e.State)
		}
	}
}

// gone: nothing that was erased can be found again, in any item or blob (I8).
func (w *world) gone() {
	for _, secret := range w.erased {
		for _, item := range w.items() {
			if strings.Contains(string(item.Body), secret) {
				w.wrong("I8: %s still holds %q", item.Key, secret)
			}
		}
		for key, body := range w.blobs {
			if strings.Contains(string(body), secret) && !strings.HasPrefix(key, "raw/shared/") {
				w.wrong("I8: blob %s still holds %q", key, secret)
			}
		}
	}
}

// observe notes how the state of an answer moved (I7): forward, back to pending when the provider certainly refused or an
// agent decided so, and from failed only to delivered or read.
func (w *world) observe(c *table.Change) {
	if c.Old == nil || c.New == nil || !strings.HasPrefix(c.Key.SK, "E#") {
		return
	}
	var was, is struct {
		Entry string
		State msg.State
	}
	w.must(json.Unmarshal(c.Old.Body, &was))
	w.must(json.Unmarshal(c.New.Body, &is))
	if was.State == is.State || was.State == msg.Received {
		return
	}
	move := fmt.Sprintf("%s -> %s", was.State, is.State)
	if next, ok := was.State.Next(is.State); ok && next == is.State || move == "sending -> pending" || move == "uncertain -> pending" || move == "failed -> pending" {
		return
	}
	w.wrong("I7: answer %s went %s", is.Entry, move)
}
