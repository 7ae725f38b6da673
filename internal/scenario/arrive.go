package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	mailfake "github.com/aikajana/aikajana/internal/channel/email/fake"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
)

const whatsappNamed = "from user name id of reply media at answered signature was long"

// answered is the HTTP status that a provider is to get.
func answered(a *args) (int, error) {
	s := a.named["answered"]
	if s == "" {
		return http.StatusOK, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("answered=%q is no HTTP status", s)
	}
	return n, nil
}

func compileWhatsApp(a *args) (action, error) {
	make, err := whatsappUpdate(a.at["KIND"], a.words)
	if err != nil {
		return nil, err
	}
	return postWhatsApp(a, []func(*Play) (fake.Update, error){make})
}

func compileWhatsAppBatch(a *args) (action, error) {
	var makers []func(*Play) (fake.Update, error)
	for _, line := range a.block {
		w, err := split(line)
		if err != nil {
			return nil, err
		}
		if len(w.plain) != 1 {
			return nil, fmt.Errorf(`a line of a batch is "text from=… id=…", not %q`, line)
		}
		make, err := whatsappUpdate(w.plain[0], w)
		if err != nil {
			return nil, err
		}
		makers = append(makers, make)
	}
	return postWhatsApp(a, makers)
}

// postWhatsApp posts what the makers make in one delivery, and remembers it so that it can come again.
func postWhatsApp(a *args, makers []func(*Play) (fake.Update, error)) (action, error) {
	status, err := answered(a)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, p *Play) error {
		var updates []fake.Update
		for _, make := range makers {
			u, err := make(p)
			if err != nil {
				return err
			}
			updates = append(updates, u)
		}
		body := p.outside.whatsapp.Body(updates...)
		send := p.whatsappDelivery(a, body, status)
		p.again["whatsapp/"+a.at["ACCOUNT"]] = p.whatsappDelivery(a, body, http.StatusOK)
		return send(ctx, p)
	}, nil
}

func (p *Play) whatsappDelivery(a *args, body []byte, status int) action {
	return func(ctx context.Context, p *Play) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, BaseURL+"/hooks/whatsapp/"+a.at["ACCOUNT"], bytes.NewReader(body))
		if err != nil {
			return err
		}
		signature := p.outside.whatsapp.Sign(body)
		if a.named["signature"] == "wrong" {
			signature = p.outside.whatsapp.Sign(append([]byte("forged"), body...))
		}
		r.Header.Set("X-Hub-Signature-256", signature)
		r.Header.Set("Content-Type", "application/json")
		return p.post(r, status)
	}
}

// post sends a request through the door and wants the status.
func (p *Play) post(r *http.Request, status int) error {
	response, err := (*byDoor)(nil).RoundTrip(r)
	if err != nil {
		return err
	}
	return wanted(status)(response.StatusCode, response.Body.Close())
}

func compileGarbage(a *args) (action, error) {
	status, err := answered(a)
	return func(ctx context.Context, p *Play) error {
		p.again["whatsapp/"+a.at["ACCOUNT"]] = p.whatsappDelivery(a, []byte(a.text), http.StatusOK)
		return p.whatsappDelivery(a, []byte(a.text), status)(ctx, p)
	}, err
}

// whatsappKinds make the provider's items.
var whatsappKinds = map[string]func(p *fake.Provider, who fake.Person, file string, w *words) fake.Update{
	"text": func(p *fake.Provider, who fake.Person, _ string, w *words) fake.Update { return p.Text(who, w.text) },
	"image": func(p *fake.Provider, who fake.Person, file string, w *words) fake.Update {
		return p.Image(who, file, w.text)
	},
	"video": func(p *fake.Provider, who fake.Person, file string, w *words) fake.Update {
		return p.Video(who, file, w.text)
	},
	"voice": func(p *fake.Provider, who fake.Person, file string, _ *words) fake.Update { return p.Voice(who, file) },
	"document": func(p *fake.Provider, who fake.Person, file string, w *words) fake.Update {
		return p.Document(who, file, "invoice.pdf", w.text)
	},
	"sticker": func(p *fake.Provider, who fake.Person, file string, _ *words) fake.Update {
		return p.Sticker(who, file)
	},
	"location": func(p *fake.Provider, who fake.Person, _ string, w *words) fake.Update {
		return p.Location(who, 60.17, 24.94, w.text, "")
	},
	"button": func(p *fake.Provider, who fake.Person, _ string, w *words) fake.Update {
		return p.Button(who, w.text, "pressed")
	},
	"reaction": func(p *fake.Provider, who fake.Person, _ string, w *words) fake.Update {
		return p.Reaction(who, w.named["of"], w.text)
	},
	"edit": func(p *fake.Provider, who fake.Person, _ string, w *words) fake.Update {
		return p.Edit(who, w.named["of"], w.text)
	},
	"revoke": func(p *fake.Provider, who fake.Person, _ string, w *words) fake.Update {
		return p.Revoke(who, w.named["of"])
	},
	"echo": func(p *fake.Provider, who fake.Person, _ string, w *words) fake.Update { return p.Echo(who, w.text) },
	"changed": func(p *fake.Provider, who fake.Person, _ string, w *words) fake.Update {
		return p.Changed(fake.Person{Phone: w.named["was"]}, who)
	},
	"novelty": func(p *fake.Provider, who fake.Person, _ string, w *words) fake.Update {
		return p.Unknown(who, "hologram", map[string]string{"caption": w.text})
	},
}

func whatsappUpdate(kind string, w *words) (func(*Play) (fake.Update, error), error) {
	maker := whatsappKinds[kind]
	switch {
	case maker == nil:
		return nil, fmt.Errorf("WhatsApp has no %q here", kind)
	case w.named["from"] == "" && w.named["user"] == "" && kind != "echo":
		return nil, errors.New("who wrote it? give from= (a phone number) or user= (a user ID)")
	}
	var at time.Time
	if s := w.named["at"]; s != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, s); err != nil {
			return nil, fmt.Errorf("at=%q is no time like 2026-11-22T08:00:00Z", s)
		}
	}
	return func(p *Play) (fake.Update, error) {
		of := *w
		of.named = map[string]string{}
		if n, err := strconv.Atoi(w.named["long"]); err == nil && n > 0 && n <= 1<<20 {
			of.text += strings.Repeat("x", n)
		}
		for k, v := range w.named {
			of.named[k] = v
		}
		if of.named["of"] == "answer" { // the last one of ours
			sent := p.outside.whatsapp.Sent()
			if len(sent) == 0 {
				return fake.Update{}, errors.New("nothing was answered yet")
			}
			of.named["of"] = sent[len(sent)-1].ID
		}
		who := fake.Person{Phone: w.named["from"], UserID: w.named["user"], Name: w.named["name"]}
		if kind == "changed" { // the name goes with the number
			delete(p.people, who.Name)
			p.names = slices.DeleteFunc(p.names, func(n string) bool { return n == who.Name })
		}
		p.meet(who.Name, "whatsapp.phone", who.Phone)
		if who.Phone == "" {
			p.meet(who.Name, "whatsapp.user", who.UserID)
		}
		u := maker(p.outside.whatsapp, who, p.outside.file(w.named["media"]), &of)
		if id := w.named["id"]; id != "" {
			u = u.ID(id)
		}
		if quoted := w.named["reply"]; quoted != "" {
			u = u.ReplyTo(quoted)
		}
		if !at.IsZero() {
			u = u.At(at)
		}
		return u, nil
	}, nil
}

func next(b ...fake.Behaviour) action {
	return func(_ context.Context, p *Play) error { p.outside.whatsapp.Next(b...); return nil }
}

func compileRefuse(a *args) (action, error) {
	n, err := a.count()
	if err != nil {
		return nil, err
	}
	status, serr := strconv.Atoi(a.named["status"])
	code, cerr := strconv.Atoi(a.named["code"])
	if serr != nil || cerr != nil {
		return nil, errors.New("give status= and code=, as the Graph API has them")
	}
	return next(fake.Times(n, fake.Refuse(status, code))...), nil
}

func compileReceiptFirst(a *args) (action, error) {
	return func(_ context.Context, p *Play) error {
		p.outside.mu.Lock()
		defer p.outside.mu.Unlock()
		p.outside.receiptFirst = a.at["STATE"]
		return nil
	}, nil
}

// compileStatus posts a receipt: of the last answer, or of the answer with the number of=, or of something that the desk has
// never heard of (of=w9).
func compileStatus(a *args) (action, error) {
	state := a.at["STATE"]
	if !slices.Contains([]string{"sent", "delivered", "read", "played", "failed"}, state) {
		return nil, fmt.Errorf("WhatsApp never says %q", state)
	}
	code := 131026
	if s := a.named["code"]; s != "" {
		var err error
		if code, err = strconv.Atoi(s); err != nil {
			return nil, fmt.Errorf("code=%q is no code", s)
		}
	}
	return func(ctx context.Context, p *Play) error {
		sent := p.outside.whatsapp.Sent()
		of := fake.Sent{ID: a.named["of"], To: "358401234567"}
		if n, err := strconv.Atoi(a.named["of"]); a.named["of"] == "" || err == nil {
			if n == 0 {
				n = len(sent)
			}
			if n < 1 || n > len(sent) {
				return fmt.Errorf("there is no answer number %d; %d were sent", n, len(sent))
			}
			of = sent[n-1]
		}
		if a.named["tag"] == "no" {
			of.Tag = ""
		}
		u := p.outside.whatsapp.Status(of, state)
		if state == "failed" {
			u = p.outside.whatsapp.Failed(of, code)
		}
		body := p.outside.whatsapp.Body(u)
		send := p.whatsappDelivery(&args{&words{named: map[string]string{}}, map[string]string{"ACCOUNT": "main"}}, body, http.StatusOK)
		p.again["whatsapp/main"] = send
		return send(ctx, p)
	}, nil
}

func compileMediaFails(a *args) (action, error) {
	n, err := a.count()
	return func(_ context.Context, p *Play) error {
		p.outside.whatsapp.FailMedia(p.outside.file(a.at["ID"]), n)
		return nil
	}, err
}

func compileMediaGone(a *args) (action, error) {
	return func(_ context.Context, p *Play) error {
		p.outside.whatsapp.ForgetMedia(p.outside.file(a.at["ID"]))
		return nil
	}, nil
}

const mailNamed = "from name to subject id reply-to references dmarc auto cc announced"

// compileMail has a customer's mail come in. reply-to=answer answers the last mail of the desk, to the address that it asks
// for; reply-to=<id> answers another mail.
func compileMail(a *args) (action, error) {
	if a.named["from"] == "" {
		return nil, errors.New("who wrote it? give from=")
	}
	return func(ctx context.Context, p *Play) error {
		from := a.named["from"]
		l := mailfake.Letter{
			From: from, Name: a.named["name"], To: []string{p.mailbox(a.at["ACCOUNT"])}, Subject: a.named["subject"], Text: a.text, Date: p.clock.Time(),
			MessageID: a.named["id"] + "@" + from[strings.LastIndexByte(from, '@')+1:],
		}
		if to := a.named["to"]; to != "" {
			l.To = []string{to}
		}
		if of := a.named["reply-to"]; of == "answer" {
			all := p.outside.mail.all()
			if len(all) == 0 {
				return errors.New("the desk has sent no mail yet")
			}
			reply := mailfake.Reply(all[len(all)-1].Mail, from, l.MessageID, a.text, l.Date)
			reply.Name = l.Name
			l = *reply
		} else if of != "" {
			l.InReplyTo, l.References = of, []string{of}
		}
		if a.named["auto"] != "" {
			l.NullSender = true
			l.Extra = append(l.Extra, "Auto-Submitted: "+a.named["auto"])
		}
		return p.mailIn(ctx, a, l)
	}, nil
}

// mailIn hands a letter over, judged as the script says (passed when it says nothing).
func (p *Play) mailIn(ctx context.Context, a *args, l mailfake.Letter) error {
	raw, err := l.Bytes()
	if err != nil {
		return err
	}
	kind, verdict := "email", "PASS"
	if a.named["dmarc"] == "fail" {
		kind, verdict = "email.unverified", "FAIL"
	}
	p.meet(l.Name, kind, l.From)
	domain := l.From[strings.LastIndexByte(l.From, '@')+1:]
	facts := channel.Mail{
		Sender: l.From, NullSender: l.NullSender, Recipients: l.To, SPF: verdict, DKIM: verdict, DMARC: verdict, Spam: "PASS", Virus: "PASS",
	}
	if l.NullSender {
		facts.Sender, facts.SPF = "", "GRAY"
	}
	if verdict == "PASS" {
		facts.DKIMDomains = []string{domain}
		if !l.NullSender {
			facts.SPFDomain = domain
		}
	}
	letter := &Letter{ID: fmt.Sprintf("ses%012d", p.line), Raw: raw, Facts: facts, Unreadable: a.named["announced"] == "early"}
	arrive := func(ctx context.Context, p *Play) error {
		one := *letter
		one.Rule = p.rule
		return p.world.Mail(in(ctx, "door"), &one)
	}
	p.again["email/"+a.at["ACCOUNT"]] = func(ctx context.Context, p *Play) error {
		letter.Unreadable = false
		return arrive(ctx, p)
	}
	return arrive(ctx, p)
}

func (p *Play) mailbox(account string) string {
	if account == "main" {
		return mailAddress
	}
	return account + "@desk.example"
}

// compileBounce has the last mail of the desk bounce.
func compileBounce(a *args) (action, error) {
	return func(ctx context.Context, p *Play) error {
		all := p.outside.mail.all()
		if len(all) == 0 {
			return errors.New("the desk has sent no mail yet")
		}
		action, status := a.named["action"], a.named["status"]
		if action == "" {
			action, status = "failed", "5.1.1"
		}
		l := mailfake.Bounce(all[len(all)-1].Mail, action, status, "550 no such user", "bounce"+strconv.Itoa(p.line)+"@mx.world.example", p.clock.Time())
		return p.mailIn(ctx, a, *l)
	}, nil
}

func compileMailer(a *args) (action, error) {
	if !slices.Contains([]string{"retry", "reject", "lost"}, a.at["TROUBLE"]) {
		return nil, fmt.Errorf("a mailer does one of retry, reject and lost, not %q", a.at["TROUBLE"])
	}
	return func(_ context.Context, p *Play) error {
		p.outside.mail.mu.Lock()
		defer p.outside.mail.mu.Unlock()
		p.outside.mail.refuse = append(p.outside.mail.refuse, a.at["TROUBLE"])
		return nil
	}, nil
}

// setUpSES has SES write the object by which it tries its access; where there is no SES nothing happens.
func setUpSES(ctx context.Context, p *Play) error {
	return p.world.Mail(in(ctx, "door"), &Letter{ID: "AMAZON_SES_SETUP_NOTIFICATION", Raw: []byte("This is a test.")})
}
