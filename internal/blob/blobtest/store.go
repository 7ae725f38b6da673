package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/fault"
)

func (h Harness) put(t *testing.T, key, body string, o blob.PutOptions) {
	t.Helper()
	info, err := h.Store.Put(h.context(t), h.key(key), strings.NewReader(body), o)
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	if want := (blob.Info{Key: h.key(key), Size: int64(len(body)), Type: o.Type}); info != want {
		t.Fatalf("put %q says %+v, want %+v", key, info, want)
	}
}

func get(t *testing.T, s blob.Store, key string, from, n int64) (string, blob.Info, error) {
	t.Helper()
	r, info, err := s.Get(t.Context(), key, from, n)
	if err != nil {
		return "", info, err
	}
	body, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return string(body), info, nil
}

func (h Harness) want(t *testing.T, key, body, mediaType string) {
	t.Helper()
	got, info, err := get(t, h.Store, h.key(key), 0, 0)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	if got != body {
		t.Fatalf("get %q: %d bytes %.60q, want %d bytes %.60q", key, len(got), got, len(body), body)
	}
	if want := (blob.Info{Key: h.key(key), Size: int64(len(body)), Type: mediaType}); info != want {
		t.Fatalf("get %q says %+v, want %+v", key, info, want)
	}
}

func (h Harness) wantAbsent(t *testing.T, key string) {
	t.Helper()
	if body, _, err := get(t, h.Store, h.key(key), 0, 0); !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("get %q: %.60q and error %v, want ErrNotFound", key, body, err)
	}
	if infos := h.list(t, key, "", 10); len(infos) != 0 {
		t.Fatalf("%q is listed: %+v", key, infos)
	}
}

func (h Harness) list(t *testing.T, prefix, after string, limit int) []string {
	t.Helper()
	if after != "" {
		after = h.key(after)
	}
	infos, err := h.Store.List(h.context(t), h.key(prefix), after, limit)
	if err != nil {
		t.Fatalf("list %q: %v", prefix, err)
	}
	names := []string{}
	for _, info := range infos {
		names = append(names, strings.TrimPrefix(info.Key, h.Prefix))
	}
	return names
}

func putGet(t *testing.T, h Harness) {
	h.put(t, "raw/2026-11-22/a=b_c.d-E", "\x00\xffbytes\r\n", blob.PutOptions{Type: "text/plain; charset=utf-8"})
	h.want(t, "raw/2026-11-22/a=b_c.d-E", "\x00\xffbytes\r\n", "text/plain; charset=utf-8")
	h.put(t, "x", "typeless", blob.PutOptions{})
	got, _, err := get(t, h.Store, h.key("x"), 0, 0)
	if got != "typeless" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	h.wantAbsent(t, "raw/nothing")
	// Names of the longest length, in one segment and in many, with every kind of byte at the end.
	for _, key := range []string{
		strings.Repeat("K", 512-len(h.Prefix)), strings.Repeat("a/", 255-len(h.Prefix)/2) + "b", "a/..b/.c", "a...", "a/...",
		"UPPER/lower", "upper/LOWER", strings.Repeat("n", 300), strings.Repeat("n", 299) + "/N",
	} {
		h.put(t, key, key, blob.PutOptions{Type: "a/b"})
		h.want(t, key, key, "a/b")
	}
	h.want(t, "UPPER/lower", "UPPER/lower", "a/b")
	h.wantAbsent(t, "Upper/lower")
}

func empty(t *testing.T, h Harness) {
	h.put(t, "empty", "", blob.PutOptions{Type: "a/b"})
	h.want(t, "empty", "", "a/b")
	if got, info, err := get(t, h.Store, h.key("empty"), 0, 5); got != "" || info.Size != 0 || err != nil {
		t.Fatalf("five bytes of nothing: %q, %+v, %v", got, info, err)
	}
	if _, _, err := get(t, h.Store, h.key("empty"), 1, 0); !errors.Is(err, blob.ErrRange) {
		t.Fatalf("byte 1 of nothing: %v, want ErrRange", err)
	}
}

func ranges(t *testing.T, h Harness) {
	const body = "0123456789"
	h.put(t, "r", body, blob.PutOptions{Type: "a/b"})
	for _, c := range []struct {
		from, n int64
		want    string
	}{{0, 0, body}, {0, -1, body}, {0, 3, "012"}, {4, 3, "456"}, {4, 0, "456789"}, {9, 1, "9"}, {8, 100, "89"}, {0, 10, body}, {0, 1 << 62, body}} {
		got, info, err := get(t, h.Store, h.key("r"), c.from, c.n)
		if got != c.want || err != nil {
			t.Errorf("from %d, %d bytes: %q, %v, want %q", c.from, c.n, got, err, c.want)
		}
		if info.Size != int64(len(body)) || info.Type != "a/b" {
			t.Errorf("from %d, %d bytes: info %+v, want the whole blob's", c.from, c.n, info)
		}
	}
	for _, from := range []int64{-1, 10, 11, 1 << 40} {
		if got, _, err := get(t, h.Store, h.key("r"), from, 1); !errors.Is(err, blob.ErrRange) {
			t.Errorf("from %d: %q, %v, want ErrRange", from, got, err)
		}
	}
}

func overwrite(t *testing.T, h Harness) {
	h.put(t, "o/o", "the first and the longer one", blob.PutOptions{Type: "a/one"})
	r, _, err := h.Store.Get(h.context(t), h.key("o/o"), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	h.put(t, "o/o", "second", blob.PutOptions{Type: "a/two"})
	old, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || string(old) != "the first and the longer one" {
		t.Fatalf("who was reading got %q, %v", old, err)
	}
	h.want(t, "o/o", "second", "a/two")
	if _, err := h.Store.Put(h.context(t), h.key("o/o"), strings.NewReader("third"), blob.PutOptions{IfAbsent: true}); !errors.Is(err, blob.ErrExists) {
		t.Fatalf("put if absent over a blob: %v, want ErrExists", err)
	}
	h.want(t, "o/o", "second", "a/two")
}

func oneWins(t *testing.T, h Harness) {
	const writers = 64
	bodies := make([]string, writers)
	errs := make([]error, writers)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range writers {
		bodies[i] = fmt.Sprintf("%d:%s", i, strings.Repeat("x", 1000*i))
		all.Go(func() {
			<-start
			_, errs[i] = h.Store.Put(h.context(t), h.key("one/wins"), strings.NewReader(bodies[i]), blob.PutOptions{IfAbsent: true})
		})
	}
	close(start)
	all.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("writers %d and %d both won", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, blob.ErrExists):
			t.Errorf("writer %d: %v, want ErrExists", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	h.want(t, "one/wins", bodies[winner], "")
}

func lastWriter(t *testing.T, h Harness) {
	const writers = 16
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			body := strings.Repeat(string(rune('a'+i)), 50_000+i)
			if _, err := h.Store.Put(h.context(t), h.key("many"), strings.NewReader(body), blob.PutOptions{}); err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	all.Wait()
	body, _, err := get(t, h.Store, h.key("many"), 0, 0)
	if err != nil || len(body) < 50_000 {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	if i := int(body[0] - 'a'); body != strings.Repeat(string(rune('a'+i)), 50_000+i) {
		t.Fatalf("a mixture of writers: %d bytes beginning %.20q", len(body), body)
	}
}

var errBroken = errors.New("the line broke")

func failingReader(t *testing.T, h Harness) {
	for _, o := range []blob.PutOptions{{}, {IfAbsent: true}} {
		for _, length := range []int{0, 10, 3 << 20} {
			broken := io.MultiReader(strings.NewReader(strings.Repeat("x", length)), brokenReader{})
			if _, err := h.Store.Put(h.context(t), h.key("half/way"), broken, o); !errors.Is(err, errBroken) {
				t.Fatalf("put from a reader that fails after %d bytes: %v, want its error", length, err)
			}
			h.wantAbsent(t, "half/way")
		}
	}
	h.put(t, "half/way", "before", blob.PutOptions{})
	if _, err := h.Store.Put(h.context(t), h.key("half/way"), io.MultiReader(strings.NewReader("after"), brokenReader{}), blob.PutOptions{}); err == nil {
		t.Fatal("half a blob was accepted")
	}
	h.want(t, "half/way", "before", "")
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

func cancelled(t *testing.T, h Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	body := io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), cancelReader{cancel}, strings.NewReader("the end"))
	if _, err := h.Store.Put(ctx, h.key("cancelled"), body, blob.PutOptions{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("a put whose context ended: %v", err)
	}
	h.wantAbsent(t, "cancelled")
	if _, err := h.Store.List(ctx, h.Prefix, "", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a list whose context had ended: %v", err)
	}
}

type cancelReader struct{ cancel func() }

func (c cancelReader) Read([]byte) (int, error) {
	c.cancel()
	return 0, io.EOF
}

func deletes(t *testing.T, h Harness) {
	h.put(t, "d/1", "one", blob.PutOptions{})
	h.put(t, "d/2", "two", blob.PutOptions{})
	for range 2 {
		if err := h.Store.Delete(h.context(t), h.key("d/1")); err != nil {
			t.Fatalf("delete: %v", err)
		}
		h.wantAbsent(t, "d/1")
	}
	h.want(t, "d/2", "two", "")
	// Gone is gone: the key is free again, whatever a store tidied up behind it.
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 5 {
				key := h.key(fmt.Sprintf("d/deep/er/%d-%d", i, n))
				if _, err := h.Store.Put(t.Context(), key, strings.NewReader("x"), blob.PutOptions{IfAbsent: true}); err != nil {
					t.Errorf("put beside deletes: %v", err)
				}
				if err := h.Store.Delete(t.Context(), key); err != nil {
					t.Errorf("delete beside puts: %v", err)
				}
			}
		})
	}
	all.Wait()
	if left := h.list(t, "d/deep/", "", 10); len(left) != 0 {
		t.Fatalf("left behind: %q", left)
	}
	h.put(t, "d/1", "again", blob.PutOptions{IfAbsent: true})
	h.want(t, "d/1", "again", "")
}

// orderKeys are in byte order, and awkward for whoever walks folders.
var orderKeys = []string{
	"l/A", "l/AB", "l/Ab", "l/a", "l/a-", "l/a-/x", "l/a-b", "l/a.b", "l/a/a", "l/a/b/c", "l/a/b0", "l/a0", "l/a=", "l/aB", "l/aa", "l/aa-", "l/aa.",
	"l/aa/1", "l/aa/2", "l/aa0", "l/aaa", "l/aaa/a", "l/ab", "l/b", "l/b_/c", "l/bc", "l0", "la", "m",
}

func listOrder(t *testing.T, h Harness) {
	shuffled := slices.Clone(orderKeys)
	for i := range shuffled { // a fixed shuffle: 11 and the number of keys have no common divisor
		shuffled[i] = orderKeys[(i*11)%len(orderKeys)]
	}
	for i, key := range shuffled {
		h.put(t, key, strings.Repeat("x", i), blob.PutOptions{})
	}
	if !slices.IsSorted(orderKeys) {
		t.Fatal("the test's own keys are out of order")
	}
	for _, c := range []struct {
		prefix, after string
		limit         int
	}{
		{"", "", 100}, {"", "l/a/b0", 100}, {"", "l/a/b", 100}, {"", "l/a/", 5}, {"l/", "", 100}, {"l/a", "", 100}, {"l/a", "l/aa", 100},
		{"l/a/", "l/a/a", 100}, {"l/aa", "", 2}, {"l", "l/bc", 100}, {"l/a", "l/b", 100}, {"l/a", "k", 100}, {"n", "", 100}, {"", "m", 100}, {"l/zz", "", 3},
	} {
		want := []string{}
		for _, key := range orderKeys {
			if strings.HasPrefix(key, c.prefix) && key > c.after && len(want) < c.limit {
				want = append(want, key)
			}
		}
		if got := h.list(t, c.prefix, c.after, c.limit); !slices.Equal(got, want) {
			t.Errorf("list %q after %q, %d:\n got %q\nwant %q", c.prefix, c.after, c.limit, got, want)
		}
	}
	infos, err := h.Store.List(h.context(t), h.key("l/A"), "", 1)
	if err != nil || len(infos) != 1 || infos[0].Size != 0 || infos[0].Modified.IsZero() {
		t.Errorf("list says %+v, %v, want the size of each and when it was stored", infos, err)
	}
	if got := h.list(t, "", "", 0); len(got) != 0 {
		t.Errorf("a list of at most none gives %q", got)
	}
}

func listPages(t *testing.T, h Harness) {
	var want []string
	for i := range 57 {
		key := fmt.Sprintf("p/%02d/%s", i/10, strings.Repeat("z", i%10))
		want = append(want, key+"e")
		h.put(t, key+"e", "x", blob.PutOptions{})
	}
	slices.Sort(want)
	for _, limit := range []int{1, 7, 57, 1000} {
		var got []string
		for after := ""; ; {
			page := h.list(t, "p/", after, limit)
			got = append(got, page...)
			if len(page) < limit {
				break
			}
			after = page[len(page)-1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %d keys, want %d:\n%q", limit, len(got), len(want), got)
		}
	}
}

func nestedKeys(t *testing.T, h Harness) {
	for _, key := range []string{"n", "n/n", "n/n/n", "nn", "nnn", "nnnn/n"} {
		h.put(t, key, key, blob.PutOptions{IfAbsent: true})
	}
	if err := h.Store.Delete(h.context(t), h.key("n/n")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"n", "n/n/n", "nn", "nnn", "nnnn/n"} {
		h.want(t, key, key, "")
	}
	h.wantOnlyAbsent(t, "n/n")
}

func (h Harness) wantOnlyAbsent(t *testing.T, key string) {
	t.Helper()
	if _, _, err := get(t, h.Store, h.key(key), 0, 0); !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("get %q: %v, want ErrNotFound", key, err)
	}
}

func keys(t *testing.T, h Harness) {
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a b", "a\x00", "ä", "a\\b", "a:b", "a~", "a+b", "a,b", "%2e%2e", "a?b", "a\nb",
		strings.Repeat("a", 513),
	} {
		if _, err := h.Store.Put(h.context(t), key, strings.NewReader("x"), blob.PutOptions{}); !errors.Is(err, blob.ErrKey) {
			t.Errorf("put %.20q: %v, want ErrKey", key, err)
		}
		if _, _, err := h.Store.Get(h.context(t), key, 0, 0); !errors.Is(err, blob.ErrKey) {
			t.Errorf("get %.20q: %v, want ErrKey", key, err)
		}
		if err := h.Store.Delete(h.context(t), key); !errors.Is(err, blob.ErrKey) {
			t.Errorf("delete %.20q: %v, want ErrKey", key, err)
		}
		if _, err := h.Store.Link(h.context(t), key, blob.Link{TTL: blob.MaxLink}); !errors.Is(err, blob.ErrKey) {
			t.Errorf("link %.20q: %v, want ErrKey", key, err)
		}
	}
}

func options(t *testing.T, h Harness) {
	for _, mediaType := range []string{"a/b\r\nX: y", "a/\x00", "a/ä", strings.Repeat("a", blob.MaxType+1)} {
		_, err := h.Store.Put(h.context(t), h.key("t"), strings.NewReader("x"), blob.PutOptions{Type: mediaType})
		if fault.Of(err) != fault.Invalid {
			t.Errorf("put with type %.20q: %v, want it refused as invalid", mediaType, err)
		}
	}
	h.wantAbsent(t, "t")
	for _, link := range []blob.Link{
		{}, {TTL: -1}, {TTL: blob.MaxLink + 1}, {TTL: 5}, {TTL: blob.MaxLink, Type: "a/b\n"}, {TTL: blob.MaxLink, Disposition: "inline\r\nX: y"},
	} {
		if url, err := h.Store.Link(h.context(t), h.key("t"), link); fault.Of(err) != fault.Invalid {
			t.Errorf("link %+v: %q, %v, want it refused as invalid", link, url, err)
		}
	}
}

func large(t *testing.T, h Harness) {
	const size = 50 << 20
	const room = 24 << 20
	var peak atomic.Uint64
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	watch := func() {
		var now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&now)
		peak.Store(max(peak.Load(), now.HeapAlloc))
	}
	info, err := h.Store.Put(h.context(t), h.key("large"), &pattern{left: size, watch: watch}, blob.PutOptions{Type: "video/mp4"})
	if err != nil || info.Size != size {
		t.Fatalf("put 50 MB: %+v, %v", info, err)
	}
	r, info, err := h.Store.Get(h.context(t), h.key("large"), 0, 0)
	if err != nil || info.Size != size {
		t.Fatalf("get 50 MB: %+v, %v", info, err)
	}
	expected := &pattern{left: size, watch: watch}
	got, want := make([]byte, 256<<10), make([]byte, 256<<10)
	for at := 0; at < size; at += len(got) {
		if _, err := io.ReadFull(r, got); err != nil {
			t.Fatalf("read at byte %d: %v", at, err)
		}
		if _, err := io.ReadFull(expected, want); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("what was read differs within 256 KB behind byte %d", at)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if held := int64(peak.Load()) - int64(before.HeapAlloc); held > room {
		t.Errorf("%d MB were held at once for a blob of 50 MB", held>>20)
	}
	if err := h.Store.Delete(h.context(t), h.key("large")); err != nil {
		t.Fatal(err)
	}
}

// pattern reads left bytes that differ from place to place, and calls watch every 4 MB.
type pattern struct {
	at, left int
	watch    func()
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := min(len(b), p.left)
	for i := range n {
		b[i] = byte((p.at + i) * 7 >> 3)
	}
	if p.at>>22 != (p.at+n)>>22 {
		p.watch()
	}
	p.at += n
	p.left -= n
	return n, nil
}
