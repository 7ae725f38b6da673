package localaws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
)

// Playground is the stack for a person to play with, as "make local-aws" runs it: one at a time in a folder, with a fake WhatsApp
// and a customer who has just written.
type Playground struct {
	// Root is the project's folder, Dir a folder of the playground's own. Beside it lie Dir.pid, which says who runs it, and Dir.log;
	// all of them are gone afterwards, but for the log of one that failed.
	Root, Dir string
	// HTTP is the port of the HTTP API; 0 takes a free one.
	HTTP int
	// Out is what the person reads.
	Out io.Writer
}

// password is the administrator's.
const password = "local-aws"

// Run starts everything, says what to type next, and stops it when the context ends. It refuses when one runs already, and tidies
// up first after one that was killed.
func (p *Playground) Run(ctx context.Context) (err error) {
	lock, pid, err := p.lock()
	if err != nil {
		return err
	}
	if lock == nil {
		return fmt.Errorf("it runs already (process %s); make local-aws-stop ends it", pid)
	}
	defer func() { err = errors.Join(err, p.unlock(lock)) }()
	if err := lock.Truncate(0); err != nil {
		return fmt.Errorf("say who runs it: %w", err)
	}
	if _, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return fmt.Errorf("say who runs it: %w", err)
	}
	if pid != "" {
		p.say("local-aws: the one before was killed (process %s); tidying up after it\n", pid)
	}
	if err := Leftovers(ctx, p.Dir); err != nil {
		return err
	}
	log, err := os.Create(p.Dir + ".log")
	if err != nil {
		return fmt.Errorf("start the log: %w", err)
	}
	defer func() {
		_ = log.Close() // it is only read when something went wrong
		if err == nil {
			err = os.Remove(log.Name())
		}
	}()
	p.say("local-aws: starting stand-ins, building the functions and starting sam local: a minute or two; log in %s\n", log.Name())
	return p.run(ctx, log)
}

func (p *Playground) run(ctx context.Context, log io.Writer) (err error) {
	s, err := Start(ctx, Options{Root: p.Root, Dir: p.Dir, Log: log, Visibility: 20 * time.Second, HTTP: p.HTTP})
	switch {
	case err != nil && ctx.Err() != nil:
		p.say("local-aws: stopped before it was up\n")
		return Leftovers(context.WithoutCancel(ctx), p.Dir)
	case err != nil:
		return err
	}
	defer func() {
		p.say("local-aws: stopping\n")
		err = errors.Join(err, s.Stop())
	}()
	provider := fake.New(fake.Options{AppSecret: "app-secret", VerifyToken: "verify", AccessToken: "access", Webhook: s.BaseURL + "/hooks/whatsapp/main",
		Statuses: []string{"sent", "delivered"}, Client: &http.Client{Timeout: time.Minute}})
	graph := httptest.NewServer(provider)
	defer graph.Close()
	if err := p.show(ctx, s, provider, graph.URL); err != nil && ctx.Err() == nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// show has a customer write, and says what to type once her case is there.
func (p *Playground) show(ctx context.Context, s *Stack, provider *fake.Provider, graph string) error {
	token, err := furnish(ctx, s, graph)
	if err != nil {
		return err
	}
	maija := fake.Person{Phone: "358401234567", Name: "Maija"}
	if err := provider.MustPost(ctx, provider.Text(maija, "Hei, tilaukseni ei ole tullut.")); err != nil {
		return fmt.Errorf("send a first message: %w", err)
	}
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for within.Err() == nil {
		told, err := s.System.Store.Notifications(within, s.System.Env.Team, "", 1)
		if err == nil && len(told) > 0 {
			break
		}
		pause(within, 200*time.Millisecond)
	}
	p.say(instructions, s.BaseURL, s.SocketURL, token, example, password)
	return nil
}

// End stops the one that runs, in whatever process, and waits until nothing is left of it, nor of one that was killed.
func (p *Playground) End(ctx context.Context) error {
	lock, pid, err := p.lock()
	if err != nil {
		return err
	}
	said := "local-aws: stopped, and nothing is left of it\n"
	switch {
	case lock == nil:
		if lock, err = p.end(ctx, pid); err != nil {
			return err
		}
	case pid == "":
		said = "local-aws: nothing runs\n"
	default:
		p.say("local-aws: it was killed (process %s); tidying up after it\n", pid)
	}
	if err := errors.Join(Leftovers(ctx, p.Dir), os.RemoveAll(p.Dir+".log"), p.unlock(lock)); err != nil {
		return err
	}
	p.say("%s", said)
	return nil
}

// end asks the process that runs it to stop, and returns its lock once it has.
func (p *Playground) end(ctx context.Context, pid string) (*os.File, error) {
	process, err := strconv.Atoi(pid)
	if err != nil {
		return nil, fmt.Errorf("stop the one that runs: %s.pid says %q in place of a process; wait a moment and try again", p.Dir, pid)
	}
	if err := syscall.Kill(process, syscall.SIGTERM); err != nil {
		return nil, fmt.Errorf("stop process %s: %w", pid, err)
	}
	within, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		pause(within, 100*time.Millisecond)
		if lock, _, err := p.lock(); err != nil || lock != nil {
			return lock, err
		}
		if within.Err() != nil {
			return nil, fmt.Errorf("process %s does not end; its log is %s.log", pid, p.Dir)
		}
	}
}

// lock takes Dir.pid, which whoever runs a playground holds locked until the process ends, however it does. It returns the file, and
// the process of one that was killed, "" when there was none; or no file, and the process that holds it.
func (p *Playground) lock() (*os.File, string, error) {
	for {
		f, err := os.OpenFile(p.Dir+".pid", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, "", fmt.Errorf("see whether it runs: %w", err)
		}
		taken := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a file's number is small
		body, err := io.ReadAll(f)
		if taken == nil && err == nil && !p.isPid(f) {
			_ = f.Close() // whoever held it removed it just now
			continue
		}
		pid := strings.TrimSpace(string(body))
		if errors.Is(taken, syscall.EWOULDBLOCK) && err == nil {
			return nil, pid, f.Close()
		}
		if err := errors.Join(taken, err); err != nil {
			return nil, "", fmt.Errorf("see whether it runs: %w", errors.Join(err, f.Close()))
		}
		return f, pid, nil
	}
}

// isPid says that the file is still the one that others find.
func (p *Playground) isPid(f *os.File) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(p.Dir + ".pid")
	return err == nil && os.SameFile(ours, there)
}

// unlock removes the file while it is still ours.
func (p *Playground) unlock(f *os.File) error { return errors.Join(os.Remove(p.Dir+".pid"), f.Close()) }

func (p *Playground) say(format string, a ...any) { _, _ = fmt.Fprintf(p.Out, format, a...) } // nobody may read it any more

// furnish connects an account of each channel and lets a person and a program in.
func furnish(ctx context.Context, s *Stack, graph string) (token string, err error) {
	base, err := s.Inside(graph)
	if err != nil {
		return "", err
	}
	c := &app.Config{Accounts: []app.AccountConfig{
		{Channel: "whatsapp", Account: "main", Settings: map[string]string{"phone_number_id": "1055", "api_base": base},
			Secrets: map[string]string{"app_secret": "literal:app-secret", "verify_token": "literal:verify", "access_token": "literal:access"}}, //nolint:gosec // the fake provider's
		{Channel: "form", Account: "contact"},
	}}
	if err := s.System.Declare(ctx, c, s.System.Secrets, app.SystemLookup()); err != nil {
		return "", err
	}
	staff, err := people.New(s.System.App, people.Options{BaseURL: s.BaseURL, Log: s.System.Log})
	if err != nil {
		return "", err
	}
	token = "local-aws-" + s.System.Store.NewID()
	_, err = staff.Auth.Bootstrap(ctx, password, token)
	return token, err
}

const instructions = `
The AWS shape runs here: API Gateway, Lambda, SQS, DynamoDB, S3 and SSM, all played on this machine.

  HTTP API     %[1]s
  a form       %[1]s/forms/contact
  sockets      %[2]s
  sign in      user admin, password %[5]s

Maija has just written by WhatsApp. In another terminal, in this folder, see her case and its timeline, and answer it:

  make build
  export PATH=$PWD/bin:$PATH AIKAJANA_SERVER=%[1]s AIKAJANA_TOKEN=%[3]s
  aikajana cases
  aikajana timeline CASE
  aikajana reply CASE "Katson heti."

Write as somebody else, as WhatsApp delivers it, signed with the app's secret:

  body='%[4]s'
  curl %[1]s/hooks/whatsapp/main -d "$body" -H 'Content-Type: application/json' \
    -H "X-Hub-Signature-256: sha256=$(printf %%s "$body" | openssl dgst -sha256 -hmac app-secret -r | cut -d ' ' -f 1)"

The first call of each function takes a second or two. make local-aws-stop, or Ctrl-C here, leaves nothing behind.
`

// example is a delivery of one text, in as few words as WhatsApp's own needs.
const example = `{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"phone_number_id":"1055"},` +
	`"contacts":[{"wa_id":"358407654321","profile":{"name":"Ville"}}],"messages":[{"from":"358407654321","id":"wamid.by-hand","timestamp":"'$(date +%s)'","type":"text","text":{"body":"Toimiiko?"}}]}}]}]}`
