package fake

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"strings"
	"sync"
)

// Zone is the DNS of the fake world: it answers what it was told, and nothing else exists. It has the lookup methods of
// *net.Resolver. Safe for concurrent use.
type Zone struct {
	mu   sync.Mutex
	txt  map[string][]string
	mx   map[string][]*net.MX
	a    map[string][]net.IPAddr
	down map[string]bool
}

// NewZone is an empty zone.
func NewZone() *Zone {
	return &Zone{txt: map[string][]string{}, mx: map[string][]*net.MX{}, a: map[string][]net.IPAddr{}, down: map[string]bool{}}
}

// TXT sets the texts of a name.
func (z *Zone) TXT(name string, texts ...string) *Zone {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.txt[key(name)] = texts
	return z
}

// MX sets the mail servers of a name.
func (z *Zone) MX(name string, hosts ...string) *Zone {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.mx[key(name)] = nil
	for i, host := range hosts {
		z.mx[key(name)] = append(z.mx[key(name)], &net.MX{Host: host, Pref: uint16(10 * (i + 1))}) //nolint:gosec // a handful
	}
	return z
}

// A sets the addresses of a name, IPv4 or IPv6.
func (z *Zone) A(name string, ips ...string) *Zone {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.a[key(name)] = nil
	for _, ip := range ips {
		z.a[key(name)] = append(z.a[key(name)], net.IPAddr{IP: net.ParseIP(ip)})
	}
	return z
}

// Down makes every question about a name fail for a while, as when its servers do not answer.
func (z *Zone) Down(name string) *Zone {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.down[key(name)] = true
	return z
}

// Key is a DKIM key whose public half is in the zone.
type Key struct {
	Domain, Selector string
	private          ed25519.PrivateKey
}

// Key makes the domain's key for a selector and publishes it (RFC 8463). The same names always give the same key.
func (z *Zone) Key(domain, selector string) *Key {
	seed := sha256.Sum256([]byte("fake key of " + selector + " at " + domain))
	private := ed25519.NewKeyFromSeed(seed[:])
	public := base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey)) //nolint:errcheck // always that type
	z.TXT(selector+"._domainkey."+domain, "v=DKIM1; k=ed25519; p="+public)
	return &Key{Domain: domain, Selector: selector, private: private}
}

// Trust sets up a domain as a careful owner would: SPF for the loopback address, a strict DMARC policy and a DKIM key.
func (z *Zone) Trust(domain string) *Key {
	z.TXT(domain, "v=spf1 ip4:127.0.0.1 ip6:::1 -all")
	z.TXT("_dmarc."+domain, "v=DMARC1; p=reject")
	return z.Key(domain, "fake")
}

// LookupTXT answers from the zone.
func (z *Zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	return lookup(z, z.txt, name)
}

// LookupMX answers from the zone.
func (z *Zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return lookup(z, z.mx, name)
}

// LookupIPAddr answers from the zone.
func (z *Zone) LookupIPAddr(_ context.Context, host string) ([]net.IPAddr, error) {
	return lookup(z, z.a, host)
}

// LookupAddr finds nothing: no address of the zone has a name.
func (z *Zone) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return lookup(z, map[string][]string{}, addr)
}

func lookup[T any](z *Zone, in map[string][]T, name string) ([]T, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.down[key(name)] {
		return nil, &net.DNSError{Err: "the server does not answer", Name: name, IsTemporary: true, IsTimeout: true}
	}
	if found := in[key(name)]; len(found) > 0 {
		return found, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func key(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
