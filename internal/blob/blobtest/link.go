package blobtest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
)

func (h Harness) link(t *testing.T, key string, l blob.Link) string {
	t.Helper()
	link, err := h.Store.Link(h.context(t), h.key(key), l)
	if err != nil {
		t.Fatalf("link %q: %v", key, err)
	}
	if h.Absolute != nil {
		link = h.Absolute(link)
	}
	return link
}

func (h Harness) fetch(t *testing.T, method, link, byteRange string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(h.context(t), method, link, nil)
	if err != nil {
		t.Fatalf("the link is no URL: %v", err)
	}
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	resp, err := h.Client.Do(req)
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatalf("fetch: %v", err)
	}
	return resp, string(body)
}

func links(t *testing.T, h Harness) {
	h.put(t, "media/x", "<script>", blob.PutOptions{Type: "text/html"})
	disposition := `attachment; filename="a b.txt"; filename*=UTF-8''%C3%A4+b.txt`
	link := h.link(t, "media/x", blob.Link{TTL: time.Minute, Type: "application/octet-stream", Disposition: disposition})
	resp, body := h.fetch(t, http.MethodGet, link, "")
	if resp.StatusCode != http.StatusOK || body != "<script>" {
		t.Fatalf("fetched %s %q", resp.Status, body)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("Content-Type is %q, want the link's", got)
	}
	if got := resp.Header.Get("Content-Disposition"); got != disposition {
		t.Errorf("Content-Disposition is %q, want %q", got, disposition)
	}
	if got := resp.Header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
		t.Errorf("Cache-Control is %q, want no-store", got)
	}
	// A link that says nothing must not make a browser open what a stranger sent.
	resp, _ = h.fetch(t, http.MethodGet, h.link(t, "media/x", blob.Link{TTL: time.Minute}), "")
	if resp.Header.Get("Content-Type") != "application/octet-stream" || resp.Header.Get("Content-Disposition") != "attachment" {
		t.Errorf("a link without a type gives %q, %q", resp.Header.Get("Content-Type"), resp.Header.Get("Content-Disposition"))
	}
}

func linkRanges(t *testing.T, h Harness) {
	h.put(t, "media/v", "0123456789", blob.PutOptions{Type: "video/mp4"})
	link := h.link(t, "media/v", blob.Link{TTL: time.Minute, Type: "video/mp4", Disposition: "inline"})
	resp, body := h.fetch(t, http.MethodGet, link, "bytes=2-4")
	if resp.StatusCode != http.StatusPartialContent || body != "234" || resp.Header.Get("Content-Range") != "bytes 2-4/10" {
		t.Errorf("bytes 2 to 4: %s %q %q", resp.Status, body, resp.Header.Get("Content-Range"))
	}
	if resp, _ := h.fetch(t, http.MethodGet, link, "bytes=10-"); resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("bytes behind the end: %s", resp.Status)
	}
}

func linkExpires(t *testing.T, h Harness) {
	h.put(t, "media/e", "soon gone", blob.PutOptions{})
	link := h.link(t, "media/e", blob.Link{TTL: 2 * time.Second})
	if resp, _ := h.fetch(t, http.MethodGet, link, ""); resp.StatusCode != http.StatusOK {
		t.Fatalf("a fresh link: %s", resp.Status)
	}
	if h.Advance == nil {
		return // the implementation's own test reads the expiry from the link
	}
	h.Advance(3 * time.Second)
	if resp, body := h.fetch(t, http.MethodGet, link, ""); resp.StatusCode != http.StatusForbidden || strings.Contains(body, "soon gone") {
		t.Errorf("an expired link: %s %q", resp.Status, body)
	}
}

func linkChanged(t *testing.T, h Harness) {
	if h.Advance == nil {
		return // signed by a service whose stand-in does not check signatures
	}
	h.put(t, "media/a", "mine", blob.PutOptions{})
	h.put(t, "media/b", "not mine", blob.PutOptions{})
	link := h.link(t, "media/a", blob.Link{TTL: time.Minute, Type: "image/jpeg", Disposition: "attachment"})
	for _, change := range [][2]string{{"media/a", "media/b"}, {"attachment", "inline"}, {"image%2Fjpeg", "text%2Fhtml"}, {"signature=", "signature=A"}, {"expires=", "expires=9"}} {
		changed := strings.Replace(link, change[0], change[1], 1)
		if changed == link {
			t.Fatalf("%s does not occur in %s", change[0], link)
		}
		if resp, body := h.fetch(t, http.MethodGet, changed, ""); resp.StatusCode != http.StatusForbidden || strings.Contains(body, "mine") {
			t.Errorf("%s made %s: %s %q", change[0], change[1], resp.Status, body)
		}
	}
}

func linkMissing(t *testing.T, h Harness) {
	link := h.link(t, "media/never", blob.Link{TTL: time.Minute})
	// S3 says 403 instead of 404 to a signer that may not list the bucket.
	resp, body := h.fetch(t, http.MethodGet, link, "")
	if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusForbidden {
		t.Errorf("a link of a blob that never was: %s %q", resp.Status, body)
	}
}

func survives(t *testing.T, h Harness) {
	if h.Crash == nil {
		return
	}
	for i := range 10 {
		h.put(t, fmt.Sprintf("s/%d/%d", i%3, i), strings.Repeat(fmt.Sprint(i), 10_000), blob.PutOptions{Type: "a/b", IfAbsent: i%2 == 0})
	}
	h.put(t, "s/0/0", "replaced", blob.PutOptions{Type: "a/c"})
	if err := h.Store.Delete(h.context(t), h.key("s/1/1")); err != nil {
		t.Fatal(err)
	}
	h.Store = h.Crash(t)
	for i := 2; i < 10; i++ {
		h.want(t, fmt.Sprintf("s/%d/%d", i%3, i), strings.Repeat(fmt.Sprint(i), 10_000), "a/b")
	}
	h.want(t, "s/0/0", "replaced", "a/c")
	h.wantAbsent(t, "s/1/1")
}

// wholeOrAbsent cuts the power at every read of what is being stored.
func wholeOrAbsent(t *testing.T, h Harness) {
	if h.Crash == nil {
		return
	}
	h.put(t, "w/kept", "before", blob.PutOptions{})
	const chunks = 5
	for at := range chunks {
		var after blob.Store
		body := &cutReader{left: chunks, at: at, cut: func() { after = h.Crash(t) }}
		if _, err := h.Store.Put(h.context(t), h.key("w/new"), body, blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := h.Store.Delete(h.context(t), h.key("w/new")); err != nil {
			t.Fatal(err)
		}
		crashed := h
		crashed.Store = after
		crashed.wantAbsent(t, "w/new")
		crashed.want(t, "w/kept", "before", "")
	}
}

// cutReader gives chunks of 64 KB and calls cut before one of them.
type cutReader struct {
	left, at int
	cut      func()
}

func (c *cutReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	if c.left--; c.left == c.at {
		c.cut()
	}
	return copy(p, strings.Repeat("y", min(len(p), 64<<10))), nil
}
