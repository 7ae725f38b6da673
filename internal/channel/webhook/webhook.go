package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// Adapter is the generic signed webhook. It has no state.
type Adapter struct{}

var (
	_ channel.Webhook = Adapter{}
	_ channel.Fetcher = Adapter{}
)

// The identities that a webhook gives.
const (
	// KindEmail and KindPhone are for accounts with trust_addresses=yes.
	KindEmail           = "email"
	KindPhone           = "phone"
	KindEmailUnverified = "email.unverified"
	KindPhoneUnverified = "phone.unverified"
	// KindUser is a person in the sender's own terms: "<account>:<kind>:<value>".
	KindUser = "webhook.user"
	// KindSource is what sent a signal: "<account>:<source>", and "#<subject>" where it says which part.
	KindSource = "webhook.source"
)

// MaxItems is how many events one request may hold.
const MaxItems = 1000

// Info declares the channel.
func (Adapter) Info() channel.Info {
	return channel.Info{
		ID: "webhook", Name: "Webhook", Mark: "⇥",
		Reference: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
		Settings: []channel.Setting{
			{Name: "signing_secret", Secret: true, Required: true, Pattern: `whsec_[A-Za-z0-9+/]{32,}={0,2}|.{24,}`,
				Help: `The secret that both sides know: "whsec_" and 24 to 64 random bytes in base64, or any text of 24 characters or more.`},
			{Name: "mapping", Help: "Where to look in JSON that is no CloudEvent: one rule or a list of rules, see docs/channels/webhook.md."},
			{Name: "items", Pattern: `(/.*)?`, Help: "A JSON Pointer to the list of events in such JSON, where one request holds several."},
			{Name: "trust_addresses", Default: "no", Pattern: "yes|no",
				Help: "Whether the sender has verified the email addresses and numbers it names; only \"yes\" joins them with what mail and telephone know."},
		},
		Headers: []string{"Content-Type", "Webhook-Id", "Ce-Specversion", "Ce-Id", "Ce-Source", "Ce-Type", "Ce-Time", "Ce-Subject", "Ce-Dataschema"},
		Identities: []string{KindEmail, KindPhone, KindUser, KindEmailUnverified, KindPhoneUnverified,
			KindSource},
		Threading:    channel.ByThread,
		TimeAsserted: true,
		AnswerBy:     []string{"email"},
		ServiceLevel: channel.ServiceLevel{FirstAnswer: 24 * time.Hour, Solved: 72 * time.Hour, WorkingTime: true},
	}
}

// CheckSettings says what is wrong with an account's settings; the error is of kind fault.Invalid and names the place, like
// "settings.mapping[1].from.value".
func (Adapter) CheckSettings(settings map[string]string) error {
	if _, err := parsePointer(settings["items"]); err != nil {
		return fault.Field("settings.items", "%w", err)
	}
	_, err := ReadMapping(settings["mapping"])
	return err
}

// Fetch opens a file that a message points at, without credentials: whoever names a URL says that it may be read by it.
func (Adapter) Fetch(ctx context.Context, conn channel.Conn, media msg.Media) (io.ReadCloser, error) {
	u, err := url.Parse(media.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fault.Newf(fault.Permanent, "url", "fetch file %q of a webhook: its address is not a web address", media.ID)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, media.URL, nil)
	if err != nil {
		return nil, fault.Newf(fault.Permanent, "url", "fetch file %q of a webhook: %w", media.ID, err)
	}
	response, err := conn.HTTP.Do(request)
	if err != nil {
		return nil, fault.Newf(fault.Retry, "network", "fetch file %q of a webhook from %s: %w", media.ID, u.Host, hideURL(err))
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	_ = response.Body.Close() // nothing was read from it
	kind := fault.Permanent
	if s := response.StatusCode; s >= 500 || s == http.StatusTooManyRequests || s == http.StatusRequestTimeout {
		kind = fault.Retry
	}
	return nil, fault.Newf(kind, fmt.Sprint(response.StatusCode), "fetch file %q of a webhook from %s: it answered %s", media.ID, u.Host, response.Status)
}

// hideURL drops the address from a client's error: its query may be a credential of the sender's.
func hideURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
