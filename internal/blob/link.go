package blob

import (
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
)

// MaxLink is how long a link works at most.
const MaxLink = 300 * time.Second

// MaxType is the length of the longest media type that a blob can be stored with, in bytes.
const MaxType = 200

// CheckLink says whether l can be made: a TTL of whole seconds above 0 and up to MaxLink, and a type and disposition that fit in
// a header. Every implementation refuses alike; the error is of kind fault.Invalid and names the field.
func CheckLink(l Link) error {
	if l.TTL < time.Second || l.TTL > MaxLink {
		return fault.Field("ttl", "a link works for 1 to %d seconds, not %s", int(MaxLink.Seconds()), l.TTL)
	}
	if err := CheckType(l.Type); err != nil {
		return err
	}
	if len(l.Disposition) > 1024 || !headerText(l.Disposition) {
		return fault.Field("disposition", "a Content-Disposition is at most 1024 bytes of printable ASCII: write other names as RFC 6266 says")
	}
	return nil
}

// CheckType says whether a blob can be stored with the media type; the error is of kind fault.Invalid.
func CheckType(mediaType string) error {
	if len(mediaType) > MaxType || !headerText(mediaType) {
		return fault.Field("type", "a media type is at most %d bytes of printable ASCII", MaxType)
	}
	return nil
}

func headerText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
