package dir

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
)

// What a file is served as when the link does not say: nothing that a browser would open.
const (
	plainType        = "application/octet-stream"
	plainDisposition = "attachment"
)

// Link implements blob.Store. The URL begins with Options.LinkBase and holds the expiry, the type, the disposition and a
// keyed hash over all of them and the key.
func (s *Store) Link(_ context.Context, key string, l blob.Link) (string, error) {
	if err := blob.CheckKey(key); err != nil {
		return "", err
	}
	if err := blob.CheckLink(l); err != nil {
		return "", err
	}
	if l.Type == "" {
		l.Type = plainType
	}
	if l.Disposition == "" {
		l.Disposition = plainDisposition
	}
	expires := s.now().Add(l.TTL).Unix()
	query := url.Values{
		"expires":     {strconv.FormatInt(expires, 10)},
		"type":        {l.Type},
		"disposition": {l.Disposition},
		"signature":   {base64.RawURLEncoding.EncodeToString(s.sign(key, expires, l.Type, l.Disposition))},
	}
	return s.base + "/" + key + "?" + query.Encode(), nil
}

// sign hashes the parts of a link, each behind its length so that none can lend bytes to the next.
func (s *Store) sign(key string, expires int64, mediaType, disposition string) []byte {
	mac := hmac.New(sha256.New, s.key)
	for _, part := range []string{"aikajana blob link 1", key, strconv.FormatInt(expires, 10), mediaType, disposition} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}

// Handler serves what links point at. Mount it at Options.LinkBase with everything below; it takes the base off itself.
// GET and HEAD, with ranges. A link that is expired or was changed is 403, a blob that is gone 404.
func (s *Store) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Store) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cache-Control", "private, no-store")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	key, ok := strings.CutPrefix(r.URL.Path, s.basePath+"/")
	mediaType, disposition, err := s.verify(key, r.URL.Query())
	if !ok || err != nil {
		http.Error(w, "this link does not work any more", http.StatusForbidden)
		return
	}
	f, info, err := s.open(key)
	if err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, blob.ErrNotFound) {
			status = http.StatusNotFound
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	defer func() { _ = f.Close() }() // opened for reading: nothing can be lost
	h.Set("Content-Type", mediaType)
	h.Set("Content-Disposition", disposition)
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(f, headerLength, info.Size))
}

var errLink = errors.New("the link is expired or was changed")

// verify says what a link's holder may have.
func (s *Store) verify(key string, query url.Values) (mediaType, disposition string, err error) {
	if err := blob.CheckKey(key); err != nil {
		return "", "", err
	}
	mediaType, disposition = query.Get("type"), query.Get("disposition")
	expires, err := strconv.ParseInt(query.Get("expires"), 10, 64)
	if err != nil {
		return "", "", errLink
	}
	signature, err := base64.RawURLEncoding.DecodeString(query.Get("signature"))
	if err != nil || !hmac.Equal(signature, s.sign(key, expires, mediaType, disposition)) {
		return "", "", errLink
	}
	if s.now().Unix() >= expires {
		return "", "", errLink
	}
	return mediaType, disposition, nil
}
