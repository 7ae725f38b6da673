// Package blobtest is what every blob.Store must pass.
package blobtest

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
)

// Harness is a store under test.
type Harness struct {
	// Store is empty, or shared with other tests that use other keys: the suite only looks at keys below Prefix.
	Store blob.Store
	// Prefix goes before every key of the suite: "" or something that ends in "/".
	Prefix string
	// Client fetches links.
	Client *http.Client
	// Absolute makes a link fetchable when the store's links are relative; nil when they are not.
	Absolute func(link string) string
	// Advance moves the clock by which links expire. Nil where the real time counts: the suite then waits for a short link.
	Advance func(time.Duration)
	// Crash cuts the power, losing what was not synced, and opens the store again over what is left. Nil where that cannot
	// be done.
	Crash func(t *testing.T) blob.Store
}

// Run runs the suite; open is called once for each test.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	tests := []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		// First, because it watches the memory of the whole process: the others wait for it.
		{"FiftyMegabytesPassThroughWithoutBeingHeld", large},
		{"WhatIsPutIsGot", putGet},
		{"EmptyBlobIsABlob", empty},
		{"RangeGivesThosePartsOnly", ranges},
		{"PutReplacesWhatWasThere", overwrite},
		{"OnlyOneOfManyPutsIfAbsentWins", oneWins},
		{"ConcurrentPutsLeaveOneOfThemWhole", lastWriter},
		{"ReaderThatFailsHalfWayLeavesNothing", failingReader},
		{"CancelledPutLeavesNothing", cancelled},
		{"DeletedBlobIsGoneAndDeletingAgainIsNoError", deletes},
		{"ListIsInByteOrder", listOrder},
		{"ListPagesNeitherSkipNorRepeat", listPages},
		{"KeyMayBeTheBeginningOfAnother", nestedKeys},
		{"InvalidKeysAreRefusedByEveryMethod", keys},
		{"InvalidTypesAndLinksAreRefused", options},
		{"LinkGivesTheBlobWithItsTypeAndDisposition", links},
		{"LinkGivesRanges", linkRanges},
		{"LinkExpires", linkExpires},
		{"ChangedLinkIsRefused", linkChanged},
		{"LinkOfAMissingBlobGivesNothing", linkMissing},
		{"AcknowledgedBlobSurvivesACrash", survives},
		{"BlobIsWholeOrAbsentAfterACrash", wholeOrAbsent},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if i > 0 {
				t.Parallel()
			}
			test.run(t, open(t))
		})
	}
}

func (h Harness) key(name string) string { return h.Prefix + name }

func (h Harness) context(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
