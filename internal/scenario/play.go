package scenario

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
)

// action plays one statement.
type action func(ctx context.Context, p *Play) error

// Play is one script on its way through one world.
type Play struct {
	world   World
	clock   *Clock
	faults  *Faults
	outside *outside

	// people are the addresses of customers by name, as "kind:value".
	people map[string]string
	names  []string
	// staff are cookies by user.
	staff map[string]string
	// again repeats the last delivery of a channel's account.
	again map[string]action
	// rule is by which further rule a mail comes again, "" by the same.
	rule string
	// merges are the merges by the name of their first customer.
	merges map[string]string
	line   int
	// sockets are the open sockets of staff by name; server is the desk for programs, token their way in.
	sockets map[string]*socket
	client  func(ctx context.Context, args ...string) (string, error)
	server  *httptest.Server
	token   string

	held    bool
	workers int
	// raced is what chance has decided.
	raced   race
	reverse map[string]bool
	// putOff are the messages that took the place of one that was put off, by queue and ID, with the account that they are for.
	putOff map[string]map[string]string
}

// Result is what a played script comes to.
type Result struct {
	// Dump is the canonical text of everything that was asked to be the same in every world.
	Dump string
	// Failures are expectations that were not met, each with its line; Problems what the check found.
	Failures, Problems []string
}

// Start is when a story begins that does not say.
var Start = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC) // a Monday, 10:00 in Helsinki

// Run plays a script through a world that build makes. An error means that it could not be played to the end.
func Run(ctx context.Context, s *Script, stage Stage, build func(context.Context, *Stage) (World, error)) (r *Result, err error) {
	stage.Clock = NewClock(Start)
	stage.Faults = NewFaults(stage.Clock)
	out := newOutside(stage.Clock)
	defer out.close()
	stage.Mailer, stage.SES = out.mail, out.ses.URL
	world, err := build(ctx, &stage)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, world.Close()) }()
	p := &Play{
		world: world, clock: stage.Clock, faults: stage.Faults, outside: out, people: map[string]string{}, staff: map[string]string{},
		sockets: map[string]*socket{}, client: stage.Client, again: map[string]action{}, merges: map[string]string{}, workers: 1, reverse: map[string]bool{},
		putOff: map[string]map[string]string{},
	}
	defer p.hangUp()
	ctx = context.WithValue(ctx, doorKey{}, world.Door())
	out.passed = p.overtake(ctx)
	if err := Connect(ctx, p.world, out.graph.URL); err != nil {
		return nil, fmt.Errorf("%s: connect the accounts: %w", s.Name, err)
	}
	r = &Result{}
	for i := range s.steps {
		err := p.play(ctx, &s.steps[i])
		var unmet *unmet
		switch {
		case errors.As(err, &unmet):
			r.Failures = append(r.Failures, fmt.Sprintf("%s.txt:%d: %v", s.Name, s.steps[i].line, err))
		case err != nil:
			return nil, fmt.Errorf("%s.txt:%d: %s: %w", s.Name, s.steps[i].line, s.steps[i].text, err)
		}
	}
	for _, trouble := range p.faults.unmet() {
		r.Failures = append(r.Failures, fmt.Sprintf("%s.txt: asks for trouble that nothing met: %s", s.Name, trouble))
	}
	if r.Problems, err = world.Check(ctx); err != nil {
		return nil, fmt.Errorf("%s: check: %w", s.Name, err)
	}
	r.Dump, err = p.dump(ctx)
	return r, err
}

func (p *Play) play(ctx context.Context, s *step) error {
	p.line = s.line
	if !s.looks {
		p.clock.pass(time.Millisecond)
	}
	if s.after > 0 {
		if err := p.pass(ctx, s.after); err != nil {
			return err
		}
	}
	if err := s.do(ctx, p); err != nil {
		return err
	}
	if p.held {
		return nil
	}
	return p.settle(ctx)
}

// pass lets time go by; what becomes due on the way is done when it is due, to the second.
func (p *Play) pass(ctx context.Context, d time.Duration) error {
	until := p.clock.Time().Add(d)
	for _, stop := range []time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 3 * time.Minute, 10 * time.Minute} {
		if stop < d {
			p.clock.set(until.Add(stop - d))
			if err := p.moved(ctx); err != nil {
				return err
			}
		}
	}
	p.clock.set(until)
	return p.moved(ctx)
}

func (p *Play) moved(ctx context.Context) error {
	if err := p.world.Moved(ctx); err != nil {
		return err
	}
	if p.held {
		return nil
	}
	return p.settle(ctx)
}

// rounds is how often everything is gone through before the program is said never to come to rest.
const rounds = 200

// working is a world that works by itself: there is nothing to do but to wait for it, for one queue alone while somebody else is at
// work.
type working interface {
	Settle(ctx context.Context) error
	Worked(ctx context.Context, queue string) error
}

// holding is a world whose workers have to be told that work is to lie.
type holding interface {
	Hold(held bool)
}

// hold lets work lie until it is called again.
func (p *Play) hold(held bool) {
	p.held = held
	if w, ok := p.world.(holding); ok {
		w.Hold(held)
	}
}

// settle works until nothing is left to do now (I9).
func (p *Play) settle(ctx context.Context) error {
	if w, ok := p.world.(working); ok {
		return w.Settle(ctx)
	}
	for range rounds {
		did := 0
		for _, name := range queueNames {
			n, err := p.work(ctx, name)
			if err != nil {
				return err
			}
			did += n
		}
		n, err := p.follow(ctx)
		if err != nil {
			return err
		}
		if did+n == 0 {
			return nil
		}
	}
	return errors.New("the queues do not drain")
}

// batchSize is the most that Lambda gives a worker at once, see the template.
const batchSize = 10

// work empties a queue once: it takes what is there, in the order in which it was sent, and gives it to the workers.
func (p *Play) work(ctx context.Context, name string) (int, error) {
	q := p.world.Queue(name)
	var all []queue.Message
	for {
		got, err := q.Receive(in(ctx, "poller"), batchSize, 0)
		if err != nil && p.faults.isThrottling(name) {
			break // who polls polls again
		}
		if err != nil {
			return 0, err
		}
		if len(got) == 0 {
			break
		}
		all = append(all, got...)
	}
	if len(all) == 0 {
		return 0, nil
	}
	p.notePutOff(name, all)
	slices.SortStableFunc(all, func(a, b queue.Message) int {
		return cmp.Or(cmp.Compare(a.SentAt, b.SentAt), cmp.Compare(a.Attempt, b.Attempt))
	})
	if p.reverse[name] {
		p.reverse[name] = false
		slices.Reverse(all)
	}
	p.faults.change(func() { delete(p.faults.twice, name) })
	size := batchSize
	if name == "mail" || name == "media" {
		size = 1
	}
	batches := slices.Collect(slices.Chunk(all, size))
	if p.workers > 1 { // each message to a worker of its own, all at once
		batches = slices.Collect(slices.Chunk(all, 1))
	}
	for crew := range slices.Chunk(batches, p.workers) {
		if err := p.together(ctx, name, crew); err != nil {
			return 0, err
		}
	}
	return len(all), nil
}

// notePutOff remembers which messages stand in for one that was put off, see pipeline.Process.
func (p *Play) notePutOff(name string, all []queue.Message) {
	for _, m := range all {
		if bytes.HasPrefix(m.Body, []byte(`{"put_off":`)) {
			if p.putOff[name] == nil {
				p.putOff[name] = map[string]string{}
			}
			p.putOff[name][m.ID] = cmp.Or(m.Group, "email/main") // what SES announces has no group
		}
	}
}

// together has several workers work at the same time, a batch each.
func (p *Play) together(ctx context.Context, name string, batches [][]queue.Message) error {
	var wait sync.WaitGroup
	errs := make([]error, len(batches))
	for i, batch := range batches {
		wait.Go(func() { errs[i] = p.batch(ctx, name, batch) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (p *Play) batch(ctx context.Context, name string, batch []queue.Message) error {
	failed, err := p.handle(ctx, name, batch)
	var dead crashed
	if errors.As(err, &dead) {
		return nil // what it held comes again when its visibility ends
	}
	if err != nil {
		return err
	}
	var done []queue.Message
	for _, m := range batch {
		if !slices.Contains(failed, m.ID) {
			done = append(done, m)
		}
	}
	if len(done) == 0 {
		return nil
	}
	mayFail := p.faults.mayLoseAck(name)
	if err := p.world.Queue(name).Ack(in(ctx, "poller"), done...); err != nil && !mayFail {
		return err
	}
	return nil // what was not acknowledged comes again when its visibility ends
}

// handle calls the worker; one that is killed is an error of type crashed.
func (p *Play) handle(ctx context.Context, name string, batch []queue.Message) (failed []string, err error) {
	defer func() {
		if v := recover(); v != nil {
			dead, ok := v.(crashed)
			if !ok {
				panic(v)
			}
			err = dead
		}
	}()
	return p.world.Handle(in(ctx, "worker"), name, batch)
}

// follow follows the changes up once. A follower that is killed, or that fails, sees the same changes again.
func (p *Play) follow(ctx context.Context) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			if _, ok := v.(crashed); !ok {
				panic(v)
			}
			n, err = 1, nil
		}
	}()
	before := p.faults.met()
	n, err = p.world.React(in(ctx, "react"))
	switch {
	case err != nil && p.faults.isRefusing():
		return 0, nil // the stream waits until the table takes calls again
	case err != nil && p.faults.met() > before:
		return 1, nil
	}
	return n, err
}

// overtake posts a receipt and has it worked on, while the provider has not answered yet.
func (p *Play) overtake(ctx context.Context) func(context.Context) error {
	return func(from context.Context) error {
		update, ok := from.Value(overtaking{}).(fake.Update)
		if !ok {
			return errors.New("there is no receipt to post")
		}
		if err := wanted(http.StatusOK)(p.outside.whatsapp.Post(ctx, update)); err != nil {
			return err
		}
		if w, ok := p.world.(working); ok {
			return w.Worked(ctx, "inbound")
		}
		_, err := p.work(ctx, "inbound")
		return err
	}
}

// wanted turns an HTTP status that was not expected into an error.
func wanted(status int) func(int, error) error {
	return func(got int, err error) error {
		if err != nil {
			return err
		}
		if got != status {
			return fmt.Errorf("it was answered with %d, not %d", got, status)
		}
		return nil
	}
}

// Connect gives the desk one account of each channel; graph is where WhatsApp's API is played.
func Connect(ctx context.Context, w World, graph string) error {
	for _, a := range []store.Connected{
		{Channel: "whatsapp", Account: "main", Settings: map[string]string{"phone_number_id": phoneNumber, "api_base": graph}},
		{Channel: "email", Account: "main", Settings: map[string]string{"address": mailAddress}},
		{Channel: "form", Account: "main"},
		{Channel: "webhook", Account: "main"},
	} {
		a.Team = "support"
		if err := connectAccount(ctx, w, a); err != nil {
			return err
		}
	}
	return nil
}

// connecting is a world that takes accounts by its own door.
type connecting interface {
	Connect(ctx context.Context, a *store.Connected, secrets map[string]string) error
}

func connectAccount(ctx context.Context, w World, a store.Connected) error {
	secrets := map[string]map[string]string{
		"whatsapp": {"app_secret": AppSecret, "verify_token": verifyToken, "access_token": accessToken},
		"webhook":  {"signing_secret": hookSecret},
	}[a.Channel]
	if w, ok := w.(connecting); ok {
		return w.Connect(ctx, &a, secrets)
	}
	for name, value := range secrets {
		if err := w.Secrets().Put(ctx, pipeline.SecretName(a.Channel, a.Account, name), []string{value}); err != nil {
			return err
		}
		a.Secrets = append(a.Secrets, name)
	}
	slices.Sort(a.Secrets)
	if err := w.App().Store.PutAccount(ctx, a); err != nil {
		return err
	}
	w.App().Pipeline.ForgetAccounts()
	return nil
}

// meet remembers a customer's address by the name that the script gives them.
func (p *Play) meet(name, kind, value string) {
	if name == "" || value == "" {
		return
	}
	if p.people[name] == "" {
		p.names = append(p.names, name)
		p.people[name] = kind + ":" + value
	}
}
