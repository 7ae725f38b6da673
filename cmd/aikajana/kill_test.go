package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
)

const adminToken = "a-token-for-tests-0123456789"

// program is "aikajana serve" as a process.
type program struct {
	t          *testing.T
	data, conf string
	cmd        *exec.Cmd
	http, smtp string
	log        *os.File
}

// start runs the program on the same data as before and waits until it listens.
func (p *program) start() {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(self, "serve", "--data", p.data, "--http", "127.0.0.1:0", "--smtp", "127.0.0.1:0", "--config", p.conf, "--allow-private", "--log-level", "error")
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "AIKAJANA_TOKEN="+adminToken, "AIKAJANA_ADMIN_PASSWORD=correct-horse-battery")
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatalf("the program did not start: %v; see its log:\n%s", err, tail(p.log.Name()))
	}
	if _, err := fmt.Sscanf(line, "listening http=%s smtp=%s", &p.http, &p.smtp); err != nil {
		p.t.Fatalf("it printed %q: %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
}

// kill is kill -9: the process has no chance to do anything.
func (p *program) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// stop ends it in order; it must exit with 0.
func (p *program) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("it did not end in order: %v\n%s", err, tail(p.log.Name()))
	}
}

// check runs "aikajana check" on the stopped data.
func (p *program) check() {
	p.t.Helper()
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"check", "--data", p.data}, streams{strings.NewReader(""), &out, &errs}); code != exitOK {
		p.t.Fatalf("check found problems:\n%s%s", out.String(), errs.String())
	}
}

func tail(path string) string {
	b, _ := os.ReadFile(path)
	return string(b[max(0, len(b)-4000):])
}

func (p *program) call(method, path string, body any, header http.Header) (int, []byte) {
	var in io.Reader
	if body != nil {
		b, _ := json.Marshal(body)
		in = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+p.http+path, in)
	if err != nil {
		return 0, nil
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	_ = resp.Body.Close()
	return resp.StatusCode, b
}

// world is what the outside knows: what it was told is accepted, and what it was sent.
type world struct {
	*program
	graph    *fake.Provider
	mu       sync.Mutex
	accepted map[string]string // external ID -> customer's phone or mail address
	answers  map[string]bool   // texts whose reply was answered 201
	states   map[string]string // delivery state of each answer, as the timeline shows it
	talks    map[string]string // conversation of each answer
	next     int
}

// newWorld keeps the program's data, its log and its accounts in folder.
func newWorld(t *testing.T, folder string) *world {
	t.Helper()
	w := &world{accepted: map[string]string{}, answers: map[string]bool{}, states: map[string]string{}, talks: map[string]string{}}
	w.graph = fake.New(fake.Options{PhoneNumberID: "1055", AppSecret: "secret", VerifyToken: "verify", AccessToken: "token"})
	graph := httptest.NewServer(w.graph)
	t.Cleanup(graph.Close)
	conf := filepath.Join(folder, "accounts.json")
	config := fmt.Sprintf(`{"accounts":[
		{"channel":"whatsapp","account":"main","settings":{"phone_number_id":"1055","api_base":%q},
		 "secrets":{"app_secret":"literal:secret","verify_token":"literal:verify","access_token":"literal:token"}},
		{"channel":"email","account":"main","settings":{"address":"help@desk.example"}}]}`, graph.URL)
	if err := os.WriteFile(conf, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	w.program = &program{t: t, data: filepath.Join(folder, "data"), conf: conf, log: log}
	t.Cleanup(func() {
		if w.cmd != nil && w.cmd.ProcessState == nil {
			w.kill()
		}
	})
	return w
}

func (w *world) number() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	return w.next
}

// customers is how many people write.
const customers = 40

// load writes, answers and mails until ctx ends.
func (w *world) load(ctx context.Context) {
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for ctx.Err() == nil {
				w.write(ctx)
			}
		})
	}
	wait.Go(func() {
		for ctx.Err() == nil {
			w.mail(ctx)
		}
	})
	wait.Go(func() {
		for ctx.Err() == nil {
			w.answer(ctx)
		}
	})
	wait.Wait()
}

func (w *world) write(ctx context.Context) {
	n := w.number()
	phone := "3584000" + fmt.Sprintf("%05d", n%customers)
	id := "wamid." + strconv.Itoa(n)
	body := w.graph.Body(w.graph.Text(fake.Person{Phone: phone, Name: "Asiakas"}, "viesti "+id).ID(id))
	copies := 1 + n%7/6 // some are delivered twice
	for range copies {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.http+"/hooks/whatsapp/main", bytes.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("X-Hub-Signature-256", w.graph.Sign(body))
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			w.mu.Lock()
			w.accepted[id] = "whatsapp.phone:" + phone
			w.mu.Unlock()
		}
	}
}

func (w *world) mail(ctx context.Context) {
	n := w.number()
	from := fmt.Sprintf("asiakas%d@mail.example", n%customers)
	id := fmt.Sprintf("m%d@mail.example", n)
	raw := fmt.Sprintf("From: %s\r\nTo: help@desk.example\r\nSubject: Asia\r\nMessage-ID: <%s>\r\nDate: Sun, 22 Nov 2026 10:00:00 +0200\r\n\r\nviesti %s\r\n", from, id, id)
	d := net.Dialer{Timeout: 2 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", w.smtp)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		return
	}
	if c.Mail(from) != nil || c.Rcpt("help@desk.example") != nil {
		return
	}
	data, err := c.Data()
	if err != nil {
		return
	}
	_, _ = data.Write([]byte(raw))
	if data.Close() != nil {
		return
	}
	w.mu.Lock()
	w.accepted[id] = "email.unverified:" + from
	w.mu.Unlock()
}

// answer answers the case that must be served next, under a key that it would use again.
func (w *world) answer(ctx context.Context) {
	status, body := w.call(http.MethodGet, "/api/v1/cases?channel=whatsapp&state=open&limit=1", nil, nil)
	var list struct {
		Items []struct {
			Case string `json:"case"`
		} `json:"items"`
	}
	if status != http.StatusOK || json.Unmarshal(body, &list) != nil || len(list.Items) == 0 {
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
		return
	}
	text := fmt.Sprintf("vastaus %d", w.number())
	key := http.Header{"Idempotency-Key": {strings.ReplaceAll(text, " ", "-")}}
	for range 2 { // an impatient client sends it twice
		status, _ = w.call(http.MethodPost, "/api/v1/cases/"+list.Items[0].Case+"/replies", map[string]string{"text": text}, key)
		if status == http.StatusCreated {
			w.mu.Lock()
			w.answers[text] = true
			w.mu.Unlock()
		}
	}
}

// drained waits until everything accepted was worked on and every answer had its attempt.
func (w *world) drained() {
	w.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		status, body := w.call(http.MethodGet, "/api/v1/reconciliation", nil, nil)
		var r struct {
			Items []struct {
				Balanced  bool
				Envelopes struct{ Queued, Dead int }
			}
		}
		if status == http.StatusOK && json.Unmarshal(body, &r) == nil {
			queued, dead := 0, 0
			for _, i := range r.Items {
				queued += i.Envelopes.Queued
				dead += i.Envelopes.Dead
				if !i.Balanced {
					w.t.Fatalf("the ledger is not even: %s", body)
				}
			}
			if dead > 0 {
				w.redrive(dead)
			} else if queued == 0 && w.wakeUps() == 0 {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Fatalf("the queues did not drain; log:\n%s", tail(w.log.Name()))
}

// redrive brings back what was in hand at five kills: it is in the dead-letter queue then, where an operator finds it.
func (w *world) redrive(dead int) {
	w.t.Logf("%d envelopes were in hand at five kills and are brought back", dead)
	for _, queue := range []string{"inbound", "mail"} {
		if status, body := w.call(http.MethodPost, "/api/v1/queues/"+queue+"/redrive", nil, nil); status/100 != 2 {
			w.t.Fatalf("bring back what is dead in queue %s: %d %s", queue, status, body)
		}
	}
}

// wakeUps is how many answers wait to be looked at now; those that are to be looked at later do not count.
func (w *world) wakeUps() int {
	_, body := w.call(http.MethodGet, "/metrics", nil, nil)
	total := 0
	for _, state := range []string{"ready", "in_flight"} {
		_, rest, found := strings.Cut(string(body), fmt.Sprintf("aikajana_queue_messages{queue=\"wake\",state=%q} ", state))
		line, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.Atoi(line)
		if !found || err != nil {
			w.t.Fatalf("metrics do not tell of the wake queue: %s", body)
		}
		total += n
	}
	return total
}

// audit looks every accepted message up and counts it; and every answer that the provider took.
func (w *world) audit() {
	w.t.Helper()
	people := map[string]bool{}
	for _, who := range w.accepted {
		people[who] = true
	}
	seen, replies := map[string]int{}, map[string]int{}
	for deadline := time.Now().Add(100 * time.Second); ; time.Sleep(time.Second) {
		clear(seen)
		clear(replies)
		for who := range people {
			w.auditCustomer(who, seen, replies)
		}
		if w.stuck() == 0 || time.Now().After(deadline) {
			break
		}
	}
	lost, doubled := 0, 0
	for id, who := range w.accepted {
		switch n := seen[id]; {
		case n == 0:
			if lost++; lost <= 20 {
				w.t.Errorf("message %s of %s is not in the timeline", id, who)
			}
		case n > 1:
			doubled++
		}
	}
	if lost > 0 || doubled > 0 {
		w.t.Errorf("of %d accepted messages %d are lost and %d are there twice", len(w.accepted), lost, doubled)
	}
	sent := map[string]int{}
	for _, s := range w.graph.Sent() {
		sent[s.Text]++
	}
	for text := range w.answers {
		if replies[text] != 1 {
			w.t.Errorf("answer %q is in the timeline %d times", text, replies[text])
		}
		if sent[text] > 1 {
			w.t.Errorf("the customer got answer %q %d times", text, sent[text])
		}
	}
	w.settled(sent)
	w.t.Logf("%d messages accepted, %d answers written, %d accepted by the provider", len(w.accepted), len(w.answers), len(w.graph.Sent()))
}

// stuck is how many answers are pending with nothing in their way. What was in their way may just have become uncertain: they
// look again after some seconds, and Tick every minute. So they are given time before it counts.
func (w *world) stuck() int {
	held, stuck := map[string]bool{}, 0
	for text, state := range w.states {
		held[w.talks[text]] = held[w.talks[text]] || state == "sending"
	}
	for text := range w.answers {
		if w.states[text] == "pending" && !held[w.talks[text]] {
			stuck++
		}
	}
	return stuck
}

// settled holds every answer to one of three ends: the provider took it and the timeline says so; an attempt was under way
// when the process died, and it is sending or uncertain; or it waits behind such a one. Nothing else.
func (w *world) settled(sent map[string]int) {
	w.t.Helper()
	count, held := map[string]int{}, map[string]bool{}
	for text, state := range w.states {
		held[w.talks[text]] = held[w.talks[text]] || state == "sending"
	}
	for text := range w.answers {
		state := w.states[text]
		count[state]++
		switch state {
		case "sending", "uncertain":
		case "pending": // waits for one whose fate shows within two minutes, so that the order is kept
			if !held[w.talks[text]] {
				w.t.Errorf("answer %q is pending and nothing is in its way", text)
			}
		case "accepted", "sent", "delivered", "read":
			if sent[text] != 1 {
				w.t.Errorf("answer %q is %s and the provider took it %d times", text, state, sent[text])
			}
		default:
			w.t.Errorf("answer %q is left %q", text, state)
		}
	}
	w.t.Logf("answers by state: %v", count)
}

func (w *world) auditCustomer(address string, seen, replies map[string]int) {
	w.t.Helper()
	status, body := w.call(http.MethodGet, "/api/v1/customers?address="+url.QueryEscape(address), nil, nil)
	var found struct {
		Items []struct {
			Customer string `json:"customer"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &found); status != http.StatusOK || err != nil || len(found.Items) != 1 {
		w.t.Fatalf("find %s: %d %s", address, status, body)
	}
	before := ""
	for {
		status, body = w.call(http.MethodGet, "/api/v1/customers/"+found.Items[0].Customer+"/timeline?limit=200"+before, nil, nil)
		var page struct {
			Items []struct {
				ID        string
				Direction string
				State     string
				Delivery  struct{ Conversation string }
				Message   *struct {
					Text      string
					MessageID string `json:"message_id"`
				}
			}
			Next string
		}
		if err := json.Unmarshal(body, &page); status != http.StatusOK || err != nil {
			w.t.Fatalf("timeline of %s: %d %s", address, status, body)
		}
		for _, e := range page.Items {
			switch {
			case e.Message == nil:
			case e.Direction == "out":
				replies[e.Message.Text]++
				w.states[e.Message.Text] = e.State
				w.talks[e.Message.Text] = e.Delivery.Conversation
			case e.Message.MessageID != "":
				seen[e.Message.MessageID]++
			default:
				seen[e.ID]++
			}
		}
		if page.Next == "" {
			return
		}
		before = "&before=" + url.QueryEscape(page.Next)
	}
}

// TestKilledAtRandomMomentsNothingAcceptedIsLostOrDoubled kills the process with signal 9 again and again, on one growing
// store, while customers write by webhook and mail and an agent answers.
func TestKilledAtRandomMomentsNothingAcceptedIsLostOrDoubled(t *testing.T) {
	rounds := killRounds
	if n, err := strconv.Atoi(os.Getenv("AIKAJANA_KILL_ROUNDS")); err == nil {
		rounds = n
	}
	folder := t.TempDir()
	if kept := os.Getenv("AIKAJANA_KILL_DATA"); kept != "" { // so that a long run that failed can be looked into
		folder = kept
	}
	w := newWorld(t, folder)
	random := rand.New(rand.NewPCG(1, 2))
	began := time.Now()
	for round := range rounds {
		w.start()
		ctx, stop := context.WithCancel(context.Background())
		var wait sync.WaitGroup
		wait.Go(func() { w.load(ctx) })
		time.Sleep(time.Duration(50+random.IntN(400)) * time.Millisecond) // the moment is the point
		w.kill()
		stop()
		wait.Wait()
		if round%20 == 19 {
			w.check()
		}
		if round%100 == 99 {
			t.Logf("%d kills in %s, %d messages accepted, %d answers written", round+1, time.Since(began).Round(time.Second), len(w.accepted), len(w.answers))
		}
	}
	w.start()
	w.drained()
	w.audit()
	w.stop()
	w.check()
}
