package pipeline

import (
	"context"
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

// quarantineBlobs is where quarantined envelopes lie that are too large for their item.
const quarantineBlobs = "quarantine/"

// How many days raw input is kept: alone, where several people's lies together, and in quarantine at the longest.
const (
	rawFor        = 30
	sharedFor     = 14
	quarantineFor = 90
)

// unnamedFor is how old a blob must be before it is deleted because no item names it: a blob is there before its item is, and
// what could not be written comes again for days at most, with a new blob.
const unnamedFor = 48 * time.Hour

// sweepPage is how many blobs or items are looked at together.
const sweepPage = 500

// Sweep deletes raw input that is older than it may be kept, and once a day what nothing names any more. It says how many
// blobs it deleted. On AWS the bucket's lifecycle does the first part.
func (p *Pipeline) Sweep(ctx context.Context) (int, error) {
	deleted := 0
	for _, kind := range []struct {
		prefix string
		days   int
	}{{sharedRaw, sharedFor}, {"raw/", rawFor}, {quarantineBlobs, quarantineFor}} {
		oldest := p.Now().Time().AddDate(0, 0, -kind.days).Format("20060102")
		err := eachBlob(ctx, p.Blobs, kind.prefix, func(b blob.Info) error {
			day, _, _ := strings.Cut(strings.TrimPrefix(b.Key, kind.prefix), "/")
			if len(day) != 8 || day >= oldest {
				return nil
			}
			deleted++
			return p.Blobs.Delete(ctx, b.Key)
		})
		if err != nil {
			return deleted, err
		}
	}
	ok, err := p.Store.Take(ctx, "sweep", "unnamed", 1, 24*hourMillis)
	if err != nil || !ok {
		return deleted, err
	}
	scanner, ok := p.Store.Table().(table.Scanner)
	if !ok {
		return deleted, nil
	}
	n, err := SweepUnnamed(ctx, scanner, p.Blobs, p.Now().Time())
	return deleted + n, err
}

// SweepUnnamed reads the whole table and deletes files, long texts and quarantined envelopes that no item names and that have
// lain there for two days: what a crash, a message that came again, or an edit left behind. Raw input is not among them: it
// is kept for its time whoever names it, to be replayed. When an item cannot be read, nothing is deleted. It may run beside
// everything else.
func SweepUnnamed(ctx context.Context, items table.Scanner, blobs blob.Store, now time.Time) (int, error) {
	// What is stored from here on is too young to be deleted, so the items are read before the blobs are listed.
	before := now.Add(-unnamedFor)
	named, seed := map[uint64]struct{}{}, maphash.MakeSeed()
	err := eachNamed(ctx, items, func(key string) { named[maphash.String(seed, key)] = struct{}{} }) // of two with one hash both stay
	if err != nil {
		return 0, err
	}
	doomed := map[string]struct{}{}
	for _, prefix := range []string{"body/", "media/", quarantineBlobs} {
		err := eachBlob(ctx, blobs, prefix, func(b blob.Info) error {
			_, is := named[maphash.String(seed, b.Key)]
			if !is && !b.Modified.IsZero() && b.Modified.Before(before) && len(doomed) < mostDoomed {
				doomed[b.Key] = struct{}{}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	if len(doomed) == 0 {
		return 0, nil
	}
	// While the items were read, what names a blob may have moved from one that was to come to one that was past.
	if err := eachNamed(ctx, items, func(key string) { delete(doomed, key) }); err != nil {
		return 0, err
	}
	deleted := 0
	for key := range doomed {
		if err := blobs.Delete(ctx, key); err != nil {
			return deleted, fmt.Errorf("sweep %s: %w", key, err)
		}
		deleted++
	}
	return deleted, nil
}

// mostDoomed bounds what one sweep holds in memory; the next one takes the rest.
const mostDoomed = 100_000

// eachNamed calls f with every blob that an item names.
func eachNamed(ctx context.Context, scanner table.Scanner, f func(key string)) error {
	for from := (table.Key{}); ; {
		items, err := scanner.Scan(ctx, from, sweepPage)
		if err != nil {
			return fmt.Errorf("find out which blobs are named: %w", err)
		}
		for i := range items {
			from = items[i].Key
			keys, err := store.NamedBlobs(&items[i])
			if err != nil {
				return fmt.Errorf("find out which blobs are named: %w", err)
			}
			for _, key := range keys {
				f(key)
			}
		}
		if len(items) < sweepPage {
			return nil
		}
	}
}

// eachBlob calls f with every blob below a prefix.
func eachBlob(ctx context.Context, all blob.Store, prefix string, f func(blob.Info) error) error {
	for after := ""; ; {
		blobs, err := all.List(ctx, prefix, after, sweepPage)
		if err != nil {
			return fmt.Errorf("sweep %s: %w", prefix, err)
		}
		for _, b := range blobs {
			after = b.Key
			if err := f(b); err != nil {
				return fmt.Errorf("sweep %s: %w", b.Key, err)
			}
		}
		if len(blobs) < sweepPage {
			return nil
		}
	}
}
