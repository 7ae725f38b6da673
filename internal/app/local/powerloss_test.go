package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/blob/dir"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/disk/crashdisk"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/guard"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
	"github.com/aikajana/aikajana/internal/timeline"
)

// outside is what a power cut does not touch: the provider, and what it and the agents were told is done.
type outside struct {
	t     *testing.T
	graph *fake.Provider
	api   *httptest.Server
	photo []byte
	// ahead is how far the clock was moved on.
	ahead atomic.Int64

	// power is held shared while something is noted as done, and alone while the power is cut: what was noted is on the disk
	// that is left.
	power sync.RWMutex
	dead  bool

	mu       sync.Mutex
	accepted map[string]bool // messages answered with 200
	answered map[string]bool // answers that were written
	next     int
}

// machine is the program on one disk, as Serve runs it.
type machine struct {
	*Server
	*outside
	disk  *crashdisk.Disk
	hooks string
	end   func()
}

type vault map[string][]string

func (v vault) Get(_ context.Context, name string) ([]string, error) {
	if v[name] == nil {
		return nil, secret.ErrNotFound
	}
	return v[name], nil
}
func (v vault) Put(_ context.Context, name string, values []string) error {
	v[name] = values
	return nil
}
func (v vault) Delete(_ context.Context, name string) error               { delete(v, name); return nil }
func (v vault) List(context.Context, string) (map[string][]string, error) { return v, nil }

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{t: t, accepted: map[string]bool{}, answered: map[string]bool{}}
	o.graph = fake.New(fake.Options{PhoneNumberID: "1055", AppSecret: "secret", VerifyToken: "verify", AccessToken: "token"})
	var picture bytes.Buffer
	must(t, png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))))
	o.photo = picture.Bytes()
	o.api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.power.RLock()
		dead := o.dead
		o.power.RUnlock()
		if dead { // a machine without power calls nobody
			panic(http.ErrAbortHandler)
		}
		o.graph.ServeHTTP(w, r)
	}))
	o.api.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(o.api.Close)
	return o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (o *outside) now() msg.Time { return msg.TimeOf(time.Now()).Add(time.Duration(o.ahead.Load())) }

// start runs the program on a disk. fs is the disk as the store sees it.
func (o *outside) start(disk *crashdisk.Disk, fs vfs.FS) *machine {
	t := o.t
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	m := &machine{outside: o, disk: disk, Server: &Server{
		log: log, queues: map[string]queue.Queue{},
		o: Options{Now: o.now, Data: "/"},
	}}
	var err error
	m.db, err = engine.Open("/store", engine.Options{FS: fs, Log: log, OnFatal: func(err error) { t.Errorf("the store failed: %v", err) }})
	must(t, err)
	m.table, err = pebble.New(m.db, o.now)
	must(t, err)
	must(t, m.openQueues())
	m.blobs, err = dir.Open(dir.Options{Root: "/blobs", FS: disk, Key: bytes.Repeat([]byte("b"), 32), LinkBase: "/files", Now: time.Now,
		Broken: func(err error) { t.Errorf("the blobs failed: %v", err) }})
	must(t, err)
	g := guard.New(guard.Options{AllowPrivate: true})
	m.app, err = app.New(app.Deps{
		Table: m.table, Blobs: m.blobs, Inbound: m.queues["inbound"], Mails: m.queues["mail"], Media: m.queues["media"], Wake: m.queues["wake"],
		Secrets: vault{"accounts/whatsapp/main/app_secret": {"secret"}, "accounts/whatsapp/main/access_token": {"token"}, "accounts/whatsapp/main/verify_token": {"verify"}},
		HTTP:    g.Client(), Files: g.Follower(), Inspect: app.InspectFile, Key: bytes.Repeat([]byte("k"), 32), Now: o.now, Rand: rand.Reader, Log: log,
		Config: pipeline.Config{BaseURL: "https://desk.example"},
	})
	must(t, err)
	must(t, m.app.Store.PutAccount(t.Context(), store.Connected{
		Channel: "whatsapp", Account: "main", Team: "support", Settings: map[string]string{"phone_number_id": "1055", "api_base": o.api.URL},
	}))
	m.demo = newDemo("", time.Now)
	feed, err := m.table.Feed(t.Context(), "react")
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	m.work(ctx, &wait, feed)
	mux := http.NewServeMux()
	mux.Handle("/hooks/{channel}/{account}", m.app.Pipeline.Ingest())
	server := httptest.NewServer(mux)
	m.hooks = server.URL + "/hooks/whatsapp/main"
	m.end = sync.OnceFunc(func() {
		stop()
		o.api.CloseClientConnections() // whoever waits for the provider waits in vain
		server.Close()
		wait.Wait()
		if err := m.db.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(m.end)
	return m
}

// cut cuts the power. Of what was not synced each block survives with a chance of percent in a hundred.
func (m *machine) cut(percent int, random *mathrand.Rand) *crashdisk.Disk {
	m.power.Lock()
	left := m.disk.Crash(percent, random)
	m.dead = true
	m.power.Unlock()
	return left
}

// done notes something that the outside was told, unless the power has gone meanwhile.
func (m *machine) done(note func()) {
	m.power.RLock()
	defer m.power.RUnlock()
	if m.dead {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	note()
}

func (o *outside) number() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next++
	return o.next
}

// write posts one webhook: mostly one message, sometimes many (whose raw input becomes a shared blob), some large (whose
// envelope becomes a blob), some with a picture, some twice. It returns the answer.
func (m *machine) write(ctx context.Context) (*http.Response, error) {
	n := m.number()
	count := 1
	switch n % 25 {
	case 7:
		count = 5
	case 19:
		count = 400 // more than 200 KB
	}
	var updates []fake.Update
	var ids []string
	for i := range count {
		id := "wamid." + strconv.Itoa(n) + "." + strconv.Itoa(i)
		who := fake.Person{Phone: fmt.Sprintf("3584000%05d", (n+i)%20), Name: "Asiakas"}
		text := "viesti " + id
		if count > 100 {
			text += strings.Repeat(" ja lisää", 40)
		}
		u := m.graph.Text(who, text)
		if n%10 == 3 {
			u = m.graph.Image(who, m.graph.AddMedia("image/png", m.photo), text) // one each: a new link ends the old one
		}
		updates, ids = append(updates, u.ID(id)), append(ids, id)
	}
	body := m.graph.Body(updates...)
	var answer *http.Response
	for range 1 + n%7/6 {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.hooks, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		r.Header.Set("X-Hub-Signature-256", m.graph.Sign(body))
		if answer, err = http.DefaultClient.Do(r); err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			m.done(func() {
				for _, id := range ids {
					m.accepted[id] = true
				}
			})
		}
	}
	return answer, nil
}

// answer answers the case that must be served next.
func (m *machine) answer(ctx context.Context) {
	cases, _, err := m.app.Store.WorkList(ctx, store.WorkQuery{Teams: []string{"support"}, Page: store.Page{Limit: 1}})
	if err != nil || len(cases) == 0 {
		return
	}
	route, err := m.app.Pipeline.Route(ctx, cases[0], nil, "", "")
	if err != nil {
		if ctx.Err() == nil {
			m.t.Errorf("no way to answer: %v", err)
		}
		return
	}
	text := "vastaus " + strconv.Itoa(m.number())
	_, err = m.app.Store.Reply(ctx, store.Answer{
		Case: cases[0].Case, Agent: "aino", Name: "Aino", Channel: route.Channel, Account: route.Account, To: route.To, Text: text, Key: text,
	})
	if err == nil {
		m.done(func() { m.answered[text] = true })
	}
}

// load writes and answers until ctx ends.
func (m *machine) load(ctx context.Context) *sync.WaitGroup {
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			for ctx.Err() == nil {
				_, _ = m.write(ctx) // a machine without power answers nobody
			}
		})
	}
	wait.Go(func() {
		for ctx.Err() == nil {
			m.answer(ctx)
			pause(ctx, time.Millisecond)
		}
	})
	return &wait
}

// drained waits until everything accepted is worked on and every answer has left the states that end by themselves. The
// clock is moved on past whatever waits for a time: attempts whose end nobody saw are given up as uncertain, and what a
// worker could not acknowledge comes again.
func (m *machine) drained() {
	m.t.Helper()
	const still = 100 // looks without any change after which only time can help
	same, before, moved := 0, "", false
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) { // polls what others do
		left, waits := m.left()
		if same++; left != before {
			same, before = 0, left
		}
		switch {
		case time.Now().After(deadline):
			m.t.Fatalf("left to be worked on: %q; something waits for a time: %v", left, waits)
		case left == "" && moved && !waits:
			return
		case left == "" || same > still:
			m.ahead.Add(int64(4 * time.Minute))
			must(m.t, m.app.Pipeline.Tick(m.t.Context()))
			for _, q := range m.queues {
				_, err := q.Depth(m.t.Context()) // whoever looks has it notice the clock
				must(m.t, err)
			}
			same, moved = 0, true
		}
	}
}

// left says what is to be worked on now, "" when nothing is, and whether something waits for a time.
func (m *machine) left() (text string, waits bool) {
	m.t.Helper()
	backlog, err := m.table.Backlog()
	must(m.t, err)
	if backlog > 0 {
		text = fmt.Sprintf("%d changes ", backlog)
	}
	for _, name := range slices.Sorted(maps.Keys(m.queues)) {
		d, err := m.queues[name].Depth(m.t.Context())
		must(m.t, err)
		waits = waits || d.Delayed > 0
		if d.Ready+d.InFlight > 0 {
			text += fmt.Sprintf("%s %d+%d ", name, d.Ready, d.InFlight)
		}
		if d.Dead > 0 { // five cuts while it was in hand: an operator brings it back, and so nothing is lost
			_, err := m.queues[name].Redrive(m.t.Context())
			must(m.t, err)
			text += name + " redriven "
		}
	}
	return text, waits
}

// entries reads every entry.
func (m *machine) entries() (all []*timeline.Entry) {
	m.t.Helper()
	from := table.Key{}
	for {
		items, err := m.table.Scan(m.t.Context(), from, 500)
		must(m.t, err)
		for i := range items {
			from = items[i].Key
			if !strings.HasPrefix(from.PK, "C#") || !strings.HasPrefix(from.SK, "E#") {
				continue
			}
			e := new(timeline.Entry)
			must(m.t, json.Unmarshal(items[i].Body, e))
			all = append(all, e)
		}
		if len(items) < 500 {
			return all
		}
	}
}

// audit compares what the outside was told with what is there, and has every invariant checked.
func (m *machine) audit() {
	t := m.t
	t.Helper()
	there, states := map[string]int{}, map[msg.State]int{}
	for _, e := range m.entries() {
		if e.Direction == msg.Out {
			there[e.Message.Text]++
			states[e.State]++
			if e.State == msg.Pending || e.State == msg.Sending {
				t.Errorf("answer %q is still %s", e.Message.Text, e.State)
			}
			continue
		}
		there[e.ID]++
		m.files(e)
	}
	for id, n := range there {
		if n > 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
	for id := range m.accepted {
		if there[id] == 0 {
			t.Errorf("%s was answered with 200 and is lost", id)
		}
	}
	sent := map[string]int{}
	for _, s := range m.graph.Sent() {
		if sent[s.Text]++; sent[s.Text] == 2 {
			t.Errorf("the customer got %q twice", s.Text)
		}
	}
	for text := range m.answered {
		if there[text] == 0 {
			t.Errorf("%q was written and is lost", text)
		}
	}
	report, err := checkStore(t.Context(), m.db)
	must(t, err)
	if len(report.Problems) > 0 {
		t.Errorf("check finds: %s", strings.Join(report.Problems, "\n"))
	}
	t.Logf("%d messages accepted, %d answers written, %d taken by the provider, states %v", len(m.accepted), len(m.answered), len(m.graph.Sent()), states)
}

// files opens what an entry refers to.
func (m *machine) files(e *timeline.Entry) {
	m.t.Helper()
	keys := []string{e.RawBlob}
	for _, p := range e.Message.Parts {
		if p.Media == nil {
			continue
		}
		if p.Media.State != msg.MediaStored {
			m.t.Errorf("the picture of %s is %s: %s", e.ID, p.Media.State, p.Media.Error)
		}
		keys = append(keys, p.Media.Key, p.Media.Thumbnail)
	}
	for _, key := range keys {
		if key == "" {
			continue
		}
		r, _, err := m.blobs.Get(m.t.Context(), key, 0, 0)
		if err != nil {
			m.t.Errorf("%s refers to a blob that is not there: %v", e.ID, err)
			continue
		}
		_ = r.Close()
	}
}

func TestFault68_PowerCutsAtRandomMomentsLoseNothingAnsweredAndDoubleNothing(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := mathrand.New(mathrand.NewPCG(seed, 1))
	disk := crashdisk.New()
	for round := range 8 {
		m := o.start(disk, disk.Mem)
		ctx, stop := context.WithCancel(t.Context())
		load := m.load(ctx)
		pause(ctx, time.Duration(20+random.IntN(120))*time.Millisecond) // the moment is the point
		disk = m.cut([]int{0, 50, 90}[round%3], random)
		stop()
		load.Wait()
		m.end()
		o.dead = false
	}
	m := o.start(disk, disk.Mem)
	m.drained()
	m.audit()
	if len(o.accepted) == 0 || len(o.answered) == 0 || len(o.graph.Sent()) == 0 {
		t.Error("nothing was tried")
	}
}

func TestFault62_ACrashAfterTheProviderAcceptedLeavesTheAnswerUncertainUntilAReceiptSettlesIt(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	first := crashdisk.New()
	m := o.start(first, first.Mem)
	_, err := m.write(t.Context())
	must(t, err)
	m.drained()
	o.graph.Next(fake.AcceptAndHang()) // it has the answer, and we never hear of it
	m.answer(t.Context())
	await(t, func() bool { return len(o.graph.Sent()) == 1 })
	disk := m.cut(0, nil)
	m.end()
	o.dead = false
	m = o.start(disk, disk.Mem)
	m.drained()
	answer := m.outgoing()
	if answer.State != msg.Uncertain || len(o.graph.Sent()) != 1 {
		t.Fatalf("after the crash the answer is %s and the provider has it %d times; want uncertain, once", answer.State, len(o.graph.Sent()))
	}
	o.graph.SetWebhook(m.hooks)
	must(t, o.graph.MustPost(t.Context(), o.graph.Status(o.graph.Sent()[0], "delivered")))
	m.drained()
	if answer = m.outgoing(); answer.State != msg.Delivered {
		t.Errorf("after the receipt the answer is %s, want delivered", answer.State)
	}
	m.audit()
}

// outgoing is the only answer.
func (m *machine) outgoing() (answer *timeline.Entry) {
	m.t.Helper()
	for _, e := range m.entries() {
		if e.Direction == msg.Out {
			if answer != nil {
				m.t.Fatal("there are two answers")
			}
			answer = e
		}
	}
	if answer == nil {
		m.t.Fatal("there is no answer")
	}
	return answer
}

func await(t *testing.T, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to pass")
		}
	}
}

func TestFault70_AFullDiskRefusesInputForAWhileAndCorruptsNothing(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	disk := crashdisk.New()
	var full atomic.Bool
	noRoom := func(op string) error {
		if full.Load() {
			return fmt.Errorf("%s: %w", op, syscall.ENOSPC)
		}
		return nil
	}
	disk.Fail(func(op crashdisk.Op, _ string) error {
		if op == crashdisk.OpCreate || op == crashdisk.OpWrite || op == crashdisk.OpMkdir {
			return noRoom(string(op))
		}
		return nil
	})
	m := o.start(disk, errorfs.Wrap(disk.Mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate {
			return noRoom(op.Path)
		}
		return nil
	})))
	random := mathrand.New(mathrand.NewPCG(uint64(time.Now().UnixNano()), 2))
	ctx, stop := context.WithCancel(t.Context())
	load := m.load(ctx)
	for range 4 {
		pause(ctx, time.Duration(10+random.IntN(50))*time.Millisecond)
		full.Store(true)
		await(t, func() bool { // in whatever write it was noticed, input is refused in the end
			answer, err := m.write(ctx)
			must(t, err)
			if answer.StatusCode == http.StatusOK {
				return false
			}
			if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
				t.Fatalf("on a full disk: %s, Retry-After %q; want 503 with a time", answer.Status, answer.Header.Get("Retry-After"))
			}
			return true
		})
		full.Store(false)
		await(t, func() bool { // there is room again
			answer, err := m.write(ctx)
			must(t, err)
			return answer.StatusCode == http.StatusOK
		})
	}
	stop()
	load.Wait()
	m.drained()
	m.audit()
	m.end()
	m = o.start(disk, disk.Mem) // and the files are whole
	m.drained()
	m.audit()
}
