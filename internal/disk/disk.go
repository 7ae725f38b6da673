// Package disk is the few file system calls that durability rests on, so that a test can put a file system underneath that
// loses whatever was not synced (package crashdisk) or is full.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
)

// FS is a file system. Errors wrap fs.ErrNotExist and fs.ErrExist where those are the reason. Safe for concurrent use.
//
// A change of a folder's entries (Create, Link, Rename, Remove, Mkdir) survives a power cut only after SyncDir of that
// folder; the bytes of a file only after File.Sync.
type FS interface {
	// Create makes a new file that only its owner may read and opens it for writing; one that is there is fs.ErrExist.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// Link gives a file a second name; a name that is taken is fs.ErrExist.
	Link(from, to string) error
	// Rename moves a file, replacing what was there.
	Rename(from, to string) error
	// Remove removes a file or an empty folder; a folder that is not empty is an error.
	Remove(name string) error
	// Mkdir makes a folder whose parent exists; one that is there is no error.
	Mkdir(name string) error
	// List returns the names in a folder, in no particular order.
	List(name string) ([]string, error)
	// ModTime says when a file was last written to.
	ModTime(name string) (time.Time, error)
	// SyncDir makes the entries of a folder durable.
	SyncDir(name string) error
}

// File is an open file: for reading (io.ReaderAt, Size) or for writing (io.Writer, Sync), never both.
type File interface {
	io.ReaderAt
	io.Writer
	io.Closer
	// Size is the number of bytes in the file.
	Size() (int64, error)
	// Sync makes what was written durable.
	Sync() error
}

// OS is the real file system.
type OS struct{}

var _ FS = OS{}

// Create implements FS.
func (OS) Create(name string) (File, error) {
	return opened(os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600))
}

// Open implements FS.
func (OS) Open(name string) (File, error) { return opened(os.Open(name)) }

func opened(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

// Link implements FS.
func (OS) Link(from, to string) error { return os.Link(from, to) }

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// Mkdir implements FS.
func (OS) Mkdir(name string) error {
	if err := os.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// List implements FS.
func (OS) List(name string) ([]string, error) {
	d, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	return names, errors.Join(err, d.Close())
}

// ModTime implements FS.
func (OS) ModTime(name string) (time.Time, error) {
	info, err := os.Stat(name)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// SyncDir implements FS.
func (OS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type file struct{ *os.File }

func (f file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// fullWait is how long to wait before a full disk is tried again: long enough for somebody to make room.
const fullWait = 30 * time.Second

// Full says that err means there is no room left: nothing was done, and trying again later may succeed.
func Full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// Fault types err, met while doing what: a full disk is fault.Retry with code "disk_full", anything else stays untyped.
func Fault(err error, doing string) error {
	if err == nil {
		return nil
	}
	if Full(err) {
		return fault.RetryAfter(fullWait, "disk_full", "%s: the disk is full, make room: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// WriteFile replaces the file called name by data: whole and durable when it returns nil, as it was before (or whole) after
// an error or a power cut. temporary is a name in the same folder that nobody else uses at the same time.
func WriteFile(d FS, name, temporary string, data []byte) error {
	if err := d.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Fault(err, "remove "+temporary)
	}
	f, err := d.Create(temporary)
	if err != nil {
		return Fault(err, "create "+temporary)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.Rename(temporary, name)
	}
	if err != nil {
		_ = d.Remove(temporary) // the first error is the one that matters
		return Fault(err, "write "+name)
	}
	if err := d.SyncDir(filepath.Dir(name)); err != nil {
		return Fault(err, "sync the folder of "+name)
	}
	return nil
}

// ReadFile returns all of a file.
func ReadFile(d FS, name string) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	return data, errors.Join(err, f.Close())
}
