package auth

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// Names of the session cookie. The prefix makes a browser refuse it from another host, from plain HTTP and with a Domain
// (RFC 6265bis section 4.1.3.2); plain HTTP on the own machine cannot have it.
const (
	secureCookie = "__Host-aikajana"
	plainCookie  = "aikajana"
)

// Authenticate says who sent the request: by its Authorization header when there is one, else by its session cookie. A header
// that does not hold is not made up for by a cookie.
//
// A request that would change something and came with a cookie must come from our own origin: anything else is fault.Denied
// with CodeCrossOrigin (FAULT 43a). An Authorization header is never sent by a browser by itself and needs no such check.
func (s *Service) Authenticate(r *http.Request) (Principal, error) {
	if header := r.Header.Values("Authorization"); len(header) > 0 {
		scheme, token, _ := strings.Cut(header[0], " ")
		token = strings.TrimSpace(token)
		if len(header) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > 1024 {
			return Principal{}, unauthenticated()
		}
		return s.checkToken(r.Context(), hashOf(token))
	}
	secret := s.SessionSecret(r)
	if secret == "" {
		return Principal{}, unauthenticated()
	}
	if err := s.SameOrigin(r); err != nil {
		return Principal{}, err
	}
	p, _, err := s.checkSession(r.Context(), hashOf(secret))
	return p, err
}

// SameOrigin refuses a request that would change something and that a browser sent for a page of another origin. Routes that
// take no credential but give one out (signing in) ask it themselves; Authenticate has asked it for all others.
func (s *Service) SameOrigin(r *http.Request) error {
	if err := s.crossOrigin.Check(r); err != nil {
		return fault.Newf(fault.Denied, CodeCrossOrigin, "the request comes from a page of another origin")
	}
	return nil
}

// SameOriginSocket refuses to open a socket for a page of another origin. A socket is opened by GET, which SameOrigin lets
// through. Programs send no Origin and pass: they hold a ticket.
func (s *Service) SameOriginSocket(r *http.Request) error {
	if r.Header.Get("Origin") == "" {
		return nil
	}
	as := r.Clone(r.Context())
	as.Method = http.MethodPost
	return s.SameOrigin(as)
}

// SessionSecret is what the session cookie of the request holds, or "".
func (s *Service) SessionSecret(r *http.Request) string {
	c, err := r.Cookie(s.cookieName(r))
	if err != nil || len(c.Value) > 128 {
		return ""
	}
	return c.Value
}

// Cookie carries a new session to the browser that sent r.
func (s *Service) Cookie(r *http.Request, in SignedIn) *http.Cookie {
	c := s.cookie(r, in.Secret) //nolint:gosec // see cookie
	c.Expires = in.Expires.Time()
	c.MaxAge = int(in.Expires.Sub(msg.TimeOf(s.now())).Seconds())
	return c
}

// ClearCookie takes the session out of the browser that sent r.
func (s *Service) ClearCookie(r *http.Request) *http.Cookie {
	c := s.cookie(r, "") //nolint:gosec // see cookie
	c.MaxAge = -1
	return c
}

func (s *Service) cookie(r *http.Request, value string) *http.Cookie {
	name := s.cookieName(r)
	//nolint:gosec // Secure follows the name: on unless a machine talks plain HTTP to itself
	return &http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: name == secureCookie,
	}
}

func (s *Service) cookieName(r *http.Request) string {
	https := r.TLS != nil || s.baseURL != nil && s.baseURL.Scheme == "https"
	if !https && loopback(r.Host) {
		return plainCookie
	}
	return secureCookie
}

func loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Client is the client's address as limits and logs go by it: the whole of an IPv4 address, the /64 of an IPv6 one, since
// that much is one household's.
//
// It is the address of the connection. X-Forwarded-For counts only as far as our own proxies wrote it (Config.TrustedProxies
// entries from the right); Forwarded, X-Real-IP and the like never do, because anybody can send them (FAULT 53). On AWS the
// Lambda adapter puts requestContext's source address into RemoteAddr.
func (s *Service) Client(r *http.Request) string {
	address := r.RemoteAddr
	if s.trustedProxies > 0 {
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		if n := len(hops) - s.trustedProxies; n >= 0 {
			address = strings.TrimSpace(hops[n])
		}
	}
	return clientOf(address)
}

func clientOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		with, err := netip.ParseAddrPort(address)
		if err != nil {
			return "unknown"
		}
		ip = with.Addr()
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		return netip.PrefixFrom(ip, 64).Masked().String()
	}
	return ip.String()
}
