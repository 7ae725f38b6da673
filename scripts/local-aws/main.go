// Command local-aws runs the AWS shape on this machine for a person to play with: see package localaws. It is what
// "make local-aws" and "make local-aws-stop" call.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/localaws"
)

func main() {
	stop := flag.Bool("stop", false, "stop the one that runs")
	port := flag.Int("http", 8090, "port of the HTTP API")
	dir := flag.String("dir", filepath.Join(os.TempDir(), "aikajana-local-aws"), "folder for everything; removed at the end")
	flag.Parse()
	run := func() error { return start(*dir, *port) }
	if *stop {
		run = func() error { return end(*dir) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "local-aws:", err)
		os.Exit(1)
	}
}

// pidFile says which process runs the stack in dir. It lies beside the folder, which the process removes last.
func pidFile(dir string) string { return dir + ".pid" }

func start(dir string, port int) (err error) {
	if pid, running := runs(dir); running {
		return fmt.Errorf("it runs already (process %d); make local-aws-stop ends it", pid)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	if err := os.WriteFile(pidFile(dir), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(pidFile(dir)), remove(dir+".log", err != nil)) }()
	log, err := os.Create(dir + ".log")
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it is only read when something went wrong
	fmt.Println("local-aws: starting stand-ins, building the functions and starting sam local: a minute or two; log in " + log.Name())
	s, err := localaws.Start(ctx, localaws.Options{Root: ".", Dir: dir, Log: log, Visibility: 20 * time.Second, HTTP: port})
	if err != nil {
		return err
	}
	defer func() {
		fmt.Println("local-aws: stopping")
		err = errors.Join(err, s.Stop())
	}()
	provider := fake.New(fake.Options{AppSecret: "app-secret", VerifyToken: "verify", AccessToken: "access", Webhook: s.BaseURL + "/hooks/whatsapp/main",
		Statuses: []string{"sent", "delivered"}, Client: &http.Client{Timeout: time.Minute}})
	graph := httptest.NewServer(provider)
	defer graph.Close()
	token, err := furnish(ctx, s, graph.URL)
	if err != nil {
		return err
	}
	say(s, token)
	maija := fake.Person{Phone: "358401234567", Name: "Maija"}
	if err := provider.MustPost(ctx, provider.Text(maija, "Hei, tilaukseni ei ole tullut.")); err != nil {
		return fmt.Errorf("send a first message: %w", err)
	}
	<-ctx.Done()
	return nil
}

// remove takes the log away, unless something went wrong and it says what.
func remove(log string, failed bool) error {
	if failed {
		return nil
	}
	return os.Remove(log)
}

// furnish connects an account of each channel and lets a person and a program in.
func furnish(ctx context.Context, s *localaws.Stack, graph string) (token string, err error) {
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
	_, err = staff.Auth.Bootstrap(ctx, "local-aws", token)
	return token, err
}

func say(s *localaws.Stack, token string) {
	fmt.Printf(`
The AWS shape runs here: API Gateway, Lambda, SQS, DynamoDB, S3 and SSM, all played on this machine.

  HTTP API     %[1]s
  a form       %[1]s/forms/contact
  sockets      %[2]s
  sign in      user admin, password local-aws

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
`, s.BaseURL, s.SocketURL, token, example)
}

// example is a delivery of one text, in as few words as WhatsApp's own needs.
const example = `{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"phone_number_id":"1055"},` +
	`"contacts":[{"wa_id":"358407654321","profile":{"name":"Ville"}}],"messages":[{"from":"358407654321","id":"wamid.by-hand","timestamp":"'$(date +%s)'","type":"text","text":{"body":"Toimiiko?"}}]}}]}]}`

// runs says which process runs the stack in dir.
func runs(dir string) (int, bool) {
	body, err := os.ReadFile(pidFile(dir))
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(body)))
	if err != nil || pid < 1 {
		return 0, false
	}
	return pid, syscall.Kill(pid, 0) == nil
}

// end stops the running stack and waits until nothing is left of it.
func end(dir string) error {
	pid, running := runs(dir)
	if !running {
		fmt.Println("local-aws: nothing runs")
		return leftovers(dir)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	for deadline := time.Now().Add(90 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d does not end; its log is %s.log", pid, dir)
		}
	}
	return leftovers(dir)
}

// leftovers waits until nothing is left, also of a stack that was killed.
func leftovers(dir string) error {
	return errors.Join(localaws.Leftovers(context.Background(), dir), os.RemoveAll(pidFile(dir)), os.RemoveAll(dir+".log"))
}
