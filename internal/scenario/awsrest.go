//go:build parts

package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/aikajana/aikajana/internal/app/aws/desk"
	"github.com/aikajana/aikajana/internal/awspolicy"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
)

// Rest has the functions do what no story tells, so that every call that they can make is made once: bodies too large for a
// queue, files, staff, accounts, sockets, storms. parts.Calls remembers it.
func Rest(ctx context.Context, stage Stage, parts Parts) (err error) {
	stage.Clock = NewClock(Start)
	stage.Faults = NewFaults(stage.Clock)
	out := newOutside(stage.Clock)
	defer out.close()
	stage.Mailer, stage.SES = out.mail, out.ses.URL
	world, err := parts.NewAWS(ctx, &stage)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.Close()) }()
	p := &Play{
		world: world, clock: stage.Clock, faults: stage.Faults, outside: out, people: map[string]string{}, staff: map[string]string{},
		again: map[string]action{}, merges: map[string]string{}, workers: 1, reverse: map[string]bool{},
		putOff: map[string]map[string]string{},
	}
	ctx = context.WithValue(ctx, doorKey{}, world.Door())
	out.passed = p.overtake(ctx)
	if err := Connect(ctx, world, out.graph.URL); err != nil {
		return err
	}
	r := &rest{p, world.(*amazon)}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"the first start", r.setup}, {"files and links to them", r.files}, {"bodies too large for a queue", r.large}, {"what is refused or not understood", r.refused},
		{"sockets and mail to staff", r.sockets}, {"an erasure", r.erase}, {"accounts", r.accounts}, {"queues", r.queues}, {"a storm", r.storm},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		stage.Clock.pass(time.Second)
		if err := p.settle(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

type rest struct {
	p *Play
	w *amazon
}

// ask calls the API as the administrator and wants the status.
func (r *rest) ask(ctx context.Context, method, path string, body any, want int) ([]byte, error) {
	status, answer, err := r.p.call(ctx, "admin root", method, path, body, "")
	if err == nil && status != want {
		err = fmt.Errorf("%s %s was answered %d, not %d: %s", method, path, status, want, answer)
	}
	return answer, err
}

func (r *rest) whatsapp(ctx context.Context, signed bool, want int, body []byte) error {
	a := &args{at: map[string]string{"ACCOUNT": "main"}, words: &words{named: map[string]string{}}}
	if !signed {
		a.named["signature"] = "wrong"
	}
	return r.p.whatsappDelivery(a, body, want)(ctx, r.p)
}

func (r *rest) mail(ctx context.Context, id, to, raw string) error {
	virus := "PASS"
	if strings.HasPrefix(id, "virus") {
		virus = "FAIL"
	}
	return r.w.Mail(in(ctx, "door"), &Letter{ID: id, Raw: []byte(raw), Facts: channel.Mail{
		Sender: "pekka@world.example", Recipients: []string{to}, SPF: "PASS", DKIM: "PASS", DMARC: "PASS", Spam: "PASS", Virus: virus, SPFDomain: "world.example",
		DKIMDomains: []string{"world.example"},
	}})
}

const mailHead = "From: Pekka <pekka@world.example>\r\nTo: help@desk.example\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\n"

var maija, ville = fake.Person{Phone: "358401234567", Name: "Maija"}, fake.Person{Phone: "358407654321", Name: "Ville"}

// files has a picture and a file of a mail fetched, and asks for links to them.
func (r *rest) files(ctx context.Context) error {
	provider := r.p.outside.whatsapp
	if err := r.whatsapp(ctx, true, http.StatusOK, provider.Body(provider.Image(maija, r.p.outside.file("m1"), "").ID("f1"))); err != nil {
		return err
	}
	var parts bytes.Buffer
	m := multipart.NewWriter(&parts)
	text, err := m.CreatePart(map[string][]string{"Content-Type": {"text/plain; charset=utf-8"}})
	if err != nil {
		return err
	}
	_, _ = io.WriteString(text, "Katso liite.\r\n") // a bytes.Buffer takes everything
	file, err := m.CreatePart(map[string][]string{"Content-Type": {"application/pdf"}, "Content-Disposition": {`attachment; filename="lasku.pdf"`}})
	if err != nil {
		return err
	}
	_, _ = io.WriteString(file, "%PDF-1.4 a bill\r\n")
	head := mailHead + "Subject: Lasku\r\nMessage-ID: <f2@world.example>\r\nContent-Type: multipart/mixed; boundary=" + m.Boundary() + "\r\n\r\n"
	if err := errors.Join(m.Close(), r.mail(ctx, "f2", mailAddress, head+parts.String()), r.p.settle(ctx)); err != nil {
		return err
	}
	for name, address := range map[string]string{"Maija": "phone:358401234567", "Pekka": "email:pekka@world.example"} {
		if err := r.links(ctx, name, address); err != nil {
			return err
		}
	}
	return nil
}

var mediaID = regexp.MustCompile(`/api/v1/media/[^"?]+`)

// links opens every link to a file in the person's timeline.
func (r *rest) links(ctx context.Context, name, address string) error {
	for _, kind := range []string{"", "whatsapp."} {
		r.p.people[name] = kind + address
		line, err := r.p.entries(ctx, name)
		if errors.Is(err, errNobody) {
			continue
		}
		found := mediaID.FindAllString(fmt.Sprintf("%s", line), -1)
		if err != nil || len(found) == 0 {
			return fmt.Errorf("%s has no file: %s, %w", name, line, err)
		}
		for _, path := range found {
			if _, err := r.ask(ctx, http.MethodGet, path, nil, http.StatusFound); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%w: %s", errNobody, name)
}

// long is more than a queue message carries.
var long = strings.Repeat("A long story. ", 20_000)

func (r *rest) large(ctx context.Context) error {
	provider := r.p.outside.whatsapp
	post, err := r.form(ctx)
	if err != nil {
		return err
	}
	var own strings.Builder // one person's raw input that does not fit into its entry
	for n := range 4000 {
		fmt.Fprintf(&own, "%x ", n*n*7919)
	}
	var batch []fake.Update
	for n := range 60 { // several people's in one envelope that a queue carries: Process keeps its raw form once
		batch = append(batch, provider.Text(fake.Person{Phone: fmt.Sprint(358500000000 + n), Name: "One of many"}, "Hei").ID(fmt.Sprintf("b%d", n)))
	}
	return errors.Join(
		r.whatsapp(ctx, true, http.StatusOK, provider.Body(provider.Text(maija, long).ID("l1"))),
		r.whatsapp(ctx, true, http.StatusOK, provider.Body(batch...)),
		r.whatsapp(ctx, true, http.StatusOK, provider.Body(provider.Text(maija, own.String()).ID("l3"))),
		r.p.post(post, http.StatusSeeOther),
		r.mail(ctx, "l2", mailAddress, mailHead+"Subject: Long\r\nMessage-ID: <l2@world.example>\r\nContent-Type: text/plain\r\n\r\n"+long),
	)
}

// empty removes the objects below a prefix, as their lifecycle does.
func (r *rest) empty(ctx context.Context, prefix string) error {
	all, err := r.w.system.Blobs.List(ctx, prefix, "", 100)
	for _, b := range all {
		err = errors.Join(err, r.w.system.Blobs.Delete(ctx, b.Key))
	}
	return err
}

// form is a submission with a file that no queue carries.
func (r *rest) form(ctx context.Context) (*http.Request, error) {
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	for name, value := range map[string]string{"name": "Liisa", "email": "liisa@world.example", "message": "Katso liite."} {
		if err := m.WriteField(name, value); err != nil {
			return nil, err
		}
	}
	file, err := m.CreateFormFile("files", "story.txt")
	if err != nil {
		return nil, err
	}
	_, _ = io.WriteString(file, long) // a bytes.Buffer takes everything
	if err := m.Close(); err != nil {
		return nil, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, BaseURL+"/forms/main", &body)
	if err != nil {
		return nil, err
	}
	post.Header.Set("Content-Type", m.FormDataContentType())
	post.Header.Set("Accept", "application/json")
	post.RemoteAddr = "203.0.113.7:4000"
	return post, nil
}

// refused puts into quarantine what is too large for its item, looks at it and replays it.
func (r *rest) refused(ctx context.Context) (err error) {
	noise := fmt.Appendf(nil, `{"what":%q}`, long[:150_000])
	if err := errors.Join(
		r.whatsapp(ctx, false, http.StatusForbidden, noise),
		r.whatsapp(ctx, true, http.StatusOK, noise[:len(noise)-1]),
		r.whatsapp(ctx, true, http.StatusOK, fmt.Appendf(nil, `{"what":%q`, long)), // too large for the queue, too
		r.mail(ctx, "q1", "nobody@desk.example", mailHead+"Subject: Whose\r\n\r\n"+long),
		r.mail(ctx, "virus1", mailAddress, mailHead+"Subject: Large\r\n\r\n"+long[:100_000]),
		r.mail(ctx, "virus2", mailAddress, mailHead+"Subject: Larger\r\n\r\n"+long),
		r.p.settle(ctx),
	); err != nil {
		return err
	}
	list, err := r.p.quarantine(ctx)
	if err != nil || len(list) < 3 {
		return fmt.Errorf("quarantine holds %v, %w", list, err)
	}
	defer func() { // whose raw form is gone
		err = errors.Join(err, r.empty(ctx, "quarantine/"))
		for _, q := range list {
			_, _, asked := r.p.call(ctx, "admin root", http.MethodGet, "/api/v1/quarantine/"+q.ID, nil, "")
			err = errors.Join(err, asked)
		}
	}()
	for _, q := range list {
		if _, err := r.ask(ctx, http.MethodGet, "/api/v1/quarantine/"+q.ID, nil, http.StatusOK); err != nil {
			return err
		}
		if _, _, err := r.p.call(ctx, "admin root", http.MethodPost, "/api/v1/quarantine/"+q.ID+"/replay", nil, ""); err != nil {
			return err
		}
	}
	return nil
}

// erase removes people with raw input and files, one of them while a file of theirs is being fetched.
func (r *rest) erase(ctx context.Context) error {
	fetch := r.w.functions["Fetch"].Pipeline
	inspect, erased := fetch.Inspect, error(nil)
	fetch.Inspect = func(name, claimed string, body []byte) pipeline.FileFacts {
		fetch.Inspect = inspect
		erased = r.eraseOne(awspolicy.As(ctx, ""), "Maija")
		return inspect(name, claimed, body)
	}
	provider := r.p.outside.whatsapp
	picture := provider.Body(provider.Image(maija, r.p.outside.file("m2"), "").ID("e1"))
	r.p.people["Liisa"] = "email.unverified:liisa@world.example"
	return errors.Join(
		r.whatsapp(ctx, true, http.StatusOK, picture), r.p.settle(ctx), erased, r.eraseOne(ctx, "Pekka"), r.eraseOne(ctx, "Liisa"),
	)
}

func (r *rest) eraseOne(ctx context.Context, name string) error {
	id, err := r.p.customer(ctx, name)
	if err == nil {
		_, err = r.ask(ctx, http.MethodDelete, "/api/v1/customers/"+id, nil, http.StatusAccepted)
	}
	return err
}

// accounts connects a number that somebody has reacted to already, replays that, and disconnects it.
func (r *rest) accounts(ctx context.Context) error {
	provider := r.p.outside.whatsapp
	early := bytes.ReplaceAll(provider.Body(provider.Reaction(ville, "wamid.nobody-knows", "👍").ID("a1")), []byte(phoneNumber), []byte("2055"))
	if err := errors.Join(r.whatsapp(ctx, true, http.StatusOK, early), r.p.settle(ctx)); err != nil {
		return err
	}
	const path = "/api/v1/accounts/whatsapp/second"
	connect := map[string]any{"team": "support", "settings": map[string]string{"phone_number_id": "2055"}, "secrets": map[string]string{
		"app_secret": AppSecret, "verify_token": verifyToken, "access_token": accessToken,
	}}
	remove := map[string]any{"team": "support", "settings": map[string]string{"phone_number_id": "2055"}, "secrets": map[string]string{"access_token": ""}}
	for _, one := range []struct {
		method string
		body   any
		want   int
	}{
		{http.MethodPut, connect, http.StatusOK}, {http.MethodGet, nil, http.StatusOK}, {http.MethodPut, remove, http.StatusOK}, {http.MethodDelete, nil, http.StatusNoContent},
	} {
		if _, err := r.ask(ctx, one.method, path, one.body, one.want); err != nil {
			return err
		}
		if one.method == http.MethodGet {
			if err := r.replayed(ctx, "unknown_account"); err != nil {
				return err
			}
		}
	}
	return nil
}

// replayed replays what is in quarantine for the cause, and wants something there.
func (r *rest) replayed(ctx context.Context, cause string) error {
	r.p.clock.pass(time.Minute) // accounts are believed for a while
	list, err := r.p.quarantine(ctx)
	if err != nil {
		return err
	}
	for _, q := range list {
		if q.Cause == cause && q.Channel == "whatsapp" {
			_, err := r.ask(ctx, http.MethodPost, "/api/v1/quarantine/"+q.ID+"/replay", nil, http.StatusAccepted)
			return err
		}
	}
	return fmt.Errorf("quarantine holds nothing for %s: %v", cause, list)
}

func (r *rest) queues(ctx context.Context) error {
	for _, name := range []string{"inbound", "mail"} { // the reconciliation looks whose they are
		dead := r.w.system.Env.Dead[name]
		if _, err := r.w.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &dead, MessageBody: aws.String("no envelope")}); err != nil {
			return err
		}
	}
	for _, path := range []string{"/healthz", "/api/v1/queues", "/api/v1/reconciliation"} {
		if _, err := r.ask(ctx, http.MethodGet, path, nil, http.StatusOK); err != nil {
			return err
		}
	}
	for _, name := range queueNames {
		if _, err := r.ask(ctx, http.MethodPost, "/api/v1/queues/"+name+"/redrive", nil, http.StatusAccepted); err != nil {
			return err
		}
	}
	_, err := r.ask(ctx, http.MethodPost, "/api/v1/react", map[string]any{"since": msg.TimeOf(Start)}, http.StatusAccepted)
	return err
}

// setup lets the first administrator in by the set-up page.
func (r *rest) setup(ctx context.Context) error {
	path, err := r.p.world.People().Auth.Bootstrap(ctx, "", "")
	if err != nil {
		return err
	}
	path = "/setup/" + path[strings.LastIndexByte(path, '/')+1:]
	choice := url.Values{"password": {password}, "again": {password}}.Encode()
	if err := r.visit(ctx, http.MethodGet, path, "", http.StatusOK); err != nil {
		return err
	}
	return r.visit(ctx, http.MethodPost, path, choice, http.StatusSeeOther)
}

func (r *rest) visit(ctx context.Context, method, path, form string, want int) error {
	request, err := http.NewRequestWithContext(ctx, method, BaseURL+path, strings.NewReader(form))
	if err != nil {
		return err
	}
	if form != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	r.w.door.ServeHTTP(w, request)
	if w.Code != want {
		return fmt.Errorf("%s /setup was answered %d, not %d: %s", method, w.Code, want, w.Body)
	}
	return nil
}

// storm refuses every write until a message's attempts are nearly used up: its worker sends it anew.
func (r *rest) storm(ctx context.Context) error {
	provider := r.p.outside.whatsapp
	if err := errors.Join(
		r.whatsapp(ctx, true, http.StatusOK, provider.Body(provider.Text(maija, "Hei").ID("t1"))),
		r.mail(ctx, "t2", mailAddress, mailHead+"Subject: Hei\r\nMessage-ID: <t2@world.example>\r\n\r\nHei"),
	); err != nil {
		return err
	}
	r.p.faults.change(func() { r.p.faults.writesUntil = r.p.clock.Time().Add(time.Minute) })
	for _, name := range []string{"inbound", "mail"} {
		batch, err := r.p.world.Queue(name).Receive(ctx, batchSize, 0)
		if err != nil || len(batch) == 0 {
			return fmt.Errorf("%s holds %d messages, %w", name, len(batch), err)
		}
		for i := range batch {
			batch[i].Attempt = queue.MaxAttempts - 1
		}
		if failed, err := r.p.handle(ctx, name, batch); err != nil || len(failed) > 0 {
			return fmt.Errorf("%s was not put off: %v, %w", name, failed, err)
		}
		if err := r.p.world.Queue(name).Ack(ctx, batch...); err != nil {
			return err
		}
	}
	return r.p.pass(ctx, 10*time.Minute)
}

// gatewayAPI plays the management API of a WebSocket API: what was not opened is gone.
type gatewayAPI struct{ open map[string]bool }

// ServeHTTP implements http.Handler.
func (g *gatewayAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/@connections/")
	if !g.open[id] {
		w.Header().Set("X-Amzn-Errortype", "GoneException")
		w.WriteHeader(http.StatusGone)
		return
	}
	if r.Method == http.MethodDelete {
		delete(g.open, id)
		w.WriteHeader(http.StatusNoContent)
	}
}

// sockets opens two, tells them of a message while one is gone, and mails who wants mail.
func (r *rest) sockets(ctx context.Context) error {
	g := &gatewayAPI{open: map[string]bool{"here": true}}
	server := httptest.NewServer(g)
	defer server.Close()
	gateway := apigatewaymanagementapi.NewFromConfig(r.w.parts.config(server.URL, r.w.resources))
	socket, err := desk.New(r.w.functions["Socket"], gateway)
	if err != nil {
		return err
	}
	if _, err := r.ask(ctx, http.MethodPatch, "/api/v1/users/root", map[string]any{"email": "root@world.example", "notify_by_mail": true, "presence": "present"}, http.StatusOK); err != nil {
		return err
	}
	as := awspolicy.As(ctx, "Socket")
	for _, id := range []string{"here", "gone"} {
		answer, err := r.ask(ctx, http.MethodPost, "/api/v1/socket-ticket", nil, http.StatusCreated)
		var ticket struct{ Ticket, URL string }
		if err = errors.Join(err, json.Unmarshal(answer, &ticket)); err != nil {
			return err
		}
		q := url.Values{"ticket": {ticket.Ticket}}
		if u, err := url.Parse(ticket.URL); ticket.Ticket == "" && err == nil {
			q = u.Query()
		}
		open, err := http.NewRequestWithContext(as, http.MethodGet, "/socket?"+q.Encode(), http.NoBody)
		if err != nil {
			return err
		}
		if status := socket.Connect(as, id, open); status != http.StatusOK {
			return fmt.Errorf("socket %s was answered %d", id, status)
		}
	}
	r.p.clock.pass(time.Minute)
	if err := errors.Join(socket.Message(as, "here", []byte(`{"type":"ping"}`)), socket.Message(as, "unknown", []byte(`{"type":"ping"}`))); err != nil {
		return err
	}
	teller, err := desk.New(r.w.functions["React"], gateway)
	if err != nil {
		return err
	}
	teller.Tell()
	mailer, err := desk.New(r.w.functions["Deliver"], nil)
	if err != nil {
		return err
	}
	mailer.Tell()
	provider := r.p.outside.whatsapp
	text := provider.Body(provider.Text(ville, "Hei").ID("s1"))
	if err := errors.Join(r.whatsapp(ctx, true, http.StatusOK, text), r.p.settle(ctx)); err != nil {
		return err
	}
	if err := socket.Message(as, "here", []byte(`{"type":"resume","cursor":"`+live.Cursor(store.CursorAt(msg.TimeOf(Start)))+`"}`)); err != nil {
		return err
	}
	// The session ends: whoever next has something to say hangs up.
	if _, err := r.ask(ctx, http.MethodDelete, "/api/v1/sessions/current", nil, http.StatusNoContent); err != nil {
		return err
	}
	r.p.clock.pass(time.Minute)
	text = provider.Body(provider.Text(ville, "Hei?").ID("s2"))
	return errors.Join(r.whatsapp(ctx, true, http.StatusOK, text), r.p.settle(ctx), socket.Disconnect(as, "here"))
}
