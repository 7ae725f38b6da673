// Package doctor looks at a deployment from outside, as providers, customers and other mail systems see it, and says what to
// do about what it finds. It changes nothing and asks a handful of times: a refused webhook that it provokes is noted at the
// account as any refusal is.
package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
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
	// Check is what was looked at (health, clock, tls, route, socket, accounts, queue, ledger, form, handshake, signature, mail),
	// Subject where: a path, an account, a domain.
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
	// Token, when set, is an API token. One that may read accounts has those looked at beside the ones named here; one that may
	// manage them is shown verify tokens, which handshakes are made with.
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

// Run looks at everything. An error means that the options are wrong; a server that does not answer is a finding.
func Run(ctx context.Context, o Options) ([]Finding, error) {
	desk, err := client.New(client.Options{Server: o.Server, Token: o.Token, Transport: o.Transport, Timeout: patience})
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(desk.Server())
	if err != nil {
		return nil, err
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &examination{
		o: o, base: base, desk: desk, told: map[Account]client.Account{}, strangers: map[string]*reply{}, region: region(base.Hostname()),
		http: &http.Client{
			Transport: o.Transport, Timeout: patience,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if e.health(ctx) {
		e.routes(ctx)
		e.connected(ctx)
		for _, a := range e.o.Accounts {
			e.account(ctx, a)
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

// patience is how long one answer is waited for; maxRead how much of it is read, in bytes.
const (
	patience = 15 * time.Second
	maxRead  = 64 << 10
)

type examination struct {
	o    Options
	base *url.URL
	http *http.Client
	// desk is the API, asked with the token; http asks as strangers do.
	desk *client.Client
	// told is what the API says of accounts.
	told map[Account]client.Account
	// strangers are the answers to a wrong signature for an account that does not exist, by channel.
	strangers map[string]*reply
	// region is the AWS region that the deployment runs in, "" when no address shows one.
	region string
	found  []Finding
}

func (e *examination) find(check, subject string, state State, found, do string) {
	if state == OK {
		do = ""
	}
	e.found = append(e.found, Finding{Check: check, Subject: subject, State: state, Found: found, Do: do})
}

// reply is an answer, and when it was asked for and came.
type reply struct {
	status         int
	header         http.Header
	body           string
	tls            *tls.ConnectionState
	asked, arrived time.Time
}

// ask sends one request without credentials and without a body. at is a path of the server's, or a whole address.
func (e *examination) ask(ctx context.Context, method, at string, header http.Header) (*reply, error) {
	if strings.HasPrefix(at, "/") {
		at = e.base.String() + at
	}
	r, err := http.NewRequestWithContext(ctx, method, at, http.NoBody)
	if err != nil {
		return nil, err
	}
	if header != nil {
		r.Header = header.Clone()
	}
	r.Header.Set("User-Agent", "aikajana-doctor")
	asked := e.o.Now()
	answer, err := e.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // read as far as it is wanted
	got := &reply{status: answer.StatusCode, header: answer.Header, tls: answer.TLS, asked: asked, arrived: e.o.Now()}
	if got.status == http.StatusSwitchingProtocols {
		return got, nil // what follows is no answer but a socket
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxRead))
	got.body = string(body)
	return got, err
}

// health asks whether the server can write, and looks at its certificate and clock on the way. false means that nobody
// answers, so that asking more is in vain.
func (e *examination) health(ctx context.Context) bool {
	const path = "/healthz"
	answer, err := e.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		e.unreachable(err)
		return false
	}
	switch answer.status {
	case http.StatusOK:
		e.find("health", path, OK, "it answers and can write", "")
	case http.StatusServiceUnavailable:
		e.find("health", path, Problem, "it answers, and cannot write", "look at its log: locally the disk, on AWS the table's throttles and the function's role")
	default:
		e.find("health", path, Problem, said(answer), "something else answers at this address, or the route is missing: compare it with the BaseURL of the deployment")
	}
	e.certificate(answer)
	e.clock(answer)
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

// When a certificate is about to end, and how far a clock may be off, itself included: senders of signed webhooks allow five
// minutes (docs/channels/webhook.md).
const (
	endsSoon  = 14 * 24 * time.Hour
	skewSmall = 30 * time.Second
	skewLarge = 4 * time.Minute
)

func (e *examination) certificate(answer *reply) {
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
	left := ends.Sub(answer.arrived)
	found := fmt.Sprintf("the certificate ends on %s", ends.Format(time.DateOnly))
	if left < endsSoon {
		e.find("tls", e.base.Host, Warning, found, "renew it; on AWS Certificate Manager does when its DNS record is still there")
		return
	}
	e.find("tls", e.base.Host, OK, found, "")
}

// clock compares the Date of the answer with the time in which it was made: between asking and its arrival.
func (e *examination) clock(answer *reply) {
	date, err := http.ParseTime(answer.header.Get("Date"))
	if err != nil {
		e.find("clock", e.base.Host, Unknown, "the answer has no Date", "compare the clocks by hand")
		return
	}
	off, way := time.Duration(0), ""
	switch from := answer.asked.Truncate(time.Second); { // a Date has whole seconds
	case date.After(answer.arrived):
		off, way = date.Sub(answer.arrived), "ahead of"
	case date.Before(from):
		off, way = from.Sub(date), "behind"
	}
	found := "it agrees with this machine's"
	if off > 0 {
		found = fmt.Sprintf("it is %s %s this machine's", off.Round(time.Second), way)
	}
	const do = "let both machines keep time by NTP, and see which of them is wrong; signatures of webhooks are refused when clocks differ by five minutes"
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
		{http.MethodPost, "/hooks/no-such-channel/main", http.StatusForbidden, "text/plain", "/hooks/ must reach the function or process that takes webhooks, and an unknown account must look like a wrong signature"},
		{http.MethodGet, "/forms/no-such-form", http.StatusNotFound, "text/html", "/forms/ must reach the pages, and a form that does not exist must show a page that says so"},
		{http.MethodGet, "/s/aaaaaaaaaaaaaaaaaaaaaaaaaa", http.StatusNotFound, "text/html", "/s/ must reach the pages, and a token that does not exist must show a page that says so"},
	} {
		answer, err := e.ask(ctx, route.method, route.path, nil)
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
		e.find("socket", e.base.Host, Unknown, "no token was given, so it is not known where sockets are opened", "give --token: the address comes with a ticket")
		return
	}
	e.socket(ctx)
	all, err := e.desk.Accounts(ctx)
	if err != nil {
		e.find("accounts", e.base.Host, Problem, short(err), "give a token that may read accounts (a lead's or an administrator's): \"aikajana tokens\" makes one")
		return
	}
	e.find("accounts", e.base.Host, OK, fmt.Sprintf("%d connected", len(all.Value.Items)), "")
	for _, a := range all.Value.Items {
		e.o.Addresses = append(e.o.Addresses, addresses(a)...)
		one := Account{a.Channel, a.Account}
		e.told[one] = a
		if !slices.Contains(e.o.Accounts, one) {
			e.o.Accounts = append(e.o.Accounts, one)
		}
	}
	e.kept(ctx)
}

// region is the AWS region in a name that API Gateway gave an API (id.execute-api.region.amazonaws.com), "" for any other name.
func region(host string) string {
	_, rest, ok := strings.Cut(strings.ToLower(host), ".execute-api.")
	region, domain, _ := strings.Cut(rest, ".")
	if !ok || domain != "amazonaws.com" { // SES receives nothing in China, where names end otherwise
		return ""
	}
	return region
}

func addresses(a client.Account) []string {
	return strings.FieldsFunc(a.Settings["address"], func(r rune) bool { return r == ',' || r == ';' || r == ' ' })
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
