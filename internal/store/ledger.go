package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Counts are the terms of the ledger of events for one account: received is their sum.
type Counts struct {
	Stored      int64 `json:"stored"`
	Duplicate   int64 `json:"duplicate"`
	Quarantined int64 `json:"quarantined"`
	Pending     int64 `json:"pending"`
}

func (c *Counts) add(d Counts, sign int64) {
	c.Stored += sign * d.Stored
	c.Duplicate += sign * d.Duplicate
	c.Quarantined += sign * d.Quarantined
	c.Pending += sign * d.Pending
}

// AccountKey names an account in ledgers: "channel/account".
type AccountKey string

// AccountOf joins the two.
func AccountOf(channel, account string) AccountKey { return AccountKey(channel + "/" + account) }

// Split takes the name apart again.
func (k AccountKey) Split() (channel, account string) {
	channel, account, _ = strings.Cut(string(k), "/")
	return channel, account
}

// Contribution is what one item counts in the tallies of the ledger of events, and of which account. The ledger is the sum over
// all items: exact, because each event is counted in the item that it changed, in the transaction that changed it. The arrival
// of an object whose envelope is numbered counts nothing here: it is in the note of its envelope (see Incoming.By).
func Contribution(item *table.Item) (AccountKey, Counts, error) {
	if item == nil {
		return "", Counts{}, nil
	}
	switch {
	case strings.HasPrefix(item.PK, "X#"):
		var x struct {
			Channel, Account, Entry, By string
			Own, Erased                 bool
			Seen, Applied, Ignored      int
			Waiting                     []json.RawMessage
		}
		if err := json.Unmarshal(item.Body, &x); err != nil {
			return "", Counts{}, damaged(item.Key, err)
		}
		if x.Channel == "" {
			return "", Counts{}, nil // an idempotency marker
		}
		c := Counts{Stored: int64(x.Applied), Duplicate: int64(x.Seen + x.Ignored), Pending: int64(len(x.Waiting))}
		if (x.Entry != "" || x.Erased) && !x.Own && x.By == "" {
			c.Stored++
		}
		return AccountOf(x.Channel, x.Account), c, nil
	case strings.HasPrefix(item.SK, "E#"):
		// Most entries count nothing, and no string can hold these bytes: its quotes would be escaped.
		if !bytes.Contains(item.Body, []byte(`"applied":`)) && !bytes.Contains(item.Body, []byte(`"seen":`)) {
			return "", Counts{}, nil
		}
		var e struct {
			Channel, Account string
			Applied, Seen    int
		}
		if err := json.Unmarshal(item.Body, &e); err != nil {
			return "", Counts{}, damaged(item.Key, err)
		}
		return AccountOf(e.Channel, e.Account), Counts{Stored: int64(e.Applied), Duplicate: int64(e.Seen)}, nil
	case strings.HasPrefix(item.PK, "Q#") && item.PK != quarantineDays:
		var q Quarantined
		if err := json.Unmarshal(item.Body, &q); err != nil {
			return "", Counts{}, damaged(item.Key, err)
		}
		if !q.counts() {
			return "", Counts{}, nil
		}
		return AccountOf(q.Channel, q.Account), Counts{Quarantined: 1}, nil
	}
	return "", Counts{}, nil
}

func damaged(k table.Key, err error) error { return fmt.Errorf("read %s: it is damaged: %w", k, err) }

// tally is the running sum of contributions over one shard of the change feed.
type tally struct {
	Counts
	// Seq is the last change that is in it: a batch that comes again is not counted twice.
	Seq string `json:"seq"`
	// LastReceived is when the account last received something.
	LastReceived msg.Time `json:"last_received,omitzero"`
}

func tallyKey(account AccountKey, shard string) table.Key {
	channel, id := account.Split()
	return table.Key{PK: "T#" + channel + "#" + id, SK: shard}
}

// tallyIndexPK lists the accounts that have tallies.
const tallyIndexPK = "T#accounts"

// Tally sums a batch of changes of one feed shard into the tallies of the accounts they concern: exactly once, however often
// the batch comes, because each tally keeps the last sequence number beside its sums. Sequence numbers of a shard sort as
// bytes within the same length and longer ones are later. A change of an item that cannot be read is passed over: the error is
// a *Skipped then, and everything else is counted.
func (s *Store) Tally(ctx context.Context, changes []table.Change) error {
	type key struct {
		account AccountKey
		shard   string
	}
	grouped, skipped := map[key][]delta{}, new(Skipped)
	for i := range changes {
		c := &changes[i]
		was, minus, err := Contribution(c.Old)
		is, plus, newErr := Contribution(c.New)
		if err := cmp.Or(err, newErr); err != nil {
			skipped.add(c.Key, err) // what it counted before, it goes on counting until it can be read again
			continue
		}
		if was == is && plus == minus {
			continue
		}
		if minus != (Counts{}) { // what counts nothing is worth no write
			at := key{was, c.Shard}
			grouped[at] = append(grouped[at], delta{c.Seq, minus, -1, 0})
		}
		if plus != (Counts{}) {
			at := key{is, c.Shard}
			grouped[at] = append(grouped[at], delta{c.Seq, plus, 1, c.At})
		}
	}
	keys := slices.SortedFunc(maps.Keys(grouped), func(a, b key) int {
		return strings.Compare(string(a.account)+a.shard, string(b.account)+b.shard)
	})
	for _, k := range keys {
		if err := s.addTally(ctx, k.account, k.shard, grouped[k]); err != nil {
			return err
		}
	}
	return skipped.err()
}

type delta struct {
	seq    string
	counts Counts
	sign   int64
	at     msg.Time
}

func (s *Store) addTally(ctx context.Context, account AccountKey, shard string, deltas []delta) error {
	return s.update(ctx, "tally "+string(account), func(u *unit) error {
		k := tallyKey(account, shard)
		t, err := load[tally](u, k)
		if err != nil {
			return err
		}
		if t == nil {
			t = &tally{}
			name := table.Key{PK: tallyIndexPK, SK: string(account)}
			known, err := load[pointer](u, name)
			if err != nil {
				return err
			}
			if known == nil {
				u.save(name, &pointer{})
			}
		}
		last := t.Seq
		for _, d := range deltas {
			if !seqAfter(d.seq, last) {
				continue // counted before: the batch came again
			}
			t.add(d.counts, d.sign)
			t.LastReceived = max(t.LastReceived, d.at)
			t.Seq = d.seq
		}
		if t.Seq != last {
			u.save(k, t)
		}
		return nil
	})
}

func seqAfter(a, b string) bool { return len(a) > len(b) || len(a) == len(b) && a > b }

// Account is the ledger of events of one account.
type Account struct {
	Channel string
	Account string
	Counts
	LastReceived msg.Time
}

// Ledger sums the tallies and what the notes of envelopes count: the ledger of events by account, as far as React has come.
func (s *Store) Ledger(ctx context.Context) ([]Account, error) {
	noted, err := s.Envelopes(ctx)
	if err != nil {
		return nil, err
	}
	names, err := s.table.Query(ctx, table.Query{PK: tallyIndexPK})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	all := make([]Account, 0, len(names))
	for _, name := range names {
		account := AccountKey(name.SK)
		shards, err := query[tally](ctx, s, table.Query{PK: tallyKey(account, "").PK})
		if err != nil {
			return nil, fmt.Errorf("read the ledger of %s: %w", account, err)
		}
		a := Account{}
		a.Channel, a.Account = account.Split()
		for _, t := range shards {
			a.add(t.Counts, 1)
			a.LastReceived = max(a.LastReceived, t.LastReceived)
		}
		if e := noted[account]; e != nil {
			a.Stored += e.Stored
			a.LastReceived = max(a.LastReceived, e.LastReceived)
			delete(noted, account)
		}
		all = append(all, a)
	}
	for _, account := range slices.Sorted(maps.Keys(noted)) { // those that no tally counts anything of
		a := Account{Counts: Counts{Stored: noted[account].Stored}, LastReceived: noted[account].LastReceived}
		a.Channel, a.Account = account.Split()
		all = append(all, a)
	}
	return all, nil
}
