package engine_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aikajana/aikajana/internal/engine"
)

// fill writes more than an orderly end leaves in the log, to the same keys each time.
func fill(t *testing.T, db *engine.DB, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // only to be hard to compress
	for n := range 24 {
		value := make([]byte, 64<<10)
		for at := range value {
			value[at] = byte(random.Uint32())
		}
		set(t, db, true, strconv.Itoa(n), string(value))
	}
}

func isTable(path string) bool { return strings.HasSuffix(path, ".sst") }

func TestAnOrderlyEndLeavesTheNextStartNothingToReplay(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	db := open(t, fs, engine.Options{})
	fill(t, db, 1)
	want := get(t, db, "7")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var tables atomic.Int64
	db = open(t, errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && isTable(op.Path) {
			tables.Add(1)
		}
		return nil
	})), engine.Options{})
	if n := tables.Load(); n > 0 {
		t.Errorf("the start wrote %d tables: it had a log to replay", n)
	}
	if get(t, db, "7") != want {
		t.Error("a write is lost")
	}
}

func TestAStartDoesNotWaitForACompaction(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	for round := range uint64(3) { // each leaves a table that the next compaction would take
		db := open(t, fs, engine.Options{})
		fill(t, db, round)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, fs, engine.Options{})
	fill(t, db, 3)
	want := get(t, db, "7")
	killed := fs.CrashClone(vfs.CrashCloneCfg{})

	// The first new table is that of the replayed log; what a compaction makes has to wait until the store is open.
	var tables, compacted atomic.Int64
	started := make(chan struct{})
	begin := sync.OnceFunc(func() { close(started) })
	late := time.AfterFunc(20*time.Second, func() { t.Error("the start waits for a compaction"); begin() })
	defer late.Stop()
	after := open(t, errorfs.Wrap(killed, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && isTable(op.Path) && tables.Add(1) > 1 {
			<-started
			compacted.Add(1)
		}
		return nil
	})), engine.Options{})
	begin()
	wait(t, func() bool { return compacted.Load() > 0 }) // it is made up for
	if get(t, after, "7") != want {
		t.Error("a write is lost")
	}
}
