package cost

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aikajana/aikajana/internal/awslambda"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
)

// Cases that are measured.
const (
	Alone    = "alone on an open case"
	First    = "first contact"
	TenOfTen = "ten from ten customers"
	TenOfOne = "ten from one customer"
)

// Cases lists them in the order of the report.
func Cases() []string { return []string{Alone, First, TenOfTen, TenOfOne} }

// Plan is what is measured.
type Plan struct {
	Channels, Cases []string
	// Rounds is how often everything is played, in each shape.
	Rounds int
	// Desks are numbers of agents, rising: what a message takes is measured while so many have a socket open.
	Desks []int
}

// Everything is the plan of the report.
func Everything() Plan { return Plan{Channels(), Cases(), 4, []int{5, 50, 500}} }

// Measured is what things take.
type Measured struct {
	Plan Plan
	// Quiet and Pushed are one inbound message, by channel and case; one agent hears of the pushed ones, whose session is looked at
	// anew, as after a pause.
	Quiet, Pushed map[string]map[string]*Use
	// Studied are messages of WhatsApp after each step of docs/adr/0013, by step and case, without pushes. WindowEnd is what the
	// end of a stream's window takes there, for one shard that messages of one account came through.
	Studied   map[string]map[string]*Use
	WindowEnd *Use
	// Desks are messages of WhatsApp, alone on an open case and pushed, by the number of agents who are there.
	Desks map[int]*Heard
	// Answers are an agent's answer until it is read, by channel, pushed to one agent at each step.
	Answers map[string]*Use
	// List and Timeline are one request of the API each, Ping one frame of a socket that says that it is there, Tick one minute.
	List, Timeline, Ping, Tick *Use
}

// Heard is what a message takes that agents hear of: after a pause, when the session of everybody who is told is looked at anew, and
// right after another.
type Heard struct{ AfterPause, AtOnce *Use }

// Measure plays what the plan names. It needs the stand-ins of scripts/parts.sh.
func Measure(ctx context.Context, a *Assumptions, plan Plan) (*Measured, error) {
	r, err := newRig(ctx, a)
	if err != nil {
		return nil, err
	}
	defer r.close()
	m := &Measured{
		Plan: plan, Quiet: map[string]map[string]*Use{}, Pushed: map[string]map[string]*Use{}, Studied: map[string]map[string]*Use{},
		Desks: map[int]*Heard{}, Answers: map[string]*Use{},
	}
	if err := r.hire(ctx, 1); err != nil {
		return nil, fmt.Errorf("hire an agent: %w", err)
	}
	for _, channel := range plan.Channels {
		if m.Quiet[channel], err = r.cases(ctx, channel, way{}, plan); err != nil {
			return nil, fmt.Errorf("measure %s: %w", channel, err)
		}
		if m.Pushed[channel], err = r.cases(ctx, channel, way{pushed: true}, plan); err != nil {
			return nil, fmt.Errorf("measure %s with pushes: %w", channel, err)
		}
	}
	if err := r.study(ctx, m); err != nil {
		return nil, err
	}
	if err := r.work(ctx, m); err != nil {
		return nil, err
	}
	for _, n := range plan.Desks {
		if m.Desks[n], err = r.heard(ctx, n); err != nil {
			return nil, fmt.Errorf("measure a desk of %d: %w", n, err)
		}
	}
	return m, r.verify(ctx)
}

// study measures the steps of docs/adr/0013.
func (r *rig) study(ctx context.Context, m *Measured) (err error) {
	for at, s := range studied(r.a) {
		plan := m.Plan
		if step(at) >= noNotes { // how many shards an external ID and its entry come through is chance: that wants more rounds
			plan.Rounds *= 3
		}
		if m.Studied[s.what], err = r.cases(ctx, "whatsapp", way{step: step(at)}, plan); err != nil {
			return fmt.Errorf("measure %s: %w", s.what, err)
		}
	}
	if err := r.window.end(ctx, r.plain.system.Store); err != nil {
		return fmt.Errorf("end the window of what was measured: %w", err)
	}
	if m.WindowEnd, err = r.measure(m.Plan.Rounds, r.windowEnd(ctx)); err != nil {
		return fmt.Errorf("measure the end of a window: %w", err)
	}
	return nil
}

// windowEnd is the end of a window in which one message came.
func (r *rig) windowEnd(ctx context.Context) sample {
	return func(s *shape) (func(*Use) error, int, error) {
		if err := r.play(ctx, s, "whatsapp", way{step: noNotes}, r.people(1), &Use{}); err != nil {
			return nil, 0, err
		}
		return func(use *Use) error {
			return r.run(use, "react", func() error { return r.window.end(ctx, s.system.Store) })
		}, 1, nil
	}
}

// work measures what else a desk does.
func (r *rig) work(ctx context.Context, m *Measured) (err error) {
	for _, channel := range []string{"whatsapp", "email"} {
		if m.Answers[channel], err = r.measure(m.Plan.Rounds, r.answer(ctx, channel)); err != nil {
			return fmt.Errorf("measure answers by %s: %w", channel, err)
		}
	}
	if m.List, err = r.measure(m.Plan.Rounds, r.list(ctx)); err != nil {
		return fmt.Errorf("measure the work list: %w", err)
	}
	if m.Timeline, err = r.measure(m.Plan.Rounds, r.timeline(ctx)); err != nil {
		return fmt.Errorf("measure a timeline: %w", err)
	}
	if m.Ping, err = r.measure(m.Plan.Rounds, r.ping(ctx)); err != nil {
		return fmt.Errorf("measure a ping: %w", err)
	}
	if m.Tick, err = r.measure(m.Plan.Rounds, r.tick(ctx)); err != nil {
		return fmt.Errorf("measure tick: %w", err)
	}
	return nil
}

// verify makes sure that what was measured was the real thing: every message is in a timeline, and nothing else is.
func (r *rig) verify(ctx context.Context) error {
	ledger, err := r.plain.system.Store.Ledger(ctx)
	if err != nil {
		return err
	}
	stored, other := int64(0), int64(0)
	for _, a := range ledger {
		stored += a.Stored
		other += a.Duplicate + a.Quarantined + a.Pending
	}
	if stored != int64(r.outside.count) || other != 0 {
		return fmt.Errorf("of %d messages and receipts %d were stored and %d were not what was meant: the measurement is void (last log: %s)",
			r.outside.count, stored, other, r.plain.log.last)
	}
	return nil
}

// sample prepares something in one shape, unmeasured, and returns what is measured and how many messages it is.
type sample func(s *shape) (do func(use *Use) error, messages int, err error)

// measure takes samples: of the metered shape the units count, of the plain one everything else.
func (r *rig) measure(rounds int, take sample) (*Use, error) {
	use, fastest := &Use{}, map[string]float64{}
	for range rounds {
		for _, s := range []*shape{r.plain, r.metered} {
			do, messages, err := take(s)
			if err != nil {
				return nil, fmt.Errorf("prepare: %w", err)
			}
			r.reset(s)
			all := &Use{}
			if err := do(all); err != nil {
				return nil, err
			}
			if s == r.metered {
				all = &Use{}
			}
			r.read(s, all)
			use.Add(all, 1/float64(rounds*messages))
			for function, ms := range all.Milliseconds {
				if each := ms / all.Calls[function]; fastest[function] == 0 || each < fastest[function] {
					fastest[function] = each
				}
			}
		}
	}
	r.undisturbed(use, fastest)
	return use, nil
}

// undisturbed takes the fastest round's time of each function for all its calls: this machine is shared, Lambda's is not.
func (r *rig) undisturbed(use *Use, fastest map[string]float64) {
	use.LambdaGBSeconds = 0
	for function, calls := range use.Calls {
		use.Milliseconds[function] = fastest[function] * calls
		use.LambdaGBSeconds += use.Milliseconds[function] / 1000 * r.a.Memory[function] / 1024
	}
}

func (r *rig) reset(s *shape) {
	r.calls.take()
	r.kinds.take()
	r.meter.Reset()
	*s.log = countingLog{}
	s.gateway.messages.Store(0)
}

// read adds what was counted since reset.
func (r *rig) read(s *shape, use *Use) {
	if s == r.metered {
		sum := r.meter.Sum()
		use.WriteUnits, use.IndexUnits, use.ReadUnits, use.ByKind = sum.Writes, sum.IndexWrites, sum.Reads, r.kinds.take()
		return
	}
	for call, n := range r.calls.take() {
		switch {
		case call == fair:
			use.FairRequests += n
		case call == "SESv2.SendEmail":
			use.MailsOut += n
		case strings.HasPrefix(call, "SQS."):
			use.SQSRequests += n
		case call == "S3.PutObject":
			use.S3Puts += n
		case strings.HasPrefix(call, "S3."):
			use.S3Gets += n
		}
	}
	use.LogBytes += s.log.bytes + s.log.lines*r.a.LogEvent
	use.SocketMessages += float64(s.gateway.messages.Load())
}

// way is how a message goes: whether staff are told, and how far the steps of docs/adr/0013 are taken.
type way struct {
	pushed bool
	step   step
}

// cases measures the cases of one channel.
func (r *rig) cases(ctx context.Context, channel string, w way, plan Plan) (map[string]*Use, error) {
	uses := map[string]*Use{}
	for _, name := range plan.Cases {
		use, err := r.measure(plan.Rounds, r.inbound(ctx, channel, name, w))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		uses[name] = use
	}
	return uses, nil
}

// inbound is one case of one channel.
func (r *rig) inbound(ctx context.Context, channel, name string, w way) sample {
	return func(s *shape) (func(*Use) error, int, error) {
		if err := r.seat(ctx); err != nil {
			return nil, 0, err
		}
		people := r.people(map[string]int{Alone: 1, First: 1, TenOfTen: 10, TenOfOne: 1}[name])
		before := people // their case is open already
		if name == First {
			before = r.people(1) // somebody else, so that accounts and secrets are remembered all the same
		}
		if err := r.play(ctx, s, channel, w, before, &Use{}); err != nil {
			return nil, 0, err
		}
		if name == TenOfOne {
			for len(people) < 10 {
				people = append(people, people[0])
			}
		}
		if w.pushed {
			r.clock.pause()
		}
		return func(use *Use) error { return r.play(ctx, s, channel, w, people, use) }, len(people), nil
	}
}

// people are so many who never wrote before.
func (r *rig) people(n int) []*person {
	all := make([]*person, n)
	for i := range all {
		r.met++
		all[i] = &person{n: r.met}
	}
	return all
}

// play has each of the people write once, all at the same time, and works everything off.
func (r *rig) play(ctx context.Context, s *shape, channel string, w way, people []*person, use *Use) error {
	process, react := s.quiet, s.quiet
	if w.step > asItIs {
		process, react = s.studied[w.step], s.studied[w.step]
	}
	if w.pushed {
		react = s.told
	}
	mails := 0
	for _, p := range people {
		d, err := r.outside.write(ctx, channel, p)
		if err != nil {
			return err
		}
		if d.mail != nil {
			mails++
			err = r.post(ctx, s, d, use)
		} else {
			err = r.request(ctx, s, d, w, use)
		}
		if err != nil {
			return err
		}
	}
	if err := r.drain(ctx, s, "mail", "mail", 1, s.quiet.Mail, mails, use); err != nil {
		return err
	}
	if err := r.drain(ctx, s, "inbound", "process", 10, process.Process, len(people)-mails, use); err != nil {
		return err
	}
	return r.follow(ctx, react, use)
}

// request hands an HTTP event to its function.
func (r *rig) request(ctx context.Context, s *shape, d *delivery, w way, use *Use) error {
	h := map[string]http.Handler{"webhook": s.system.Hooks(), "pages": s.pages, "api": s.api}[d.function]
	if w.step >= noNotes && d.function == "webhook" {
		h = hooks(s.studied[w.step])
	}
	_, err := r.ask(ctx, h, d, w, use)
	return err
}

// ask hands an HTTP event to a function and returns the body of the answer.
func (r *rig) ask(ctx context.Context, h http.Handler, d *delivery, w way, use *Use) (body string, err error) {
	if w.step >= functionURL {
		ofFunctionURL(d)
	} else {
		use.HTTPRequests++
		use.LogBytes += r.a.AccessLog + r.a.LogEvent
	}
	err = r.run(use, d.function, func() error {
		var answer struct {
			StatusCode int
			Body       string
		}
		if err := awslambda.Invoke(ctx, awslambda.HTTP(h), d.event, &answer); err != nil {
			return err
		}
		if answer.StatusCode < 200 || answer.StatusCode > 299 {
			return fmt.Errorf("%s answered %d: %s", d.function, answer.StatusCode, answer.Body)
		}
		body = answer.Body
		return nil
	})
	return body, err
}

// drain receives n messages of a queue as Lambda's poller does, in batches of the template's size, and deletes them. Batches are as
// full as they can be, so that a figure does not depend on which messages a stand-in finds at once.
func (r *rig) drain(ctx context.Context, s *shape, name, function string, most int, handler queue.Handler, n int, use *Use) error {
	deadline := time.Now().Add(30 * time.Second)
	for ; n > 0; n -= most {
		var batch []queue.Message
		receives := 0.0
		for len(batch) < min(most, n) {
			if time.Now().After(deadline) {
				return fmt.Errorf("%d messages of %s did not come", n-len(batch), name)
			}
			more, err := s.system.Queues[name].Receive(ctx, min(most, n)-len(batch), time.Second)
			if err != nil {
				return err
			}
			receives++
			batch = append(batch, more...)
		}
		r.calls.add("SQS.ReceiveMessage", 1-receives)
		for i := range batch {
			if batch[i].Group != "" {
				r.calls.add(fair, 2) // one receives it, one deletes it
				break
			}
		}
		err := r.run(use, function, func() error {
			var answer struct{ BatchItemFailures []any }
			var of any = awslambda.SQS(handler)
			if name == "mail" {
				of = awslambda.Notices(handler)
			}
			err := awslambda.Invoke(ctx, of, map[string]any{"Records": records(batch)}, &answer)
			if err == nil && len(answer.BatchItemFailures) > 0 {
				err = fmt.Errorf("%d messages failed: %s", len(answer.BatchItemFailures), s.log.last)
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := s.system.Queues[name].Ack(ctx, batch...); err != nil {
			return err
		}
	}
	return nil
}

func records(batch []queue.Message) []map[string]any {
	all := make([]map[string]any, len(batch))
	for i, m := range batch {
		attributes := map[string]string{"ApproximateReceiveCount": fmt.Sprint(m.Attempt), "SentTimestamp": fmt.Sprint(int64(m.SentAt))}
		if m.Group != "" {
			attributes["MessageGroupId"] = m.Group
		}
		all[i] = map[string]any{"messageId": m.ID, "receiptHandle": m.Handle, "body": queue.EncodeText(m.Body), "attributes": attributes, "eventSource": "aws:sqs"}
	}
	return all
}

// follow hands the stream to React, shard by shard, until nothing comes any more.
func (r *rig) follow(ctx context.Context, p *pipeline.Pipeline, use *Use) error {
	for {
		events, err := r.streams.next(ctx, r.a.Shards)
		if err != nil || len(events) == 0 {
			return err
		}
		for _, event := range events {
			if err := r.run(use, "react", func() error { return awslambda.Invoke(ctx, awslambda.Changes(p.React), event, nil) }); err != nil {
				return err
			}
		}
	}
}

// tick is one call of Tick.
func (r *rig) tick(ctx context.Context) sample {
	return func(s *shape) (func(*Use) error, int, error) {
		return func(use *Use) error { return r.run(use, "tick", func() error { return s.system.Tick(ctx) }) }, 1, nil
	}
}

// run calls a function and bills its time: what passes while calls to AWS take as long as there, and the processor's time at
// the share of a processor that comes with the function's memory.
func (r *rig) run(use *Use, function string, f func() error) error {
	memory := r.a.Memory[function]
	if memory == 0 {
		return errors.New("the template has no function " + function)
	}
	worked, begun := processorTime(), time.Now()
	if err := r.calls.stretched(f); err != nil {
		return err
	}
	wall, worked := time.Since(begun), processorTime()-worked
	slower := math.Max(1, r.a.FullCPU/memory) - 1
	ms := math.Ceil(float64(wall+time.Duration(float64(worked)*slower)) / float64(time.Millisecond))
	addTo(&use.Milliseconds, map[string]float64{function: ms}, 1)
	addTo(&use.Calls, map[string]float64{function: 1}, 1)
	use.LambdaRequests++
	use.LambdaGBSeconds += ms / 1000 * memory / 1024
	use.LogBytes += r.a.callLog()
	return nil
}

// processorTime is what this process has used of processors.
func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func scaled(u *Use, by float64) Use {
	var v Use
	v.Add(u, by)
	return v
}
