package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// The ledger of envelopes where the queue keeps none (docs/adr/0012). Whoever accepts an envelope numbers it; workers note
// the numbers that they are done with, one item for a batch. What an instance accepted is its highest number, whoever tells
// of it, and what is processed are the different numbers noted: two things told by two sides, so a loss between them shows.
//
//	V#notes   <time of writing>#<hash>   what one batch was done with; gone after noteLife
//	V#folds   <channel>/<account>        what the notes before a certain place come to
//	V#folded  A                          that place: the notes before it are in the folds

// Noted is what is said of the envelopes of one account that one instance accepted.
type Noted struct {
	Account AccountKey `json:"a"`
	// By is the instance.
	By string `json:"i,omitempty"`
	// Done are the numbers that a worker is done with, and how many events each envelope was the first to bring: those count
	// as stored here and not in a tally (see Incoming.By).
	Done []Done `json:"d,omitempty"`
	// Void are numbers that were given to no envelope that a queue confirmed, as first and last.
	Void [][2]int64 `json:"v,omitempty"`
	// End is the last number, told by the instance itself when it ends.
	End int64 `json:"e,omitempty"`
	// Plain counts what came without a number and was processed: mails, which a mail provider puts into the queue itself, and
	// what was queued before there were numbers.
	Plain int64 `json:"p,omitempty"`
	// Blobs are where a mail provider had put those mails.
	Blobs []string `json:"b,omitempty"`
}

// Done is the number of one envelope and the events that it was the first to bring, written as [number, events].
type Done [2]int64

// note is what one batch was done with.
type note struct {
	At msg.Time `json:"at"`
	Of []Noted  `json:"of"`
}

const (
	notesPK  = "V#notes"
	foldsPK  = "V#folds"
	foldedPK = "V#folded"
	// noteLife is how long a note lies: longer than anything keeps Tick from folding it.
	noteLife = 10 * 24 * time.Hour
	// settling is how long a gap may be nothing but a number overtaken by a later one, and how old notes are before they are
	// folded: none is written later than this after its time.
	settling = 2 * time.Minute
	// foldAt is how many notes are worth folding; foldAfter how old the first may become.
	foldAt    = 200
	foldAfter = 24 * time.Hour
	// forgetAfter is how long an instance without a gap is remembered: longer than a queue keeps a message.
	forgetAfter = 5 * 24 * time.Hour
)

// NoteEnvelopes writes down what a batch was done with: one item, however many accounts. Noting the same again counts once.
func (s *Store) NoteEnvelopes(ctx context.Context, of []Noted) error {
	if len(of) == 0 {
		return nil
	}
	now := s.now()
	body, err := json.Marshal(&note{now, of})
	if err != nil {
		return fmt.Errorf("note envelopes: %w", err)
	}
	k := table.Key{PK: notesPK, SK: millis(now) + "#" + s.short("note", string(body))}
	put := table.Put(table.Item{Key: k, Rev: 1, Body: body, Expires: now.Add(noteLife)}, table.Any)
	for attempt := 1; ; attempt++ {
		err := s.table.Write(ctx, put)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, table.ErrBusy) && !errors.Is(err, table.ErrLost):
			return fmt.Errorf("note envelopes: %w", err)
		case attempt == noteAttempts:
			return fault.Newf(fault.Retry, "busy", "note envelopes: %w", err)
		}
		if err := s.pause(ctx, attempt); err != nil {
			return fmt.Errorf("note envelopes: %w", err)
		}
	}
}

// noteAttempts bounds the attempts at a note: nobody else writes its key, so only a table in trouble refuses it.
const noteAttempts = 10

// instance is what is known of the numbers that one instance gave to envelopes of one account. Every number up to High was
// processed, is in Gaps (accepted, and nobody is done with it), or in Void (accepted by nobody).
type instance struct {
	High int64    `json:"h"`
	Gaps spans    `json:"g,omitempty"`
	Void spans    `json:"v,omitempty"`
	Told msg.Time `json:"t"`
	// Low is the lowest number of Gaps, and LowSince when it came to be that: what is lost stays there, what is only late does not.
	Low      int64    `json:"l,omitempty"`
	LowSince msg.Time `json:"s,omitzero"`
	// young are gaps that may be only overtaken.
	young spans
}

// Envelopes is the ledger of envelopes of one account as the notes tell it, without what a queue knows.
type Envelopes struct {
	// Accepted and Processed are of instances that are forgotten: nothing of theirs is missing.
	Accepted  int64 `json:"accepted,omitempty"`
	Processed int64 `json:"processed,omitempty"`
	// Plain came without a number and was processed.
	Plain int64 `json:"plain,omitempty"`
	// Stored are the events that the envelopes brought and no tally counts.
	Stored       int64                `json:"stored,omitempty"`
	LastReceived msg.Time             `json:"last,omitzero"`
	Instances    map[string]*instance `json:"instances,omitempty"`
	// Upto is the sort key before which all notes are in it.
	Upto string `json:"upto"`
}

func (i *instance) done(n int64, young bool) (first bool) {
	switch {
	case n > i.High:
		if i.Gaps = i.Gaps.with(i.High+1, n-1); young {
			i.young = i.young.with(i.High+1, n-1)
		}
		i.High = n
	case i.Gaps.has(n):
		i.Gaps = i.Gaps.without(n, n)
	case i.Void.has(n):
		i.Void = i.Void.without(n, n) // the queue had taken it after all
	default:
		return false
	}
	return true
}

func (i *instance) void(first, last int64) {
	for _, r := range i.Gaps.common(first, last) {
		i.Gaps, i.Void = i.Gaps.without(r[0], r[1]), i.Void.with(r[0], r[1])
	}
}

func (i *instance) upTo(n int64, young bool) {
	if n > i.High {
		if i.Gaps = i.Gaps.with(i.High+1, n); young {
			i.young = i.young.with(i.High+1, n)
		}
		i.High = n
	}
}

func (e *Envelopes) of(by string) *instance {
	if e.Instances == nil {
		e.Instances = map[string]*instance{}
	}
	if e.Instances[by] == nil {
		e.Instances[by] = &instance{}
	}
	return e.Instances[by]
}

// add takes a note in. Notes may come in any order and more than once.
func (e *Envelopes) add(n *Noted, at msg.Time, young bool) {
	if n.Plain > 0 {
		e.Plain += n.Plain
		e.LastReceived = max(e.LastReceived, at)
	}
	if n.By == "" {
		return
	}
	i := e.of(n.By)
	i.Told = max(i.Told, at)
	for _, d := range n.Done {
		if i.done(d[0], young) {
			e.Stored += d[1]
			e.LastReceived = max(e.LastReceived, at)
		}
	}
	i.upTo(n.End, young)
	for _, r := range n.Void {
		i.void(r[0], r[1])
	}
	low := int64(0)
	if len(i.Gaps) > 0 {
		low = i.Gaps[0][0]
	}
	if low != i.Low {
		i.Low, i.LowSince = low, at
	}
}

// OverdueAfter is how long the lowest missing number of an instance may be missing before somebody should look, and OverdueFor how
// long that is said: what is lost stays missing, and an alarm that never ends tells of nothing new. The ledger names it further on.
const (
	OverdueAfter = time.Hour
	OverdueFor   = 24 * time.Hour
)

// Overdue is an envelope that was accepted, and that nobody has been done with for [OverdueAfter] although later ones are done.
type Overdue struct {
	Account AccountKey
	Number
	Since msg.Time
}

// overdue lists the lowest missing numbers that are overdue: one for each instance, however many it misses.
func (e *Envelopes) overdue(account AccountKey, now msg.Time) (all []Overdue) {
	for _, by := range slices.Sorted(maps.Keys(e.Instances)) {
		if i := e.Instances[by]; i.Low > 0 && now.Sub(i.LowSince) >= OverdueAfter && now.Sub(i.LowSince) < OverdueAfter+OverdueFor {
			all = append(all, Overdue{account, Number{By: by, N: i.Low}, i.LowSince})
		}
	}
	return all
}

// Counted is how many envelopes were accepted and processed. What came without a number counts as both.
func (e *Envelopes) Counted() (accepted, processed int64) {
	accepted, processed = e.Accepted+e.Plain, e.Processed+e.Plain
	for _, i := range e.Instances {
		accepted += i.High - i.Void.size()
		processed += i.High - i.Void.size() - i.Gaps.size()
	}
	return accepted, processed
}

// Number names an envelope by who accepted it and its number there.
type Number struct {
	By string
	N  int64
	// Young says that it was overtaken just now and most likely follows.
	Young bool
}

// maxMissing bounds what Missing lists for an account: an outage is not named one by one.
const maxMissing = 1000

// Missing lists the envelopes that were accepted and that nobody is done with: they are queued, dead, or lost. The latest come
// first, at most maxMissing.
func (e *Envelopes) Missing() []Number {
	var all []Number
	names := slices.SortedFunc(maps.Keys(e.Instances), func(a, b string) int {
		return cmp.Or(cmp.Compare(e.Instances[b].Told, e.Instances[a].Told), cmp.Compare(b, a))
	})
	for _, by := range names {
		i := e.Instances[by]
		for _, r := range slices.Backward(i.Gaps) {
			for n := r[1]; n >= r[0] && len(all) < maxMissing; n-- {
				all = append(all, Number{by, n, i.young.has(n)})
			}
		}
	}
	return all
}

// Numbers draws numbers for people: "instance k3f1 numbers 17, 19", at most namedMissing of them.
func Numbers(all []Number) string {
	var b strings.Builder
	for n, number := range all {
		switch {
		case n == namedMissing:
			fmt.Fprintf(&b, " and %d more", len(all)-n)
			return b.String()
		case n > 0 && all[n-1].By == number.By:
			fmt.Fprintf(&b, ", %d", number.N)
		case n > 0:
			fmt.Fprintf(&b, "; instance %s number %d", number.By, number.N)
		default:
			fmt.Fprintf(&b, "instance %s number %d", number.By, number.N)
		}
	}
	return b.String()
}

// namedMissing is how many envelopes are named one by one.
const namedMissing = 20

// Dead takes in that an envelope is a dead letter, and says whether that is news: nobody has been done with it since.
func (e *Envelopes) Dead(by string, n int64) bool {
	i := e.of(by)
	i.upTo(n, true)
	switch {
	case i.Gaps.has(n):
	case i.Void.has(n):
		i.Void, i.Gaps = i.Void.without(n, n), i.Gaps.with(n, n)
	default:
		return false
	}
	return true
}

// forget lets go of instances that are even and have not been told of for long.
func (e *Envelopes) forget(now msg.Time) {
	for by, i := range e.Instances {
		if len(i.Gaps) == 0 && now.Sub(i.Told) > forgetAfter {
			e.Accepted += i.High - i.Void.size()
			e.Processed += i.High - i.Void.size()
			delete(e.Instances, by)
		}
	}
}

// folded is the state of the notes: the folds, and the notes that are in none yet.
type folded struct {
	accounts map[AccountKey]*Envelopes
	revs     map[AccountKey]int64
	upto     string
	rev      int64
	notes    []table.Item
	// taken are the accounts that notes were added to.
	taken map[AccountKey]bool
}

// readNotes reads the folds and the notes behind them.
func (s *Store) readNotes(ctx context.Context) (*folded, error) {
	f := &folded{accounts: map[AccountKey]*Envelopes{}, revs: map[AccountKey]int64{}, taken: map[AccountKey]bool{}}
	// The place first: a fold that goes on meanwhile makes the accounts newer than it, and each knows how far it is.
	place, err := s.table.Get(ctx, table.Key{PK: foldedPK, SK: "A"})
	switch {
	case err == nil:
		var at pointerTo
		if err := json.Unmarshal(place.Body, &at); err != nil {
			return nil, damaged(place.Key, err)
		}
		f.upto, f.rev = at.Upto, place.Rev
	case !errors.Is(err, table.ErrNotFound):
		return nil, fmt.Errorf("read the notes of envelopes: %w", err)
	}
	folds, err := s.table.Query(ctx, table.Query{PK: foldsPK})
	if err != nil {
		return nil, fmt.Errorf("read the notes of envelopes: %w", err)
	}
	for i := range folds {
		if err := f.fold(&folds[i]); err != nil {
			return nil, err
		}
		f.revs[AccountKey(folds[i].SK)] = folds[i].Rev
	}
	if f.notes, err = s.table.Query(ctx, table.Query{PK: notesPK, From: f.upto}); err != nil {
		return nil, fmt.Errorf("read the notes of envelopes: %w", err)
	}
	return f, nil
}

// pointerTo is how far the notes are folded.
type pointerTo struct {
	Upto string `json:"upto"`
}

// take adds the notes before a sort key ("" is all of them) to the accounts; those from young on may be overtaken by others.
func (f *folded) take(before, young string) error {
	for i := range f.notes {
		sk := f.notes[i].SK
		if before != "" && sk >= before {
			break
		}
		var n note
		if err := json.Unmarshal(f.notes[i].Body, &n); err != nil {
			return damaged(f.notes[i].Key, err)
		}
		for j := range n.Of {
			account := n.Of[j].Account
			if f.accounts[account] == nil {
				f.accounts[account] = &Envelopes{}
			}
			if e := f.accounts[account]; sk >= e.Upto {
				e.add(&n.Of[j], n.At, sk >= young)
				f.taken[account] = true
			}
		}
	}
	return nil
}

// item takes in an item that a reader of the whole table came by, in any order.
func (f *folded) item(item *table.Item) {
	if item.PK == notesPK || item.PK == foldsPK {
		f.notes = append(f.notes, *item)
	}
}

// whole is the ledger of the items that were taken in.
func (f *folded) whole() (map[AccountKey]*Envelopes, error) {
	slices.SortFunc(f.notes, func(a, b table.Item) int { return strings.Compare(a.SK, b.SK) })
	folds := f.notes[:0:0]
	f.notes = slices.DeleteFunc(f.notes, func(i table.Item) bool {
		if i.PK == foldsPK {
			folds = append(folds, i)
		}
		return i.PK == foldsPK
	})
	for i := range folds {
		if err := f.fold(&folds[i]); err != nil {
			return nil, err
		}
	}
	return f.accounts, f.take("", "~") // nothing is young: behind every sort key
}

// Mails are where the mails lay that workers have noted, and since when there are notes; zero when there are none.
func (i *Inspection) Mails() (blobs map[string]bool, since msg.Time, err error) {
	blobs = map[string]bool{}
	for n := range i.notes.notes {
		item := &i.notes.notes[n]
		if item.PK != notesPK {
			continue
		}
		var one note
		if err := json.Unmarshal(item.Body, &one); err != nil {
			return nil, 0, damaged(item.Key, err)
		}
		if since.IsZero() || one.At < since {
			since = one.At
		}
		for _, of := range one.Of {
			for _, b := range of.Blobs {
				blobs[b] = true
			}
		}
	}
	return blobs, since, nil
}

func (f *folded) fold(item *table.Item) error {
	e := new(Envelopes)
	if err := json.Unmarshal(item.Body, e); err != nil {
		return damaged(item.Key, err)
	}
	for _, i := range e.Instances {
		if i.Low == 0 && len(i.Gaps) > 0 { // folded by an earlier version
			i.Low, i.LowSince = i.Gaps[0][0], i.Told
		}
	}
	f.accounts[AccountKey(item.SK)] = e
	return nil
}

// Envelopes is the ledger of envelopes by account, as the notes tell it; empty where queues keep one themselves.
func (s *Store) Envelopes(ctx context.Context) (map[AccountKey]*Envelopes, error) {
	f, err := s.readNotes(ctx)
	if err != nil {
		return nil, err
	}
	return f.accounts, f.take("", millis(s.now().Add(-settling)))
}

// FoldEnvelopes sums old notes up when there are enough of them, and says how many it did. When somebody else is doing it, it
// leaves it to them. It also says what is overdue, which it has read by the way.
func (s *Store) FoldEnvelopes(ctx context.Context) (folded int, late []Overdue, err error) {
	f, err := s.readNotes(ctx)
	if err != nil {
		return 0, nil, err
	}
	before := millis(s.now().Add(-settling))
	old, _ := slices.BinarySearchFunc(f.notes, before, func(i table.Item, to string) int { return strings.Compare(i.SK, to) })
	if old >= foldAt || old > 0 && f.notes[0].SK < millis(s.now().Add(-foldAfter)) {
		if err := s.writeFolds(ctx, f, before); err == nil {
			folded = old
		} else if err := overtaken(err); err != nil {
			return 0, nil, err
		} else if f, err = s.readNotes(ctx); err != nil { // as whoever was first has left it
			return 0, nil, err
		}
	}
	if err := f.take("", before); err != nil {
		return folded, nil, err
	}
	for _, account := range slices.Sorted(maps.Keys(f.accounts)) {
		late = append(late, f.accounts[account].overdue(account, s.now())...)
	}
	return folded, late, nil
}

func (s *Store) writeFolds(ctx context.Context, f *folded, before string) error {
	if err := f.take(before, before); err != nil {
		return err
	}
	for _, account := range slices.Sorted(maps.Keys(f.taken)) {
		e := f.accounts[account]
		e.Upto = before
		e.forget(s.now())
		if err := s.putFold(ctx, table.Key{PK: foldsPK, SK: string(account)}, e, f.revs[account]); err != nil {
			return err
		}
	}
	return s.putFold(ctx, table.Key{PK: foldedPK, SK: "A"}, &pointerTo{before}, f.rev)
}

// overtaken makes no error of a fold that somebody else has written first.
func overtaken(err error) error {
	var conflict *table.Conflict
	if errors.As(err, &conflict) {
		return nil
	}
	return err
}

func (s *Store) putFold(ctx context.Context, k table.Key, v any, rev int64) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("fold the notes of envelopes: %w", err)
	}
	cond := table.Absent
	if rev > 0 {
		cond = table.At(rev)
	}
	if err := s.table.Write(ctx, table.Put(table.Item{Key: k, Body: body}, cond)); err != nil {
		return fmt.Errorf("fold the notes of envelopes of %s: %w", k.SK, err)
	}
	return nil
}
