// Package media judges files that strangers sent: what they are, what they may be called, how they may be shown, and what
// picture stands for them. Everything here is a pure function of bytes; nothing trusts a claimed type or name.
package media

import (
	"mime"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"github.com/aikajana/aikajana/internal/msg"
)

// Octets is the type of what is not to be opened by a browser.
const Octets = "application/octet-stream"

// HeadLength is how many bytes of a file's beginning [Type] looks at, at most.
const HeadLength = 3072

// Type is the media type that the first bytes of a file say, without parameters. It never is empty: Octets for what nothing is
// known of.
func Type(head []byte) string {
	found, _, err := mime.ParseMediaType(mimetype.Detect(head[:min(len(head), HeadLength)]).String())
	if err != nil {
		return Octets
	}
	return found
}

// Kind is the kind of part that a file of the type is. claimed is what the channel said it was: it decides between kinds that
// hold the same types (a voice message is audio, a sticker a picture or a short video), and nothing else.
func Kind(claimed msg.PartKind, mediaType string) msg.PartKind {
	kind := msg.PartFile
	switch family, _, _ := strings.Cut(mediaType, "/"); {
	case mediaType == "image/svg+xml": // a document with scripts, whatever it is called
	case family == "image":
		kind = msg.PartImage
	case family == "audio":
		kind = msg.PartAudio
	case family == "video":
		kind = msg.PartVideo
	case mediaType == "application/ogg":
		kind = msg.PartAudio
	}
	switch {
	case claimed == msg.PartVoice && (kind == msg.PartAudio || kind == msg.PartVideo): // recorders label audio as video/webm
		return msg.PartVoice
	case claimed == msg.PartAudio && kind == msg.PartVideo:
		return msg.PartAudio
	case claimed == msg.PartSticker && (kind == msg.PartImage || kind == msg.PartVideo):
		return msg.PartSticker
	case claimed == msg.PartStory && kind != msg.PartFile:
		return msg.PartStory
	}
	return kind
}

// Limit is how many bytes of a kind of file are fetched and kept; what is larger is not.
func Limit(kind msg.PartKind) int64 {
	switch kind {
	case msg.PartImage, msg.PartSticker, msg.PartAudio, msg.PartVoice:
		return 25 << 20
	}
	return 100 << 20
}

// Served says how a browser is to treat a file.
type Served struct {
	// Type and Disposition are the response's Content-Type and Content-Disposition.
	Type        string
	Disposition string
}

// playable are the audio and video types that may be shown in place: no browser runs anything in them.
var playable = map[string]bool{
	"audio/aac": true, "audio/amr": true, "audio/flac": true, "audio/mp4": true, "audio/mpeg": true, "audio/ogg": true, "audio/wav": true,
	"audio/webm": true, "audio/x-m4a": true, "application/ogg": true,
	"video/3gpp": true, "video/mp4": true, "video/ogg": true, "video/quicktime": true, "video/webm": true,
}

// Serve says how a stored file is given out. mediaType is what its bytes say ([Type]); reencoded says that it is a picture which
// [Picture] or [Thumbnail] made. Those, audio and video are shown in place; everything else, above all HTML, SVG, PDF and
// pictures as they came, is Octets to be saved, never opened. name is shown when saving; it need not be safe.
func Serve(mediaType string, reencoded bool, name string) Served {
	switch {
	case reencoded && mediaType == "image/jpeg":
		return Served{Type: mediaType, Disposition: disposition("inline", name)}
	case playable[mediaType]:
		return Served{Type: mediaType, Disposition: disposition("inline", name)}
	}
	return Served{Type: Octets, Disposition: disposition("attachment", name)}
}

// disposition writes a Content-Disposition: an ASCII name for old clients and the whole one as RFC 6266 and RFC 8187 say.
func disposition(how, name string) string {
	name = Name(name)
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\%;`, r) {
			return '_'
		}
		return r
	}, name)
	result := how + `; filename="` + plain + `"`
	if plain != name {
		result += "; filename*=UTF-8''" + escape(name)
	}
	return result
}

// escape writes an ext-value of RFC 8187: every byte that is not an attr-char as %XX.
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}
