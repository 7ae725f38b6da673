package engine_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aikajana/aikajana/internal/engine"
)

// slowDisk holds up every fsync of the log between hold and its result.
type slowDisk struct {
	held    atomic.Bool
	syncing chan struct{} // told when one is held up
	release chan struct{}
}

func (d *slowDisk) wrap(fs vfs.FS) vfs.FS {
	d.syncing, d.release = make(chan struct{}, 16), make(chan struct{})
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if d.held.Load() && isLog(op.Path) && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			d.syncing <- struct{}{}
			<-d.release
		}
		return nil
	}))
}

// hold makes the fsyncs from now on wait until the function it returns is called.
func (d *slowDisk) hold() (letGo func()) {
	d.held.Store(true)
	return sync.OnceFunc(func() { d.held.Store(false); close(d.release) })
}

func TestOnlyWhoAskedForTheDiskWaitsForIt(t *testing.T) {
	t.Parallel()
	disk := &slowDisk{}
	db := open(t, disk.wrap(vfs.NewMem()), engine.Options{})
	set(t, db, true, "a", "1")
	letGo := disk.hold()
	t.Cleanup(letGo)
	synced := make(chan error, 3)
	apply := func(f func(*engine.Tx) error) { synced <- db.Apply(context.Background(), true, f) }
	go apply(func(tx *engine.Tx) error { tx.Set([]byte("b"), []byte("2")); return nil })
	<-disk.syncing

	set(t, db, false, "c", "3") // returns, or the test ends here
	if got := get(t, db, "b") + get(t, db, "c"); got != "23" {
		t.Errorf("b and c are %q: what is applied is to be read", got)
	}
	saw := make(chan struct{}, 2)
	go apply(func(*engine.Tx) error { saw <- struct{}{}; return nil }) // writes nothing, and wants c on the disk
	go apply(func(*engine.Tx) error { saw <- struct{}{}; return errNo })
	<-saw
	<-saw
	set(t, db, false, "d", "4") // so the committer has been past all three
	select {
	case err := <-synced:
		t.Fatalf("a synced write was answered (%v) while its fsync was under way", err)
	default:
	}
	letGo()
	failed := 0
	for range 3 {
		if err := <-synced; errors.Is(err, errNo) {
			failed++
		} else if err != nil {
			t.Error(err)
		}
	}
	if failed != 1 {
		t.Errorf("%d members failed, want the one", failed)
	}
}

func TestWhatIsConfirmedOutOfOverlappingGroupsSurvivesAPowerCut(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	db := open(t, errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if isLog(op.Path) && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			time.Sleep(200 * time.Microsecond) // a disk takes its time, so that groups overlap
		}
		return nil
	})), engine.Options{})
	const writers, each = 8, 200
	var written, confirmed [writers]atomic.Int64
	var group sync.WaitGroup
	key := func(w int) []byte { return []byte{'w', byte(w)} }
	for w := range writers {
		group.Go(func() {
			for n := int64(1); n <= each; n++ {
				written[w].Store(n)
				durable := n%3 != 0
				if err := db.Apply(context.Background(), durable, func(tx *engine.Tx) error { tx.Add(key(w), 1); return nil }); err != nil {
					t.Error(err)
					return
				}
				if durable {
					confirmed[w].Store(n)
				}
			}
		})
	}
	running := make(chan struct{})
	go func() { group.Wait(); close(running) }()
	for cuts := 0; ; cuts++ {
		var before [writers]int64
		for w := range before {
			before[w] = confirmed[w].Load()
		}
		after := open(t, fs.CrashClone(vfs.CrashCloneCfg{}), engine.Options{})
		for w, least := range before {
			if n, err := after.Counter(key(w)); err != nil || n < least || n > written[w].Load() {
				t.Errorf("writer %d: %d writes survived the power cut, %d were confirmed before it (%v)", w, n, least, err)
			}
		}
		select {
		case <-running:
			if cuts > 2 {
				return
			}
		default:
		}
	}
}

func TestAFailedFsyncFailsEveryGroupThatWaitsForIt(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	var fatal atomic.Int64
	disk := &slowDisk{}
	var broken atomic.Bool
	db := open(t, errorfs.Wrap(disk.wrap(fs), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && isLog(op.Path) && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			return errNo
		}
		return nil
	})), engine.Options{OnFatal: func(error) { fatal.Add(1) }})
	set(t, db, true, "a", "1")
	letGo := disk.hold()
	t.Cleanup(letGo)
	results := make(chan error, 3)
	apply := func(key string) {
		results <- db.Apply(context.Background(), true, func(tx *engine.Tx) error { tx.Set([]byte(key), nil); return nil })
	}
	go apply("b")
	<-disk.syncing // the fsync of b is under way and will succeed; those behind it fail
	broken.Store(true)
	go apply("c")
	go apply("d")
	wait(t, func() bool {
		_, c, _ := db.Get([]byte("c"))
		_, d, _ := db.Get([]byte("d"))
		return c && d
	})
	letGo()
	failed := 0
	for range 3 {
		if err := <-results; err != nil {
			failed++
		}
	}
	if failed != 2 || fatal.Load() != 1 {
		t.Errorf("%d writes were refused and the store failed %d times; want both behind the broken fsync, and once", failed, fatal.Load())
	}
}
