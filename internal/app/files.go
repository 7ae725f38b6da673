package app

import (
	"bytes"

	"github.com/aikajana/aikajana/internal/media"
	"github.com/aikajana/aikajana/internal/pipeline"
)

// InspectFile says what a file's bytes are, for pipeline.Deps. Only what fetches files needs it, and with it the decoders of
// pictures.
func InspectFile(name, _ string, body []byte) pipeline.FileFacts {
	facts := pipeline.FileFacts{Type: media.Type(body[:min(len(body), media.HeadLength)]), Name: media.Name(name)}
	if small, err := media.Thumbnail(bytes.NewReader(body)); err == nil {
		facts.Thumbnail = small.JPEG // anything else is shown as a file
	}
	return facts
}
