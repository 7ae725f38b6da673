package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
)

// Erasures is where Erase keeps the ledger of erasures: one blob each.
const Erasures = "erasures/"

// EraseAgain erases everybody again whom the ledger of erasures in blobs names, in a table that may be restored from before
// they were erased (I8). It comes before anything is served or replayed: what somebody wrote after their erasure is a new
// customer's, and would be taken for the old one's otherwise. Where nothing of them is left it only reads, so it may be called
// as often as one likes. Each, when set, is told of every line of the ledger and of how many blobs went with it.
func EraseAgain(ctx context.Context, s *store.Store, blobs blob.Store, each func(key string, files int)) error {
	err := EachErasure(ctx, blobs, func(key string, line []byte) error {
		past := new(store.Erasure)
		if err := json.Unmarshal(line, past); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		done, err := s.EraseAgain(ctx, past)
		if err != nil {
			return err
		}
		for _, b := range done.Blobs {
			if err := blobs.Delete(ctx, b); err != nil {
				return fmt.Errorf("delete a file: %w", err)
			}
		}
		if each != nil {
			each(key, len(done.Blobs))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("apply the ledger of erasures, which comes before serving: %w", err)
	}
	return nil
}

// EachErasure calls f with every line of the ledger of erasures, in the order of their days.
func EachErasure(ctx context.Context, blobs blob.Store, f func(key string, line []byte) error) error {
	const page = 500
	for after := ""; ; {
		lines, err := blobs.List(ctx, Erasures, after, page)
		if err != nil {
			return err
		}
		for _, line := range lines {
			after = line.Key
			body, _, err := blobs.Get(ctx, line.Key, 0, 0)
			if err != nil {
				return fmt.Errorf("read %s: %w", line.Key, err)
			}
			var b bytes.Buffer
			_, err = b.ReadFrom(body)
			if err := errors.Join(err, body.Close()); err != nil {
				return fmt.Errorf("read %s: %w", line.Key, err)
			}
			if err := f(line.Key, b.Bytes()); err != nil {
				return err
			}
		}
		if len(lines) < page {
			return nil
		}
	}
}

// Outgoing is an envelope as the queues Inbound and Mails take it: a body that is too large for one goes to a blob first.
func Outgoing(ctx context.Context, blobs blob.Store, e *channel.Envelope) (queue.Outgoing, error) {
	body, err := durable(ctx, blobs, e)
	return queue.Outgoing{Body: body, Group: string(store.AccountOf(e.Channel, e.Account))}, err
}

// Envelope takes apart what a queue or the quarantine holds.
func Envelope(b []byte) (*channel.Envelope, error) { return decode(b) }
