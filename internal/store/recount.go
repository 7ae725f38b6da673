package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Recount adds the ledger of events up anew, for items that are loaded from a dump: a dump holds tallies as far as React had
// come when it was made, and whoever follows the new table's feed does not hear of what was loaded. Give it every item, then
// write Tallies. Not safe for concurrent use.
type Recount struct {
	sums map[AccountKey]Counts
	last map[AccountKey]msg.Time
}

// NewRecount starts one.
func NewRecount() *Recount {
	return &Recount{sums: map[AccountKey]Counts{}, last: map[AccountKey]msg.Time{}}
}

// Item counts one item. It says false for a running tally: Tallies takes the place of those.
func (r *Recount) Item(item *table.Item) (keep bool, err error) {
	if name, ok := strings.CutPrefix(item.PK, "T#"); ok && item.PK != tallyIndexPK {
		t := new(tally)
		if err := json.Unmarshal(item.Body, t); err != nil {
			return false, damaged(item.Key, err)
		}
		channel, id, _ := strings.Cut(name, "#")
		account := AccountOf(channel, id)
		r.last[account] = max(r.last[account], t.LastReceived)
		r.add(account, Counts{})
		return false, nil
	}
	account, c, err := Contribution(item)
	if err != nil {
		return false, err
	}
	if account != "" {
		r.add(account, c)
	}
	return true, nil
}

func (r *Recount) add(account AccountKey, c Counts) {
	sum := r.sums[account]
	sum.add(c, 1)
	r.sums[account] = sum
}

// loadShard is the shard of the feed that loaded items count as: no feed has one of that name.
const loadShard = "load"

// Tallies are the items of the ledger as it was counted, sorted by account.
func (r *Recount) Tallies() ([]table.Item, error) {
	items := make([]table.Item, 0, 2*len(r.sums))
	for _, account := range slices.Sorted(maps.Keys(r.sums)) {
		body, err := json.Marshal(&tally{Counts: r.sums[account], LastReceived: r.last[account]})
		if err != nil {
			return nil, fmt.Errorf("count the ledger of %s anew: %w", account, err)
		}
		items = append(items,
			table.Item{Key: table.Key{PK: tallyIndexPK, SK: string(account)}, Rev: 1, Body: []byte("{\"case\":\"\"}")},
			table.Item{Key: tallyKey(account, loadShard), Rev: 1, Body: body})
	}
	return items, nil
}
