package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/app/local"
	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/terminal"
	"github.com/aikajana/aikajana/internal/timeline"
)

// serveForm serves a desk with a web form until the function that it returns is called.
func serveForm(t *testing.T, folder, address string) (at string, end func()) {
	t.Helper()
	config := filepath.Join(folder, "accounts.json")
	if err := os.WriteFile(config, []byte(`{"accounts":[{"channel":"form","account":"main"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ready := new(output)
	server, err := local.Open(local.Options{Data: filepath.Join(folder, "desk"), HTTP: address, Config: config, Token: adminToken, AdminPassword: "correct horse battery", Out: ready})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	ready.awaits(t, "listening")
	return server.HTTPAddr(), func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func fillIn(t *testing.T, at, text string) {
	t.Helper()
	body := fmt.Sprintf(`{"id":%q,"name":"Maija","email":"maija@posti.example","message":%q}`, text, text)
	response, err := http.Post("http://"+at+"/forms/main", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if answer, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusAccepted {
		t.Fatalf("the form answered with status %d: %s", response.StatusCode, answer)
	}
}

func TestFollowingGoesOnWhereItWasAfterTheServerRestarted(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	at, end := serveForm(t, folder, "127.0.0.1:0")
	fillIn(t, at, "ensimmäinen")
	where := []string{"--server", "http://" + at, "--token", adminToken}
	var found, errs output
	for deadline := time.Now().Add(waitingLimit); run(t.Context(), append(where, "timeline", "email.unverified:maija@posti.example"), streams{strings.NewReader(""), &found, &errs}) != exitOK; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the form never became a timeline: %s", errs.String())
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var followed output
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append(where, "timeline", "email.unverified:maija@posti.example", "-f"), streams{strings.NewReader(""), &followed, &errs})
	}()
	followed.awaits(t, "ensimmäinen")
	fillIn(t, at, "toinen")
	followed.awaits(t, ": toinen\n") // its case, which was opened meanwhile, by name
	followed.awaits(t, "       toinen\n")
	end()
	_, end = serveForm(t, folder, at)
	fillIn(t, at, "kolmas") // perhaps before the follower is back
	followed.awaits(t, "       kolmas\n")
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	end()
	for _, text := range []string{"ensimmäinen", "toinen", "kolmas"} {
		if n := strings.Count(followed.String(), "\n       "+text+"\n"); n != 1 {
			t.Errorf("%q was drawn %d times:\n%s", text, n, followed.String())
		}
	}
}

// followed is a desk with a follower, and a wire between the two that can be cut.
type followed struct {
	t      *testing.T
	server *local.Server
	direct []string // the global flags of commands that are not followers
	out    output
	code   chan int
	wire   *wire
	ahead  atomic.Int64 // of the clock, in milliseconds
}

// follow serves a desk to which Maija has written "hei" by WhatsApp, and follows her.
func follow(t *testing.T) *followed {
	t.Helper()
	f := &followed{t: t, code: make(chan int, 1)}
	ready := new(output)
	var err error
	f.server, err = local.Open(local.Options{
		Data: filepath.Join(t.TempDir(), "desk"), HTTP: "127.0.0.1:0", Token: adminToken, AdminPassword: "correct horse battery", Out: ready,
		Now: func() msg.Time { return msg.TimeOf(time.Now().Add(time.Duration(f.ahead.Load()) * time.Millisecond)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.server.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	ready.awaits(t, "listening")
	f.direct = []string{"--server", "http://" + f.server.HTTPAddr(), "--token", adminToken}
	f.wire = newWire(t, f.server.HTTPAddr())
	f.write("358401234567", "hei")
	watching, leave := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		args := []string{"--server", "http://" + f.wire.addr, "--token", adminToken, "timeline", "whatsapp.phone:358401234567", "-f", "-n", "10"}
		f.code <- run(watching, args, streams{strings.NewReader(""), &f.out, &f.out})
	}()
	t.Cleanup(func() { leave(); <-ended })
	f.out.awaits(t, "       hei\n")
	return f
}

// write has somebody write to the desk by WhatsApp. It says who they are and which case it is.
func (f *followed) write(number, text string) (customer, caseID string) {
	f.t.Helper()
	s := f.server.App().Store
	f.ahead.Add(2) // so that no two messages are of one millisecond
	from := msg.Address{Kind: "whatsapp.phone", Value: number, Name: "Somebody " + number}
	out, err := s.Record(f.t.Context(), []store.Incoming{{
		Event: msg.Event{
			Channel: "whatsapp", Account: "main", ID: number + text, Kind: msg.KindMessage, Time: s.Now(), Direction: msg.In, From: from, Thread: number,
			Message: &msg.Message{Text: text},
		},
		Scope: "main", ReceivedAt: s.Now(), Envelope: "e", Raw: []byte("{}"),
		Rules: store.Rules{Team: "support", Identities: []string{from.Kind}, Promise: timeline.Promise{FirstAnswer: time.Hour}},
	}})
	if err != nil {
		f.t.Fatal(err)
	}
	c, err := s.Case(f.t.Context(), out[0].Case)
	if err != nil {
		f.t.Fatal(err)
	}
	return c.Customer, c.Case
}

// command runs another command against the same desk.
func (f *followed) command(args ...string) string {
	f.t.Helper()
	var out, errs output
	if code := run(f.t.Context(), append(slices.Clone(f.direct), args...), streams{strings.NewReader(""), &out, &errs}); code != exitOK {
		f.t.Fatalf("%q exits with %d: %s", args, code, errs.String())
	}
	return out.String()
}

// once says that the text was drawn exactly once.
func (f *followed) once(text string) {
	f.t.Helper()
	if n := strings.Count(f.out.String(), "\n       "+text+"\n"); n != 1 {
		f.t.Errorf("%q was drawn %d times:\n%s", text, n, f.out.String())
	}
}

// wire carries connections to an address until it is cut.
type wire struct {
	addr string
	to   string

	mu    sync.Mutex
	isCut bool
	open  map[net.Conn]struct{}
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), to: to, open: map[net.Conn]struct{}{}}
	t.Cleanup(func() { _ = l.Close(); w.cut() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(near)
		}
	}()
	return w
}

func (w *wire) carry(near net.Conn) {
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		_ = near.Close()
		return
	}
	w.mu.Lock()
	if w.isCut {
		w.mu.Unlock()
		_, _ = near.Close(), far.Close()
		return
	}
	w.open[near], w.open[far] = struct{}{}, struct{}{}
	w.mu.Unlock()
	go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
	_, _ = io.Copy(near, far)
	_ = near.Close()
}

// cut ends every connection and lets no other through until mend.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	for c := range w.open {
		_ = c.Close()
	}
	clear(w.open)
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = false
}

func TestFollowingDrawsWhatCameWhileTheWireWasCutOnce(t *testing.T) {
	t.Parallel()
	f := follow(t)
	f.wire.cut()
	f.write("358401234567", "poissa")
	f.wire.mend()
	f.out.awaits(t, "       poissa\n")
	f.write("358401234567", "takaisin")
	f.out.awaits(t, "       takaisin\n")
	for _, text := range []string{"hei", "poissa", "takaisin"} {
		f.once(text)
	}
}

func TestFollowingAfterADayAwayDrawsManyPagesInOrderAndNothingTwice(t *testing.T) {
	t.Parallel()
	f := follow(t)
	f.wire.cut()
	const many = 3*catchUpPage + 7
	for n := range many {
		f.write("358401234567", fmt.Sprintf("viesti %03d", n))
	}
	f.ahead.Add((25 * time.Hour).Milliseconds()) // beyond what a cursor reaches back
	f.wire.mend()
	f.write("358401234567", "viimeinen")
	f.out.awaits(t, "       viimeinen\n")
	var found []string
	for _, m := range regexp.MustCompile(`(?m)^ {7}(viesti \d+)$`).FindAllStringSubmatch(f.out.String(), -1) {
		found = append(found, m[1])
	}
	if len(found) != many || !slices.IsSorted(found) {
		t.Errorf("%d of %d were drawn, sorted %v:\n%s", len(found), many, slices.IsSorted(found), f.out.String())
	}
	f.once("hei")
	f.once("viimeinen")
}

func TestFollowingGoesAlongWhenThePersonIsMergedAndTakenApart(t *testing.T) {
	t.Parallel()
	f := follow(t)
	other, _ := f.write("358409999999", "minä myös")
	f.command("merge", "whatsapp.phone:358401234567", other)
	f.write("358409999999", "yhdessä")
	f.out.awaits(t, "       minä myös\n")
	f.out.awaits(t, "       yhdessä\n")
	f.out.awaits(t, "358401234567, 358409999999")
	heads := strings.Count(f.out.String(), "known as")
	f.command("unmerge", other)
	f.out.matches(t, regexp.MustCompile(fmt.Sprintf(`(?s)(known as.*){%d}`, heads+1)))
	f.write("358409999999", "erikseen")
	f.write("358401234567", "yksin")
	f.out.awaits(t, "       yksin\n")
	for _, text := range []string{"hei", "minä myös", "yhdessä", "yksin"} {
		f.once(text)
	}
	if strings.Contains(f.out.String(), "erikseen") {
		t.Errorf("what somebody else wrote was drawn:\n%s", f.out.String())
	}
}

func TestFollowingAnErasedPersonEndsAndSaysSo(t *testing.T) {
	t.Parallel()
	f := follow(t)
	f.command("erase", "whatsapp.phone:358401234567", "--yes")
	if code := <-f.code; code != exitOK || !strings.Contains(f.out.String(), "was erased") {
		t.Errorf("exit code %d:\n%s", code, f.out.String())
	}
}

// goneAfter is a follower whose server has gone for good, who gives up after so many pauses, and when it asked again, by their sum.
func goneAfter(t *testing.T, pauses int, chance func(time.Duration) time.Duration) (waits, times []time.Duration) {
	t.Helper()
	nobody, err := client.New(client.Options{Server: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	f := newFollower(&remote{Client: nobody}, new(client.Customer), 10)
	f.screen = terminal.New(io.Discard, terminal.Options{}) // it has drawn something before
	if chance != nil {
		f.chance = chance
	}
	var at time.Duration
	f.sleep = func(_ context.Context, d time.Duration) bool {
		at += d
		waits, times = append(waits, d), append(times, at)
		return len(waits) < pauses
	}
	if err := f.follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	return waits, times
}

func TestClientsThatLostTheServerTogetherDoNotComeBackTogether(t *testing.T) {
	t.Parallel()
	const pauses = 12
	_, one := goneAfter(t, pauses, nil)
	_, other := goneAfter(t, pauses, nil)
	for i := range pauses {
		if one[i] == other[i] {
			t.Errorf("attempt %d of both comes after %s", i+1, one[i])
		}
	}
	// The pauses double up to a quarter of a minute, and chance moves each by half at most.
	mean := firstPause
	shortest, _ := goneAfter(t, pauses, func(time.Duration) time.Duration { return 0 })
	longest, _ := goneAfter(t, pauses, func(n time.Duration) time.Duration { return n - 1 })
	for i := range pauses {
		if shortest[i] != mean/2 || longest[i] != mean/2+mean-1 {
			t.Errorf("pause %d is between %s and %s, want %s give or take half", i+1, shortest[i], longest[i], mean)
		}
		mean = min(2*mean, 15*time.Second)
	}
	if longest[pauses-1] >= 23*time.Second {
		t.Errorf("the longest pause is %s", longest[pauses-1])
	}
}

func TestWhoIsToldToEndWhileWaitingEndsAtOnce(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if sleep(ctx, time.Hour) || !sleep(t.Context(), time.Nanosecond) {
		t.Error("it does not say which of the two it was")
	}
}

func TestTwoChangesInOneMillisecondAreBothDrawn(t *testing.T) {
	t.Parallel()
	var out output
	f := &follower{screen: terminal.New(&out, terminal.Options{ASCII: true}), seen: map[string]drawn{}, cases: map[string]terminal.CaseName{"c": {}}}
	at := msg.TimeOf(time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC))
	e := timeline.Entry{Entry: "e", Case: "c", ChangedAt: at, StoredAt: at, Sort: at}
	e.Channel, e.Kind, e.Direction, e.Message = "whatsapp", msg.KindMessage, msg.Out, &msg.Message{Text: "Hei"}
	for _, state := range []msg.State{msg.Accepted, msg.Delivered, msg.Delivered, msg.Read} {
		e.State = state
		f.show(t.Context(), &e)
	}
	older := e
	older.ChangedAt, older.State = at-1, msg.Sent
	f.show(t.Context(), &older)
	for text, times := range map[string]int{"delivered": 1, "read": 1, "sent": 0} {
		if n := strings.Count(out.String(), text); n != times {
			t.Errorf("%q is there %d times:\n%s", text, n, out.String())
		}
	}
}
