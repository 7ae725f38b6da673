// Package dir keeps blobs in a folder: the store of the local binary.
//
// # Layout
//
// Each blob is one file under "data", and "temp" holds what is being written. A file begins with a header of 256 bytes (see
// header.go) that keeps the media type, so a blob and its type can never part. The path of a blob is its key cut into short
// pieces (see path.go): folders fan out by the first two bytes of each segment, and names that a file system would refuse
// or confuse (long, "..", upper and lower case) cannot arise.
//
// # Durability
//
// Put writes a temporary file in the same file system, syncs it, renames it (links it, for IfAbsent) into place and syncs the
// folder, and every folder that it had to make. Only then does it return nil. A failed sync leaves unknown what the disk
// holds: from then on every Put is refused and [Options.Broken] is told, so that the process can end.
//
// One process at a time may write to a folder.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/disk"
)

// Options say how to open a folder.
type Options struct {
	// Root is the folder; it is made when it is not there, its parent must be.
	Root string
	// FS is the file system, nil for the real one.
	FS disk.FS
	// Key signs links: 32 bytes or more that survive a restart only if links shall. LinkBase is what links begin with: an
	// absolute URL or a path, like "/files".
	Key      []byte
	LinkBase string
	// Now is the clock by which links expire.
	Now func() time.Time
	// Broken, when set, is called once when a sync has failed: nothing more is accepted, and the process had better end.
	Broken func(error)
}

// Store is a blob.Store over a folder. Safe for concurrent use.
type Store struct {
	fs       disk.FS
	data     string
	temp     string
	key      []byte
	base     string
	basePath string
	now      func() time.Time

	onBroken func(error)
	broken   atomic.Pointer[error]

	serial atomic.Int64
	// tree is held shared while a file is put into place and alone while an empty folder is removed, so that no folder
	// vanishes under a blob that was just promised.
	tree sync.RWMutex
	// made holds the folders whose own entry is known to be durable.
	mu   sync.Mutex
	made map[string]struct{}
}

var _ blob.Store = (*Store)(nil)

// staleAfter is how old a temporary file is before it counts as left behind by a crash.
const staleAfter = time.Hour

// madeLimit bounds the memory of Store.made; beyond it the memory starts again, which costs only a few extra syncs.
const madeLimit = 20_000

// Open opens the folder and removes temporary files that a crash left behind more than an hour ago.
func Open(o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	if len(o.Key) < 32 {
		return nil, fmt.Errorf("open blob folder %s: the key for links has %d bytes, at least 32 are needed", o.Root, len(o.Key))
	}
	base, err := url.Parse(o.LinkBase)
	if err != nil {
		return nil, fmt.Errorf("open blob folder %s: the base of links: %w", o.Root, err)
	}
	s := &Store{
		fs: o.FS, data: filepath.Join(o.Root, "data"), temp: filepath.Join(o.Root, "temp"),
		key: append([]byte(nil), o.Key...), base: o.LinkBase, basePath: base.Path, now: o.Now, onBroken: o.Broken,
		made: map[string]struct{}{},
	}
	for _, folder := range []string{o.Root, s.data, s.temp} {
		if err := s.fs.Mkdir(folder); err != nil {
			return nil, disk.Fault(err, "make blob folder "+folder)
		}
		if err := s.fs.SyncDir(filepath.Dir(folder)); err != nil {
			return nil, disk.Fault(err, "sync the parent of blob folder "+folder)
		}
	}
	return s, s.sweep()
}

// sweep removes stale temporary files; the young may belong to a process that is still at work.
func (s *Store) sweep() error {
	names, err := s.fs.List(s.temp)
	if err != nil {
		return fmt.Errorf("sweep blob folder %s: %w", s.temp, err)
	}
	for _, name := range names {
		name = filepath.Join(s.temp, name)
		at, err := s.fs.ModTime(name)
		if err == nil && s.now().Sub(at) > staleAfter {
			err = s.fs.Remove(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sweep blob folder: %w", err)
		}
	}
	return nil
}

// Put implements blob.Store. A full disk is fault.Retry with code "disk_full", and nothing is left half-done.
func (s *Store) Put(ctx context.Context, key string, r io.Reader, o blob.PutOptions) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}
	if err := blob.CheckType(o.Type); err != nil {
		return blob.Info{}, err
	}
	if broken := s.broken.Load(); broken != nil {
		return blob.Info{}, *broken
	}
	folder, name := s.path(key)
	if o.IfAbsent {
		if taken, err := s.taken(folder, name); taken || err != nil {
			return blob.Info{}, errors.Join(err, existing(key, taken))
		}
	}
	temp, size, err := s.write(ctx, key, r, o.Type)
	if err != nil {
		return blob.Info{}, err
	}
	if err := s.place(key, temp, folder, name, o.IfAbsent); err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Key: key, Size: size, Type: o.Type}, nil
}

// write makes a durable temporary file of r, and removes it again when that fails.
func (s *Store) write(ctx context.Context, key string, r io.Reader, mediaType string) (temp string, size int64, err error) {
	doing := "store blob " + strconv.Quote(key)
	f, name, err := s.createTemp()
	if err != nil {
		return "", 0, disk.Fault(err, doing)
	}
	defer func() {
		if err != nil {
			_ = s.fs.Remove(name) // swept at the next start otherwise
		}
	}()
	_, err = f.Write(header(mediaType))
	if err == nil {
		source := &reader{ctx: ctx, r: r}
		size, err = io.CopyBuffer(onlyWriter{f}, source, make([]byte, 128<<10))
		if source.err != nil {
			// The source failed, not the disk: its error keeps whatever kind it has.
			return "", 0, errors.Join(fmt.Errorf("%s: read what is to be stored: %w", doing, source.err), f.Close())
		}
	}
	if err != nil {
		return "", 0, disk.Fault(errors.Join(err, f.Close()), doing)
	}
	if err := f.Sync(); err != nil {
		return "", 0, s.syncFailed(errors.Join(err, f.Close()), doing)
	}
	if err := f.Close(); err != nil {
		return "", 0, disk.Fault(err, doing)
	}
	return name, size, nil
}

// createTemp makes a temporary file with a name that no other writer has, not even one of an earlier process.
func (s *Store) createTemp() (disk.File, string, error) {
	for {
		name := fmt.Sprintf("%x-%x", s.now().UnixNano(), s.serial.Add(1))
		name = filepath.Join(s.temp, name)
		f, err := s.fs.Create(name)
		if !errors.Is(err, fs.ErrExist) {
			return f, name, err
		}
	}
}

// place gives the temporary file its name and makes that durable.
func (s *Store) place(key, temp, folder, name string, ifAbsent bool) error {
	doing := "store blob " + strconv.Quote(key)
	s.tree.RLock()
	defer s.tree.RUnlock()
	err := s.makeFolder(folder)
	if err == nil && ifAbsent {
		err = s.fs.Link(temp, name)
	} else if err == nil {
		err = s.fs.Rename(temp, name)
	}
	if ifAbsent || err != nil {
		_ = s.fs.Remove(temp) // swept at the next start otherwise
	}
	taken := errors.Is(err, fs.ErrExist)
	if err != nil && !taken {
		return disk.Fault(err, doing)
	}
	// The other writer that took the name may not have synced it yet, and our caller will rely on it being there.
	if err := s.fs.SyncDir(folder); err != nil {
		return s.syncFailed(err, doing)
	}
	return existing(key, taken)
}

func (s *Store) taken(folder, name string) (bool, error) {
	_, err := s.fs.ModTime(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", name, err)
	}
	s.tree.RLock()
	defer s.tree.RUnlock()
	err = s.fs.SyncDir(folder)
	if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile, folder and all
		return false, nil
	}
	return err == nil, err
}

func existing(key string, taken bool) error {
	if taken {
		return fmt.Errorf("store blob %q: %w", key, blob.ErrExists)
	}
	return nil
}

// makeFolder makes the folder and those above it, durably.
func (s *Store) makeFolder(folder string) error {
	if folder == s.data || s.isMade(folder) {
		return nil
	}
	parent := filepath.Dir(folder)
	if err := s.makeFolder(parent); err != nil {
		return err
	}
	if err := s.fs.Mkdir(folder); err != nil {
		return err
	}
	if err := s.fs.SyncDir(parent); err != nil {
		return s.syncFailed(err, "sync blob folder "+parent)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.made) >= madeLimit {
		clear(s.made)
	}
	s.made[folder] = struct{}{}
	return nil
}

func (s *Store) isMade(folder string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.made[folder]
	return ok
}

// syncFailed stops all further writing, except where the disk was merely full: then the file that could not be synced is
// given up and nothing else is in doubt.
func (s *Store) syncFailed(err error, doing string) error {
	if disk.Full(err) {
		return disk.Fault(err, doing)
	}
	err = fmt.Errorf("%s: a sync failed, so what the disk holds is unknown; check the disk and start again: %w", doing, err)
	if s.broken.CompareAndSwap(nil, &err) && s.onBroken != nil {
		s.onBroken(err)
	}
	return err
}

// Delete implements blob.Store. The removal is durable when it returns nil; folders left empty go too.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete blob %q: %w", key, err)
	}
	folder, name := s.path(key)
	if err := s.remove(folder, name); err != nil {
		return fmt.Errorf("delete blob %q: %w", key, err)
	}
	s.prune(folder)
	return nil
}

func (s *Store) remove(folder, name string) error {
	s.tree.RLock()
	defer s.tree.RUnlock()
	err := s.fs.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.fs.SyncDir(folder)
}

// prune removes the folder and those above it as far as they are empty.
func (s *Store) prune(folder string) {
	s.tree.Lock()
	defer s.tree.Unlock()
	for folder != s.data && s.fs.Remove(folder) == nil { // refused as soon as something lies in it
		s.mu.Lock()
		delete(s.made, folder)
		s.mu.Unlock()
		folder = filepath.Dir(folder)
	}
}

// reader stops when the context ends, and remembers that it was the source that failed.
type reader struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err = r.ctx.Err(); r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// onlyWriter hides ReadFrom, which would bypass the bounded buffer.
type onlyWriter struct{ io.Writer }
