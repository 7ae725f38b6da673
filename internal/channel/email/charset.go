package email

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// toUTF8 reads b in the charset that the mail claims, as far as the claim can be honoured.
//
// A claim is not believed against the bytes: UTF-8 called Latin-1 is read as UTF-8, Latin-1 called UTF-8 as windows-1252
// (FAULTS 42), 8-bit text called ASCII or nothing by guessing. The answer is always valid UTF-8.
func toUTF8(b []byte, label string) string {
	name := charsetName(label)
	if b, ok := byMark(b); ok {
		return clean(b)
	}
	if asciiOnly(b) && plainASCII(name) {
		return clean(string(b))
	}
	switch name {
	case "utf-8", "us-ascii", "":
		if utf8.Valid(b) && !hasISO2022(b) {
			return clean(string(b))
		}
		return clean(guess(b))
	case "utf-7":
		return clean(decodeUTF7(b))
	case "iso-2022-kr":
		return clean(decodeISO2022KR(b))
	}
	if looksUTF8(b) && name != "utf-16" && name != "utf-32" {
		return clean(string(b))
	}
	enc := encodingOf(name)
	if enc == nil {
		return clean(guess(b))
	}
	text := decodeWith(enc, b)
	// A wrong claim shows as many characters that do not exist; bytes that fit another charset without a fault are better.
	if bad := strings.Count(text, "\uFFFD"); bad > 0 && !singleByte(enc) && bad*20 > utf8.RuneCountInString(text) {
		return clean(guess(b))
	}
	return clean(text)
}

// charsetName brings the names that mail claims to the one that encodingOf knows.
func charsetName(label string) string {
	if label == "" {
		return ""
	}
	name := strings.ToLower(strings.Trim(label, " \t\r\n\"';,()"))
	name = strings.TrimPrefix(name, "charset=")
	name = strings.Trim(name, " \"'")
	if i := strings.IndexAny(name, " ;,\t"); i >= 0 {
		name = name[:i]
	}
	name = strings.TrimPrefix(name, "x-")
	name = strings.ReplaceAll(name, "_", "-")
	switch name {
	case "utf8", "utf-8", "unicode-1-1-utf-8", "cp65001", "utf-8mb4", "utf8mb4", "utf-8n", "uft-8":
		return "utf-8"
	case "ascii", "us-ascii", "ansi-x3.4-1968", "ansi-x3.110-1983", "iso646-us", "646", "us", "cp367", "7bit", "ascii-8bit":
		return "us-ascii"
	case "unknown", "unknown-8bit", "unknown-8-bit", "default", "none", "binary", "8bit", "null", "user-defined", "iso-8859", "na":
		return ""
	case "utf-7", "utf7", "unicode-1-1-utf-7", "unicode-2-0-utf-7", "cp65000":
		return "utf-7"
	case "iso-2022-kr", "csiso2022kr":
		return "iso-2022-kr"
	}
	return name
}

// plainASCII says that ASCII bytes mean themselves under the claim.
func plainASCII(name string) bool {
	switch {
	case name == "utf-7", strings.HasPrefix(name, "hz"), strings.HasPrefix(name, "utf-16"), strings.HasPrefix(name, "utf-32"),
		strings.HasPrefix(name, "ucs"), strings.HasPrefix(name, "iso-2022"):
		return false
	}
	return true
}

// encodingOf finds the charset, or nil. WHATWG's table (2026) decides where it knows the name: it reads the ISO names as the
// Windows charsets that senders mean by them.
func encodingOf(name string) encoding.Encoding {
	switch name {
	case "gb2312", "gbk", "gb-2312", "gb2312-80", "gb18030", "gb-18030", "cp936", "ms936", "euc-cn", "hz-gb", "chinese":
		return simplifiedchinese.GB18030
	case "hz-gb-2312", "hz":
		return simplifiedchinese.HZGB2312
	case "big5", "big-5", "cp950", "ms950", "big5-hkscs", "big5hkscs":
		return traditionalchinese.Big5
	case "shift-jis", "sjis", "s-jis", "ms932", "cp932", "windows-31j", "ms-kanji", "shiftjis":
		return japanese.ShiftJIS
	case "eucjp", "euc-jp", "ujis", "cp51932", "eucjp-ms":
		return japanese.EUCJP
	case "iso-2022-jp", "csiso2022jp", "iso-2022-jp-1", "iso-2022-jp-2", "iso-2022-jp-ms", "cp50220", "cp50221", "cp50222", "jis":
		return japanese.ISO2022JP
	case "euc-kr", "euckr", "ks-c-5601-1987", "ks-c-5601", "ksc5601", "cp949", "ms949", "uhc":
		return korean.EUCKR
	case "cp437", "ibm437", "437":
		return charmap.CodePage437
	case "cp850", "ibm850", "cp-850", "850", "cp858", "ibm00858":
		return charmap.CodePage850
	case "cp852", "ibm852":
		return charmap.CodePage852
	case "cp855", "ibm855":
		return charmap.CodePage855
	case "cp862", "ibm862":
		return charmap.CodePage862
	case "utf-16", "ucs-2", "unicode", "utf-16be", "iso-10646-ucs-2":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case "utf-16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case "utf-32", "ucs-4", "utf-32be":
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case "utf-32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)
	}
	for _, prefix := range []string{"cp-", "cp", "windows", "win-", "win", "ms-", "ansi-", "iso-8859", "iso8859", "8859", "latin"} {
		tail, ok := strings.CutPrefix(name, prefix)
		if !ok || tail == "" {
			continue
		}
		tail = strings.TrimLeft(tail, "-:")
		for _, known := range []string{"windows-" + tail, "iso-8859-" + tail, "latin" + tail} {
			if enc, err := htmlindex.Get(known); err == nil && strings.Contains(known, family(prefix)) {
				return enc
			}
		}
	}
	enc, err := htmlindex.Get(name)
	if err != nil {
		enc, err = htmlindex.Get(strings.ReplaceAll(name, "-", "_"))
	}
	if err != nil || enc == encoding.Replacement {
		return nil
	}
	return enc
}

func family(prefix string) string {
	switch {
	case strings.Contains(prefix, "8859"):
		return "iso-8859"
	case prefix == "latin":
		return "latin"
	}
	return "windows"
}

func singleByte(e encoding.Encoding) bool {
	_, ok := e.(*charmap.Charmap)
	return ok
}

func decodeWith(e encoding.Encoding, b []byte) string {
	out, err := e.NewDecoder().Bytes(b)
	if err != nil { // decoders replace what they cannot read; an error leaves what was read until then
		return string(out) + guess(b[min(len(out), len(b)):])
	}
	return string(out)
}

// byMark honours a byte order mark (Unicode section 23.8) whatever the claim.
func byMark(b []byte) (string, bool) {
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		if utf8.Valid(b) {
			return string(b[3:]), true
		}
	case len(b) > 3 && (b[0] == 0xff && b[1] == 0xfe || b[0] == 0xfe && b[1] == 0xff) && bytes.IndexByte(b[:min(len(b), 64)], 0) >= 0:
		return decodeWith(unicode.UTF16(unicode.BigEndian, unicode.UseBOM), b), true
	}
	return "", false
}

func asciiOnly(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 || c == 0x1b {
			return false
		}
	}
	return true
}

// looksUTF8 says that b is valid UTF-8 and holds at least one character beyond ASCII: by chance that happens to no other
// charset in text of any length.
func looksUTF8(b []byte) bool { return !asciiOnly(b) && !hasISO2022(b) && utf8.Valid(b) }

// hasISO2022 finds the escape sequences of ISO-2022-JP (RFC 1468).
func hasISO2022(b []byte) bool {
	for i := bytes.IndexByte(b, 0x1b); i >= 0 && i+2 < len(b); {
		if b[i+1] == '$' && (b[i+2] == 'B' || b[i+2] == '@') || b[i+1] == '(' && (b[i+2] == 'J' || b[i+2] == 'I') {
			return true
		}
		next := bytes.IndexByte(b[i+1:], 0x1b)
		if next < 0 {
			return false
		}
		i += 1 + next
	}
	return false
}

// guess reads bytes that nobody named rightly.
func guess(b []byte) string {
	switch {
	case hasISO2022(b):
		return decodeWith(japanese.ISO2022JP, b)
	case utf8.Valid(b):
		return string(b)
	}
	if mostlyHigh(b) {
		if enc := guessWide(b); enc != nil {
			return decodeWith(enc, b)
		}
	}
	return repair(b)
}

// repair keeps what is UTF-8 and reads each other byte as windows-1252: a mail glued together of both stays readable.
func repair(b []byte) string {
	var out strings.Builder
	out.Grow(len(b) + len(b)/8)
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size <= 1 {
			out.WriteRune(charmap.Windows1252.DecodeByte(b[0]))
			b = b[1:]
			continue
		}
		out.Write(b[:size])
		b = b[size:]
	}
	return out.String()
}

// mostlyHigh tells scripts written with bytes above 127 alone (Cyrillic, Greek, East Asian) from Latin ones, where such
// bytes stand between ASCII letters.
func mostlyHigh(b []byte) bool {
	high, letters := 0, 0
	for b = b[:min(len(b), 8<<10)]; len(b) > 0; {
		r, size := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && size == 1:
			high++
		case size == 1 && (b[0]|0x20 >= 'a' && b[0]|0x20 <= 'z'):
			letters++
		}
		b = b[size:]
	}
	return high >= 6 && high*2 > letters
}

// guessWide chooses among the 8-bit charsets of the large scripts by how well the bytes fit; nil when none does.
func guessWide(b []byte) encoding.Encoding {
	b = b[:min(len(b), 8<<10)]
	var kana, sjis, upper, lower, pairs int
	for i := 0; i+1 < len(b); i++ {
		switch {
		case (b[i] == 0xa4 || b[i] == 0xa5) && b[i+1] >= 0xa1:
			kana++
		case (b[i] == 0x82 || b[i] == 0x83) && b[i+1] >= 0x40:
			sjis++
		}
		if b[i] >= 0xc0 {
			if b[i] >= 0xe0 {
				upper++
			} else {
				lower++
			}
			if b[i+1] >= 0xc0 {
				pairs++
			}
		}
	}
	switch total := upper + lower; {
	case sjis*4 > len(b)/4:
		return japanese.ShiftJIS
	case kana*8 > len(b)/4 && fits(japanese.EUCJP, b):
		return japanese.EUCJP
	case total > 0 && pairs*10 > total*6 && lower > upper*3: // small letters lie at C0-DF in KOI8-R …
		return charmap.KOI8R
	case total > 0 && pairs*10 > total*6 && upper > lower*3: // … and at E0-FF in windows-1251
		return charmap.Windows1251
	case fits(simplifiedchinese.GBK, b):
		return simplifiedchinese.GB18030
	case fits(traditionalchinese.Big5, b):
		return traditionalchinese.Big5
	case fits(korean.EUCKR, b):
		return korean.EUCKR
	}
	return nil
}

func fits(e encoding.Encoding, b []byte) bool {
	text := decodeWith(e, b)
	return strings.Count(text, "\uFFFD") <= 1 // the sample may end in the middle of a character
}

// decodeUTF7 reads RFC 2152: "+" starts base64 of UTF-16, "-" ends it, "+-" is a plus sign.
func decodeUTF7(b []byte) string {
	var out strings.Builder
	for i := 0; i < len(b); {
		if b[i] != '+' {
			if b[i] < 0x80 {
				out.WriteByte(b[i])
			} else {
				out.WriteRune(charmap.Windows1252.DecodeByte(b[i]))
			}
			i++
			continue
		}
		end := i + 1
		for end < len(b) && base64Value[b[end]] < 64 && b[end] != '-' && b[end] != '_' {
			end++
		}
		switch {
		case end == i+1 && end < len(b) && b[end] == '-':
			out.WriteByte('+')
		case end == i+1:
			out.WriteByte('+')
			i = end
			continue
		default:
			units := decodeBase64(b[i+1 : end])
			out.WriteString(decodeWith(unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), units[:len(units)&^1]))
		}
		if end < len(b) && b[end] == '-' {
			end++
		}
		i = end
	}
	return out.String()
}

// decodeISO2022KR reads RFC 1557: between shift-out and shift-in every byte is EUC-KR without its high bit.
func decodeISO2022KR(b []byte) string {
	out := make([]byte, 0, len(b))
	shifted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == 0x1b && bytes.HasPrefix(b[i:], []byte("\x1b$)C")):
			i += 3
		case c == 0x0e:
			shifted = true
		case c == 0x0f:
			shifted = false
		case shifted && c > ' ':
			out = append(out, c|0x80)
		default:
			out = append(out, c)
		}
	}
	return decodeWith(korean.EUCKR, out)
}

// clean drops what no text holds: control characters but tab and line feed, byte order marks, and invalid bytes.
func clean(s string) string {
	ok := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\n' && c != '\t' || c == 0x7f || c == 0xef && strings.HasPrefix(s[i:], "\uFEFF") ||
			c == 0xc2 && i+1 < len(s) && s[i+1] < 0xa0 || c == 0xe2 && strings.HasPrefix(s[i:], "\u2028") {
			ok = false
			break
		}
	}
	if ok && utf8.ValidString(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\u2028' || r == '\u2029':
			return '\n'
		case r < ' ' || r == 0x7f || r == '\uFEFF':
			return -1
		case r > 0x7f && r < 0xa0: // what nobody writes: windows-1252 that was taken for Latin-1 on its way
			if r = charmap.Windows1252.DecodeByte(byte(r)); r < 0xa0 || r == utf8.RuneError {
				return -1
			}
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
