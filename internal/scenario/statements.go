package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
)

// forms are all statements that a script may make. Earlier ones win.
var forms = []form{
	{words: "clock TIME", compile: compileClock},
	{words: "wait TIME", compile: compileWait},
	{words: "wait TIME in steps of STEP", compile: compileWaitInSteps},
	{words: "hold", compile: simple(func(_ context.Context, p *Play) error { p.hold(true); return nil })},
	{words: "go", compile: simple(func(_ context.Context, p *Play) error { p.hold(false); return nil })},
	{words: "go with WORKERS workers", byHand: true, compile: compileWorkers},
	{words: "go with WORKERS workers in a race", byHand: true, compile: compileRace(order)},
	{words: "go with WORKERS workers in a race of the same", byHand: true, compile: compileRace(twin)},
	{words: "tick", compile: simple(func(ctx context.Context, p *Play) error { return p.world.Tick(in(ctx, "tick")) })},

	{words: "account CHANNEL NAME", named: "…", compile: compileAccount},
	{words: "disconnect CHANNEL NAME", compile: compileDisconnect},

	{words: "whatsapp ACCOUNT <- again", compile: compileAgain("whatsapp")},
	{words: "email ACCOUNT <- again", named: "rule", compile: compileAgain("email")},
	{words: "form ACCOUNT <- again", compile: compileAgain("form")},
	{words: "webhook ACCOUNT <- again", compile: compileAgain("webhook")},
	{words: "whatsapp ACCOUNT <- garbage", named: "answered signature", text: true, compile: compileGarbage},
	{words: "whatsapp ACCOUNT <- batch", named: "answered signature", block: true, compile: compileWhatsAppBatch},
	{words: "whatsapp ACCOUNT <- KIND", named: whatsappNamed, text: true, compile: compileWhatsApp},
	{words: "email ACCOUNT <- mail", named: mailNamed, text: true, compile: compileMail},
	{words: "email ACCOUNT <- bounce", named: "of action status id", compile: compileBounce},
	{words: "form ACCOUNT <- submission", named: "name email phone subject id answered", text: true, compile: compileSubmission},
	{words: "webhook ACCOUNT <- batch", named: "id answered", block: true, compile: compileHookBatch},
	{words: "webhook ACCOUNT <- KIND", named: "id from kind name thread subject signature answered type", text: true, compile: compileHook},
	{words: "email ACCOUNT reports ACTION", compile: compileReport},
	{words: "ses sets up", compile: simple(setUpSES)},

	{words: "whatsapp main says STATE", named: "of code tag", compile: compileStatus},
	{words: "whatsapp main answers late, receipt STATE first", compile: compileReceiptFirst},
	{words: "whatsapp main refuses COUNT times", named: "status code", compile: compileRefuse},
	{words: "whatsapp main accepts and vanishes", compile: simple(next(fake.AcceptAndVanish()))},
	{words: "whatsapp main drops the call", compile: simple(next(fake.Drop()))},
	{words: "mailer TROUBLE next", compile: compileMailer},
	{words: "media ID fails COUNT times", compile: compileMediaFails},
	{words: "media ID is gone", compile: compileMediaGone},

	{words: "ROLE NAME answers PERSON", named: "by quote answered", text: true, compile: compileAnswer},
	{words: "ROLE NAME notes PERSON", text: true, compile: compileNote},
	{words: "ROLE NAME snoozes PERSON for TIME", compile: compileSnooze},
	{words: "ROLE NAME gives PERSON to AGENT", named: "answered", compile: compileGive},
	{words: "ROLE NAME decides PERSON DECISION", named: "answered", compile: compileDecide},
	{words: "ROLE NAME merges PERSON with OTHER", named: "answered", compile: compileMerge},
	{words: "ROLE NAME unmerges PERSON", compile: compileUnmerge},
	{words: "ROLE NAME erases PERSON", compile: compileErase},
	{words: "ROLE NAME replays quarantine", named: "answered", compile: compileReplay},
	{words: "ROLE NAME repeats effects", named: "since", compile: compileRepeat},
	{words: "ROLE NAME redrives QUEUE", compile: compileRedrive},
	{words: "ROLE NAME redrives QUEUE twice at once", compile: compileRedriveTwice},
	{words: "ROLE NAME opens a socket", named: "batch", compile: compileSocket},
	{words: "ROLE NAME opens a socket again", compile: compileSocketAgain},
	{words: "ROLE NAME loses the connection", compile: compileBreak},
	{words: "ROLE NAME signs out", compile: compileSignOut},
	{words: "expect open sockets COUNT", compile: compileOpenSockets},
	{words: "expect socket NAME closed", compile: compileClosed},
	{words: "expect socket NAME", block: true, compile: compileHeard},
	{words: "expect screen PERSON", block: true, compile: compileScreen},
	{words: "expect timeline PERSON", block: true, compile: compileExpect("timeline")},
	{words: "expect cases PERSON", block: true, compile: compileExpect("cases")},
	{words: "expect person PERSON", block: true, compile: compileExpect("person")},
	{words: "expect nobody PERSON", compile: compileExpect("nobody")},
	{words: "expect work list", block: true, compile: compileExpect("work list")},
	{words: "expect notifications", block: true, compile: compileExpect("notifications")},
	{words: "expect quarantine", block: true, compile: compileExpect("quarantine")},
	{words: "expect expired items to be there still", compile: simple(expectExpired)},
	{words: "expect dead QUEUE COUNT", compile: compileDead},
	{words: "expect put off QUEUE COUNT", byHand: true, compile: compilePutOff},
	{words: "expect sent", block: true, compile: compileExpect("sent")},
	{words: "expect mail", block: true, compile: compileExpect("mail")},
	{words: "expect ledger CHANNEL", named: "received stored duplicate quarantined pending dead", compile: compileLedger},
	{words: "expect envelopes CHANNEL", named: "accepted processed queued dead missing", compile: compileEnvelopes},
	{words: "table refuses writes for TIME", byHand: true, compile: compileUntil(writesRefused, func(f *Faults, end time.Time) { f.writesUntil = end })},
	{words: "table refuses reads of customers for TIME", byHand: true, compile: compileUntil(readsRefused, func(f *Faults, end time.Time) { f.readsUntil = end })},
	{words: "table loses COUNT answers", byHand: true, compile: compileTimes(func(f *Faults, n int) { f.lose = n })},
	{words: "table takes half of COUNT writes", byHand: true, compile: compileTimes(func(f *Faults, n int) { f.half = n })},
	{words: "index is stale", byHand: true, compile: simple(func(_ context.Context, p *Play) error { p.faults.change(func() { p.faults.stale = true }); return nil })},
	{words: "blobs cannot be read for TIME", byHand: true, compile: compileUntil(blobsRefused, func(f *Faults, end time.Time) { f.blobsUntil = end })},
	{words: "queue NAME loses COUNT answers", compile: compileQueueTimes(func(f *Faults) map[string]int { return f.sendLose })},
	{words: "queue NAME loses COUNT acknowledgements", byHand: true, compile: compileQueueTimes(func(f *Faults) map[string]int { return f.ackLose })},
	{words: "queue NAME repeats COUNT sends", byHand: true, compile: compileQueueTimes(func(f *Faults) map[string]int { return f.sendTwice })},
	{words: "queue NAME is throttled for TIME", byHand: true, compile: compileThrottled},
	{words: "queue NAME delivers twice", compile: compileTwice},
	{words: "queue NAME delivers in reverse", byHand: true, compile: compileReverse},
	{words: "queue NAME forgets COUNT messages", byHand: true, compile: compileForgets},
	{words: "function NAME ends", byHand: true, compile: compileEnds},
	{words: "queue NAME gets garbage", text: true, compile: compileQueueGarbage},
	{words: "worker crashes on every write", byHand: true, compile: simple(poisonous(1 << 30))},
	{words: "worker recovers", byHand: true, compile: simple(poisonous(0))},
	{words: "WHO crashes WHEN write COUNT", byHand: true, compile: compileCrash},
	{words: "ROLE NAME VERB PERSON", named: "answered", compile: compileVerb},
}

func simple(do action) func(*args) (action, error) {
	return func(*args) (action, error) { return do, nil }
}

func compileClock(a *args) (action, error) {
	t, err := time.Parse(time.RFC3339, a.at["TIME"])
	if err != nil {
		return nil, fmt.Errorf("%q is no time like 2026-11-22T08:00:00Z", a.at["TIME"])
	}
	return func(ctx context.Context, p *Play) error {
		p.clock.set(t)
		return p.world.Moved(ctx)
	}, nil
}

func compileWait(a *args) (action, error) {
	d, err := a.duration("TIME", "")
	return func(ctx context.Context, p *Play) error { return p.pass(ctx, d) }, err
}

// compileWaitInSteps is for what must be done on the minute all along: a plain wait stops on its way a few times only.
func compileWaitInSteps(a *args) (action, error) {
	d, err := a.duration("TIME", "")
	if err != nil {
		return nil, err
	}
	step, err := a.duration("STEP", "")
	if err == nil && step <= 0 {
		err = errors.New("a step takes some time")
	}
	return func(ctx context.Context, p *Play) error {
		for left := d; left > 0; left -= step {
			if err := p.pass(ctx, min(step, left)); err != nil {
				return err
			}
		}
		return nil
	}, err
}

func compileWorkers(a *args) (action, error) {
	n, err := strconv.Atoi(a.at["WORKERS"])
	if err != nil || n < 1 || n > 50 {
		return nil, fmt.Errorf("%q is no number of workers", a.at["WORKERS"])
	}
	return func(ctx context.Context, p *Play) error {
		p.workers = n
		p.hold(false)
		defer func() { p.workers = 1 }()
		return p.settle(ctx)
	}, nil
}

// compileRace is for several messages on several workers at once, where chance decides whose comes first: the dump leaves out
// what follows from that alone, see race.
func compileRace(by race) func(*args) (action, error) {
	return func(a *args) (action, error) {
		start, err := compileWorkers(a)
		return func(ctx context.Context, p *Play) error {
			p.raced = by
			return start(ctx, p)
		}, err
	}
}

func compileAccount(a *args) (action, error) {
	return func(ctx context.Context, p *Play) error {
		settings := map[string]string{}
		team := "support"
		for name, value := range a.named {
			if name == "team" {
				team = value
				continue
			}
			settings[name] = value
		}
		switch a.at["CHANNEL"] {
		case "whatsapp":
			settings["api_base"] = p.outside.graph.URL
			if settings["phone_number_id"] == "" {
				settings["phone_number_id"] = phoneNumber
			}
		case "email":
			if settings["address"] == "" {
				settings["address"] = mailAddress
			}
		}
		return connectAccount(ctx, p.world, store.Connected{Channel: a.at["CHANNEL"], Account: a.at["NAME"], Team: team, Settings: settings})
	}, nil
}

func compileDisconnect(a *args) (action, error) {
	return func(ctx context.Context, p *Play) error {
		err := p.world.App().Store.DeleteAccount(ctx, a.at["CHANNEL"], a.at["NAME"])
		p.world.App().Pipeline.ForgetAccounts()
		return err
	}, nil
}

func compileAgain(channel string) func(*args) (action, error) {
	return func(a *args) (action, error) {
		return func(ctx context.Context, p *Play) error {
			last := p.again[channel+"/"+a.at["ACCOUNT"]]
			if last == nil {
				return errors.New("nothing came there yet")
			}
			p.rule = a.named["rule"]
			defer func() { p.rule = "" }()
			return last(ctx, p)
		}, nil
	}
}

// Faults.

// compileUntil makes a statement of trouble that has an end.
func compileUntil(trouble string, until func(f *Faults, end time.Time)) func(*args) (action, error) {
	return func(a *args) (action, error) {
		d, err := a.duration("TIME", "")
		return func(_ context.Context, p *Play) error {
			p.faults.change(func() {
				until(p.faults, p.clock.Time().Add(d))
				p.faults.waiting[trouble] = true
			})
			return nil
		}, err
	}
}

// compileTimes makes a statement of trouble that comes some times.
func compileTimes(times func(f *Faults, n int)) func(*args) (action, error) {
	return func(a *args) (action, error) {
		n, err := a.count()
		return func(_ context.Context, p *Play) error {
			p.faults.change(func() { times(p.faults, n) })
			return nil
		}, err
	}
}

// compileQueueTimes makes a statement of trouble that comes some times to one queue.
func compileQueueTimes(left func(f *Faults) map[string]int) func(*args) (action, error) {
	return func(a *args) (action, error) {
		name := a.at["NAME"]
		if err := knownQueue(name); err != nil {
			return nil, err
		}
		return compileTimes(func(f *Faults, n int) { left(f)[name] = n })(a)
	}
}

func compileThrottled(a *args) (action, error) {
	name := a.at["NAME"]
	if err := knownQueue(name); err != nil {
		return nil, err
	}
	return compileUntil(queueThrottled+name, func(f *Faults, end time.Time) { f.queueUntil[name] = end })(a)
}

func compileTwice(a *args) (action, error) {
	return func(_ context.Context, p *Play) error {
		p.faults.change(func() { p.faults.twice[a.at["NAME"]] = true })
		return nil
	}, knownQueue(a.at["NAME"])
}

func compileReverse(a *args) (action, error) {
	return func(_ context.Context, p *Play) error { p.reverse[a.at["NAME"]] = true; return nil }, knownQueue(a.at["NAME"])
}

func compileQueueGarbage(a *args) (action, error) {
	return func(ctx context.Context, p *Play) error {
		return p.world.Queue(a.at["NAME"]).Send(ctx, queue.Outgoing{Body: []byte(a.text), Group: "whatsapp/main"})
	}, knownQueue(a.at["NAME"])
}

// compileForgets has messages vanish from a queue that counts nothing: AWS alone, for the local queue would count them as
// processed (there, package queue/local takes them out from under the queue).
func compileForgets(a *args) (action, error) {
	n, err := a.count()
	if err == nil {
		err = knownQueue(a.at["NAME"])
	}
	return func(ctx context.Context, p *Play) error {
		q := p.world.Queue(a.at["NAME"])
		if _, counts := q.(queue.Counter); counts {
			return errors.New("this world's queue counts what it loses")
		}
		got, err := q.Receive(ctx, n, 0)
		if err != nil {
			return err
		}
		if len(got) != n {
			return fmt.Errorf("%d messages are there to be forgotten, not %d", len(got), n)
		}
		return q.Ack(ctx, got...)
	}, err
}

// compileEnds has a process end in a world that has several.
func compileEnds(a *args) (action, error) {
	return func(ctx context.Context, p *Play) error {
		w, ok := p.world.(interface {
			End(ctx context.Context, function string) error
		})
		if !ok {
			return errors.New("this world has no functions")
		}
		return w.End(ctx, a.at["NAME"])
	}, nil
}

func knownQueue(name string) error {
	if !slices.Contains(queueNames, name) {
		return fmt.Errorf("there is no queue %q; there are %v", name, queueNames)
	}
	return nil
}

func compileCrash(a *args) (action, error) {
	n, err := a.count()
	who, when := a.at["WHO"], a.at["WHEN"]
	switch {
	case err != nil:
		return nil, err
	case who != "worker" && who != "react" || when != "before" && when != "after":
		return nil, errors.New(`write "worker crashes before write 1"; it may be worker or react, before or after`)
	}
	return func(_ context.Context, p *Play) error {
		p.faults.change(func() { p.faults.crashIn, p.faults.crashBefore, p.faults.crashAt = who, when == "before", n })
		return nil
	}, nil
}

// poisonous has the worker killed at each of the next writes.
func poisonous(times int) action {
	return func(_ context.Context, p *Play) error {
		p.faults.change(func() { p.faults.poison = times })
		return nil
	}
}

func compileDead(a *args) (action, error) {
	n, err := strconv.Atoi(a.at["COUNT"])
	if err != nil {
		return nil, fmt.Errorf("%q is no number", a.at["COUNT"])
	}
	return func(ctx context.Context, p *Play) error {
		d, err := p.world.Queue(a.at["QUEUE"]).Depth(ctx)
		if err != nil {
			return err
		}
		if d.Dead != int64(n) {
			return &unmet{fmt.Sprintf("%d dead letters in %s, not %d", d.Dead, a.at["QUEUE"], n)}
		}
		return nil
	}, knownQueue(a.at["QUEUE"])
}

func compilePutOff(a *args) (action, error) {
	n, err := strconv.Atoi(a.at["COUNT"])
	if err != nil {
		return nil, fmt.Errorf("%q is no number", a.at["COUNT"])
	}
	return func(_ context.Context, p *Play) error {
		if got := len(p.putOff[a.at["QUEUE"]]); got != n {
			return &unmet{fmt.Sprintf("messages of %s were put off %d times, not %d", a.at["QUEUE"], got, n)}
		}
		return nil
	}, knownQueue(a.at["QUEUE"])
}
