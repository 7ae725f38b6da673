package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
)

// NumberedQueue gives a queue that counts nothing by account (SQS) a ledger of envelopes: what was accepted are the numbers that
// whoever accepts gives, what was processed are those that workers note, and the queue itself says what it still holds
// (docs/adr/0012). What it holds it counts approximately, and so is Queued.
//
// Mails are the exception: a mail provider puts them into the queue without a number, so what was accepted of them is what was
// processed and what lies in the dead-letter queue; that no mail is lost before shows in the bucket (aikajana-aws check).
//
// The queue of envelopes tells what was processed in both, each tells what is dead in its own.
type NumberedQueue struct {
	queue.Queue
	// Mails says that it carries notices of a mail provider.
	Mails bool

	p *Pipeline
}

var _ queue.Counter = (*NumberedQueue)(nil)

// Attach tells the queue whose envelopes it carries: before its ledger is asked for.
func (q *NumberedQueue) Attach(p *Pipeline) { q.p = p }

// listedDead is how many dead letters are looked at: what the dead-letter queue holds beyond counts as queued.
const listedDead = 500

// Ledger implements queue.Counter.
func (q *NumberedQueue) Ledger(ctx context.Context) (map[string]queue.Ledger, error) {
	depth, err := q.Depth(ctx)
	if err != nil {
		return nil, err
	}
	var letters []queue.Message
	if depth.Dead > 0 {
		if letters, err = q.Queue.Dead(ctx, listedDead); err != nil {
			return nil, fmt.Errorf("look at the dead letters: %w", err)
		}
	}
	if q.Mails {
		return q.deadMails(ctx, letters)
	}
	accounts, err := q.p.Store.Envelopes(ctx)
	if err != nil {
		return nil, err
	}
	c := &counting{accounts: accounts, ledger: map[string]queue.Ledger{}, dead: map[store.Number]bool{}}
	for i := range letters {
		c.letter(&letters[i])
	}
	c.envelopes(depth.Ready + depth.Delayed + depth.InFlight + max(0, depth.Dead-int64(len(letters))))
	return c.ledger, nil
}

// counting is one ledger in the making.
type counting struct {
	accounts map[store.AccountKey]*store.Envelopes
	ledger   map[string]queue.Ledger
	dead     map[store.Number]bool
}

// letter takes a dead letter in.
func (c *counting) letter(m *queue.Message) {
	e, err := decode(m.Body)
	if err != nil || e.Count == nil { // from before there were numbers
		l := c.ledger[m.Group]
		l.Accepted, l.Dead = l.Accepted+1, l.Dead+1
		c.ledger[m.Group] = l
		return
	}
	account := store.AccountOf(e.Channel, e.Account)
	if c.accounts[account] == nil {
		c.accounts[account] = &store.Envelopes{}
	}
	number := store.Number{By: e.Count.By, N: e.Count.N}
	if c.dead[number] || !c.accounts[account].Dead(number.By, number.N) {
		return
	}
	c.dead[number] = true
	l := c.ledger[string(account)]
	l.Dead++
	c.ledger[string(account)] = l
}

// envelopes counts the rest. What is missing and not dead is in the queue as far as the queue holds as many, the latest
// first; what the queue cannot hold is lost.
func (c *counting) envelopes(held int64) {
	for _, account := range slices.Sorted(maps.Keys(c.accounts)) {
		e := c.accounts[account]
		l := c.ledger[string(account)]
		accepted, processed := e.Counted()
		l.Accepted, l.Processed = l.Accepted+accepted, l.Processed+processed
		var lost []store.Number
		missing := e.Missing()
		for _, n := range missing {
			young := n.Young
			n.Young = false
			switch {
			case c.dead[n]:
			case young:
				l.Queued++
			case held > 0:
				held--
				l.Queued++
			default:
				lost = append(lost, n)
			}
		}
		if more := accepted - processed - int64(len(missing)); more > 0 { // too many to be told one by one
			queued := min(more, held)
			l.Queued, held = l.Queued+queued, held-queued
		}
		l.Missing = store.Numbers(lost)
		c.ledger[string(account)] = l
	}
}

// deadMails counts the dead letters of a mail provider by the accounts that they are for.
func (q *NumberedQueue) deadMails(ctx context.Context, letters []queue.Message) (map[string]queue.Ledger, error) {
	ledger := map[string]queue.Ledger{}
	for i := range letters {
		whose, err := q.p.mailAccounts(ctx, letters[i].Body)
		if err != nil {
			return nil, err
		}
		for _, account := range whose {
			l := ledger[string(account)]
			l.Accepted, l.Dead = l.Accepted+1, l.Dead+1
			ledger[string(account)] = l
		}
	}
	return ledger, nil
}
