package pipeline

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
)

// Sizes that decide where raw input is kept.
const (
	// inlineBody is the largest body that travels in the queue; a larger one lies in a blob.
	inlineBody = 200 << 10
	// inlineRaw is the largest compressed raw input that is kept inside its entry.
	inlineRaw = 2 << 10
	// maxHook is the largest body that a webhook may have.
	maxHook = 3 << 20
)

// sharedRaw is where raw input of several people lies; store knows the prefix too, so that erasing one leaves the others'.
const sharedRaw = "raw/shared/"

// ofSeveral says that events may be of several people: then their raw input is nobody's to be deleted with.
func ofSeveral(events []msg.Event) bool {
	if len(events) < 2 {
		return false
	}
	first := store.Subject(&events[0])
	return slices.ContainsFunc(events[1:], func(ev msg.Event) bool {
		who := store.Subject(&ev)
		return len(who) == 0 || len(first) == 0 || who[0].Key() != first[0].Key()
	})
}

// encode is an envelope as queues and quarantine hold it: one line of JSON, then the body as it came.
func encode(e *channel.Envelope) ([]byte, error) {
	head := *e
	head.Body = nil
	line, err := json.Marshal(&head)
	if err != nil {
		return nil, fmt.Errorf("encode envelope %s: %w", e.ID, err)
	}
	out := make([]byte, 0, len(line)+1+len(e.Body))
	out = append(out, line...)
	out = append(out, '\n')
	return append(out, e.Body...), nil
}

func decode(b []byte) (*channel.Envelope, error) {
	line, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return nil, fault.Newf(fault.Permanent, "envelope", "it has no first line")
	}
	e := new(channel.Envelope)
	if err := json.Unmarshal(line, e); err != nil {
		return nil, fault.Newf(fault.Permanent, "envelope", "its first line is not JSON: %w", err)
	}
	if e.ID == "" || e.Channel == "" {
		return nil, fault.Newf(fault.Permanent, "envelope", "it names no ID or no channel")
	}
	e.Body = body
	return e, nil
}

// rawKey is where the raw form of an envelope lies. Days come first so that old ones can be deleted together.
//
// A mail is one person's. A large body of anything else is a batch, of several people: it is nobody's to be deleted with, and
// gone after fourteen days.
func rawKey(e *channel.Envelope) string {
	prefix := "raw/"
	if e.Mail == nil && len(e.Body) > inlineBody {
		prefix = sharedRaw
	}
	return prefix + e.ReceivedAt.Time().Format("20060102") + "/" + e.ID
}

// durable makes an envelope ready for a queue: a large body goes to a blob first.
func durable(ctx context.Context, blobs blob.Store, e *channel.Envelope) ([]byte, error) {
	if len(e.Body) > inlineBody {
		e.Blob = rawKey(e)
		if _, err := blobs.Put(ctx, e.Blob, bytes.NewReader(e.Body), putOptions); err != nil {
			return nil, fmt.Errorf("keep the body of envelope %s: %w", e.ID, err)
		}
		e.Body = nil
	}
	return encode(e)
}

// open loads a body that lies in a blob.
func (p *Pipeline) open(ctx context.Context, e *channel.Envelope) error {
	if e.Blob == "" || len(e.Body) > 0 {
		return nil
	}
	r, _, err := p.Blobs.Get(ctx, e.Blob, 0, 0)
	if err != nil {
		return fmt.Errorf("open the body of envelope %s: %w", e.ID, err)
	}
	defer func() { _ = r.Close() }() // read to the end below: nothing is lost by a failing close
	if e.Body, err = io.ReadAll(r); err != nil {
		return fmt.Errorf("read the body of envelope %s: %w", e.ID, err)
	}
	return nil
}

// compressor pools what flate allocates: about a megabyte for each writer.
type compressor struct{ pool sync.Pool }

func (c *compressor) compress(b []byte) []byte {
	var out bytes.Buffer
	w, ok := c.pool.Get().(*flate.Writer)
	if !ok {
		w, _ = flate.NewWriter(&out, flate.BestSpeed) // the level is a constant that it knows
	} else {
		w.Reset(&out)
	}
	_, _ = w.Write(b) // a bytes.Buffer takes everything
	_ = w.Close()
	c.pool.Put(w)
	return out.Bytes()
}

// Decompress gives back the raw input that an entry or a quarantined input holds compressed, at most max bytes.
func Decompress(b []byte, max int64) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), max))
	if err != nil {
		return nil, fmt.Errorf("decompress raw input: %w", err)
	}
	return out, nil
}
