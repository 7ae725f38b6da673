package pages

import (
	"encoding/json"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// problem is an RFC 9457 problem; Errors is our extension and lists every field at fault.
type problem struct {
	Type   string         `json:"type"`
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Code   string         `json:"code,omitempty"`
	Detail string         `json:"detail,omitempty"`
	Errors []fieldProblem `json:"errors,omitempty"`
}

type fieldProblem struct {
	Field  string `json:"field"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func writeProblem(w http.ResponseWriter, status int, p problem) {
	p.Type, p.Title, p.Status = "about:blank", http.StatusText(status), status
	writeJSON(w, status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil { // plain data: cannot happen
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	common(w.Header())
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client is gone: nobody to tell
}

// wantsJSON says that a program is asking.
func wantsJSON(r *http.Request) bool {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && t == "application/json" {
		return true
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "json") && !strings.Contains(accept, "text/html")
}

// client is whom limits count: the address of the connection, and for IPv6 its /64, of which everybody has plenty of addresses.
// Headers say nothing here (FAULTS 53).
func client(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if address = address.Unmap().WithZone(""); address.Is4() {
		return address.String()
	}
	network, err := address.Prefix(64)
	if err != nil {
		return address.String()
	}
	return network.String()
}

// origin says where a browser's post comes from: from here (or from a program, which names no origin), from a site that the
// account allows, or from a stranger. Cross is the origin of an allowed site.
func (s *site) origin(r *http.Request, allowed []string) (cross string, ok bool) {
	given := strings.ToLower(r.Header.Get("Origin"))
	if given == "" {
		site := r.Header.Get("Sec-Fetch-Site")
		return "", site == "" || site == "same-origin" || site == "none"
	}
	u, err := url.Parse(given)
	switch {
	case slices.Contains(allowed, given):
		return given, true
	case err != nil || u.Host == "":
		return "", false
	case strings.EqualFold(u.Host, r.Host):
		return "", true
	}
	base, err := url.Parse(s.BaseURL)
	return "", err == nil && base.Host != "" && strings.EqualFold(base.Host, u.Host)
}
