package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/blob/dir"
	"github.com/aikajana/aikajana/internal/engine"
)

// What one backup holds, by the names it has in the data folder: a backup is a data folder itself.
//
//	store        table, queues and change feed: one consistent state (a checkpoint of the engine)
//	blobs/data   every file and raw input that this state refers to, and the ledger of erasures
//	secrets      the accounts' secrets, encrypted, and secrets.key, which opens them
//	key          the deployment key, without which nobody is found again
//	BACKUP.json  when it was made and how large it is
//
// It holds everything that is needed to be this desk, so it is to be kept like the data folder.
const (
	storeFolder = "store"
	blobFolder  = "blobs"
	manifest    = "BACKUP.json"
	// staging is where a backup grows: on the store's own file system, where files are linked rather than copied.
	staging = "backup.unfinished-"
)

// plainFiles are copied as they are.
var plainFiles = []string{"key", "secrets", "secrets.key"}

// BackupReport says what a backup holds.
type BackupReport struct {
	At    time.Time `json:"at"`
	To    string    `json:"to"`
	Files int       `json:"files"`
	Bytes int64     `json:"bytes"`
}

// keptBlobs is the folder of blobs, with deletions held back while a backup links it: what the checkpoint refers to must
// still be there when the blobs are taken.
type keptBlobs struct {
	*dir.Store
	hold sync.RWMutex
}

// Delete implements blob.Store.
func (k *keptBlobs) Delete(ctx context.Context, key string) error {
	k.hold.RLock()
	defer k.hold.RUnlock()
	return k.Store.Delete(ctx, key)
}

// backup makes a copy of a store in the folder to, which must not exist. The checkpoint comes first and blobs second: a blob
// is durable before anything refers to it, so with deletions held back every reference of the checkpoint finds its blob.
func backup(ctx context.Context, data, to string, db *engine.DB, hold sync.Locker) (*BackupReport, error) {
	to, err := filepath.Abs(to)
	if err != nil {
		return nil, fmt.Errorf("back up to %s: %w", to, err)
	}
	if err := vacant(to); err != nil {
		return nil, err
	}
	stage, err := os.MkdirTemp(data, staging)
	if err != nil {
		return nil, fmt.Errorf("back up: %w", err)
	}
	defer func() { _ = os.RemoveAll(stage) }() // it is elsewhere by now, or of no use
	if err := take(data, stage, db, hold); err != nil {
		return nil, fmt.Errorf("back up %s: %w", data, err)
	}
	report := &BackupReport{At: time.Now().UTC().Truncate(time.Second), To: to}
	if err := report.measure(stage); err != nil {
		return nil, fmt.Errorf("back up %s: %w", data, err)
	}
	if err := place(ctx, stage, to, report); err != nil {
		return nil, fmt.Errorf("back up to %s: %w", to, err)
	}
	return report, nil
}

// vacant refuses a place that is taken.
func vacant(to string) error {
	names, err := os.ReadDir(to)
	if err == nil && len(names) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: name a folder that is not", to)
	}
	return nil
}

// take links and copies everything into stage. Deletions wait for as long as linking takes.
func take(data, stage string, db *engine.DB, hold sync.Locker) error {
	hold.Lock()
	defer hold.Unlock()
	if err := db.Checkpoint(filepath.Join(stage, storeFolder)); err != nil {
		return err
	}
	blobs := filepath.Join(blobFolder, "data")
	if err := copyTree(context.Background(), filepath.Join(data, blobs), filepath.Join(stage, blobs), os.Link); err != nil {
		return err
	}
	for _, name := range plainFiles {
		if err := copyFile(filepath.Join(data, name), filepath.Join(stage, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(stage)
}

func (r *BackupReport) measure(folder string) error {
	return filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		r.Files++
		r.Bytes += info.Size()
		return nil
	})
}

// place writes the manifest and gives the backup its name: all at once, so that half a backup is never taken for one.
func place(ctx context.Context, stage, to string, report *BackupReport) error {
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	_ = os.Remove(to) // an empty folder of that name: rename wants none; anything else makes it fail
	err = writeFile(filepath.Join(stage, manifest), append(text, '\n'))
	if err == nil {
		err = os.Rename(stage, to)
	}
	if err == nil {
		return syncDir(filepath.Dir(to))
	}
	partial := to + ".unfinished" // another file system: copy beside the final name
	defer func() { _ = os.RemoveAll(partial) }()
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := copyTree(ctx, stage, partial, copyFile); err != nil {
		return err
	}
	if err := os.Rename(partial, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// copyTree repeats a tree of folders, putting each file there with put, and makes the folders durable.
func copyTree(ctx context.Context, from, to string, put func(from, to string) error) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if e.IsDir() {
			err = copyTree(ctx, source, target, put)
		} else if err = put(source, target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			err = copyFile(source, target) // a file system without links, or too many of them
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(to)
}

// copyFile copies a file and makes the copy durable.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read from
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func writeFile(path string, body []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Sync(), f.Close())
}

// sweepBackups removes what backups left behind that were cut short.
func sweepBackups(data string) error {
	entries, err := os.ReadDir(data)
	if err != nil {
		return fmt.Errorf("look through the data folder: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), staging) {
			if err := os.RemoveAll(filepath.Join(data, e.Name())); err != nil {
				return fmt.Errorf("remove an unfinished backup: %w", err)
			}
		}
	}
	return nil
}
