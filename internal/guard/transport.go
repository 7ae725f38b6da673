package guard

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/fault"
)

// WithCredentials gives the request a header that holds a secret, if its host may have it, and says whether it did.
//
// hosts are what may be given the secret: "graph.facebook.com", "*.fbcdn.net" (names below it, not itself), or
// "127.0.0.1:8080" with a port. An entry without a port means the scheme's own. The client then makes sure that the secret
// goes to that host only, over https (over http only where private addresses are allowed), and never across a redirect.
// The request is changed in place; call it once the URL is final.
func WithCredentials(req *http.Request, hosts []string, header, value string) bool {
	if value == "" || !hostAllowed(req, hosts) {
		return false
	}
	req.Header.Set(header, value)
	secret := credentials{host: req.URL.Host, headers: []string{http.CanonicalHeaderKey(header)}}
	if before, ok := req.Context().Value(credentialsKey{}).(credentials); ok && before.host == secret.host {
		secret.headers = append(slices.Clone(before.headers), secret.headers...)
	}
	*req = *req.WithContext(context.WithValue(req.Context(), credentialsKey{}, secret))
	return true
}

// hostAllowed says whether the request's host is on the list.
func hostAllowed(req *http.Request, hosts []string) bool {
	name, port := host(req.URL.Hostname()), req.URL.Port()
	if name == "" {
		return false
	}
	standard := port == "" || req.URL.Scheme == "https" && port == "443" || req.URL.Scheme == "http" && port == "80"
	for _, entry := range hosts {
		if entryHost, entryPort, err := net.SplitHostPort(entry); err == nil {
			if host(entryHost) == name && (entryPort == port || port == "" && isDefault(req.URL.Scheme, entryPort)) {
				return true
			}
			continue
		}
		entry = host(strings.Trim(entry, "[]"))
		below, wild := strings.CutPrefix(entry, "*.")
		if standard && (entry == name && !wild || wild && below != "" && strings.HasSuffix(name, "."+below)) {
			return true
		}
	}
	return false
}

func isDefault(scheme, port string) bool {
	return scheme == "https" && port == "443" || scheme == "http" && port == "80"
}

// host is the form in which names are compared.
func host(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

type credentialsKey struct{}

// credentials are the headers of a request that hold secrets, and where they may go.
type credentials struct {
	host    string
	headers []string
}

// transport holds requests to what WithCredentials promised.
type transport struct {
	next             http.RoundTripper
	plainCredentials bool
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.check(req); err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // the contract of RoundTripper; the refusal is what matters
		}
		return nil, err
	}
	return t.next.RoundTrip(req)
}

func (t *transport) check(req *http.Request) error {
	if problem := invalid(req); problem != "" {
		return fault.Newf(fault.Permanent, "request", "call %q: %s", req.URL.Host, problem)
	}
	if req.URL.User != nil {
		return fault.Newf(fault.Permanent, "url_credentials", "call %s: the address holds a user name or a password; put them into the account's secrets", req.URL.Host)
	}
	secret, ok := req.Context().Value(credentialsKey{}).(credentials)
	if !ok || !slices.ContainsFunc(secret.headers, func(name string) bool { return req.Header.Get(name) != "" }) {
		return nil
	}
	if req.URL.Host != secret.host {
		return fault.Newf(fault.Permanent, "credentials_host", "call %s: it carries credentials meant for %s", req.URL.Host, secret.host)
	}
	if req.URL.Scheme != "https" && !t.plainCredentials {
		return fault.Newf(fault.Permanent, "credentials_plain", "call %s: credentials do not travel over plain http; use an https address", req.URL.Host)
	}
	return nil
}

// invalid says what is wrong with a request that can never be made. net/http would say so too, but in an error like any other.
func invalid(req *http.Request) string {
	if (req.URL.Scheme != "https" && req.URL.Scheme != "http") || req.URL.Host == "" {
		return "the address is not an http or https URL"
	}
	for name, values := range req.Header {
		for _, value := range values {
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return "the header " + name + " holds a line break or another control character"
			}
		}
	}
	return ""
}

// redirectHeaders are the only ones that cross a redirect. Referer is not among them: it would carry the first URL, and some
// providers put a token in its path.
var redirectHeaders = []string{"Accept", "Accept-Language", "Range", "User-Agent"}

// checkRedirect is http.Client.CheckRedirect of a Follower.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1]
	switch {
	case len(via) > maxRedirects:
		return fault.Newf(fault.Permanent, "redirects", "fetch from %s: more than %d redirects", first.URL.Host, maxRedirects)
	case first.Method != http.MethodGet && first.Method != http.MethodHead:
		return http.ErrUseLastResponse
	case req.URL.Scheme != "https" && last.URL.Scheme == "https":
		return fault.Newf(fault.Permanent, "redirect_plain", "fetch from %s: it redirects to plain http", first.URL.Host)
	}
	for name := range req.Header {
		if !slices.Contains(redirectHeaders, name) {
			req.Header.Del(name)
		}
	}
	return nil
}
