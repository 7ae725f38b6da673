package dir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/blob/blobtest"
	"github.com/aikajana/aikajana/internal/blob/dir"
	"github.com/aikajana/aikajana/internal/disk"
	"github.com/aikajana/aikajana/internal/disk/crashdisk"
	"github.com/aikajana/aikajana/internal/fault"
)

// clock is a clock that tests move.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Now().UnixNano())
	return c
}
func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

var linkKey = bytes.Repeat([]byte("k"), 32)

func open(t *testing.T, root string, fs disk.FS, c *clock) *dir.Store {
	t.Helper()
	s, err := dir.Open(dir.Options{Root: root, FS: fs, Key: linkKey, LinkBase: "/files", Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func harness(t *testing.T, s *dir.Store, c *clock) blobtest.Harness {
	mux := http.NewServeMux()
	mux.Handle("/files/", s.Handler())
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return blobtest.Harness{
		Store: s, Client: server.Client(), Advance: c.advance,
		Absolute: func(link string) string { return server.URL + link },
	}
}

func TestFolderIsABlobStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blobtest.Harness {
		c := newClock()
		return harness(t, open(t, filepath.Join(t.TempDir(), "blobs"), nil, c), c)
	})
}

func TestFolderOnADiskThatForgetsIsABlobStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blobtest.Harness {
		c, d := newClock(), crashdisk.New()
		// The memory disk holds blobs in memory, by its nature: the first test would only measure that.
		if strings.Contains(t.Name(), "FiftyMegabytes") {
			return harness(t, open(t, filepath.Join(t.TempDir(), "blobs"), nil, c), c)
		}
		h := harness(t, open(t, "/blobs", d, c), c)
		h.Crash = func(t *testing.T) blob.Store { return open(t, "/blobs", d.Crash(0, nil), c) }
		return h
	})
}

func put(s *dir.Store, key, body string, ifAbsent bool) error {
	_, err := s.Put(context.Background(), key, strings.NewReader(body), blob.PutOptions{Type: "a/b", IfAbsent: ifAbsent})
	return err
}

func read(s *dir.Store, key string) (string, error) {
	r, info, err := s.Get(context.Background(), key, 0, 0)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(r)
	if int64(len(body)) != info.Size || info.Type != "a/b" {
		err = fmt.Errorf("%d bytes of %d, type %q", len(body), info.Size, info.Type)
	}
	return string(body), errors.Join(err, r.Close())
}

// Every call to the disk is a place where the power may go; what was not synced survives by chance.
func TestFault68_BlobIsWholeOrAbsentWhereverThePowerIsCut(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(68, 0))
	for _, ifAbsent := range []bool{false, true} {
		for _, percent := range []int{0, 50, 100} {
			for at := 0; ; at++ {
				c, d := newClock(), crashdisk.New()
				s := open(t, "/blobs", d, c)
				if err := put(s, "raw/old", "old", true); err != nil {
					t.Fatal(err)
				}
				calls := 0
				var crashed *crashdisk.Disk
				d.Fail(func(crashdisk.Op, string) error {
					if calls == at {
						crashed = d.Crash(percent, random)
					}
					calls++
					return nil
				})
				if err := put(s, "raw/2026/new", strings.Repeat("n", 300_000), ifAbsent); err != nil {
					t.Fatal(err)
				}
				if crashed == nil { // past the last call
					break
				}
				after := open(t, "/blobs", crashed, c)
				if body, err := read(after, "raw/2026/new"); !errors.Is(err, blob.ErrNotFound) && (err != nil || body != strings.Repeat("n", 300_000)) {
					t.Fatalf("cut before call %d, %d%% survived: %d bytes, %v", at, percent, len(body), err)
				}
				if body, err := read(after, "raw/old"); body != "old" || err != nil {
					t.Fatalf("cut before call %d: the blob beside it is %q, %v", at, body, err)
				}
				// The key works as before, whatever was left.
				if err := put(after, "raw/2026/new", "again", false); err != nil {
					t.Fatalf("cut before call %d: %v", at, err)
				}
			}
		}
	}
}

// Writers race with power cuts: whoever was told "stored" or "there already" finds the blob afterwards.
func TestFault68_WhatWasAcknowledgedSurvivesAPowerCut(t *testing.T) {
	t.Parallel()
	c, d := newClock(), crashdisk.New()
	s := open(t, "/blobs", d, c)
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprintf("raw/%d/%d", i/5, i) // every writer the same keys: three of four find them taken
				err := put(s, key, key, true)
				if err != nil && !errors.Is(err, blob.ErrExists) {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				mu.Lock()
				acknowledged[key] = true
				mu.Unlock()
				if i > 20 { // an old one goes, and its folder with it when it was the last
					if err := s.Delete(context.Background(), fmt.Sprintf("gone/%d/x", i/5)); err != nil {
						t.Errorf("writer %d: %v", w, err)
					}
				}
			}
		})
	}
	for range 20 {
		mu.Lock()
		promised := make([]string, 0, len(acknowledged))
		for key := range acknowledged {
			promised = append(promised, key)
		}
		crashed := d.Crash(0, nil)
		mu.Unlock()
		after := open(t, "/blobs", crashed, c)
		for _, key := range promised {
			if body, err := read(after, key); body != key || err != nil {
				t.Fatalf("%s was acknowledged, and after the cut it is %q, %v", key, body, err)
			}
		}
	}
	close(stop)
	writers.Wait()
}

func TestFault70_FullDiskIsARetryAndLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	for _, op := range []crashdisk.Op{crashdisk.OpCreate, crashdisk.OpWrite, crashdisk.OpSync, crashdisk.OpMkdir, crashdisk.OpLink, crashdisk.OpRename, crashdisk.OpSyncDir} {
		for _, ifAbsent := range []bool{false, true} {
			c, d := newClock(), crashdisk.New()
			s := open(t, "/blobs", d, c)
			if err := put(s, "raw/old", "old", true); err != nil {
				t.Fatal(err)
			}
			d.Fail(func(o crashdisk.Op, name string) error {
				if o == op {
					return &os.PathError{Op: string(o), Path: name, Err: syscall.ENOSPC}
				}
				return nil
			})
			err := put(s, "raw/new/x", strings.Repeat("n", 300_000), ifAbsent)
			if op == crashdisk.OpLink && !ifAbsent || op == crashdisk.OpRename && ifAbsent {
				continue // not a call that this put makes
			}
			if fault.Of(err) != fault.Retry || fault.Code(err) != "disk_full" || fault.After(err) <= 0 {
				t.Errorf("%s on a full disk: %v (%s), want a retry", op, err, fault.Of(err))
			}
			if body, err := read(s, "raw/old"); body != "old" || err != nil {
				t.Errorf("%s on a full disk spoiled the blob beside it: %q, %v", op, body, err)
			}
			if _, err := read(s, "raw/new/x"); op != crashdisk.OpSyncDir && !errors.Is(err, blob.ErrNotFound) {
				t.Errorf("%s on a full disk left something: %v", op, err)
			}
			if left, err := d.List("/blobs/temp"); len(left) != 0 || err != nil {
				t.Errorf("%s on a full disk left temporary files: %q, %v", op, left, err)
			}
			d.Fail(nil)
			if err := put(s, "raw/new/x", "room again", false); err != nil {
				t.Errorf("%s: after room was made: %v", op, err)
			}
		}
	}
}

func TestFailedSyncRefusesEverythingFromThenOn(t *testing.T) {
	t.Parallel()
	for _, op := range []crashdisk.Op{crashdisk.OpSync, crashdisk.OpSyncDir} {
		c, d := newClock(), crashdisk.New()
		var told []error
		s, err := dir.Open(dir.Options{Root: "/blobs", FS: d, Key: linkKey, Now: c.now, Broken: func(err error) { told = append(told, err) }})
		if err != nil {
			t.Fatal(err)
		}
		d.Fail(func(o crashdisk.Op, _ string) error {
			if o == op {
				return syscall.EIO
			}
			return nil
		})
		if err := put(s, "a/b", "x", false); !errors.Is(err, syscall.EIO) {
			t.Fatalf("%s fails: %v", op, err)
		}
		d.Fail(nil)
		if err := put(s, "a/c", "x", false); !errors.Is(err, syscall.EIO) {
			t.Errorf("after a failed %s a put is accepted: %v", op, err)
		}
		if len(told) != 1 {
			t.Errorf("after a failed %s the process was told %d times", op, len(told))
		}
	}
}

func TestStaleTemporaryFilesAreSweptAndYoungOnesStay(t *testing.T) {
	t.Parallel()
	c, root := newClock(), t.TempDir()
	open(t, root, nil, c)
	stale, young := filepath.Join(root, "temp", "stale"), filepath.Join(root, "temp", "young")
	for name, age := range map[string]time.Duration{stale: 2 * time.Hour, young: time.Minute} {
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Time{}, c.now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	open(t, root, nil, c)
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stale file is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the young file: %v", err)
	}
}

func TestEmptyFoldersGoWithTheirLastBlob(t *testing.T) {
	t.Parallel()
	c, root := newClock(), t.TempDir()
	s := open(t, root, nil, c)
	for _, key := range []string{"raw/2026-11-22/abc", "raw/2026-11-23/abc"} {
		if err := put(s, key, "x", true); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(filepath.Join(root, "data"))
	if len(left) != 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDamagedFileIsAnErrorNotContent(t *testing.T) {
	t.Parallel()
	c, root := newClock(), t.TempDir()
	s := open(t, root, nil, c)
	if err := put(s, "ab", "x", true); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(root, "data", "ab~")
	if err := os.WriteFile(name, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if body, err := read(s, "ab"); err == nil || errors.Is(err, blob.ErrNotFound) {
		t.Errorf("a damaged file reads as %q, %v", body, err)
	}
}

// What is served can neither run nor be guessed at, whatever it is.
func TestFault34_ServedFilesCannotRun(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := open(t, t.TempDir(), nil, c)
	h := harness(t, s, c)
	if err := put(s, "media/x", "<script>alert(1)</script>", true); err != nil {
		t.Fatal(err)
	}
	link, err := s.Link(t.Context(), "media/x", blob.Link{TTL: time.Minute, Type: "image/jpeg", Disposition: "inline"})
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		req, err := http.NewRequestWithContext(t.Context(), method, h.Absolute(link), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := h.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if allowed := method != http.MethodPost; (resp.StatusCode == http.StatusOK) != allowed {
			t.Errorf("%s: %s", method, resp.Status)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := resp.Header.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q, want %s in it", method, name, got, want)
			}
		}
	}
}

func TestShortKeyForLinksIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := dir.Open(dir.Options{Root: t.TempDir(), Key: []byte("short"), Now: time.Now}); err == nil {
		t.Error("a key of five bytes was accepted")
	}
}

// Whoever hears that the blob is there already relies on it, although the one who stored it has not synced the folder yet.
func TestFault68_BlobThatIsThereAlreadySurvivesAPowerCutToo(t *testing.T) {
	t.Parallel()
	c, d := newClock(), crashdisk.New()
	s := open(t, "/blobs", d, c)
	if err := put(s, "raw/before", "x", true); err != nil { // the folder exists, so the only sync left is that of the new entry
		t.Fatal(err)
	}
	var crashed *crashdisk.Disk
	busy := false
	d.Fail(func(op crashdisk.Op, name string) error {
		if op != crashdisk.OpSyncDir || busy || strings.HasSuffix(name, "data") {
			return nil
		}
		busy = true // the first writer now waits here, its file linked and not synced
		if err := put(s, "raw/before2", "second", true); !errors.Is(err, blob.ErrExists) {
			t.Errorf("the second writer: %v, want ErrExists", err)
		}
		crashed = d.Crash(0, nil)
		return nil
	})
	if err := put(s, "raw/before2", "first", true); err != nil {
		t.Fatal(err)
	}
	if crashed == nil {
		t.Fatal("the first writer synced no folder")
	}
	if body, err := read(open(t, "/blobs", crashed, c), "raw/before2"); err != nil || body != "first" {
		t.Errorf("after the cut: %q, %v", body, err)
	}
}
