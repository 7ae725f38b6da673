package email

import (
	"bytes"
	"path"
	"strconv"
	"strings"
)

// Limits of the part tree. They make the time to read a mail linear in its size, whatever its shape (FAULTS 37): a level is
// cut at its own boundary before anything below it is read, so the work is at most maxDepth passes over the bytes.
const (
	maxDepth = 12
	maxParts = 500
)

// part is one node of a mail's tree. body is a slice of the mail, still in its transfer encoding.
type part struct {
	path     string // "1", "2.1": its place, as IMAP counts (RFC 9051 section 6.4.5)
	header   header
	kind     string // media type, lower case
	params   map[string]string
	body     []byte
	children []*part
}

// tree is a whole mail.
type tree struct {
	root  *part
	count int
	// cut says that a limit was reached: some of the mail is not in the tree.
	cut bool
}

// readTree reads a mail: its header and all its parts. raw has LF line ends (see unixLines).
func readTree(raw []byte) *tree {
	t := &tree{}
	h, body := readHeader(raw)
	t.root = t.read(h, body, "", "text/plain", 0)
	return t
}

// read makes one part. place is the path of a multipart's children, "" at the top.
func (t *tree) read(h header, body []byte, place, fallback string, depth int) *part {
	t.count++
	p := &part{path: place, header: h, body: body}
	p.kind, p.params = mediaType(h.raw("content-type"))
	if !strings.Contains(p.kind, "/") || strings.HasSuffix(p.kind, "/") {
		p.kind = typeByWord(p.kind, fallback)
	}
	if strings.HasPrefix(p.kind, "multipart/") {
		t.split(p, depth)
	}
	if len(p.children) == 0 {
		if p.path == "" {
			p.path = "1"
		}
		if strings.HasPrefix(p.kind, "multipart/") { // no part in it: what it holds is text
			p.kind = "text/plain"
			p.body = bytes.TrimPrefix(p.body, []byte("\n"))
		}
	}
	return p
}

// typeByWord mends a Content-Type of one word ("text", "html", "Text"); RFC 2045 section 5.2 makes the rest plain text.
func typeByWord(word, fallback string) string {
	switch strings.Trim(word, "/") {
	case "html", "htm":
		return "text/html"
	case "text", "plain":
		return "text/plain"
	case "multipart":
		return "multipart/mixed"
	case "":
		return fallback
	}
	return "application/octet-stream"
}

// split cuts a multipart into its parts (RFC 2046 section 5.1.1). A boundary that the header does not name, or names wrongly,
// is taken from the first line that looks like one and is followed by a header.
func (t *tree) split(p *part, depth int) {
	if depth >= maxDepth {
		t.cut = true
		return
	}
	boundary := p.params["boundary"]
	if boundary == "" || !hasBoundary(p.body, boundary) {
		boundary = findBoundary(p.body)
	}
	if boundary == "" {
		return
	}
	fallback := "text/plain"
	if p.kind == "multipart/digest" {
		fallback = "message/rfc822"
	}
	marker := []byte("--" + boundary)
	body := afterBoundary(p.body, marker)
	for n := 1; body != nil; n++ {
		if t.count >= maxParts {
			t.cut = true
			return
		}
		var content []byte
		content, body = untilBoundary(body, marker)
		if body == nil && len(bytes.TrimSpace(content)) == 0 {
			if n == 1 { // boundaries around nothing
				p.body = nil
			}
			return
		}
		place := strconv.Itoa(n)
		if p.path != "" {
			place = p.path + "." + place
		}
		h, rest := readPartHeader(content)
		p.children = append(p.children, t.read(h, rest, place, fallback, depth+1))
	}
}

// readPartHeader is readHeader for a part: a part may begin with a blank line and then has no header.
func readPartHeader(b []byte) (header, []byte) {
	if len(b) > 0 && b[0] == '\n' {
		return nil, b[1:]
	}
	return readHeader(b)
}

// nextBoundary finds the next line that is the marker; closing says that it is the last one. after is what follows the line.
func nextBoundary(b, marker []byte) (at int, after []byte, closing bool) {
	for from := 0; ; {
		i := bytes.Index(b[from:], marker)
		if i < 0 {
			return -1, nil, false
		}
		i += from
		tail := b[i+len(marker):]
		closed := bytes.HasPrefix(tail, []byte("--"))
		if closed {
			tail = tail[2:]
		}
		line, rest := cutLine(tail)
		if (i == 0 || b[i-1] == '\n') && len(bytes.TrimSpace(line)) == 0 {
			return i, rest, closed
		}
		from = i + len(marker)
	}
}

func hasBoundary(b []byte, boundary string) bool {
	at, _, _ := nextBoundary(b, []byte("--"+boundary))
	return at >= 0
}

func afterBoundary(b, marker []byte) []byte {
	at, after, closing := nextBoundary(b, marker)
	if at < 0 || closing && len(bytes.TrimSpace(after)) == 0 {
		return nil
	}
	return nonNil(after)
}

// untilBoundary is the content before the next boundary, and what follows that; nil after the closing one or the end.
func untilBoundary(b, marker []byte) (content, rest []byte) {
	at, after, closing := nextBoundary(b, marker)
	if at < 0 {
		return b, nil
	}
	content = b[:at]
	content = bytes.TrimSuffix(content, []byte("\n")) // the line end before a boundary belongs to it
	if closing {
		return content, nil
	}
	return content, nonNil(after)
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// findBoundary guesses the boundary of a multipart that does not name it: a line "--x" followed by a part's header.
func findBoundary(b []byte) string {
	b = b[:min(len(b), 256<<10)]
	for tries := 0; len(b) > 0 && tries < 200; {
		line, rest := cutLine(b)
		b = rest
		if !bytes.HasPrefix(line, []byte("--")) || len(line) < 3 {
			continue
		}
		tries++
		if name, _, ok := splitField(firstLine(rest)); ok && strings.HasPrefix(name, "content-") {
			return strings.TrimRight(string(line[2:]), " \t")
		}
	}
	return ""
}

func firstLine(b []byte) []byte {
	line, _ := cutLine(b)
	return line
}

// content is the part's bytes, decoded.
func (p *part) content() []byte {
	return decodeTransfer(p.body, p.header.raw("content-transfer-encoding"))
}

// text is the part's text as UTF-8.
func (p *part) text() string { return p.decoded(p.content()) }

// start is the text of the part's first n bytes as they stand in the mail.
func (p *part) start(n int) string {
	return p.decoded(decodeTransfer(p.body[:min(n, len(p.body))], p.header.raw("content-transfer-encoding")))
}

func (p *part) decoded(b []byte) string {
	label := p.params["charset"]
	if label == "" && p.kind == "text/html" {
		label = metaCharset(b)
	}
	text := toUTF8(b, label)
	return text
}

// size is how long content is, without decoding where that is dear.
func (p *part) size() int64 {
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(p.header.raw("content-transfer-encoding"))), "base64") {
		return base64Size(p.body)
	}
	return int64(len(p.content()))
}

// disposition is "inline", "attachment" or "".
func (p *part) disposition() string {
	d, _ := mediaType(p.header.raw("content-disposition"))
	return d
}

// name is the file's name, fit to show (FAULTS 35), or "".
func (p *part) name() string {
	_, params := mediaType(p.header.raw("content-disposition"))
	name := params["filename"]
	if name == "" {
		name = p.params["name"]
	}
	return fileName(name)
}

// contentID is the part's Content-ID without its angle brackets (RFC 2392).
func (p *part) contentID() string {
	return cleanID(p.header.raw("content-id"))
}

// fileName keeps the last element of a path and nothing that misleads.
func fileName(name string) string {
	name = plainName(name)
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.TrimLeft(strings.TrimSpace(name), ".")
	return strings.TrimSpace(name)
}

// typeByName guesses a type from a file's extension, for senders that say application/octet-stream. It knows few, and the
// same ones on every machine.
func typeByName(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".jpg", ".jpeg", ".jpe", ".jfif":
		return "image/jpeg"
	case ".png":
		return "image/png"
	case ".gif":
		return "image/gif"
	case ".heic", ".heif":
		return "image/heic"
	case ".webp":
		return "image/webp"
	case ".bmp":
		return "image/bmp"
	case ".tif", ".tiff":
		return "image/tiff"
	case ".pdf":
		return "application/pdf"
	case ".mp3":
		return "audio/mpeg"
	case ".wav":
		return "audio/wav"
	case ".m4a":
		return "audio/mp4"
	case ".mp4", ".m4v":
		return "video/mp4"
	case ".mov":
		return "video/quicktime"
	case ".ics":
		return "text/calendar"
	}
	return ""
}

// extension names the kind of a file that came without a name.
func extension(kind string) string {
	switch kind {
	case "image/jpeg":
		return ".jpg"
	case "message/rfc822", "message/global":
		return ".eml"
	case "text/plain":
		return ".txt"
	case "text/html":
		return ".html"
	case "text/calendar":
		return ".ics"
	case "application/pdf":
		return ".pdf"
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		return ".p7m"
	case "application/pkcs7-signature", "application/x-pkcs7-signature":
		return ".p7s"
	case "application/pgp-signature", "application/pgp-encrypted":
		return ".asc"
	}
	if main, sub, ok := strings.Cut(kind, "/"); ok && (main == "image" || main == "audio" || main == "video") && len(sub) <= 5 && isWord(sub) {
		return "." + sub
	}
	return ""
}

func isWord(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return s != ""
}

// metaCharset finds the charset that an HTML document claims for itself.
func metaCharset(b []byte) string {
	head := bytes.ToLower(b[:min(len(b), 2048)])
	i := bytes.Index(head, []byte("charset="))
	if i < 0 {
		return ""
	}
	value := bytes.TrimLeft(head[i+len("charset="):], "\"' ")
	if end := bytes.IndexAny(value, "\"' />;\n"); end >= 0 {
		value = value[:end]
	}
	return string(value)
}

// unixLines gives a mail LF line ends, whatever it came with: CRLF (RFC 5322), LF, or CR alone (old Mac software).
func unixLines(raw []byte) []byte {
	if bytes.IndexByte(raw, '\r') < 0 {
		return raw
	}
	if bytes.IndexByte(raw, '\n') < 0 {
		return bytes.ReplaceAll(raw, []byte("\r"), []byte("\n"))
	}
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\r')
		if i < 0 {
			return append(out, raw...)
		}
		out = append(out, raw[:i]...)
		if i+1 == len(raw) || raw[i+1] != '\n' {
			out = append(out, '\n')
		} else {
			out = append(out, '\n')
			i++
		}
		raw = raw[i+1:]
	}
	return out
}
