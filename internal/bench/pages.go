package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// pages measures pages on a small and on a large store.
func (r *run) pages(ctx context.Context) error {
	if r.Cases == 0 {
		return nil
	}
	r.say("\n## Pages of 50 over HTTP, median and p99 of 200\n")
	for _, size := range []struct{ entries, cases int }{{100, 1000}, {r.Entries, r.Cases}} {
		if err := r.pagesOf(ctx, size.entries, size.cases); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) pagesOf(ctx context.Context, entries, cases int) error {
	data := filepath.Join(r.Dir, "pages"+strconv.Itoa(cases))
	seeded, err := Seed(ctx, data, entries, cases)
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	disk := DiskBytes(data)
	p, err := Start(ctx, r.Binary, data)
	if err != nil {
		return err
	}
	timeline, terr := r.page(ctx, p, "/api/v1/customers/"+seeded.Customer+"/timeline?limit=50")
	work, werr := r.page(ctx, p, "/api/v1/cases?state=open&limit=50")
	memory, _, merr := p.Memory()
	if err := errors.Join(terr, werr, merr, p.Stop()); err != nil {
		return err
	}
	r.say("timeline of %7d entries   p50 %6.2f ms   p99 %6.2f ms\nwork list of %7d cases    p50 %6.2f ms   p99 %6.2f ms\n",
		entries, ms(Quantile(timeline, 0.5)), ms(Quantile(timeline, 0.99)), cases, ms(Quantile(work, 0.5)), ms(Quantile(work, 0.99)))
	r.say("  seeded in %.0f s, %d MB on disk; memory after the pages %d MB\n", seeded.Took.Seconds(), disk/mb, memory/mb)
	return errors.Join(r.starts(ctx, data), os.RemoveAll(data))
}

// starts measures the start on a store that is not empty: after an orderly end, and after kill -9 in the middle of work, when
// the log has to be replayed.
func (r *run) starts(ctx context.Context, data string) error {
	orderly, err := r.ordered(ctx, data)
	if err != nil {
		return err
	}
	var killed []time.Duration
	p, err := Start(ctx, r.Binary, data)
	if err != nil {
		return err
	}
	for _, messages := range []int{1000, 2000, 3000, 4000, 5000} { // about 6 KB of log each: part of a memtable, or more
		if _, err := NewLoad("killed"+strconv.Itoa(messages), messages, 1).Run(ctx, p.Addr, 32, 0); err != nil {
			return errors.Join(err, p.Kill())
		}
		if err := p.Kill(); err != nil {
			return err
		}
		if p, err = Start(ctx, r.Binary, data); err != nil {
			return err
		}
		killed = append(killed, p.Started)
	}
	slices.Sort(killed)
	say := func(when string, all []time.Duration) {
		r.say("  started after %-15s median of %d %4d ms (%d to %d)\n", when, len(all), all[len(all)/2].Milliseconds(), all[0].Milliseconds(), all[len(all)-1].Milliseconds())
	}
	say("an orderly end", orderly)
	say("kill -9", killed)
	return p.Stop()
}

// ordered starts and stops a few times.
func (r *run) ordered(ctx context.Context, data string) (all []time.Duration, err error) {
	for range 5 {
		p, err := Start(ctx, r.Binary, data)
		if err != nil {
			return nil, err
		}
		if err := p.Stop(); err != nil {
			return nil, err
		}
		all = append(all, p.Started)
	}
	slices.Sort(all)
	return all, nil
}

func (r *run) page(ctx context.Context, p *Program, path string) ([]time.Duration, error) {
	all := make([]time.Duration, 0, 200)
	for n := range 220 {
		begun := time.Now()
		var page struct{ Items []any }
		if err := p.Call(ctx, http.MethodGet, path, &page); err != nil {
			return nil, err
		}
		if len(page.Items) != 50 {
			return nil, fmt.Errorf("%s gave %d items", path, len(page.Items))
		}
		if n >= 20 { // caches are warm
			all = append(all, time.Since(begun))
		}
	}
	slices.Sort(all)
	return all, nil
}
