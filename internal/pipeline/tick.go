package pipeline

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/store"
)

// How much one Tick looks at in each of the four shards of the index, so that it ends within the minute, and how long an answer
// may be late before it is woken again: longer than a wake-up takes.
const (
	tickLimit  = 1000
	lateAnswer = 30 * time.Second
	// stuckAnswer is how late an answer is that its wake-ups do not help.
	stuckAnswer = 15 * time.Minute
	wakeBatch   = 100
)

// Tick looks after what waits, once a minute: answers whose wake-up was lost, attempts whose end nobody saw, snoozes that
// end, cases that nobody has opened, things whose message never came; and it sums up what workers noted. It may run at any
// time, anywhere, twice at once.
//
// What is more than one Tick takes is taken by the next ones in turn, so however many answers are stuck, each snooze still
// ends: at worst a minute late for every thousand things that stay due.
func (p *Pipeline) Tick(ctx context.Context) error {
	due, err := p.Store.DueBefore(ctx, p.Now(), tickLimit)
	errs := []error{err} // what was listed is good all the same
	health := p.Health() // of what cannot be looked at now, the last is kept
	var late, stuck []string
	for i := range due {
		d := &due[i]
		var err error
		switch {
		case d.Entry != "":
			if p.Now().Sub(d.At) >= lateAnswer {
				late = append(late, d.Entry)
			}
			if p.Now().Sub(d.At) >= stuckAnswer {
				stuck = append(stuck, d.Entry)
			}
		case d.Case != "":
			_, err = p.Store.Ring(ctx, d.Case)
		case d.Merge != "":
			err = p.Store.Refile(ctx, d.Merge)
		case d.Quarantined != "":
			err = p.expire(ctx, d.Quarantined)
		case d.Waiting != nil:
			_, err = p.Store.Orphans(ctx, *d.Waiting)
		}
		if err != nil && fault.Of(err) != fault.Missing {
			errs = append(errs, err)
		}
	}
	for some := range slices.Chunk(late, wakeBatch) { // last: they are many when they are stuck, and in nobody's way then
		if err := p.wakeAll(ctx, some); err != nil {
			errs = append(errs, err)
		}
	}
	if n, err := p.stuck(ctx, stuck); err != nil {
		errs = append(errs, err)
	} else if errs[0] == nil {
		health.Stuck = n
	}
	if _, overdue, err := p.Store.FoldEnvelopes(ctx); err != nil {
		errs = append(errs, err)
	} else {
		health.Overdue = overdue
	}
	p.health.Store(&health)
	return errors.Join(errs...)
}

// stuck counts the late answers that no other answer holds up. When they are many, all count: something is wrong then, and looking
// at each would take the minute.
func (p *Pipeline) stuck(ctx context.Context, late []string) (n int, err error) {
	if len(late) > wakeBatch {
		return len(late), nil
	}
	for _, entry := range late {
		held, err := p.Store.HeldUp(ctx, entry)
		if err != nil && fault.Of(err) != fault.Missing {
			return 0, err
		}
		if err == nil && !held {
			n++
		}
	}
	return n, nil
}

// Health is what the last Tick found that does not mend itself, and that nothing else tells of.
type Health struct {
	// Stuck are answers that should have left a quarter of an hour ago, and that nobody works on although they are woken and no
	// other answer is to go first. One that is tried and refused is none of them: it says itself why it waits, and when it fails.
	Stuck int
	// Overdue are envelopes that were accepted and got lost, or wait for very long, one for each process that accepted them.
	// Empty where queues count what they hold.
	Overdue []store.Overdue
}

// Unhealthy counts what somebody should look at.
func (h *Health) Unhealthy() int { return h.Stuck + len(h.Overdue) }

// Health is what the last Tick of this process found; nothing before the first.
func (p *Pipeline) Health() Health {
	if h := p.health.Load(); h != nil {
		return *h
	}
	return Health{}
}
