package email

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

var _ channel.Sender = Adapter{}

// Bounds of what is composed. RFC 5322 section 2.1.1 asks for lines of at most 78 characters.
const (
	maxSubject       = 250 // characters, without "Re:" and the case's reference
	maxSenderName    = 100
	maxSentIDs       = 20  // Message-IDs in References
	maxSentIDBytes   = 250 // of one of them
	maxColumn        = 76
	maxEncodedBytes  = 45 // of text in one encoded word: 60 characters in base64, 72 with its frame
	maxUnencodedWord = 60
)

// Send composes the answer as a mail and hands it to conn.Mail.
//
// The mail is text/plain in UTF-8, quoted-printable. It is not format=flowed: soft line breaks keep each paragraph on one
// line already, and every client wraps that. No file is attached and no quote added.
//
// Envelope sender: what a person wrote comes from the signed reply address where that lies in the account's own domain (so
// that a bounce without any header still leads to its case), else from the account's first address. What no person wrote
// (Outbound.Automatic) comes from the null sender, so that nothing can answer it (RFC 3834 section 3.3); a mailer that
// cannot send from nobody uses the From address.
//
// The receipt's Of and MessageID are the Message-ID under which the mail left, without angle brackets. Errors: those of the
// mailer, and fault.Permanent with code "empty", "too_long" or "address" for what is never handed over.
func (a Adapter) Send(ctx context.Context, conn channel.Conn, out msg.Outbound) (msg.Receipt, error) {
	if conn.Mail == nil || conn.Account == nil {
		return msg.Receipt{}, fault.Newf(fault.Permanent, "no_mailer", "send reply %s by mail: nothing is set up to send mail; set a relay", oneLine(out.Entry))
	}
	o, err := a.outgoing(conn.Account, out)
	if err != nil {
		return msg.Receipt{}, fmt.Errorf("send reply %s by mail account %q: %w", oneLine(out.Entry), conn.Account.ID, err)
	}
	id, err := conn.Mail.SendMail(ctx, o.envelope, []string{o.to}, o.compose(), headerToken(out.Entry))
	if err != nil {
		return msg.Receipt{}, fmt.Errorf("send reply %s by mail account %q: %w", oneLine(out.Entry), conn.Account.ID, err)
	}
	if id == "" {
		id = o.messageID
	}
	return msg.Receipt{Of: id, State: msg.Accepted, MessageID: id}, nil
}

// outgoing is a mail to be composed. Every field is fit for its place: no control characters, no line ends.
type outgoing struct {
	msg.Outbound
	envelope, from, name, to, replyTo string
	subject, messageID, signature     string
	references                        []string
}

func (a Adapter) outgoing(account *channel.Account, out msg.Outbound) (*outgoing, error) {
	info := a.Info()
	switch n := utf8.RuneCountInString(out.Text); {
	case strings.TrimSpace(out.Text) == "":
		return nil, fault.Newf(fault.Permanent, "empty", "the answer has no text")
	case n > info.Can.Text:
		return nil, fault.Newf(fault.Permanent, "too_long", "the answer has %d characters and %d are allowed; split it", n, info.Can.Text)
	}
	o := &outgoing{Outbound: out, signature: strings.TrimRight(account.Setting(&info, "signature"), " \t\r\n")}
	first, _, _ := strings.Cut(account.Setting(&info, "address"), ",")
	var err error
	if o.from, err = wireAddress(first); err != nil {
		return nil, fmt.Errorf("the account's setting \"address\": %w", err)
	}
	if o.to, err = wireAddress(out.To.Value); err != nil {
		return nil, fmt.Errorf("the customer's address: %w", err)
	}
	o.envelope = o.from
	if out.ReplyAddress != "" {
		if o.replyTo, err = wireAddress(out.ReplyAddress); err != nil {
			return nil, fmt.Errorf("the signed reply address: %w", err)
		}
		if domainOf(o.replyTo) == domainOf(o.from) {
			o.envelope = o.replyTo
		}
	}
	if out.Automatic {
		o.envelope = ""
	}
	if o.name = oneLine(out.SenderName); o.name == "" {
		o.name = oneLine(account.Setting(&info, "sender_name"))
	}
	if runes := []rune(o.name); len(runes) > maxSenderName {
		o.name = string(runes[:maxSenderName])
	}
	o.references = sentIDs(out.References)
	// An automatic mail has a subject of its own that says what it is (RFC 3834 section 3.1.5) and repeats nothing of the
	// sender's, whose address may be somebody else's: it is no answer to that subject. Its references keep it in the thread.
	o.subject = sentSubject(out.Subject, out.Reference, len(o.references) > 0 && !out.Automatic)
	if o.messageID = out.MessageID; !isMessageID(o.messageID) {
		o.messageID = headerToken(out.Entry) + "@" + domainOf(o.from)
	}
	return o, nil
}

// compose writes the mail, with CRLF line ends.
func (o *outgoing) compose() []byte {
	var b bytes.Buffer
	b.Grow(len(o.Text)*5/4 + 2048)
	field := func(name string, words ...string) { writeField(&b, name, words) }
	field("From", append(phrase(o.name), mailboxOf(o.from))...)
	field("To", mailboxOf(o.to)) // without a name: what people call themselves is not repeated to anybody
	if o.replyTo != "" && o.replyTo != o.from {
		field("Reply-To", append(phrase(o.name), mailboxOf(o.replyTo))...)
	}
	field("Subject", headerText(o.subject)...)
	field("Date", o.Time.Time().Format(time.RFC1123Z))
	field("Message-ID", "<"+o.messageID+">")
	if n := len(o.references); n > 0 {
		field("In-Reply-To", "<"+o.references[n-1]+">")
		all := make([]string, n)
		for i, id := range o.references {
			all[i] = "<" + id + ">"
		}
		field("References", all...)
	}
	if tag := headerToken(o.Entry); tag != "" {
		field(TagHeader, tag)
	}
	if o.Automatic {
		field("Auto-Submitted", "auto-replied")  // RFC 3834 section 5
		field("X-Auto-Response-Suppress", "All") // [MS-OXCMAIL] section 2.1.3.2.21: Exchange minds this one
		field("Precedence", "auto_reply")        // for the responders from before RFC 3834
	}
	field("MIME-Version", "1.0")
	field("Content-Type", "text/plain;", "charset=utf-8")
	field("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	text := o.Text
	if o.signature != "" {
		text = strings.TrimRight(text, " \t\r\n") + "\n\n-- \n" + o.signature
	}
	q := quotedprintable.NewWriter(&b)
	_, _ = q.Write([]byte(sentText(text))) // a buffer takes everything
	_ = q.Close()
	return b.Bytes()
}

// sentText makes any text fit for a mail: CRLF line ends, one at the end, no control characters but tabs, valid UTF-8.
func sentText(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n").Replace(s)
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
	return strings.ReplaceAll(strings.TrimRight(s, " \t\n")+"\n", "\n", "\r\n")
}

// sentSubject is "Re: " once for an answer, the subject, and the case's reference when it does not stand in it yet.
func sentSubject(subject, reference string, answer bool) string {
	subject, reference = oneLine(strings.ToValidUTF8(subject, "\uFFFD")), oneLine(reference)
	for {
		prefix, rest, ok := strings.Cut(subject, ":")
		if !ok || !answersIn[strings.ToLower(strings.TrimSpace(prefix))] {
			break
		}
		subject, answer = strings.TrimSpace(rest), true
	}
	if runes := []rune(subject); len(runes) > maxSubject {
		subject = string(runes[:maxSubject]) + "…"
	}
	if reference != "" && !strings.Contains(subject, reference) {
		subject = strings.TrimSpace(subject + " [" + reference + "]")
	}
	if answer {
		subject = "Re: " + subject
	}
	return subject
}

// answersIn are the prefixes of answers in the languages of the desk and its neighbours.
var answersIn = map[string]bool{"re": true, "vs": true, "vast": true, "sv": true, "aw": true, "antw": true}

// sentIDs are the Message-IDs to refer to: those that are fit for a header, the first (the thread's root) and the newest.
func sentIDs(ids []string) []string {
	var fit []string
	for _, id := range ids {
		if isMessageID(id) {
			fit = append(fit, id)
		}
	}
	if len(fit) > maxSentIDs {
		fit = append(fit[:1:1], fit[len(fit)-maxSentIDs+1:]...)
	}
	return fit
}

// isMessageID says that an ID, without brackets, may stand in a header as it is.
func isMessageID(id string) bool {
	if id == "" || len(id) > maxSentIDBytes {
		return false
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

// headerToken keeps the characters that a tag may have everywhere: in a header, as a tag of SES, as an envelope ID.
func headerToken(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)) || r == '-' || r == '_' {
			return r
		}
		return -1
	}, s)
	return capped(s, 64)
}

// wireAddress is an address as it goes over the wire: the domain in A-labels (RFC 5891). A local part outside ASCII stays;
// whether it can be sent to is for the mailer to say (SMTPUTF8).
func wireAddress(address string) (string, error) {
	address = strings.TrimSpace(address)
	at := strings.LastIndexByte(address, '@')
	if at <= 0 || len(address) > 320 || !utf8.ValidString(address) ||
		strings.ContainsFunc(address, func(r rune) bool {
			return unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune(`<>(),;:\"[]`, r)
		}) {
		return "", fault.Newf(fault.Permanent, "address", "it is not a mail address that can be written to")
	}
	domain, err := idna.Lookup.ToASCII(strings.TrimSuffix(address[at+1:], "."))
	if err != nil || domain == "" || strings.Contains(address[:at], "@") {
		return "", fault.Newf(fault.Permanent, "address", "its domain is not one that can be written to")
	}
	return address[:at+1] + domain, nil
}

func mailboxOf(address string) string { return (&netmail.Address{Address: address}).String() }

// phrase is a display name as words of a header: quoted when it is plain, encoded when it is not; nothing for "".
func phrase(name string) []string {
	if name == "" {
		return nil
	}
	if words := headerText(name); len(words) > 0 && strings.HasPrefix(words[0], "=?") {
		return words
	}
	return []string{`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`}
}

// headerText is a line of text as words of a header (RFC 2047). It is encoded whole when any of it needs to be: characters
// outside ASCII, what would be taken for an encoded word, and words too long to fold.
func headerText(s string) []string {
	plain := isASCII(s) && !strings.Contains(s, "=?")
	words := strings.Fields(s)
	for _, w := range words {
		plain = plain && len(w) <= maxUnencodedWord
	}
	if plain {
		return words
	}
	var encoded []string
	for len(s) > 0 {
		n := 0
		for n < len(s) {
			_, size := utf8.DecodeRuneInString(s[n:])
			if n+size > maxEncodedBytes {
				break
			}
			n += size
		}
		encoded = append(encoded, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return encoded
}

// writeField folds a field at its words (RFC 5322 section 2.2.3). A word that somehow still holds a line end loses it: this
// is the one place that all headers pass (FAULTS 40).
func writeField(b *bytes.Buffer, name string, words []string) {
	b.WriteString(name)
	b.WriteByte(':')
	column := len(name) + 1
	for _, w := range words {
		w = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return -1
			}
			return r
		}, w)
		if column+1+len(w) > maxColumn && column > len(name)+1 {
			b.WriteString("\r\n")
			column = 0
		}
		b.WriteByte(' ')
		b.WriteString(w)
		column += 1 + len(w)
	}
	b.WriteString("\r\n")
}
