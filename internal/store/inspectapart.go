package store

import (
	"hash/fnv"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// apart is what an Inspection knows of what stands outside of timelines: addresses, quarantine, merges, and items that only
// lead to others.
type apart struct {
	marks   map[string][]string // sort key of a mark -> addresses that it stands under
	leading map[string]int      // customer -> addresses that lead there
	listed  map[string]int      // customer -> addresses that stand beside the profile and are theirs
	beside  map[string]table.Key
	days    map[string]bool
	inputs  map[string]quarantinedAt // ID of a quarantined input
	waits   []string                 // external-ID items where something of somebody waits
	merges  map[string]*mergeRecord
	toCase  map[string]string // item -> case
	toEntry map[string]string // item -> entry
	// automatic counts automatic answers by address and hour.
	automatic map[uint64]int
}

type quarantinedAt struct {
	day   string
	whose []string
}

func newApart() apart {
	return apart{
		marks: map[string][]string{}, leading: map[string]int{}, listed: map[string]int{}, beside: map[string]table.Key{}, days: map[string]bool{},
		inputs: map[string]quarantinedAt{}, merges: map[string]*mergeRecord{}, toCase: map[string]string{}, toEntry: map[string]string{},
		automatic: map[uint64]int{},
	}
}

// aside looks at a reference, a Message-ID, a merge or a quarantined input.
func (i *Inspection) aside(kind, rest string, item *table.Item) {
	switch {
	case kind == "R" && strings.HasPrefix(rest, "status#"): // outlives what was submitted, until its time is over
	case kind == "R":
		p := new(pointer)
		if !i.read(item, p) {
			return
		}
		i.apart.toCase[item.PK] = p.Case
		if !strings.HasPrefix(rest, "token#") {
			i.references[rest] = p.Case
		}
	case kind == "H":
		t := new(threaded)
		if i.read(item, t) {
			i.apart.toEntry[item.PK+"/"+item.SK] = t.Entry
		}
	case kind == "M":
		m := new(mergeRecord)
		if i.read(item, m) {
			i.apart.merges[rest] = m
			i.indexed(item, m)
		}
	case item.PK == quarantineDays:
		i.apart.days[item.SK] = true
	default:
		q := new(Quarantined)
		if i.read(item, q) {
			i.apart.inputs[q.ID] = quarantinedAt{rest, q.Whose}
			i.indexed(item, q)
		}
	}
}

// waiting looks at an external-ID item for what waits there.
func (i *Inspection) waiting(item *table.Item, x *external) {
	i.indexed(item, x)
	if slices.ContainsFunc(x.Waiting, func(ev msg.Event) bool { return len(subject(&ev)) > 0 }) {
		i.apart.waits = append(i.apart.waits, item.PK)
	}
	if x.Entry != "" && len(x.Waiting) > 0 {
		i.problem("I1: %d events wait at %s for entry %s, which is here", len(x.Waiting), item.PK, x.Entry)
	}
}

// mostAutomatic is how many automatic answers one address may have had within an hour of the clock: one is the cap, and
// one more may have been counted in the hour before it was written.
const mostAutomatic = 2

// automatic counts what was written to an address by itself (I10).
func (i *Inspection) automatic(e *timeline.Entry) {
	if !e.Automatic || e.Delivery == nil {
		return
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(e.Delivery.To.Key() + e.StoredAt.Time().Format("2006010215"))) // a hash takes everything
	i.apart.automatic[h.Sum64()]++
	if n := i.apart.automatic[h.Sum64()]; n == mostAutomatic+1 {
		i.problem("I10: the address that automatic answer %s goes to had more than %d within an hour", e.Entry, mostAutomatic)
	}
}

// checkOwner finds an entry that lies in the case of somebody who is not the same person.
func (i *Inspection) checkOwner(id, caseID string) {
	owner, of := CustomerOf(id), CustomerOf(caseID)
	who := i.customers[owner]
	if owner == of || who != nil && who.Is(of) || i.cases[caseID] == nil {
		return
	}
	for _, m := range i.apart.merges {
		if slices.Contains(m.Refile, owner) {
			return // a merge is being taken back: Tick finishes it
		}
	}
	i.problem("entry %s of customer %s lies in case %s of %s, who is somebody else", id, owner, caseID, of)
}

// told finds notifications of what is not there (any more).
func (i *Inspection) told() {
	for key := range i.notified {
		team, entry, _ := strings.Cut(key, " ")
		if _, ok := i.entries[entry]; !ok {
			i.problem("I8: team %s was told of entry %s, which is not there", team, entry)
		}
	}
}

func (i *Inspection) checkApart() {
	for customer, k := range i.apart.beside {
		if i.customers[customer] == nil {
			i.problem("I8: %s is left of customer %s, who is not there", k, customer)
		}
	}
	for customer, n := range i.apart.leading {
		if c := i.customers[customer]; c != nil && len(c.Identities)+i.apart.listed[customer] != n {
			i.problem("I8: %d addresses lead to customer %s, whose profile knows %d: an erasure would miss some, or was cut short",
				n, customer, len(c.Identities)+i.apart.listed[customer])
		}
	}
	i.checkQuarantine()
	i.checkMerges()
	for at, id := range i.apart.toCase {
		if i.cases[id] == nil {
			i.problem("I8: %s leads to case %s, which is not there", at, id)
		}
	}
	for at, id := range i.apart.toEntry {
		if _, ok := i.entries[id]; !ok {
			i.problem("I8: %s leads to entry %s, which is not there", at, id)
		}
	}
	for at := range i.assigned {
		agent, id, _ := strings.Cut(at, " ")
		if c := i.cases[id]; c == nil || c.agent != agent || c.state == timeline.CaseSolved {
			i.problem("case %s is on the desk of agent %s, and is not theirs or not open", id, agent)
		}
	}
}

// checkQuarantine: what is in quarantine can be seen, and found by whoever erases its sender.
func (i *Inspection) checkQuarantine() {
	for id, q := range i.apart.inputs {
		if !i.apart.days[q.day] {
			i.problem("I1: quarantined input %s is of a day that is not listed: nobody sees it", id)
		}
		for _, address := range q.whose {
			if !slices.Contains(i.apart.marks["Q#"+id], address) {
				i.problem("I8: quarantined input %s does not stand under %s: an erasure would miss it", id, address)
			}
		}
	}
	for _, at := range i.apart.waits {
		if len(i.apart.marks[at]) == 0 {
			i.problem("I8: what waits at %s stands under nobody's address: an erasure would miss it", at)
		}
	}
	for mark, addresses := range i.apart.marks {
		if id, ok := strings.CutPrefix(mark, "Q#"); ok && i.apart.inputs[id].day == "" {
			i.problem("%s says that quarantined input %s is there, and it is not", addresses[0], id)
		}
	}
}

// checkMerges: a merge in force is known to both, and one that was taken back to neither.
func (i *Inspection) checkMerges() {
	for id, m := range i.apart.merges {
		for _, customer := range m.Customers {
			c := i.customers[customer]
			if c == nil && !m.Undone.IsZero() {
				continue // erased, by a version that did not know of it any more
			}
			if c == nil {
				i.problem("merge %s is of customer %s, who is not there", id, customer)
				continue
			}
			knows := slices.ContainsFunc(c.Merges, func(known timeline.Merge) bool { return known.Merge == id })
			if knows != m.Undone.IsZero() {
				i.problem("merge %s is in force: %v; customer %s holds it for in force: %v", id, m.Undone.IsZero(), customer, knows)
			}
		}
	}
	for id, c := range i.customers {
		for _, m := range c.Merges {
			if i.apart.merges[m.Merge] == nil {
				i.problem("customer %s is one person by merge %s, which is not there", id, m.Merge)
			}
		}
	}
}
