package pages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel/form"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// Accepted is what became of a submission.
type Accepted struct {
	// Reference is the case's human-readable reference, when it is known this early.
	Reference string
	// StatusToken opens the status page. Empty when there is none.
	StatusToken string
}

// Intake takes submissions in.
type Intake interface {
	// Submit makes the submission durable before it returns nil. The same submission (by EventID) may come several times and
	// must give the same answer. Client is who sent it, for limits: an IPv4 address or an IPv6 /64 network. Errors:
	// fault.Missing for no such account, fault.Retry with code "rate_limited" when the client or the typed address sent too
	// much, fault.Retry otherwise when it cannot be taken just now, fault.Invalid with a field.
	Submit(ctx context.Context, account string, s form.Submission, client string) (Accepted, error)
}

// FormView is one account's form.
type FormView struct {
	Form form.Settings
	// AnswerWithin is the promise shown on the form; 0 for none. WorkingTime says that it counts opening hours only.
	AnswerWithin time.Duration
	WorkingTime  bool
}

// Forms finds forms.
type Forms interface {
	// Form is the form of an account, or fault.Missing.
	Form(ctx context.Context, account string) (FormView, error)
}

// Status finds matters.
type Status interface {
	// Status is the matter behind a token, or fault.Missing: for unknown, malformed and expired tokens alike. It changes
	// nothing, whoever asks.
	Status(ctx context.Context, token string) (StatusView, error)
}

// Setup lets the first administrator in.
type Setup interface {
	// Check says whether a one-time token is good without using it up: nil or fault.Missing. It compares in constant time.
	Check(ctx context.Context, token string) error
	// Complete sets the password, adds the demonstration account if wanted, and uses the token up: all or nothing. Errors:
	// fault.Missing when the token is not, or no longer, good; fault.Invalid with field "password".
	Complete(ctx context.Context, token string, choice SetupChoice) error
}

// SetupChoice is what the first administrator chose.
type SetupChoice struct {
	Password string
	// Demo asks for a demonstration account whose made-up customer writes and answers.
	Demo bool
}

// Deps is what the pages need. Intake, Forms, Status, Key, Now and NewID are required.
type Deps struct {
	Intake Intake
	Forms  Forms
	Status Status
	// Setup may be nil: then there is no set-up page.
	Setup Setup
	// Key signs the one-time tokens of forms: at least 32 bytes, the same on every instance.
	Key []byte
	// Now is the time.
	Now func() msg.Time
	// NewID makes an unguessable ID of 8 to 80 letters, digits, - and _.
	NewID func() string
	// BaseURL is the address at which customers reach the desk ("https://desk.example"), for links that leave the page.
	// Empty: links stay relative.
	BaseURL string
	// Home is where an administrator signs in; "/" when empty.
	Home string
	// Location is the desk's time zone; UTC when nil.
	Location *time.Location
	// MinAge and MaxAge bound how old a form's token may be; 2 seconds and 24 hours when 0.
	MinAge, MaxAge time.Duration
	// Log is told of failures that the customer only sees as "something went wrong"; discarded when nil.
	Log *slog.Logger
}

//go:embed templates
var files embed.FS

// site is the handler's fixed part.
type site struct {
	Deps
	templates *template.Template
	style     string
}

// New makes the handler of /forms/, /s/ and, with Deps.Setup, /setup/. Everything else it answers with a page that says that
// there is nothing. It is safe for concurrent use. Errors say which dependency is missing.
func New(d Deps) (http.Handler, error) {
	if d.Intake == nil || d.Forms == nil || d.Status == nil || d.Now == nil || d.NewID == nil {
		return nil, errors.New("make the pages: Intake, Forms, Status, Now and NewID must be set")
	}
	if len(d.Key) < 32 {
		return nil, errors.New("make the pages: the key has less than 32 bytes")
	}
	if d.Location == nil {
		d.Location = time.UTC
	}
	if d.MinAge == 0 {
		d.MinAge = 2 * time.Second
	}
	if d.MaxAge == 0 {
		d.MaxAge = 24 * time.Hour
	}
	if d.Home == "" {
		d.Home = "/"
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	style, err := files.ReadFile("templates/style.css")
	if err != nil {
		return nil, fmt.Errorf("make the pages: %w", err)
	}
	templates, err := template.ParseFS(files, "templates/pages.html")
	if err != nil {
		return nil, fmt.Errorf("make the pages: %w", err)
	}
	return (&site{Deps: d, templates: templates, style: string(style)}).routes(), nil
}

func (s *site) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /forms/{account}", s.showForm)
	mux.HandleFunc("POST /forms/{account}", s.takeForm)
	mux.HandleFunc("OPTIONS /forms/{account}", s.preflight)
	mux.HandleFunc("GET /forms/{account}/thanks", s.showThanks)
	mux.HandleFunc("GET /s/{token}", s.showStatus)
	allowed := map[string]string{"/forms/{account}": "GET, HEAD, POST, OPTIONS", "/forms/{account}/thanks": "GET, HEAD", "/s/{token}": "GET, HEAD"}
	if s.Setup != nil {
		mux.HandleFunc("GET /setup/{token}", s.showSetup)
		mux.HandleFunc("POST /setup/{token}", s.takeSetup)
		mux.HandleFunc("GET /setup/done", s.showSetupDone)
		allowed["/setup/{token}"] = "GET, HEAD, POST"
	}
	for path, methods := range allowed {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", methods)
			t := s.texts(r, "")
			s.message(w, r, http.StatusMethodNotAllowed, t, t.MethodTitle, t.MethodText)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		t := s.texts(r, "")
		s.message(w, r, http.StatusNotFound, t, t.MissingTitle, t.MissingText)
	})
	return mux
}

// page is what every template is given; each uses its own part.
type page struct {
	T         *Texts
	Title     string
	Style     template.CSS
	Languages []languageLink
	Intro     []string
	// IntroLanguage is set when the operator's text is in another language than the page.
	IntroLanguage string
	Promise       string
	Errors        []wrong
	// Accent and Origins are the account's; FormPage says that the browser may name our origin when it posts.
	Accent   string
	Origins  []string
	FormPage bool

	Action, Token, Page, Privacy string
	Files                        bool
	Controls                     []control

	Status                   string
	State, AnswerBy, Expires string
	// AddMore says how to write more; only who was written to by mail can reply to it.
	AddMore  string
	Steps    []moment
	Messages []moment
	Link     *link
}

type link struct{ URL, Text string }

// wrong is one error of the summary; ID is the input to go to.
type wrong struct{ ID, Text string }

type languageLink struct {
	URL, Tag, Own string
	Current       bool
}

// moment is something that happened, ready to show.
type moment struct {
	Machine, When, Who, Text string
	Files                    []string
}

// render answers with a page. The style's hash is what the browser is told to allow, and nothing else.
func (s *site) render(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	style := palette(p.Accent) + s.style
	p.Style = template.CSS(style)   // #nosec G203 -- ours, and colours that palette made itself
	if r.Method == http.MethodGet { // after a post, another language would cost what was typed
		p.Languages = languageLinks(r, p.T.Tag)
	}
	var body bytes.Buffer
	if err := s.templates.ExecuteTemplate(&body, name, p); err != nil {
		s.Log.ErrorContext(r.Context(), "draw a page", "page", name, "error", err)
		http.Error(w, p.T.InternalTitle, http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256([]byte(style))
	ancestors := "'none'"
	if len(p.Origins) > 0 {
		ancestors = "'self' " + strings.Join(p.Origins, " ")
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
		"'; form-action 'self'; base-uri 'none'; frame-ancestors "+ancestors)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.T.Tag)
	h.Add("Vary", "Accept-Language")
	common(h)
	if p.FormPage {
		// With no-referrer browsers say "Origin: null" in the post, and our own page could not be told from a stranger's.
		h.Set("Referrer-Policy", "same-origin")
	}
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client is gone: nobody to tell
}

// common sets what holds for every answer.
func common(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
}

// message answers with a title and a sentence or two: as a page, or as problem+json where JSON was asked for.
func (s *site) message(w http.ResponseWriter, r *http.Request, status int, t *Texts, title string, text ...string) {
	if wantsJSON(r) {
		writeProblem(w, status, problem{Detail: strings.Join(text, " ")})
		return
	}
	s.render(w, r, status, "message", page{T: t, Title: title, Intro: text})
}

// fail answers an error of a dependency. Only faults that are the caller's say what they are.
func (s *site) fail(w http.ResponseWriter, r *http.Request, t *Texts, err error) {
	kind := fault.Of(err)
	status := statusOf(err)
	if after := fault.After(err); after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	}
	switch {
	case kind == fault.Missing:
		s.message(w, r, status, t, t.MissingTitle, t.MissingText)
	case kind == fault.Denied:
		s.message(w, r, status, t, t.DeniedTitle)
	case status == http.StatusTooManyRequests:
		s.message(w, r, status, t, t.RateTitle, t.RateLimited)
	default:
		s.Log.ErrorContext(r.Context(), "answer a page", "path", r.Pattern, "kind", kind.String(), "error", err)
		s.message(w, r, status, t, t.InternalTitle, t.InternalText)
	}
}

// statusOf is the fault's status; a client that sends too much is told so.
func statusOf(err error) int {
	if fault.Of(err) == fault.Retry && fault.Code(err) == "rate_limited" {
		return http.StatusTooManyRequests
	}
	return fault.Of(err).Status()
}
