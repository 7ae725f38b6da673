package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/blob/dir"
	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table/pebble"
)

// Restored is what a restore came to.
type Restored struct {
	*check.Report
	// Held is how many answers were on their way in the backup.
	Held int
}

// Restore makes a data folder of a backup, and verifies it. The ledger of erasures of the folder that it replaces, if there
// still is one, is taken along: who was erased after the backup is erased again before the restored store serves (I8).
// Answers that were on their way when the backup was made may have gone out since: they are uncertain in the new folder, and
// an agent decides about each. The backup is not touched.
func Restore(ctx context.Context, from, to, replaced string) (*Restored, error) {
	for _, name := range []string{storeFolder, "key"} {
		if _, err := os.Stat(filepath.Join(from, name)); err != nil {
			return nil, fmt.Errorf("%s is not a backup: it has no %q", from, name)
		}
	}
	if err := vacant(to); err != nil {
		return nil, err
	}
	partial := to + ".unfinished"
	if err := os.RemoveAll(partial); err != nil {
		return nil, fmt.Errorf("restore to %s: %w", to, err)
	}
	defer func() { _ = os.RemoveAll(partial) }() // it has its name by now, or is of no use
	if err := fetch(ctx, from, partial); err != nil {
		return nil, fmt.Errorf("restore %s to %s: %w", from, to, err)
	}
	if replaced != "" {
		if err := copyErasures(ctx, replaced, partial); err != nil {
			return nil, fmt.Errorf("take the ledger of erasures of %s along: %w", replaced, err)
		}
	}
	held, err := holdAnswers(ctx, partial)
	if err != nil {
		return nil, err
	}
	report, err := Check(ctx, partial)
	if err != nil {
		return nil, err
	}
	_ = os.Remove(to) // an empty folder of that name: rename wants none; anything else makes it fail
	if err := os.Rename(partial, to); err != nil {
		return nil, fmt.Errorf("restore to %s: %w", to, err)
	}
	return &Restored{report, held}, syncDir(filepath.Dir(filepath.Clean(to)))
}

// fetch copies what belongs to a data folder.
func fetch(ctx context.Context, from, to string) error {
	blobs := filepath.Join(blobFolder, "data")
	for _, folder := range []string{storeFolder, blobs} {
		source := filepath.Join(from, folder)
		if _, err := os.Stat(source); folder == blobs && errors.Is(err, fs.ErrNotExist) {
			continue // a desk without a single file
		}
		if err := copyTree(ctx, source, filepath.Join(to, folder), copyFile); err != nil {
			return err
		}
	}
	for _, name := range plainFiles {
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func holdAnswers(ctx context.Context, data string) (held int, err error) {
	key, err := deploymentKey(data)
	if err != nil {
		return 0, err
	}
	now := func() msg.Time { return msg.TimeOf(time.Now()) }
	err = withStore(data, func(db *engine.DB) error {
		t, err := pebble.New(db, now)
		if err != nil {
			return err
		}
		desk, err := store.New(store.Options{Table: t, Key: key, Now: now, NewID: func() string { return strings.ToLower(rand.Text()) }})
		if err != nil {
			return err
		}
		held, err = pipeline.HoldAnswers(ctx, t, desk)
		return err
	})
	return held, err
}

// copyErasures takes every line of the ledger along.
func copyErasures(ctx context.Context, from, to string) error {
	if _, err := os.Stat(filepath.Join(from, blobFolder)); err != nil {
		return err
	}
	source, err := openBlobs(from)
	if err != nil {
		return err
	}
	target, err := openBlobs(to)
	if err != nil {
		return err
	}
	return pipeline.EachErasure(ctx, source, func(key string, line []byte) error {
		_, err := target.Put(ctx, key, bytes.NewReader(line), blob.PutOptions{Type: "application/json"})
		return err
	})
}

// openBlobs opens the blobs of a folder that nobody serves, or of one that is only read from.
func openBlobs(data string) (*dir.Store, error) {
	key, err := deploymentKey(data)
	if err != nil {
		return nil, err
	}
	return dir.Open(dir.Options{Root: filepath.Join(data, blobFolder), Key: key, Now: time.Now})
}

// reapply erases everybody again whom the ledger of erasures names: the table may be restored from before they were erased.
// It runs before anything is served. Where nothing of them is left it only reads.
func (s *Server) reapply(ctx context.Context) error {
	return pipeline.EraseAgain(ctx, s.app.Store, s.kept, func(key string, files int) {
		if files > 0 {
			s.log.Info("erased again after a restore", "erasure", key, "files", files)
		}
	})
}
