// Package sesmail sends mail through Amazon SES (SESv2, SendEmail with raw content): the [channel.Mailer] on AWS.
//
// SES gives every mail a Message-ID and a Date of its own ("Amazon SES header fields", Developer Guide, seen 2026-11-23), so
// what SendMail returns is never the mail's own Message-ID.
package sesmail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/email"
	"github.com/aikajana/aikajana/internal/fault"
)

// maxBytes is what SESv2 takes in one mail, encoded ("Service quotas in Amazon SES": 40 MB, seen 2026-11-23).
const maxBytes = 40 << 20

// Client is the part of *sesv2.Client that is used.
type Client interface {
	SendEmail(ctx context.Context, in *sesv2.SendEmailInput, with ...func(*sesv2.Options)) (*sesv2.SendEmailOutput, error)
}

// Mailer sends through one region. Safe for concurrent use.
type Mailer struct {
	client           Client
	region           string
	configurationSet string
}

var _ channel.Mailer = (*Mailer)(nil)

// New makes a Mailer for the client's region. The configuration set is what publishes events; without one nobody hears what
// became of a mail.
func New(client Client, region, configurationSet string) *Mailer {
	return &Mailer{client: client, region: region, configurationSet: configurationSet}
}

// SendMail makes one attempt: the SDK's own retries are off, because a lost answer may be that of an accepted mail.
//
// from is not passed on: SES sends from the From header, which a verified identity covers, and takes bounces at an address
// of its own. That holds for the null sender too. The tag travels as the tag "entry" and comes back in events.
//
// Errors: fault.Permanent for a mail that SES rejects as it is; fault.Retry when SES refused to take any mail right now, also
// for what an operator must mend (a paused account, an unverified domain, a missing permission); fault.Uncertain when no
// answer came, or none that says.
func (m *Mailer) SendMail(ctx context.Context, _ string, to []string, raw []byte, tag string) (string, error) {
	switch {
	case len(to) == 0:
		return "", fault.Newf(fault.Permanent, "address", "send a mail through SES: there is no recipient")
	case len(raw) > maxBytes:
		return "", fault.Newf(fault.Permanent, "too_large", "send a mail through SES: it has %d bytes and SES takes %d; send less, or a link", len(raw), maxBytes)
	}
	for _, one := range to {
		if strings.ContainsFunc(one, func(r rune) bool { return r >= 0x80 }) {
			return "", fault.Newf(fault.Permanent, "smtputf8", "send a mail through SES: it takes no address outside ASCII; write to another address of this person")
		}
	}
	in := &sesv2.SendEmailInput{
		Content:     &types.EmailContent{Raw: &types.RawMessage{Data: raw}},
		Destination: &types.Destination{ToAddresses: to},
	}
	if m.configurationSet != "" {
		in.ConfigurationSetName = aws.String(m.configurationSet)
	}
	if tag != "" {
		in.EmailTags = []types.MessageTag{{Name: aws.String(email.SESTag), Value: aws.String(tag)}}
	}
	out, err := m.client.SendEmail(ctx, in, once)
	if err != nil {
		return "", fmt.Errorf("send a mail through SES in %s: %w", m.region, disposition(err))
	}
	return email.SESMessageID(m.region, aws.ToString(out.MessageId)), nil
}

func once(o *sesv2.Options) { o.Retryer = aws.NopRetryer{} }

// disposition types what the SDK failed with.
func disposition(err error) error {
	// Status 0 is the SDK's way to say that there was no response.
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && answer.HTTPStatusCode() != 0 {
		return refused(err, answer.HTTPStatusCode())
	}
	if unsent(err) {
		return fault.RetryAfter(15*time.Second, "connection", "connect: %w", err)
	}
	if _, sent := errors.AsType[*smithyhttp.RequestSendError](err); sent || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.Newf(fault.Uncertain, "no_answer", "no answer came, the mail may have been taken: %w", err)
	}
	if isCancelled(err) {
		return fault.Newf(fault.Uncertain, "no_answer", "the attempt was cut short, the mail may have been taken: %w", err)
	}
	// What is left fails before anything is sent: credentials, signing, the endpoint.
	return fault.RetryAfter(time.Minute, "set_up", "make the request; look at the function's role and region: %w", err)
}

func isCancelled(err error) bool {
	_, a := errors.AsType[*smithy.CanceledError](err)
	_, b := errors.AsType[*aws.RequestCanceledError](err)
	return a || b
}

// unsent says that no connection came about, so that nothing was sent.
func unsent(err error) bool {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// refused types an answer of SES, by its code and then by its status ("SendEmail", API reference v2, seen 2026-11-23).
func refused(err error, status int) error {
	code, text := "", http.StatusText(status)
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code, text = api.ErrorCode(), api.ErrorMessage()
	}
	said := &answer{status: status, code: code, text: trim(text), err: err}
	switch code {
	case "MessageRejected", "BadRequestException", "ValidationException":
		return &fault.Error{Kind: fault.Permanent, Code: code, Err: said}
	case "TooManyRequestsException", "ThrottlingException", "Throttling", "RequestThrottled":
		return &fault.Error{Kind: fault.Retry, Code: code, After: 5 * time.Second, Err: said}
	case "LimitExceededException": // the quota of 24 hours
		return &fault.Error{Kind: fault.Retry, Code: code, After: 15 * time.Minute, Err: said}
	case "SendingPausedException", "AccountSuspendedException", "MailFromDomainNotVerifiedException", "NotFoundException":
		return &fault.Error{Kind: fault.Retry, Code: code, After: 15 * time.Minute, Err: said}
	}
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		return &fault.Error{Kind: fault.Retry, Code: code, After: 15 * time.Second, Err: said}
	case status == http.StatusForbidden || status == http.StatusUnauthorized: // permissions, keys and clocks
		return &fault.Error{Kind: fault.Retry, Code: code, After: 5 * time.Minute, Err: said}
	case status >= 400 && status < 500:
		return &fault.Error{Kind: fault.Permanent, Code: code, Err: said}
	}
	return &fault.Error{Kind: fault.Uncertain, Code: code, Err: said} // 5xx, and a 200 that cannot be read
}

// answer is what SES said, in words fit for logs.
type answer struct {
	status     int
	code, text string
	err        error
}

func (a *answer) Error() string {
	return fmt.Sprintf("SES answered %d %s: %s", a.status, a.code, a.text)
}
func (a *answer) Unwrap() error { return a.err }

// trim keeps SES's text to one short line without addresses: "Email address is not verified" names them.
func trim(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		if strings.Contains(w, "@") {
			words[i] = "…"
		}
	}
	text = strings.Join(words, " ")
	if runes := []rune(text); len(runes) > 200 {
		text = string(runes[:200]) + "…"
	}
	return text
}
