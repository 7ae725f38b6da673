package smtprelay

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RFC 2195 knows nothing else
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/aikajana/aikajana/internal/fault"
)

// attempt is one mail on one connection.
type attempt struct {
	relay *Relay
	link  *link
	// begun says that DATA was agreed on: from here the mail may not be started again on another connection by itself.
	begun bool
	// lost says that the connection failed, rather than the relay refusing.
	lost bool
}

// submit goes through MAIL, RCPT and DATA. It returns what the relay said in the end.
func (a *attempt) submit(ctx context.Context, from string, to []string, raw []byte, tag string) (string, error) {
	client := a.link.client
	if a.link.timer != nil { // it was used before
		if err := client.Reset(); err != nil {
			return "", a.before(err)
		}
	}
	if err := fits(client, from, to, raw); err != nil {
		return "", err
	}
	options := &smtp.MailOptions{UTF8: !plain(from, to, raw), Size: int64(len(raw))}
	if tag != "" {
		options.EnvelopeID, options.Return = tag, smtp.DSNReturnHeaders
	}
	if err := client.Mail(from, options); err != nil {
		return "", a.before(err)
	}
	notify := &smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed}}
	if from == "" { // nobody to notify
		notify = nil
	}
	for _, one := range to {
		if err := client.Rcpt(one, notify); err != nil {
			return "", a.before(err)
		}
	}
	body, err := client.Data()
	if err != nil {
		return "", a.before(err)
	}
	a.begun = true
	if err := a.link.conn.SetDeadline(time.Now().Add(a.relay.o.DataTimeout)); err != nil {
		return "", a.before(err)
	}
	if _, err := body.Write(raw); err != nil {
		return "", a.before(err)
	}
	if err := ctx.Err(); err != nil {
		return "", a.before(err)
	}
	answer, err := body.CloseWithResponse() // writes the final dot
	if err != nil {
		return a.after(err)
	}
	return answer.StatusText, nil
}

// before maps a failure in front of the final dot: nothing was handed over.
func (a *attempt) before(err error) error {
	refusal, ok := errors.AsType[*smtp.SMTPError](err)
	if !ok {
		a.lost = true
		return fault.RetryAfter(15*time.Second, "connection", "the connection was lost before the mail was handed over: %w", err)
	}
	return refused(refusal)
}

// after maps a failure behind the final dot.
func (a *attempt) after(err error) (string, error) {
	refusal, ok := errors.AsType[*smtp.SMTPError](err)
	switch {
	case ok && refusal.Code/100 == 2: // 250 is what the RFC says; any 2yz is a yes
		return refusal.Message, nil
	case ok && (refusal.Code/100 == 4 || refusal.Code/100 == 5):
		return "", refused(refusal)
	}
	a.lost = true
	return "", fault.Newf(fault.Uncertain, "no_answer", "no answer came after the whole mail was handed over, it may have been sent: %w", err)
}

// refused maps a relay's no. Codes for "sign in first" and "may not sign in" (RFC 4954 section 6) are about our settings,
// not about the mail: it waits for them to be put right.
func refused(e *smtp.SMTPError) error {
	code := fmt.Sprint(e.Code)
	switch {
	case e.Code == 530 || e.Code == 534 || e.Code == 535 || e.Code == 538:
		return authFailure(e)
	case e.Code/100 == 5:
		return &fault.Error{Kind: fault.Permanent, Code: code, Err: refusal{e}}
	}
	return &fault.Error{Kind: fault.Retry, Code: code, After: time.Minute, Err: refusal{e}}
}

// refusal is a relay's no, in words fit for logs.
type refusal struct{ is *smtp.SMTPError }

func (r refusal) Error() string {
	if c := r.is.EnhancedCode; c != (smtp.EnhancedCode{}) && c != smtp.NoEnhancedCode {
		return fmt.Sprintf("the relay refused: %d %d.%d.%d %s", r.is.Code, c[0], c[1], c[2], trim(r.is.Message))
	}
	return fmt.Sprintf("the relay refused: %d %s", r.is.Code, trim(r.is.Message))
}

func (r refusal) Unwrap() error { return r.is }

// somebody matches mail addresses, so that errors and logs do not name people.
var somebody = regexp.MustCompile(`[^\s<>()"']+@[^\s<>()"',;]+`)

// trim keeps a relay's text to one short line without addresses.
func trim(text string) string {
	text = somebody.ReplaceAllString(strings.Join(strings.Fields(text), " "), "…")
	if runes := []rune(text); len(runes) > 200 {
		text = string(runes[:200]) + "…"
	}
	return text
}

// fits checks what can be known before the mail is offered.
func fits(client *smtp.Client, from string, to []string, raw []byte) error {
	if ok, _ := client.Extension("SMTPUTF8"); !ok && !plain(from, to, raw) {
		return fault.Newf(fault.Permanent, "smtputf8", "the relay does not take addresses outside ASCII (SMTPUTF8, RFC 6531); write to another address, or use a relay that does")
	}
	if limit, ok := client.MaxMessageSize(); ok && limit > 0 && len(raw) > limit {
		return fault.Newf(fault.Permanent, "552", "the mail has %d bytes and the relay takes %d; send less, or a link", len(raw), limit)
	}
	return nil
}

// plain says that envelope and header are ASCII, so that SMTPUTF8 is not needed.
func plain(from string, to []string, raw []byte) bool {
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for _, s := range append([]string{from, string(head)}, to...) {
		for i := range len(s) {
			if s[i] >= 0x80 {
				return false
			}
		}
	}
	return true
}

// checkAddresses refuses what could leave its place in a command.
func checkAddresses(from string, to []string) error {
	if len(to) == 0 {
		return fault.Newf(fault.Permanent, "address", "hand a mail to the SMTP relay: there is no recipient")
	}
	for i, one := range append([]string{from}, to...) {
		if strings.ContainsFunc(one, func(r rune) bool { return r <= ' ' || r == '<' || r == '>' || r == 0x7f }) || i > 0 && one == "" {
			return fault.Newf(fault.Permanent, "address", "hand a mail to the SMTP relay: an address is empty, or has a space, bracket or control character in it")
		}
	}
	return nil
}

// messageID is the mail's own, without brackets; "" when it has none.
func messageID(raw []byte) string {
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	unfolded := bytes.ReplaceAll(bytes.ReplaceAll(head, []byte("\r\n "), []byte(" ")), []byte("\r\n\t"), []byte(" "))
	for line := range bytes.Lines(unfolded) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && strings.EqualFold(string(name), "message-id") {
			return strings.Trim(string(bytes.TrimSpace(value)), "<>")
		}
	}
	return ""
}

var (
	sesHost   = regexp.MustCompile(`^email-smtp(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com|api\.aws)$`)
	sesAnswer = regexp.MustCompile(`(?i)^ok\s+([0-9a-z-]{20,})$`)
)

// sesMessageID is the Message-ID that Amazon SES gives a mail sent through its SMTP endpoint: it overwrites the mail's own
// ("Amazon SES header fields", seen 2026-11-23) and names the new one behind "250 Ok". The domain is the region's, and
// "email" in us-east-1.
func sesMessageID(host, status string) (string, bool) {
	region := sesHost.FindStringSubmatch(host)
	id := sesAnswer.FindStringSubmatch(strings.TrimSpace(status))
	if region == nil || id == nil {
		return "", false
	}
	if region[1] == "us-east-1" {
		return id[1] + "@email.amazonses.com", true
	}
	return id[1] + "@" + region[1] + ".amazonses.com", true
}

// cramMD5 signs in by challenge and answer (RFC 2195).
type cramMD5 struct{ username, password string }

// Start names the mechanism; there is no initial response.
func (c *cramMD5) Start() (mechanism string, ir []byte, err error) { return "CRAM-MD5", nil, nil }

// Next answers the challenge.
func (c *cramMD5) Next(challenge []byte) ([]byte, error) {
	if len(challenge) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	mac := hmac.New(md5.New, []byte(c.password))
	_, _ = mac.Write(challenge) // a hash takes everything
	return []byte(c.username + " " + hex.EncodeToString(mac.Sum(nil))), nil
}
