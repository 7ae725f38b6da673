package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
)

const adminToken = "a-token-for-tests-0123456789"

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
	// broughtBack counts envelopes that were dead letters at the end of the kills.
	broughtBack int
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

// TestKilledAtRandomMomentsNothingAcceptedIsLostOrDoubled kills the process with signal 9 again and again, on one growing
// store, while customers write by webhook and mail and an agent answers.
func TestKilledAtRandomMomentsNothingAcceptedIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	rounds := killRounds
	soak := os.Getenv("AIKAJANA_KILL_ROUNDS") != ""
	if n, err := strconv.Atoi(os.Getenv("AIKAJANA_KILL_ROUNDS")); err == nil {
		rounds = n
	}
	folder := t.TempDir()
	if kept := os.Getenv("AIKAJANA_KILL_DATA"); kept != "" { // so that a long run that failed can be looked into
		folder = kept
		if old, err := os.ReadDir(kept); err != nil || len(old) > 0 { // messages of an earlier run have the same names
			t.Fatalf("AIKAJANA_KILL_DATA must name an empty folder (%v)", err)
		}
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
	w.audit(soak)
	w.stop()
	w.check()
	t.Logf("%d kills, %s in all", rounds, time.Since(began).Round(time.Second))
}
