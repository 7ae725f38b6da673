package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Replay gives a quarantined input to the pipeline again. When it still cannot be understood it is back in quarantine with
// the new reason.
func (p *Pipeline) Replay(ctx context.Context, id string) error {
	q, err := p.Store.Quarantined(ctx, id)
	if err != nil {
		return err
	}
	if q.Event != nil {
		return p.replayEvent(ctx, q)
	}
	raw := q.Raw
	if q.RawBlob != "" && len(raw) == 0 {
		if raw, err = p.readBlob(ctx, q.RawBlob); err != nil {
			return fmt.Errorf("replay %s: %w", id, err)
		}
	}
	if len(raw) == 0 && !q.Replayed.IsZero() {
		return fault.Newf(fault.Conflict, "replayed", "input %s was replayed at %s, and nothing of it is kept here since", id, q.Replayed)
	}
	e, err := decode(raw)
	if err != nil {
		return fault.Newf(fault.Conflict, "no_envelope", "replay %s: what is kept is not a whole envelope: %w", id, err)
	}
	if err := p.open(ctx, e); err != nil {
		return err
	}
	if q.Refused {
		if err := p.verifyAgain(ctx, e); err != nil {
			return err
		}
	}
	if err := p.Accept(ctx, e, p.Inbound); err != nil {
		return err
	}
	return p.Store.Replayed(ctx, q)
}

// verifyAgain refuses to replay what was turned away at the door: an operator who vouches for it mends the key first, and
// then the provider's own redelivery brings it. Only mail-like inputs without a signature pass.
func (p *Pipeline) verifyAgain(ctx context.Context, e *channel.Envelope) error {
	adapter, ok := p.Channels.Get(e.Channel)
	hook, isHook := adapter.(channel.Webhook)
	if !ok || !isHook {
		return nil
	}
	account, err := p.accounts.get(ctx, e.Channel, e.Account, true)
	if err != nil {
		return err
	}
	if account == nil {
		return fault.Newf(fault.Conflict, "unknown_account", "account %s/%s is not connected", e.Channel, e.Account)
	}
	r := &channel.Request{Account: account, Method: "POST", URL: p.outsideURL(&url.URL{Path: "/hooks/" + e.Channel + "/" + e.Account, RawQuery: e.Query}), Header: e.Header, Body: e.Body, Now: e.ReceivedAt}
	if _, err := hook.Verify(r); err != nil {
		return fault.Newf(fault.Conflict, "signature", "the signature is still wrong: correct the account's secret, then replay")
	}
	return nil
}

func (p *Pipeline) replayEvent(ctx context.Context, q *store.Quarantined) error {
	adapter, ok := p.Channels.Get(q.Channel)
	if !ok {
		return fault.Newf(fault.Conflict, "no_channel", "this version knows no channel %s", q.Channel)
	}
	info := adapter.Info()
	account, err := p.accounts.get(ctx, q.Channel, q.Account, true)
	if q.Event.Scope != "" {
		account, err = p.accounts.byScope(ctx, &info, q.Event.Scope)
	}
	if err != nil {
		return err
	}
	if account == nil {
		return fault.Newf(fault.Conflict, "unknown_account", "no account is connected to it yet; connect one, then replay")
	}
	in := store.Incoming{Event: *q.Event, Scope: scope(&info, account), ReceivedAt: q.ReceivedAt, Envelope: q.Envelope, Rules: p.rules(&info, account)}
	in.Event.Account, in.Event.Scope = account.ID, ""
	if _, err := p.Store.Record(ctx, []store.Incoming{in}); err != nil {
		return err
	}
	return p.Store.Replayed(ctx, q)
}

func (p *Pipeline) readBlob(ctx context.Context, key string) ([]byte, error) {
	r, _, err := p.Blobs.Get(ctx, key, 0, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // only read from
	return io.ReadAll(r)
}

// Erase removes a person. A line goes into the ledger of erasures first, by which a restored table is erased again before it
// serves (I8); then each entry goes after its blobs. Calling it again finishes what was cut short.
func (p *Pipeline) Erase(ctx context.Context, customer, by string) (*store.Erasure, error) {
	return p.Store.EraseWith(ctx, customer, by, store.EraseHooks{
		Note: func(ctx context.Context, e *store.Erasure) error {
			line, err := json.Marshal(e)
			if err != nil {
				return fmt.Errorf("write the ledger of erasures: %w", err)
			}
			key := Erasures + e.At.Time().Format("20060102") + "/" + p.NewID()
			if _, err := p.Blobs.Put(ctx, key, bytes.NewReader(line), putOptions); err != nil {
				return fmt.Errorf("write the ledger of erasures: %w", err)
			}
			return nil
		},
		Drop: p.dropBlobs,
	})
}

func (p *Pipeline) dropBlobs(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := p.Blobs.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete a file: %w", err)
		}
	}
	return nil
}

// Raw is a quarantined input as it came: the body without our own line before it.
func (p *Pipeline) Raw(ctx context.Context, q *store.Quarantined) ([]byte, error) {
	if q.Event != nil {
		return json.Marshal(q.Event)
	}
	raw := q.Raw
	if q.RawBlob != "" && len(raw) == 0 {
		var err error
		if raw, err = p.readBlob(ctx, q.RawBlob); err != nil {
			return nil, fmt.Errorf("read quarantined input %s: %w", q.ID, err)
		}
	}
	e, broken := decode(raw)
	if broken != nil {
		return raw, nil //nolint:nilerr // what is no envelope is shown as it is: that is why it is in quarantine
	}
	if err := p.open(ctx, e); err != nil {
		return nil, err
	}
	return e.Body, nil
}

// Promise is the service level that applies to a case.
func (p *Pipeline) Promise(ctx context.Context, c *timeline.Case) (timeline.Promise, error) {
	info, _ := p.Channels.Info(c.Channel)
	account, err := p.accounts.get(ctx, c.Channel, c.Account, false)
	if err != nil {
		return timeline.Promise{}, err
	}
	return p.promise(&info, account), nil
}

// ReplayReact makes up for effects that did not happen: it goes through every entry and case that changed since a time and
// derives their notifications, wake-ups, files to fetch and acknowledgements anew. What happened before is not doubled,
// except for notices outside the socket. The ledger is not touched: it follows the feed alone.
func (p *Pipeline) ReplayReact(ctx context.Context, since msg.Time) (int, error) {
	scanner, ok := p.Store.Table().(table.Scanner)
	if !ok {
		return 0, fault.Newf(fault.Permanent, "no_scan", "this table cannot be read whole")
	}
	const page = 500
	done, from := 0, table.Key{}
	for {
		items, err := scanner.Scan(ctx, from, page)
		if err != nil {
			return done, fmt.Errorf("replay effects since %s: %w", since, err)
		}
		for i := range items {
			from = items[i].Key
			changed, err := changedSince(&items[i], since)
			if err != nil || !changed {
				continue // a damaged item is for check to report
			}
			c := table.Change{Key: items[i].Key, New: &items[i]}
			told, err := p.Store.Notify(ctx, []table.Change{c})
			if err := new(store.Skipped).Take(err); err != nil {
				return done, err
			}
			if n := told[0]; n != nil {
				if p.Push != nil {
					p.Push.Push(ctx, told)
				}
				if err := p.follow(ctx, &c, n.Changed); err != nil {
					return done, fmt.Errorf("replay the effects of %s: %w", c.Key, err)
				}
			}
			done++
		}
		if len(items) < page {
			return done, nil
		}
	}
}

func changedSince(item *table.Item, since msg.Time) (bool, error) {
	if !strings.HasPrefix(item.PK, "C#") || item.SK == "A" {
		return false, nil
	}
	var at struct {
		Entry     string   `json:"entry"`
		ChangedAt msg.Time `json:"changed_at"`
		Acted     msg.Time `json:"acted"`
	}
	if err := json.Unmarshal(item.Body, &at); err != nil {
		return false, err
	}
	return at.ChangedAt >= since && at.Entry != "" || !at.Acted.IsZero() && at.Acted >= since, nil
}

// PromiseOf is the service level that applies to new cases of an account.
func (p *Pipeline) PromiseOf(account *channel.Account) timeline.Promise {
	info, _ := p.Channels.Info(account.Channel)
	return p.promise(&info, account)
}
