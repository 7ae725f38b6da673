package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/disk"
)

// headerLength is fixed, so that the size of a blob follows from the size of its file.
const headerLength = 256

// magic names the format and its version.
const magic = "aikajana blob 1\n"

// header is what a file begins with: magic, the media type, a newline, and zero bytes up to headerLength.
func header(mediaType string) []byte {
	h := make([]byte, headerLength)
	n := copy(h, magic)
	n += copy(h[n:], mediaType)
	h[n] = '\n'
	return h
}

// readHeader returns the media type and the size of the blob in f.
func readHeader(f disk.File) (mediaType string, size int64, err error) {
	size, err = f.Size()
	if err != nil {
		return "", 0, err
	}
	h := make([]byte, headerLength)
	if _, err := f.ReadAt(h, 0); err != nil && !errors.Is(err, io.EOF) {
		return "", 0, err
	}
	rest, ours := strings.CutPrefix(string(h), magic)
	mediaType, _, ended := strings.Cut(rest, "\n")
	if !ours || !ended || size < headerLength {
		return "", 0, errors.New("the file is damaged: it does not begin like a blob; restore it from a backup")
	}
	return mediaType, size - headerLength, nil
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, key string, from, n int64) (io.ReadCloser, blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, blob.Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return nil, blob.Info{}, fmt.Errorf("open blob %q: %w", key, err)
	}
	f, info, err := s.open(key)
	if err != nil {
		return nil, blob.Info{}, err
	}
	if from < 0 || from > 0 && from >= info.Size {
		return nil, blob.Info{}, errors.Join(fmt.Errorf("open blob %q from byte %d of %d: %w", key, from, info.Size, blob.ErrRange), f.Close())
	}
	if n <= 0 || n > info.Size-from {
		n = info.Size - from
	}
	return &section{Reader: io.NewSectionReader(f, headerLength+from, n), Closer: f}, info, nil
}

// open opens the file of a key that is known to be valid.
func (s *Store) open(key string) (disk.File, blob.Info, error) {
	_, name := s.path(key)
	f, err := s.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, blob.Info{}, fmt.Errorf("open blob %q: %w", key, blob.ErrNotFound)
	}
	if err != nil {
		return nil, blob.Info{}, fmt.Errorf("open blob %q: %w", key, err)
	}
	mediaType, size, err := readHeader(f)
	if err != nil {
		return nil, blob.Info{}, errors.Join(fmt.Errorf("open blob %q in %s: %w", key, name, err), f.Close())
	}
	return f, blob.Info{Key: key, Size: size, Type: mediaType}, nil
}

type section struct {
	io.Reader
	io.Closer
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	w := &walk{store: s, ctx: ctx, prefix: prefix, after: after, limit: limit}
	if limit > 0 {
		if err := w.folder(s.data, ""); err != nil {
			return nil, fmt.Errorf("list blobs %q: %w", prefix, err)
		}
	}
	return w.found, nil
}

// walk is one listing, in the order of keys.
type walk struct {
	store         *Store
	ctx           context.Context //nolint:containedctx // lives as long as one call of List
	prefix, after string
	limit         int
	found         []blob.Info
}

func (w *walk) folder(path, before string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	names, err := w.store.fs.List(path)
	if errors.Is(err, fs.ErrNotExist) && before != "" { // emptied and removed meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	entries := make([]entry, 0, len(names))
	for _, name := range names {
		if e, ok := decode(name); ok && w.wanted(before+e.piece, e.folder) {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, compareEntries)
	for _, e := range entries {
		if len(w.found) == w.limit {
			return nil
		}
		child := filepath.Join(path, e.name)
		if e.folder {
			err = w.folder(child, before+e.piece)
		} else {
			err = w.file(child, before+e.piece)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wanted says whether the key, or any key in the folder, is asked for.
func (w *walk) wanted(key string, folder bool) bool {
	if !folder {
		return key > w.after && strings.HasPrefix(key, w.prefix)
	}
	inPrefix := strings.HasPrefix(key, w.prefix) || strings.HasPrefix(w.prefix, key)
	return inPrefix && (key > w.after || strings.HasPrefix(w.after, key))
}

func (w *walk) file(path, key string) error {
	f, err := w.store.fs.Open(path)
	if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	at, err := w.store.fs.ModTime(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	w.found = append(w.found, blob.Info{Key: key, Size: size - headerLength, Modified: at})
	return nil
}
