package terminal

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxMarks is how many combining marks one character keeps. Living scripts need four at most; more is a flood that would
// paint over the lines above and below.
const maxMarks = 8

// Clean makes text that strangers wrote safe to print: it cannot move the cursor, change colours, rename the window, write to
// the clipboard or turn the order of what stands around it. Line ends become \n and tabs spaces; an escape character is
// shown as ␛, because a reader should see that somebody tried; other control characters, bidirectional overrides and
// invisible characters go. Bytes that are not UTF-8 become U+FFFD.
func Clean(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	marks := 0
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		if unicode.Is(unicode.M, r) {
			if marks++; marks > maxMarks {
				continue
			}
		} else {
			marks = 0
		}
		switch {
		case r == '\n', r == '\r', r == '\u0085', r == '\u2028', r == '\u2029':
			b.WriteByte('\n')
		case r == '\t':
			b.WriteString("    ")
		case r == 0x1b, r == 0x9b:
			b.WriteRune('␛')
		case hidden(r):
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// hidden says that a character shows nothing and changes how others are shown. The joiners that emoji and Indic scripts
// are made of (U+200C, U+200D) and variation selectors stay.
func hidden(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f:
		return true
	case r == 0xad, r == 0x61c, r == 0x180e, r == 0x200b, r == 0x200e, r == 0x200f, r == 0xfeff:
		return true
	case r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f: // overrides, embeddings, isolates, invisible operators
		return true
	case r >= 0xfff9 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe007f: // annotations, tags
		return true
	}
	return false
}

// Line is Clean for what must stay on one line.
func Line(text string) string { return strings.Join(strings.Fields(Clean(text)), " ") }

// JSON makes JSON safe for a terminal without changing its meaning: control characters that JSON allows in strings as they
// are, and what turns the order of text around, become \u escapes.
func JSON(raw []byte) []byte {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		r, size := utf8.DecodeRune(raw[i:])
		if r >= 0x7f && r < 0x10000 && r != utf8.RuneError && hidden(r) {
			out = append(out, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
		} else {
			out = append(out, raw[i:i+size]...)
		}
		i += size
	}
	return out
}

// plain says the same in ASCII, as far as it can: letters lose their accents, other scripts become question marks.
func plain(text string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(text) {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case unicode.Is(unicode.M, r), r == 0x200d:
		case asASCII[r] != "":
			b.WriteString(asASCII[r])
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}

// asASCII is how characters without a decomposition are written.
var asASCII = map[rune]string{
	'–': "-", '—': "-", '‘': "'", '’': "'", '“': "\"", '”': "\"", '„': "\"", '•': "*", '·': "-", '…': "...", '€': "EUR", 'ß': "ss",
	'ø': "o", 'Ø': "O", 'æ': "ae", 'Æ': "AE", 'đ': "d", 'ł': "l", 'Ł': "L", '␛': "^[", '→': "->", '←': "<-", '×': "x",
	'─': "-", '┆': "|", '✓': "+", '✗': "x", '⇄': "<>", '▣': "#", '♪': "~", '⌖': "@", '▸': ">", '↗': "^", '✎': "*", '☎': "tel", '▤': "#", '⌫': "x",
}
