// Package doctor looks at a deployment from outside, as providers, customers and other mail systems see it, and says what to
// do about what it finds. It changes nothing and asks a handful of times: a refused webhook that it provokes is noted at the
// account as any refusal is.
package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/client"
)

// State is how a check went.
type State string

// The states of a finding. Only a problem makes the deployment unwell; unknown says that it could not be looked at.
const (
	OK      State = "ok"
	Warning State = "warning"
	Problem State = "problem"
	Unknown State = "unknown"
)

// Finding is one check and what it found.
type Finding struct {
	// Check is what was looked at (health, clock, tls, route, accounts, queue, ledger, webhook, mail), Subject where: a path, an account, a domain.
	Check   string `json:"check"`
	Subject string `json:"subject"`
	State   State  `json:"state"`
	// Found is what there is; Do what to do about it, empty when it is fine.
	Found string `json:"found"`
	Do    string `json:"do,omitempty"`
}

// Resolver looks names up; *net.Resolver is one.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Account is one connected account, as far as the outside sees it.
type Account struct{ Channel, Name string }

// Options say what to look at.
type Options struct {
	// Server is the deployment's address, like https://desk.example.
	Server string
	// Token, when set, is an API token that may read accounts: those are looked at beside the ones named here.
	Token string
	// Accounts and Addresses are looked at even when no token tells of them.
	Accounts  []Account
	Addresses []string
	// Selectors are the DKIM selectors that the desk's mail is signed with. DNS does not list them.
	Selectors []string
	// Resolver is the way to DNS; net.DefaultResolver when nil. Transport is the way to the server.
	Resolver  Resolver
	Transport http.RoundTripper
	// Now is the clock that the server's is compared with.
	Now func() time.Time
}

// maxAccounts is how many accounts are looked at: each takes two requests.
const maxAccounts = 8

// Run looks at everything. An error means that the options are wrong; a server that does not answer is a finding.
func Run(ctx context.Context, o Options) ([]Finding, error) {
	base, err := url.Parse(strings.TrimRight(o.Server, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("--server %q is not an address like https://desk.example", o.Server)
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &examination{o: o, base: base, http: &http.Client{
		Transport: o.Transport, Timeout: 15 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if e.health(ctx) {
		e.routes(ctx)
		e.connected(ctx)
		for _, a := range e.o.Accounts[:min(len(e.o.Accounts), maxAccounts)] {
			e.account(ctx, a)
		}
		if n := len(e.o.Accounts) - maxAccounts; n > 0 {
			e.find("webhook", fmt.Sprintf("%d more accounts", n), Unknown, "only the first accounts are looked at", "name the others with --account, a few at a time")
		}
	}
	var domains []string
	for _, address := range e.o.Addresses {
		_, domain, ok := strings.Cut(strings.ToLower(strings.TrimSpace(address)), "@")
		if ok && !slices.Contains(domains, domain) {
			domains = append(domains, domain)
			e.mail(ctx, domain)
		}
	}
	return e.found, nil
}

// Sick says whether any finding is a problem.
func Sick(found []Finding) bool {
	return slices.ContainsFunc(found, func(f Finding) bool { return f.State == Problem })
}

type examination struct {
	o     Options
	base  *url.URL
	http  *http.Client
	found []Finding
}

func (e *examination) find(check, subject string, state State, found, do string) {
	if state == OK {
		do = ""
	}
	e.found = append(e.found, Finding{Check: check, Subject: subject, State: state, Found: found, Do: do})
}

// reply is an answer without its body, which nobody looks at.
type reply struct {
	status int
	header http.Header
	tls    *tls.ConnectionState
}

// ask sends one request without credentials.
func (e *examination) ask(ctx context.Context, method, path string) (*reply, error) {
	r, err := http.NewRequestWithContext(ctx, method, e.base.String()+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "aikajana-doctor")
	answer, err := e.http.Do(r)
	if err != nil {
		return nil, err
	}
	return &reply{answer.StatusCode, answer.Header, answer.TLS}, answer.Body.Close()
}

// health asks whether the server can write, and looks at its certificate and clock on the way. false means that nobody
// answers, so that asking more is in vain.
func (e *examination) health(ctx context.Context) bool {
	at := e.o.Now()
	answer, err := e.ask(ctx, http.MethodGet, "/healthz")
	if err != nil {
		e.unreachable(err)
		return false
	}
	const path = "/healthz"
	switch answer.status {
	case http.StatusOK:
		e.find("health", path, OK, "it answers and can write", "")
	case http.StatusServiceUnavailable:
		e.find("health", path, Problem, "it answers, and cannot write", "look at its log: locally the disk, on AWS the table's throttles and the function's role")
	default:
		e.find("health", path, Problem, said(answer), "something else answers at this address, or the route is missing: compare it with the BaseURL of the deployment")
	}
	e.certificate(answer, at)
	e.clock(answer, at)
	return true
}

func (e *examination) unreachable(err error) {
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		e.find("health", e.base.Host, Problem, "its name is not in DNS", "point a CNAME at the HTTP API's domain name, or an address record at the machine")
	case strings.Contains(err.Error(), "certificate"):
		e.find("tls", e.base.Host, Problem, short(err), "put a certificate in place that names this host and that browsers trust; providers refuse to deliver otherwise")
	default:
		e.find("health", e.base.Host, Problem, "nobody answers: "+short(err), "see that it runs and that this address reaches it from outside; \"aikajana serve\" listens on 127.0.0.1 unless told otherwise")
	}
}

// When a certificate is about to end, and how far a clock may be off: senders of signed webhooks allow five minutes.
const (
	endsSoon  = 14 * 24 * time.Hour
	skewSmall = 30 * time.Second
	skewLarge = 4 * time.Minute
)

func (e *examination) certificate(answer *reply, at time.Time) {
	if answer.tls == nil {
		host := e.base.Hostname()
		if ip := net.ParseIP(host); host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsPrivate()) {
			e.find("tls", e.base.Host, OK, "none, on a private address", "")
			return
		}
		e.find("tls", e.base.Host, Problem, "it is reached without TLS", "put it behind https: providers deliver nowhere else, and passwords travel in clear")
		return
	}
	ends := answer.tls.PeerCertificates[0].NotAfter
	left := ends.Sub(at)
	found := fmt.Sprintf("the certificate ends on %s", ends.Format(time.DateOnly))
	if left < endsSoon {
		e.find("tls", e.base.Host, Warning, found, "renew it; on AWS Certificate Manager does when its DNS record is still there")
		return
	}
	e.find("tls", e.base.Host, OK, found, "")
}

func (e *examination) clock(answer *reply, at time.Time) {
	date, err := http.ParseTime(answer.header.Get("Date"))
	if err != nil {
		e.find("clock", e.base.Host, Unknown, "the answer has no Date", "compare the clocks by hand")
		return
	}
	off := date.Sub(at).Abs()
	found := fmt.Sprintf("it differs from this machine's by %s", off.Round(time.Second))
	do := "let both machines keep time by NTP; signatures of webhooks are refused when clocks differ by five minutes"
	switch {
	case off > skewLarge:
		e.find("clock", e.base.Host, Problem, found, do)
	case off > skewSmall:
		e.find("clock", e.base.Host, Warning, found, do)
	default:
		e.find("clock", e.base.Host, OK, found, "")
	}
}

// routes asks one route of each kind and wants the answer that is documented.
func (e *examination) routes(ctx context.Context) {
	for _, route := range []struct {
		method, path string
		status       int
		kind         string
		do           string
	}{
		{http.MethodGet, "/api/v1/cases", http.StatusUnauthorized, "application/problem+json", "the API must refuse strangers with a problem document: see that /api/ reaches the function or process that serves it, and that no proxy signs in for everybody"},
		{http.MethodPost, "/hooks/no-such-channel/main", http.StatusForbidden, "", "/hooks/ must reach the function or process that takes webhooks, and an unknown account must look like a wrong signature"},
		{http.MethodGet, "/s/aaaaaaaaaaaaaaaaaaaaaaaaaa", http.StatusNotFound, "text/html", "/s/ must reach the pages, and a token that does not exist must show a page that says so"},
	} {
		answer, err := e.ask(ctx, route.method, route.path)
		subject := route.method + " " + route.path
		switch {
		case err != nil:
			e.find("route", subject, Problem, short(err), route.do)
		case answer.status != route.status || !strings.HasPrefix(answer.header.Get("Content-Type"), route.kind):
			e.find("route", subject, Problem, said(answer)+fmt.Sprintf(" instead of %d", route.status), route.do)
		default:
			e.find("route", subject, OK, said(answer), "")
		}
	}
}

// connected asks the API what is connected, when there is a token to ask with.
func (e *examination) connected(ctx context.Context) {
	if e.o.Token == "" {
		if len(e.o.Accounts) == 0 {
			e.find("accounts", e.base.Host, Unknown, "no token was given, so it is not known what is connected", "give --token, or name accounts with --account and mail addresses with --address")
		}
		return
	}
	c, err := client.New(client.Options{Server: e.o.Server, Token: e.o.Token, Transport: e.o.Transport, Timeout: 15 * time.Second})
	if err == nil {
		var all *client.Answer[client.Page[client.Account]]
		if all, err = c.Accounts(ctx); err == nil {
			e.find("accounts", e.base.Host, OK, fmt.Sprintf("%d connected", len(all.Value.Items)), "")
			for _, a := range all.Value.Items {
				e.o.Addresses = append(e.o.Addresses, addresses(a)...)
				if one := (Account{a.Channel, a.Account}); !slices.Contains(e.o.Accounts, one) {
					e.o.Accounts = append(e.o.Accounts, one)
				}
			}
			e.kept(ctx, c)
			return
		}
	}
	e.find("accounts", e.base.Host, Problem, short(err), "give a token that may read accounts (a lead's or an administrator's): \"aikajana tokens\" makes one")
}

func addresses(a client.Account) []string {
	return strings.FieldsFunc(a.Settings["address"], func(r rune) bool { return r == ',' || r == ';' || r == ' ' })
}

// account provokes a refusal of the account's webhook; forms are looked at as customers do.
func (e *examination) account(ctx context.Context, a Account) {
	switch a.Channel {
	case "email":
		return // nothing of it is reached over HTTP
	case "form":
		e.expect(ctx, http.MethodGet, "/forms/"+url.PathEscape(a.Name), http.StatusOK, a, "the form is shown", "/forms/ must reach the pages")
		return
	}
	path := "/hooks/" + url.PathEscape(a.Channel) + "/" + url.PathEscape(a.Name)
	if a.Channel == "whatsapp" {
		e.expect(ctx, http.MethodGet, path+"?hub.mode=subscribe&hub.challenge=1&hub.verify_token=not-the-token-of-this-account", http.StatusForbidden, a,
			"a handshake with a wrong token is refused", "a handshake with a wrong token was not refused: anybody could take the webhook over; see which program answers there")
	}
	e.expect(ctx, http.MethodPost, path, http.StatusForbidden, a, "a delivery without a signature is refused",
		"a delivery without a signature was not refused: see which program answers there, and that nothing in between signs or rewrites")
}

func (e *examination) expect(ctx context.Context, method, path string, status int, a Account, fine, do string) {
	subject := a.Channel + "/" + a.Name
	answer, err := e.ask(ctx, method, path)
	switch {
	case err != nil:
		e.find("webhook", subject, Problem, short(err), do)
	case answer.status == status:
		e.find("webhook", subject, OK, fine, "")
	case answer.status >= http.StatusInternalServerError:
		e.find("webhook", subject, Problem, said(answer), "the server fails before it decides: look at its log; on AWS whether the function may read the secrets")
	case answer.status == http.StatusNotFound || answer.status == http.StatusTooManyRequests:
		e.find("webhook", subject, Problem, said(answer), "see that the account is connected and that "+method+" "+strings.Split(path, "?")[0]+" reaches the program")
	default:
		e.find("webhook", subject, Problem, said(answer)+fmt.Sprintf(" instead of %d", status), do)
	}
}

func said(answer *reply) string {
	kind, _, _ := strings.Cut(answer.header.Get("Content-Type"), ";")
	return strings.TrimSpace(fmt.Sprintf("it answered %d %s", answer.status, kind))
}

// short is what happened, without the request that it happened to.
func short(err error) string {
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err
	}
	return err.Error()
}
