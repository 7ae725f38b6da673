package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/store"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// opened is a socket that is open.
type opened struct {
	t    *testing.T
	conn *websocket.Conn
}

type event struct {
	Cursor, Type, Why, Customer, Case, Detail string
	Entry                                     map[string]any
}

// socket opens a socket with a ticket of the client's, from where cursor says.
func (c *client) socket(cursor string) *opened {
	c.d.t.Helper()
	return c.socketAs(cursor, "")
}

// socketAs is socket with more in the address.
func (c *client) socketAs(cursor, more string) *opened {
	c.d.t.Helper()
	ticket := c.do("POST", "/api/v1/socket-ticket", nil).want(201)
	path := ticket.text("url")
	if cursor != "" {
		path += "&cursor=" + cursor
	}
	path += more
	conn, resp, err := websocket.Dial(c.d.t.Context(), c.d.server.URL+path, nil)
	if err != nil {
		c.d.t.Fatalf("open the socket: %v (%v)", err, resp)
	}
	conn.SetReadLimit(1 << 20)
	c.d.t.Cleanup(func() { _ = conn.CloseNow() })
	return &opened{c.d.t, conn}
}

// until waits for something that other goroutines bring about.
func (d *desk) until(ok func() bool) {
	d.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatal("it never came about")
		}
	}
}

func (l *opened) next() event {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	_, body, err := l.conn.Read(ctx)
	if err != nil {
		l.t.Fatalf("read from the socket: %v", err)
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		l.t.Fatalf("%v: %s", err, body)
	}
	return e
}

// ping shows what has come before: nothing is in between when the next message is the pong.
func (l *opened) ping() {
	l.t.Helper()
	must(l.t, l.conn.Write(l.t.Context(), websocket.MessageText, []byte(`{"type":"ping"}`)))
}

// closed waits for the end and says its code.
func (l *opened) closed() websocket.StatusCode {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	for {
		_, _, err := l.conn.Read(ctx)
		if err == nil {
			continue
		}
		if errors.Is(err, context.DeadlineExceeded) {
			l.t.Fatal("the socket stays open")
		}
		return websocket.CloseStatus(err)
	}
}

func TestASocketTellsOfANewEntryWholeAndOfItsChanges(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	s := aino.socket("")
	entry, id, customer := d.Write("whatsapp", "main", "358401234567", "Hei")
	told := s.next()
	if told.Type != "entry" || told.Case != id || told.Customer != customer || told.Entry["entry"] != entry || told.Why != "new_case" || told.Cursor == "" {
		t.Fatalf("%+v", told)
	}
	whole := aino.do("GET", "/api/v1/entries/"+entry, nil).want(200)
	if have, _ := json.Marshal(told.Entry); !sameJSON(t, have, whole.raw) {
		t.Fatalf("the socket says\n%s\nthe API\n%s", have, whole.raw)
	}
	reply := aino.do("POST", "/api/v1/cases/"+id+"/replies", map[string]any{"text": "Katson."}).want(201)
	d.React()
	if told := s.next(); told.Entry["entry"] != reply.text("entry") || told.Entry["state"] != "pending" {
		t.Fatalf("%+v", told)
	}
	aino.do("PATCH", "/api/v1/cases/"+id, map[string]any{"agent": "aino"}).want(200)
	d.React()
	if told := s.next(); told.Type != "case" || told.Case != id || told.Entry != nil {
		t.Fatalf("%+v", told)
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	must(t, json.Unmarshal(a, &x))
	must(t, json.Unmarshal(b, &y))
	ax, _ := json.Marshal(x)
	by, _ := json.Marshal(y)
	return string(ax) == string(by)
}

func TestFault44_EveryPushIsAuthorisedByItself(t *testing.T) {
	t.Parallel()
	d := setup(t)
	sales, billing := d.user("aino", auth.Agent, "sales").socket(""), d.user("eero", auth.Agent, "billing").socket("")
	everything := d.admin().socket("")
	_, bill, _ := d.Write("email", "bills", "maija@mail.example", "Lasku")
	_, sale, _ := d.Write("whatsapp", "main", "358401234567", "Hei")
	if told := sales.next(); told.Case != sale {
		t.Fatalf("sales was told of %s", told.Case)
	}
	if told := billing.next(); told.Case != bill {
		t.Fatalf("billing was told of %s", told.Case)
	}
	if one, two := everything.next(), everything.next(); one.Case != bill || two.Case != sale {
		t.Fatalf("the administrator was told of %s and %s", one.Case, two.Case)
	}
	// Given away between two messages, the case is told to its new team alone.
	d.admin().do("PATCH", "/api/v1/cases/"+sale, map[string]any{"team": "billing"}).want(200)
	d.React()
	d.Write("whatsapp", "main", "358401234567", "Vielä")
	for range 2 {
		if told := billing.next(); told.Case != sale {
			t.Fatalf("billing was told of %s", told.Case)
		}
	}
	sales.ping()
	if told := sales.next(); told.Type != "pong" {
		t.Fatalf("sales was told %+v of a case that is not theirs any more", told)
	}
}

func TestFault44_ResumingIsAuthorisedLikePushing(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	start := aino.do("POST", "/api/v1/socket-ticket", nil).want(201).text("cursor")
	d.Write("email", "bills", "maija@mail.example", "Lasku")
	_, id, _ := d.Write("whatsapp", "main", "358401234567", "Hei")
	s := aino.socket(start)
	if told := s.next(); told.Case != id {
		t.Fatalf("%+v", told)
	}
	s.ping()
	if told := s.next(); told.Type != "pong" {
		t.Fatalf("%+v", told)
	}
}

func TestFault45_ABadFrameGetsAGenericErrorAndHarmsNobody(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	s := aino.socket("")
	for _, frame := range []string{"", "nonsense", "{", `{"type":7}`, `{"type":"subscribe","team":"billing"}`, "[[[[[[", "\x00\xff"} {
		kind := websocket.MessageText
		if strings.Contains(frame, "\xff") {
			kind = websocket.MessageBinary
		}
		must(t, s.conn.Write(t.Context(), kind, []byte(frame)))
		if told := s.next(); told.Type != "error" || strings.Contains(told.Detail, "json") {
			t.Fatalf("%q is answered by %+v", frame, told)
		}
	}
	_, id, _ := d.Write("whatsapp", "main", "358401234567", "Hei")
	if told := s.next(); told.Case != id {
		t.Fatalf("%+v", told)
	}
	must(t, s.conn.Write(t.Context(), websocket.MessageText, []byte(strings.Repeat("x", 8<<10))))
	if code := s.closed(); code != websocket.StatusMessageTooBig {
		t.Fatalf("a frame that is too large closes with %d", code)
	}
	chatty := aino.socket("")
	for range 30 {
		if chatty.conn.Write(t.Context(), websocket.MessageText, []byte("x")) != nil {
			break
		}
	}
	if code := chatty.closed(); code != websocket.StatusPolicyViolation {
		t.Fatalf("a client that babbles is closed with %d", code)
	}
	aino.do("GET", "/api/v1/cases", nil).want(200)
}

func TestEndingASessionClosesItsSockets(t *testing.T) {
	t.Parallel()
	d := setup(t)
	const ended = websocket.StatusCode(4401)
	aino, eero := d.user("aino", auth.Agent, "sales"), d.user("eero", auth.Agent, "sales")
	here, theirs := aino.socket(""), eero.socket("")
	aino.do("DELETE", "/api/v1/sessions/current", nil).want(204)
	if code := here.closed(); code != ended {
		t.Fatalf("signing out closes with %d", code)
	}
	eero.do("POST", "/api/v1/password", map[string]any{"current_password": password, "password": "a new and longer one"}).want(201)
	if code := theirs.closed(); code != ended {
		t.Fatalf("a new password closes with %d", code)
	}
	made := d.admin().do("POST", "/api/v1/tokens", map[string]any{"name": "display", "roles": []string{"agent"}}).want(201)
	script := d.anonymous()
	script.token = made.text("secret")
	s := script.socket("")
	d.admin().do("DELETE", "/api/v1/tokens/"+made.text("token.id"), nil).want(204)
	if code := s.closed(); code != ended {
		t.Fatalf("revoking the token closes with %d", code)
	}
}

func TestASessionThatEndsElsewhereClosesItsSocketsToo(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	s := aino.socket("")
	elsewhere, err := auth.New(auth.Config{Table: d.Table, Now: func() time.Time { return d.Clock.Now().Time() }, Cost: auth.Cost{MemoryKiB: 64, Passes: 1}})
	must(t, err)
	must(t, elsewhere.EndSessions(t.Context(), "root", "aino"))
	d.Hub.Audit(t.Context(), auth.Event{Kind: auth.AuditedUserChanged, Subject: "aino"}) // the ticker asks the same every 15 s
	if code := s.closed(); code != 4401 {
		t.Fatalf("closed with %d", code)
	}
}

func TestARoleLostWhileASocketIsOpenIsLostThereToo(t *testing.T) {
	t.Parallel()
	d := setup(t)
	eero := d.user("eero", auth.Agent, "sales", "billing")
	s := eero.socket("")
	d.admin().do("PATCH", "/api/v1/users/eero", map[string]any{"teams": []string{"sales"}}).want(200)
	if code := s.closed(); code != 4401 {
		t.Fatalf("closed with %d", code)
	}
}

func TestFault65_ResumingFromACursorMissesNothing(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	first := aino.socket("")
	d.Write("whatsapp", "main", "358401234567", "yksi")
	cursor := first.next().Cursor
	must(t, first.conn.CloseNow())
	d.until(func() bool { return d.Hub.Sockets() == 0 })
	want := map[string]bool{"kaksi": true, "kolme": true}
	d.Write("whatsapp", "main", "358401234567", "kaksi")
	d.Write("whatsapp", "main", "358409999999", "kolme")
	second := aino.socket(cursor)
	for len(want) > 0 {
		delete(want, second.next().Entry["message"].(map[string]any)["text"].(string))
	}
	_, id, _ := d.Write("whatsapp", "main", "358401111111", "neljä")
	for {
		if told := second.next(); told.Case == id {
			return
		}
	}
}

// onHijack is called when a socket is about to open, before its client hears of it.
type onHijack struct {
	http.ResponseWriter
	f func()
}

func (o onHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	o.f()
	return http.NewResponseController(o.ResponseWriter).Hijack()
}

func TestWhatHappensWhileASocketOpensIsToldOnIt(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	var entry string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.API.Socket().ServeHTTP(onHijack{w, func() { entry, _, _ = d.Write("whatsapp", "main", "358401234567", "Hei") }}, r)
	}))
	t.Cleanup(server.Close)
	ticket := aino.do("POST", "/api/v1/socket-ticket", nil).want(201)
	conn, _, err := websocket.Dial(t.Context(), server.URL+"/socket?ticket="+ticket.text("ticket"), nil) //nolint:bodyclose // of a switch of protocols
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	if told := (&opened{t, conn}).next(); told.Entry["entry"] != entry {
		t.Errorf("told of %+v, want entry %s", told, entry)
	}
}

func TestWhatTheHubDroppedIsReadFromTheTable(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	s := aino.socket("")
	d.Quietly(func() { d.Write("whatsapp", "main", "358401234567", "Hei") })
	written, err := d.Store.Notifications(t.Context(), "sales", "", 1)
	must(t, err)
	d.Hub.Push(t.Context(), append(pushes(100_000), written...)) // more than wait for one socket, so that the last is dropped
	if told := s.next(); told.Type != "entry" {
		t.Fatalf("%+v", told)
	}
}

func TestAGapOfMoreThanADaySaysRefetch(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	cursor := aino.do("POST", "/api/v1/socket-ticket", nil).want(201).text("cursor")
	d.Write("whatsapp", "main", "358401234567", "Hei")
	d.Clock.Pass(25 * time.Hour)
	aino.do("POST", "/api/v1/sessions", map[string]any{"user": "aino", "password": password}).want(201)
	s := aino.socket(cursor)
	if told := s.next(); told.Type != "refetch" || told.Cursor == "" {
		t.Fatalf("%+v", told)
	}
	_, id, _ := d.Write("whatsapp", "main", "358409999999", "Hei taas")
	if told := s.next(); told.Case != id {
		t.Fatalf("%+v", told)
	}
}

func TestASocketOpensWithAFreshTicketOfOnesOwnOriginAlone(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	ticket := func() string { return aino.do("POST", "/api/v1/socket-ticket", nil).want(201).text("url") }
	open := func(path string, header http.Header) int {
		conn, resp, err := websocket.Dial(t.Context(), d.server.URL+path, &websocket.DialOptions{HTTPHeader: header})
		if err == nil {
			_ = conn.CloseNow()
			return http.StatusSwitchingProtocols
		}
		if resp == nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	used := ticket()
	if got := open(used, nil); got != 101 {
		t.Fatalf("a fresh ticket: %d", got)
	}
	late := ticket()
	d.Clock.Pass(31 * time.Second)
	for name, try := range map[string]struct {
		path   string
		header http.Header
		want   int
	}{
		"used":         {used, nil, 401},
		"late":         {late, nil, 401},
		"none":         {"/socket", nil, 401},
		"made up":      {"/socket?ticket=nonsense", nil, 401},
		"other origin": {ticket(), http.Header{"Origin": {"https://evil.example"}}, 403},
		"own origin":   {ticket(), http.Header{"Origin": {d.server.URL}}, 101},
	} {
		if got := open(try.path, try.header); got != try.want {
			t.Errorf("%s: %d, want %d", name, got, try.want)
		}
	}
	if strings.Contains(d.Log.String(), "ticket=") {
		t.Error("the log holds a ticket")
	}
	bad, _, err := websocket.Dial(t.Context(), d.server.URL+ticket()+"&cursor=nonsense", nil)
	must(t, err)
	if code := (&opened{t, bad}).closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("a cursor that is none closes with %d", code)
	}
}

func TestClosingTheHubSendsEverybodyElsewhere(t *testing.T) {
	t.Parallel()
	d := setup(t)
	s := d.user("aino", auth.Agent, "sales").socket("")
	d.Hub.Close()
	if code := s.closed(); code != websocket.StatusGoingAway {
		t.Fatalf("closed with %d", code)
	}
}

func TestASlowSocketNeverHoldsThePipelineUp(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.user("aino", auth.Agent, "sales").socket("") // nobody reads from it
	done := make(chan struct{})
	go func() { d.Hub.Push(t.Context(), pushes(10_000)); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("pushing waits for a slow socket")
	}
}

// pushes are notifications of a case that is gone: nobody is told of them.
func pushes(n int) []*store.Notification {
	all := make([]*store.Notification, n)
	for i := range all {
		all[i] = &store.Notification{Case: "aaaaaaaaaaaaaaaaaaaaaaaaaa-kaaaaaaaaaaaaa", Type: "case"}
	}
	return all
}

func TestAnOpenSocketResumesWhenItsClientSaysSo(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	cursor := aino.do("POST", "/api/v1/socket-ticket", nil).want(201).text("cursor")
	_, id, _ := d.Write("whatsapp", "main", "358401234567", "Hei")
	s := aino.socket("")
	must(t, s.conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"resume","cursor":"`+cursor+`"}`)))
	if told := s.next(); told.Case != id {
		t.Fatalf("%+v", told)
	}
}

func TestWhatWasMissedComesInOneFrameToWhoeverTakesThat(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	cursor := aino.do("POST", "/api/v1/socket-ticket", nil).want(201).text("cursor")
	var want []string
	for _, text := range []string{"yksi", "kaksi", "kolme"} {
		entry, _, _ := d.Write("whatsapp", "main", "358401234567", text)
		want = append(want, entry)
	}
	s := aino.socketAs(cursor, "&batch=yes")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, frame, err := s.conn.Read(ctx)
	must(t, err)
	var events []event
	if err := json.Unmarshal(frame, &events); err != nil {
		t.Fatalf("%v: %s", err, frame)
	}
	var got []string
	for _, e := range events {
		entry, _ := e.Entry["entry"].(string)
		got = append(got, entry)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the frame tells of %v, want %v", got, want)
	}
	s.ping()
	if e := s.next(); e.Type != "pong" {
		t.Errorf("a single message is not by itself: %+v", e)
	}
}
