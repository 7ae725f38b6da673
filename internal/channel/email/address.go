package email

import (
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/unicode/norm"

	"github.com/aikajana/aikajana/internal/channel"
)

// maxAddressBytes caps an address header before anything looks for addresses in it (FAULTS 38).
const maxAddressBytes = 4 << 10

// maxAddresses is how many addresses of one header are read.
const maxAddresses = 100

// mailbox is one address of a header: the name as shown, the address normalised.
type mailbox struct{ name, address string }

// mailboxes reads an address header (RFC 5322 section 3.4, RFC 6532): groups, comments, quoted and encoded names, bare
// addresses. What holds no address is left out.
func mailboxes(value string) []mailbox {
	value = capped(value, maxAddressBytes)
	var all []mailbox
	for _, one := range splitAddresses(value) {
		if m, ok := readMailbox(one); ok {
			all = append(all, m)
			if len(all) == maxAddresses {
				break
			}
		}
	}
	return all
}

// splitAddresses cuts at commas and semicolons outside quotes, comments and angle brackets, and drops the names of groups.
func splitAddresses(s string) []string {
	var all []string
	var quoted, angle bool
	comment, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"' && comment == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			comment++
		case c == ')' && comment > 0:
			comment--
		case comment > 0:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case angle:
		case c == ':' && !strings.Contains(s[start:i], "@"):
			start = i + 1
		case c == ',' || c == ';':
			all = append(all, s[start:i])
			start = i + 1
		}
	}
	return append(all, s[start:])
}

// readMailbox reads one address with its name.
func readMailbox(s string) (mailbox, bool) {
	s = strings.TrimSpace(s)
	open := strings.LastIndexByte(s, '<')
	if open >= 0 {
		inside, _, _ := strings.Cut(s[open+1:], ">")
		if strings.ContainsAny(inside, "( ") && !strings.Contains(inside, `"`) {
			inside = strings.ReplaceAll(withoutComments(inside), " ", "")
		}
		if i := strings.LastIndexByte(inside, ':'); i >= 0 { // a source route (RFC 5322 section 4.4)
			inside = inside[i+1:]
		}
		if address, ok := normalAddress(inside); ok {
			return mailbox{displayName(s[:open]), address}, true
		}
		if address, ok := normalAddress(s[:open]); ok { // "help@desk.example <>"
			return mailbox{"", address}, true
		}
		return mailbox{}, false
	}
	bare, comment := cutComment(s)
	if address, ok := normalAddress(bare); ok {
		return mailbox{displayName(comment), address}, true
	}
	for _, word := range strings.Fields(bare) { // "Maija maija@x.example"
		if address, ok := normalAddress(word); ok {
			return mailbox{displayName(strings.Replace(bare, word, "", 1)), address}, true
		}
	}
	return mailbox{}, false
}

// cutComment takes the comments out of s: "maija@x.example (Maija)" has its name there.
func cutComment(s string) (bare, comment string) {
	open := strings.IndexByte(s, '(')
	if open < 0 {
		return s, ""
	}
	end := strings.LastIndexByte(s, ')')
	if end < open {
		return s[:open], s[open+1:]
	}
	return s[:open] + s[end+1:], s[open+1 : end]
}

// displayName makes a name fit to show: decoded, without quotes, controls and tricks of direction, at most 200 characters.
func displayName(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 1 && (s[0] == '"' && s[len(s)-1] == '"' || s[0] == '\'' && s[len(s)-1] == '\'') {
		s = s[1 : len(s)-1]
	}
	if strings.ContainsRune(s, '\\') {
		s = strings.ReplaceAll(strings.ReplaceAll(s, `\"`, `"`), `\\`, `\`)
	}
	s = strings.TrimSpace(decodeWords(s))
	if len(s) > 1 && (s[0] == '"' && s[len(s)-1] == '"' || s[0] == '\'' && s[len(s)-1] == '\'') { // quoted inside the encoding
		s = s[1 : len(s)-1]
	}
	return plainName(s)
}

// plainName drops what makes a name look like another (FAULTS 35): controls, marks of direction, zero-width characters.
func plainName(s string) string {
	s = oneLine(strings.Map(func(r rune) rune {
		switch {
		case r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff, r == 0xad:
			return -1
		}
		return r
	}, s))
	if runes := []rune(s); len(runes) > 200 {
		return string(runes[:200])
	}
	return s
}

// normalAddress brings an address to the form in which equal people are equal: the domain as lower-case A-labels
// (RFC 5891), the local part in lower case too.
//
// RFC 5321 section 2.4 lets hosts tell "Maija" from "maija"; none of the large ones does, and two customers for one person
// would be the more common mistake.
func normalAddress(s string) (string, bool) {
	s = strings.Trim(strings.TrimSpace(s), "<>\"' \t")
	if len(s) > 320 {
		return "", false
	}
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || at == len(s)-1 {
		return "", false
	}
	local, domain := s[:at], strings.TrimSuffix(s[at+1:], ".")
	if strings.ContainsAny(domain, " \t\r\n<>()@,;\"\\") || strings.ContainsAny(local, "\r\n<>") || domain == "" {
		return "", false
	}
	if quoted := strings.Trim(local, `"`); quoted != local && !strings.ContainsAny(quoted, " \t@,;:()\\") {
		local = quoted
	} else if strings.ContainsAny(local, " \t,;:()") && !strings.HasPrefix(local, `"`) {
		return "", false
	}
	if !isASCII(local) {
		local = norm.NFC.String(rawText(local))
	}
	return strings.ToLower(local) + "@" + normalDomain(domain), true
}

func normalDomain(domain string) string {
	domain = strings.ToLower(domain)
	if isASCII(domain) {
		return domain
	}
	if ascii, err := idna.Lookup.ToASCII(rawText(domain)); err == nil {
		return ascii
	}
	return norm.NFC.String(strings.ToLower(rawText(domain)))
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// authenticated says whether the mail comes from the address in its From (docs/design.md, "Who is who, and which case"): DMARC
// passed, or the sender's domain has no policy and an aligned DKIM signature or SPF passed. Without facts, and with several
// From addresses, the answer is no (RFC 7489 section 6.6.1).
func authenticated(m *channel.Mail, from []mailbox) bool {
	if m == nil || len(from) != 1 {
		return false
	}
	switch m.DMARC {
	case "PASS":
		return true
	case "GRAY":
		domain := domainOf(from[0].address)
		if m.SPF != "FAIL" && aligned(m.SPFDomain, domain) {
			return true
		}
		if m.DKIM == "FAIL" {
			return false
		}
		for _, d := range m.DKIMDomains {
			if aligned(d, domain) {
				return true
			}
		}
	}
	return false
}

// aligned is relaxed alignment (RFC 7489 section 3.1): both lie in one organisational domain.
func aligned(a, b string) bool {
	a, b = normalDomain(strings.TrimSuffix(a, ".")), normalDomain(strings.TrimSuffix(b, "."))
	if a == "" || b == "" {
		return false
	}
	return a == b || organisation(a) != "" && organisation(a) == organisation(b)
}

func organisation(domain string) string {
	org, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return ""
	}
	return org
}
