package doctor

import (
	"context"
	"fmt"

	"github.com/aikajana/aikajana/internal/client"
)

// kept looks at what waits behind the door: dead letters, and whether the ledgers come out even. A token that may not read them
// leaves it unknown.
func (e *examination) kept(ctx context.Context) {
	const do = "give a token that may read operations (a lead's or an administrator's) to have it looked at"
	queues, err := e.desk.Queues(ctx)
	if err != nil {
		e.find("queue", e.base.Host, Unknown, short(err), do)
		return
	}
	for _, q := range queues.Value.Items {
		if q.Dead == 0 {
			e.find("queue", q.Queue, OK, "no dead letters", "")
			continue
		}
		e.find("queue", q.Queue, Problem, fmt.Sprintf("dead letters: %d", q.Dead),
			fmt.Sprintf("nothing is lost: mend the cause, which the log names, then run \"aikajana redrive %s\"", q.Queue))
	}
	ledgers, err := e.desk.Reconciliation(ctx)
	if err != nil {
		e.find("ledger", e.base.Host, Unknown, short(err), do)
		return
	}
	for i := range ledgers.Value.Items {
		e.ledger(&ledgers.Value.Items[i])
	}
}

// ledger says whether what an account accepted is all accounted for. Where queues count approximately, it may be uneven for a
// moment while something is under way.
func (e *examination) ledger(l *client.Ledger) {
	subject := l.Channel + "/" + l.Account
	found := fmt.Sprintf("accepted %d, processed %d, queued %d, dead %d", l.Envelopes.Accepted, l.Envelopes.Processed, l.Envelopes.Queued, l.Envelopes.Dead)
	switch {
	case l.Balanced:
		e.find("ledger", subject, OK, found, "")
	case l.Envelopes.Approximate:
		e.find("ledger", subject, Warning, found+", counted approximately", "ask again when nothing is under way; if it stays uneven, see \"aikajana reconcile\"")
	default:
		e.find("ledger", subject, Problem, found, "something that was accepted is nowhere: stop the program, keep a copy of the data, run \"aikajana check\"")
	}
}
