package email

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// What Amazon SES promises, from its Developer Guide as seen on 2026-11-23:
//
//  1. A mail taken by an S3 action is announced as {notificationType:"Received", receipt, mail}, through SNS when a topic
//     is set ("Contents of notifications for Amazon SES email receiving"). The object may also be announced by S3 itself
//     or by EventBridge, which know its key and nothing of the mail.
//  2. receipt.recipients are the RCPT addresses that matched the rule; mail.destination may hold others, of other servers.
//  3. A verdict's status is PASS, FAIL, GRAY or PROCESSING_FAILED. SPF is GRAY without a policy for the MAIL FROM domain,
//     DKIM when not signed, DMARC when the From domain has no policy. dmarcPolicy is present only after a DMARC failure.
//     Scanning that is switched off shows as DISABLED; that word is seen in the field and not in the page, so any other
//     word is kept too and counts as "did not pass".
//  4. mail.headersTruncated is true above 10 KB of headers.
//  5. The S3 action takes 40 MB including headers; larger mail bounces ("S3Action", API reference).
//  6. When a rule is made, SES writes an object AMAZON_SES_SETUP_NOTIFICATION into the bucket.
//  7. Sending overwrites Date and Message-ID ("Amazon SES header fields"). The new Message-ID is the messageId at
//     REGION.amazonses.com, in us-east-1 at email.amazonses.com: no page says so, but drewblas/aws-ses pull request 68
//     (2018-10-31) and others rely on it.
//  8. Event publishing knows Send, Delivery, Bounce, Complaint, Reject, Open, Click, "Rendering Failure", DeliveryDelay and
//     Subscription, with the tags of the send ("Contents of event data that Amazon SES publishes to Amazon SNS"). A soft
//     bounce is published only after SES has given up trying ("EventDestination", API reference).

// Notice says where SES put a mail, and what it knows of it.
type Notice struct {
	// Bucket and Key name the object; both empty when the action stored none (a Lambda action names none).
	Bucket, Key string
	// MessageID is SES's ID of the mail: the same for each repeat of the announcement and each rule that matched it, so
	// it is what makes the mail happen once (FAULTS 63).
	MessageID string
	// At is when SES took the mail, or S3 its object; zero when the announcement does not say.
	At msg.Time
	// Mail is the envelope and the verdicts. After an announcement by S3 alone only Via and ProviderID are set:
	// [AuthenticationResults] finds the verdicts in the mail itself.
	Mail channel.Mail
	// Setup says that this is SES trying out the bucket, or S3 trying out the queue, and no mail (FAULTS 64).
	Setup bool
}

// setupObject is what SES writes when a rule is made.
const setupObject = "AMAZON_SES_SETUP_NOTIFICATION"

// Notification reads the announcement of one mail: SES's own, bare or as SNS hands it on; the event of a Lambda action; or
// S3's or EventBridge's event about the object. An error is a [*channel.Rejected].
func Notification(raw []byte) (Notice, error) {
	raw = unwrapSNS(raw)
	var n struct {
		NotificationType string      `json:"notificationType"`
		Receipt          *sesReceipt `json:"receipt"`
		Mail             *sesMail    `json:"mail"`
		Event            string      `json:"Event"` // "s3:TestEvent"
		DetailType       string      `json:"detail-type"`
		Detail           *s3Object   `json:"detail"`
		Time             string      `json:"time"` // EventBridge's
		Records          []struct {
			EventTime string `json:"eventTime"`

			S3  *s3Object `json:"s3"`
			SES *struct {
				Receipt *sesReceipt `json:"receipt"`
				Mail    *sesMail    `json:"mail"`
			} `json:"ses"`
		} `json:"Records"`
	}
	if err := json.Unmarshal(raw, &n); err != nil {
		return Notice{}, rejected(raw, channel.CauseMalformed, "an announcement of mail is not the JSON that SES, SNS or S3 send")
	}
	switch {
	case n.Event == "s3:TestEvent":
		return Notice{Setup: true}, nil
	case n.Mail != nil && n.Receipt != nil:
		return received(raw, n.Mail, n.Receipt)
	case n.Detail != nil && n.Detail.Object.Key != "":
		// EventBridge gives the key as it is, S3 encodes it ("Event message structure", seen 2026-11-23).
		return stored(raw, n.Detail.Bucket.Name, n.Detail.Object.Key, n.Time)
	case len(n.Records) > 1:
		return Notice{}, rejected(raw, channel.CauseUnsupported, "an announcement tells of %d mails; hand over its Records one by one", len(n.Records))
	case len(n.Records) == 1 && n.Records[0].S3 != nil:
		key, err := url.QueryUnescape(n.Records[0].S3.Object.Key)
		if err != nil {
			return Notice{}, rejected(raw, channel.CauseMalformed, "Records[0].s3.object.key is not URL-encoded")
		}
		return stored(raw, n.Records[0].S3.Bucket.Name, key, n.Records[0].EventTime)
	case len(n.Records) == 1 && n.Records[0].SES != nil && n.Records[0].SES.Mail != nil && n.Records[0].SES.Receipt != nil:
		return received(raw, n.Records[0].SES.Mail, n.Records[0].SES.Receipt)
	}
	return Notice{}, rejected(raw, channel.CauseUnsupported, "an announcement of mail has none of mail and receipt, Records, or detail")
}

type sesReceipt struct {
	Recipients []string   `json:"recipients"`
	Spam       sesVerdict `json:"spamVerdict"`
	Virus      sesVerdict `json:"virusVerdict"`
	SPF        sesVerdict `json:"spfVerdict"`
	DKIM       sesVerdict `json:"dkimVerdict"`
	DMARC      sesVerdict `json:"dmarcVerdict"`
	Action     struct {
		Bucket string `json:"bucketName"`
		Key    string `json:"objectKey"`
	} `json:"action"`
}

type sesVerdict struct {
	Status string `json:"status"`
}

type sesMail struct {
	Timestamp string      `json:"timestamp"`
	MessageID string      `json:"messageId"`
	Source    *string     `json:"source"`
	SourceARN string      `json:"sourceArn"`
	Headers   []sesHeader `json:"headers"`
	// Tags are those of the send, by name.
	Tags map[string][]string `json:"tags"`
}

type sesHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type s3Object struct {
	Bucket struct {
		Name string `json:"name"`
	} `json:"bucket"`
	Object struct {
		Key string `json:"key"`
	} `json:"object"`
}

func received(raw []byte, mail *sesMail, receipt *sesReceipt) (Notice, error) {
	n := Notice{Bucket: receipt.Action.Bucket, Key: receipt.Action.Key, MessageID: mail.MessageID}
	if path.Base(n.Key) == setupObject || mail.MessageID == setupObject {
		return Notice{Setup: true}, nil
	}
	if n.MessageID == "" {
		return Notice{}, rejected(raw, channel.CauseMalformed, "mail.messageId is missing")
	}
	n.Mail = channel.Mail{
		Via: "ses", ProviderID: mail.MessageID, Recipients: receipt.Recipients,
		SPF: receipt.SPF.Status, DKIM: receipt.DKIM.Status, DMARC: receipt.DMARC.Status,
		Spam: receipt.Spam.Status, Virus: receipt.Virus.Status,
	}
	if mail.Source != nil {
		n.Mail.Sender = strings.Trim(*mail.Source, "<> ")
		n.Mail.NullSender = n.Mail.Sender == ""
	}
	n.At, _ = msg.ParseTime(mail.Timestamp) // zero when it says none
	h := make(header, 0, len(mail.Headers))
	for _, one := range mail.Headers {
		h = append(h, field{name: strings.ToLower(one.Name), value: one.Value})
	}
	if strings.TrimSpace(h.raw("return-path")) == "<>" {
		n.Mail.Sender, n.Mail.NullSender = "", true
	}
	judgedBySES(h, &n.Mail)
	if n.Mail.SPF == "PASS" && n.Mail.SPFDomain == "" && n.Mail.Sender != "" {
		n.Mail.SPFDomain = normalDomain(domainOf(n.Mail.Sender)) // what SES checked is the MAIL FROM domain
	}
	return n, nil
}

// stored is what S3 knows. It tells when SES had written the object, a moment after it took the mail.
func stored(raw []byte, bucket, key, at string) (Notice, error) {
	if path.Base(key) == setupObject {
		return Notice{Setup: true}, nil
	}
	if bucket == "" || key == "" {
		return Notice{}, rejected(raw, channel.CauseMalformed, "the event about an object names no bucket or no key")
	}
	id := path.Base(key) // SES names the object after the mail
	n := Notice{Bucket: bucket, Key: key, MessageID: id, Mail: channel.Mail{Via: "ses", ProviderID: id}}
	n.At, _ = msg.ParseTime(at) // zero when it says none
	return n, nil
}

// AuthenticationResults fills in what is empty of m from the fields that SES writes into the mail itself, and says whether
// it found them: Authentication-Results (RFC 8601), X-SES-Spam-Verdict and X-SES-Virus-Verdict.
//
// Anybody can write such fields into a mail. Only those are read that stand where SES puts its own: above everything that
// came with the mail, that is behind a first Received by inbound-smtp.REGION.amazonaws.com and before the next Received;
// and of several Authentication-Results only the first.
func AuthenticationResults(raw []byte, m *channel.Mail) bool {
	h, _ := readHeader(unixLines(raw))
	return judgedBySES(h, m)
}

// Recipients says whom a mail in the bucket is for, where only S3 told of it: the address in the Received that SES wrote, which
// is one of the envelope's, and those in To and Cc. Addresses of other servers may be among them, and one that was in Bcc beside
// another is missing. Anybody can write To and Cc, and so have a mail come to an account that it was not sent to: as if it had
// been.
func Recipients(raw []byte) []string {
	h, _ := readHeader(unixLines(raw))
	var all []string
	if m := takenFor.FindStringSubmatch(h.raw("received")); m != nil {
		all = append(all, m[1])
	}
	for _, name := range []string{"to", "cc"} {
		for _, r := range mailboxes(h.raw(name)) {
			all = append(all, r.address)
		}
	}
	return all
}

// takenFor matches whom SES says in Received that it took a mail for ("with SMTP id o3vrnil0e2ic for johndoe@example.com;", in the
// sample event of docs.aws.amazon.com/lambda/latest/dg/services-ses.html, read on 2026-11-30).
var takenFor = regexp.MustCompile(`(?is)\bby inbound-smtp\.[a-z0-9-]+\.amazonaws\.com\b[^;]* for <?([^\s<>;]+)>?\s*;`)

// inboundSES matches the name that SES's own servers give themselves in Received.
var inboundSES = regexp.MustCompile(`(?i)\bby inbound-smtp\.[a-z0-9-]+\.amazonaws\.com\b`)

func judgedBySES(h header, m *channel.Mail) bool {
	own := h[:0:0]
	hops := 0
	for _, f := range h {
		if f.name == "received" {
			if hops++; hops > 1 || !inboundSES.MatchString(f.value) {
				break
			}
		}
		own = append(own, f)
	}
	if hops == 0 || !own.has("received") {
		return false
	}
	if m.Sender == "" && !m.NullSender && own.has("return-path") {
		m.Sender = strings.Trim(own.raw("return-path"), "<> ")
		m.NullSender = m.Sender == ""
	}
	fill(&m.Spam, strings.ToUpper(strings.TrimSpace(own.raw("x-ses-spam-verdict"))))
	fill(&m.Virus, strings.ToUpper(strings.TrimSpace(own.raw("x-ses-virus-verdict"))))
	server, results, _ := strings.Cut(own.raw("authentication-results"), ";")
	if server = strings.TrimSpace(server); server != "amazonses.com" {
		return false
	}
	readResults(results, m)
	return true
}

// readResults reads "spf=pass (…) client-ip=…; dkim=pass header.i=@a.example; dmarc=pass header.from=a.example".
func readResults(results string, m *channel.Mail) {
	var spf, dkim, dmarc, spfDomain string
	var dkimDomains []string
	for one := range strings.SplitSeq(withoutComments(results), ";") {
		words := strings.Fields(one)
		if len(words) == 0 {
			continue
		}
		method, result, _ := strings.Cut(strings.ToLower(words[0]), "=")
		properties := map[string]string{}
		for _, w := range words[1:] {
			k, v, _ := strings.Cut(w, "=")
			properties[strings.ToLower(k)] = v
		}
		switch method {
		case "spf":
			spf = verdictOf(result)
			spfDomain = domainOf(strings.Trim(properties["smtp.mailfrom"], `<>"`))
		case "envelope-from": // SES sets it apart with a semicolon, as if it were a result
			spfDomain = domainOf(strings.Trim(result, `<>"`))
		case "dkim":
			if v := verdictOf(result); dkim != "PASS" {
				dkim = v
			}
			if result == "pass" {
				domain := properties["header.d"]
				if domain == "" {
					domain = domainOf(properties["header.i"])
				}
				dkimDomains = append(dkimDomains, normalDomain(domain))
			}
		case "dmarc":
			dmarc = verdictOf(result)
		}
	}
	fill(&m.SPF, spf)
	fill(&m.DKIM, dkim)
	fill(&m.DMARC, dmarc)
	if m.SPF == "PASS" && spf == "PASS" {
		fill(&m.SPFDomain, normalDomain(spfDomain))
	}
	if m.DKIMDomains == nil && m.DKIM == "PASS" {
		m.DKIMDomains = dkimDomains
	}
}

// verdictOf is the word of a verdict for a result of RFC 8601 section 2.7.
func verdictOf(result string) string {
	switch result {
	case "pass":
		return "PASS"
	case "none", "neutral", "bestguesspass":
		return "GRAY"
	case "temperror", "permerror", "":
		return "PROCESSING_FAILED"
	}
	return "FAIL"
}

// withoutComments drops what stands in parentheses; inside them "; dmarc=pass" would be somebody else's words.
func withoutComments(s string) string {
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && (depth > 0 || quoted):
			i++
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted && c == ';':
			continue // nothing in quotes starts a new result
		case c == '(' && !quoted:
			depth++
		case c == ')' && !quoted && depth > 0:
			depth--
			continue
		}
		if depth == 0 {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func fill(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// SESMessageID is the Message-ID, without brackets, that a mail sent through SES in the region carries (fact 7).
func SESMessageID(region, id string) string {
	switch {
	case id == "" || region == "" || strings.Contains(id, "@"):
		return id
	case region == "us-east-1":
		return id + "@email.amazonses.com"
	}
	return id + "@" + region + ".amazonses.com"
}

// unwrapSNS takes off what SNS puts around a message, as an HTTP or SQS subscription and a Lambda subscription get it.
func unwrapSNS(raw []byte) []byte {
	for range 3 { // SNS in SQS in Lambda is the deepest there is
		var outer struct {
			Type    string `json:"Type"`
			Message string `json:"Message"`
			Records []struct {
				SNS *struct {
					Message string `json:"Message"`
				} `json:"Sns"`
			} `json:"Records"`
		}
		if json.Unmarshal(raw, &outer) != nil {
			return raw
		}
		switch {
		case outer.Type == "Notification" && outer.Message != "":
			raw = []byte(outer.Message)
		case len(outer.Records) == 1 && outer.Records[0].SNS != nil:
			raw = []byte(outer.Records[0].SNS.Message)
		default:
			return raw
		}
	}
	return raw
}

func rejected(raw []byte, cause channel.Cause, format string, args ...any) *channel.Rejected {
	return &channel.Rejected{Cause: cause, Detail: fmt.Sprintf(format, args...), Raw: raw}
}
