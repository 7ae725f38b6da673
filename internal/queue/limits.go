package queue

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxGroup is how long a Group may be, in bytes: the length of SQS's MessageGroupId.
const MaxGroup = 128

// Validate refuses what a queue refuses: the same, in the same words, for every implementation. The error wraps ErrLimit and
// names the message by its place in the call.
//
// A body needs 1 to MaxBody bytes, as [Size] counts them. A group is empty or up to MaxGroup printable ASCII characters other
// than space. A delay is 0 to MaxDelay. The limits are SQS's: docs.aws.amazon.com, SendMessage, read on 2026-11-22.
func Validate(out []Outgoing) error {
	for n := range out {
		o := &out[n]
		switch size := Size(o.Body); {
		case len(o.Body) == 0:
			return fmt.Errorf("send message %d for %q: %w (an empty body)", n, o.Group, ErrLimit)
		case size > MaxBody:
			return fmt.Errorf("send message %d for %q: %w (%d bytes of %d: keep the body in a blob and send its key)",
				n, o.Group, ErrLimit, size, MaxBody)
		case o.Delay < 0 || o.Delay > MaxDelay:
			return fmt.Errorf("send message %d for %q: %w (delay %s, 0 to %s)", n, o.Group, ErrLimit, o.Delay, MaxDelay)
		case len(o.Group) > MaxGroup:
			return fmt.Errorf("send message %d: %w (a group of %d bytes, %d)", n, ErrLimit, len(o.Group), MaxGroup)
		case strings.ContainsFunc(o.Group, func(r rune) bool { return r <= ' ' || r > '~' }):
			return fmt.Errorf("send message %d for %q: %w (a group is printable ASCII without spaces)", n, o.Group, ErrLimit)
		}
	}
	return nil
}

// textPrefix marks a body that travels in base64. A plain body that happens to begin like it travels in base64 too.
const textPrefix = "base64:"

// Size is how many bytes the body takes in a queue of text, which SQS is.
func Size(body []byte) int {
	if isPlain(body) {
		return len(body)
	}
	return len(textPrefix) + base64.StdEncoding.EncodedLen(len(body))
}

// EncodeText is the body as text that SQS takes unchanged: itself when it is valid UTF-8 of XML characters, which JSON always
// is, and otherwise a third longer, in base64.
func EncodeText(body []byte) string {
	if isPlain(body) {
		return string(body)
	}
	return textPrefix + base64.StdEncoding.EncodeToString(body)
}

// DecodeText reverses EncodeText. Text that EncodeText did not make is returned as it is.
func DecodeText(text string) []byte {
	if coded, ok := strings.CutPrefix(text, textPrefix); ok {
		if body, err := base64.StdEncoding.DecodeString(coded); err == nil {
			return body
		}
	}
	return []byte(text)
}

// isPlain says that SQS carries the body unchanged. The characters are those of XML 1.0, section 2.2.
func isPlain(body []byte) bool {
	if len(body) >= len(textPrefix) && string(body[:len(textPrefix)]) == textPrefix {
		return false
	}
	for i := 0; i < len(body); {
		if c := body[i]; c < utf8.RuneSelf {
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(body[i:])
		if r == utf8.RuneError && size == 1 || r == 0xFFFE || r == 0xFFFF {
			return false
		}
		i += size
	}
	return true
}
