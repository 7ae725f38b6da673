package email

import (
	"bytes"
	"strings"
)

// Limits of a header block. Real mail stays far below them; what is over is ignored, never an error.
const (
	maxHeaderBytes  = 256 << 10
	maxHeaderFields = 1000
	maxFieldBytes   = 64 << 10
)

// field is one header field, unfolded, with its bytes as they came.
type field struct {
	name  string // lower case
	value string
}

// header is the fields of a mail or a part, in order.
type header []field

// raw is the first field of that name (lower case) as it came, or "".
func (h header) raw(name string) string {
	for i := range h {
		if h[i].name == name {
			return h[i].value
		}
	}
	return ""
}

// has says whether the field is there at all.
func (h header) has(name string) bool {
	for i := range h {
		if h[i].name == name {
			return true
		}
	}
	return false
}

// text is the first field of that name with encoded words and 8-bit characters made readable, on one line.
func (h header) text(name string) string { return oneLine(decodeWords(h.raw(name))) }

// count is how many fields have the name.
func (h header) count(name string) int {
	n := 0
	for i := range h {
		if h[i].name == name {
			n++
		}
	}
	return n
}

// readHeader takes the header block off b, whose line ends are LF, and returns what follows it.
//
// It is lenient where senders err: an mbox "From " line and blank lines in front, spaces before the colon, a stray line
// among good ones. A block that never was a header (text from the first byte on) is left in the body.
func readHeader(b []byte) (header, []byte) {
	b = skipMbox(b)
	var h header
	for start, used := b, 0; ; {
		line, rest := cutLine(b)
		if len(b) == 0 {
			return h, nil
		}
		if len(bytes.TrimSpace(line)) == 0 {
			if startsField(rest) && len(line) > 0 { // a line of blanks in the middle of a header
				b = rest
				continue
			}
			return h, rest
		}
		name, value, ok := splitField(line)
		if !ok {
			if len(h) == 0 {
				return nil, start
			}
			if !startsField(rest) && !knownFieldNear(rest) {
				return h, b
			}
			b = rest
			continue
		}
		value, rest = unfold(value, rest)
		if used += len(value); len(h) < maxHeaderFields && used <= maxHeaderBytes {
			h = append(h, field{name: name, value: value})
		}
		b = rest
	}
}

// skipMbox drops blank lines and the separator line of a mailbox file in front of a mail.
func skipMbox(b []byte) []byte {
	for len(b) > 0 && (b[0] == '\n' || b[0] == '\r') {
		b = b[1:]
	}
	for bytes.HasPrefix(b, []byte("From ")) || bytes.HasPrefix(b, []byte(">From ")) {
		_, b = cutLine(b)
	}
	return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
}

func cutLine(b []byte) (line, rest []byte) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// splitField reads "Name: value" (RFC 5322 section 2.2).
func splitField(line []byte) (name, value string, ok bool) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 || i > 100 {
		return "", "", false
	}
	raw := bytes.TrimRight(line[:i], " \t")
	if len(raw) == 0 {
		return "", "", false
	}
	for _, c := range raw {
		if c <= ' ' || c >= 0x7f {
			return "", "", false
		}
	}
	return strings.ToLower(string(raw)), string(bytes.TrimSpace(line[i+1:])), true
}

// startsField says whether b goes on like a header: with a field or a folded line.
func startsField(b []byte) bool {
	line, _ := cutLine(b)
	_, _, ok := splitField(line)
	return ok
}

// knownFieldNear says that a well-known field follows within three lines: the stray line was none of the body's.
func knownFieldNear(b []byte) bool {
	for range 3 {
		line, rest := cutLine(b)
		if len(line) == 0 {
			return false
		}
		if name, _, ok := splitField(line); ok && returnedFields[name] {
			return true
		}
		b = rest
	}
	return false
}

// unfold adds the continuation lines that follow a field.
func unfold(value string, b []byte) (string, []byte) {
	if len(b) == 0 || b[0] != ' ' && b[0] != '\t' {
		return capped(value, maxFieldBytes), b
	}
	var all strings.Builder
	all.WriteString(capped(value, maxFieldBytes))
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		line, rest := cutLine(b)
		text := bytes.TrimSpace(line)
		if len(text) == 0 && (len(rest) == 0 || rest[0] != ' ' && rest[0] != '\t') {
			break // a line of blanks ends a field, unless it goes on below (RFC 5322 section 4.2)
		}
		if all.Len()+len(text) < maxFieldBytes {
			all.WriteByte(' ')
			all.Write(text)
		}
		b = rest
	}
	return all.String(), b
}

func capped(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// oneLine turns every run of white space and control characters into one space.
func oneLine(s string) string {
	clean := true
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f || s[i] == ' ' && (i+1 == len(s) || s[i+1] == ' ' || i == 0) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
}

// mediaType reads a Content-Type or Content-Disposition: the value in lower case and its parameters.
//
// Parameters may be continued and carry a charset (RFC 2231), be encoded as RFC 2047 forbids them to be, or be plain 8-bit.
func mediaType(value string) (string, map[string]string) {
	kind, rest, _ := strings.Cut(value, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	if i := strings.IndexFunc(kind, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' || r == '(' }); i >= 0 {
		kind = kind[:i]
	}
	kind = capped(kind, 127) // RFC 6838 section 4.2
	if strings.TrimSpace(rest) == "" {
		return strings.Trim(kind, `"`), nil
	}
	return strings.Trim(kind, `"`), joinParams(rawParams(rest))
}

type param struct{ key, value string }

// rawParams splits key=value pairs; a quoted value may hold semicolons. At most 100.
func rawParams(s string) []param {
	var all []param
	for s != "" && len(all) < 100 {
		s = strings.TrimLeft(s, "; \t")
		i := strings.IndexAny(s, "=;")
		if i < 0 {
			break
		}
		if s[i] == ';' {
			s = s[i+1:]
			continue
		}
		key := strings.ToLower(strings.TrimSpace(s[:i]))
		var value string
		value, s = paramValue(strings.TrimLeft(s[i+1:], " \t"))
		all = append(all, param{key, value})
	}
	return all
}

func paramValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexByte(s, ';')
		if i < 0 {
			return strings.TrimSpace(s), ""
		}
		return strings.TrimSpace(s[:i]), s[i+1:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			_, rest, _ = strings.Cut(s[i+1:], ";")
			return b.String(), rest
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}

// joinParams puts continued parameters together (RFC 2231 sections 3 and 4) and makes all of them readable.
func joinParams(raw []param) map[string]string {
	params := make(map[string]string, len(raw))
	var pieces map[string][]param
	for _, p := range raw {
		base, section, continued := strings.Cut(p.key, "*")
		switch {
		case !continued:
			if _, taken := params[base]; !taken {
				params[base] = decodeWords(p.value)
			}
		default:
			if pieces == nil {
				pieces = make(map[string][]param)
			}
			pieces[base] = append(pieces[base], param{section, p.value})
		}
	}
	for base, list := range pieces {
		params[base] = joinPieces(list)
	}
	return params
}

func joinPieces(list []param) string {
	byNumber := make([]param, len(list))
	for i := range byNumber {
		byNumber[i] = param{"", ""}
	}
	for i, p := range list { // out of order is allowed; a number out of range falls back to the order seen
		n := 0
		digits := strings.TrimSuffix(p.key, "*")
		for _, c := range digits {
			if c < '0' || c > '9' || n > len(list) {
				n = i
				break
			}
			n = n*10 + int(c-'0')
		}
		if n >= len(list) || byNumber[n].value != "" {
			n = i
		}
		byNumber[n] = p
	}
	charset, b := "", []byte(nil)
	for i, p := range byNumber {
		value := p.value
		extended := p.key == "" || strings.HasSuffix(p.key, "*")
		if i == 0 && extended {
			if parts := strings.SplitN(value, "'", 3); len(parts) == 3 {
				charset, value = parts[0], parts[2]
			}
		}
		if extended {
			b = append(b, unpercent(value)...)
		} else {
			b = append(b, value...)
		}
	}
	text := toUTF8(b, charset)
	return decodeWords(text)
}

func unpercent(s string) []byte {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return b
}

// unhex is the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
