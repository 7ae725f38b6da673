package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	queuesqs "github.com/aikajana/aikajana/internal/queue/sqs"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

type replayCmd struct {
	Table   string    `required:"" help:"The table that received it: the old one, as far as it can be read." placeholder:"NAME"`
	Bucket  string    `required:"" help:"The bucket of the restored stack, with the blobs that raw input lies in." placeholder:"NAME"`
	Since   time.Time `required:"" help:"Replay what was received at that moment or later: a little before the dump was begun." placeholder:"2026-11-23T08:00:00Z"`
	Inbound string    `required:"" help:"URL of the restored stack's inbound queue." placeholder:"URL"`
	Mail    string    `required:"" help:"URL of the restored stack's mail queue." placeholder:"URL"`
}

// Help shows an example.
func (replayCmd) Help() string {
	return "Sends the raw input that an old table keeps to the queues of a restored stack, which works on it as when it came. What the stack holds already " +
		"becomes a duplicate, so an early --since does no harm. Not replayed are receipts, edits and reactions, what its sender took back, and what your own people wrote: " +
		"the old table alone has those.\n\n" +
		"Example: aikajana-aws replay --table aikajana-Table-1A2B3C --bucket aikajana-restored-databucket-7x --since 2026-11-23T08:00:00Z " +
		"--inbound https://sqs.eu-north-1.amazonaws.com/123456789012/restored-InboundQueue-4D --mail https://sqs.eu-north-1.amazonaws.com/123456789012/restored-MailQueue-5E"
}

// Run replays.
func (c *replayCmd) Run(ctx context.Context, s streams, at cloud) error {
	t, blobs, err := dataOf(ctx, at, c.Table, c.Bucket)
	if err != nil {
		return err
	}
	cfg, err := at(ctx)
	if err != nil {
		return noConfig(err)
	}
	client := sqs.NewFromConfig(cfg)
	kept, err := rawSince(ctx, t, msg.TimeOf(c.Since))
	if err != nil {
		return err
	}
	queues := map[bool]queue.Sender{false: queuesqs.New(client, c.Inbound, ""), true: queuesqs.New(client, c.Mail, "")}
	for i := range kept.inputs {
		e, err := kept.inputs[i].envelope(ctx, blobs)
		if err != nil {
			return err
		}
		out, err := pipeline.Outgoing(ctx, blobs, e)
		if err != nil {
			return err
		}
		if err := queues[e.Mail != nil].Send(ctx, out); err != nil {
			return fmt.Errorf("replay envelope %s, received %s: %w; run it again, what was sent becomes a duplicate", e.ID, e.ReceivedAt, err)
		}
	}
	_, err = fmt.Fprintf(s.err, "%d inputs replayed; %d that their senders took back were left out\n", len(kept.inputs), kept.removed)
	return err
}

// kept is what a table keeps of raw input.
type kept struct {
	inputs  []input
	removed int
}

// input is one raw input: that of an entry, or one in quarantine.
type input struct {
	entry *timeline.Entry
	held  *store.Quarantined
}

func (i *input) receivedAt() msg.Time {
	if i.entry != nil {
		return i.entry.ReceivedAt
	}
	return i.held.ReceivedAt
}

func (i *input) name() string {
	if i.entry != nil {
		return i.entry.Envelope
	}
	return i.held.Envelope
}

// rawSince finds every input that was received since, each once, in the order in which they came.
func rawSince(ctx context.Context, t table.Scanner, since msg.Time) (*kept, error) {
	all := &kept{}
	seen := map[string]bool{} // envelopes: several entries share one
	for from := (table.Key{}); ; {
		items, err := t.Scan(ctx, from, page)
		if err != nil {
			return nil, fmt.Errorf("read the table behind %s: %w", from, err)
		}
		for i := range items {
			from = items[i].Key
			in, err := inputOf(&items[i])
			if err != nil {
				return nil, err
			}
			switch {
			case in == nil || in.receivedAt() < since || seen[in.name()]:
			case in.entry != nil && !in.entry.Removed.IsZero():
				all.removed++
			default:
				seen[in.name()] = true
				all.inputs = append(all.inputs, *in)
			}
		}
		if len(items) < page {
			break
		}
	}
	slices.SortFunc(all.inputs, func(a, b input) int {
		return cmp.Or(cmp.Compare(a.receivedAt(), b.receivedAt()), cmp.Compare(a.name(), b.name()))
	})
	return all, nil
}

// inputOf is the raw input that an item keeps, nil for one that keeps none.
func inputOf(item *table.Item) (*input, error) {
	switch {
	case strings.HasPrefix(item.PK, "C#") && strings.HasPrefix(item.SK, "E#"):
		e := new(timeline.Entry)
		if err := json.Unmarshal(item.Body, e); err != nil {
			return nil, fmt.Errorf("read %s: it is damaged: %w", item.Key, err)
		}
		if len(e.Raw) > 0 || e.RawBlob != "" {
			return &input{entry: e}, nil
		}
	case strings.HasPrefix(item.PK, "Q#2"): // a day's; the list of days is Q#days
		q := new(store.Quarantined)
		if err := json.Unmarshal(item.Body, q); err != nil {
			return nil, fmt.Errorf("read %s: it is damaged: %w", item.Key, err)
		}
		// What was refused at the door was never accepted. What was replayed is in timelines, or in quarantine anew.
		if !q.Refused && q.Replayed.IsZero() && (len(q.Raw) > 0 || q.RawBlob != "") {
			return &input{held: q}, nil
		}
	}
	return nil, nil
}

// envelope is the input as it was accepted, as far as that was kept.
func (i *input) envelope(ctx context.Context, blobs blob.Store) (*channel.Envelope, error) {
	if i.entry == nil {
		return quarantined(ctx, i.held, blobs)
	}
	e := i.entry
	out := &channel.Envelope{ID: e.Envelope, Channel: e.Channel, Account: e.Account, ReceivedAt: e.ReceivedAt, Blob: e.RawBlob}
	if id, ok := strings.CutPrefix(e.Envelope, "mail-"); ok {
		// The verdicts stand in the fields that SES wrote into the mail itself.
		out.Mail = &channel.Mail{Via: "ses", ProviderID: id}
		return out, nil
	}
	var body []byte
	var err error
	if len(e.Raw) > 0 {
		if body, err = pipeline.Decompress(e.Raw, maxRaw); err != nil {
			return nil, fmt.Errorf("replay the input of entry %s: %w", e.Entry, err)
		}
		out.Body = body
	} else if body, err = readBlob(ctx, blobs, e.RawBlob); err != nil {
		return nil, fmt.Errorf("replay the input of entry %s: %w; copy the old bucket's blobs first", e.Entry, err)
	}
	out.Header = headers(e, body)
	return out, nil
}

// maxRaw is more than an entry holds compressed.
const maxRaw = 1 << 20

// headers says of a body again what its headers said, which are not kept: what kind of body it is, and the name by which a
// signed webhook goes. An event of CloudEvents in binary mode has all its attributes there; its sender must send it again.
func headers(e *timeline.Entry, body []byte) http.Header {
	kind := "application/json"
	switch start, _, _ := bytes.Cut(body, []byte("\r\n")); {
	case len(start) < 80 && bytes.HasPrefix(start, []byte("--")):
		kind = "multipart/form-data; boundary=" + string(start[2:])
	case len(body) > 0 && !strings.ContainsRune("{[ \t\r\n\uFEFF", rune(body[0])):
		kind = "application/x-www-form-urlencoded"
	}
	return http.Header{"Content-Type": {kind}, "Webhook-Id": {e.ID}}
}

// quarantined is an envelope out of quarantine, whole.
func quarantined(ctx context.Context, q *store.Quarantined, blobs blob.Store) (*channel.Envelope, error) {
	raw := q.Raw
	if len(raw) == 0 {
		var err error
		if raw, err = readBlob(ctx, blobs, q.RawBlob); err != nil {
			return nil, fmt.Errorf("replay %s: %w", q.ID, err)
		}
	}
	e, err := pipeline.Envelope(raw)
	if err != nil {
		return nil, fmt.Errorf("replay %s: what is kept is not a whole envelope: %w", q.ID, err)
	}
	// Its number is the old stack's: here, where those before it were never seen, they would be missed for ever.
	e.Count = nil
	return e, nil
}

func readBlob(ctx context.Context, blobs blob.Store, key string) ([]byte, error) {
	r, _, err := blobs.Get(ctx, key, 0, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // read to the end
	return io.ReadAll(r)
}
