package notify_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/app/apptest"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/notify"
	"github.com/aikajana/aikajana/internal/smtpd"
	"github.com/aikajana/aikajana/internal/smtprelay"
	"github.com/aikajana/aikajana/internal/store"
)

// office is the mail server of the staff: a real one, on a port of its own, that can be taken down and brought back.
type office struct {
	t      *testing.T
	addr   string
	server *smtpd.Server

	mu sync.Mutex
	// refused says why mail for an address is not taken.
	refused map[string]error
	mails   []letter
}

// letter is a mail as it arrived.
type letter struct {
	to     []string
	header mail.Header
	text   string
	raw    string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, addr: "127.0.0.1:0", refused: map[string]error{}}
	o.open()
	t.Cleanup(o.close)
	return o
}

func (o *office) open() {
	o.t.Helper()
	s, err := smtpd.New(smtpd.Options{
		Addr: o.addr, Domain: "mail.staff.example", Now: time.Now, Log: slog.New(slog.DiscardHandler), Deliver: o.take,
		Recipients: func(context.Context, string) (bool, error) { return true, nil },
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.server, o.addr = s, s.Addr().String()
	go func() { _ = s.Serve() }() // it ends with close
}

func (o *office) close() {
	o.t.Helper()
	if o.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := o.server.Shutdown(ctx); err != nil {
		o.t.Error(err)
	}
	o.server = nil
}

func (o *office) take(_ context.Context, m *smtpd.Mail) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, to := range m.Mail.Recipients {
		if err := o.refused[to]; err != nil {
			return err
		}
	}
	parsed, err := mail.ReadMessage(bytes.NewReader(m.Raw))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(quotedprintable.NewReader(parsed.Body))
	if err != nil {
		return err
	}
	o.mails = append(o.mails, letter{m.Mail.Recipients, parsed.Header, strings.ReplaceAll(string(text), "\r\n", "\n"), string(m.Raw)})
	return nil
}

// refuse has mail for an address refused from now on; nil takes it again.
func (o *office) refuse(address string, why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refused[address] = why
}

// to are the mails for an address so far, as "subject" each.
func (o *office) to(address string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	subjects := []string{}
	for _, m := range o.mails {
		if slices.Contains(m.to, address) {
			subject, err := new(mime.WordDecoder).DecodeHeader(m.header.Get("Subject"))
			if err != nil {
				subject = err.Error()
			}
			subjects = append(subjects, subject)
		}
	}
	return subjects
}

func (o *office) last() letter {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.mails) == 0 {
		o.t.Fatal("no mail came")
	}
	return o.mails[len(o.mails)-1]
}

// desk is the program with a relay to the office.
type desk struct {
	*apptest.Desk
	office *office
}

func setup(t *testing.T) *desk {
	t.Helper()
	o := newOffice(t)
	relay, err := smtprelay.New(smtprelay.Options{
		Addr: "mail.staff.example:25", Security: smtprelay.None, MaxIdle: -1,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, o.addr)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &desk{apptest.New(t, apptest.Options{Mailer: relay}), o}
}

// works makes somebody of the sales team, present and wanting mail at <id>@staff.example, changed as the test likes.
func (d *desk) works(id string, changes ...func(*auth.User)) {
	d.T.Helper()
	u := auth.User{
		ID: id, Name: id, Roles: []auth.Role{auth.Agent}, Teams: []string{"sales"}, Email: id + "@staff.example", Presence: auth.Present, Language: "en", NotifyByMail: true,
	}
	for _, change := range changes {
		change(&u)
	}
	if _, err := d.Auth.CreateUser(d.T.Context(), "test", u, "correct horse battery"); err != nil {
		d.T.Fatal(err)
	}
}

// writes has Maija write by WhatsApp and whoever is to be told told. It says the case's reference.
func (d *desk) writes(text string) (caseID, reference string) {
	d.T.Helper()
	return d.writesAs(msg.Address{Value: "358401234567", Name: "Maija"}, text)
}

func (d *desk) writesAs(who msg.Address, text string) (caseID, reference string) {
	d.T.Helper()
	_, id, _ := d.WriteAs("whatsapp", "main", who, text)
	d.Deliver()
	c, err := d.Store.Case(d.T.Context(), id)
	if err != nil {
		d.T.Fatal(err)
	}
	return id, c.Reference
}

func ptr[T any](v T) *T { return &v }

func wantMails(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got mails %q, want %q", got, want)
	}
}

func TestPresentMembersOfTheTeamAreToldInTheirLanguages(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.works("aino", func(u *auth.User) { u.Language = "fi" })
	d.works("sven", func(u *auth.User) { u.Language = "sv" })
	d.works("emma")
	d.works("away", func(u *auth.User) { u.Presence = auth.Away })
	d.works("quiet", func(u *auth.User) { u.NotifyByMail = false })
	d.works("biller", func(u *auth.User) { u.Teams = []string{"billing"} })
	_, reference := d.writes("Hei, se on rikki")
	wantMails(t, d.office.to("aino@staff.example"), "Uusi asia "+reference)
	wantMails(t, d.office.to("sven@staff.example"), "Nytt ärende "+reference)
	wantMails(t, d.office.to("emma@staff.example"), "New case "+reference)
	for _, id := range []string{"away", "quiet", "biller"} {
		wantMails(t, d.office.to(id+"@staff.example"))
	}
}

func TestMailSaysWhoAndWhereAndLeadsToTheCaseButNotWhatWasWritten(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.works("aino", func(u *auth.User) { u.Language = "fi" })
	_, reference := d.writes("Salainen sairaus")
	m := d.office.last()
	want := "Uusi asia " + reference + "\n\nAsiakas: Maija\nKanava: WhatsApp\n\n" +
		apptest.BaseURL + "/api/v1/cases/" + reference + "\naikajana timeline " + reference + "\n"
	if m.text != want {
		t.Errorf("it says %q, want %q", m.text, want)
	}
	for _, secret := range []string{"Salainen", "sairaus", "358401234567"} {
		if strings.Contains(m.raw, secret) {
			t.Errorf("%q left by mail:\n%s", secret, m.raw)
		}
	}
	for name, want := range map[string]string{"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "To": "<aino@staff.example>", "From": "Aikajana <desk@desk.example>"} {
		if got := m.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, err := m.header.Date(); err != nil || m.header.Get("Message-Id") == "" || m.header.Get("References") == "" {
		t.Errorf("date %v, header %v", err, m.header)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, apptest.BaseURL+"/api/v1/cases/"+reference, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+d.Token("aino", auth.Agent, "sales"))
	answer := httptest.NewRecorder()
	if d.API.ServeHTTP(answer, r); answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), reference) {
		t.Errorf("the link is answered %d %s", answer.Code, answer.Body)
	}
}

func TestFault33_CustomersNameAddsNoHeaderAndTurnsNoLine(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.works("aino")
	_, reference := d.writesAs(msg.Address{
		Value: "358401234567", Name: "Maija\r\nBcc: everybody@evil.example\r\n\r\n\u202eevil\x1b[31m<script>" + strings.Repeat("a", 300),
	}, "Hei\r\nSubject: other")
	m := d.office.last()
	for name := range m.header {
		if !slices.Contains([]string{
			"Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "References", "Subject", "To",
			"X-Auto-Response-Suppress", "Received", "Return-Path", // the last two are the server's
		}, name) {
			t.Errorf("there is a header %s: %q", name, m.header[name])
		}
	}
	wantMails(t, d.office.to("aino@staff.example"), "New case "+reference)
	line := strings.Split(m.text, "\n")[2]
	if want := "Customer: Maija Bcc: everybody@evil.example evil[31m<script>"; !strings.HasPrefix(line, want) || len(line) > 100 {
		t.Errorf("it says %q, want %q and no more than a line", line, want)
	}
	if strings.ContainsAny(m.text, "\u202e\x1b") {
		t.Errorf("it holds control characters: %q", m.text)
	}
}

func TestManyMessagesOfOneCaseAreOneMailInAWhile(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.works("aino")
	_, reference := d.writes("yksi")
	for _, text := range []string{"kaksi", "kolme", "neljä"} {
		d.writes(text)
	}
	wantMails(t, d.office.to("aino@staff.example"), "New case "+reference)
	_, other := d.writesAs(msg.Address{Value: "358409999999", Name: "Matti"}, "Hei")
	wantMails(t, d.office.to("aino@staff.example"), "New case "+reference, "New case "+other)
	d.Clock.Pass(15 * time.Minute)
	d.writes("viisi")
	d.writes("kuusi")
	wantMails(t, d.office.to("aino@staff.example"), "New case "+reference, "New case "+other, "New message in case "+reference)
}

func TestWhoeverIsGivenACaseHearsOfItAndThenAlone(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.works("aino", func(u *auth.User) { u.Presence = auth.Away }) // away is from new cases, not from one's own
	d.works("emma")
	id, reference := d.writes("Hei")
	if _, err := d.Store.Change(t.Context(), id, store.Patch{Agent: ptr("aino")}); err != nil {
		t.Fatal(err)
	}
	d.React()
	d.Deliver()
	d.Clock.Pass(15 * time.Minute)
	d.writes("Vielä")
	wantMails(t, d.office.to("aino@staff.example"), "You were given case "+reference, "New message in case "+reference)
	wantMails(t, d.office.to("emma@staff.example"), "New case "+reference)
}

func TestMailServerThatIsDownHoldsNothingUpAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.works("aino")
	d.works("emma")
	d.office.close()
	_, reference := d.writes("Hei") // React and Deliver went on
	wantMails(t, d.office.to("aino@staff.example"))
	d.Clock.Pass(time.Minute)
	d.Deliver()
	d.office.open()
	d.Clock.Pass(15 * time.Minute)
	d.Deliver()
	for _, id := range []string{"aino", "emma"} {
		wantMails(t, d.office.to(id+"@staff.example"), "New case "+reference)
	}
	d.Clock.Pass(time.Hour)
	d.Deliver()
	wantMails(t, d.office.to("aino@staff.example"), "New case "+reference)
}

func TestWhatIsADayOldIsNoNewsAndIsGivenUp(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.works("aino")
	d.office.close()
	d.writes("Hei")
	for range 200 {
		d.Clock.Pass(15 * time.Minute)
		d.Deliver()
	}
	depth, err := d.Queues["wake"].Depth(t.Context())
	if err != nil || depth.Ready+depth.Delayed+depth.InFlight+depth.Dead != 0 {
		t.Errorf("left in the queue: %+v, %v", depth, err)
	}
	if !strings.Contains(d.Log.String(), "staff not told, and no longer tried") {
		t.Error("nobody is told that it was given up")
	}
}

func TestOneAddressThatMustWaitKeepsNobodyElseWaiting(t *testing.T) {
	t.Parallel()
	d := setup(t)
	for _, id := range []string{"aino", "bea", "emma"} {
		d.works(id)
	}
	d.office.refuse("aino@staff.example", fault.RetryAfter(time.Minute, "greylisted", "come back later"))
	d.office.refuse("bea@staff.example", fault.Newf(fault.Permanent, "no_such_user", "nobody here"))
	_, reference := d.writes("Hei")
	wantMails(t, d.office.to("emma@staff.example"), "New case "+reference)
	d.office.refuse("aino@staff.example", nil)
	d.office.refuse("bea@staff.example", nil)
	d.Clock.Pass(2 * time.Minute)
	d.Deliver()
	wantMails(t, d.office.to("aino@staff.example"), "New case "+reference)
	wantMails(t, d.office.to("bea@staff.example")) // refused for good, and said so in the log
	wantMails(t, d.office.to("emma@staff.example"), "New case "+reference)
	if log := d.Log.String(); !strings.Contains(log, "user=bea") || strings.Contains(log, "bea@staff.example") {
		t.Errorf("the log says %s", log)
	}
}

func TestLateMailDoesNotTellFormerTeamsOrOfWhatIsNoNews(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.works("aino")
	d.office.close()
	id, _ := d.writes("Hei")
	if _, err := d.Store.Change(t.Context(), id, store.Patch{Team: ptr("billing")}); err != nil {
		t.Fatal(err)
	}
	d.office.open()
	d.Clock.Pass(15 * time.Minute)
	d.React()
	d.Deliver()
	wantMails(t, d.office.to("aino@staff.example"))
}

func TestNotificationFollowedUpAgainTellsNobodyTwice(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.works("aino")
	start := d.Store.Now()
	_, reference := d.writes("Hei")
	if n, err := d.Pipeline.ReplayReact(t.Context(), start.Add(-time.Minute)); err != nil || n == 0 {
		t.Fatalf("replayed %d, %v", n, err)
	}
	d.Deliver()
	wantMails(t, d.office.to("aino@staff.example"), "New case "+reference)
}

func TestNobodyIsToldOfAnErasedPerson(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.works("aino")
	d.office.close()
	_, _, customer := d.Write("whatsapp", "main", "358401234567", "Hei")
	d.Deliver()
	if _, err := d.Pipeline.Erase(t.Context(), customer, "test"); err != nil {
		t.Fatal(err)
	}
	d.office.open()
	d.Clock.Pass(time.Hour)
	d.React()
	d.Deliver()
	wantMails(t, d.office.to("aino@staff.example"))
}

// asked counts how often somebody looked for the members of a team.
type asked struct {
	notify.People
	times int
}

func (a *asked) TeamMembers(context.Context, string) ([]auth.User, error) {
	a.times++
	return []auth.User{{ID: "aino", Email: "aino@staff.example", NotifyByMail: true, Presence: auth.Present}}, nil
}

// toldOf remembers which effects are done.
type toldOf struct {
	notify.Told
	done map[string]bool
}

func (t toldOf) Done(_ context.Context, effect string) (bool, error) { return t.done[effect], nil }

func TestTeamIsLookedUpOnceForAllThatHappensInAMoment(t *testing.T) {
	t.Parallel()
	people, now := &asked{}, msg.Time(1_000_000)
	m := &notify.Mail{People: people, Told: toldOf{done: map[string]bool{"mail support 2#e aino": true}}, Now: func() msg.Time { return now }}
	told := make([]*store.Notification, 4)
	for i, cursor := range []string{"1#e", "2#e", "3#e", "4#e"} {
		told[i] = &store.Notification{Cursor: cursor, Team: "support", For: "team", Why: "failed", Case: "k"}
	}
	wanted, err := m.Wanted(t.Context(), told)
	if want := []bool{true, false, true, true}; err != nil || !slices.Equal(wanted, want) {
		t.Errorf("wanted are %v, %v; want %v: who was told of the second is not told again", wanted, err, want)
	}
	for _, c := range []struct {
		pass  time.Duration
		times int
	}{{0, 1}, {14 * time.Second, 1}, {time.Second, 2}} {
		now = now.Add(c.pass)
		if _, err := m.Wanted(t.Context(), told); err != nil || people.times != c.times {
			t.Errorf("%s later the team has been looked up %d times, want %d; %v", c.pass, people.times, c.times, err)
		}
	}
	// Another team, and the agent of a case, are other people.
	told[0].Team, told[1].For = "billing", "leads"
	if _, err := m.Wanted(t.Context(), told); err != nil || people.times != 4 {
		t.Errorf("looked up %d times, want 4; %v", people.times, err)
	}
}
