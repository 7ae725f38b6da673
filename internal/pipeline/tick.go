package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// How long raw input is kept: alone, and where several people's lies together.
const (
	rawFor    = 30
	sharedFor = 14
)

// Sweep deletes raw input that is older than it may be kept. Once a day is enough; on AWS the buckets' lifecycle does the
// same. It says how many blobs it deleted.
func (p *Pipeline) Sweep(ctx context.Context) (int, error) {
	deleted := 0
	for _, kind := range []struct {
		prefix string
		days   int
	}{{"raw/shared/", sharedFor}, {"raw/", rawFor}, {"quarantine/", 90}} {
		oldest := p.Now().Time().AddDate(0, 0, -kind.days).Format("20060102")
		after := ""
		for {
			blobs, err := p.Blobs.List(ctx, kind.prefix, after, 500)
			if err != nil {
				return deleted, fmt.Errorf("sweep %s: %w", kind.prefix, err)
			}
			for _, b := range blobs {
				after = b.Key
				day, _, _ := strings.Cut(strings.TrimPrefix(b.Key, kind.prefix), "/")
				if len(day) != 8 || day >= oldest {
					continue
				}
				if err := p.Blobs.Delete(ctx, b.Key); err != nil {
					return deleted, fmt.Errorf("sweep %s: %w", b.Key, err)
				}
				deleted++
			}
			if len(blobs) < 500 {
				break
			}
		}
	}
	return deleted, nil
}
