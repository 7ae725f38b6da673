package live

import (
	"fmt"
	"slices"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Entry is an entry as staff see it, on the socket and in a timeline, without what must not leave the server: the raw input,
// where files lie, the provider's own links to them (which may hold a credential), the reply token, and what only its adapter
// reads.
func Entry(e *timeline.Entry) timeline.Entry {
	v := *e
	v.Raw, v.RawBlob, v.Envelope, v.Native, v.Applied, v.Seen = nil, "", "", nil, 0, 0
	if v.Message != nil {
		m := viewMessage(v.Message, v.Entry)
		v.Message = &m
	}
	if v.Call != nil && v.Call.Recording != nil {
		call := *v.Call
		call.Recording = viewMedia(call.Recording, v.Entry, CallRecording)
		v.Call = &call
	}
	if len(v.Edits) > 0 {
		v.Edits = slices.Clone(v.Edits)
		for n := range v.Edits {
			v.Edits[n].Message = viewMessage(&v.Edits[n].Message, "")
		}
	}
	if !v.Removed.IsZero() && v.Delivery == nil && v.Message != nil {
		v.Message = &msg.Message{} // the sender took it back; the entry stays to show that
		v.Edits = nil
	}
	return v
}

// CallRecording is the number of the "part" that is a call's recording.
const CallRecording = 9999

func viewMessage(m *msg.Message, entry string) msg.Message {
	v := *m
	v.ReplyToken = ""
	v.Parts = slices.Clone(m.Parts)
	for n := range v.Parts {
		if v.Parts[n].Media != nil {
			v.Parts[n].Media = viewMedia(v.Parts[n].Media, entry, n)
		}
	}
	return v
}

func viewMedia(m *msg.Media, entry string, part int) *msg.Media {
	v := *m
	v.URL, v.Key, v.Thumbnail = "", "", ""
	if entry == "" || m.Key == "" {
		return &v
	}
	v.URL = fmt.Sprintf("/api/v1/media/%s.%d", entry, part)
	if m.Thumbnail != "" {
		v.Thumbnail = v.URL + "?size=thumbnail"
	}
	return &v
}
