package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
)

// How much one Tick looks at, and how long an answer may be late before it is woken again: longer than a wake-up takes.
const (
	tickLimit  = 500
	lateAnswer = 30 * time.Second
)

// Tick looks after what waits, once a minute: answers whose wake-up was lost, attempts whose end nobody saw, snoozes that
// end, cases that nobody has opened, things whose message never came; and it sums up what workers noted. It may run at any time, anywhere, twice at once.
func (p *Pipeline) Tick(ctx context.Context) error {
	due, err := p.Store.DueBefore(ctx, p.Now(), tickLimit)
	if err != nil {
		return err
	}
	var errs []error
	for i := range due {
		d := &due[i]
		var err error
		switch {
		case d.Entry != "":
			if p.Now().Sub(d.At) >= lateAnswer {
				err = p.wake(ctx, d.Entry, "", 0)
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
	if _, err := p.Store.FoldEnvelopes(ctx); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
