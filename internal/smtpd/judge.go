package smtpd

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"net"
	"net/mail"
	"strings"
	"unicode/utf8"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-msgauth/dkim"
	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/aikajana/aikajana/internal/channel"
)

// The verdicts, in the words that SES uses ("Contents of notifications for Amazon SES email receiving", seen 2026-11-23),
// so that the email channel reads one vocabulary.
const (
	Pass             = "PASS"
	Fail             = "FAIL"
	Gray             = "GRAY"
	ProcessingFailed = "PROCESSING_FAILED"
	Disabled         = "DISABLED"
)

// maxSignatures is how many DKIM signatures of one mail are verified; the rest count for nothing.
const maxSignatures = 10

// maxFrom is the longest From field that is read, in bytes; a longer one names nobody.
const maxFrom = 4 << 10

// Resolver answers DNS questions. *net.Resolver is one. A name that is not there is a *net.DNSError with IsNotFound; every
// other error means that the question was not answered. Safe for concurrent use.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// judge fills in the verdicts of SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 7489), and the domains that passed.
//
//	          SPF                  DKIM                       DMARC
//	PASS      pass                 a signature verifies       an aligned one of them passes
//	FAIL      fail, softfail       signed, none verifies      the domain has a policy and none is aligned
//	GRAY      none, neutral        not signed                 the domain has no policy
//	PROC…     temperror,permerror  no key could be fetched    a question was not answered, or no single author
func judge(ctx context.Context, r Resolver, ip net.IP, helo string, content []byte, m *channel.Mail) {
	m.SPF, m.DKIM, m.DMARC = ProcessingFailed, ProcessingFailed, ProcessingFailed
	// A library that panics on some mail must not make that mail impossible to deliver.
	defer func() { _ = recover() }()
	m.SPF, m.SPFDomain = judgeSPF(ctx, r, ip, helo, m.Sender)
	m.DKIM, m.DKIMDomains = judgeDKIM(ctx, r, content)
	m.DMARC = judgeDMARC(ctx, r, content, m)
}

func judgeSPF(ctx context.Context, r Resolver, ip net.IP, helo, sender string) (verdict, domain string) {
	domain = ascii(domainOf(sender))
	if sender == "" { // RFC 7208 section 2.4: a bounce is judged by the name in EHLO
		domain = ascii(helo)
		sender = "postmaster@" + domain
	}
	// What is wrong shows in the result; the error only explains it.
	result, _ := spf.CheckHostWithSender(ip, ascii(helo), sender, spf.WithContext(ctx), spf.WithResolver(r))
	switch result {
	case spf.Pass:
		return Pass, domain
	case spf.Fail, spf.SoftFail:
		return Fail, ""
	case spf.None, spf.Neutral:
		return Gray, ""
	}
	return ProcessingFailed, ""
}

func judgeDKIM(ctx context.Context, r Resolver, content []byte) (verdict string, domains []string) {
	results, err := dkim.VerifyWithOptions(bytes.NewReader(content), &dkim.VerifyOptions{
		MaxVerifications: maxSignatures,
		LookupTXT:        func(domain string) ([]string, error) { return r.LookupTXT(ctx, domain) },
	})
	if err != nil && !errors.Is(err, dkim.ErrTooManySignatures) {
		return ProcessingFailed, nil
	}
	verdict = Gray
	for _, one := range results {
		switch {
		case one.Err == nil:
			verdict, domains = Pass, append(domains, ascii(one.Domain))
		case verdict == Pass:
		case dkim.IsTempFail(one.Err):
			verdict = ProcessingFailed
		case verdict == Gray:
			verdict = Fail
		}
	}
	return verdict, domains
}

func judgeDMARC(ctx context.Context, r Resolver, content []byte, m *channel.Mail) string {
	from, ok := author(content)
	if !ok {
		return Fail // RFC 7489 section 6.6.1: no author, or several, is nobody whom a domain could vouch for
	}
	p, err := findPolicy(ctx, r, from)
	switch {
	case err != nil:
		return ProcessingFailed
	case p == nil:
		return Gray
	case m.SPFDomain != "" && aligned(from, m.SPFDomain, p.strictSPF):
		return Pass
	}
	for _, domain := range m.DKIMDomains {
		if aligned(from, domain, p.strictDKIM) {
			return Pass
		}
	}
	if m.SPF == ProcessingFailed || m.DKIM == ProcessingFailed {
		return ProcessingFailed
	}
	return Fail
}

// policy is what decides alignment. What a domain wants done with failures is not asked: a mail that fails is held as
// unverified whatever it is.
type policy struct{ strictSPF, strictDKIM bool }

// findPolicy looks for the policy of the domain, then of its organisational domain (RFC 7489 section 6.6.3). Nil without
// an error means that there is none.
func findPolicy(ctx context.Context, r Resolver, domain string) (*policy, error) {
	for _, name := range []string{domain, organisation(domain)} {
		texts, err := r.LookupTXT(ctx, "_dmarc."+name)
		if err != nil {
			if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
				continue
			}
			return nil, err
		}
		var found []*policy
		for _, text := range texts {
			if p := readPolicy(text); p != nil {
				found = append(found, p)
			}
		}
		if len(found) == 1 { // several are the same as none
			return found[0], nil
		}
	}
	return nil, nil
}

// readPolicy reads a record "v=DMARC1; p=…; adkim=s; …" (RFC 7489 section 6.4); nil for anything else. Tags with a value
// that is not known are ignored, as section 6.3 asks.
func readPolicy(text string) *policy {
	var p policy
	var named bool
	for i, tag := range strings.Split(text, ";") {
		name, value, _ := strings.Cut(tag, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case i == 0 && (name != "v" || value != "DMARC1"):
			return nil
		case name == "p" || name == "rua": // without a usable p, a rua stands for p=none
			named = true
		case name == "adkim":
			p.strictDKIM = strings.EqualFold(value, "s")
		case name == "aspf":
			p.strictSPF = strings.EqualFold(value, "s")
		}
	}
	if !named {
		return nil
	}
	return &p
}

// aligned is identifier alignment (RFC 7489 section 3.1): the same domain, or when relaxed the same organisation.
func aligned(from, passed string, strict bool) bool {
	if strict {
		return from == passed
	}
	return organisation(from) == organisation(passed)
}

// organisation is the organisational domain: one label below the public suffix; the domain itself when it is a suffix.
func organisation(domain string) string {
	org, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return domain
	}
	return org
}

// author is the domain of the mail's only author: exactly one From field, whose addresses share one domain.
func author(content []byte) (domain string, ok bool) {
	value, count := "", 0
	for f := range fields(content) {
		if strings.EqualFold(f.name, "from") {
			value, count = f.value, count+1
		}
	}
	if count != 1 || len(value) > maxFrom {
		return "", false
	}
	if !utf8.ValidString(value) { // Latin-1 in a display name says nothing about the address
		value = strings.ToValidUTF8(value, "?")
	}
	list, err := mail.ParseAddressList(value)
	if err != nil {
		return "", false
	}
	for _, a := range list {
		d := ascii(domainOf(a.Address))
		if d == "" || domain != "" && domain != d {
			return "", false
		}
		domain = d
	}
	return domain, domain != ""
}

func domainOf(address string) string {
	return address[strings.LastIndexByte(address, '@')+1:]
}

// ascii is the domain as DNS knows it: A-labels, lower case, no final dot.
func ascii(domain string) string {
	domain = strings.TrimSuffix(domain, ".")
	if a, err := idna.Lookup.ToASCII(domain); err == nil {
		return a
	}
	return strings.ToLower(domain)
}

type field struct{ name, value string }

// fields goes through the header of a mail, unfolded. It takes any line ending and skips lines that are no field.
func fields(content []byte) iter.Seq[field] {
	return func(yield func(field) bool) {
		var name string
		var value []byte
		emit := func() bool {
			done := name == "" || yield(field{name, string(bytes.TrimSpace(value))})
			name, value = "", nil
			return done
		}
		for line := range bytes.Lines(content) {
			line = bytes.TrimRight(line, "\r\n")
			switch {
			case len(line) == 0:
				emit()
				return
			case line[0] == ' ' || line[0] == '\t':
				if len(value) <= maxFrom {
					value = append(append(value, ' '), bytes.TrimSpace(line)...)
				}
				continue
			}
			if !emit() {
				return
			}
			if before, after, found := bytes.Cut(line, []byte(":")); found {
				name, value = string(bytes.TrimSpace(before)), bytes.Clone(after)
			}
		}
		emit()
	}
}
