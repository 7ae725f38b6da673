package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
)

// Notifier tells staff outside the socket, at least once; it keeps its own record of what it told whom.
type Notifier interface {
	// Wanted says of which notifications anybody is to be told by this notifier, one place for each. React asks for a whole
	// batch together, before anything is queued, so that the notifier looks once for who works where.
	Wanted(ctx context.Context, told []*store.Notification) ([]bool, error)
	// Notify tells them. An error says that somebody was not reached: it is called again later, and tells only those.
	Notify(ctx context.Context, n *store.Notification) error
}

// notify queues what staff are to be told of outside the socket. The telling is Deliver's: a mail relay that is slow or down
// must not hold up the change feed, by which answers and files go their way too.
func (p *Pipeline) notify(ctx context.Context, told []*store.Notification) error {
	told = slices.DeleteFunc(slices.Clone(told), func(n *store.Notification) bool { return n.For == "" })
	wanted, err := p.wanted(ctx, told)
	if err != nil {
		return fmt.Errorf("notify of %d changes: %w", len(told), err)
	}
	var out []queue.Outgoing
	for i, n := range told {
		if !wanted[i] {
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

func (p *Pipeline) wanted(ctx context.Context, told []*store.Notification) ([]bool, error) {
	wanted := make([]bool, len(told))
	if len(told) == 0 {
		return wanted, nil
	}
	for _, notifier := range p.Notifiers {
		by, err := notifier.Wanted(ctx, told)
		if err != nil {
			return nil, err
		}
		for i := range wanted {
			wanted[i] = wanted[i] || by[i]
		}
	}
	return wanted, nil
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
