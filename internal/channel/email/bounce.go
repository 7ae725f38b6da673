package email

import (
	"bytes"
	"strings"

	"github.com/aikajana/aikajana/internal/msg"
)

// maxNotice is how much of a bounce's own words is read.
const maxNotice = 64 << 10

// fromDaemon says that a mail server, not a person, is the sender.
func (m *mail) fromDaemon() bool {
	if m.nullSender() {
		return true
	}
	raw := strings.ToLower(m.h.raw("from"))
	if len(m.from) > 0 {
		local, _, _ := strings.Cut(m.from[0].address, "@")
		for _, daemon := range []string{"mailer-daemon", "mailerdaemon", "mailer_daemon", "mail-daemon", "maildaemon", "postmaster", "poostmaster",
			"mail.delivery", "maildelivery", "post_master", "mailerdeamon", "double-bounce", "mdaemon", "mailrouter", "bounce-notification", "microsoftexchange"} {
			if strings.HasPrefix(local, daemon) {
				return true
			}
		}
		raw = strings.ToLower(m.from[0].name)
	}
	// Names are as free as words: only those that no company has count.
	raw = strings.Trim(raw, "\"'<> ")
	return raw == "postmaster" || raw == "mail delivery" ||
		containsPrefix(raw, "mailer-daemon", "mailer daemon", "mail delivery s", "delivery subsystem", "mail delivery subsystem")
}

// nullSender says that the mail came from the null reverse-path (RFC 5321 section 4.5.5): nothing may ever answer it.
func (m *mail) nullSender() bool {
	if env := m.env.Mail; env != nil {
		return env.NullSender || strings.HasPrefix(strings.ToLower(env.Sender), "mailer-daemon")
	}
	if !m.h.has("return-path") {
		return false
	}
	path := strings.ToLower(strings.Trim(m.h.raw("return-path"), "<> \t"))
	return path == "" || path == "null" || strings.HasPrefix(path, "mailer-daemon")
}

// looksBounced says that a machine tells of a failure in its own words.
func (m *mail) looksBounced() bool {
	if m.h.has("x-failed-recipients") {
		return true
	}
	subject := strings.ToLower(m.subject)
	if !m.fromDaemon() {
		return m.returnsMail(subject)
	}
	return m.tree.root.params["report-type"] == "delivery-status" || containsAny(subject, bounceSubjects...) ||
		containsAny(strings.ToLower(m.noticeText()), bouncePhrases...)
}

// returnsMail is for gateways that send bounces from an address like no-reply@: a machine's mark, the words in subject or text,
// and a mail returned, all three. A courier's "delivery failed" returns none.
func (m *mail) returnsMail(subject string) bool {
	machine := len(m.from) > 0 && machineAddress(m.from[0].address) || strings.HasPrefix(token(m.h.raw("auto-submitted")), "auto-")
	if !machine || m.h.has("list-id") {
		return false
	}
	notice, rest := cutReturned(m.noticeText())
	if rest == "" && m.reportParts().returned == nil {
		return false
	}
	return containsAny(subject, bounceSubjects...) && containsAny(strings.ToLower(notice), bouncePhrases...)
}

// noticeText is what the report says to people, with what it returns of the mail when that stands in the same part.
func (m *mail) noticeText() string {
	var b strings.Builder
	var walk func(*part)
	walk = func(p *part) {
		for _, child := range p.children {
			walk(child)
			if p.kind == "multipart/alternative" && b.Len() > 0 {
				return
			}
		}
		if len(p.children) > 0 || b.Len() > maxNotice {
			return
		}
		switch {
		case p.kind == "text/html":
			for _, l := range htmlText(p.start(4*maxNotice), nil) {
				b.WriteString(l.text)
				b.WriteByte('\n')
			}
		case strings.HasPrefix(p.kind, "text/") && p.kind != "text/rfc822-headers" && p.kind != "text/calendar":
			b.WriteString(p.start(4 * maxNotice))
			b.WriteString("\n\n")
		}
	}
	walk(m.tree.root)
	return capped(b.String(), maxNotice)
}

// textReport reads a bounce that tells what happened in words only.
func (m *mail) textReport(s reportParts) []msg.Event {
	notice, rest := cutReturned(m.noticeText())
	about := m.original(s)
	if rest != "" {
		inline := readReturned([]byte(rest))
		if about.messageID == "" || s.returned == nil && inline.messageID != "" {
			about.messageID = inline.messageID
		}
		if about.tag == "" {
			about.tag = inline.tag
		}
		if about.to == nil {
			about.to = inline.to
		}
	}
	if inner := m.inner([]byte(rest)); inner != nil {
		return inner
	}
	if groups := statusVerdicts([]byte(notice)); len(groups) > 0 && strings.Contains(notice, "Recipient:") {
		return m.receipts(groups, about)
	}
	state := msg.Failed
	if m.onlyDelayed(notice) {
		state = msg.Delayed
	}
	verdicts := m.namedRecipients(notice, about.to)
	for i := range verdicts {
		verdicts[i].state = state
	}
	if len(verdicts) == 0 {
		verdicts = []verdict{{state: state, code: bestCode("", notice), title: title(m.subject)}}
	}
	return m.receipts(verdicts, about)
}

// onlyDelayed says that the server will go on trying.
func (m *mail) onlyDelayed(notice string) bool {
	lower := strings.ToLower(notice)
	if containsAny(lower, "permanent error", "permanent fatal", "permanently", "given up", "giving up", "gave up", "will not be retried", "no further attempts",
		"not be attempted", "could not be delivered to one or more") && !containsAny(lower, "warning message only", "still being retried") {
		return false
	}
	return containsAny(lower, delayPhrases...) || containsAny(strings.ToLower(m.subject), delaySubjects...)
}

// namedRecipients finds whom a notice is about: X-Failed-Recipients, then the addresses that begin a line or follow a label,
// then those in a sentence about failure, then whom the returned mail was for.
func (m *mail) namedRecipients(notice string, to []string) []verdict {
	lines := strings.Split(notice, "\n")
	strong, weak, own := m.scanNotice(lines)
	found := strong
	if boxes := mailboxes(m.h.raw("x-failed-recipients")); len(boxes) > 0 {
		found = nil
		for _, box := range boxes {
			v := verdict{recipient: box.address}
			for _, s := range append(strong, weak...) {
				if s.recipient == box.address {
					v = s
					break
				}
			}
			found = append(found, v)
		}
	}
	if len(found) == 0 {
		found = weak
	}
	if len(found) == 0 {
		found = own
	}
	if len(found) == 0 {
		for _, address := range to {
			if len(m.from) == 0 || address != m.from[0].address {
				found = append(found, verdict{recipient: address})
			}
		}
	}
	if len(found) == 1 && found[0].code == "" {
		found[0].code = bestCode("", notice)
	}
	for i := range found {
		if found[i].title == "" {
			found[i].code, found[i].title = bestCode("", notice), title(reasonLine(lines))
		}
	}
	return found
}

// scanNotice looks through a notice for recipients: named by themselves, in a sentence, and those that are also the report's
// own sender or receiver (somebody wrote to themselves).
func (m *mail) scanNotice(lines []string) (strong, weak, own []verdict) {
	self := m.reportAddresses()
	seen := make(map[string]bool)
	announced := false // the line before said that addresses follow
	for i, raw := range lines {
		s := strings.TrimLeft(strings.TrimSpace(raw), "*-•·>=# \t")
		if s == "" {
			continue
		}
		lower := strings.ToLower(s)
		for n, found := range addressesIn(s) {
			if seen[found.address] || n >= 10 {
				continue
			}
			label := strings.Trim(lower[:found.at], "<\"'([ \t:=;,")
			starts := label == "" || recipientLabel(label)
			switch {
			case senderLabel(label):
				continue
			case self[found.address] && !announced:
				if starts {
					own = append(own, detail(lines, i, s, found))
				}
			case starts:
				seen[found.address] = true
				strong = append(strong, detail(lines, i, s, found))
			case containsAny(lower, failureWords...) || announced:
				seen[found.address] = true
				weak = append(weak, detail(lines, i, s, found))
			}
		}
		announced = strings.HasSuffix(s, ":") || announced && strings.Contains(s, "@")
	}
	return strong, weak, own
}

// reportAddresses are those that a notice mentions without being about them: the report's own sender and receiver.
func (m *mail) reportAddresses() map[string]bool {
	self := make(map[string]bool)
	for _, name := range []string{"from", "to", "sender", "reply-to", "cc"} {
		for _, box := range mailboxes(m.h.raw(name)) {
			self[box.address] = true
		}
	}
	return self
}

// detail is the verdict about an address, with what its line s and the next ones say.
func detail(lines []string, i int, s string, found foundAddress) verdict {
	var b strings.Builder
	b.WriteString(strings.TrimLeft(s[found.end:], ">\"'): ,;.\t"))
	for j := i + 1; j < len(lines) && j <= i+6 && b.Len() < 500; j++ {
		next := strings.TrimSpace(lines[j])
		if next == "" && b.Len() > 20 {
			break
		}
		if isRule(next) {
			continue
		}
		if more := addressesIn(next); len(more) > 0 && more[0].at <= 1 && more[0].address != found.address {
			break
		}
		b.WriteByte(' ')
		b.WriteString(next)
	}
	text := oneLine(b.String())
	if label := strings.Trim(s[:found.at], "<\"' :"); len(label) > 12 && containsAny(strings.ToLower(label), failureWords...) {
		text = oneLine(label + ": " + text)
	}
	return verdict{recipient: found.address, code: bestCode("", text), title: title(text)}
}

// reasonLine is the line of a notice that says most about why.
func reasonLine(lines []string) string {
	for _, s := range lines {
		if enhancedCode(s) != "" || replyCode(strings.TrimSpace(s)) != "" {
			return s
		}
	}
	for _, s := range lines {
		if containsAny(strings.ToLower(s), failureWords...) {
			return s
		}
	}
	return ""
}

// foundAddress is an address in a line of text: where it begins and ends there.
type foundAddress struct {
	address string
	at, end int
}

// addressesIn finds the addresses of a line, normalised.
func addressesIn(s string) []foundAddress {
	var all []foundAddress
	for from := 0; len(all) < 20; {
		at := strings.IndexByte(s[from:], '@')
		if at < 0 {
			break
		}
		at += from
		start, end := at, at+1
		for start > from && (isAtext(s[start-1]) || s[start-1] == '.') {
			start--
		}
		if start == at && at > from && s[at-1] == '"' { // a quoted local part
			if open := strings.LastIndexByte(s[from:at-1], '"'); open >= 0 {
				start = from + open
			}
		}
		for end < len(s) && (isWord(s[end:end+1]) || s[end] == '-' || s[end] == '.' || s[end] >= 0x80) {
			end++
		}
		from = end
		text := strings.TrimRight(s[start:end], ".-")
		text = strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(text, "mailto:"), "rfc822;"), "'/=*`.")
		if address, ok := normalAddress(text); ok && strings.Contains(domainOf(address), ".") {
			all = append(all, foundAddress{address, start, end})
		}
	}
	return all
}

// isAtext says that the byte may stand in a local part (RFC 5322 section 3.2.3, RFC 6532).
func isAtext(c byte) bool {
	return isWord(string(c)) || c >= 0x80 || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// cutReturned cuts a notice where the returned mail begins: at the first run of header lines that no notice has.
func cutReturned(s string) (notice, rest string) {
	at, start, run := 0, 0, 0
	strongFields := 0
	for len(s) > at {
		end := strings.IndexByte(s[at:], '\n')
		next := len(s)
		if end >= 0 {
			next = at + end + 1
		}
		l := s[at:next]
		name, _, ok := splitField(bytes.TrimRight([]byte(l), "\n"))
		switch {
		case ok && returnedFields[name]:
			if run == 0 {
				start, strongFields = at, 0
			}
			run++
			if traceFields[name] {
				strongFields++
			}
		case run > 0 && (l[0] == ' ' || l[0] == '\t') && strings.TrimSpace(l) != "": // folded
		case ok && run > 0:
			run++
		default:
			run = 0
		}
		if run >= 3 && strongFields >= 1 || run >= 2 && strongFields >= 2 || run >= 4 {
			return s[:start], s[start:]
		}
		at = next
	}
	return s, ""
}
