// Package guard is the one way out: every HTTP request that Aikajana makes to an address which a provider, an operator or a
// customer supplied goes through a client made here.
//
// Where a connection may go is decided on the IP address, at the moment of connecting, for every connection of every hop: a
// name that resolves to something else the second time, a redirect and an IPv4 address written as IPv6 all meet the same
// check. Proxies from the environment are not used, because a proxy would connect in our place, unchecked.
package guard

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"github.com/aikajana/aikajana/internal/fault"
)

// Options say how the guard lets requests out. The zero value is the strict one, for production.
type Options struct {
	// AllowPrivate lets requests reach loopback and private networks, and lets credentials travel over plain http. It is
	// "serve --allow-private". Link-local addresses and cloud metadata services stay closed even then.
	AllowPrivate bool
	// Dial limits connecting and the TLS handshake, each; 0 means 5 s.
	Dial time.Duration
	// Header limits the wait for an answer once the request is written; 0 means 15 s for Client and 5 s for Follower.
	Header time.Duration
	// Resolver looks names up, nil for the system's. TLS is for tests with certificates of their own.
	Resolver *net.Resolver
	TLS      *tls.Config
}

// Guard makes clients. It has no state but its options; use one per process so that connections are shared.
type Guard struct {
	client   *http.Client
	follower *http.Client
}

// The longest that a call may take altogether, its answer's body included. A context with a deadline makes it shorter.
const (
	clientLimit   = time.Minute
	followerLimit = 5 * time.Minute
)

// maxRedirects is how many redirects Follower follows.
const maxRedirects = 3

// New makes a Guard.
func New(o Options) *Guard {
	return newGuard(o, policy{allowPrivate: o.AllowPrivate, public: ssrf.New(ssrf.WithAnyPort())})
}

// Client is for calling a provider's API. It follows no redirect: a 3xx answer comes back as it is. At most a minute per
// call. Use it through [Do], which types the errors and keeps URLs, which may hold tokens, out of them.
func (g *Guard) Client() *http.Client { return g.client }

// Follower is for fetching files. It follows up to three redirects of GET and HEAD requests and takes every credential off
// at the first: only harmless headers (Accept, Range, User-Agent) go on. From https it never goes to plain http. At most five
// minutes per call; cap the body with [Cap].
func (g *Guard) Follower() *http.Client { return g.follower }

func newGuard(o Options, p policy) *Guard {
	return &Guard{
		client: &http.Client{
			Transport:     newTransport(o, p, 15*time.Second),
			Timeout:       clientLimit,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		follower: &http.Client{
			Transport:     newTransport(o, p, 5*time.Second),
			Timeout:       followerLimit,
			CheckRedirect: checkRedirect,
		},
	}
}

func newTransport(o Options, p policy, header time.Duration) *transport {
	dial := 5 * time.Second
	if o.Dial > 0 {
		dial = o.Dial
	}
	if o.Header > 0 {
		header = o.Header
	}
	dialer := &net.Dialer{Timeout: dial, Resolver: o.Resolver, Control: p.control}
	return &transport{plainCredentials: o.AllowPrivate, next: &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        o.TLS,
		TLSHandshakeTimeout:    dial,
		ResponseHeaderTimeout:  header,
		ExpectContinueTimeout:  time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}}
}

// policy decides where a connection may go.
type policy struct {
	allowPrivate bool
	public       *ssrf.Guardian
	// exempt is one listener of a test that is treated like a public address.
	exempt netip.AddrPort
}

// ErrPrivate is wrapped by the refusal of an address. [Do] turns it into fault.Permanent with code "private_address".
var ErrPrivate = errors.New("the address is not a public one")

// control is net.Dialer.Control: it sees the address that is about to be connected to, after all resolving.
func (p policy) control(network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return refuse(address)
	}
	return p.check(to)
}

func (p policy) check(to netip.AddrPort) error {
	if p.exempt.IsValid() && to == p.exempt {
		return nil
	}
	ip := to.Addr()
	if ip.Zone() != "" || within(ip.Unmap(), neverAllowed) {
		return refuse(to.String())
	}
	if p.allowPrivate {
		if within(ip.Unmap(), privateNetworks) {
			return nil
		}
	}
	// Ports of old services (mail, SSH, …) are nobody's web API, and a way to speak to them over HTTP.
	if port := to.Port(); port != 80 && port != 443 && port < 1024 {
		return refuse(to.String())
	}
	if p.public.SafeAddr(ip) != nil {
		return refuse(to.String())
	}
	return nil
}

// neverAllowed are the addresses that AllowPrivate does not open either.
//
// Metadata services: AWS, Google and Azure 169.254.169.254 and fd00:ec2::254 (docs.aws.amazon.com, "Use IMDS", 2026-11-22),
// Azure's 168.63.129.16, which is in a public range, and Alibaba's 100.100.100.200.
var neverAllowed = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("168.63.129.16/32"), netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("::/128"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("fec0::/10"), netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("fd00:ec2::/32"),
}

// privateNetworks are what AllowPrivate opens: loopback, RFC 1918, RFC 6598 and RFC 4193.
var privateNetworks = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fc00::/7"),
}

func within(ip netip.Addr, networks []netip.Prefix) bool {
	for _, network := range networks {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

func refuse(address string) error {
	return fault.Newf(fault.Permanent, "private_address",
		`connect to %s: %w; if that is meant to be reached, start with "serve --allow-private"`, address, ErrPrivate)
}
