package engine

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guardFS keeps a full disk from being fatal. Pebble gives up when it cannot write its log or manifest, although nothing is
// lost: so such a write waits here until there is room. New writes are refused meanwhile, and already when less than minFree
// is left, so waiting is the exception (another process took the rest).
type guardFS struct {
	vfs.FS
	dir     string
	minFree uint64

	// checked is when the free space was last looked at, in Unix nanoseconds; low what was found.
	checked atomic.Int64
	low     atomic.Bool

	mu      sync.Mutex
	waiting int
	stall   chan struct{} // closed while a write waits for room
	stopped chan struct{}
}

const (
	spaceEvery = time.Second           // how often the free space is looked at, while there are writes
	retryEvery = 50 * time.Millisecond // how often a waiting write is tried again
)

func newGuardFS(fs vfs.FS, dir string, minFree uint64) *guardFS {
	return &guardFS{FS: fs, dir: dir, minFree: minFree, stall: make(chan struct{}), stopped: make(chan struct{})}
}

// full says that no new writes should be taken.
func (g *guardFS) full() bool {
	select {
	case <-g.stalled():
		return true
	default:
	}
	now := time.Now().UnixNano() // wall time of no consequence: it only spaces the looks
	last := g.checked.Load()
	if now-last >= int64(spaceEvery) && g.checked.CompareAndSwap(last, now) {
		use, err := g.GetDiskUsage(g.dir)
		// A file system that cannot tell (one in memory) reports nothing.
		g.low.Store(err == nil && use.TotalBytes > 0 && use.AvailBytes < g.minFree)
	}
	return g.low.Load()
}

// stalled is closed while a write of the log waits for room.
func (g *guardFS) stalled() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stall
}

// stop makes writes that wait for room fail.
func (g *guardFS) stop() { close(g.stopped) }

// wait tries f until it fails for another reason than lack of room.
func (g *guardFS) wait(f func() error) error {
	err := f()
	if !noSpace(err) {
		return err
	}
	g.mu.Lock()
	if g.waiting++; g.waiting == 1 {
		close(g.stall)
	}
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		if g.waiting--; g.waiting == 0 {
			g.stall = make(chan struct{})
		}
		g.mu.Unlock()
	}()
	for noSpace(err) {
		select {
		case <-time.After(retryEvery):
			err = f()
		case <-g.stopped:
			return err
		}
	}
	return err
}

// vital says that Pebble cannot go on when it fails to write the file; tables are written again later.
func vital(name string) bool {
	return !strings.HasSuffix(name, ".sst") && !strings.HasSuffix(name, ".blob")
}

func noSpace(err error) bool {
	return err != nil && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

func (g *guardFS) open(name string, open func() (vfs.File, error)) (f vfs.File, err error) {
	if !vital(filepath.Base(name)) {
		return open()
	}
	err = g.wait(func() error { f, err = open(); return err })
	if err != nil {
		return nil, err
	}
	return &guardFile{File: f, fs: g}, nil
}

// Create is vfs.FS's.
func (g *guardFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(name, func() (vfs.File, error) { return g.FS.Create(name, c) })
}

// ReuseForWrite is vfs.FS's.
func (g *guardFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(to, func() (vfs.File, error) { return g.FS.ReuseForWrite(from, to, c) })
}

// Rename is vfs.FS's.
func (g *guardFS) Rename(from, to string) error {
	return g.wait(func() error { return g.FS.Rename(from, to) })
}

// Unwrap is vfs.FS's.
func (g *guardFS) Unwrap() vfs.FS { return g.FS }

type guardFile struct {
	vfs.File
	fs *guardFS
}

// Write waits for room; a write that stopped half-way goes on where it stopped.
func (f *guardFile) Write(p []byte) (int, error) {
	done := 0
	err := f.fs.wait(func() error {
		n, err := f.File.Write(p[done:])
		done += n
		return err
	})
	return done, err
}

// Preallocate is only a hint: when there is no room, the write itself finds out.
func (f *guardFile) Preallocate(offset, length int64) error {
	if err := f.File.Preallocate(offset, length); !noSpace(err) {
		return err
	}
	return nil
}
