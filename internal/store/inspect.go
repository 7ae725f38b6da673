package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Inspection goes through every item of a table and finds what breaks an invariant of the design. It holds IDs, not
// contents: about 200 bytes for each entry. Give it every item, in any order, then ask for Problems.
type Inspection struct {
	entries    map[string]seenEntry
	cases      map[string]*seenCase
	customers  map[string]*timeline.Customer
	identities map[string]string // item -> customer
	externals  map[string]string // entry -> external item that names it
	notified   map[string]string // team and entry -> cursor
	assigned   map[string]bool   // agent and case
	references map[string]string // reference -> case
	sums       map[AccountKey]Counts
	tallies    map[AccountKey]Counts
	notes      folded
	apart      apart
	problems   []string
	// Items, Entries, Cases and Customers are how many there were.
	Items, Entries, Cases, Customers int
}

type seenEntry struct {
	caseID string
	state  msg.State
	own    bool // an answer or a note of ours
	about  bool // counted by its external item
}

type seenCase struct {
	state     timeline.CaseState
	customer  string
	agent     string
	reference string
	unsettled []string
}

// NewInspection starts one.
func NewInspection() *Inspection {
	return &Inspection{
		entries: map[string]seenEntry{}, cases: map[string]*seenCase{}, customers: map[string]*timeline.Customer{}, identities: map[string]string{},
		externals: map[string]string{}, notified: map[string]string{}, assigned: map[string]bool{}, references: map[string]string{},
		sums: map[AccountKey]Counts{}, tallies: map[AccountKey]Counts{},
		notes: folded{accounts: map[AccountKey]*Envelopes{}, taken: map[AccountKey]bool{}}, apart: newApart(),
	}
}

func (i *Inspection) problem(format string, args ...any) {
	i.problems = append(i.problems, fmt.Sprintf(format, args...))
}

// Item looks at one item.
func (i *Inspection) Item(item *table.Item) {
	i.Items++
	account, c, err := Contribution(item)
	if err != nil {
		i.problem("%v", err)
		return
	}
	if account != "" {
		sum := i.sums[account]
		sum.add(c, 1)
		i.sums[account] = sum
	}
	kind, rest, _ := strings.Cut(item.PK, "#")
	switch kind {
	case "C":
		i.customerItem(rest, item)
	case "X":
		x := new(external)
		if !i.read(item, x) || x.Channel == "" {
			return
		}
		i.waiting(item, x)
		if x.By != "" { // the ledger counts it by its envelope's note
			account := AccountOf(x.Channel, x.Account)
			sum := i.sums[account]
			sum.Stored++
			i.sums[account] = sum
		}
		if x.Entry != "" {
			if other, twice := i.externals[x.Entry]; twice {
				i.problem("I2: entry %s is named by two external IDs: %s and %s", x.Entry, other, item.PK)
			}
			i.externals[x.Entry] = item.PK
		}
	case "I":
		if item.SK != "A" {
			i.apart.marks[item.SK] = append(i.apart.marks[item.SK], item.PK)
			return
		}
		id := new(identity)
		if i.read(item, id) {
			i.identities[item.PK] = id.Customer
			i.apart.leading[id.Customer]++
		}
	case "N":
		n := new(Notification)
		if i.read(item, n) && n.Type == "entry" {
			key := n.Team + " " + n.Entry
			if other, twice := i.notified[key]; twice {
				i.problem("I5: team %s has two notifications of entry %s: %s and %s", n.Team, n.Entry, other, n.Cursor)
			}
			i.notified[key] = n.Cursor
		}
	case "A":
		i.assigned[rest+" "+item.SK] = true
	case "R", "H", "M", "Q":
		i.aside(kind, rest, item)
	case "V":
		i.notes.item(item)
	case "T":
		if item.PK == tallyIndexPK {
			return
		}
		t := new(tally)
		if i.read(item, t) {
			channel, account, _ := strings.Cut(rest, "#")
			sum := i.tallies[AccountOf(channel, account)]
			sum.add(t.Counts, 1)
			i.tallies[AccountOf(channel, account)] = sum
		}
	}
}

func (i *Inspection) read(item *table.Item, v any) bool {
	if err := json.Unmarshal(item.Body, v); err != nil {
		i.problem("%v", damaged(item.Key, err))
		return false
	}
	return true
}

func (i *Inspection) customerItem(customer string, item *table.Item) {
	switch kind, _, _ := strings.Cut(item.SK, "#"); kind {
	case "A":
		c := new(timeline.Customer)
		if i.read(item, c) {
			i.Customers++
			i.customers[customer] = c
		}
	case "K":
		c := new(timeline.Case)
		if !i.read(item, c) {
			return
		}
		i.Cases++
		if k, err := caseKey(c.Case); err != nil || k != item.Key {
			i.problem("case %s lies at %s", c.Case, item.Key)
		}
		i.cases[c.Case] = &seenCase{c.State, c.Customer, c.Agent, c.Reference, c.Unsettled}
		i.indexed(item, &caseRecord{*c})
	case "E":
		e := new(timeline.Entry)
		if !i.read(item, e) {
			return
		}
		i.Entries++
		if k, err := entryKey(e.Entry); err != nil || k != item.Key {
			i.problem("I3: entry %s of %s lies at %s", e.Entry, e.Sort, item.Key)
		}
		i.indexed(item, &entryRecord{Entry: *e})
		i.automatic(e)
		own := e.Delivery != nil || e.Kind == msg.KindNote || e.Kind == msg.KindVisit
		i.entries[e.Entry] = seenEntry{e.Case, e.State, own, !own || e.ID != ""}
	case "I":
		a := new(kept)
		if i.read(item, a) && a.Until.IsZero() {
			i.apart.listed[customer]++
		}
		i.apart.beside[customer] = item.Key
	default:
		i.apart.beside[customer] = item.Key
	}
}

// indexed compares an item's places in the indexes with where it should be.
func (i *Inspection) indexed(item *table.Item, v indexed) {
	want := v.index()
	for _, name := range []table.Index{table.WorkList, table.Due} {
		if item.Index[name] != want[name] {
			i.problem("%s is at %q in index %s and belongs at %q", item.Key, item.Index[name], name, want[name])
		}
	}
}

// Followed compares the ledger of events, which is the running tallies and the notes of envelopes, with the sums over all
// items, and finds envelopes that were accepted and that nobody is done with: right only when React has followed every change
// and the queues are empty.
func (i *Inspection) Followed() {
	noted, err := i.notes.whole()
	if err != nil {
		i.problem("%v", err)
	}
	for account, sum := range i.sums {
		told := i.tallies[account]
		if e := noted[account]; e != nil {
			told.Stored += e.Stored
		}
		if told != sum {
			i.problem("I1: the ledger of %s says %+v and its items add up to %+v", account, told, sum)
		}
	}
	i.told()
	for account, e := range noted {
		if missing := e.Missing(); len(missing) > 0 {
			i.problem("I1: %d envelopes of %s were accepted and nobody is done with them: %s", len(missing), account, Numbers(missing))
		}
	}
}

// Sum is what the items of an account add up to.
func (i *Inspection) Sum(account AccountKey) Counts { return i.sums[account] }

// Accounts lists the accounts that have any items.
func (i *Inspection) Accounts() []AccountKey {
	var all []AccountKey
	for a := range i.sums {
		all = append(all, a)
	}
	slices.Sort(all)
	return all
}

// Problems compares the items with each other and lists everything that is wrong, sorted.
func (i *Inspection) Problems() []string {
	for id, e := range i.entries {
		if i.cases[e.caseID] == nil {
			i.problem("entry %s names case %q, which is not there", id, e.caseID)
		}
		if e.about && i.externals[id] == "" {
			i.problem("I2: entry %s has no external ID: it could be stored twice", id)
		}
		i.checkOwner(id, e.caseID)
		if c := i.cases[e.caseID]; c != nil && (e.state == msg.Pending || e.state == msg.Sending) && !slices.Contains(c.unsettled, id) {
			i.problem("answer %s is %s and its case %s does not wait for it", id, e.state, e.caseID)
		}
	}
	for entry, at := range i.externals {
		if _, ok := i.entries[entry]; !ok {
			i.problem("I1: %s names entry %s, which is not there", at, entry)
		}
	}
	for id, c := range i.cases {
		i.checkCase(id, c)
	}
	for at, customer := range i.identities {
		if customer != "" && i.customers[customer] == nil {
			i.problem("%s belongs to customer %s, who is not there", at, customer)
		}
	}
	for id, c := range i.customers {
		i.checkCustomer(id, c)
	}
	i.checkApart()
	slices.Sort(i.problems)
	return i.problems
}

func (i *Inspection) checkCase(id string, c *seenCase) {
	if i.customers[c.customer] == nil {
		i.problem("case %s belongs to customer %s, who is not there", id, c.customer)
	}
	if i.references[c.reference] != id {
		i.problem("case %s is called %s, and that name leads to %q", id, c.reference, i.references[c.reference])
	}
	if c.agent != "" && c.state != timeline.CaseSolved && !i.assigned[c.agent+" "+id] {
		i.problem("case %s is agent %s's and not on their desk", id, c.agent)
	}
	for _, u := range c.unsettled {
		if _, ok := i.entries[u]; !ok {
			i.problem("case %s waits for answer %s, which is not there", id, u)
		}
	}
}

func (i *Inspection) checkCustomer(id string, c *timeline.Customer) {
	for conversation, open := range c.Open {
		k := i.cases[open.Case]
		switch {
		case k == nil:
			i.problem("I4: conversation %q of customer %s is in case %s, which is not there", conversation, id, open.Case)
		case k.state == timeline.CaseSolved:
			i.problem("I4: conversation %q of customer %s is in case %s, which is solved", conversation, id, open.Case)
		case !c.Is(CustomerOf(open.Case)):
			i.problem("I4: conversation %q of customer %s is in case %s of somebody else", conversation, id, open.Case)
		}
	}
	for _, member := range c.Members() {
		other := i.customers[member]
		if other == nil {
			i.problem("customer %s is one person with %s, who is not there", id, member)
		} else if !slices.Equal(other.Members(), c.Members()) {
			i.problem("customers %s and %s do not agree on who is one person with them", id, member)
		}
	}
}
