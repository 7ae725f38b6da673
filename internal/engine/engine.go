// Package engine is the embedded database of the local binary: one Pebble store that the table and the queue share, and one
// goroutine that commits for all of them.
//
// # Committing in groups
//
// Every write goes through [DB.Apply]. Whatever waits while a commit is under way becomes the next group: its functions run
// one after the other, each sees what the earlier ones wrote, and all that succeed go into one batch with one fsync. That
// makes optimistic locking exact (nothing can change between a function's reads and its commit) and is several times
// faster than a transaction each.
//
// The committer does not wait for the disk: while a group's fsync is under way it takes the next ones, and those who asked for
// sync are answered, in order, by a second goroutine when their group is durable. Who did not ask is answered at once.
//
// # What is durable
//
// The write-ahead log is one sequence. When a synced Apply has returned, everything is durable that was applied before it,
// synced or not: a power cut loses a tail of what was not confirmed and never one from the middle. Reads see what is applied,
// which may be a moment before it is durable; whoever tells the outside of what he read does a synced Apply first.
//
// # When the disk fails
//
// A full disk refuses new writes with fault.Retry before anything happens, and takes them again when there is room. A failed
// fsync, or any other failure to write the log, cannot be undone or repeated safely (the kernel may have dropped the pages):
// it ends the process through Options.OnFatal, and the next start recovers what was durable.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aikajana/aikajana/internal/fault"
)

// Defaults of Options.
const (
	DefaultCache   = 64 << 20
	MaxCache       = 256 << 20
	DefaultMinFree = 64 << 20
)

// Options of Open. The zero value is right for production.
type Options struct {
	// FS is the file system; nil is the real one.
	FS vfs.FS
	// CacheBytes is the size of the block cache, 0 for DefaultCache and at most MaxCache. It is filled by use only.
	CacheBytes int64
	// MinFree is how many bytes must be free on the disk for writes to be accepted, 0 for DefaultMinFree. The reserve is for
	// compactions, which need room before they give any back.
	MinFree uint64
	// ReadOnly opens a stopped store for reading alone; Apply refuses.
	ReadOnly bool
	// OnFatal is called once when the store can no longer promise what it wrote. It should end the process and not return;
	// when it does return, every later Apply fails. nil logs the error and exits with status 1.
	OnFatal func(error)
	// Log receives what the database has to say; nil for slog.Default.
	Log *slog.Logger
}

// DB is an open store. All methods are safe for concurrent use.
type DB struct {
	pebble *pebble.DB
	disk   *guardFS
	log    *slog.Logger
	onFail func(error)
	cache  *pebble.Cache
	tidy   *compactions

	readOnly bool
	requests chan *request
	closing  chan struct{}
	// confirming takes the groups that wait for the disk from the committer, in order; unconfirmed counts them.
	confirming  chan confirmation
	unconfirmed atomic.Int64
	done        chan struct{}
	close       sync.Once
	closeErr    error
	// inside counts the Apply calls that may still put a request into the channel.
	inside sync.RWMutex
	shut   bool

	// reads counts reads under way; Pebble panics when it is closed under one.
	reads    atomic.Int64
	closed   atomic.Bool
	lastRead chan struct{}

	fatalOnce sync.Once
	fatal     atomic.Pointer[error]

	groups, members, syncs atomic.Int64
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the store is closed")

// Open opens the store in dir, and makes one when there is none. A store is open in one process at a time.
func Open(dir string, o Options) (*DB, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCache
	}
	if o.MinFree == 0 {
		o.MinFree = DefaultMinFree
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.OnFatal == nil {
		o.OnFatal = func(error) { os.Exit(1) } // what happened is logged by then
	}
	db := &DB{
		disk: newGuardFS(o.FS, dir, o.MinFree), log: o.Log, onFail: o.OnFatal, readOnly: o.ReadOnly,
		requests: make(chan *request, groupMembers), closing: make(chan struct{}), done: make(chan struct{}), lastRead: make(chan struct{}, 1),
		tidy: newCompactions(), confirming: make(chan confirmation, confirmations),
	}
	db.cache = pebble.NewCache(min(o.CacheBytes, MaxCache))
	opened, err := pebble.Open(dir, db.options(o))
	if err != nil {
		db.cache.Unref()
		return nil, fmt.Errorf("open the store in %s (is another aikajana running on it?): %w", dir, err)
	}
	db.pebble = opened
	db.tidy.start()
	go db.commit()
	go db.confirm()
	return db, nil
}

// options are Pebble's: small while idle (memtables start at 256 KB and the cache is filled by use), a bloom filter per
// table so that looking for what is not there costs no read above the lowest level. Memtables of half the size take a third
// more processor time for each message (flushes and compactions), and halve the log that a start after a kill has to replay.
func (db *DB) options(o Options) *pebble.Options {
	po := &pebble.Options{
		FS:                 db.disk,
		Cache:              db.cache,
		Merger:             sumMerger(),
		FormatMajorVersion: pebble.FormatValueSeparation,
		MemTableSize:       16 << 20,
		// Four memtables in flight: a burst is absorbed while the first is being flushed.
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		MaxOpenFiles:                500,
		WALBytesPerSync:             0, // the log is synced by groups; more often would only cost
		ReadOnly:                    o.ReadOnly,
		ErrorIfNotExists:            o.ReadOnly,
		Logger:                      pebbleLog{db},
	}
	po.Experimental.CompactionScheduler = db.tidy
	po.TargetFileSizes[0] = 4 << 20
	for n := range po.Levels {
		po.Levels[n].FilterPolicy = bloom.FilterPolicy(10)
	}
	return po
}

// Close finishes the commits and reads under way, refuses later ones with ErrClosed and closes the store, so that the next
// Open has next to no log to replay. It is safe to call twice.
func (db *DB) Close() error {
	db.close.Do(func() {
		db.inside.Lock()
		db.shut = true
		db.inside.Unlock()
		close(db.closing)
		db.disk.stop()
		<-db.done
		if db.fatal.Load() != nil {
			// Pebble's state is not to be trusted: leave the files as they are, the next Open recovers from them.
			return
		}
		db.closed.Store(true)
		for db.reads.Load() > 0 {
			<-db.lastRead
		}
		db.flush()
		db.closeErr = db.pebble.Close()
		db.cache.Unref()
	})
	if db.closeErr != nil {
		return fmt.Errorf("close the store: %w", db.closeErr)
	}
	return nil
}

// What Close does for the next start: a log up to flushAbove is replayed in some milliseconds and left as it is.
const (
	flushAbove  = 1 << 20
	flushWithin = 10 * time.Second
)

// flush writes what only the log holds into tables. It is a favour to the next Open and nothing depends on it: what fails, or
// takes too long, is left to the log.
func (db *DB) flush() {
	db.tidy.stop() // Close would wait for a compaction that this sets off
	if db.readOnly || db.disk.full() || db.pebble.Metrics().WAL.Size < flushAbove {
		return
	}
	flushed, err := db.pebble.AsyncFlush()
	if err != nil {
		db.log.Warn("the log is left to the next start", "error", err)
		return
	}
	select {
	case <-flushed:
	case <-time.After(flushWithin):
	}
}

// read says whether the store may be read; each true is followed by one readDone.
func (db *DB) read() bool {
	db.reads.Add(1)
	if db.closed.Load() {
		db.readDone()
		return false
	}
	return true
}

func (db *DB) readDone() {
	if db.reads.Add(-1) == 0 && db.closed.Load() {
		select {
		case db.lastRead <- struct{}{}:
		default:
		}
	}
}

// Checkpoint makes a consistent copy of the store in dir, which must not exist, while the store is in use. Files are linked
// where the file system can, so dir should be on the same one; copy it elsewhere afterwards. Everything applied before
// the call is in it.
func (db *DB) Checkpoint(dir string) error {
	if !db.read() {
		return ErrClosed
	}
	defer db.readDone()
	if err := db.pebble.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("copy the store to %s: %w", dir, err)
	}
	return nil
}

// Compact gives space of deleted records back to the file system. It works through the whole store beside its normal use,
// and needs up to as much free space as the store takes.
func (db *DB) Compact(ctx context.Context) error {
	if !db.read() {
		return ErrClosed
	}
	defer db.readDone()
	if err := db.pebble.Compact(ctx, []byte{0}, []byte{0xff}, false); err != nil {
		return fmt.Errorf("compact the store: %w", err)
	}
	return nil
}

// Metrics are figures about the store since it was opened.
type Metrics struct {
	// DiskBytes is what the store takes on disk, log included.
	DiskBytes uint64
	// MemoryBytes is what memtables and block cache take now.
	MemoryBytes int64
	// Groups is how many batches were committed, Members how many Apply calls were in them, Syncs how often the log was
	// synced for one.
	Groups, Members, Syncs int64
	// Full says that writes are refused because the disk is full.
	Full bool
}

// Metrics returns the figures of now, nothing after Close. It takes locks of the database for some microseconds: fine every
// few seconds.
func (db *DB) Metrics() Metrics {
	if !db.read() {
		return Metrics{}
	}
	defer db.readDone()
	m := db.pebble.Metrics()
	return Metrics{
		DiskBytes:   m.DiskSpaceUsage(),
		MemoryBytes: m.BlockCache.Size + int64(m.MemTable.Size), //nolint:gosec // bounded by MemTableSize
		Groups:      db.groups.Load(), Members: db.members.Load(), Syncs: db.syncs.Load(),
		Full: db.disk.full(),
	}
}

// fail ends the store's usefulness.
func (db *DB) fail(err error) error {
	err = fmt.Errorf("the store can no longer write its log and must be restarted (check the disk): %w", err)
	db.fatalOnce.Do(func() {
		db.fatal.Store(&err)
		db.log.Error("store failed", "error", err)
		db.onFail(err)
	})
	return *db.fatal.Load()
}

// refused says why a write cannot be taken now, nil when it can.
func (db *DB) refused() error {
	if err := db.fatal.Load(); err != nil {
		return *err
	}
	if db.readOnly {
		return fault.Newf(fault.Permanent, "read_only", "the store was opened for reading only")
	}
	if db.disk.full() {
		return errFull()
	}
	return nil
}

func errFull() error {
	return fault.RetryAfter(5*time.Second, "disk_full", "the disk of the store is full: free some space, writes resume by themselves")
}

// pebbleLog passes on what Pebble logs. Fatalf means that Pebble cannot go on.
type pebbleLog struct{ db *DB }

func (l pebbleLog) Infof(string, ...any) {} // every flush and compaction: of no use to an operator

func (l pebbleLog) Errorf(format string, args ...any) {
	l.db.log.Error("store", "error", fmt.Sprintf(format, args...))
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	// Pebble relies on Fatalf not returning. The committer recovers the panic; anywhere else it ends the process, as it should.
	panic(l.db.fail(fmt.Errorf(format, args...)))
}
