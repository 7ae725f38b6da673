package cost

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	mailfake "github.com/aikajana/aikajana/internal/channel/email/fake"
	hookfake "github.com/aikajana/aikajana/internal/channel/webhook/fake"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
)

// Channels are the channels that are measured.
func Channels() []string { return []string{"whatsapp", "email", "form", "webhook"} }

// text is what customers write: seventy letters, as short messages are.
const text = "Hei! Tilasin takin viikko sitten, eikä se ole vieläkään tullut. Missä se on?"

// person is a customer of a channel.
type person struct {
	n    int
	mail string // the Message-ID of their first mail
}

// address is where they write from, as the API takes it.
func (p *person) address(channel string) string {
	if channel == "whatsapp" {
		return fmt.Sprintf("3584012%05d", p.n)
	}
	return fmt.Sprintf("maija%d@world.example", p.n)
}

// outside plays providers and customers.
type outside struct {
	whatsapp *fake.Provider
	now      func() time.Time
	// count is how many messages and receipts came from it.
	count int
}

func newOutside(now func() time.Time) *outside {
	return &outside{now: now, whatsapp: fake.New(fake.Options{
		PhoneNumberID: phoneNumber, AppSecret: appSecret, VerifyToken: "a long random text", AccessToken: "an access token", Now: now,
	})}
}

// delivery is what comes in: an HTTP request for a function, or a mail.
type delivery struct {
	function string
	event    map[string]any
	mail     []byte
	sender   string
}

// write makes the next message of a person.
func (o *outside) write(ctx context.Context, channel string, p *person) (*delivery, error) {
	o.count++
	switch channel {
	case "whatsapp":
		who := fake.Person{Phone: p.address(channel), UserID: fmt.Sprintf("FI.9%09d", p.n), Name: "Maija Meikäläinen"}
		return o.whatsappWebhook(o.whatsapp.Body(o.whatsapp.Text(who, text))), nil
	case "webhook":
		return o.hook(ctx, p)
	case "form":
		body, err := json.Marshal(map[string]string{
			"name": "Maija Meikäläinen", "email": p.address(channel), "subject": "Takki", "message": text,
		})
		return posted("pages", "/forms/main", fmt.Sprintf("198.51.%d.%d", o.count/250%250, o.count%250), body, http.Header{
			"Content-Type": {"application/json"}, "Accept": {"application/json"},
		}), err
	}
	from, id := p.address(channel), fmt.Sprintf("m%d.%d@world.example", p.n, o.count)
	l := mailfake.Letter{
		From: from, Name: "Maija Meikäläinen", To: []string{mailAddress}, Subject: "Takki", Text: text, Date: o.now(), MessageID: id,
		Extra: []string{
			"Received: from mail.world.example (mail.world.example [203.0.113.7]) by inbound-smtp.eu-north-1.amazonaws.com with SMTP id x for " + mailAddress,
			"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=world.example; s=s1; h=from:to:subject:date:message-id; bh=" + strings.Repeat("b", 44) + "; b=" + strings.Repeat("s", 344),
		},
	}
	if p.mail != "" {
		l.InReplyTo, l.References = p.mail, []string{p.mail}
	} else {
		p.mail = id
	}
	raw, err := l.Bytes()
	return &delivery{function: "mail", mail: raw, sender: from}, err
}

// whatsappWebhook is a delivery of the provider.
func (o *outside) whatsappWebhook(body []byte) *delivery {
	return posted("webhook", "/hooks/whatsapp/main", "173.252.88.66", body, http.Header{
		"Content-Type": {"application/json"}, "X-Hub-Signature-256": {o.whatsapp.Sign(body)}, "User-Agent": {"facebookexternalua"},
	})
}

func (o *outside) hook(ctx context.Context, p *person) (*delivery, error) {
	var d *delivery
	taken := &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
		var body bytes.Buffer
		if _, err := body.ReadFrom(r.Body); err != nil {
			return nil, err
		}
		d = posted("webhook", "/hooks/webhook/main", "203.0.113.9", body.Bytes(), r.Header)
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
	})}
	sender := &hookfake.Sender{URL: baseURL + "/hooks/webhook/main", Secret: hookSecret, Source: "//shop.example", Now: o.now, Client: taken}
	who := hookfake.Person{Kind: "email", Value: p.address("webhook"), Name: "Maija Meikäläinen"}
	_, err := sender.Message(ctx, fmt.Sprintf("order-%d", o.count), hookfake.Message{From: who, Thread: fmt.Sprintf("t%d", p.n), Subject: "Takki", Text: text})
	return d, err
}

type trip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (t trip) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// posted is a request as the HTTP API hands it over, with the headers that browsers and providers send anyway.
func posted(function, path, client string, body []byte, header http.Header) *delivery {
	headers := map[string]string{
		"host": "desk.example", "content-length": fmt.Sprint(len(body)), "x-forwarded-proto": "https", "x-forwarded-port": "443", "x-forwarded-for": client,
		"x-amzn-trace-id": "Root=1-67443b5c-3b6f9a3d0c9f4a5e1b2c3d4e",
	}
	for name, values := range header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	content, encoded := string(body), false
	if !utf8.Valid(body) {
		content, encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return &delivery{function: function, event: map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": headers, "body": content, "isBase64Encoded": encoded,
		"requestContext": map[string]any{
			"accountId": "123456789012", "apiId": "api", "domainName": "desk.example", "stage": "$default", "requestId": "JKJaXmPLvHcESHA=",
			"http": map[string]any{"method": http.MethodPost, "path": (&url.URL{Path: path}).EscapedPath(), "protocol": "HTTP/1.1", "sourceIp": client, "userAgent": headers["user-agent"]},
		},
	}}
}

// post is what SES does with a mail: it puts it into the bucket, and tells the queue through SNS.
func (r *rig) post(ctx context.Context, s *shape, d *delivery, use *Use) error {
	use.MailsIn++
	use.MailChunksIn += math.Ceil(float64(len(d.mail)) / (256 << 10))
	use.SNSPublishes++
	id := fmt.Sprintf("ses%012d", r.outside.count)
	key := "ses/" + id // as the template's receipt rule does
	if _, err := r.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &r.name, Key: &key, Body: bytes.NewReader(d.mail)}); err != nil {
		return err
	}
	pass := map[string]string{"status": "PASS"}
	domain := d.sender[strings.IndexByte(d.sender, '@')+1:]
	notice, err := json.Marshal(map[string]any{
		"notificationType": "Received",
		"receipt": map[string]any{
			"recipients": []string{mailAddress}, "spfVerdict": pass, "dkimVerdict": pass, "dmarcVerdict": pass, "spamVerdict": pass, "virusVerdict": pass,
			"action": map[string]string{"type": "S3", "bucketName": r.name, "objectKey": key},
		},
		"mail": map[string]any{
			"timestamp": r.clock.now().String(), "messageId": id, "source": d.sender, "destination": []string{mailAddress},
			"headers": []map[string]string{
				{"name": "Return-Path", "value": "<" + d.sender + ">"},
				{"name": "Received", "value": "from mail." + domain + " by inbound-smtp.eu-north-1.amazonaws.com with SMTP id " + id},
				{"name": "X-SES-Spam-Verdict", "value": "PASS"}, {"name": "X-SES-Virus-Verdict", "value": "PASS"},
				{"name": "Authentication-Results", "value": "amazonses.com; spf=pass smtp.mailfrom=" + d.sender + "; dkim=pass header.i=@" + domain + "; dmarc=pass header.from=" + domain},
			},
		},
	})
	if err != nil {
		return err
	}
	return r.enqueue(ctx, s, "mail", notice)
}
