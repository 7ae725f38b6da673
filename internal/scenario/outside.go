package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/aikajana/aikajana/internal/channel/email"
	mailfake "github.com/aikajana/aikajana/internal/channel/email/fake"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/fault"
)

// outside is everything that is not the desk: providers, and the mailboxes of customers.
type outside struct {
	clock    *Clock
	whatsapp *fake.Provider
	graph    *httptest.Server
	mail     *mailboxes
	ses      *httptest.Server

	mu sync.Mutex
	// receiptFirst is the status that overtakes the provider's next answer.
	receiptFirst string
	// passed is told when a webhook got through, so that it can be worked on before the provider answers.
	passed func(ctx context.Context) error
	// files are the provider's IDs of files by the script's.
	files map[string]string
}

// Secrets and IDs of the accounts that every story has.
const (
	// AppSecret signs what WhatsApp delivers.
	AppSecret   = "the app's own secret"
	verifyToken = "a long random text"
	accessToken = "an access token"
	hookSecret  = "a secret of twenty-four characters or more"
	phoneNumber = "1055"
	mailAddress = "help@desk.example"
	region      = "eu-north-1"
)

func newOutside(clock *Clock) *outside {
	o := &outside{clock: clock, files: map[string]string{}}
	o.mail = &mailboxes{}
	o.whatsapp = fake.New(fake.Options{
		PhoneNumberID: phoneNumber, AppSecret: AppSecret, VerifyToken: verifyToken, AccessToken: accessToken, Now: clock.Time,
		Webhook: BaseURL + "/hooks/whatsapp/main", Client: &http.Client{Transport: (*byDoor)(nil)},
	})
	o.graph = httptest.NewServer(http.HandlerFunc(o.serveGraph))
	o.ses = httptest.NewServer(o.mail)
	return o
}

func (o *outside) close() {
	o.graph.Close()
	o.ses.Close()
}

// serveGraph is the provider, whose answer a receipt may overtake.
func (o *outside) serveGraph(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	status := o.receiptFirst
	if r.Method == http.MethodPost {
		o.receiptFirst = ""
	}
	o.mu.Unlock()
	if r.Method != http.MethodPost || status == "" {
		o.whatsapp.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	vanished := aborts(func() { o.whatsapp.ServeHTTP(answer, r) })
	sent := o.whatsapp.Sent()
	err := o.passed(context.WithValue(r.Context(), overtaking{}, o.whatsapp.Status(sent[len(sent)-1], status)))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if vanished {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the caller may be gone; that is its own story
}

// aborts says that a handler has cut its connection.
func aborts(serve func()) (cut bool) {
	defer func() {
		v := recover()
		err, _ := v.(error)
		if cut = errors.Is(err, http.ErrAbortHandler); v != nil && !cut {
			panic(v)
		}
	}()
	serve()
	return false
}

// overtaking carries the receipt that is to be posted before the answer.
type overtaking struct{}

// file keeps a small picture at the provider, a different one for each name.
func (o *outside) file(name string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if id := o.files[name]; id != "" || name == "" {
		return id
	}
	picture := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range name {
		picture.SetGray(i%8, i/8%8, color.Gray{name[i]})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		panic(err) // a picture of 64 pixels in memory
	}
	o.files[name] = o.whatsapp.AddMedia("image/png", b.Bytes())
	return o.files[name]
}

// byDoor sends requests through the door of the world that is in their context, without a network.
type byDoor struct{}

type doorKey struct{}

// RoundTrip implements http.RoundTripper.
func (*byDoor) RoundTrip(r *http.Request) (*http.Response, error) {
	door, ok := r.Context().Value(doorKey{}).(http.Handler)
	if !ok {
		return nil, errors.New("the request comes from nowhere")
	}
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	door.ServeHTTP(w, r.WithContext(in(r.Context(), "door")))
	return w.Result(), nil
}

// mailboxes is where mail of the desk goes: by a mailer's call in one world, by SES's HTTP interface in the other. Both give
// a mail the same Message-ID.
type mailboxes struct {
	mu     sync.Mutex
	mails  []leaving
	refuse []string // what becomes of the next mails: "retry", "reject", "lost"
}

// leaving is a mail that left the desk.
type leaving struct {
	mailfake.Mail
	id, tag string
}

func (m *mailboxes) take(to []string, raw []byte, tag string) (id, trouble string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.refuse) > 0 {
		trouble, m.refuse = m.refuse[0], m.refuse[1:]
	}
	if trouble == "retry" || trouble == "reject" {
		return "", trouble
	}
	id = fmt.Sprintf("0110018f-%08d", len(m.mails)+1)
	mail := mailfake.Mail{Sender: mailAddress, Recipients: to, Raw: raw}
	mail.Raw = setHeader(raw, "Message-ID", "<"+email.SESMessageID(region, id)+">")
	m.mails = append(m.mails, leaving{Mail: mail, id: id, tag: tag})
	return id, trouble
}

func (m *mailboxes) all() []leaving {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]leaving(nil), m.mails...)
}

// SendMail implements channel.Mailer.
func (m *mailboxes) SendMail(_ context.Context, _ string, to []string, raw []byte, tag string) (string, error) {
	id, trouble := m.take(to, raw, tag)
	switch trouble {
	case "retry":
		return "", fault.RetryAfter(0, "throttled", "the relay takes no mail right now")
	case "reject":
		return "", fault.Newf(fault.Permanent, "rejected", "the relay rejects this mail")
	case "lost":
		return "", fault.Newf(fault.Uncertain, "no_answer", "no answer came, the mail may have been taken")
	}
	return email.SESMessageID(region, id), nil
}

// ServeHTTP is SendEmail of SESv2, as far as raw mail goes
// (docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html, seen 2026-11-23).
func (m *mailboxes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var call struct {
		Content     struct{ Raw struct{ Data []byte } }
		Destination struct{ ToAddresses []string }
		EmailTags   []struct{ Name, Value string }
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err == nil {
		err = json.Unmarshal(body, &call)
	}
	if err != nil || r.URL.Path != "/v2/email/outbound-emails" {
		http.Error(w, "not SendEmail", http.StatusBadRequest)
		return
	}
	tag := ""
	for _, t := range call.EmailTags {
		tag = t.Value
	}
	id, trouble := m.take(call.Destination.ToAddresses, call.Content.Raw.Data, tag)
	w.Header().Set("Content-Type", "application/json")
	switch trouble {
	case "retry":
		w.Header().Set("X-Amzn-Errortype", "TooManyRequestsException")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"message":"Maximum sending rate exceeded."}`)
		return
	case "reject":
		w.Header().Set("X-Amzn-Errortype", "MessageRejected")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"message":"The mail was rejected."}`)
		return
	case "lost":
		panic(http.ErrAbortHandler)
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"MessageId": id}) // a caller that went away asks again
}

func setHeader(raw []byte, name, value string) []byte {
	head, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	var kept []string
	skip := false
	for line := range strings.SplitSeq(string(head), "\r\n") {
		if line != "" && (line[0] == ' ' || line[0] == '\t') {
			if !skip {
				kept = append(kept, line)
			}
			continue
		}
		key, _, _ := strings.Cut(line, ":")
		if skip = strings.EqualFold(key, name); !skip {
			kept = append(kept, line)
		}
	}
	kept = append(kept, name+": "+value)
	return append([]byte(strings.Join(kept, "\r\n")+"\r\n\r\n"), body...)
}

// readable is the text of a mail that left, for people.
func readable(m *leaving) (subject, body string) {
	subject, err := (&mime.WordDecoder{}).DecodeHeader(m.Header("Subject"))
	if err != nil {
		subject = m.Header("Subject")
	}
	return subject, m.Body()
}
