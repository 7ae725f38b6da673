package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// mail looks at what DNS says of a domain that the desk receives and sends mail with.
func (e *examination) mail(ctx context.Context, domain string) {
	e.exchangers(ctx, domain)
	e.spf(ctx, domain)
	e.dkim(ctx, domain)
	e.dmarc(ctx, domain)
}

// exchangers are the hosts that take the domain's mail (RFC 5321 section 5; RFC 7505 for the null MX). On AWS mail comes in by the SES of
// the deployment's own region (docs/aws/regions.md).
func (e *examination) exchangers(ctx context.Context, domain string) {
	const do = "publish an MX record: on AWS \"10 inbound-smtp.<region>.amazonaws.com\" of a region that receives mail, otherwise the host that runs \"aikajana serve --smtp\""
	all, err := e.o.Resolver.LookupMX(ctx, domain)
	switch {
	case failed(err):
		e.find("mail: MX", domain, Unknown, "DNS did not answer: "+err.Error(), "ask again; if it stays so, the domain's name servers are out of order")
	case len(all) == 0:
		e.find("mail: MX", domain, Problem, "no host takes its mail", do)
	case len(all) == 1 && all[0].Host == ".":
		e.find("mail: MX", domain, Problem, "it says that it takes no mail at all", do)
	default:
		hosts := make([]string, len(all))
		for i, mx := range all {
			hosts[i] = strings.TrimSuffix(mx.Host, ".")
		}
		found := "mail goes to " + strings.Join(hosts, ", ")
		ses := "inbound-smtp." + e.region + ".amazonaws.com"
		if e.region != "" && !slices.ContainsFunc(hosts, func(host string) bool { return strings.EqualFold(host, ses) }) {
			// No more than a warning: those hosts may hand on what is the desk's.
			e.find("mail: MX", domain, Warning, found+", and the deployment is on AWS in "+e.region+", where mail comes in by "+ses,
				"publish \"10 "+ses+"\" instead, if that region receives mail (docs/aws/regions.md); leave it when those hosts forward the desk's mail to an address that SES receives, or when none is to come in")
			return
		}
		e.find("mail: MX", domain, OK, found, "")
	}
}

// spf says who may send in the domain's name (RFC 7208: exactly one record, section 4.5; ten look-ups at most are not counted).
func (e *examination) spf(ctx context.Context, domain string) {
	records, err := e.texts(ctx, domain, "v=spf1")
	const do = `publish one TXT record such as "v=spf1 include:amazonses.com -all" that names whoever sends in this domain's name`
	switch {
	case err != nil:
		e.find("mail: SPF", domain, Unknown, "DNS did not answer: "+err.Error(), "ask again")
	case len(records) == 0:
		e.find("mail: SPF", domain, Problem, "there is no SPF record", do)
	case len(records) > 1:
		e.find("mail: SPF", domain, Problem, fmt.Sprintf("there are %d SPF records, which counts as an error", len(records)), "join them into one")
	case hasTerm(records[0], "+all") || hasTerm(records[0], "all"):
		e.find("mail: SPF", domain, Problem, "everybody may send in its name: "+records[0], `end the record with "-all"`)
	case !hasTerm(records[0], "-all") && !hasTerm(records[0], "~all") && !strings.Contains(records[0], "redirect="):
		e.find("mail: SPF", domain, Warning, "it says nothing of other senders: "+records[0], `end the record with "-all"`)
	default:
		e.find("mail: SPF", domain, OK, records[0], "")
	}
}

// dkim looks for the keys of the selectors that are named (RFC 6376 section 3.6): DNS does not list selectors. A selector of
// SES is a CNAME that leads to the key.
func (e *examination) dkim(ctx context.Context, domain string) {
	if len(e.o.Selectors) == 0 {
		e.find("mail: DKIM", domain, Unknown, "DNS does not tell which selectors there are", "name them with --dkim-selector; SES shows three of them for each identity")
		return
	}
	for _, selector := range e.o.Selectors {
		name := selector + "._domainkey." + domain
		records, err := e.o.Resolver.LookupTXT(ctx, name)
		switch {
		case failed(err):
			e.find("mail: DKIM", name, Unknown, "DNS did not answer: "+err.Error(), "ask again")
		case len(records) == 0:
			e.find("mail: DKIM", name, Problem, "there is no key", "publish the record that SES (or your signer) shows for this selector")
		case key(records[0]) == "":
			e.find("mail: DKIM", name, Problem, "the key was taken back or is damaged", "publish the record anew, as it was shown")
		default:
			e.find("mail: DKIM", name, OK, "there is a key", "")
		}
	}
}

// key is the p= of a DKIM record; an empty one was revoked.
func key(record string) string {
	for tag := range strings.SplitSeq(record, ";") {
		if name, value, ok := strings.Cut(tag, "="); ok && strings.TrimSpace(name) == "p" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// dmarc says what becomes of mail that fails both (RFC 7489 section 6.6.3: the domain's own record, else that of the domain
// above). Without it, customers' mail systems believe forgers, and large ones refuse the desk's mail.
func (e *examination) dmarc(ctx context.Context, domain string) {
	for at := domain; strings.Contains(at, "."); _, at, _ = strings.Cut(at, ".") {
		records, err := e.texts(ctx, "_dmarc."+at, "v=DMARC1")
		switch {
		case err != nil:
			e.find("mail: DMARC", domain, Unknown, "DNS did not answer: "+err.Error(), "ask again")
			return
		case len(records) == 0:
			continue
		case len(records) > 1:
			e.find("mail: DMARC", domain, Problem, fmt.Sprintf("there are %d DMARC records, so none counts", len(records)), "keep one")
			return
		}
		policy := ""
		for tag := range strings.SplitSeq(records[0], ";") {
			if name, value, ok := strings.Cut(tag, "="); ok && strings.TrimSpace(name) == "p" {
				policy = strings.ToLower(strings.TrimSpace(value))
			}
		}
		switch policy {
		case "quarantine", "reject":
			e.find("mail: DMARC", domain, OK, records[0], "")
		case "none":
			e.find("mail: DMARC", domain, Warning, "forged mail is let through: "+records[0], "read the reports for some weeks, then say p=quarantine")
		default:
			e.find("mail: DMARC", domain, Problem, "it names no policy: "+records[0], `publish "v=DMARC1; p=quarantine; rua=mailto:…" at _dmarc.`+at)
		}
		return
	}
	e.find("mail: DMARC", domain, Problem, "there is no DMARC record", `publish the TXT record "v=DMARC1; p=none; rua=mailto:…" at _dmarc.`+domain+", and tighten it later")
}

// texts are the TXT records of a name that begin with a version.
func (e *examination) texts(ctx context.Context, name, version string) ([]string, error) {
	all, err := e.o.Resolver.LookupTXT(ctx, name)
	if failed(err) {
		return nil, err
	}
	var kept []string
	for _, t := range all {
		if rest, ok := strings.CutPrefix(t, version); ok && (rest == "" || rest[0] == ' ' || rest[0] == ';') {
			kept = append(kept, t)
		}
	}
	return kept, nil
}

// failed says that DNS gave no answer; that there is no such record is an answer.
func failed(err error) bool {
	var not *net.DNSError
	return err != nil && (!errors.As(err, &not) || !not.IsNotFound)
}

func hasTerm(record, term string) bool {
	for t := range strings.FieldsSeq(record) {
		if strings.EqualFold(t, term) {
			return true
		}
	}
	return false
}
