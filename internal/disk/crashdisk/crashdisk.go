// Package crashdisk is a file system for tests: it lives in memory, forgets at a power cut what was not synced, and fails
// where it is told to. It stands on Pebble's crashable memory file system, so one disk can hold a store and its blobs.
package crashdisk

import (
	"io/fs"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aikajana/aikajana/internal/disk"
)

// Op names a call that Fail may refuse.
type Op string

// The calls, as Fail sees them.
const (
	OpCreate  Op = "create"
	OpWrite   Op = "write"
	OpSync    Op = "sync"
	OpSyncDir Op = "syncdir"
	OpLink    Op = "link"
	OpRename  Op = "rename"
	OpRemove  Op = "remove"
	OpMkdir   Op = "mkdir"
)

// Disk is a disk that can lose its power. Safe for concurrent use.
type Disk struct {
	// Mem is the memory file system below, for those who open a Pebble store on the same disk.
	Mem *vfs.MemFS
	// power is held shared by every call and alone by Crash: Pebble's MemFS.Link takes its own lock twice, which would
	// deadlock with a clone that waits in between.
	power sync.RWMutex
	fail  atomic.Pointer[func(Op, string) error]
}

var _ disk.FS = (*Disk)(nil)

// New is an empty disk.
func New() *Disk { return &Disk{Mem: vfs.NewCrashableMem()} }

// On is a disk over mem.
func On(mem *vfs.MemFS) *Disk { return &Disk{Mem: mem} }

// Crash cuts the power: what it returns holds all that was synced and each unsynced block or entry with a chance of percent
// in a hundred. The old disk goes on as if nothing had happened. random is needed when percent is not 0.
func (d *Disk) Crash(percent int, random *rand.Rand) *Disk {
	d.power.Lock()
	defer d.power.Unlock()
	return &Disk{Mem: d.Mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random})}
}

// Fail makes every call fail for which f returns an error; nil mends the disk.
func (d *Disk) Fail(f func(op Op, name string) error) {
	if f == nil {
		d.fail.Store(nil)
		return
	}
	d.fail.Store(&f)
}

func (d *Disk) refuse(op Op, name string) error {
	if f := d.fail.Load(); f != nil {
		return (*f)(op, name)
	}
	return nil
}

// do runs one call unless it is to fail.
func (d *Disk) do(op Op, name string, call func() error) error {
	if err := d.refuse(op, name); err != nil {
		return err
	}
	d.power.RLock()
	defer d.power.RUnlock()
	return call()
}

// Create implements disk.FS.
func (d *Disk) Create(name string) (disk.File, error) {
	var f vfs.File
	err := d.do(OpCreate, name, func() (err error) {
		if _, err := d.Mem.Stat(name); err == nil {
			return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
		}
		f, err = d.Mem.Create(name, vfs.WriteCategoryUnspecified)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &file{File: f, disk: d, name: name}, nil
}

// Open implements disk.FS.
func (d *Disk) Open(name string) (disk.File, error) {
	f, err := d.Mem.Open(name)
	if err != nil {
		return nil, err
	}
	return &file{File: f, disk: d, name: name}, nil
}

// Link implements disk.FS.
func (d *Disk) Link(from, to string) error {
	return d.do(OpLink, to, func() error { return d.Mem.Link(from, to) })
}

// Rename implements disk.FS.
func (d *Disk) Rename(from, to string) error {
	return d.do(OpRename, to, func() error { return d.Mem.Rename(from, to) })
}

// Remove implements disk.FS.
func (d *Disk) Remove(name string) error {
	return d.do(OpRemove, name, func() error { return d.Mem.Remove(name) })
}

// Mkdir implements disk.FS.
func (d *Disk) Mkdir(name string) error {
	return d.do(OpMkdir, name, func() error { return d.Mem.MkdirAll(name, 0o700) })
}

// List implements disk.FS.
func (d *Disk) List(name string) ([]string, error) { return d.Mem.List(name) }

// ModTime implements disk.FS.
func (d *Disk) ModTime(name string) (time.Time, error) {
	info, err := d.Mem.Stat(name)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// SyncDir implements disk.FS.
func (d *Disk) SyncDir(name string) error {
	return d.do(OpSyncDir, name, func() error {
		dir, err := d.Mem.OpenDir(name)
		if err != nil {
			return err
		}
		if err := dir.Sync(); err != nil {
			return err
		}
		return dir.Close()
	})
}

type file struct {
	vfs.File
	disk *Disk
	name string
}

// Write hands on a copy: Pebble's files may change the slice that they are given.
func (f *file) Write(p []byte) (n int, err error) {
	err = f.disk.do(OpWrite, f.name, func() (err error) {
		n, err = f.File.Write(append([]byte(nil), p...))
		return err
	})
	return n, err
}

func (f *file) Sync() error { return f.disk.do(OpSync, f.name, f.File.Sync) }

func (f *file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
