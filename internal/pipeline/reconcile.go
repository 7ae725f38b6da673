package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
)

// Balance is the reconciliation of one account: the ledger of events, kept by React, beside the ledger of envelopes, counted
// by the queues.
type Balance struct {
	Channel, Account string
	// Received is the sum of the five that follow. A dead envelope holds events that nobody has counted: it is one of them,
	// until it is redriven.
	Received, Stored, Duplicate, Quarantined, Pending, Dead int64
	// LastReceived is when the newest event came; zero for none.
	LastReceived msg.Time
	// Envelopes counts raw inputs. Accepted is counted when the input is made durable, independently of the others.
	Envelopes queue.Ledger
	// Balanced says that accepted = processed + queued + dead; Approximate that a queue keeps no exact count of what it
	// holds (SQS).
	Balanced, Approximate bool
}

// Reconcile balances every account that is connected or was heard of, sorted by channel and account.
func (p *Pipeline) Reconcile(ctx context.Context) ([]Balance, error) {
	accounts := map[store.AccountKey]*Balance{}
	of := func(k store.AccountKey) *Balance {
		if accounts[k] == nil {
			name, account := k.Split()
			accounts[k] = &Balance{Channel: name, Account: account}
		}
		return accounts[k]
	}
	connected, err := p.Store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range connected {
		of(store.AccountOf(a.Channel, a.Account))
	}
	events, err := p.Store.Ledger(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		b := of(store.AccountOf(e.Channel, e.Account))
		b.Stored, b.Duplicate, b.Quarantined, b.Pending, b.LastReceived = e.Stored, e.Duplicate, e.Quarantined, e.Pending, e.LastReceived
	}
	approximate := false
	for _, q := range []queue.Queue{p.Inbound, p.Mails} {
		counter, ok := q.(queue.Counter)
		if !ok {
			approximate = true
			continue
		}
		if _, numbered := q.(*NumberedQueue); numbered {
			approximate = true
		}
		groups, err := counter.Ledger(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the ledger of envelopes: %w", err)
		}
		for group, l := range groups {
			of(store.AccountKey(group)).add(l)
		}
	}
	balances := make([]Balance, 0, len(accounts))
	for _, k := range slices.Sorted(maps.Keys(accounts)) {
		b := accounts[k]
		b.Received = b.Stored + b.Duplicate + b.Quarantined + b.Pending + b.Dead
		b.Balanced = b.Envelopes.Accepted == b.Envelopes.Processed+b.Envelopes.Queued+b.Envelopes.Dead
		b.Approximate = approximate
		balances = append(balances, *b)
	}
	return balances, nil
}

// add takes in what one queue counted.
func (b *Balance) add(l queue.Ledger) {
	b.Envelopes.Accepted += l.Accepted
	b.Envelopes.Processed += l.Processed
	b.Envelopes.Queued += l.Queued
	b.Envelopes.Dead += l.Dead
	b.Envelopes.Missing += l.Missing // of one queue: mails have none
	b.Dead += l.Dead
}
