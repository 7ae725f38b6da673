package store

import (
	"crypto/sha256"
	"slices"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// identity is whose an address is. The item outlives the customer: what is left after an erasure is the generation alone.
type identity struct {
	Customer   string `json:"customer,omitempty"`
	Generation int    `json:"generation"`
	// Retired says that the address was given up (a number that changed): whoever uses it next is somebody else.
	Retired bool `json:"retired,omitempty"`
	// Erased is when whoever had the address was erased: what was received from it before is not kept, whichever way it comes
	// again (I8).
	Erased msg.Time `json:"erased,omitzero"`
}

// kept is an address of a customer that stands beside the profile: one that has no room in it, or one that they gave up.
type kept struct {
	msg.Address
	// Until is when it was given up: what came from it later is somebody else's.
	Until msg.Time `json:"until,omitzero"`
}

// external remembers an object of a provider: that it is stored, or what came for it before it did.
type external struct {
	Channel string `json:"channel"`
	Account string `json:"account"`
	// Entry is where it is stored; empty while only things about it have come.
	Entry string `json:"entry,omitempty"`
	// Own marks a message of ours: it was sent, not received, and does not count in the ledger.
	Own bool `json:"own,omitempty"`
	// Erased is all that is left of an object of an erased customer. Applied and Ignored are what its entry counted.
	Erased  bool `json:"erased,omitempty"`
	Applied int  `json:"applied,omitempty"`
	Ignored int  `json:"ignored,omitempty"`
	// By names the envelope that brought it, where envelopes are numbered: its note counts the object, and no tally does.
	By string `json:"by,omitempty"`
	// Seen counts how often the object came again.
	Seen int `json:"seen,omitempty"`
	// Waiting are receipts, edits, removals and reactions that came before it.
	Waiting []msg.Event `json:"waiting,omitempty"`
	Since   msg.Time    `json:"since,omitzero"`
	// Forgotten are hashes of events that waited and were erased: they are known when they come again.
	Forgotten []string `json:"forgotten,omitempty"`
	// Copies are blobs with further copies of the object's raw input: they go when its entry is erased.
	Copies []string `json:"copies,omitempty"`
}

// countsNothing says that the tallies of the ledger have nothing to count in it, as Contribution would find: nobody follows the
// making of such an item, and it is most of what is ever made.
func (x *external) countsNothing() bool {
	return (x.Own || x.By != "") && x.Seen+x.Applied+x.Ignored+len(x.Waiting) == 0
}

// forget notes the hash of an event that was erased.
func (x *external) forget(hash string) {
	if slices.Contains(x.Forgotten, hash) {
		return
	}
	if len(x.Forgotten) >= maxWaiting {
		x.Forgotten = slices.Delete(x.Forgotten, 0, 1)
	}
	x.Forgotten = append(x.Forgotten, hash)
}

// maxWaiting bounds what may wait for one message.
const maxWaiting = 50

// OrphanAfter is how long something waits for the message it is about; then it goes to quarantine.
const OrphanAfter = 7 * 24 * hour

func (x *external) index() map[table.Index]table.Key {
	if x.Entry != "" || len(x.Waiting) == 0 {
		return nil
	}
	sum := sha256.Sum256([]byte(x.Waiting[0].DedupeKey()))
	return due(x.Since.Add(OrphanAfter), "x"+base.EncodeToString(sum[:10]))
}

// keepCopies notes the blobs of an object that came again, for an erasure: the entry names its own alone.
func (x *external) keepCopies(in *Incoming) {
	if x.Entry == "" {
		return // erased: nothing names them, and Sweep takes them
	}
	for _, key := range append(eventBlobs(&in.Event), in.RawBlob) {
		if key != "" && !isShared(key) && !slices.Contains(x.Copies, key) && len(x.Copies) < maxWaiting {
			x.Copies = append(x.Copies, key)
		}
	}
}

// threaded is one entry under a Message-ID.
type threaded struct {
	Entry string `json:"entry"`
	Case  string `json:"case"`
}

// pointer is an item that only names a case (a reference, a reply token, an assignment).
type pointer struct {
	Case string `json:"case"`
}

// The records below are the domain's values with their places in the indexes.
type (
	caseRecord  struct{ timeline.Case }
	entryRecord struct {
		timeline.Entry
		// born says that this unit writes it for the first time: what changes it before is no change to anybody.
		born bool
	}
	customerRecord struct{ timeline.Customer }
)

func (c *caseRecord) index() map[table.Index]table.Key {
	index := map[table.Index]table.Key{}
	if at := c.Alarm(); !at.IsZero() {
		index = due(at, c.Case.Case)
	}
	if c.State != timeline.CaseSolved {
		at, later := c.Order()
		index[table.WorkList] = table.Key{PK: workListPK(c.Team, later), SK: millis(at) + "#" + c.Case.Case}
	}
	return index
}

func workListPK(team string, later bool) string {
	if later {
		return "L#team#" + team + "#later"
	}
	return "L#team#" + team
}

func (e *entryRecord) index() map[table.Index]table.Key {
	if e.Delivery == nil || e.Delivery.Due.IsZero() {
		return nil
	}
	return due(e.Delivery.Due, e.Entry.Entry)
}

// dueShards spreads the due index; Tick reads them all.
const dueShards = 4

func due(at msg.Time, unique string) map[table.Index]table.Key {
	shard := byte(0)
	for i := range len(unique) {
		shard += unique[i]
	}
	return map[table.Index]table.Key{table.Due: {PK: dueShard(int(shard) % dueShards), SK: millis(at) + "#" + unique}}
}

func dueShard(n int) string { return "due#" + string(rune('0'+n)) }
