package pebble_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
	"github.com/aikajana/aikajana/internal/table/tabletest"
)

func openDB(t testing.TB, dir string, fs vfs.FS) *engine.DB {
	t.Helper()
	db, err := engine.Open(dir, engine.Options{
		FS: fs, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), OnFatal: func(err error) { t.Errorf("the store failed: %v", err) },
	})
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

func openTable(t testing.TB, fs vfs.FS, clock *tabletest.Clock) (*engine.DB, *pebble.Table) {
	t.Helper()
	db := openDB(t, "store", fs)
	tab, err := pebble.New(db, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	return db, tab
}

func harness(t *testing.T, fs vfs.FS, clock *tabletest.Clock) tabletest.Harness {
	db, tab := openTable(t, fs, clock)
	t.Cleanup(func() { // before the store is closed; the suite leaves no table in disorder
		if reopened, err := pebble.New(db, clock.Now); err == nil && !t.Failed() {
			if err := reopened.Check(t.Context()); err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
		}
	})
	return tabletest.Harness{
		Table: tab, Clock: clock,
		Feed: func(t *testing.T, reader string) table.Feed {
			f, err := tab.Feed(t.Context(), reader)
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
		Restart: func(t *testing.T) tabletest.Harness {
			if err := tab.Check(t.Context()); err != nil {
				t.Error(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			return harness(t, fs, clock)
		},
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	tabletest.Run(t, func(t *testing.T) tabletest.Harness { return harness(t, vfs.NewMem(), &tabletest.Clock{}) })
}

func put(pk, sk, body string, c table.Cond) table.Op {
	return table.Put(table.Item{Key: table.Key{PK: pk, SK: sk}, Body: []byte(body)}, c)
}

func write(t testing.TB, tab *pebble.Table, ops ...table.Op) {
	t.Helper()
	if err := tab.Write(t.Context(), ops...); err != nil {
		t.Fatal(err)
	}
}

// TestFault68_AConfirmedWriteSurvivesAPowerCut cuts the power at any moment of concurrent writing, keeps what was synced and a
// random part of what was not, and holds the store to what it had confirmed by then.
func TestFault68_AConfirmedWriteSurvivesAPowerCut(t *testing.T) {
	t.Parallel()
	for _, dropped := range []vfs.CrashCloneCfg{{}, {UnsyncedDataPercent: 50, RNG: random(1)}, {UnsyncedDataPercent: 50, RNG: random(2)}} {
		fs := vfs.NewCrashableMem()
		clock := &tabletest.Clock{}
		_, tab := openTable(t, fs, clock)
		feed, err := tab.Feed(t.Context(), "reader")
		if err != nil {
			t.Fatal(err)
		}
		const writers = 4
		var confirmed [writers]atomic.Int64
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for n := int64(1); ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					ctx := t.Context()
					if n%3 == 0 {
						ctx = table.Redoable(ctx) // durable with the next one only
					}
					pk := fmt.Sprint("w", w)
					cond := table.At(n - 1)
					if n == 1 {
						cond = table.Absent
					}
					if err := tab.Write(ctx, put(pk, "head", fmt.Sprint(n), cond), put(pk, fmt.Sprintf("e%09d", n), "", table.Absent)); err != nil {
						t.Error(err)
						return
					}
					if n%3 != 0 {
						confirmed[w].Store(n)
					}
				}
			})
		}
		for range 6 {
			if _, err := feed.Next(t.Context(), 50); err != nil {
				t.Fatal(err)
			}
			if err := feed.Ack(t.Context()); err != nil {
				t.Fatal(err)
			}
			var promised [writers]int64
			for w := range writers {
				promised[w] = confirmed[w].Load()
			}
			afterCrash(t, fs.CrashClone(dropped), clock, promised[:])
		}
		close(stop)
		wg.Wait()
	}
}

func afterCrash(t *testing.T, fs vfs.FS, clock *tabletest.Clock, promised []int64) {
	t.Helper()
	db, tab := openTable(t, fs, clock)
	for w, want := range promised {
		items, err := tab.Query(t.Context(), table.Query{PK: fmt.Sprint("w", w)})
		if err != nil {
			t.Fatal(err)
		}
		if len(items) == 0 && want == 0 {
			continue
		}
		// The head sorts last. It counts the entries, which are there without a gap.
		head := items[len(items)-1]
		if head.Rev < want {
			t.Errorf("writer %d: %d writes were confirmed, %d survived", w, want, head.Rev)
		}
		if int64(len(items)-1) != head.Rev || string(head.Body) != fmt.Sprint(head.Rev) {
			t.Errorf("writer %d: half a transaction: %d entries, revision %d, body %s", w, len(items)-1, head.Rev, head.Body)
		}
	}
	if err := tab.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatTheFeedHandsOutIsDurable(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	clock := &tabletest.Clock{}
	_, tab := openTable(t, fs, clock)
	feed, err := tab.Feed(t.Context(), "reader")
	if err != nil {
		t.Fatal(err)
	}
	if err := tab.Write(table.Redoable(t.Context()), put("p", "a", "", table.Absent)); err != nil {
		t.Fatal(err)
	}
	_, lost := openTable(t, fs.CrashClone(vfs.CrashCloneCfg{}), clock)
	if _, err := lost.Get(t.Context(), table.Key{PK: "p", SK: "a"}); !errors.Is(err, table.ErrNotFound) {
		t.Errorf("a redoable write was synced on its own: %v", err)
	}
	if _, err := feed.Next(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	_, kept := openTable(t, fs.CrashClone(vfs.CrashCloneCfg{}), clock)
	if _, err := kept.Get(t.Context(), table.Key{PK: "p", SK: "a"}); err != nil {
		t.Errorf("the feed handed out a change that a power cut takes back: %v", err)
	}
}

func TestFault70_AFullDiskLosesNothingAndSaysWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	var full atomic.Bool
	clock := &tabletest.Clock{}
	db, tab := openTable(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && strings.HasSuffix(op.Path, ".log") && op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	})), clock)
	write(t, tab, put("p", "a", "1", table.Absent), put("p", "b", "1", table.Absent))
	full.Store(true)
	if err := tab.Write(t.Context(), put("p", "a", "2", table.At(1)), put("p", "b", "2", table.At(1))); !errors.Is(err, table.ErrLost) {
		t.Errorf("the write under way: %v, want ErrLost", err)
	}
	if err := tab.Write(t.Context(), put("p", "c", "1", table.Absent)); fault.Of(err) != fault.Retry {
		t.Errorf("the next write: %v (%v), want a Retry", err, fault.Of(err))
	}
	full.Store(false)
	for db.Metrics().Full {
		time.Sleep(time.Millisecond)
	}
	write(t, tab, put("p", "c", "2", table.Absent))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, tab = openTable(t, mem, clock)
	items, err := tab.Query(t.Context(), table.Query{PK: "p"})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, i := range items {
		got += fmt.Sprintf("%s=%s@%d ", i.SK, i.Body, i.Rev)
	}
	// Lost answers may have landed, and here they have: both halves.
	if want := "a=2@2 b=2@2 c=2@1 "; got != want {
		t.Errorf("after a restart: %s, want %s", got, want)
	}
	if err := tab.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheLogIsTrimmedWhenEveryReaderHasAcknowledged(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	clock := &tabletest.Clock{}
	db, tab := openTable(t, fs, clock)
	feeds := map[string]*pebble.Feed{}
	for _, name := range []string{"one", "two"} {
		f, err := tab.Feed(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		feeds[name] = f
	}
	for n := range 10 {
		write(t, tab, put("p", fmt.Sprint(n), "", table.Absent), put("q", fmt.Sprint(n), "", table.Absent))
	}
	backlog := func(want uint64) {
		t.Helper()
		if n, err := tab.Backlog(); n != want || err != nil {
			t.Errorf("%d records wait (%v), want %d", n, err, want)
		}
	}
	read := func(name string, n int) {
		t.Helper()
		if got, err := feeds[name].Next(t.Context(), n); len(got) != n || err != nil {
			t.Fatalf("%d changes of %d, %v", len(got), n, err)
		}
		if err := feeds[name].Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	read("one", 20)
	backlog(10)
	read("two", 7)
	backlog(7) // three whole records and half of the fourth
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, tab = openTable(t, fs, clock)
	backlog(7)
	if err := tab.Forget(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	backlog(0)
	late, err := tab.Feed(t.Context(), "late")
	if err != nil {
		t.Fatal(err)
	}
	write(t, tab, put("p", "new", "", table.Absent))
	if got, err := late.Next(t.Context(), 10); err != nil || len(got) != 1 || got[0].Key.SK != "new" {
		t.Errorf("a reader that came late got %v, %v", got, err)
	}
}

func TestASweepDeletesWhatHasExpiredAndNothingElse(t *testing.T) {
	t.Parallel()
	clock := &tabletest.Clock{}
	_, tab := openTable(t, vfs.NewMem(), clock)
	for n := range 250 {
		i := table.Item{Key: table.Key{PK: "p", SK: fmt.Sprintf("%03d", n)}, Expires: clock.Now().Add(time.Duration(n) * time.Second)}
		i.Index = map[table.Index]table.Key{table.Due: {PK: "due", SK: i.SK}}
		if n == 0 {
			i.Expires = 0
		}
		write(t, tab, table.Put(i, table.Absent))
	}
	feed, err := tab.Feed(t.Context(), "reader")
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(200 * time.Second)
	write(t, tab, put("p", "001", "written anew", table.Absent))
	if items, err := tab.Query(t.Context(), table.Query{Index: table.Due, PK: "due"}); len(items) != 50 || err != nil {
		t.Errorf("%d items are due before the sweep (%v), want 50", len(items), err)
	}
	for _, want := range []int{150, 49, 0} {
		if n, err := tab.Sweep(t.Context(), 150); n != want || err != nil {
			t.Errorf("swept %d (%v), want %d", n, err, want)
		}
	}
	items, err := tab.Query(t.Context(), table.Query{PK: "p"})
	if len(items) != 51 || err != nil {
		t.Errorf("%d items are left (%v), want 51", len(items), err)
	}
	changes, err := feed.Next(t.Context(), 1000)
	if err != nil || len(changes) != 250+1+199 || changes[251].New != nil {
		t.Errorf("the feed has %d changes (%v)", len(changes), err)
	}
	if err := tab.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestATableWriteAndSomethingElseOfTheStoreLandTogether(t *testing.T) {
	t.Parallel()
	db, tab := openTable(t, vfs.NewMem(), &tabletest.Clock{})
	queued := []byte("q1")
	both := func() error {
		return db.Apply(t.Context(), true, func(tx *engine.Tx) error {
			tx.Set(queued, []byte("acked"))
			return tab.ApplyTx(tx, put("p", "a", "", table.Absent))
		})
	}
	write(t, tab, put("p", "a", "", table.Absent))
	if _, conflict := errors.AsType[*table.Conflict](both()); !conflict {
		t.Error("no conflict")
	}
	if _, there, _ := db.Get(queued); there {
		t.Error("the other half landed without the table's")
	}
	write(t, tab, table.Delete(table.Key{PK: "p", SK: "a"}, table.Any))
	if err := both(); err != nil {
		t.Fatal(err)
	}
	if _, there, _ := db.Get(queued); !there {
		t.Error("the table's half landed without the other")
	}
}

func TestCheckFindsWhatIsDamaged(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(tx *engine.Tx){
		"an item that cannot be read":      func(tx *engine.Tx) { tx.Set([]byte("tp\x00\x01a"), []byte{9}) },
		"a lost index entry":               func(tx *engine.Tx) { tx.Delete([]byte("x\x02due\x00\x019\x00\x01p\x00\x01a")) },
		"an entry for nothing":             func(tx *engine.Tx) { tx.Set([]byte("x\x01l\x00\x019\x00\x01p\x00\x01a"), []byte{0}) },
		"a change that cannot be read":     func(tx *engine.Tx) { tx.Set([]byte("c\x00\x00\x00\x00\x00\x00\x00\x01"), []byte{2, 9}) },
		"a reader ahead of the log":        func(tx *engine.Tx) { tx.Set([]byte("rx"), []byte{99, 1}) },
		"an expiry that is not listed":     func(tx *engine.Tx) { tx.Delete([]byte("x\x00\x00\x00\x00\x00\x6b\x49\xd2\x3cp\x00\x01a")) },
		"an expiry listed for no item":     func(tx *engine.Tx) { tx.Set([]byte("x\x00\x00\x00\x00\x00\x00\x00\x00\x01p\x00\x01b"), nil) },
		"a key of which a part is missing": func(tx *engine.Tx) { tx.Set([]byte("tp"), nil) },
	} {
		db, tab := openTable(t, vfs.NewMem(), &tabletest.Clock{})
		write(t, tab, table.Put(table.Item{
			Key: table.Key{PK: "p", SK: "a"}, Expires: tabletest.Start.Add(time.Minute),
			Index: map[table.Index]table.Key{table.Due: {PK: "due", SK: "9"}},
		}, table.Absent))
		if err := tab.Check(t.Context()); err != nil {
			t.Fatalf("before: %v", err)
		}
		if err := db.Apply(t.Context(), true, func(tx *engine.Tx) error { damage(tx); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := tab.Check(t.Context()); err == nil {
			t.Errorf("%s: not found", name)
		}
	}
}
