package check_test

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table/pebble"
)

// bucket lists blobs in the order of their keys.
type bucket []blob.Info

func (b bucket) List(_ context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	var found []blob.Info
	for _, i := range b {
		if strings.HasPrefix(i.Key, prefix) && i.Key > after && len(found) < limit {
			found = append(found, i)
		}
	}
	return found, nil
}

func TestAMailThatSESTookAndNobodyHasNotedIsFound(t *testing.T) {
	t.Parallel()
	db, err := engine.Open("store", engine.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	start := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	clock := func() msg.Time { return msg.TimeOf(start) }
	items, err := pebble.New(db, clock)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.New(store.Options{Table: items, Key: []byte(strings.Repeat("k", 32)), Now: clock, NewID: rand.Text})
	if err != nil {
		t.Fatal(err)
	}
	mails := bucket{
		{Key: "raw/other", Modified: start.Add(time.Minute)}, {Key: "ses/AMAZON_SES_SETUP_NOTIFICATION", Modified: start.Add(time.Minute)},
		{Key: "ses/before-there-were-notes", Modified: start.Add(-time.Minute)}, {Key: "ses/done", Modified: start.Add(time.Minute)},
		{Key: "ses/lost", Modified: start.Add(time.Minute)}, {Key: "ses/on-its-way", Modified: start.Add(90 * time.Minute)},
	}
	in := check.Input{Table: items, Unfollowed: -1, Mails: mails, Now: msg.TimeOf(start.Add(2 * time.Hour))}
	run := func() []string {
		r, err := check.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return r.Problems
	}
	if got := run(); len(got) != 0 {
		t.Errorf("without a note nothing can be told: %q", got)
	}
	if err := s.NoteEnvelopes(t.Context(), []store.Noted{{Account: "email/main", Plain: 1, Blobs: []string{"ses/done"}}}); err != nil {
		t.Fatal(err)
	}
	want := "I1: mail ses/lost was accepted at 2026-11-23T08:01:00.000Z and nobody is done with it; see docs/aws/redrive.md"
	if got := run(); !slices.Equal(got, []string{want}) {
		t.Errorf("it finds %q, want %q", got, want)
	}
}
