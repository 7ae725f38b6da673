package email

import "strings"

// word is one encoded word of RFC 2047, decoded from its transfer encoding but not from its charset.
type word struct {
	charset string
	bytes   []byte
	end     int // index after it in the string
}

// decodeWords makes a header value readable: encoded words (RFC 2047), also unpadded, split in the middle of a character or
// left open, and bytes above 127 that nobody encoded (RFC 6532, or a wrong sender).
func decodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		if isASCII(s) {
			return s
		}
		text := toUTF8([]byte(s), "")
		return text
	}
	var out strings.Builder
	var pending word // words of one charset are decoded together: senders split characters between them
	flush := func() {
		if pending.bytes != nil {
			text := toUTF8(pending.bytes, pending.charset)
			out.WriteString(text)
			pending = word{}
		}
	}
	for i := 0; i < len(s); {
		next := strings.Index(s[i:], "=?")
		if next < 0 {
			next = len(s) - i
		}
		between := s[i : i+next]
		w, ok := readWord(s, i+next)
		if !ok {
			flush()
			if i+next < len(s) {
				between += "=?"
				next += 2
			}
			out.WriteString(rawText(between))
			i += next
			continue
		}
		// White space between two encoded words is not part of the text (RFC 2047 section 6.2).
		if pending.bytes == nil || strings.TrimSpace(between) != "" {
			flush()
			out.WriteString(rawText(between))
		}
		if pending.bytes != nil && !strings.EqualFold(pending.charset, w.charset) {
			flush()
		}
		pending.charset = w.charset
		pending.bytes = append(pending.bytes, w.bytes...)
		if pending.bytes == nil {
			pending.bytes = []byte{}
		}
		i = w.end
	}
	flush()
	return out.String()
}

func rawText(s string) string {
	if isASCII(s) {
		return s
	}
	text := toUTF8([]byte(s), "")
	return text
}

// readWord reads the encoded word that starts at s[at:].
func readWord(s string, at int) (word, bool) {
	if at+8 > len(s) {
		return word{}, false
	}
	rest := s[at+2:]
	q := strings.IndexByte(rest, '?')
	if q <= 0 || q > 60 || q+2 >= len(rest) || rest[q+2] != '?' {
		return word{}, false
	}
	charset, _, _ := strings.Cut(rest[:q], "*") // a language may follow (RFC 2231 section 5)
	encoding := rest[q+1] | 0x20
	body := rest[q+3:]
	end := strings.Index(body, "?=")
	length := end + 2
	// "=?utf-8?Q?=41?=": the first "?=" is followed by a hex digit and belongs to the text.
	if end == 0 && encoding == 'q' {
		if more := strings.Index(body[1:], "?="); more >= 0 {
			end, length = more+1, more+3
		}
	}
	// An open word in front of the next one must not swallow it.
	if other := strings.Index(body, "=?"); other >= 0 && other < end && strings.ContainsAny(body[:other], " \t") {
		end = -1
	}
	if end < 0 {
		end = len(body)
		if sp := strings.IndexAny(body, " \t"); sp >= 0 {
			end = sp
		}
		length = end
	}
	w := word{charset: charset, end: at + 2 + q + 3 + length}
	switch encoding {
	case 'q':
		w.bytes = decodeQ(body[:end])
	case 'b':
		w.bytes = decodeBase64([]byte(body[:end]))
	default:
		return word{}, false
	}
	return w, true
}

// decodeQ is quoted-printable as headers use it: "_" is a space.
func decodeQ(s string) []byte {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '_':
			b = append(b, ' ')
		case s[i] == '=' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
			b = append(b, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return b
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 || s[i] == 0x1b {
			return false
		}
	}
	return true
}
