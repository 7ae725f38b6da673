package media

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxName is the longest display name in bytes: with its escapes it still fits in a Content-Disposition of 1,024 bytes.
const maxName = 200

// maxMarks is how many combining marks in a row are kept: enough for any script, too few to climb over other lines.
const maxMarks = 4

// noName is what a file is called whose name nothing is left of.
const noName = "file"

// Name makes a name that a stranger gave safe to show and to save under: the last part of a path, in Unicode form NFC, without
// control characters, direction overrides, zero-width and private characters, without what Windows refuses, not hidden, and at
// most 200 bytes with its extension kept. It is only ever shown, and never part of a key or a path. Applying it again
// changes nothing.
func Name(raw string) string {
	raw = strings.ToValidUTF8(raw, "\ufffd")
	// A name of megabytes must not cost anything to tidy; the end has the extension.
	if len(raw) > 16*maxName {
		raw = strings.ToValidUTF8(raw[len(raw)-16*maxName:], "")
	}
	raw = raw[strings.LastIndexAny(raw, `/\`)+1:]
	name := trim(norm.NFC.String(visible(raw)))
	if len(name) > maxName {
		name = shorten(name)
	}
	stem, _, _ := strings.Cut(name, ".")
	if reserved(strings.TrimSpace(stem)) {
		name = "_" + name
	}
	if name == "" {
		return noName
	}
	return name
}

// visible keeps what a reader can see, spaces as single spaces.
func visible(s string) string {
	var b strings.Builder
	marks, space := 0, false
	for _, r := range s {
		if unicode.IsSpace(r) && r != '\u0085' || r == '\u2800' || r == '\u3164' || r == '\u115f' || r == '\u1160' || r == '\uffa0' {
			space = true // the last ones look like nothing although they are letters
			continue
		}
		if !unicode.IsGraphic(r) { // controls, formats (direction, zero width), private, surrogates, unassigned
			continue
		}
		if unicode.Is(unicode.Variation_Selector, r) || r == '\u034f' {
			continue
		}
		if unicode.IsMark(r) {
			if marks++; marks > maxMarks {
				continue
			}
		} else {
			marks = 0
		}
		if strings.ContainsRune(`<>:"|?*`, r) {
			r = '_'
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r)
	}
	return b.String()
}

// trim takes off what hides a file (a leading dot) and what Windows drops (a dot or space at the end).
func trim(s string) string {
	return strings.TrimRight(strings.TrimLeft(s, ". "), ". ")
}

// shorten cuts the name before its extension.
func shorten(name string) string {
	extension := ""
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i <= 16 {
		extension = name[i:]
	}
	stem := name[:maxName-len(extension)]
	for !utf8.ValidString(stem) {
		stem = stem[:len(stem)-1]
	}
	return trim(trim(stem) + extension)
}

// reserved are the names of devices on Windows, whatever the extension.
func reserved(stem string) bool {
	stem = strings.ToUpper(stem)
	switch stem {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")) && stem[3] >= '0' && stem[3] <= '9'
}
