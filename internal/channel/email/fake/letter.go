package fake

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-smtp"
)

// Letter is a mail that somebody writes to the desk.
type Letter struct {
	// From and To are bare addresses; Name is the display name of From.
	From, Name string
	To         []string
	// Sender is the envelope sender when it is not From; NullSender makes it "<>".
	Sender     string
	NullSender bool
	Subject    string
	Text       string
	Date       time.Time
	// MessageID, InReplyTo and References are without angle brackets.
	MessageID  string
	InReplyTo  string
	References []string
	// Extra are further header lines, without line endings: "Auto-Submitted: auto-replied".
	Extra []string
	// Raw, when set, is sent as it is, and only the envelope is taken from the other fields.
	Raw []byte
	// Sign signs the mail with DKIM.
	Sign *Key
}

// Bytes composes the mail.
func (l Letter) Bytes() ([]byte, error) {
	raw := l.Raw
	if raw == nil {
		raw = l.compose()
	}
	if l.Sign == nil {
		return raw, nil
	}
	var signed bytes.Buffer
	err := dkim.Sign(&signed, bytes.NewReader(raw), &dkim.SignOptions{
		Domain: l.Sign.Domain, Selector: l.Sign.Selector, Signer: l.Sign.private,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	})
	if err != nil {
		return nil, fmt.Errorf("sign a letter of %s: %w", l.Sign.Domain, err)
	}
	return signed.Bytes(), nil
}

func (l Letter) compose() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	from := "<" + l.From + ">"
	if l.Name != "" {
		from = mime.BEncoding.Encode("utf-8", l.Name) + " " + from
	}
	line("From: %s", from)
	line("To: %s", strings.Join(l.To, ", "))
	line("Subject: %s", mime.BEncoding.Encode("utf-8", l.Subject))
	line("Date: %s", l.Date.UTC().Format(time.RFC1123Z))
	if l.MessageID != "" {
		line("Message-ID: <%s>", l.MessageID)
	}
	if l.InReplyTo != "" {
		line("In-Reply-To: <%s>", l.InReplyTo)
	}
	if len(l.References) > 0 {
		line("References: <%s>", strings.Join(l.References, ">\r\n <"))
	}
	for _, extra := range l.Extra {
		line("%s", extra)
	}
	line("MIME-Version: 1.0")
	line("Content-Type: text/plain; charset=utf-8")
	line("Content-Transfer-Encoding: quoted-printable")
	line("")
	q := quotedprintable.NewWriter(&b)
	_, _ = q.Write([]byte(strings.ReplaceAll(l.Text, "\n", "\r\n"))) // a buffer takes everything
	_ = q.Close()
	b.WriteString("\r\n")
	return b.Bytes()
}

// Send hands the letter to the SMTP server at addr, as a customer's provider would: without authentication, with the text
// as it is. A refusal is a *smtp.SMTPError.
func Send(ctx context.Context, addr string, l Letter) error {
	raw, err := l.Bytes()
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("send a letter to %s: %w", addr, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	client := smtp.NewClient(conn)
	defer func() { _ = client.Close() }() // after Quit the connection is closed already
	if err := client.Hello("mail.world.example"); err != nil {
		return fmt.Errorf("greet %s: %w", addr, err)
	}
	sender := l.Sender
	if sender == "" && !l.NullSender {
		sender = l.From
	}
	if err := client.SendMail(sender, l.To, bytes.NewReader(raw)); err != nil {
		return fmt.Errorf("send a letter to %s: %w", addr, err)
	}
	return client.Quit()
}

// Reply answers a mail of the desk: to its Reply-To, or else its From, with its Message-ID in the references.
func Reply(m Mail, from, messageID, text string, date time.Time) *Letter {
	to := m.Header("Reply-To")
	if to == "" {
		to = m.Header("From")
	}
	if i := strings.LastIndexByte(to, '<'); i >= 0 {
		to = strings.TrimSuffix(to[i+1:], ">")
	}
	of := strings.Trim(m.Header("Message-ID"), "<>")
	subject, err := (&mime.WordDecoder{}).DecodeHeader(m.Header("Subject"))
	if err != nil {
		subject = m.Header("Subject")
	}
	if !strings.HasPrefix(strings.ToLower(subject), "re:") {
		subject = "Re: " + subject
	}
	var references []string
	for _, id := range strings.Fields(m.Header("References")) {
		references = append(references, strings.Trim(id, "<>"))
	}
	return &Letter{
		From: from, To: []string{to}, Subject: subject, Text: text, Date: date,
		MessageID: messageID, InReplyTo: of, References: append(references, of),
	}
}

// Vacation is the automatic answer of somebody who is away (RFC 3834).
func Vacation(m Mail, from, messageID string, date time.Time) *Letter {
	l := Reply(m, from, messageID, "I am away until Monday.", date)
	l.NullSender = true
	l.Extra = []string{"Auto-Submitted: auto-replied", "X-Auto-Response-Suppress: All"}
	return l
}

// Bounce is the delivery report (RFC 3464) that a server sends to a mail's sender. action is "failed" or "delayed", status
// an enhanced code like "5.1.1", diagnostic what the last server said. It returns nil for a mail from the null sender,
// which nobody bounces.
func Bounce(m Mail, action, status, diagnostic, messageID string, date time.Time) *Letter {
	if m.Sender == "" || len(m.Recipients) == 0 {
		return nil
	}
	head, _, _ := bytes.Cut(m.Raw, []byte("\r\n\r\n"))
	boundary := "report-" + base64.RawURLEncoding.EncodeToString([]byte(messageID))
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("From: Mail Delivery System <mailer-daemon@mx.world.example>")
	line("To: %s", m.Sender)
	line("Subject: Undelivered mail")
	line("Date: %s", date.UTC().Format(time.RFC1123Z))
	line("Message-ID: <%s>", messageID)
	line("Auto-Submitted: auto-replied")
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status; boundary=%q", boundary)
	line("")
	line("--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n", boundary)
	line("Your mail could not be delivered.")
	line("--%s\r\nContent-Type: message/delivery-status\r\n", boundary)
	line("Reporting-MTA: dns; mx.world.example")
	if m.EnvelopeID != "" {
		line("Original-Envelope-Id: %s", m.EnvelopeID)
	}
	line("")
	line("Final-Recipient: rfc822; %s\r\nAction: %s\r\nStatus: %s\r\nDiagnostic-Code: smtp; %s\r\n", m.Recipients[0], action, status, diagnostic)
	line("--%s\r\nContent-Type: text/rfc822-headers\r\n", boundary)
	line("%s", head)
	line("--%s--", boundary)
	return &Letter{From: "mailer-daemon@mx.world.example", NullSender: true, To: []string{m.Sender}, Raw: b.Bytes()}
}
