package email

import (
	"bytes"
	"strings"

	"github.com/aikajana/aikajana/internal/msg"
)

// maxReceipts is how many recipients of one report are told of.
const maxReceipts = 200

// verdict is what a report says about one recipient.
type verdict struct {
	recipient string
	state     msg.State
	code      string
	title     string
}

// returned is what a report gives back of the mail that it is about.
type returned struct {
	messageID string
	tag       string
	to        []string
}

// reports turns a bounce, a delivery report, a read receipt or a feedback report into receipts; nil when the mail is none.
//
// What a mail is gets decided by its structure first (RFC 6522), and by its words only when its sender is a machine: a
// customer who writes "delivery failed" about a sofa has written a message.
func (m *mail) reports() []msg.Event {
	s := m.reportParts()
	switch {
	case s.disposition != nil && (m.tree.root.kind == "multipart/report" || m.fromDaemon()):
		return m.dispositionReport(s)
	case s.feedback != nil:
		return m.feedbackReport(s)
	case s.status != nil && (m.tree.root.kind == "multipart/report" || m.fromDaemon()):
		if verdicts := statusVerdicts(s.status); len(verdicts) > 0 {
			return append(m.inner(s.returned), m.receipts(verdicts, m.original(s))...)
		}
	}
	if !m.looksBounced() {
		return nil
	}
	return m.textReport(s)
}

// inner reads the report inside a report: a postmaster is told of a bounce that could not be delivered, and the bounce inside
// is the one about our mail. Nil when raw, the returned mail, is no report.
func (m *mail) inner(raw []byte) []msg.Event {
	if len(raw) == 0 || m.depth >= 2 {
		return nil
	}
	in := &mail{env: m.env, raw: unixLines(raw), depth: m.depth + 1}
	in.env.Mail = nil
	in.tree = readTree(in.raw)
	in.h = in.tree.root.header
	in.from = mailboxes(in.h.raw("from"))
	in.subject = in.h.text("subject")
	if !in.fromDaemon() {
		return nil
	}
	in.id = m.id
	events := in.reports()
	for i := range events {
		outer := m.event(msg.KindReceipt)
		events[i].ID, events[i].Time, events[i].From = outer.ID, outer.Time, outer.From
	}
	return events
}

// reportParts are the parts of a report that machines read, decoded; nil when absent.
type reportParts struct {
	status, disposition, feedback, returned []byte
}

func (m *mail) reportParts() reportParts {
	var s reportParts
	var walk func(*part)
	walk = func(p *part) {
		for _, child := range p.children {
			walk(child)
		}
		if len(p.children) > 0 {
			return
		}
		switch p.kind {
		case "message/delivery-status", "message/global-delivery-status":
			s.status = append(append(s.status, p.content()...), "\n\n"...)
		case "message/disposition-notification", "message/global-disposition-notification":
			s.disposition = p.content()
		case "message/feedback-report":
			s.feedback = p.content()
		case "message/rfc822", "message/global", "text/rfc822-headers", "text/rfc822-header", "message/rfc822-headers", "message/global-headers", "message/partial":
			if s.returned == nil {
				s.returned = p.content()
			}
		}
	}
	walk(m.tree.root)
	return s
}

// receipts makes one event per recipient.
func (m *mail) receipts(verdicts []verdict, about returned) []msg.Event {
	var events []msg.Event
	seen := make(map[string]bool)
	for _, v := range verdicts {
		if key := v.recipient + "\x00" + string(v.state); seen[key] || len(events) == maxReceipts {
			continue
		} else {
			seen[key] = true
		}
		e := m.event(msg.KindReceipt)
		e.Automatic = true
		e.Tag = about.tag
		e.Receipt = &msg.Receipt{Of: about.messageID, Recipient: v.recipient, State: v.state}
		if e.Receipt.Of == "" { // nothing says which mail: the report's own ID keeps two such reports apart
			e.Receipt.Of = m.id
		}
		e.Thread = e.Receipt.Of
		if v.code != "" || v.title != "" {
			e.Receipt.Error = &msg.ReceiptCode{Code: v.code, Title: v.title}
		}
		events = append(events, e)
	}
	return events
}

// original finds which of our mails the report is about.
func (m *mail) original(s reportParts) returned {
	var r returned
	if s.returned != nil {
		r = readReturned(unixLines(s.returned))
	}
	if r.tag == "" {
		r.tag = tagIn(m.raw)
	}
	if r.messageID != "" {
		return r
	}
	// Exchange and others name it in the report's own header only; a relay that was given our tag as envelope ID (RFC 3461
	// section 4.4) says it again when it returns nothing else.
	if ids := messageIDs(m.h.raw("in-reply-to")); len(ids) > 0 {
		r.messageID = ids[0]
	} else if ids := messageIDs(m.h.raw("references")); len(ids) > 0 {
		r.messageID = ids[len(ids)-1]
	}
	if r.messageID == "" && r.tag == "" && s.status != nil {
		if groups := fieldGroups(unixLines(s.status)); len(groups) > 0 {
			r.tag = cleanTag(unxtext(groups[0].raw("original-envelope-id")))
		}
	}
	return r
}

// unxtext undoes the encoding of envelope IDs (RFC 3461 section 4): "+2B" is a plus sign.
func unxtext(s string) string {
	return string(unpercent(strings.ReplaceAll(strings.ReplaceAll(s, "%", "%25"), "+", "%")))
}

// readReturned reads the header of a returned mail.
func readReturned(b []byte) returned {
	h, _ := readHeader(b)
	var r returned
	r.messageID = ownMessageID(h.raw("message-id"))
	r.tag = cleanTag(h.raw(strings.ToLower(TagHeader)))
	for _, name := range []string{"to", "x-failed-recipients", "cc"} {
		for _, box := range mailboxes(h.raw(name)) {
			r.to = append(r.to, box.address)
		}
		if r.to != nil {
			break
		}
	}
	return r
}

// tagIn finds our tag header anywhere in a report: some servers return the header as indented or quoted text.
func tagIn(raw []byte) string {
	i := bytes.Index(raw, []byte(TagHeader+":"))
	if i < 0 {
		return ""
	}
	return cleanTag(string(firstLine(raw[i+len(TagHeader)+1:])))
}

// cleanTag keeps what our entry IDs are made of.
func cleanTag(s string) string {
	s = strings.TrimSpace(s)
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isWord(s[i:i+1]) && c != '-' && c != '_' && c != '.' {
			s = s[:i]
			break
		}
	}
	return capped(s, 128)
}

// statusVerdicts reads the fields of a message/delivery-status (RFC 3464 section 2.3). Appliances leave out the blank lines
// between the groups, or Action, or Final-Recipient: what is there is used.
func statusVerdicts(b []byte) []verdict {
	var all []verdict
	for _, group := range fieldGroups(unixLines(b)) {
		if v, ok := statusVerdict(group); ok {
			all = append(all, v)
		}
	}
	return all
}

// fieldGroups cuts the fields at blank lines, and where a second recipient starts without one.
func fieldGroups(b []byte) []header {
	var groups []header
	for len(b) > 0 && len(groups) < 2*maxReceipts {
		b = bytes.TrimLeft(b, "\n \t")
		before := len(b)
		var h header
		h, b = readHeader(b)
		if len(h) == 0 {
			if len(b) >= before { // text where fields should be: skip a line
				_, b = cutLine(b)
			}
			continue
		}
		start, recipient := 0, false
		for i := range h {
			if h[i].name != "final-recipient" {
				continue
			}
			if recipient {
				groups = append(groups, h[start:i])
				start = i
			}
			recipient = true
		}
		groups = append(groups, h[start:])
	}
	return groups
}

func statusVerdict(h header) (verdict, bool) {
	action := strings.ToLower(h.text("action"))
	status := enhancedCode(h.raw("status"))
	final := typedAddress(h.raw("final-recipient"))
	if final == "" {
		final = typedAddress(h.raw("x-actual-recipient"))
	}
	if final == "" && action == "" && (status == "" || !h.has("diagnostic-code")) {
		return verdict{}, false
	}
	v := verdict{recipient: typedAddress(h.raw("original-recipient")), state: actionState(action, status)}
	if !strings.Contains(v.recipient, "@") {
		v.recipient = final
	}
	if v.state == msg.Failed || v.state == msg.Delayed {
		diagnostic := diagnosticText(h)
		v.code = bestCode(status, diagnostic)
		v.title = title(diagnostic)
		if final != "" && final != v.recipient {
			v.title = strings.TrimSpace(v.title + " (address there: " + final + ")")
		}
	}
	return v, true
}

// actionState maps Action (RFC 3464 section 2.3.3); where it is missing the class of Status decides.
func actionState(action, status string) msg.State {
	switch {
	case strings.HasPrefix(action, "fail"), strings.HasPrefix(action, "expire"), strings.HasPrefix(action, "undeliver"), strings.Contains(action, "bounce"):
		return msg.Failed
	case strings.HasPrefix(action, "delay"), strings.HasPrefix(action, "defer"):
		return msg.Delayed
	case strings.HasPrefix(action, "deliver"):
		return msg.Delivered
	case strings.HasPrefix(action, "relay"), strings.HasPrefix(action, "expand"):
		return msg.Sent
	case strings.HasPrefix(status, "2"):
		return msg.Delivered
	case strings.HasPrefix(status, "4"):
		return msg.Delayed
	}
	return msg.Failed
}

func diagnosticText(h header) string {
	for _, name := range []string{"diagnostic-code", "x-display-name", "x-supplementary-info", "status"} {
		value := h.text(name)
		if kind, rest, ok := strings.Cut(value, ";"); ok && len(kind) <= 20 && !strings.Contains(kind, " ") {
			value = rest
		}
		if value = strings.TrimSpace(value); value != "" {
			return value
		}
	}
	return ""
}

// title is a diagnostic as shown: one line, at most 500 characters.
func title(s string) string {
	runes := []rune(oneLine(s))
	if len(runes) > 500 {
		return string(runes[:500]) + "…"
	}
	return string(runes)
}

// typedAddress reads "rfc822; maija@x.example" (RFC 3464 section 2.3.2); a type other than mail keeps its value as it is.
func typedAddress(value string) string {
	_, address, ok := strings.Cut(value, ";")
	if !ok {
		address = value
	}
	address = decodeWords(strings.TrimSpace(address))
	if boxes := mailboxes(address); len(boxes) > 0 {
		return boxes[0].address
	}
	return strings.Trim(oneLine(capped(address, 320)), "<>")
}

// dispositionReport reads a message disposition notification (RFC 8098): the customer's program says that it was read.
func (m *mail) dispositionReport(s reportParts) []msg.Event {
	h, _ := readHeader(unixLines(s.disposition))
	about := m.original(s)
	if id := first(messageIDs(h.raw("original-message-id"))); id != "" {
		about.messageID = id
	}
	v := verdict{recipient: typedAddress(h.raw("original-recipient")), state: msg.Delivered}
	if v.recipient == "" {
		v.recipient = typedAddress(h.raw("final-recipient"))
	}
	// "automatic-action/MDN-sent-automatically; displayed": only displayed was seen by a person.
	_, kind, _ := strings.Cut(strings.ToLower(h.text("disposition")), ";")
	if strings.HasPrefix(strings.TrimSpace(kind), "displayed") {
		v.state = msg.Read
	}
	return m.receipts([]verdict{v}, about)
}

// feedbackReport reads an abuse report (RFC 5965). It says that our mail arrived and was not wanted: a receipt of delivery
// that carries the complaint, and no case. Reports about authentication (RFC 6591) are about no mail of a customer and are
// kept as automatic messages.
func (m *mail) feedbackReport(s reportParts) []msg.Event {
	h, _ := readHeader(unixLines(s.feedback))
	kind := strings.ToLower(h.text("feedback-type"))
	if kind == "" || strings.HasPrefix(kind, "auth") || kind == "dmarc" {
		return nil
	}
	v := verdict{state: msg.Delivered, code: "complaint", title: "the recipient reported the mail: " + title(kind)}
	for _, name := range []string{"original-rcpt-to", "removal-recipient"} {
		if v.recipient == "" {
			v.recipient = typedAddress(h.raw(name))
		}
	}
	about := m.original(s)
	if v.recipient == "" {
		v.recipient = first(about.to)
	}
	return m.receipts([]verdict{v}, about)
}

// enhancedCode finds a status like 5.1.1 (RFC 3463), or "".
func enhancedCode(s string) string {
	for i := 0; i+4 < len(s); i++ {
		if s[i] != '2' && s[i] != '4' && s[i] != '5' || s[i+1] != '.' || i > 0 && (isDigit(s[i-1]) || s[i-1] == '.') {
			continue
		}
		subject := digits(s[i+2:])
		if subject == 0 || i+2+subject >= len(s) || s[i+2+subject] != '.' {
			continue
		}
		detail := digits(s[i+3+subject:])
		end := i + 3 + subject + detail
		if detail == 0 || subject > 3 || detail > 3 || end+1 < len(s) && s[end] == '.' && isDigit(s[end+1]) {
			continue
		}
		return s[i:end]
	}
	return ""
}

func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// replyCode finds an SMTP reply code of a refusal (RFC 5321 section 4.2): 4xx or 5xx as a word of its own, or "".
func replyCode(s string) string {
	for i := 0; i+3 <= len(s); i++ {
		if s[i] != '4' && s[i] != '5' || !isDigit(s[i+1]) || s[i+1] > '5' || !isDigit(s[i+2]) {
			continue
		}
		before := i == 0 || strings.IndexByte(" \t\n:;(['\"#-<", s[i-1]) >= 0
		after := i+3 == len(s) || strings.IndexByte(" \t\n-:;)]'\".,#>", s[i+3]) >= 0 && !(s[i+3] == '.' && i+4 < len(s) && isDigit(s[i+4]))
		if before && after {
			return s[i : i+3]
		}
	}
	return ""
}

// bestCode prefers the code that says most: an enhanced one that is not x.0.0, then the one in the diagnostic.
func bestCode(status, diagnostic string) string {
	if status != "" && !strings.HasSuffix(status, ".0.0") {
		return status
	}
	if code := enhancedCode(diagnostic); code != "" {
		return code
	}
	if code := replyCode(diagnostic); code != "" {
		return code
	}
	return status
}
