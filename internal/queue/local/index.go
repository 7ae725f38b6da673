package local

import (
	"container/heap"
	"slices"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
)

// entry is a stored message as the index knows it. What follows state belongs to whoever claimed the entry while that is
// stateBusy, and is guarded by Queue.mu otherwise.
type entry struct {
	seq      uint64
	group    *group
	sentAt   msg.Time
	state    state
	inFlight bool
	attempts uint8
	// at is when a hidden entry becomes visible; 0 for at once.
	at msg.Time
	// place is where a hidden entry stands in the heap.
	place int
	// suspect: see suspects.
	suspect bool
}

// state says where an entry is.
type state uint8

const (
	// stateBusy: claimed by a call that is writing about it, in no list.
	stateBusy state = iota
	// stateReady: in its group's list.
	stateReady
	// stateHidden: in the heap, delayed or in flight.
	stateHidden
)

// group is what the messages of one group share.
type group struct {
	name string
	// ready lists what can be received, next first. Entries that were claimed otherwise are still in it and skipped.
	ready []*entry
	// turning says that the group is in the round.
	turning bool
}

// index is what the queue knows in memory.
type index struct {
	live   map[uint64]*entry
	groups map[string]*group
	// round lists the groups with something ready, the one whose turn it is first.
	round []*group
	// hidden is a heap by entry.at. doomed came out of it with no attempts left.
	hidden hidden
	doomed []*entry
	// suspects are those that may have killed their process.
	suspects suspects

	ready, delayed int
	dead           int64
	last           uint64

	waiters []chan struct{}
	timer   *time.Timer
}

func (x *index) init() {
	x.live = make(map[uint64]*entry)
	x.groups = make(map[string]*group)
}

// group is the group of that name.
func (x *index) group(name string) *group {
	g := x.groups[name]
	if g == nil {
		g = &group{name: name}
		x.groups[name] = g
	}
	return g
}

// next is a number that no message of this queue has had: later messages have greater ones, over restarts too.
func (x *index) next(now msg.Time) uint64 {
	x.last = max(x.last+1, uint64(now)<<seqBits) //nolint:gosec // a time after 1970
	return x.last
}

// seqBits leaves room for four million messages a millisecond beside the time.
const seqBits = 22

// add takes up a stored message.
func (x *index) add(e *entry, now msg.Time) {
	x.live[e.seq] = e
	x.last = max(x.last, e.seq)
	e.state = stateBusy
	e.suspect = e.at == 0 && e.attempts >= suspectAfter
	switch {
	case e.at > now:
		x.hide(e, e.at, false)
	case e.attempts >= queue.MaxAttempts:
		x.doomed = append(x.doomed, e)
	default:
		x.offer(e)
	}
}

// offer makes a claimed entry receivable.
func (x *index) offer(e *entry) {
	e.state, e.inFlight = stateReady, false
	x.ready++
	if e.suspect {
		x.suspects.list = append(x.suspects.list, e)
		x.suspects.ready++
		return
	}
	g := e.group
	g.ready = append(g.ready, e)
	if !g.turning {
		g.turning = true
		x.round = append(x.round, g)
	}
}

// hide keeps a claimed entry invisible until at.
func (x *index) hide(e *entry, at msg.Time, inFlight bool) {
	e.state, e.inFlight, e.at = stateHidden, inFlight, at
	if !inFlight {
		x.delayed++
	}
	heap.Push(&x.hidden, e)
}

// remove claims an entry that is ready or hidden.
func (x *index) remove(e *entry) {
	switch e.state {
	case stateReady:
		x.ready--
		if e.suspect {
			x.suspects.ready--
		}
	case stateHidden:
		heap.Remove(&x.hidden, e.place)
		if !e.inFlight {
			x.delayed--
		}
	case stateBusy:
	}
	e.state = stateBusy
}

// forget drops a claimed entry.
func (x *index) forget(e *entry) { delete(x.live, e.seq) }

// promote moves what has become visible to where it can be received, or to the doomed.
func (x *index) promote(now msg.Time) {
	for len(x.hidden) > 0 && x.hidden[0].at <= now {
		e := x.hidden[0]
		x.remove(e)
		if e.attempts >= queue.MaxAttempts {
			x.doomed = append(x.doomed, e)
			continue
		}
		x.offer(e)
	}
}

// take claims up to limit ready entries, one of each group in turn; or suspects, while no others are out.
func (x *index) take(limit int) []*entry {
	if taken := x.takeSuspects(limit); len(taken) > 0 {
		return taken
	}
	var taken []*entry
	for len(taken) < limit && len(x.round) > 0 {
		g := x.round[0]
		x.round = x.round[1:]
		for len(g.ready) > 0 {
			e := g.ready[0]
			g.ready[0] = nil
			g.ready = g.ready[1:]
			if e.state == stateReady {
				x.remove(e)
				taken = append(taken, e)
				break
			}
		}
		if g.turning = len(g.ready) > 0; g.turning {
			x.round = append(x.round, g)
		}
	}
	return taken
}

// takeDoomed claims the doomed.
func (x *index) takeDoomed() []*entry {
	doomed := x.doomed
	x.doomed = nil
	return doomed
}

// suspectAfter is how many times a message must have been in hand when a process ended to be a suspect.
const suspectAfter = 2

// suspects are messages that were in hand at every end of a process that they saw, suspectAfter times or more. One of them may
// be what ends it, and the others were only worked on beside it. So they are handed out apart from all others, the oldest first,
// sixteen at a time, after a further death four, and for the last attempt one: what kills its process uses up its own attempts
// and takes nobody along into the dead-letter queue.
type suspects struct {
	// list holds those that are ready, and some that were claimed otherwise; ready counts the former.
	list  []*entry
	ready int
	// out are those that were handed out last.
	out []*entry
}

// together is how many suspects of as many attempts may share their fate.
func together(attempts uint8) int { return 1 << (2 * (queue.MaxAttempts - 1 - attempts)) }

// takeSuspects claims the next suspects, none while others are being worked on.
func (x *index) takeSuspects(limit int) []*entry {
	s := &x.suspects
	if s.ready == 0 || x.occupied() {
		return nil
	}
	s.out = nil
	for s.ready > 0 {
		e := s.list[0]
		if e.suspect && e.state == stateReady {
			if len(s.out) > 0 && (e.attempts != s.out[0].attempts || len(s.out) >= min(limit, together(e.attempts))) {
				break
			}
			x.remove(e)
			s.out = append(s.out, e)
		}
		s.list = s.list[1:]
	}
	return slices.Clone(s.out)
}

// occupied says that suspects are being worked on.
func (x *index) occupied() bool {
	return slices.ContainsFunc(x.suspects.out, func(e *entry) bool {
		return x.live[e.seq] == e && (e.state == stateBusy || e.state == stateHidden && e.inFlight)
	})
}

// receivable is how many of the ready entries can be had now.
func (x *index) receivable() int {
	n := x.ready - x.suspects.ready
	if x.suspects.ready > 0 && !x.occupied() {
		n++
	}
	return n
}

// hidden is a heap of entries by when they become visible, then by age.
type hidden []*entry

func (h hidden) Len() int { return len(h) }

func (h hidden) Less(a, b int) bool {
	if h[a].at != h[b].at {
		return h[a].at < h[b].at
	}
	return h[a].seq < h[b].seq
}

func (h hidden) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].place, h[b].place = a, b
}

// Push is heap.Interface's.
func (h *hidden) Push(e any) {
	one := e.(*entry)
	one.place = len(*h)
	*h = append(*h, one)
}

// Pop is heap.Interface's.
func (h *hidden) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
