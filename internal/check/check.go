// Package check verifies the invariants of the design over a whole store, whatever it is kept in.
package check

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

// Input is what is checked.
type Input struct {
	Table table.Scanner
	// Unfollowed is how many changes React has not followed yet: the running tallies lag behind by them. Negative means that
	// nobody knows, and the tallies are not compared.
	Unfollowed int64
	// Queues are the queues that carry envelopes, where they keep an exact ledger.
	Queues map[string]queue.Counter
	// Mails, when set, lists the bucket that a mail provider puts mails into, below MailPrefix: those that are an hour old at
	// Now must have been worked on.
	Mails Lister
	Now   msg.Time
	// Progress, when set, is told every now and then how many items were read.
	Progress func(items int)
}

// Deployment is what is checked of a deployment on AWS: "aikajana-aws check", and the end of every story. mails is the bucket, nil
// when nobody wants to know of lost mails; settled says that nothing is being written and React has followed everything, so that
// the running tallies can be compared, too.
func Deployment(t table.Scanner, mails Lister, now msg.Time, settled bool) Input {
	in := Input{Table: t, Unfollowed: -1, Mails: mails, Now: now}
	if settled {
		in.Unfollowed = 0
	}
	return in
}

// Lister lists blobs, see blob.Store.
type Lister interface {
	List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error)
}

// MailPrefix is where SES puts mails, as template.yaml says.
const MailPrefix = "ses/"

// mailsWithin is how long a mail may take to be worked on before it is said to be missing.
const mailsWithin = time.Hour

// Report is what a check found.
type Report struct {
	Problems                         []string
	Items, Entries, Cases, Customers int
	// Sums is the ledger of events, counted anew from the items.
	Sums map[store.AccountKey]store.Counts
}

const page = 500

// Run reads everything once. The error says that it could not be read; what is wrong with it is in the report.
func Run(ctx context.Context, in Input) (*Report, error) {
	inspection := store.NewInspection()
	from := table.Key{}
	for {
		items, err := in.Table.Scan(ctx, from, page)
		if err != nil {
			return nil, fmt.Errorf("read the table behind %s: %w", from, err)
		}
		for i := range items {
			inspection.Item(&items[i])
		}
		if len(items) < page {
			break
		}
		from = items[len(items)-1].Key
		if in.Progress != nil {
			in.Progress(inspection.Items)
		}
	}
	if in.Unfollowed == 0 {
		inspection.Followed()
	}
	r := &Report{Problems: inspection.Problems(), Sums: map[store.AccountKey]store.Counts{}}
	r.Items, r.Entries, r.Cases, r.Customers = inspection.Items, inspection.Entries, inspection.Cases, inspection.Customers
	for _, account := range inspection.Accounts() {
		r.Sums[account] = inspection.Sum(account)
	}
	for name, q := range in.Queues {
		groups, err := q.Ledger(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the ledger of queue %s: %w", name, err)
		}
		for group, l := range groups {
			if l.Accepted != l.Processed+l.Queued+l.Dead {
				r.Problems = append(r.Problems, fmt.Sprintf(
					"I1: queue %s of %s accepted %d envelopes; %d processed, %d queued and %d dead make %d",
					name, group, l.Accepted, l.Processed, l.Queued, l.Dead, l.Processed+l.Queued+l.Dead))
			}
		}
	}
	if in.Mails != nil {
		lost, err := lostMails(ctx, &in, inspection)
		if err != nil {
			return nil, err
		}
		r.Problems = append(r.Problems, lost...)
	}
	return r, nil
}

// lostMails finds mails that the provider took and that no worker has noted, as far back as there are notes.
func lostMails(ctx context.Context, in *Input, inspection *store.Inspection) (problems []string, err error) {
	noted, since, err := inspection.Mails()
	if err != nil || since.IsZero() {
		return nil, err
	}
	after := ""
	for {
		mails, err := in.Mails.List(ctx, MailPrefix, after, page)
		if err != nil {
			return nil, fmt.Errorf("list the mails: %w", err)
		}
		for _, m := range mails {
			after = m.Key
			at := msg.TimeOf(m.Modified)
			if at >= since && in.Now.Sub(at) > mailsWithin && !noted[m.Key] && !strings.HasSuffix(m.Key, setupObject) {
				problems = append(problems, fmt.Sprintf("I1: mail %s was accepted at %s and nobody is done with it; see docs/aws/redrive.md", m.Key, at))
			}
		}
		if len(mails) < page {
			return problems, nil
		}
	}
}

// setupObject is what SES writes to try its access.
const setupObject = "AMAZON_SES_SETUP_NOTIFICATION"

// Print writes a report for people: one line for each problem, then what was looked at.
func (r *Report) Print(w io.Writer) error {
	for _, p := range r.Problems {
		if _, err := fmt.Fprintln(w, p); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d items: %d customers, %d cases, %d entries; %d problems\n", r.Items, r.Customers, r.Cases, r.Entries, len(r.Problems))
	return err
}
