package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"
)

// SoakOptions of a long load.
type SoakOptions struct {
	Options
	// For is how long, Rate how many messages a second, Every how often a line is printed.
	For, Every time.Duration
	Rate       float64
}

// Soak keeps the program under an even load and prints how memory and store grow.
func Soak(ctx context.Context, o SoakOptions) (err error) {
	r := &run{Options: o.Options}
	data := filepath.Join(o.Dir, "soak")
	p, err := Start(ctx, o.Binary, data)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, p.Stop()); err == nil && p.Said() != "" {
			err = fmt.Errorf("the program logged errors: %.2000s", p.Said())
		}
	}()
	a, err := Connect(ctx, p)
	if err != nil {
		return err
	}
	defer a.Close()
	r.say("%.0f messages a second for %s, %d customers, one message a POST, one agent's socket\n", o.Rate, o.For, Customers)
	r.say("%7s %9s %9s %9s %9s %12s %12s %12s\n", "s", "messages", "memory", "most", "on disk", "ack p99", "told p99", "processor")
	total, begun := 0, time.Now()
	for n := 0; time.Since(begun) < o.For; n++ {
		load := NewLoad("soak"+strconv.Itoa(n), int(o.Rate*o.Every.Seconds()), 1)
		a.Expect(load)
		before, err := p.CPU()
		if err != nil {
			return err
		}
		if _, err := load.Run(ctx, p.Addr, 32, o.Rate); err != nil {
			return err
		}
		if missing, _ := a.Wait(ctx, 5*time.Second); missing > 0 {
			return fmt.Errorf("%d messages were not told", missing)
		}
		total += load.messages
		now, most, merr := p.Memory()
		after, cerr := p.CPU()
		if err := errors.Join(merr, cerr); err != nil {
			return err
		}
		r.say("%7.0f %9d %6d MB %6d MB %6d MB %9.1f ms %9.1f ms %9.0f %%\n", time.Since(begun).Seconds(), total, now/mb, most/mb, DiskBytes(data)/mb,
			ms(Quantile(load.Acknowledged(), 0.99)), ms(Quantile(a.Notified(), 0.99)), 100*(after-before).Seconds()/o.Every.Seconds())
	}
	queued, err := p.Queued(ctx)
	if err != nil {
		return err
	}
	r.say("%d envelopes are left in the queue\n", queued)
	return nil
}
