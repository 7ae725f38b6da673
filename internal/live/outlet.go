package live

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/aikajana/aikajana/internal/store"
)

// Outlet is where the messages of one socket go.
type Outlet struct {
	// Send sends one frame.
	Send func(ctx context.Context, frame []byte) error
	// Batch says that the client takes frames that are JSON arrays of messages.
	Batch bool
	// Most is how many bytes a frame may have; 0 for as many as there are. A message that is larger goes without its entry, which
	// the client reads by the case.
	Most int
}

// batchBytes bounds a frame of several messages: API Gateway counts a message for each 32 KB begun (aws.amazon.com/api-gateway/pricing,
// read on 2026-11-30), and takes frames of that size.
const batchBytes = 32 << 10

// SendAll sends messages in their order, several in a frame where the client takes that.
func (o Outlet) SendAll(ctx context.Context, bodies [][]byte) error {
	if o.Most > 0 {
		bodies = slices.Clone(bodies) // they are other sockets' too
		for i, body := range bodies {
			bodies[i] = fit(body, o.Most-len("[]"))
		}
	}
	if o.Batch {
		bodies = pack(bodies)
	}
	for _, body := range bodies {
		if err := o.Send(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

// fit leaves the entry out of a message that is too large.
func fit(body []byte, most int) []byte {
	if len(body) <= most {
		return body
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &fields); err != nil {
		return []byte(`{"type":"refetch"}`)
	}
	delete(fields, "entry")
	short, err := json.Marshal(fields)
	if err != nil {
		return []byte(`{"type":"refetch"}`)
	}
	return short
}

// pack makes JSON arrays of messages. One that is too large by itself has a frame of its own.
func pack(bodies [][]byte) (frames [][]byte) {
	var frame []byte
	for _, body := range bodies {
		if len(frame) > 0 && len(frame)+len(",")+len(body)+len("]") > batchBytes {
			frames, frame = append(frames, append(frame, ']')), nil
		}
		if len(frame) == 0 {
			frame = append(frame, '[')
		} else {
			frame = append(frame, ',')
		}
		frame = append(frame, body...)
	}
	if len(frame) > 0 {
		frames = append(frames, append(frame, ']'))
	}
	return frames
}

// Newest leaves one notification of each entry and each case, the last: earlier ones would tell the same once more. When the last
// says only that something changed, the last that said more is left before it, for clients that ring on a new message. They keep
// their order. of says what notification each is or carries.
func Newest[T any](all []T, of func(T) *store.Notification) []T {
	type thing struct {
		kind, in, entry string
		news            bool // it says more than that something changed
	}
	thingOf := func(one T) thing { n := of(one); return thing{n.Type, n.Case, n.Entry, n.Why != store.WhyChanged} }
	last := make(map[thing]int, len(all))
	for i, one := range all {
		t := thingOf(one)
		last[t] = i
		t.news = false
		last[t] = i
	}
	newest := make([]T, 0, len(last))
	for i, one := range all {
		if last[thingOf(one)] == i {
			newest = append(newest, one)
		}
	}
	return newest
}
