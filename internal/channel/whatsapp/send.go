package whatsapp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/guard"
	"github.com/aikajana/aikajana/internal/msg"
)

// The longest answer of the Graph API that is read; its real ones are under 2 KB.
const answerLimit = 64 << 10

// The form that the API's description asks for: name/major.minor.patch.
const userAgent = "aikajana/1.0.0"

// call is the body of POST /{phone-number-id}/messages.
type call struct {
	Product       string       `json:"messaging_product"`
	RecipientType string       `json:"recipient_type"`
	To            string       `json:"to,omitempty"`        // a phone number or a group
	Recipient     string       `json:"recipient,omitempty"` // a user ID
	Type          string       `json:"type"`
	Text          callText     `json:"text"`
	Context       *callContext `json:"context,omitempty"`
	Tag           string       `json:"biz_opaque_callback_data,omitempty"`
}

type callText struct {
	Body string `json:"body"`
}

type callContext struct {
	MessageID string `json:"message_id"`
}

// Send makes one attempt to send a text: to the group of out.Thread, else to the phone number of out.To, else to the user ID.
//
// The entry goes along as biz_opaque_callback_data and comes back in every status, so that an attempt whose answer got lost
// is settled by its receipt. What each refusal means is in the table of [disposition].
func (a Adapter) Send(ctx context.Context, conn channel.Conn, out msg.Outbound) (msg.Receipt, error) {
	body, err := compose(out)
	if err != nil {
		return msg.Receipt{}, err
	}
	token := conn.Account.Secret(secretAccess)
	if token == "" {
		return msg.Receipt{}, fault.RetryAfter(operatorWait, "auth",
			"send reply %s: whatsapp account %q has no access_token; put one into the account", out.Entry, conn.Account.ID)
	}
	info := a.Info()
	to := endpoint(conn.Account, &info, conn.Account.Settings[settingNumber], "messages")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return msg.Receipt{}, fault.RetryAfter(operatorWait, "settings", "send reply %s: whatsapp account %q: api_base is not a URL", out.Entry, conn.Account.ID)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", userAgent)
	guard.WithCredentials(request, []string{request.URL.Host}, "Authorization", "Bearer "+token) // api_base is the operator's word

	said, err := exchange(conn.HTTP, request)
	if err == nil && said.status/100 != 2 {
		err = refusal(said, out)
	}
	if err != nil {
		return msg.Receipt{}, fmt.Errorf("send reply %s: whatsapp account %q: %w", out.Entry, conn.Account.ID, err)
	}
	return accepted(out, conn.Account.ID, said.body)
}

// compose makes the request body, or refuses what WhatsApp would refuse.
func compose(out msg.Outbound) ([]byte, error) {
	if n := utf8.RuneCountInString(out.Text); n > textLimit {
		return nil, fault.Newf(fault.Permanent, "too_long", "send reply %s: the text has %d characters; whatsapp takes %d", out.Entry, n, textLimit)
	}
	if strings.TrimSpace(out.Text) == "" {
		return nil, fault.Newf(fault.Permanent, "empty", "send reply %s: the text is empty", out.Entry)
	}
	c := call{Product: "whatsapp", RecipientType: "individual", Type: "text", Text: callText{Body: out.Text}, Tag: out.Entry}
	switch {
	case isGroup(out.Thread):
		c.RecipientType, c.To = "group", out.Thread
	case valueOf(out.To, KindPhone) != "":
		c.To = valueOf(out.To, KindPhone)
	case valueOf(out.To, KindUser) != "":
		c.Recipient = valueOf(out.To, KindUser)
	case valueOf(out.To, KindParent) != "":
		c.Recipient = valueOf(out.To, KindParent)
	default:
		return nil, fault.Newf(fault.Permanent, "no_address", "send reply %s: the customer has neither a phone number nor a whatsapp user ID", out.Entry)
	}
	if out.ReplyTo != "" {
		c.Context = &callContext{MessageID: out.ReplyTo}
	}
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fault.Newf(fault.Permanent, "compose", "send reply %s: %w", out.Entry, err)
	}
	return body, nil
}

// isGroup tells a group's thread from a person's, which is their user ID or phone number.
func isGroup(thread string) bool {
	return thread != "" && digits(thread) == "" && userKind(thread) == ""
}

// accepted reads the provider's yes. One that holds no ID is uncertain: the customer may have the message.
func accepted(out msg.Outbound, account string, body []byte) (msg.Receipt, error) {
	var yes struct {
		Messages []struct {
			ID string `json:"id"`
		} `json:"messages"`
	}
	if err := json.Unmarshal(body, &yes); err != nil || len(yes.Messages) == 0 || yes.Messages[0].ID == "" {
		return msg.Receipt{}, fault.Newf(fault.Uncertain, "answer",
			"send reply %s: whatsapp account %q: accepted, but the answer holds no message ID; its receipt will tell", out.Entry, account)
	}
	return msg.Receipt{Of: yes.Messages[0].ID, State: msg.Accepted}, nil
}

// endpoint is api_base/api_version/elements….
func endpoint(account *channel.Account, info *channel.Info, elements ...string) string {
	base := strings.TrimRight(account.Setting(info, settingBase), "/")
	u := base + "/" + url.PathEscape(account.Setting(info, settingVersion))
	for _, e := range elements {
		u += "/" + url.PathEscape(e)
	}
	return u
}

// answer is what the provider said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// exchange makes one request and reads the answer whole. An answer that was cut off is fault.Uncertain: the request was
// acted on. No redirect is followed.
func exchange(client *http.Client, request *http.Request) (answer, error) {
	response, err := guard.Do(direct(client), request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }() // what counts has been read
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return answer{}, fault.Newf(fault.Uncertain, "broken", "the answer was cut off")
	}
	return answer{response.StatusCode, response.Header, body}, nil
}

// direct is the client without following redirects, whatever it was set to.
func direct(client *http.Client) *http.Client {
	plain := *client
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &plain
}

// graphError is the error object of the Graph API.
type graphError struct {
	Error struct {
		Code    *int   `json:"code"` // 0 is a code of its own
		Message string `json:"message"`
	} `json:"error"`
}

// refusal turns a status other than 2xx into a fault.
func refusal(a answer, out msg.Outbound) error {
	d := dispositionOfStatus(a.status)
	code, said := "http_"+strconv.Itoa(a.status), "HTTP status "+strconv.Itoa(a.status)
	var g graphError
	if json.Unmarshal(a.body, &g) == nil && g.Error.Code != nil {
		if known, ok := disposition(*g.Error.Code, out.Attempt); ok {
			d = known
		}
		code, said = strconv.Itoa(*g.Error.Code), fmt.Sprintf("error %d, %s", *g.Error.Code, printable(unnumbered(g.Error.Message)))
	}
	if d.code != "" {
		code = d.code
	}
	if d.advice != "" {
		said += "; " + d.advice
	}
	if d.kind == fault.Retry { // the provider may know better how long; the attempt's own time is the clock
		d.after = max(d.after, guard.After(a.header, out.Time.Time()))
	}
	return &fault.Error{Kind: d.kind, Code: code, After: d.after, Err: errors.New(said)}
}

// Long digits in the provider's words may be somebody's phone number, which belongs in no log.
var long = regexp.MustCompile(`[0-9]{7,}`)

func unnumbered(s string) string { return long.ReplaceAllString(s, "…") }

// What an operator has to mend is tried again this often: nothing was accepted, and the answer goes out by itself once the
// account is in order, or fails for good when the customer's 24 hours are over (error 131047).
const operatorWait = 15 * time.Minute

type outcome struct {
	kind   fault.Kind
	code   string
	after  time.Duration
	advice string
}

// disposition says what becomes of an answer that the Graph API refused with an error code. With a code the provider says
// that it did not take the message, except where the code itself says that something went wrong on the way (1, 131000).
//
// Source: developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes, updated 2026-05-15, read
// 2026-11-23; waits for 131056 (4^attempt s) from the throughput page, as collected 2026-11-22.
func disposition(code, attempt int) (outcome, bool) {
	attempt = min(max(attempt, 1), 5)
	switch code {
	case 0, 190, 3, 10, 131005, 131031, 131042, 131044, 131045, 133010, 368:
		return outcome{fault.Retry, "auth", operatorWait, "the account may not send: check its access_token, permissions and payment"}, true
	case 131056: // one sender to one recipient: 1 in 6 s, 45 in a burst
		return outcome{fault.Retry, "rate_limited", max(6*time.Second, power(4, attempt)*time.Second), ""}, true
	case 130429, 133016: // the number's messages a second
		return outcome{fault.Retry, "rate_limited", power(2, attempt) * time.Second, ""}, true
	case 4, 80007: // calls an hour of the app or the WhatsApp account
		return outcome{fault.Retry, "rate_limited", 5 * time.Minute, ""}, true
	case 131048: // too many earlier messages were blocked or reported
		return outcome{fault.Retry, "rate_limited", operatorWait, "the number's quality is low: see its quality status"}, true
	case 2, 131016, 131057, 133004: // down, overloaded, or in maintenance
		return outcome{fault.Retry, "unavailable", time.Minute, ""}, true
	case 131047:
		return outcome{fault.Permanent, "window_closed", 0, "24 hours have passed since the customer wrote: answer by template or on another channel"}, true
	case 131026:
		return outcome{fault.Permanent, "undeliverable", 0, "the customer cannot be reached on whatsapp"}, true
	case 131062:
		return outcome{fault.Permanent, "needs_phone", 0, "this kind of message needs the customer's phone number"}, true
	case 1, 131000:
		return outcome{fault.Uncertain, "", 0, ""}, true
	}
	if code >= 200 && code <= 299 {
		return outcome{fault.Retry, "auth", operatorWait, "the access_token lacks a permission"}, true
	}
	return outcome{}, false
}

// dispositionOfStatus is for answers whose code says nothing: a proxy's, a code that is new. A 4xx refuses the request, a 5xx
// may come after it was acted on.
func dispositionOfStatus(status int) outcome {
	switch {
	case status == http.StatusTooManyRequests:
		return outcome{fault.Retry, "rate_limited", time.Minute, ""}
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusProxyAuthRequired:
		return outcome{fault.Retry, "auth", operatorWait, "the account may not send: check its access_token"}
	case status/100 == 3:
		return outcome{fault.Retry, "redirect", operatorWait, "api_base answers with a redirect, which is not followed"}
	case status == http.StatusRequestTimeout || status/100 != 4:
		return outcome{fault.Uncertain, "", 0, ""}
	}
	return outcome{fault.Permanent, "", 0, ""}
}

func power(base, exponent int) time.Duration {
	n := 1
	for range exponent {
		n *= base
	}
	return time.Duration(n)
}
