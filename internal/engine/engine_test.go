package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/fault"
)

var errNo = errors.New("no")

func open(t testing.TB, fs vfs.FS, o engine.Options) *engine.DB {
	t.Helper()
	o.FS = fs
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.OnFatal == nil {
		o.OnFatal = func(err error) { t.Errorf("the store failed: %v", err) }
	}
	db, err := engine.Open("store", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func set(t testing.TB, db *engine.DB, sync bool, key, value string) {
	t.Helper()
	if err := db.Apply(t.Context(), sync, func(tx *engine.Tx) error { tx.Set([]byte(key), []byte(value)); return nil }); err != nil {
		t.Fatalf("set %s: %v", key, err)
	}
}

func get(t testing.TB, db *engine.DB, key string) string {
	t.Helper()
	b, _, err := db.Get([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// gather makes fs run as one group: the committer is held up by a first member until all are waiting.
func gather(t testing.TB, db *engine.DB, sync bool, fs ...func(*engine.Tx) error) []error {
	t.Helper()
	holding, release := make(chan struct{}), make(chan struct{})
	errs := make([]error, len(fs)+1)
	done := make(chan int, len(fs)+1)
	apply := func(n int, f func(*engine.Tx) error) {
		errs[n] = db.Apply(t.Context(), sync, f)
		done <- n
	}
	go apply(len(fs), func(*engine.Tx) error { close(holding); <-release; return nil })
	<-holding
	for n, f := range fs {
		go apply(n, f)
		for db.Waiting() <= n { // one after the other, so that their order is known
			time.Sleep(10 * time.Microsecond)
		}
	}
	close(release)
	for range errs {
		<-done
	}
	return errs[:len(fs)]
}

func TestAWriterSeesWhatEarlierOnesOfItsGroupWrote(t *testing.T) {
	t.Parallel()
	db := open(t, vfs.NewMem(), engine.Options{})
	set(t, db, false, "a", "old")
	before := db.Metrics().Groups
	var saw []string
	errs := gather(t, db, true,
		func(tx *engine.Tx) error {
			tx.Set([]byte("a"), []byte("1"))
			tx.Set([]byte("b"), []byte("1"))
			return nil
		},
		func(tx *engine.Tx) error {
			tx.Set([]byte("a"), []byte("2"))
			tx.Delete([]byte("b"))
			tx.Set([]byte("c"), []byte("2"))
			tx.Add([]byte("n"), 5)
			tx.After(func() { saw = append(saw, "after the refused") })
			return errNo
		},
		func(tx *engine.Tx) error {
			for _, k := range []string{"a", "b", "c", "n"} {
				v, found, err := tx.Get([]byte(k))
				if err != nil {
					return err
				}
				saw = append(saw, fmt.Sprint(k, string(v), found))
			}
			tx.After(func() { saw = append(saw, "after the last") })
			return nil
		})
	if errs[0] != nil || !errors.Is(errs[1], errNo) || errs[2] != nil {
		t.Fatalf("got %v", errs)
	}
	if want := []string{"a1true", "b1true", "cfalse", "nfalse", "after the last"}; !slices.Equal(saw, want) {
		t.Errorf("the third saw %v, not %v: the second was refused", saw, want)
	}
	if got := get(t, db, "a") + get(t, db, "b") + get(t, db, "c"); got != "11" {
		t.Errorf("a, b, c are %q afterwards", got)
	}
	if n := db.Metrics().Groups - before; n != 1 {
		t.Errorf("%d batches were committed, not one", n)
	}
}

func TestCountersAddUpAcrossGroupsAndRestarts(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	db := open(t, fs, engine.Options{})
	key := []byte("lcount")
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			for range 10 {
				err := db.Apply(t.Context(), n%2 == 0, func(tx *engine.Tx) error {
					before, err := tx.Counter(key)
					tx.Add(key, 3)
					tx.Add(key, -1)
					if after, _ := tx.Counter(key); after != before+2 {
						t.Errorf("counter went from %d to %d", before, after)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, fs, engine.Options{})
	if n, err := db.Counter(key); n != 400 || err != nil {
		t.Errorf("counter is %d (%v), not 400", n, err)
	}
	set(t, db, true, "plain", "text")
	if err := db.Apply(t.Context(), true, func(tx *engine.Tx) error {
		tx.Set([]byte("plain"), []byte("text"))
		tx.Add([]byte("plain"), 1)
		return nil
	}); err == nil {
		t.Error("adding to what is not a counter succeeded")
	}
}

// TestReadsInsideAGroupMatchAModel runs random writes and reads of several members against a plain map.
func TestReadsInsideAGroupMatchAModel(t *testing.T) {
	t.Parallel()
	db := open(t, vfs.NewMem(), engine.Options{})
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		prefix := fmt.Sprintf("%06d/", round)
		model := map[string]string{}
		key := rapid.StringMatching(`[a-f]`)
		for range rapid.IntRange(1, 4).Draw(rt, "members") {
			fails := rapid.Bool().Draw(rt, "fails")
			mine := maps.Clone(model)
			err := db.Apply(t.Context(), false, func(tx *engine.Tx) error {
				for range rapid.IntRange(0, 6).Draw(rt, "writes") {
					k := key.Draw(rt, "key")
					if rapid.Bool().Draw(rt, "delete") {
						tx.Delete([]byte(prefix + k))
						delete(mine, k)
					} else {
						v := rapid.StringN(0, 3, 9).Draw(rt, "value")
						tx.Set([]byte(prefix+k), []byte(v))
						mine[k] = v
					}
				}
				scanMatches(rt, tx.Scan, prefix, mine, key.Draw(rt, "from"), key.Draw(rt, "to"))
				if fails {
					return errNo
				}
				return nil
			})
			if fails != errors.Is(err, errNo) {
				rt.Fatalf("apply: %v", err)
			}
			if !fails {
				model = mine
			}
			scanMatches(rt, db.Scan, prefix, model, "a", "g")
		}
	})
}

func scanMatches(rt *rapid.T, scan func(lower, upper []byte, reverse bool, f func(k, v []byte) bool) error, prefix string, model map[string]string, from, to string) {
	for _, reverse := range []bool{false, true} {
		var want, got []string
		for _, k := range slices.Sorted(maps.Keys(model)) {
			if k >= from && k < to {
				want = append(want, prefix+k+"="+model[k])
			}
		}
		if reverse {
			slices.Reverse(want)
		}
		limit := rapid.IntRange(1, 7).Draw(rt, "limit")
		want = want[:min(limit, len(want))]
		err := scan([]byte(prefix+from), []byte(prefix+to), reverse, func(k, v []byte) bool {
			got = append(got, string(k)+"="+string(v))
			return len(got) < limit
		})
		if err != nil || !slices.Equal(got, want) {
			rt.Fatalf("scan [%s, %s) reverse %v: got %q, want %q (%v)", from, to, reverse, got, want, err)
		}
	}
}

func TestFault68_WhatWasSyncedSurvivesAPowerCut(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	db := open(t, fs, engine.Options{})
	set(t, db, false, "a", "1")
	set(t, db, false, "b", "1")
	unsynced := fs.CrashClone(vfs.CrashCloneCfg{})
	set(t, db, true, "c", "1")
	set(t, db, false, "d", "1")
	synced := fs.CrashClone(vfs.CrashCloneCfg{})

	after := open(t, unsynced, engine.Options{})
	if got := get(t, after, "a") + get(t, after, "b"); got != "" {
		t.Errorf("unsynced writes survived (%q): the file system does not drop what it should, so this test proves nothing", got)
	}
	after = open(t, synced, engine.Options{})
	if got := get(t, after, "a") + get(t, after, "b") + get(t, after, "c") + get(t, after, "d"); got != "111" {
		t.Errorf("a, b, c, d are %q: what came before a synced write is durable with it, what came after is not", got)
	}
}

func TestASyncedApplyWithoutWritesMakesEarlierOnesDurable(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	db := open(t, fs, engine.Options{})
	set(t, db, false, "a", "1")
	if err := db.Apply(t.Context(), true, func(*engine.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	after := open(t, fs.CrashClone(vfs.CrashCloneCfg{}), engine.Options{})
	if get(t, after, "a") != "1" {
		t.Error("the unsynced write is lost")
	}
}

func TestOneFsyncServesAGroupAndNoneIsDoneWithoutASyncedMember(t *testing.T) {
	t.Parallel()
	var syncs atomic.Int64
	db := open(t, errorfs.Wrap(vfs.NewMem(), count(&syncs)), engine.Options{})
	set(t, db, true, "a", "1")
	one := func(k string) func(*engine.Tx) error {
		return func(tx *engine.Tx) error { tx.Set([]byte(k), nil); return nil }
	}
	before := syncs.Load()
	gather(t, db, true, one("b"), one("c"), one("d"))
	if n := syncs.Load() - before; n != 1 {
		t.Errorf("the log was synced %d times for one group", n)
	}
	before = syncs.Load()
	gather(t, db, false, one("e"), one("f"))
	if n := syncs.Load() - before; n != 0 {
		t.Errorf("the log was synced %d times for unsynced writes", n)
	}
}

// count counts the fsyncs of the log.
func count(n *atomic.Int64) errorfs.Injector {
	return errorfs.InjectorFunc(func(op errorfs.Op) error {
		if isLog(op.Path) && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			n.Add(1)
		}
		return nil
	})
}

func TestFault70_AFullDiskRefusesWritesAndTakesThemAgain(t *testing.T) {
	t.Parallel()
	disk := &smallDisk{FS: vfs.NewMem()}
	db := open(t, disk, engine.Options{})
	set(t, db, true, "a", "1")
	disk.free.Store(1 << 10)
	wait(t, func() bool { return db.Metrics().Full })
	err := db.Apply(t.Context(), true, func(tx *engine.Tx) error { tx.Set([]byte("b"), []byte("1")); return nil })
	if fault.Of(err) != fault.Retry || fault.After(err) == 0 {
		t.Fatalf("a write on a full disk: %v (%v), want a Retry", err, fault.Of(err))
	}
	if get(t, db, "a") != "1" || get(t, db, "b") != "" {
		t.Error("reads do not match what was accepted")
	}
	disk.free.Store(1 << 30)
	wait(t, func() bool { return !db.Metrics().Full })
	set(t, db, true, "b", "2")
}

func TestFault70_ADiskThatFillsUpInTheMiddleOfAWriteCorruptsNothing(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	var full atomic.Bool
	db := open(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && isLog(op.Path) && op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	})), engine.Options{})
	set(t, db, true, "a", "1")
	full.Store(true)
	err := db.Apply(t.Context(), true, func(tx *engine.Tx) error { tx.Set([]byte("b"), []byte("1")); return nil })
	if fault.Of(err) != fault.Uncertain {
		t.Fatalf("the write under way: %v (%v), want Uncertain", err, fault.Of(err))
	}
	err = db.Apply(t.Context(), true, func(tx *engine.Tx) error { tx.Set([]byte("c"), []byte("1")); return nil })
	if fault.Of(err) != fault.Retry {
		t.Fatalf("the next write: %v (%v), want Retry", err, fault.Of(err))
	}
	full.Store(false)
	wait(t, func() bool { return !db.Metrics().Full })
	set(t, db, true, "d", "1")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, mem, engine.Options{})
	if got := get(t, db, "a") + get(t, db, "b") + get(t, db, "c") + get(t, db, "d"); got != "111" {
		t.Errorf("a, b, c, d are %q after a restart; the write under way lands, the refused one does not", got)
	}
}

func TestAFailureOfTheLogIsFatalAndLosesNothingConfirmed(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string][]errorfs.OpKind{
		"fsync": {errorfs.OpFileSync, errorfs.OpFileSyncData},
		"write": {errorfs.OpFileWrite},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewCrashableMem()
			var broken atomic.Bool
			fatal := make(chan error, 1)
			db := open(t, errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken.Load() && isLog(op.Path) && slices.Contains(fails, op.Kind) {
					return syscall.EIO
				}
				return nil
			})), engine.Options{OnFatal: func(err error) { fatal <- err }})
			set(t, db, true, "a", "1")
			broken.Store(true)
			if err := db.Apply(t.Context(), true, func(tx *engine.Tx) error { tx.Set([]byte("b"), nil); return nil }); err == nil {
				t.Error("a write that did not reach the disk was confirmed")
			}
			if err := <-fatal; !strings.Contains(err.Error(), syscall.EIO.Error()) {
				t.Errorf("OnFatal got %v", err)
			}
			broken.Store(false) // the kernel may have dropped the pages: a later success proves nothing
			if err := db.Apply(t.Context(), true, func(tx *engine.Tx) error { tx.Set([]byte("c"), nil); return nil }); err == nil {
				t.Error("the store goes on")
			}
			after := open(t, fs.CrashClone(vfs.CrashCloneCfg{}), engine.Options{})
			if get(t, after, "a") != "1" {
				t.Error("what was confirmed is lost")
			}
		})
	}
}

func TestAFailingWriteOfATableIsTriedAgain(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	db := open(t, errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileWrite && len(op.Path) > 4 && op.Path[len(op.Path)-4:] == ".sst" {
			return syscall.ENOSPC
		}
		return nil
	})), engine.Options{})
	broken.Store(true)
	set(t, db, true, "a", "1")
	failed := make(chan error, 1)
	go func() { failed <- db.Compact(t.Context()) }()
	set(t, db, true, "b", "1")
	broken.Store(false)
	if err := <-failed; err != nil { // it may have given up or come through
		t.Logf("compaction: %v", err)
	}
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if get(t, db, "a")+get(t, db, "b") != "11" {
		t.Error("a write is lost")
	}
}

func TestApplyWhoseContextEndedBeforeItBeganDoesNothing(t *testing.T) {
	t.Parallel()
	db := open(t, vfs.NewMem(), engine.Options{})
	holding, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = db.Apply(t.Context(), false, func(*engine.Tx) error { close(holding); <-release; return nil })
	})
	<-holding
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- db.Apply(ctx, false, func(tx *engine.Tx) error { tx.Set([]byte("a"), nil); return nil })
	}()
	wait(t, func() bool { return db.Waiting() == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	wg.Wait()
	set(t, db, false, "b", "1")
	if _, found, _ := db.Get([]byte("a")); found {
		t.Error("the write happened")
	}
}

func TestAPanicGoesToItsOwnCallerAndLeavesTheOthers(t *testing.T) {
	t.Parallel()
	db := open(t, vfs.NewMem(), engine.Options{})
	func() {
		defer func() {
			if p := recover(); p != "oh" {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = db.Apply(t.Context(), true, func(tx *engine.Tx) error { tx.Set([]byte("a"), []byte("1")); panic("oh") })
	}()
	set(t, db, true, "b", "1")
	if got := get(t, db, "a") + get(t, db, "b"); got != "1" {
		t.Errorf("a, b are %q", got)
	}
}

func TestACheckpointIsAWholeStoreOfThatMoment(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	db := open(t, fs, engine.Options{})
	set(t, db, false, "a", "1")
	if err := db.Checkpoint("copy"); err != nil {
		t.Fatal(err)
	}
	set(t, db, true, "a", "2")
	copied, err := engine.Open("copy", engine.Options{FS: fs, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := copied.Close(); err != nil {
			t.Error(err)
		}
	}()
	if got := get(t, copied, "a"); got != "1" {
		t.Errorf("a is %q in the copy", got)
	}
	if err := copied.Apply(t.Context(), false, func(*engine.Tx) error { return nil }); fault.Of(err) != fault.Permanent {
		t.Errorf("writing to a store opened for reading: %v", err)
	}
}

func TestACloseFinishesWhatWaitsAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	db := open(t, fs, engine.Options{})
	var accepted atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				err := db.Apply(t.Context(), true, func(tx *engine.Tx) error { tx.Add([]byte("n"), 1); return nil })
				if errors.Is(err, engine.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				accepted.Add(1)
			}
		})
	}
	wait(t, func() bool { return accepted.Load() > 50 })
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	db = open(t, fs, engine.Options{})
	if n, err := db.Counter([]byte("n")); n != accepted.Load() || err != nil {
		t.Errorf("%d writes were confirmed, %d are there (%v)", accepted.Load(), n, err)
	}
}

func TestACloseWaitsForReadsAndRefusesLaterOnes(t *testing.T) {
	t.Parallel()
	db := open(t, vfs.NewMem(), engine.Options{})
	set(t, db, true, "a", "1")
	reading, closed := make(chan struct{}), make(chan error)
	scanned := make(chan error)
	go func() {
		scanned <- db.Scan(nil, nil, false, func(k, v []byte) bool {
			close(reading)
			for { // inside a scan, until the store refuses
				if _, _, err := db.Get(k); errors.Is(err, engine.ErrClosed) {
					return true
				}
			}
		})
	}()
	<-reading
	go func() { closed <- db.Close() }()
	if err := <-scanned; err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := db.Scan(nil, nil, false, nil); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("scan: %v", err)
	}
}

func TestAStoreIsOpenInOnePlaceAtATime(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	open(t, fs, engine.Options{})
	if second, err := engine.Open("store", engine.Options{FS: fs}); err == nil {
		t.Error("it was opened twice", second.Close())
	}
}

func TestSpanCoversThePrefixAndNothingElse(t *testing.T) {
	t.Parallel()
	for prefix, upper := range map[string]string{"a": "b", "a\xff": "b", "\xff\xff": "", "ab": "ac"} {
		lo, hi := engine.Span([]byte(prefix))
		if string(lo) != prefix || string(hi) != upper {
			t.Errorf("%q: [%q, %q)", prefix, lo, hi)
		}
	}
}

// smallDisk is a file system that says how much is free.
type smallDisk struct {
	vfs.FS
	free atomic.Uint64
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	free := d.free.Load()
	if free == 0 {
		return vfs.DiskUsage{}, nil
	}
	return vfs.DiskUsage{AvailBytes: free, TotalBytes: 1 << 40}, nil
}

func isLog(path string) bool { return len(path) > 4 && path[len(path)-4:] == ".log" }

// wait waits for what another goroutine does; the test's own time-out bounds it.
func wait(t testing.TB, f func() bool) {
	t.Helper()
	for !f() {
		if t.Context().Err() != nil {
			t.Fatal("it never happened")
		}
		time.Sleep(time.Millisecond)
	}
}
