package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/store"
)

// numbers counts what this process accepts, by account, where the queue does not count (docs/adr/0012). The zero value
// numbers nothing. Safe for concurrent use.
type numbers struct {
	by string

	mu       sync.Mutex
	accounts map[store.AccountKey]*numbered
}

type numbered struct {
	last int64
	void [][2]int64
}

// keptVoid is how many runs of void numbers travel in an envelope: the latest. Earlier ones have travelled before.
const keptVoid = 4

// next numbers an envelope that is about to be accepted.
func (n *numbers) next(account store.AccountKey) *channel.Count {
	if n.by == "" {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.accounts == nil {
		n.accounts = map[store.AccountKey]*numbered{}
	}
	if n.accounts[account] == nil {
		n.accounts[account] = &numbered{}
	}
	a := n.accounts[account]
	a.last++
	return &channel.Count{By: n.by, N: a.last, Void: slices.Clone(a.void[max(0, len(a.void)-keptVoid):])}
}

// refused takes in that a queue did not confirm an envelope. It may be there all the same; then it counts as any other.
func (n *numbers) refused(account store.AccountKey, c *channel.Count) {
	if c == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.accounts[account]
	if k := len(a.void); k > 0 && a.void[k-1][1] == c.N-1 {
		a.void[k-1][1] = c.N
		return
	}
	a.void = append(a.void, [2]int64{c.N, c.N})
	a.void = a.void[max(0, len(a.void)-10*keptVoid):]
}

// Leave tells how much this process has accepted: to be called when it ends, so that the loss of its very last envelope shows,
// too. A process that is killed does not come to that; then only what came before a later envelope shows.
func (p *Pipeline) Leave(ctx context.Context) error {
	n := &p.numbers
	n.mu.Lock()
	var of []store.Noted
	for _, account := range slices.Sorted(maps.Keys(n.accounts)) {
		a := n.accounts[account]
		of = append(of, store.Noted{Account: account, By: n.by, End: a.last, Void: slices.Clone(a.void)})
	}
	n.mu.Unlock()
	if err := p.Store.NoteEnvelopes(ctx, of); err != nil {
		return fmt.Errorf("tell how much was accepted: %w", err)
	}
	return nil
}

// place names an event in a numbered envelope, see store.Incoming.By.
func place(c *channel.Count, n int) string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s-%d-%d", c.By, c.N, n)
}

// worked is one numbered envelope that a worker has in hand.
type worked struct {
	account store.AccountKey
	count   *channel.Count
	// first are the places of events that it was the first to bring.
	first map[int]bool
}

// together puts the envelopes of one instance and account into one.
func together(all []*worked) []store.Noted {
	type from struct {
		account store.AccountKey
		by      string
	}
	at := map[from]int{}
	var of []store.Noted
	for _, w := range all {
		k := from{w.account, w.count.By}
		n, ok := at[k]
		if !ok {
			n = len(of)
			at[k], of = n, append(of, store.Noted{Account: w.account, By: w.count.By})
		}
		of[n].Done = append(of[n].Done, store.Done{w.count.N, int64(len(w.first))})
		for _, v := range w.count.Void {
			if !slices.Contains(of[n].Void, v) {
				of[n].Void = append(of[n].Void, v)
			}
		}
	}
	return of
}

// number remembers that a message is an envelope, and its number. A message may be in a batch twice.
func (w *batchWork) number(message string, e *channel.Envelope) {
	account := store.AccountOf(e.Channel, e.Account)
	if e.Count == nil {
		w.unnumbered(message, account)
		return
	}
	if w.numbered[message] != nil {
		return
	}
	if w.numbered == nil {
		w.numbered = map[string]*worked{}
	}
	w.numbered[message] = &worked{account: account, count: e.Count, first: map[int]bool{}}
}

// unnumbered remembers that a message, or a mail for one of the accounts that it is for, has no number although others have, and
// where a mail provider had put it.
func (w *batchWork) unnumbered(message string, account store.AccountKey, blobs ...string) {
	if w.p.numbers.by == "" {
		return
	}
	if w.plain == nil {
		w.plain = map[string][]store.Noted{}
	}
	for _, n := range w.plain[message] {
		if n.Account == account {
			return
		}
	}
	w.plain[message] = append(w.plain[message], store.Noted{Account: account, Plain: 1, Blobs: blobs})
}

// note writes down which envelopes are done with, in one item. Those of a note that cannot be written come again.
func (w *batchWork) note(ctx context.Context) {
	var done []*worked
	var noted []string
	for _, message := range slices.Sorted(maps.Keys(w.numbered)) {
		if w.failed[message] == nil {
			done, noted = append(done, w.numbered[message]), append(noted, message)
		}
	}
	of := together(done)
	for _, message := range slices.Sorted(maps.Keys(w.plain)) {
		if w.failed[message] == nil {
			of, noted = append(of, w.plain[message]...), append(noted, message)
		}
	}
	if err := w.p.Store.NoteEnvelopes(ctx, of); err != nil {
		for _, message := range noted {
			w.fail(message, err)
		}
	}
}

// brought counts the events that their envelopes were the first to bring.
func (w *batchWork) brought(group []item, out []store.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range out {
		if out[i].First {
			w.numbered[group[i].message].first[group[i].in.Place] = true
		}
	}
}
