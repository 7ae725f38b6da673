package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/msg"
)

const deskToken = "a-token-for-tests-0123456789"

// desk is a server that works, with WhatsApp played beside it.
type desk struct {
	t      *testing.T
	data   string
	graph  *fake.Provider
	client *client.Client
	// outside asks for what the client does not know, under the same limit.
	outside http.Client
	server  *Server
	end     func()
}

// world is what outlives the desk: the provider and the configuration.
type world struct {
	graph  *fake.Provider
	config string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{graph: fake.New(fake.Options{AppSecret: "secret", VerifyToken: "verify", AccessToken: "token"}), config: filepath.Join(t.TempDir(), "accounts.json")}
	api := httptest.NewServer(w.graph)
	t.Cleanup(api.Close)
	text := fmt.Sprintf(`{"accounts":[{"channel":"whatsapp","account":"main","team":"support","settings":{"phone_number_id":"1055","api_base":%q},
		"secrets":{"app_secret":"literal:secret","verify_token":"literal:verify","access_token":"literal:token"}}]}`, api.URL)
	if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// open starts a desk over a data folder; it ends with the test, or before by end.
func (w *world) open(t *testing.T, data string, change ...func(*Options)) *desk {
	t.Helper()
	o := Options{
		Data: data, HTTP: "127.0.0.1:0", Config: w.config, AllowPrivate: true, Token: deskToken, AdminPassword: "correct horse battery",
		Log: slog.New(slog.NewTextHandler(logTo{t}, &slog.HandlerOptions{Level: slog.LevelError})), Fatal: func(err error) { t.Errorf("the disk failed: %v", err) },
	}
	for _, f := range change {
		f(&o)
	}
	server, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	d := &desk{t: t, data: data, graph: w.graph, server: server}
	ended := false
	d.end = func() {
		if ended {
			return
		}
		ended = true
		stop()
		if err := <-done; err != nil {
			t.Errorf("it did not end in order: %v", err)
		}
	}
	t.Cleanup(d.end)
	w.graph.SetWebhook("http://" + server.HTTPAddr() + "/hooks/whatsapp/main")
	d.outside = http.Client{Transport: &paced{rate.NewLimiter(150, 100)}}
	if d.client, err = client.New(client.Options{Server: "http://" + server.HTTPAddr(), Token: deskToken, Transport: d.outside.Transport}); err != nil {
		t.Fatal(err)
	}
	until(t, "the desk is open", func() bool { _, err := d.client.Health(t.Context()); return err == nil })
	return d
}

// paced stays below what the API grants one token, however fast the machine is.
type paced struct{ limit *rate.Limiter }

func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.limit.Wait(r.Context()); err != nil {
		return nil, err
	}
	return http.DefaultTransport.RoundTrip(r)
}

type logTo struct{ t *testing.T }

func (l logTo) Write(b []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

// until waits for something to become true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long until %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// texts are the texts of the person with an address, oldest first; nil when nobody has it.
func (d *desk) texts(address string) []string {
	d.t.Helper()
	found, err := d.client.FindCustomers(d.t.Context(), address)
	if err != nil {
		d.t.Fatal(err)
	}
	var texts []string
	for _, c := range found.Value.Items {
		page, err := d.client.Timeline(d.t.Context(), c.Customer, "", "", 200)
		if err != nil {
			d.t.Fatal(err)
		}
		for _, e := range page.Value.Items {
			if e.Message != nil {
				texts = append(texts, e.Message.Text)
			}
		}
	}
	return texts
}

func (d *desk) drained() {
	d.t.Helper()
	until(d.t, "everything is worked on", func() bool {
		books, err := d.client.Reconciliation(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		all := books.Value.Complete
		for _, l := range books.Value.Items {
			all = all && l.Received == l.Envelopes.Processed // one event an envelope, and React has followed
		}
		return all
	})
}

func (d *desk) post(u fake.Update) {
	d.t.Helper()
	if err := d.graph.MustPost(d.t.Context(), u); err != nil {
		d.t.Fatal(err)
	}
}

func checked(t *testing.T, data string) {
	t.Helper()
	report, err := Check(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Problems) > 0 {
		t.Errorf("check found in %s: %s", data, strings.Join(report.Problems, "\n"))
	}
}

func TestBackupUnderLoadIsAWholeDeskAndLaterInputIsReplayedIntoIt(t *testing.T) {
	t.Parallel()
	w, root := newWorld(t), t.TempDir()
	d := w.open(t, filepath.Join(root, "desk"))
	picture := d.graph.AddMedia("image/png", BrokenLamp())
	var posted []fake.Update // in the order in which they were acknowledged
	write := func(n int) {
		who := fake.Person{Phone: fmt.Sprintf("35840000%04d", n%7), Name: "Maija"}
		u := d.graph.Text(who, fmt.Sprintf("viesti %d", n))
		if n%10 == 0 {
			u = d.graph.Image(who, picture, fmt.Sprintf("kuva %d", n))
		}
		u = u.ID(fmt.Sprintf("w%d", n))
		posted = append(posted, u)
		d.post(u)
	}
	for n := range 40 {
		write(n)
	}
	var stop atomic.Bool
	loaded := make(chan int, 1)
	go func() {
		n := 40
		for ; !stop.Load(); n++ {
			write(n)
		}
		loaded <- n
	}()
	copied := filepath.Join(root, "copy")
	report, err := Backup(t.Context(), d.data, copied)
	stop.Store(true)
	total := <-loaded
	if err != nil {
		t.Fatal(err)
	}
	if report.Files == 0 || report.Bytes == 0 {
		t.Errorf("it says that the backup is empty: %+v", report)
	}
	for n := total; n < total+20; n++ {
		write(n) // what comes after the backup
	}
	d.drained()
	d.end()
	checked(t, d.data)

	restored := filepath.Join(root, "restored")
	found, err := Restore(t.Context(), copied, restored, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Problems) > 0 || found.Entries < 40 {
		t.Errorf("the backup: %d entries, problems %q", found.Entries, found.Problems)
	}
	d = w.open(t, restored)
	for _, u := range posted { // providers deliver again, what the backup holds already included
		d.post(u)
	}
	d.drained()
	seen := map[string]int{}
	for n := range 7 {
		for _, text := range d.texts(fmt.Sprintf("35840000%04d", n)) {
			seen[text]++
		}
	}
	for n := range total + 20 {
		text := fmt.Sprintf("viesti %d", n)
		if n%10 == 0 {
			continue // its caption is not its text
		}
		if seen[text] != 1 {
			t.Errorf("%q is there %d times", text, seen[text])
		}
	}
	var missing []string
	defer func() {
		if len(missing) > 0 {
			t.Errorf("without their file: %q", missing)
		}
	}()
	until(t, "every picture is fetched or was in the backup", func() bool {
		missing = unfetched(d)
		return len(missing) == 0
	})
	d.end()
	checked(t, restored)
}

// unfetched lists files that are not stored, by reading each stored one through its link.
func unfetched(d *desk) []string {
	var missing []string
	for n := range 7 {
		found, err := d.client.FindCustomers(d.t.Context(), fmt.Sprintf("35840000%04d", n))
		if err != nil {
			d.t.Fatal(err)
		}
		for _, c := range found.Value.Items {
			page, err := d.client.Timeline(d.t.Context(), c.Customer, "", "", 200)
			if err != nil {
				d.t.Fatal(err)
			}
			for _, e := range page.Value.Items {
				for _, p := range e.Message.Parts {
					if p.Media != nil && (p.Media.URL == "" || d.status(p.Media.URL) != http.StatusOK) {
						missing = append(missing, fmt.Sprintf("%s: %s %s", e.Entry, p.Media.State, p.Media.Error))
					}
				}
			}
		}
	}
	return missing
}

func (d *desk) status(path string) int {
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, "http://"+d.server.HTTPAddr()+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+deskToken)
	response, err := d.outside.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func TestWhoWasErasedAfterTheBackupStaysErasedAfterARestore(t *testing.T) {
	t.Parallel()
	w, root := newWorld(t), t.TempDir()
	d := w.open(t, filepath.Join(root, "desk"))
	maija, pekka := fake.Person{Phone: "358401234567", Name: "Maija"}, fake.Person{Phone: "358507654321", Name: "Pekka"}
	first := d.graph.Text(maija, "Unohtakaa minut")
	d.post(first)
	d.post(d.graph.Image(maija, d.graph.AddMedia("image/png", BrokenLamp()), "tämäkin"))
	d.post(d.graph.Text(pekka, "Muistakaa minut"))
	d.drained()
	who := func(address string) string {
		found, err := d.client.FindCustomers(t.Context(), address)
		if err != nil || len(found.Value.Items) != 1 {
			t.Fatalf("find %s: %v, %+v", address, err, found)
		}
		return found.Value.Items[0].Customer
	}
	until(t, "the picture is stored", func() bool {
		page, err := d.client.Timeline(t.Context(), who(maija.Phone), "", "", 10)
		return err == nil && len(page.Value.Items) == 2 && page.Value.Items[1].Message.Parts[0].Media.URL != ""
	})
	// The backup is made while they are taken for one person; the merge is taken back before the erasure.
	merged, err := d.client.Merge(t.Context(), who(maija.Phone), who(pekka.Phone))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(root, "copy")
	if _, err := Backup(t.Context(), d.data, copied); err != nil {
		t.Fatal(err)
	}
	if err := d.client.Unmerge(t.Context(), merged.Value.Merge); err != nil {
		t.Fatal(err)
	}
	if _, err := d.client.Erase(t.Context(), who(maija.Phone)); err != nil {
		t.Fatal(err)
	}
	d.end()

	restored := filepath.Join(root, "restored")
	if _, err := Restore(t.Context(), copied, restored, d.data); err != nil {
		t.Fatal(err)
	}
	if n := files(t, filepath.Join(restored, "blobs", "data"), "media"); n == 0 {
		t.Error("the backup holds no picture: nothing is shown by its being gone")
	}
	d = w.open(t, restored)
	if texts := d.texts(maija.Phone); texts != nil {
		t.Errorf("she is back: %q", texts)
	}
	if texts := d.texts(pekka.Phone); len(texts) != 1 || texts[0] != "Muistakaa minut" {
		t.Errorf("he is not as he was: %q", texts)
	}
	d.post(first) // redelivered: it brings nothing back
	d.post(d.graph.Text(maija, "Hei, olen uusi täällä"))
	until(t, "the new message is there", func() bool { return d.texts(maija.Phone) != nil })
	if texts := d.texts(maija.Phone); len(texts) != 1 || texts[0] != "Hei, olen uusi täällä" {
		t.Errorf("after the erasure she wrote once, and there is %q", texts)
	}
	d.end()
	if n := files(t, filepath.Join(restored, "blobs", "data"), "media"); n != 0 {
		t.Errorf("%d of her files are left", n)
	}
	checked(t, restored)
	again := w.open(t, restored) // applying the ledger again changes nothing
	if texts := again.texts(maija.Phone); len(texts) != 1 {
		t.Errorf("the next start took what came since: %q", texts)
	}
}

// files counts files below folders whose encoded name begins with prefix.
func files(t *testing.T, root, prefix string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasPrefix(strings.ReplaceAll(strings.TrimPrefix(path, root+"/"), "+/", ""), prefix) {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestBackupRefusesAPlaceThatIsTakenAndAStoreThatIsNot(t *testing.T) {
	t.Parallel()
	w, root := newWorld(t), t.TempDir()
	d := w.open(t, filepath.Join(root, "desk"))
	taken := filepath.Join(root, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "something"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Backup(t.Context(), d.data, taken); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("a place that is taken: %v", err)
	}
	if _, err := Backup(t.Context(), t.TempDir(), filepath.Join(root, "copy")); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("no store: %v", err)
	}
	if _, err := Restore(t.Context(), t.TempDir(), filepath.Join(root, "restored"), ""); err == nil || !strings.Contains(err.Error(), "not a backup") {
		t.Errorf("no backup: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(d.data, staging+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOnlyHoldersOfTheTokenInTheDataFolderControlAStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.open(t, filepath.Join(t.TempDir(), "desk"))
	path := filepath.Join(d.data, controlFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the token is readable by others: %v, %v", info, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var where control
	if err := json.Unmarshal(text, &where); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"", "wrong", where.Token + "x", deskToken} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+where.Address+"/compact", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("token %q: status %d", token, response.StatusCode)
		}
	}
	if response, err := http.Post("http://"+d.server.HTTPAddr()+"/backup", "application/json", strings.NewReader("{}")); err != nil || response.StatusCode == http.StatusOK {
		t.Errorf("the outside can ask for a backup: %v, %v", response, err)
	} else {
		_ = response.Body.Close()
	}
}

func TestCompactGivesSpaceBackWhileTheStoreIsInUseAndWhenItIsNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.open(t, filepath.Join(t.TempDir(), "desk"))
	noise := mathrand.New(mathrand.NewPCG(1, 2)) //nolint:gosec // what cannot be compressed, the same every time
	const people = 60
	phone := func(n int) string { return fmt.Sprintf("35840%07d", n) }
	for n := range people {
		long := make([]byte, 30_000)
		for i := range long {
			long[i] = 'a' + byte(noise.IntN(26))
		}
		d.post(d.graph.Text(fake.Person{Phone: phone(n), Name: "Maija"}, string(long)))
	}
	d.drained()
	d.end() // the next start moves the log into tables
	d = w.open(t, d.data)
	for n := range people {
		found, err := d.client.FindCustomers(t.Context(), phone(n))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.client.Erase(t.Context(), found.Value.Items[0].Customer); err != nil {
			t.Fatal(err)
		}
	}
	report, err := Compact(t.Context(), d.data)
	if err != nil {
		t.Fatal(err)
	}
	if report.Before < people*10_000 {
		t.Errorf("there was nothing to give back: %+v", report)
	}
	until(t, "the space is given back", func() bool {
		left, err := tableBytes(d.data)
		return err == nil && left < report.Before/4
	})
	d.end()
	if _, err := Compact(t.Context(), d.data); err != nil {
		t.Errorf("a stopped store: %v", err)
	}
	checked(t, d.data)
}

// said collects what a server prints.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestFilesAreNotDeletedWhileABackupTakesThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.open(t, filepath.Join(t.TempDir(), "desk"))
	blobs := d.server.kept
	if _, err := blobs.Put(t.Context(), "media/one", strings.NewReader("content"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	blobs.hold.Lock() // as take does
	deleted := make(chan error, 1)
	go func() { deleted <- blobs.Delete(context.Background(), "media/one") }()
	select {
	case err := <-deleted:
		t.Fatalf("it was deleted (%v)", err)
	case <-time.After(50 * time.Millisecond):
	}
	blobs.hold.Unlock()
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	if _, _, err := blobs.Get(t.Context(), "media/one", 0, 0); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("afterwards it is still there: %v", err)
	}
}

func TestABackupCutShortIsSweptAtTheNextStart(t *testing.T) {
	t.Parallel()
	w, data := newWorld(t), filepath.Join(t.TempDir(), "desk")
	w.open(t, data).end()
	left := filepath.Join(data, staging+"123")
	if err := os.MkdirAll(filepath.Join(left, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.open(t, data)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestAnAnswerOnItsWayAtTheBackupIsNotSentAgainAfterARestore(t *testing.T) {
	t.Parallel()
	w, root := newWorld(t), t.TempDir()
	d := w.open(t, filepath.Join(root, "desk"))
	maija := fake.Person{Phone: "358401234567", Name: "Maija"}
	d.post(d.graph.Text(maija, "Missä pakettini on?"))
	d.drained()
	open, err := d.client.Cases(t.Context(), client.CaseQuery{})
	if err != nil || len(open.Value.Items) != 1 {
		t.Fatalf("cases: %+v, %v", open, err)
	}
	d.graph.Next(fake.Refuse(http.StatusTooManyRequests, 130429)) // so that it is still on its way when the backup is made
	answer, err := d.client.Reply(t.Context(), open.Value.Items[0].Case, "", client.Reply{Text: "Huomenna perillä."})
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(root, "copy")
	if _, err := Backup(t.Context(), d.data, copied); err != nil {
		t.Fatal(err)
	}
	until(t, "it has gone out", func() bool { return len(d.graph.Sent()) == 1 })
	d.end()

	restored := filepath.Join(root, "restored")
	found, err := Restore(t.Context(), copied, restored, "")
	if err != nil {
		t.Fatal(err)
	}
	if found.Held != 1 {
		t.Fatalf("%d answers were on their way, want 1", found.Held)
	}
	d = w.open(t, restored)
	page, err := d.client.Timeline(t.Context(), answer.Value.Customer, "", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	last := page.Value.Items[len(page.Value.Items)-1]
	if last.Entry != answer.Value.Entry || last.State != msg.Uncertain {
		t.Errorf("the answer is %s after the restore, want %s", last.State, msg.Uncertain)
	}
	d.post(d.graph.Status(d.graph.Sent()[0], "delivered")) // its receipt knows it by our tag
	until(t, "the receipt settles it", func() bool {
		page, err := d.client.Timeline(t.Context(), answer.Value.Customer, "", "", 10)
		return err == nil && page.Value.Items[len(page.Value.Items)-1].State == msg.Delivered
	})
	d.end()
	if n := len(d.graph.Sent()); n != 1 {
		t.Errorf("the customer got %d answers, want 1", n)
	}
	checked(t, restored)
}
