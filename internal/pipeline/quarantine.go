package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
)

// inlineQuarantined is the largest envelope that is kept inside its quarantined input.
const inlineQuarantined = 32 << 10

// quarantine keeps an envelope, or one item of it, with its cause. from is whose it seems to be, where that can be told: an
// erasure finds it by that. What cannot be told is forgotten as early as other raw input.
func (p *Pipeline) quarantine(ctx context.Context, e *channel.Envelope, cause channel.Cause, detail string, place int, refused bool, from ...msg.Address) error {
	size := len(e.Body)
	raw, err := durable(ctx, p.Blobs, e)
	if err != nil {
		return err
	}
	q := store.Quarantined{
		Channel: e.Channel, Account: e.Account, Cause: string(cause), Detail: detail, Envelope: e.ID, ReceivedAt: e.ReceivedAt,
		Size: size, Refused: refused, From: from,
	}
	if e.Blob != "" {
		q.Bodies, q.Expires = []string{e.Blob}, goneBy(e)
	}
	if len(raw) <= inlineQuarantined {
		q.Raw = raw
	} else {
		q.RawBlob = quarantineBlobs + e.ReceivedAt.Time().Format("20060102") + "/" + e.ID
		if _, err := p.Blobs.Put(ctx, q.RawBlob, bytes.NewReader(raw), putOptions); err != nil {
			return fmt.Errorf("keep quarantined envelope %s: %w", e.ID, err)
		}
	}
	return p.keep(ctx, q, place)
}

// goneBy is when the blob with an envelope's body goes: what is quarantined is worth nothing without it.
func goneBy(e *channel.Envelope) msg.Time {
	days := rawFor
	if strings.HasPrefix(e.Blob, sharedRaw) {
		days = sharedFor
	}
	return e.ReceivedAt.Add(time.Duration(days) * 24 * time.Hour)
}

// keep quarantines an input. One of somebody who was erased after it was received is forgotten with its blobs.
func (p *Pipeline) keep(ctx context.Context, q store.Quarantined, place int) error {
	id, err := p.Store.Quarantine(ctx, q, place)
	if err != nil || id != "" {
		return err
	}
	return p.dropBlobs(ctx, q.OwnBlobs())
}

// quarantineEvent keeps an event of an account that nobody has connected.
func (p *Pipeline) quarantineEvent(ctx context.Context, e *channel.Envelope, ev *msg.Event, place int) error {
	return p.keep(ctx, store.Quarantined{
		Channel: e.Channel, Account: e.Account, Cause: string(channel.CauseUnknownAccount), Envelope: e.ID, ReceivedAt: e.ReceivedAt,
		Detail: "no account is connected to " + ev.Scope + "; connect it, then replay", Event: ev, Scope: ev.Scope,
	}, 1000+place)
}

// expire forgets a quarantined input whose time is over, and says so.
func (p *Pipeline) expire(ctx context.Context, id string) error {
	q, err := p.Store.Expire(ctx, id, p.dropBlobs)
	if err != nil || q == nil {
		return err
	}
	if q.Replayed.IsZero() && !q.Refused {
		p.Log.WarnContext(ctx, "quarantined input forgotten, its time was over", "id", id, "channel", q.Channel, "account", q.Account,
			"cause", q.Cause, "received_at", q.ReceivedAt)
	}
	return nil
}
