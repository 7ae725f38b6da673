package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
)

// says are the messages that an event carries: its own, or the one that an edit puts in another's place.
func says(ev *msg.Event) *msg.Message {
	if ev.Edit != nil {
		return &ev.Edit.Message
	}
	return ev.Message
}

// expectFiles marks files as on their way, so that a placeholder is shown from the first moment.
func expectFiles(ev *msg.Event) {
	m := says(ev)
	if m == nil {
		return
	}
	for i := range m.Parts {
		if m.Parts[i].Media != nil && m.Parts[i].Media.State == "" {
			m.Parts[i].Media.State = msg.MediaWaiting
		}
	}
}

func hasMedia(ev msg.Event) bool {
	m := says(&ev)
	return m != nil && slices.ContainsFunc(m.Parts, func(part msg.Part) bool { return part.Media != nil })
}

// largeEvent is the size, as JSON, above which an event's long texts are cut; the whole stays in the raw input.
const largeEvent = 100 << 10

// smallEnvelope is the size up to which an envelope holds no large event: an event keeps a text at most twice, and as JSON a
// byte becomes six at most. So the usual message is not encoded only to be measured.
const smallEnvelope = largeEvent / 12

// What is left of a large event: its text, the text of one part and of all of them in bytes, and how many parts.
const (
	slimText     = 32 << 10
	slimPart     = 4 << 10
	slimAllParts = 64 << 10
	slimParts    = 100
)

// slim makes an event fit into an item: long texts are cut where they are, and say so. The whole lies in a blob that the message
// names, and in the raw input.
func (p *Pipeline) slim(ctx context.Context, in *store.Incoming, envelope int) error {
	if envelope <= smallEnvelope {
		return nil
	}
	body, err := json.Marshal(&in.Event)
	if err != nil {
		return fmt.Errorf("envelope %s: %w", in.Envelope, err)
	}
	whole := says(&in.Event)
	if len(body) <= largeEvent || whole == nil {
		return nil
	}
	key := "body/" + in.ReceivedAt.Time().Format("20060102") + "/" + in.Envelope + "-" + fmt.Sprint(in.Place)
	if _, err := p.Blobs.Put(ctx, key, bytes.NewReader(body), blob.PutOptions{Type: "application/json"}); err != nil {
		return fmt.Errorf("keep the long body of envelope %s: %w", in.Envelope, err)
	}
	short := shortened(whole)
	short.Body = key
	if in.Event.Edit != nil {
		in.Event.Edit = &msg.Edit{Of: in.Event.Edit.Of, Message: *short}
	} else {
		in.Event.Message = short
	}
	return nil
}

// shortened is a message with its long texts cut.
func shortened(whole *msg.Message) *msg.Message {
	m := *whole
	m.FullText, m.Quoted = "", ""
	m.Text = shorten(m.Text, slimText)
	m.Parts = slices.Clone(m.Parts[:min(len(m.Parts), slimParts)])
	room := slimAllParts
	for i := range m.Parts {
		m.Parts[i].Raw = nil
		m.Parts[i].Text = shorten(m.Parts[i].Text, min(slimPart, room))
		room = max(0, room-len(m.Parts[i].Text))
	}
	return &m
}

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
