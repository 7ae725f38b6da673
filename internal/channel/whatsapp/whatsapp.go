package whatsapp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// Adapter is the WhatsApp channel. It has no state; the zero value is ready and safe for concurrent use.
type Adapter struct{}

var (
	_ channel.Webhook = Adapter{}
	_ channel.Sender  = Adapter{}
	_ channel.Fetcher = Adapter{}
)

// The identity kinds of the channel. See quirks 1 and 2 for which decides.
const (
	// KindUser is a business-scoped user ID ("FI.1234"): one person on one WhatsApp account, as one business portfolio
	// knows them.
	KindUser = "whatsapp.user"
	// KindParent is the user ID that several portfolios of one enterprise share ("FI.ENT.1234").
	KindParent = "whatsapp.parent"
	// KindPhone is a telephone number in international form, digits only.
	KindPhone = "whatsapp.phone"
)

// Names of settings and secrets.
const (
	settingNumber  = "phone_number_id"
	settingBase    = "api_base"
	settingVersion = "api_version"
	secretApp      = "app_secret"
	secretVerify   = "verify_token"
	secretAccess   = "access_token"
)

const (
	graphHost  = "graph.facebook.com"
	mediaHost  = "lookaside.fbsbx.com"
	textLimit  = 4096
	megabyte   = 1 << 20
	hubHeader  = "X-Hub-Signature-256"
	hubPrefix  = "sha256="
	hubMaxEcho = 512
)

// Info declares the channel.
func (Adapter) Info() channel.Info {
	return channel.Info{
		ID: "whatsapp", Name: "WhatsApp", Mark: "◉",
		Reference: "https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview",
		Settings: []channel.Setting{
			{Name: settingNumber, Required: true, Pattern: `[0-9]{1,32}`,
				Help: "The phone number ID, from API Setup in the app's dashboard; it is not the phone number itself."},
			{Name: "waba_id", Pattern: `[0-9]{1,32}`,
				Help: "The WhatsApp Business Account ID, shown next to the phone number ID; kept for your reference."},
			{Name: "display_phone_number", Pattern: `[+0-9 ()-]{3,32}`,
				Help: "The phone number that customers see, kept for your reference."},
			{Name: settingVersion, Default: "v25.0", Pattern: `v[0-9]{1,3}\.[0-9]{1,2}`,
				Help: "The version of the Graph API to call; Meta retires each one about two years after its release."},
			{Name: settingBase, Default: "https://" + graphHost, Pattern: `https?://[^/?#]+(/[^?#]*)?`,
				Help: "Where the Graph API is; change it only to point the account at a stand-in."},
			{Name: secretApp, Secret: true, Required: true,
				Help: "The app secret, from App settings, Basic; it signs every webhook."},
			{Name: secretVerify, Secret: true, Required: true,
				Help: "Any long random text; the same is pasted into the app's webhook configuration."},
			{Name: secretAccess, Secret: true,
				Help: "A system user's access token with whatsapp_business_messaging; without it nothing can be answered and no file fetched."},
		},
		Scope:      settingNumber,
		Identities: []string{KindUser, KindParent, KindPhone},
		Threading:  channel.ByThread,
		ChatLike:   true,
		Can: channel.Capabilities{
			Text:     textLimit,
			Quote:    true,
			Receipts: []msg.State{msg.Accepted, msg.Sent, msg.Delivered, msg.Read, msg.Failed},
			Media: []channel.MediaLimit{
				{Kind: msg.PartImage, Types: []string{"image/jpeg", "image/png"}, Bytes: 5 * megabyte},
				{Kind: msg.PartAudio, Types: []string{"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"}, Bytes: 16 * megabyte},
				{Kind: msg.PartVoice, Types: []string{"audio/ogg"}, Bytes: 16 * megabyte},
				{Kind: msg.PartVideo, Types: []string{"video/mp4", "video/3gpp"}, Bytes: 16 * megabyte},
				{Kind: msg.PartFile, Bytes: 100 * megabyte, Types: []string{
					"text/plain", "application/pdf", "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
					"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
					"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
					"application/vnd.openxmlformats-officedocument.presentationml.presentation",
				}},
				{Kind: msg.PartSticker, Types: []string{"image/webp"}, Bytes: 500 << 10},
			},
		},
		Window:       24 * time.Hour,
		AnswerBy:     []string{"email"},
		MediaHosts:   []string{mediaHost, graphHost},
		ServiceLevel: channel.ServiceLevel{FirstAnswer: time.Hour, Solved: 24 * time.Hour},
	}
}

// Verify answers the subscription handshake (GET) and checks the signature of a delivery (POST).
//
// The signature is over the bytes as they came: Meta escapes everything outside ASCII before it signs (quirk 3), so a body
// that was decoded and written again no longer matches.
func (Adapter) Verify(r *channel.Request) (*channel.Reply, error) {
	switch r.Method {
	case http.MethodGet:
		return handshake(r)
	case http.MethodPost:
		return nil, signature(r)
	}
	return nil, fault.Newf(fault.Denied, "method", "verify a whatsapp webhook: method %q is neither GET nor POST", r.Method)
}

func handshake(r *channel.Request) (*channel.Reply, error) {
	query := r.URL.Query()
	echo := query.Get("hub.challenge")
	if query.Get("hub.mode") != "subscribe" || echo == "" || len(echo) > hubMaxEcho {
		return nil, fault.Newf(fault.Denied, "handshake", "answer a whatsapp handshake: hub.mode is not subscribe, or hub.challenge is empty or too long")
	}
	// Digests have one length, so that not even the token's length shows.
	given := sha256.Sum256([]byte(query.Get("hub.verify_token")))
	matches := false
	for _, token := range r.Account.Secrets[secretVerify] {
		configured := sha256.Sum256([]byte(token))
		if hmac.Equal(configured[:], given[:]) && token != "" {
			matches = true
		}
	}
	if !matches {
		return nil, fault.Newf(fault.Denied, "handshake",
			"answer a whatsapp handshake of account %q: hub.verify_token is not the account's verify_token", r.Account.ID)
	}
	return &channel.Reply{Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Body: []byte(echo)}, nil
}

func signature(r *channel.Request) error {
	given, found := strings.CutPrefix(r.Header.Get(hubHeader), hubPrefix)
	sum, err := hex.DecodeString(given)
	if !found || err != nil || len(sum) != sha256.Size {
		return fault.Newf(fault.Denied, "signature",
			"verify a whatsapp webhook of account %q: header %s is missing or not sha256= and 64 hexadecimal digits", r.Account.ID, hubHeader)
	}
	matches := false
	for _, secret := range r.Account.Secrets[secretApp] {
		if secret == "" { // an empty key would let anybody sign
			continue
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(r.Body)
		if hmac.Equal(mac.Sum(nil), sum) {
			matches = true
		}
	}
	if !matches {
		return fault.Newf(fault.Denied, "signature",
			"verify a whatsapp webhook of account %q: no app_secret of the account made the signature", r.Account.ID)
	}
	return nil
}
