// Package channel is the contract between Aikajana and one way of making contact.
//
// A channel is a folder below this one. It declares what it is ([Info]), turns what a provider sent into events
// ([Adapter.Parse]) and, where the provider allows it, checks webhooks ([Webhook]), sends ([Sender]) and fetches files
// ([Fetcher], [Extractor]). Nothing outside the folder names the provider. Adapters are values without state: everything
// they need comes as an argument, and all methods are safe for concurrent use.
package channel

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/aikajana/aikajana/internal/msg"
)

// Adapter is what every channel has.
type Adapter interface {
	// Info declares the channel. It returns the same value every time.
	Info() Info
	// Parse says what happened, in the order in which the envelope tells it.
	//
	// It is a pure function of the envelope: no clock, no network, no randomness, and it never panics. The same envelope
	// always gives the same events. What it cannot understand it reports as a [*Rejected] (several joined with errors.Join)
	// next to the events of the rest: one malformed item never loses the others. Types that the provider added since are
	// returned as messages with a part of kind raw where a person sent them, and as a Rejected of cause Unsupported where
	// nobody did.
	Parse(Envelope) ([]msg.Event, error)
}

// Webhook is a channel whose provider calls us.
type Webhook interface {
	Adapter
	// Verify checks that the request comes from the provider, over the exact bytes of the body, in constant time. A non-nil
	// Reply answers a handshake and nothing is enqueued. Errors are of kind fault.Denied; without a secret configured the
	// answer is always Denied. It must not parse the body further than the signature needs.
	Verify(*Request) (*Reply, error)
}

// Sender is a channel that can carry an answer.
type Sender interface {
	Adapter
	// Send makes one attempt. The receipt's Of is the provider's ID of the message; its State is Accepted or further.
	//
	// The error's kind decides what becomes of the reply: fault.Permanent fails it, fault.Retry sends it again later (only
	// when it is certain that nothing was accepted), fault.Uncertain leaves it for a receipt, a look-up or the agent.
	// A time-out after the first byte was written is Uncertain, never Retry.
	Send(context.Context, Conn, msg.Outbound) (msg.Receipt, error)
}

// Fetcher is a channel whose files lie at the provider.
type Fetcher interface {
	Adapter
	// Fetch opens the file. The caller closes it and caps its size. Credentials go only to the hosts of Info.MediaHosts (or
	// the account's api_base) and never across a redirect. Errors: fault.Retry, or fault.Permanent when it is gone.
	Fetch(context.Context, Conn, msg.Media) (io.ReadCloser, error)
}

// Extractor is a channel whose files lie inside the envelope itself (mail).
type Extractor interface {
	Adapter
	// Extract returns the file that Parse described by media. It is pure, like Parse.
	Extract(Envelope, msg.Media) ([]byte, error)
}

// SettingsChecker is a channel whose settings need more than the patterns of Info: one that holds a small language.
type SettingsChecker interface {
	Adapter
	// CheckSettings says what is wrong; the error is of kind fault.Invalid and names the setting. It is pure.
	CheckSettings(settings map[string]string) error
}

// Envelope is what was received, as it was received: made durable before anything looks inside.
type Envelope struct {
	// ID is the pipeline's, deterministic or injected; it names the raw input in quarantine and logs.
	ID      string `json:"id"`
	Channel string `json:"channel"`
	Account string `json:"account"`
	// ReceivedAt is when we took responsibility for it.
	ReceivedAt msg.Time `json:"received_at"`
	// Header holds the request's headers that the adapter named in Info.Headers, canonical names.
	Header http.Header `json:"header,omitempty"`
	// Query is the request's query string, without secrets.
	Query string `json:"query,omitempty"`
	// Body is the raw bytes. When they are large they lie in the blob Blob instead, and are loaded before Parse is called.
	Body []byte `json:"body,omitempty"`
	Blob string `json:"blob,omitempty"`
	// Mail is what is known of a mail beside its bytes; nil for every other channel.
	Mail *Mail `json:"mail,omitempty"`
	// Count is its place among what was accepted, where whoever accepts numbers (docs/adr/0012); nil elsewhere.
	Count *Count `json:"count,omitempty"`
	// Settings are the account's, filled in before Parse is called. Secrets are never here.
	Settings map[string]string `json:"-"`
}

// Count is an envelope's place among those that one process accepted for one account.
type Count struct {
	// By names the process, N counts from 1.
	By string `json:"by"`
	N  int64  `json:"n"`
	// Void are earlier numbers, as first and last, of envelopes that the queue did not confirm: whoever sent them was told to
	// send them again, so nothing is missing when they never turn up.
	Void [][2]int64 `json:"void,omitempty"`
}

// Mail is what the receiving side knows of a mail beside its bytes.
type Mail struct {
	// Via is "ses" or "smtp": who took the mail and judged it. Empty for a file given to normalize.
	Via string `json:"via,omitempty"`
	// Sender is the envelope sender (RFC 5321 MAIL FROM): empty for the null sender, which NullSender tells from "unknown".
	Sender     string   `json:"sender,omitempty"`
	NullSender bool     `json:"null_sender,omitempty"`
	Recipients []string `json:"recipients,omitempty"`
	// ProviderID is the ID that SES gave the mail.
	ProviderID string `json:"provider_id,omitempty"`
	// The five verdicts: PASS, FAIL, GRAY, PROCESSING_FAILED, DISABLED or empty.
	SPF   string `json:"spf,omitempty"`
	DKIM  string `json:"dkim,omitempty"`
	DMARC string `json:"dmarc,omitempty"`
	Spam  string `json:"spam,omitempty"`
	Virus string `json:"virus,omitempty"`
	// SPFDomain and DKIMDomains are the domains that passed, for alignment with From (RFC 7489 section 3.1).
	SPFDomain   string   `json:"spf_domain,omitempty"`
	DKIMDomains []string `json:"dkim_domains,omitempty"`
}

// Account is one connected mailbox, number or page.
type Account struct {
	Channel string `json:"channel"`
	ID      string `json:"account"`
	// Team is who hears about its new cases.
	Team     string            `json:"team,omitempty"`
	Settings map[string]string `json:"settings,omitempty"`
	// Secrets holds the values in force by name, the current one first; two while one is being rotated.
	Secrets map[string][]string `json:"-"`
}

// Secret is the current value of a secret, or "".
func (a *Account) Secret(name string) string {
	if values := a.Secrets[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Setting is the value of a setting, or the default that info declares for it.
func (a *Account) Setting(info *Info, name string) string {
	if value := a.Settings[name]; value != "" {
		return value
	}
	for _, s := range info.Settings {
		if s.Name == name {
			return s.Default
		}
	}
	return ""
}

// Request is a webhook call, as it came over the wire.
type Request struct {
	Account *Account
	Method  string
	// URL is as the provider called it (scheme and host from the deployment's configured base, never from the request).
	URL    *url.URL
	Header http.Header
	Body   []byte
	// Now is for signed timestamps.
	Now msg.Time
}

// Reply answers a handshake.
type Reply struct {
	Status      int
	ContentType string
	Body        []byte
}

// Conn is how an adapter reaches its provider for one account.
type Conn struct {
	Account *Account
	// HTTP refuses private addresses at dial, follows no redirect by itself and has a time-out.
	HTTP *http.Client
	// Mail hands a finished mail over, for channels that send mail. Nil elsewhere.
	Mail Mailer
}

// Mailer hands a finished mail to whoever delivers it: an SMTP relay or SES.
type Mailer interface {
	// SendMail returns the Message-ID (without angle brackets) under which the mail leaves: its own, or the one that the
	// relay put in its place. Tag comes back in delivery events where the relay supports it. Errors as in [Sender.Send].
	SendMail(ctx context.Context, from string, to []string, raw []byte, tag string) (messageID string, err error)
}
