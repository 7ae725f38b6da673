package cost

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
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

// Measured is what one message takes, by channel and case, without and with pushes; and what a call of Tick takes.
type Measured struct {
	Quiet, Pushed map[string]map[string]*Use
	Tick          *Use
}

// Measure plays every case on every channel, with the event sources of the template at that path. It needs the stand-ins of
// scripts/parts.sh.
func Measure(ctx context.Context, template string, a Assumptions) (*Measured, error) {
	r, err := newRig(ctx, template, a)
	if err != nil {
		return nil, err
	}
	defer r.close()
	m := &Measured{Quiet: map[string]map[string]*Use{}, Pushed: map[string]map[string]*Use{}, Tick: &Use{}}
	o := newOutside()
	for _, channel := range Channels() {
		m.Quiet[channel], m.Pushed[channel] = map[string]*Use{}, map[string]*Use{}
		if err := r.measureChannel(ctx, o, channel, m); err != nil {
			return nil, fmt.Errorf("measure %s: %w", channel, err)
		}
	}
	for range 5 {
		if err := r.tick(ctx, m.Tick); err != nil {
			return nil, fmt.Errorf("measure tick: %w", err)
		}
	}
	*m.Tick = scaled(m.Tick, 1.0/5)
	return m, r.verify(ctx, o.count)
}

// verify makes sure that what was measured was the real thing: every message is in a timeline.
func (r *rig) verify(ctx context.Context, sent int) error {
	ledger, err := r.plain.system.Store.Ledger(ctx)
	if err != nil {
		return err
	}
	stored, other := int64(0), int64(0)
	for _, a := range ledger {
		stored += a.Stored
		other += a.Duplicate + a.Quarantined + a.Pending
	}
	if stored != int64(sent) || other != 0 {
		return fmt.Errorf("of %d messages %d were stored and %d were not what was meant: the measurement is void (last log: %s)", sent, stored, other, r.plain.log.last)
	}
	return nil
}

// rounds is how often a case is played, in each shape and with and without pushes.
const rounds = 4

func (r *rig) measureChannel(ctx context.Context, o *outside, channel string, m *Measured) error {
	next := 10_000 * (1 + len(m.Quiet))
	fresh := func(n int) []*person {
		all := make([]*person, n)
		for i := range all {
			next++
			all[i] = &person{n: next}
		}
		return all
	}
	if err := r.play(ctx, o, r.plain, r.plain.quiet, channel, fresh(3), &Use{}); err != nil { // warm
		return err
	}
	for _, name := range Cases() {
		for _, pushed := range []bool{false, true} {
			use, fastest := &Use{}, map[string]float64{}
			for range rounds {
				for _, s := range []*shape{r.plain, r.metered} {
					people := fresh(map[string]int{Alone: 1, First: 1, TenOfTen: 10, TenOfOne: 1}[name])
					if name != First { // their case is opened first, unmeasured
						if err := r.play(ctx, o, s, s.quiet, channel, people, &Use{}); err != nil {
							return err
						}
					}
					if name == TenOfOne {
						for len(people) < 10 {
							people = append(people, people[0])
						}
					}
					react := s.quiet
					if pushed {
						react = s.react
					}
					one := &Use{}
					if err := r.play(ctx, o, s, react, channel, people, one); err != nil {
						return fmt.Errorf("%s: %w", name, err)
					}
					use.Add(one, 1/float64(rounds*len(people)))
					for function, ms := range one.Milliseconds {
						if each := ms / one.Calls[function]; fastest[function] == 0 || each < fastest[function] {
							fastest[function] = each
						}
					}
				}
			}
			r.undisturbed(use, fastest)
			if pushed {
				m.Pushed[channel][name] = use
			} else {
				m.Quiet[channel][name] = use
			}
		}
	}
	return nil
}

// undisturbed takes the fastest round's time of each function for all its calls: this machine is shared, Lambda's is not.
func (r *rig) undisturbed(use *Use, fastest map[string]float64) {
	use.LambdaGBSeconds = 0
	for function, calls := range use.Calls {
		use.Milliseconds[function] = fastest[function] * calls
		use.LambdaGBSeconds += use.Milliseconds[function] / 1000 * r.a.Memory[function] / 1024
	}
}

// play has each of the people write once, all at the same time, and works everything off. Of a metered shape only the units
// are kept, of a plain one everything else.
func (r *rig) play(ctx context.Context, o *outside, s *shape, react *pipeline.Pipeline, channel string, people []*person, use *Use) error {
	r.reset(s)
	all := &Use{}
	work := "inbound"
	for _, p := range people {
		d, err := o.write(ctx, channel, p)
		if err != nil {
			return err
		}
		if d.mail != nil {
			work = "mail"
			all.MailsIn++
			all.MailChunksIn += math.Ceil(float64(len(d.mail)) / (256 << 10))
			all.SNSPublishes++
			if err := r.post(ctx, s, d, fmt.Sprintf("ses%012d", o.count)); err != nil {
				return err
			}
			continue
		}
		all.HTTPRequests++
		all.LogBytes += r.a.AccessLog
		if err := r.request(ctx, s, d, all); err != nil {
			return err
		}
	}
	if err := r.work(ctx, s, work, len(people), all); err != nil {
		return err
	}
	if err := r.follow(ctx, react, all); err != nil {
		return err
	}
	if s == r.metered {
		all = &Use{}
	}
	r.read(s, all)
	use.Add(all, 1)
	return nil
}

func (r *rig) reset(s *shape) {
	r.calls.take()
	r.kinds.take()
	r.meter.Reset()
	*s.log, *s.gateway = countingLog{}, countingGateway{}
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
		case strings.HasPrefix(call, "SQS."):
			use.SQSRequests += n
		case call == "S3.PutObject":
			use.S3Puts += n
		case strings.HasPrefix(call, "S3."):
			use.S3Gets += n
		}
	}
	use.LogBytes += s.log.bytes + s.log.lines*r.a.LogEvent
	use.SocketMessages += s.gateway.messages
}

// request hands an HTTP event to its function.
func (r *rig) request(ctx context.Context, s *shape, d *delivery, use *Use) error {
	h := s.system.Hooks()
	if d.function == "pages" {
		h = s.pages
	}
	return r.run(use, d.function, func() error {
		answer, err := call(ctx, awslambda.HTTP(h), d.event)
		if err != nil {
			return err
		}
		if answer.StatusCode < 200 || answer.StatusCode > 299 {
			return fmt.Errorf("%s answered %d: %s", d.function, answer.StatusCode, answer.Body)
		}
		return nil
	})
}

// work receives n messages of a queue as Lambda's poller does, in batches of the template's size, and deletes them.
func (r *rig) work(ctx context.Context, s *shape, name string, n int, use *Use) error {
	function, most, handler := "process", 10, queue.Handler(s.quiet.Process)
	if name == "mail" {
		function, most, handler = "mail", 1, s.quiet.Mail
	}
	deadline := time.Now().Add(30 * time.Second)
	for n > 0 {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d messages of %s did not come", n, name)
		}
		batch, err := s.system.Queues[name].Receive(ctx, min(most, n), time.Second)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			continue
		}
		n -= len(batch)
		err = r.run(use, function, func() error {
			answer, err := call(ctx, awslambda.SQS(handler), map[string]any{"Records": records(batch)})
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
			err := r.run(use, "react", func() error {
				_, err := call(ctx, awslambda.Changes(p.React), event)
				return err
			})
			if err != nil {
				return err
			}
			for range int(r.a.WindowCalls) {
				r.bill(use, "react", time.Millisecond)
			}
		}
	}
}

// tick calls Tick once, in both shapes.
func (r *rig) tick(ctx context.Context, use *Use) error {
	for _, s := range []*shape{r.plain, r.metered} {
		r.reset(s)
		all := &Use{}
		err := r.run(all, "tick", func() error { return s.system.Tick(ctx) })
		if err != nil {
			return err
		}
		if s == r.metered {
			all = &Use{}
		}
		r.read(s, all)
		use.Add(all, 1)
	}
	return nil
}

// run calls a function and bills its time: what passes while calls to AWS take as long as there, and the processor's time at
// the share of a processor that comes with the function's memory.
func (r *rig) run(use *Use, function string, f func() error) error {
	worked, begun := processorTime(), time.Now()
	if err := r.calls.stretched(f); err != nil {
		return err
	}
	wall, worked := time.Since(begun), processorTime()-worked
	slower := math.Max(1, r.a.FullCPU/r.a.Memory[function]) - 1
	r.bill(use, function, wall+time.Duration(float64(worked)*slower))
	return nil
}

func (r *rig) bill(use *Use, function string, d time.Duration) {
	ms := math.Ceil(float64(d) / float64(time.Millisecond))
	addTo(&use.Milliseconds, map[string]float64{function: ms}, 1)
	addTo(&use.Calls, map[string]float64{function: 1}, 1)
	use.LambdaRequests++
	use.LambdaGBSeconds += ms / 1000 * r.a.Memory[function] / 1024
	use.LogBytes += r.a.PlatformLog
}

// processorTime is what this process has used of processors.
func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// call hands an event to a handler as Lambda does: as JSON.
func call[E, R any](ctx context.Context, f func(context.Context, E) (R, error), v any) (answer R, err error) {
	body, err := json.Marshal(v)
	if err != nil {
		return answer, err
	}
	var e E
	if err := json.Unmarshal(body, &e); err != nil {
		return answer, err
	}
	return f(ctx, e)
}

func scaled(u *Use, by float64) Use {
	var v Use
	v.Add(u, by)
	return v
}
