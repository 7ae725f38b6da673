package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
)

// Window is how far a signed timestamp may be off, either way.
const Window = 5 * time.Minute

// maxSignatures bounds the work of one request; a rotation needs two.
const maxSignatures = 10

// Verify checks the signature of Standard Webhooks over the exact bytes of the body. There is no handshake.
func (Adapter) Verify(r *channel.Request) (*channel.Reply, error) {
	refuse := func(code, why string) (*channel.Reply, error) {
		return nil, fault.Newf(fault.Denied, code, "verify a webhook for account %q: %s", r.Account.ID, why)
	}
	keys := signingKeys(r.Account.Secrets["signing_secret"])
	if len(keys) == 0 {
		return refuse("no_secret", "the account has no signing_secret; put one in, and give it to the sender")
	}
	if r.Method != http.MethodPost {
		return refuse("method", "only POST is signed")
	}
	id, at, given := r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), r.Header.Get("Webhook-Signature")
	switch {
	case id == "" || at == "" || given == "":
		return refuse("headers", "webhook-id, webhook-timestamp and webhook-signature must all be there")
	case strings.Contains(id, ".") || len(id) > maxID:
		return refuse("webhook_id", "webhook-id holds a full stop or is longer than 500 bytes")
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return refuse("timestamp", "webhook-timestamp is not a number of seconds")
	}
	if age := r.Now.Time().Sub(time.Unix(seconds, 0)); age > Window || age < -Window {
		return refuse("timestamp", "webhook-timestamp is more than 5 minutes off; check the clocks of both sides")
	}
	offered := strings.Fields(given)
	if len(offered) > maxSignatures {
		return refuse("signature", "webhook-signature holds more than 10 signatures")
	}
	valid := false
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + at + "."))
		mac.Write(r.Body)
		want := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		for _, one := range offered {
			// The text is compared, not what it decodes to: base64 has several spellings of the same bytes.
			valid = hmac.Equal([]byte(one), want) || valid
		}
	}
	if !valid {
		return refuse("signature", "no signature matches; check that both sides have the same secret and sign the bytes as they are sent")
	}
	return nil, nil
}

// signingKeys decodes the secrets in force. One that is empty or wrongly encoded signs nothing.
func signingKeys(secrets []string) [][]byte {
	var keys [][]byte
	for _, s := range secrets {
		key := []byte(s)
		if encoded, ok := strings.CutPrefix(s, "whsec_"); ok {
			var err error
			if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
				continue
			}
		}
		if len(key) > 0 {
			keys = append(keys, key)
		}
	}
	return keys
}
