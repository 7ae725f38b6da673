package email

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// The files in testdata/ses follow the examples of the Amazon SES Developer Guide ("Examples of notifications for Amazon SES
// email receiving", "Examples of event data that Amazon SES publishes to Amazon SNS"), of the S3 User Guide ("Event message
// structure", "EventBridge event message structure") and of the SNS Developer Guide, all as seen on 2026-11-23, with names of
// our own.
func sesFile(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "ses", name+".json")) //nolint:gosec // a test's own file
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

const sesID = "d6iitobk75ur44p8kdnnp7g2n800"

func TestFault63_EveryAnnouncementOfAMailNamesItTheSame(t *testing.T) {
	t.Parallel()
	at, err := msg.ParseTime("2015-09-11T20:32:33.936Z")
	if err != nil {
		t.Fatal(err)
	}
	whole := Notice{Bucket: "desk-mail", Key: "in/" + sesID, MessageID: sesID, At: at, Mail: channel.Mail{
		Via: "ses", Sender: "b@world.example", Recipients: []string{"help@desk.example"}, ProviderID: sesID,
		SPF: "PASS", DKIM: "PASS", DMARC: "PASS", Spam: "PASS", Virus: "PASS",
		SPFDomain: "world.example", DKIMDomains: []string{"world.example", "mailer.example"},
	}}
	written, err := msg.ParseTime("2015-09-11T20:32:34Z")
	if err != nil {
		t.Fatal(err)
	}
	pointer := Notice{Bucket: "desk-mail", MessageID: sesID, At: written, Mail: channel.Mail{Via: "ses", ProviderID: sesID}}
	s3, bridge := pointer, pointer
	s3.Key, bridge.Key = "in coming/"+sesID, "in+coming/"+sesID
	for name, want := range map[string]Notice{
		"received": whole, "received_sns": whole, "received_sns_lambda": whole, "s3": s3, "eventbridge": bridge,
		"received_lambda": {MessageID: sesID, At: at, Mail: channel.Mail{
			Via: "ses", NullSender: true, Recipients: []string{"help@desk.example"}, ProviderID: sesID,
			SPF: "PASS", DKIM: "GRAY", DMARC: "FAIL", Spam: "DISABLED", Virus: "PASS",
		}},
	} {
		got, err := Notification(sesFile(t, name))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, want)
		}
	}
}

func TestFault64_TheSetUpObjectIsNoMail(t *testing.T) {
	t.Parallel()
	inSNS := strings.ReplaceAll(string(sesFile(t, "received")), "in/"+sesID, "AMAZON_SES_SETUP_NOTIFICATION")
	for name, raw := range map[string][]byte{"s3_setup": sesFile(t, "s3_setup"), "s3_test": sesFile(t, "s3_test"), "received": []byte(inSNS)} {
		got, err := Notification(raw)
		if err != nil || !got.Setup || got.Key != "" {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

func TestWhatIsNoAnnouncementIsRejectedWithItsCause(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]channel.Cause{
		`not json`: channel.CauseMalformed, `{}`: channel.CauseUnsupported, `{"Records":[]}`: channel.CauseUnsupported,
		`{"Records":[{"s3":{"object":{"key":"a"}}},{"s3":{}}]}`:               channel.CauseUnsupported,
		`{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"%zz"}}}]}`: channel.CauseMalformed,
		`{"Records":[{"s3":{"bucket":{},"object":{"key":"a"}}}]}`:             channel.CauseMalformed,
		`{"mail":{},"receipt":{}}`:                                            channel.CauseMalformed,
		`{"Type":"SubscriptionConfirmation","SubscribeURL":"https://x"}`:      channel.CauseUnsupported,
	} {
		_, err := Notification([]byte(raw))
		if r, ok := errors.AsType[*channel.Rejected](err); !ok || r.Cause != want || string(r.Raw) == "" {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

const sesTop = "Return-Path: <b@world.example>\r\nReceived: from mx.world.example ([192.0.2.1])\r\n by inbound-smtp.eu-west-1.amazonaws.com with SMTP id x for help@desk.example;\r\n Sun, 22 Nov 2026 10:00:00 +0000\r\nX-SES-Spam-Verdict: PASS\r\nX-SES-Virus-Verdict: FAIL\r\n"

func TestOnlyTheResultsThatSESWroteItselfAreRead(t *testing.T) {
	t.Parallel()
	pass := "Authentication-Results: amazonses.com; spf=pass client-ip=1; envelope-from=b@world.example; dkim=pass header.i=@world.example; dmarc=pass header.from=world.example;\r\n"
	fail := "Authentication-Results: amazonses.com;\r\n spf=fail (a; dmarc=pass \\) x; dmarc=pass) client-ip=1;\r\n dkim=none; dmarc=fail (x; dmarc=pass ; y) header.from=world.example;\r\n"
	forgedHop := "Received: from a by inbound-smtp.eu-west-1.amazonaws.com\r\n"
	for _, c := range []struct {
		name, header, dmarc, spf string
		found                    bool
	}{
		{"its own", sesTop + pass, "PASS", "PASS", true},
		{"its own above a forged one", sesTop + fail + pass, "FAIL", "FAIL", true},
		{"a forged one without its own", pass, "", "", false},
		{"a forged one below another server's Received", sesTop + "Received: from a by b\r\n" + pass, "", "", false},
		{"a forged one below a forged Received", sesTop + forgedHop + pass, "", "", false},
		{"a forged one above everything", "Received: from a by b\r\n" + pass, "", "", false},
		{"another server's", sesTop + "Authentication-Results: mx.google.com; dmarc=pass\r\n" + pass, "", "", false},
		{"a name that only starts alike", sesTop + "Authentication-Results: amazonses.com.evil.example; dmarc=pass\r\n", "", "", false},
		{"in quotes", sesTop + "Authentication-Results: amazonses.com; spf=fail; dmarc=fail reason=\"x; dmarc=pass\"\r\n", "FAIL", "FAIL", true},
	} {
		var m channel.Mail
		found := AuthenticationResults([]byte(c.header+"From: maija@world.example\r\n\r\n"+pass), &m)
		if found != c.found || m.DMARC != c.dmarc || m.SPF != c.spf {
			t.Errorf("%s: %v %+v", c.name, found, m)
		}
		if c.name == "its own" && (m.SPFDomain != "world.example" || len(m.DKIMDomains) != 1 || m.Virus != "FAIL" || m.Sender != "b@world.example") {
			t.Errorf("%+v", m)
		}
		if c.dmarc == "FAIL" && (m.SPFDomain != "" || m.DKIMDomains != nil) {
			t.Errorf("%s: domains that did not pass: %+v", c.name, m)
		}
	}
	known := channel.Mail{SPF: "FAIL", DKIM: "GRAY", DMARC: "FAIL"}
	if AuthenticationResults([]byte(sesTop+pass+"\r\n"), &known); known.DMARC != "FAIL" || known.SPFDomain != "" || known.DKIMDomains != nil {
		t.Errorf("a verdict that was known is overwritten: %+v", known)
	}
}

func TestMailInTheBucketSaysItselfWhomItIsFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, header string
		want         []string
	}{
		{"what SES took it for stands first", sesTop + "To: Desk <HELP@desk.example>, a@world.example\r\nCc: b@world.example\r\n",
			[]string{"help@desk.example", "help@desk.example", "a@world.example", "b@world.example"}},
		{"Bcc", sesTop + "To: undisclosed-recipients:;\r\n", []string{"help@desk.example"}},
		{"in brackets, with comments", "Received: from mx.world.example (for x@evil.example; [192.0.2.1]) by inbound-smtp.eu-west-1.amazonaws.com\r\n" +
			" with SMTP id x (version=TLSv1.3) for <bills@desk.example>; Sun, 22 Nov 2026 10:00:00 +0000\r\n", []string{"bills@desk.example"}},
		{"another server's Received on top", "Received: from a by b for bills@desk.example;\r\n" + sesTop + "To: c@world.example\r\n", []string{"c@world.example"}},
		{"nobody", "Subject: x\r\n", nil},
	} {
		if got := Recipients([]byte(c.header + "\r\nTo: not-in-the-header@world.example\r\n")); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWhatBecameOfAMailSentThroughSES(t *testing.T) {
	t.Parallel()
	const id = "EXAMPLE7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000"
	for _, c := range []struct {
		file       string
		state      msg.State
		code, time string
	}{
		{"event_send", msg.Accepted, "", "2017-08-05T00:40:02.012Z"}, {"event_delivery", msg.Delivered, "", "2016-10-19T23:21:04.133Z"},
		{"event_delay", msg.Delayed, "4.4.1", "2020-06-16T00:25:40.095Z"}, {"event_bounce", msg.Failed, "5.1.1", "2017-08-05T00:41:02.669Z"},
		{"event_bounce_soft", msg.Failed, "4.2.2", "2017-08-05T00:41:02.669Z"}, {"event_bounce_undetermined", msg.Failed, "undetermined", "2017-08-05T00:41:02.669Z"},
		{"event_bounce_away", msg.Delayed, "transient", "2017-08-05T00:41:02.669Z"}, {"event_complaint", msg.Delivered, "complaint", "2017-08-05T00:41:02.669Z"},
		{"event_reject", msg.Failed, "reject", "2017-08-05T00:40:02.012Z"}, {"event_rendering_failure", msg.Failed, "rendering_failure", "2017-08-05T00:40:02.012Z"},
	} {
		events, err := Events(sesFile(t, c.file))
		if err != nil || len(events) != 1 {
			t.Fatalf("%s: %v %v", c.file, events, err)
		}
		e := events[0]
		of := id + "@eu-west-1.amazonses.com"
		if c.file == "event_reject" {
			of = id + "@email.amazonses.com"
		}
		if e.Kind != msg.KindReceipt || e.Tag != "7f3a" || e.Receipt.State != c.state || e.Receipt.Of != of ||
			e.Receipt.Recipient != "maija@world.example" || e.Time.String() != c.time {
			t.Errorf("%s: %+v %+v", c.file, e, e.Receipt)
		}
		if code := e.Receipt.Error; (code == nil) != (c.code == "") || code != nil && (code.Code != c.code || code.Title == "") {
			t.Errorf("%s: %+v", c.file, code)
		}
	}
}

func TestEventsThatNobodyUsesAreSaidSo(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]channel.Cause{
		string(sesFile(t, "event_open")): channel.CauseUnsupported, `{"eventType":"New","mail":{"messageId":"x"}}`: channel.CauseUnsupported,
		`{`: channel.CauseMalformed, `{"eventType":"Send","mail":{}}`: channel.CauseMalformed, string(sesFile(t, "received")): channel.CauseUnsupported,
	} {
		_, err := Events([]byte(raw))
		if r, ok := errors.AsType[*channel.Rejected](err); !ok || r.Cause != want {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func FuzzNotification(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "ses", "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file) //nolint:gosec // a test's own file
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(sesTop))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if n, err := Notification(raw); err == nil && !n.Setup && n.MessageID == "" {
			t.Errorf("an announcement without an ID: %+v", n)
		}
		events, err := Events(raw)
		if (err == nil) != (len(events) > 0) {
			t.Errorf("%v %v", events, err)
		}
		var m channel.Mail
		if !AuthenticationResults(raw, &m) && m.DMARC != "" {
			t.Errorf("a verdict without its server: %+v", m)
		}
	})
}
