package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/terminal"
)

type quarantineCmd struct {
	List quarantineListCmd `cmd:"" default:"1" help:"List quarantined inputs, newest day first."`
	Show quarantineShowCmd `cmd:"" help:"Show one, raw form included."`
}

type quarantineListCmd struct {
	All   bool   `help:"Also what was replayed since."`
	Limit int    `short:"n" help:"How many at most, 1 to 200." default:"50" placeholder:"N"`
	After string `help:"Continue behind an earlier page." placeholder:"CURSOR"`
}

// Help shows an example.
func (quarantineListCmd) Help() string { return "Example: aikajana quarantine" }

// Run lists the quarantine.
func (c *quarantineListCmd) Run(ctx context.Context, r *remote) error {
	a, err := r.Client.Quarantine(ctx, c.All, c.After, c.Limit)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	s := terminal.New(r.out, r.screen())
	rows := make([][]string, len(a.Value.Items))
	for i, q := range a.Value.Items {
		cause := q.Cause
		if q.Refused {
			cause += " (refused)"
		}
		rows[i] = []string{q.ID, s.When(q.ReceivedAt), s.When(q.ExpiresAt), q.Channel + "/" + q.Account, cause, q.Detail}
	}
	return r.table([]string{"ID", "RECEIVED", "KEPT UNTIL", "ACCOUNT", "CAUSE", "DETAIL"}, rows, "everything was understood", a.Value.Next)
}

type quarantineShowCmd struct {
	ID string `arg:"" help:"The quarantined input." placeholder:"ID"`
}

// Help shows an example.
func (quarantineShowCmd) Help() string {
	return "With --json the raw input is base64 in \"raw\". After \"kept until\" it is forgotten, understood or not.\n\nExample: aikajana quarantine show q-20261122-abcd"
}

// Run shows one input.
func (c *quarantineShowCmd) Run(ctx context.Context, r *remote) error {
	a, err := r.Client.Quarantined(ctx, c.ID)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	q := &a.Value
	s := terminal.New(r.out, r.screen())
	s.Rule(q.ID)
	refused := ""
	if q.Refused {
		refused = "at the door: it was never accepted and does not count"
	}
	s.Fields(terminal.Field{Name: "account", Value: q.Channel + "/" + q.Account}, terminal.Field{Name: "cause", Value: q.Cause, Loud: true}, terminal.Field{Name: "detail", Value: q.Detail},
		terminal.Field{Name: "refused", Value: refused}, terminal.Field{Name: "received", Value: s.When(q.ReceivedAt)}, terminal.Field{Name: "replayed", Value: s.When(q.ReplayedAt)},
		terminal.Field{Name: "kept until", Value: s.When(q.ExpiresAt)},
		terminal.Field{Name: "size", Value: terminal.Bytes(q.Size)}, terminal.Field{Name: "again", Value: "aikajana replay " + q.ID})
	s.Blank()
	if len(q.Event) > 0 {
		s.Say(string(q.Event))
	} else {
		s.Say(string(q.Raw))
	}
	return s.Err()
}

type replayCmd struct {
	IDs   []string `arg:"" optional:"" name:"id" help:"Quarantined inputs to process again." placeholder:"ID"`
	All   bool     `help:"All that was not replayed yet; those refused at the door stay."`
	Cause string   `help:"With --all, only those of this cause." placeholder:"CAUSE"`
	React bool     `help:"Repeat what follows from changes: notifications, sends, acknowledgements that did not happen."`
	Since string   `help:"With --react: how long ago, or since when." placeholder:"1h|TIME"`
}

// Help shows an example.
func (replayCmd) Help() string {
	return "Example: aikajana replay q-20261122-abcd\n\nExample: aikajana replay --all --cause unsupported\n\nExample: aikajana replay --react --since 1h"
}

// Validate says what does not go together.
func (c *replayCmd) Validate() error {
	ways := 0
	for _, chosen := range []bool{len(c.IDs) > 0, c.All, c.React} {
		if chosen {
			ways++
		}
	}
	switch {
	case ways != 1:
		return errors.New("give IDs, or --all, or --react --since")
	case c.React && c.Since == "":
		return errors.New("--react needs --since, like --since 1h")
	case !c.React && c.Since != "":
		return errors.New("--since goes with --react")
	case !c.All && c.Cause != "":
		return errors.New("--cause goes with --all")
	}
	return nil
}

// Run replays.
func (c *replayCmd) Run(ctx context.Context, r *remote) error {
	if c.React {
		from, err := since(c.Since, time.Now())
		if err != nil {
			return err
		}
		a, err := r.ReplayReact(ctx, from)
		if err != nil {
			return err
		}
		if r.json {
			return r.print(a.Raw)
		}
		return r.say("gone over %d changes", a.Value.Changes)
	}
	ids := c.IDs
	if c.All {
		var err error
		if ids, err = r.quarantined(ctx, c.Cause); err != nil {
			return err
		}
	}
	done, failed := 0, 0
	for _, id := range ids {
		if err := r.Client.Replay(ctx, id); err != nil {
			var away *client.Unreachable
			if errors.As(err, &away) || ctx.Err() != nil {
				return fmt.Errorf("%d of %d replayed, then: %w", done, len(ids), err)
			}
			complain(r.err, err)
			failed++
			continue
		}
		done++
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d replayed; the others stay in quarantine, the reasons are above", done, len(ids))
	}
	if r.json {
		return nil
	}
	return r.say("%d replayed; what is still not understood comes back: aikajana quarantine", done)
}

// quarantined lists what can be replayed. It is read whole before anything is replayed, because replaying changes the list.
func (r *remote) quarantined(ctx context.Context, cause string) ([]string, error) {
	var ids []string
	for after := ""; ; {
		page, err := r.Client.Quarantine(ctx, false, after, 200)
		if err != nil {
			return nil, err
		}
		for _, q := range page.Value.Items {
			if !q.Refused && (cause == "" || q.Cause == cause) {
				ids = append(ids, q.ID)
			}
		}
		if after = page.Value.Next; after == "" {
			return ids, nil
		}
	}
}

type queuesCmd struct{}

// Help shows an example.
func (queuesCmd) Help() string { return "Example: aikajana queues" }

// Run shows the queues.
func (c *queuesCmd) Run(ctx context.Context, r *remote) error {
	a, err := r.Client.Queues(ctx)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	rows := make([][]string, len(a.Value.Items))
	for i, q := range a.Value.Items {
		rows[i] = []string{q.Queue, fmt.Sprint(q.Ready), fmt.Sprint(q.Delayed), fmt.Sprint(q.InFlight), fmt.Sprint(q.Dead)}
	}
	return r.table([]string{"QUEUE", "READY", "DELAYED", "IN FLIGHT", "DEAD"}, rows, "there are no queues", "")
}

type redriveCmd struct {
	Queues []string `arg:"" optional:"" name:"queue" help:"inbound, mail, media or wake; all that have dead letters when none is named." placeholder:"QUEUE"`
}

// Help shows an example.
func (redriveCmd) Help() string {
	return "Doing it twice does no harm.\n\nExample: aikajana redrive inbound"
}

// Run redrives.
func (c *redriveCmd) Run(ctx context.Context, r *remote) error {
	names := c.Queues
	if len(names) == 0 {
		a, err := r.Client.Queues(ctx)
		if err != nil {
			return err
		}
		for _, q := range a.Value.Items {
			if q.Dead != 0 {
				names = append(names, q.Queue)
			}
		}
	}
	if len(names) == 0 && !r.json {
		return r.say("there are no dead letters")
	}
	for _, queue := range names {
		a, err := r.Client.Redrive(ctx, queue)
		if err != nil {
			return err
		}
		switch {
		case r.json:
			err = r.print(a.Raw)
		case a.Value.Moved < 0:
			err = r.say("%s: dead letters are on their way back", queue)
		default:
			err = r.say("%s: %d dead letters brought back", queue, a.Value.Moved)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type reconcileCmd struct{}

// Help shows an example.
func (reconcileCmd) Help() string {
	return "Two ledgers for each account: what became of every event, and of every envelope, where acceptance is counted apart from the rest. " +
		"Exit 1 when one does not come out even.\n\nExample: aikajana reconcile"
}

// Run reconciles.
func (c *reconcileCmd) Run(ctx context.Context, r *remote) error {
	a, err := r.Client.Reconciliation(ctx)
	if err != nil {
		return err
	}
	var uneven []string
	rows := make([][]string, len(a.Value.Items))
	for i := range a.Value.Items {
		l := &a.Value.Items[i]
		verdict := "even"
		if !l.Balanced {
			verdict = "UNEVEN"
			switch {
			case l.Envelopes.Missing != "":
				uneven = append(uneven, l.Channel+"/"+l.Account+" (missing: "+l.Envelopes.Missing+")")
			case !l.Envelopes.Approximate || a.Value.Complete:
				uneven = append(uneven, l.Channel+"/"+l.Account)
			}
		}
		n := func(v int64) string { return fmt.Sprint(v) }
		rows[i] = []string{l.Channel + "/" + l.Account, n(l.Received), n(l.Stored), n(l.Duplicate), n(l.Quarantined), n(l.Pending), n(l.Dead),
			n(l.Envelopes.Accepted), n(l.Envelopes.Processed), n(l.Envelopes.Queued), n(l.Envelopes.Dead), verdict}
	}
	if r.json {
		err = r.print(a.Raw)
	} else {
		head := []string{"ACCOUNT", "RECEIVED", "STORED", "DUPL", "QUAR", "PEND", "DEAD", "ACCEPTED", "PROCESSED", "QUEUED", "DEAD", "LEDGER"}
		err = r.table(head, rows, "nothing is connected and nothing came in", "")
	}
	if err == nil && len(uneven) > 0 {
		err = fmt.Errorf("the ledger of %s does not come out even: accepted input is missing or counted twice; stop, keep a copy of the data folder, and run \"aikajana check\" over it; on AWS see docs/aws/redrive.md", strings.Join(uneven, ", "))
	}
	return err
}

type healthCmd struct{}

// Help shows an example.
func (healthCmd) Help() string {
	return "Needs no token. Exit 0 when the server is able to write, 1 when it is not, 5 when it does not answer.\n\nExample: aikajana --server https://desk.example health"
}

// Run asks.
func (c *healthCmd) Run(ctx context.Context, r *remote) error {
	a, err := r.Client.Health(ctx)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	return r.say("%s", a.Value.Status)
}
