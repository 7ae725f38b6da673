package store

import (
	"strings"
	"unicode/utf8"
)

// firstLine is the first line with something on it, cut at maxTitle characters.
func firstLine(s string) string {
	for line := range strings.Lines(s) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			return cut(line, maxTitle)
		}
	}
	return ""
}

// cut shortens s to n characters and says so with an ellipsis.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	runes := []rune(s)
	return string(runes[:n-1]) + "…"
}
