package email

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// The identity kinds of mail. Only an authenticated mail comes from KindEmail; an address that anybody may have typed is
// KindUnverified, and never the same customer.
const (
	KindEmail      = "email"
	KindUnverified = "email.unverified"
)

// TagHeader carries our entry's ID in every mail that we send, so that a report which returns the mail's header names the
// answer that it is about.
const TagHeader = "X-Aikajana-Entry"

// tokenMark may stand in front of a signed reply token: "help+r.<token>@desk.example". The token's alphabet is base32 in
// lower case, so that no relay changes it.
const tokenMark = "r."

// maxReferences is how many Message-IDs of a thread are kept: the newest.
const maxReferences = 50

// maxMessageIDBytes caps one Message-ID; RFC 5322 section 2.1.1 allows lines of 998.
const maxMessageIDBytes = 998

// Adapter is the email channel. It has no state; all methods are safe for concurrent use.
type Adapter struct{}

var (
	_ channel.Adapter   = Adapter{}
	_ channel.Extractor = Adapter{}
)

// Info declares the channel.
func (Adapter) Info() channel.Info {
	return channel.Info{
		ID:        "email",
		Name:      "Email",
		Mark:      "✉",
		Reference: "https://www.rfc-editor.org/rfc/rfc5322",
		Settings: []channel.Setting{
			{Name: "address", Required: true, Pattern: `\s*[^@\s,]+@[^@\s,]+(\s*,\s*[^@\s,]+@[^@\s,]+)*\s*`,
				Help: "The addresses that customers write to, separated by commas; answers come from the first one."},
			{Name: "sender_name", Help: "The name that customers see beside the address, like \"Desk customer service\"."},
			{Name: "language", Default: "en", Pattern: `fi|sv|en`, Help: "The language of automatic answers: fi, sv or en."},
			{Name: "signature", Help: "Text put under every answer, after \"-- \"."},
			{Name: "spam", Default: "quarantine", Pattern: `quarantine|accept`,
				Help: "What becomes of mail that the receiving side judged spam: quarantine, or accept it like any other."},
		},
		Identities:   []string{KindEmail, KindUnverified},
		Threading:    channel.ByReferences,
		TimeAsserted: true,
		Can: channel.Capabilities{
			Text:     100_000,
			Subject:  true,
			Quote:    true,
			Undo:     10 * time.Second,
			Receipts: []msg.State{msg.Sent, msg.Delayed, msg.Delivered, msg.Read, msg.Failed},
		},
		AnswerBy:     []string{"form"},
		ServiceLevel: channel.ServiceLevel{FirstAnswer: 24 * time.Hour, Solved: 72 * time.Hour, WorkingTime: true},
	}
}

// Parse reads one mail: a message, or the receipts that a bounce or a delivery report tells of.
//
// No mail is an error. What cannot be read becomes a message with a part of kind raw and a text that says so. Only what the
// receiving side judged to carry a virus, or spam where the account's setting says so, is rejected with cause spam: the
// quarantine shows it.
func (a Adapter) Parse(env channel.Envelope) ([]msg.Event, error) {
	m := readMail(env)
	if rejected := judged(m.env); rejected != nil {
		rejected.From = m.whose()
		return nil, rejected
	}
	if reports := m.reports(); len(reports) > 0 {
		return reports, nil
	}
	return []msg.Event{m.message()}, nil
}

// whose are the identities that the mail would be of, proven or not: an erasure finds a rejected one by either.
func (m *mail) whose() []msg.Address {
	from := m.event(msg.KindMessage).From
	if from.Value == "" {
		return nil
	}
	return []msg.Address{{Kind: KindEmail, Value: from.Value}, {Kind: KindUnverified, Value: from.Value}}
}

// judged refuses what the receiving side found to be a virus or spam.
func judged(env channel.Envelope) *channel.Rejected {
	switch {
	case env.Mail == nil:
		return nil
	case env.Mail.Virus == "FAIL":
		return &channel.Rejected{Cause: channel.CauseSpam, Detail: "the receiving side found a virus in the mail (verdict virus: FAIL)"}
	case env.Mail.Spam == "FAIL" && env.Settings["spam"] != "accept":
		return &channel.Rejected{Cause: channel.CauseSpam,
			Detail: "the receiving side judged the mail spam (verdict spam: FAIL); set the account's \"spam\" to \"accept\" and replay it to let it in"}
	}
	return nil
}

// Extract returns the file that Parse described: m.ID is its place in the mail.
func (a Adapter) Extract(env channel.Envelope, m msg.Media) ([]byte, error) {
	t := readTree(unixLines(env.Body))
	place, inner, packed := strings.Cut(m.ID, "/")
	if text, n, ok := strings.Cut(place, ".uu"); ok {
		if p := t.find(text); p != nil {
			if data, ok := uuNumber(p.body, n); ok {
				return data, nil
			}
		}
		return nil, missing(env, m)
	}
	p := t.find(place)
	if p == nil {
		return nil, missing(env, m)
	}
	if packed {
		data, ok := tnefFile(p.content(), inner)
		if !ok {
			return nil, missing(env, m)
		}
		return data, nil
	}
	return p.content(), nil
}

func missing(env channel.Envelope, m msg.Media) error {
	return fault.Newf(fault.Permanent, "no_such_part", "extract part %q of mail %s: the mail has no such part", m.ID, env.ID)
}

// mail is one mail as read, with what decides about it.
type mail struct {
	env     channel.Envelope
	raw     []byte // LF line ends
	tree    *tree
	h       header
	from    []mailbox
	proven  bool // the From is authenticated
	own     bool // the From is one of the account's own addresses
	id      string
	subject string
	depth   int // of a report inside a report
}

func readMail(env channel.Envelope) *mail {
	m := &mail{env: env, raw: unixLines(env.Body)}
	m.tree = readTree(m.raw)
	m.h = m.tree.root.header
	if facts := env.Mail; facts != nil && facts.Via == "ses" && facts.SPFDomain == "" && facts.DKIMDomains == nil {
		// SES's announcement says that DKIM passed, not for whom: that stands in the header which SES wrote on top.
		own := *facts
		judgedBySES(m.h, &own)
		m.env.Mail = &own
	}
	m.from = mailboxes(m.h.raw("from"))
	if len(m.from) == 0 {
		m.from = mailboxes(m.h.raw("sender"))
	}
	m.proven = m.h.count("from") == 1 && authenticated(m.env.Mail, m.from)
	m.own = len(m.from) > 0 && ownAddress(env.Settings["address"], m.from[0].address)
	m.subject = limitedLine(m.h.text("subject"))
	m.id = m.hash()
	return m
}

func limitedLine(s string) string {
	if runes := []rune(s); len(runes) > 1000 {
		return string(runes[:1000]) + "…"
	}
	return s
}

// hash is the mail's ID: over whether it is authenticated, From, Message-ID, Date and body. A stranger who
// reuses a Message-ID hides nothing, and a relay that adds headers or changes line ends makes no second mail.
func (m *mail) hash() string {
	sum := sha256.New()
	from := ""
	if len(m.from) > 0 {
		from = m.from[0].address
	}
	proven := "unverified"
	if m.proven {
		proven = "authenticated"
	}
	for _, s := range []string{proven, from, m.h.raw("message-id"), m.h.raw("date")} {
		_, _ = sum.Write(append([]byte(s), 0)) // a hash never fails
	}
	_, body := readHeader(m.raw)
	_, _ = sum.Write(bytes.TrimRight(body, "\n"))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum.Sum(nil)[:20]))
}

// ownAddress says whether address, without anything after a plus sign, is one of the account's.
func ownAddress(settings, address string) bool {
	plain := withoutTag(address)
	for _, own := range strings.Split(settings, ",") {
		if own, ok := normalAddress(own); ok && (own == address || withoutTag(own) == plain) {
			return true
		}
	}
	return false
}

func withoutTag(address string) string {
	at := strings.LastIndexByte(address, '@')
	if plus := strings.IndexByte(address[:at], '+'); plus > 0 {
		return address[:plus] + address[at:]
	}
	return address
}

// native is what only mail has; nobody outside this package reads it.
type native struct {
	ReplyTo string   `json:"reply_to,omitempty"`
	To      []string `json:"to,omitempty"`
	Cc      []string `json:"cc,omitempty"`
	ListID  string   `json:"list_id,omitempty"`
}

// event is what a message and a receipt of this mail have in common.
func (m *mail) event(kind msg.Kind) msg.Event {
	e := msg.Event{
		Channel: "email", Account: m.env.Account, ID: m.id, Kind: kind, Direction: msg.In,
		Time: parseDate(m.h.raw("date")),
	}
	if len(m.from) > 0 {
		e.From.Value, e.From.Name = m.from[0].address, m.from[0].name
	} else {
		e.From.Name = plainName(capped(m.h.text("from"), 200))
	}
	if e.From.Value == "" && m.env.Mail != nil { // no usable From: the envelope's sender is the next best claim
		e.From.Value, _ = normalAddress(m.env.Mail.Sender)
	}
	switch {
	case m.proven:
		e.From.Kind = KindEmail
	case e.From.Value != "":
		e.From.Kind = KindUnverified
	}
	return e
}

// message is the mail as something that somebody wrote.
func (m *mail) message() msg.Event {
	e := m.event(msg.KindMessage)
	e.Automatic = m.automatic()
	if m.own { // FAULTS 12: our own mail coming back opens no case
		e.Direction, e.Automatic = msg.Out, true
		e.To = m.recipients(e.From)
	}
	ids := messageIDs(m.h.raw("references"))
	if len(ids) > maxReferences {
		ids = ids[len(ids)-maxReferences:]
	}
	inReplyTo := first(messageIDs(m.h.raw("in-reply-to")))
	e.Message = &msg.Message{
		Subject:    m.subject,
		MessageID:  ownMessageID(m.h.raw("message-id")),
		InReplyTo:  inReplyTo,
		References: ids,
		ReplyToken: m.replyToken(),
		Language:   language(m.h.raw("content-language")),
	}
	switch {
	case len(ids) > 0:
		e.Thread = ids[0]
	case inReplyTo != "":
		e.Thread = inReplyTo
	case e.Message.MessageID != "":
		e.Thread = e.Message.MessageID
	default:
		e.Thread = m.id
	}
	m.fill(e.Message, inReplyTo != "" || len(ids) > 0 || answers(m.subject))
	e.Native = m.native()
	return e
}

// fill puts text and files into the message.
func (m *mail) fill(out *msg.Message, reply bool) {
	body := readBody(m.tree, reply)
	w := separate(body.lines)
	switch {
	case forwards(m.subject):
		w.own, w.quoted = w.full, ""
	case w.nothing && len(body.parts) > 0 && m.h.has("in-reply-to"): // an answer that is a file
		w.own, w.quoted = "", w.full
	}
	for _, note := range body.notes {
		w.own = strings.TrimPrefix(w.own+"\n\n"+note, "\n\n")
		w.full = strings.TrimPrefix(w.full+"\n\n"+note, "\n\n")
	}
	out.Text, out.Quoted, out.FullText = limited(w.own), limited(w.quoted), limited(w.full)
	out.Parts = body.parts
	if !m.tree.cut && (out.Text != "" || len(out.Parts) > 0) {
		return
	}
	// FAULTS 37, 42: the card that stands for a mail which could not be read whole.
	why := "[this mail could not be read: open the raw mail]"
	if m.tree.cut {
		why = "[this mail has more parts than are read here: open the raw mail for the rest]"
	} else if len(bytes.TrimSpace(m.tree.root.body)) == 0 {
		why = "[a mail without text]"
	}
	if m.tree.cut {
		out.Text = strings.TrimPrefix(out.Text+"\n\n"+why, "\n\n")
		out.FullText = strings.TrimPrefix(out.FullText+"\n\n"+why, "\n\n")
	}
	out.Parts = append(out.Parts, msg.Part{Kind: msg.PartRaw, Text: why})
}

// forwards says that the subject is one of a forward: Outlook writes the same heading above what it forwards as above what it
// answers.
func forwards(subject string) bool {
	prefix, _, ok := strings.Cut(subject, ":")
	return ok && forwardPrefixes[strings.ToLower(strings.TrimSpace(prefix))]
}

// answers says that the subject is one of an answer or a forward.
func answers(subject string) bool {
	prefix, _, ok := strings.Cut(subject, ":")
	return ok && len(prefix) <= 6
}

// recipients are whom our own mail was for. They are of the sender's kind: an address that somebody merely claims to have
// written to from ours is no customer's. A mail to ourselves alone is to the address that it came from.
func (m *mail) recipients(from msg.Address) []msg.Address {
	var to []msg.Address
	for _, name := range []string{"to", "cc"} {
		for _, r := range mailboxes(m.h.raw(name)) {
			if !ownAddress(m.env.Settings["address"], r.address) {
				to = append(to, msg.Address{Kind: from.Kind, Value: r.address, Name: r.name})
			}
		}
	}
	if to == nil {
		to = []msg.Address{{Kind: from.Kind, Value: from.Value}}
	}
	return to
}

func (m *mail) native() json.RawMessage {
	var n native
	for _, r := range mailboxes(m.h.raw("reply-to")) {
		if len(m.from) == 0 || r.address != m.from[0].address {
			n.ReplyTo = r.address
		}
	}
	for _, r := range mailboxes(m.h.raw("to")) {
		n.To = append(n.To, r.address)
	}
	for _, r := range mailboxes(m.h.raw("cc")) {
		n.Cc = append(n.Cc, r.address)
	}
	n.ListID = capped(m.h.text("list-id"), 200)
	if n.ReplyTo == "" && n.Cc == nil && n.ListID == "" && len(n.To) <= 1 {
		return nil
	}
	b, err := json.Marshal(n)
	if err != nil { // plain strings: cannot fail
		return nil
	}
	return b
}

// replyToken finds the signed reply address among those that the mail was sent to; the envelope's decide before the header's.
func (m *mail) replyToken() string {
	var addresses []string
	if m.env.Mail != nil {
		addresses = append(addresses, m.env.Mail.Recipients...)
	}
	for _, name := range []string{"delivered-to", "x-original-to", "envelope-to", "to", "cc"} {
		for _, r := range mailboxes(m.h.raw(name)) {
			addresses = append(addresses, r.address)
		}
	}
	for _, address := range addresses {
		address, ok := normalAddress(address)
		if !ok {
			continue
		}
		if token := tokenOf(address); token != "" {
			return token
		}
	}
	return ""
}

// tokenLength is a token of 128 bits in base32 (RFC 4648 section 6), without padding.
const tokenLength = 26

// tokenOf is the token in "help+<token>@desk.example". Without the mark it must have the length of one: customers may be given
// addresses like help+orders. Whether it is a token of ours is the store's to say.
func tokenOf(address string) string {
	local := address[:strings.LastIndexByte(address, '@')]
	at := strings.LastIndexByte(local, '+')
	if at <= 0 || len(local) > 64 {
		return ""
	}
	token, marked := strings.CutPrefix(local[at+1:], tokenMark)
	if !isWord(token) || !marked && len(token) != tokenLength {
		return ""
	}
	return token
}

// messageIDs lists the Message-IDs of a header without their angle brackets (RFC 5322 section 3.6.4); comments and words
// between them, as old programs wrote them, are skipped.
func messageIDs(value string) []string {
	var ids []string
	rest := value
	for {
		open := strings.IndexByte(rest, '<')
		if open < 0 {
			break
		}
		end := strings.IndexByte(rest[open:], '>')
		if end < 0 {
			break
		}
		if id := cleanID(rest[open+1 : open+end]); id != "" {
			ids = append(ids, id)
		}
		rest = rest[open+end+1:]
	}
	if ids == nil {
		for _, word := range strings.Fields(value) {
			if strings.Contains(word, "@") {
				if id := cleanID(word); id != "" {
					ids = append(ids, id)
				}
			}
		}
	}
	return ids
}

// ownMessageID is the mail's own: any shape is kept (FAULTS 39).
func ownMessageID(value string) string {
	if id := first(messageIDs(value)); id != "" {
		return id
	}
	return cleanID(value)
}

func cleanID(s string) string {
	s = toUTF8([]byte(strings.Trim(s, "<> \t")), "")
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r == '<' || r == '>' {
			return -1
		}
		return r
	}, s)
	if len(s) > maxMessageIDBytes {
		return ""
	}
	return s
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

// language is the first tag of a Content-Language, when it looks like one (RFC 3282).
func language(value string) string {
	tag, _, _ := strings.Cut(value, ",")
	tag = strings.TrimSpace(tag)
	if len(tag) < 2 || len(tag) > 12 || !isWord(strings.ReplaceAll(tag, "-", "")) {
		return ""
	}
	return tag
}
