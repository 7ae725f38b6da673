package auth_test

import (
	"io"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
)

// openTable is the embedded table over a file system in memory.
func openTable(t *testing.T, c *clock) table.Table {
	t.Helper()
	db, err := engine.Open("store", engine.Options{FS: vfs.NewMem(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	opened, err := pebble.New(db, func() msg.Time { return msg.TimeOf(c.now()) })
	if err != nil {
		t.Fatal(err)
	}
	return opened
}
