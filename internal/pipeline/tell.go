package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
)

// Notifier tells staff outside the socket, at least once; it keeps its own record of what it told whom.
type Notifier interface {
	// Wanted says whether anybody is to be told of it by this notifier. React asks, before anything is queued for it.
	Wanted(ctx context.Context, n *store.Notification) (bool, error)
	// Notify tells them. An error says that somebody was not reached: it is called again later, and tells only those.
	Notify(ctx context.Context, n *store.Notification) error
}

// notify queues what staff are to be told of outside the socket. The telling is Deliver's: a mail relay that is slow or down
// must not hold up the change feed, by which answers and files go their way too.
func (p *Pipeline) notify(ctx context.Context, told []*store.Notification) error {
	var out []queue.Outgoing
	for _, n := range told {
		if n.For == "" {
			continue
		}
		wanted, err := p.wanted(ctx, n)
		if err != nil {
			return fmt.Errorf("notify of %s: %w", n.Case, err)
		}
		if !wanted {
			continue
		}
		body, err := json.Marshal(wakeUp{Tell: n})
		if err != nil {
			return fmt.Errorf("notify of %s: %w", n.Case, err)
		}
		out = append(out, queue.Outgoing{Body: body, Group: tellGroup})
	}
	if len(out) == 0 {
		return nil
	}
	if err := p.Wake.Send(ctx, out...); err != nil {
		return fmt.Errorf("have staff told of %d changes: %w", len(out), err)
	}
	return nil
}

func (p *Pipeline) wanted(ctx context.Context, n *store.Notification) (bool, error) {
	for _, notifier := range p.Notifiers {
		if wanted, err := notifier.Wanted(ctx, n); wanted || err != nil {
			return wanted, err
		}
	}
	return false, nil
}

const (
	// tellGroup keeps what staff are told from waiting behind one account's answers, and the other way round.
	tellGroup = "staff"
	// tellAgain is the first pause after somebody was not reached; it grows with the age of what is told.
	tellAgain = 15 * time.Second
)

// tell tells staff. Who was not reached is tried again until the notification is no news any more.
func (p *Pipeline) tell(ctx context.Context, n *store.Notification, group string) error {
	var errs []error
	for _, notifier := range p.Notifiers {
		errs = append(errs, notifier.Notify(ctx, n))
	}
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	age := p.Now().Sub(n.At)
	if age > store.NotificationsFor {
		p.Log.ErrorContext(ctx, "staff not told, and no longer tried", "case", n.Case, "since", n.At, "err", err)
		return nil
	}
	pause := min(max(tellAgain, fault.After(err), age/4), queue.MaxDelay)
	p.Log.WarnContext(ctx, "staff not told yet", "case", n.Case, "again_in", pause.String(), "err", err)
	body, err := json.Marshal(wakeUp{Tell: n})
	if err != nil {
		return fmt.Errorf("have staff told of %s later: %w", n.Case, err)
	}
	if err := p.Wake.Send(ctx, queue.Outgoing{Body: body, Group: group, Delay: pause}); err != nil {
		return fmt.Errorf("have staff told of %s later: %w", n.Case, err)
	}
	return nil
}
