package email

import (
	"bytes"
	"strings"
)

// decodeTransfer undoes a Content-Transfer-Encoding (RFC 2045 section 6). Damage is skipped, never an error: what can be
// read is returned. An unknown encoding leaves the bytes as they are.
func decodeTransfer(b []byte, encoding string) []byte {
	encoding = strings.ToLower(strings.Trim(strings.TrimSpace(encoding), `";`))
	switch {
	case strings.HasPrefix(encoding, "base64"):
		return decodeBase64(b)
	case strings.HasPrefix(encoding, "quoted-printable"), strings.HasPrefix(encoding, "quoted/printable"):
		return decodeQuotedPrintable(b)
	case strings.Contains(encoding, "uue"): // x-uuencode, uuencode, x-uue
		if f, ok := decodeUU(b); ok {
			return f.data
		}
	}
	return b
}

// base64Value maps both alphabets (RFC 4648 sections 4 and 5); 0xff is not of either, 0xfe is padding.
var base64Value = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		t[c] = byte(i)
	}
	t['-'], t['_'], t['='] = 62, 63, 0xfe
	return t
}()

// decodeBase64 skips what is not base64, needs no padding, and goes on after padding in the middle (parts glued together).
func decodeBase64(b []byte) []byte {
	out := make([]byte, 0, len(b)*3/4+3)
	var acc uint32
	n := 0
	for _, c := range b {
		v := base64Value[c]
		if v < 64 {
			acc = acc<<6 | uint32(v)
			if n++; n == 4 {
				out = append(out, byte(acc>>16), byte(acc>>8), byte(acc))
				acc, n = 0, 0
			}
			continue
		}
		if v == 0xfe && n > 0 {
			out = base64Tail(out, acc, n)
			acc, n = 0, 0
		}
	}
	return base64Tail(out, acc, n)
}

func base64Tail(out []byte, acc uint32, n int) []byte {
	switch n {
	case 2:
		return append(out, byte(acc>>4))
	case 3:
		return append(out, byte(acc>>10), byte(acc>>2))
	}
	return out
}

// base64Size is how long decodeBase64's answer will be, give or take the last two bytes of glued parts.
func base64Size(b []byte) int64 {
	n := int64(0)
	for _, c := range b {
		if base64Value[c] < 64 {
			n++
		}
	}
	return n * 3 / 4
}

// decodeQuotedPrintable follows RFC 2045 section 6.7 and leaves what is not valid as it stands.
func decodeQuotedPrintable(b []byte) []byte {
	if bytes.IndexByte(b, '=') < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		i := bytes.IndexByte(b, '=')
		if i < 0 {
			return append(out, b...)
		}
		out = append(out, b[:i]...)
		b = b[i+1:]
		if len(b) >= 2 && unhex(b[0]) >= 0 && unhex(b[1]) >= 0 {
			out = append(out, byte(unhex(b[0])<<4|unhex(b[1])))
			b = b[2:]
			continue
		}
		// A soft line break; white space that a relay added after it goes too.
		j := 0
		for j < len(b) && (b[j] == ' ' || b[j] == '\t' || b[j] == '\r') {
			j++
		}
		switch {
		case j == len(b):
			return out
		case b[j] == '\n':
			b = b[j+1:]
		default:
			out = append(out, '=')
		}
	}
	return out
}

// uuFile is one uuencoded file in a text.
type uuFile struct {
	name  string
	data  []byte
	start int // where it begins in the text
	rest  []byte
}

// decodeUU reads the first uuencoded file in b (POSIX uuencode). One without its end is text that looks alike.
func decodeUU(b []byte) (uuFile, bool) {
	f := uuFile{start: uuStart(b)}
	if f.start < 0 {
		return f, false
	}
	line, rest := cutLine(b[f.start:])
	if words := strings.SplitN(strings.TrimSpace(string(line)), " ", 3); len(words) == 3 {
		f.name = words[2]
	}
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		line = bytes.TrimRight(line, "\r")
		switch {
		case bytes.Equal(bytes.TrimSpace(line), []byte("end")):
			f.rest = rest
			return f, len(f.data) > 0
		case len(line) == 0 || line[0] == '`' || line[0] == ' ': // a line of no bytes
		case line[0] < ' ' || line[0] > 'M' || (int(line[0]-' ')+2)/3*4 > len(line)+3: // more than 45 bytes, or fewer characters than it says
			return f, false
		default:
			f.data = append(f.data, uuLine(line)...)
		}
	}
	return f, false
}

// uuStart finds a line "begin 644 name", or -1.
func uuStart(b []byte) int {
	for at := 0; at < len(b); {
		i := bytes.Index(b[at:], []byte("begin "))
		if i < 0 {
			return -1
		}
		i += at
		after := b[i+6:]
		if (i == 0 || b[i-1] == '\n') && len(after) > 4 &&
			after[0] >= '0' && after[0] <= '7' && after[1] >= '0' && after[1] <= '7' && after[2] >= '0' && after[2] <= '7' {
			return i
		}
		at = i + 6
	}
	return -1
}

func uuLine(line []byte) []byte {
	n := int(line[0]-' ') & 63
	line = line[1:]
	out := make([]byte, 0, n+3)
	for len(line) > 0 && len(out) < n {
		var v [4]byte
		for i := range v {
			if i < len(line) {
				v[i] = (line[i] - ' ') & 63
			}
		}
		out = append(out, v[0]<<2|v[1]>>4, v[1]<<4|v[2]>>2, v[2]<<6|v[3])
		line = line[min(4, len(line)):]
	}
	return out[:min(n, len(out))]
}
