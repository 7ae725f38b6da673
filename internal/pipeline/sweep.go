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
		n, err := p.sweepBlobs(ctx, kind.prefix, func(b blob.Info) bool {
			day, _, _ := strings.Cut(strings.TrimPrefix(b.Key, kind.prefix), "/")
			return len(day) == 8 && day < oldest
		})
		if deleted += n; err != nil {
			return deleted, err
		}
	}
	ok, err := p.Store.Take(ctx, "sweep", "unnamed", 1, 24*hourMillis)
	if err != nil || !ok {
		return deleted, err
	}
	n, err := p.SweepUnnamed(ctx)
	return deleted + n, err
}

// SweepUnnamed reads the whole table and deletes files, long texts and quarantined envelopes that no item names and that have
// lain there for two days: what a crash, a message that came again, or an edit left behind. Raw input is not among them: it
// is kept for its time whoever names it, to be replayed. When an item cannot be read, nothing is deleted.
func (p *Pipeline) SweepUnnamed(ctx context.Context) (int, error) {
	scanner, ok := p.Store.Table().(table.Scanner)
	if !ok {
		return 0, nil
	}
	// What is stored from here on is too young to be deleted, so the items are read first.
	before := p.Now().Time().Add(-unnamedFor)
	named, seed := map[uint64]struct{}{}, maphash.MakeSeed()
	for from := (table.Key{}); ; {
		items, err := scanner.Scan(ctx, from, sweepPage)
		if err != nil {
			return 0, fmt.Errorf("find out which blobs are named: %w", err)
		}
		for i := range items {
			from = items[i].Key
			keys, err := store.NamedBlobs(&items[i])
			if err != nil {
				return 0, fmt.Errorf("find out which blobs are named: %w", err)
			}
			for _, key := range keys {
				named[maphash.String(seed, key)] = struct{}{} // two that share a hash are both kept
			}
		}
		if len(items) < sweepPage {
			break
		}
	}
	deleted := 0
	for _, prefix := range []string{"body/", "media/", quarantineBlobs} {
		n, err := p.sweepBlobs(ctx, prefix, func(b blob.Info) bool {
			_, is := named[maphash.String(seed, b.Key)]
			return !is && !b.Modified.IsZero() && b.Modified.Before(before)
		})
		if deleted += n; err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// sweepBlobs deletes the blobs below a prefix that are to go.
func (p *Pipeline) sweepBlobs(ctx context.Context, prefix string, goes func(blob.Info) bool) (deleted int, err error) {
	after := ""
	for {
		blobs, err := p.Blobs.List(ctx, prefix, after, sweepPage)
		if err != nil {
			return deleted, fmt.Errorf("sweep %s: %w", prefix, err)
		}
		for _, b := range blobs {
			after = b.Key
			if !goes(b) {
				continue
			}
			if err := p.Blobs.Delete(ctx, b.Key); err != nil {
				return deleted, fmt.Errorf("sweep %s: %w", b.Key, err)
			}
			deleted++
		}
		if len(blobs) < sweepPage {
			return deleted, nil
		}
	}
}
