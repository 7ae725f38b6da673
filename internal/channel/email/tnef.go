package email

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/unicode"

	"github.com/aikajana/aikajana/internal/msg"
)

// TNEF is the envelope in which Outlook sends "rich text" (MS-OXTNEF, 2021): winmail.dat. Everything is little-endian.
const (
	tnefSignature   = 0x223e9f78
	tnefBody        = 0x0002800c
	tnefMessage     = 0x00069003
	tnefNewFile     = 0x00069002
	tnefFileTitle   = 0x00018010
	tnefFileData    = 0x0006800f
	tnefFileProps   = 0x00069005
	mapiBody        = 0x1000
	mapiRTF         = 0x1009
	mapiHTML        = 0x1013
	mapiFileName    = 0x3704
	mapiLongName    = 0x3707
	mapiMediaType   = 0x370e
	mapiContentID   = 0x3712
	mapiUnicode     = 0x001f
	maxTNEFFiles    = 200
	maxTNEFProps    = 5000
	maxRTFBytes     = 8 << 20
	lzfuMagic       = 0x75465a4c
	uncompressedRTF = 0x414c454d
)

// tnefContent is what a winmail.dat holds.
type tnefContent struct {
	plain, html, rtf string
	files            []tnefAttachment
}

type tnefAttachment struct {
	name, kind, contentID string
	data                  []byte
}

// tnef opens a winmail.dat: its text when the mail has none beside it, and its files as the mail's own. What cannot be opened
// stays a file, and the text says so.
func (r *bodyReader) tnef(p *part) {
	t, ok := readTNEF(p.content())
	if !ok {
		r.parts = append(r.parts, filePart(p))
		r.notes = append(r.notes, "[attached as winmail.dat, which could not be opened here: ask for the files in another form]")
		return
	}
	if !r.hasText() {
		switch {
		case t.html != "":
			r.add(htmlText(t.html, nil))
		case strings.TrimSpace(t.plain) != "":
			r.add(plainLines(strings.ReplaceAll(t.plain, "\r", "")))
		case t.rtf != "":
			r.add(plainLines(rtfText(t.rtf)))
		}
	}
	for i, f := range t.files {
		kind := f.kind
		if !strings.Contains(kind, "/") {
			if kind = typeByName(f.name); kind == "" {
				kind = "application/octet-stream"
			}
		}
		name := fileName(f.name)
		if name == "" {
			name = "file-" + p.path + "-" + strconv.Itoa(i+1) + extension(kind)
		}
		r.parts = append(r.parts, msg.Part{Kind: partKind(kind), Media: &msg.Media{
			ID: p.path + "/" + strconv.Itoa(i+1), Type: kind, Name: name, Size: int64(len(f.data)), ContentID: f.contentID,
		}})
	}
	if len(t.files) == 0 && !r.hasText() {
		r.parts = append(r.parts, filePart(p))
	}
}

// tnefFile is the nth file (from 1) of a winmail.dat.
func tnefFile(b []byte, n string) ([]byte, bool) {
	t, ok := readTNEF(b)
	i, err := strconv.Atoi(n)
	if !ok || err != nil || i < 1 || i > len(t.files) {
		return nil, false
	}
	return t.files[i-1].data, true
}

// readTNEF reads the attributes in order (MS-OXTNEF section 2.1.1). Damage ends the reading; what came before it counts.
func readTNEF(b []byte) (tnefContent, bool) {
	var t tnefContent
	if len(b) < 6 || binary.LittleEndian.Uint32(b) != tnefSignature {
		return t, false
	}
	var file *tnefAttachment
	for b = b[6:]; len(b) >= 11; {
		id, size := binary.LittleEndian.Uint32(b[1:]), int(binary.LittleEndian.Uint32(b[5:]))
		if size < 0 || size > len(b)-9 {
			break
		}
		data := b[9 : 9+size]
		b = b[min(len(b), 9+size+2):]
		switch id {
		case tnefBody:
			t.plain = toUTF8(bytes.TrimRight(data, "\x00"), "")
		case tnefMessage:
			t.message(mapiProperties(data))
		case tnefNewFile:
			if len(t.files) == maxTNEFFiles {
				return t, true
			}
			t.files = append(t.files, tnefAttachment{})
			file = &t.files[len(t.files)-1]
		case tnefFileTitle, tnefFileData, tnefFileProps:
			if file != nil {
				file.take(id, data)
			}
		}
	}
	return t, true
}

func (t *tnefContent) message(props map[uint16][]byte) {
	if b, ok := props[mapiBody]; ok {
		t.plain = toUTF8(b, "")
	}
	if b, ok := props[mapiHTML]; ok {
		t.html = toUTF8(b, metaCharset(b))
	}
	if b, ok := props[mapiRTF]; ok {
		t.rtf = string(inflateRTF(b))
	}
}

func (f *tnefAttachment) take(id uint32, data []byte) {
	switch id {
	case tnefFileTitle:
		if f.name == "" {
			f.name = toUTF8(bytes.TrimRight(data, "\x00"), "")
		}
	case tnefFileData:
		f.data = data
	case tnefFileProps:
		props := mapiProperties(data)
		for _, name := range []uint16{mapiFileName, mapiLongName} { // the long one wins
			if b := props[name]; len(b) > 0 {
				f.name = toUTF8(b, "")
			}
		}
		f.kind, _ = mediaType(string(props[mapiMediaType]))
		f.contentID = cleanID(string(props[mapiContentID]))
	}
}

// mapiProperties reads a list of properties (MS-OXTNEF section 2.1.3.4); strings come back as UTF-8 or in the sender's code
// page, without the closing zero.
func mapiProperties(b []byte) map[uint16][]byte {
	props := make(map[uint16][]byte)
	r := littleReader{b: b}
	for n := min(r.uint32(), maxTNEFProps); n > 0 && !r.bad; n-- {
		kind, id := r.uint16(), r.uint16()
		if id >= 0x8000 { // a named property: its name is not needed
			r.take(16)
			if r.uint32() == 0 {
				r.take(4)
			} else {
				r.padded(int(r.uint32()))
			}
		}
		values := 1
		multi := kind&0x1000 != 0
		kind &^= 0x1000
		size := map[uint16]int{2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 10: 4, 11: 4, 20: 8, 64: 8, 72: 16}[kind]
		if multi || size == 0 {
			values = int(min(r.uint32(), maxTNEFProps))
		}
		for ; values > 0 && !r.bad; values-- {
			if size > 0 {
				r.take(size)
				continue
			}
			data := r.padded(int(r.uint32()))
			if kind == mapiUnicode {
				data = []byte(decodeWith(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), data[:len(data)&^1]))
			}
			if _, taken := props[id]; !taken && kind != 0x0d {
				props[id] = bytes.TrimRight(data, "\x00")
			}
		}
	}
	return props
}

// littleReader takes values off a slice; past its end everything is zero and bad is set.
type littleReader struct {
	b   []byte
	bad bool
}

func (r *littleReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *littleReader) padded(n int) []byte {
	out := r.take(n)
	r.take(min((4-n&3)&3, len(r.b)))
	return out
}

func (r *littleReader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *littleReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// rtfDictionary is what the compression starts with (MS-OXRTFCP section 2.1.2.1).
const rtfDictionary = `{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0` +
	"\r\n" + `\par \pard\plain\f0\fs20\b\i\u\tab\tx`

// inflateRTF undoes the compression of MS-OXRTFCP; nil for what is not compressed RTF.
func inflateRTF(b []byte) []byte {
	if len(b) < 16 {
		return nil
	}
	size, magic := int(binary.LittleEndian.Uint32(b[4:])), binary.LittleEndian.Uint32(b[8:])
	b = b[16:]
	size = min(max(size, 0), maxRTFBytes)
	if magic == uncompressedRTF {
		return b[:min(size, len(b))]
	}
	if magic != lzfuMagic {
		return nil
	}
	var ring [4096]byte
	at := copy(ring[:], rtfDictionary)
	out := make([]byte, 0, min(size, 1<<16))
	put := func(c byte) {
		ring[at&4095] = c
		at++
		out = append(out, c)
	}
	for len(b) > 0 && len(out) < size {
		flags := b[0]
		b = b[1:]
		for bit := 0; bit < 8 && len(out) < size; bit++ {
			if flags&(1<<bit) == 0 {
				if len(b) < 1 {
					return out
				}
				put(b[0])
				b = b[1:]
				continue
			}
			if len(b) < 2 {
				return out
			}
			token := int(b[0])<<8 | int(b[1])
			b = b[2:]
			offset, length := token>>4, token&15+2
			if offset == at&4095 { // the end mark
				return out
			}
			for ; length > 0; length-- {
				put(ring[offset&4095])
				offset++
			}
		}
	}
	return out
}

// rtfText takes the words out of RTF, also of RTF that wraps HTML (MS-OXRTFEX): what only one of both shows is left out.
func rtfText(s string) string {
	var out []byte
	type state struct{ skip, hidden bool }
	var stack []state
	var now state
	for i := 0; i < len(s); {
		switch c := s[i]; c {
		case '{':
			if len(stack) < 500 {
				stack = append(stack, now)
			}
			if containsPrefix(s[i+1:], `\*`, `\fonttbl`, `\colortbl`, `\stylesheet`, `\info`, `\pict`, `\header`, `\footer`) {
				now.skip = true
			}
			i++
		case '}':
			if n := len(stack); n > 0 {
				now, stack = stack[n-1], stack[:n-1]
			}
			i++
		case '\\':
			word, number, next := rtfControl(s, i)
			if word == "htmlrtf" {
				now.hidden = number != 0
			} else if !now.skip && !now.hidden {
				out = rtfPut(out, word, number)
			}
			if word == "u" && next < len(s) && s[next] == '?' {
				next++
			}
			i = next
		case '\r', '\n':
			i++
		default:
			if !now.skip && !now.hidden {
				out = append(out, c)
			}
			i++
		}
	}
	text := toUTF8(out, "")
	return text
}

// rtfControl reads the control word or symbol at s[i]; number is 1 for a word without one.
func rtfControl(s string, i int) (word string, number, next int) {
	i++
	if i >= len(s) {
		return "", 0, i
	}
	if s[i] == '\'' && i+2 < len(s) {
		return "'", max(unhex(s[i+1]), 0)<<4 | max(unhex(s[i+2]), 0), i + 3
	}
	start := i
	for i < len(s) && (s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z') {
		i++
	}
	if i == start {
		return s[i : i+1], 1, i + 1
	}
	word = s[start:i]
	start = i
	if i < len(s) && s[i] == '-' {
		i++
	}
	i += min(digits(s[i:]), 6)
	number = 1
	if n, err := strconv.Atoi(s[start:i]); err == nil {
		number = n
	}
	if i < len(s) && s[i] == ' ' {
		i++
	}
	return word, number, i
}

func rtfPut(out []byte, word string, number int) []byte {
	switch word {
	case "par", "line":
		return append(out, '\n')
	case "tab":
		return append(out, '\t')
	case "'":
		return append(out, repair([]byte{byte(number)})...)
	case "u":
		return append(out, string(rune(uint16(number)))...) //nolint:gosec // RTF counts code units as signed 16-bit numbers
	case "~":
		return append(out, ' ')
	case `\`, "{", "}":
		return append(out, word...)
	case "emdash":
		return append(out, "—"...)
	case "endash":
		return append(out, "–"...)
	case "lquote", "rquote":
		return append(out, "’"...)
	case "ldblquote", "rdblquote":
		return append(out, '"')
	case "bullet":
		return append(out, "•"...)
	}
	return out
}

func containsPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
