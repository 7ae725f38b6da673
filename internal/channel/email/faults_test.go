package email

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// passed is what the receiving side knows of a mail whose DMARC passed.
func passed() *channel.Mail {
	return &channel.Mail{Via: "smtp", Sender: "maija@world.example", Recipients: []string{"help@desk.example"}, DMARC: "PASS"}
}

// parse reads one mail and wants one event of it.
func parse(t testing.TB, raw string, facts *channel.Mail) msg.Event {
	t.Helper()
	events, err := (Adapter{}).Parse(channel.Envelope{
		ID: "env-1", Channel: "email", Account: "main", Body: []byte(raw), Mail: facts,
		Settings: map[string]string{"address": "help@desk.example, info@desk.example"},
	})
	if err != nil || len(events) != 1 {
		t.Fatalf("want one event, got %d and %v", len(events), err)
	}
	return events[0]
}

const top = "From: Maija <maija@world.example>\nTo: help@desk.example\nSubject: Hei\nDate: Sun, 22 Nov 2026 10:00:00 +0200\nMessage-ID: <m1@world.example>\n"

func TestFault09_ReplyToIsNeverAnIdentity(t *testing.T) {
	t.Parallel()
	e := parse(t, "Reply-To: Mallory <mallory@evil.example>\nSender: mallory@evil.example\n"+top+"\nHei\n", passed())
	if e.From.Kind != KindEmail || e.From.Value != "maija@world.example" || len(e.From.Also) != 0 || len(e.To) != 0 {
		t.Errorf("the sender is %+v", e.From)
	}
	for name, facts := range map[string]*channel.Mail{
		"no facts":               nil,
		"DMARC fails":            {DMARC: "FAIL", SPF: "PASS", SPFDomain: "world.example", DKIM: "PASS", DKIMDomains: []string{"world.example"}},
		"no policy, foreign":     {DMARC: "GRAY", SPF: "PASS", SPFDomain: "evil.example", DKIM: "PASS", DKIMDomains: []string{"evil.example"}},
		"no policy, nothing":     {DMARC: "GRAY"},
		"no policy, same suffix": {DMARC: "GRAY", SPF: "PASS", SPFDomain: "example"},
		"not judged":             {DMARC: "PROCESSING_FAILED", DKIM: "PASS", DKIMDomains: []string{"world.example"}},
	} {
		if e := parse(t, top+"\nHei\n", facts); e.From.Kind != KindUnverified {
			t.Errorf("%s: the sender is %+v", name, e.From)
		}
	}
	for name, facts := range map[string]*channel.Mail{
		"aligned SPF":        {DMARC: "GRAY", SPF: "PASS", SPFDomain: "bounce.world.example"},
		"aligned DKIM":       {DMARC: "GRAY", DKIM: "PASS", DKIMDomains: []string{"esp.example", "WORLD.example"}},
		"DMARC alone":        {DMARC: "PASS"},
		"aligned subdomains": {DMARC: "GRAY", SPF: "PASS", SPFDomain: "world.example"},
	} {
		if e := parse(t, top+"\nHei\n", facts); e.From.Kind != KindEmail {
			t.Errorf("%s: the sender is %+v", name, e.From)
		}
	}
	if e := parse(t, "From: second@world.example\n"+top+"\nHei\n", passed()); e.From.Kind != KindUnverified {
		t.Errorf("two From fields: the sender is %+v", e.From)
	}
}

func TestFault11_MachineMailIsMarkedSoThatNothingAnswersIt(t *testing.T) {
	t.Parallel()
	for _, field := range []string{
		"Auto-Submitted: auto-replied", "Auto-Submitted: auto-generated; owner=x", "Auto-Submitted: AUTO-NOTIFIED (x)", "Precedence: bulk", "Precedence: list",
		"Precedence: auto_reply", "X-Autoreply: yes", "X-Autorespond: x", "X-Auto-Response-Suppress: All", "List-Id: <x.example>",
		"List-Unsubscribe: <mailto:x@x.example>", "Return-Path: <>", "Return-Path: <MAILER-DAEMON>",
	} {
		if e := parse(t, field+"\n"+top+"\nHei\n", nil); !e.Automatic || e.Kind != msg.KindMessage {
			t.Errorf("%s: want an automatic message, got %s automatic=%v", field, e.Kind, e.Automatic)
		}
	}
	if e := parse(t, top+"\nHei\n", &channel.Mail{NullSender: true}); !e.Automatic {
		t.Error("the null sender is a machine")
	}
	for _, subject := range []string{"Automatic reply: Hei", "Automaattinen vastaus: Hei", "Autosvar: Hej", "Réponse automatique : Bonjour", "Abwesenheitsnotiz: Hallo", "Out of Office"} {
		if e := parse(t, strings.Replace(top, "Subject: Hei", "Subject: "+subject, 1)+"\nHei\n", nil); !e.Automatic {
			t.Errorf("subject %q is a machine's", subject)
		}
	}
	for _, field := range []string{"Auto-Submitted: no", "Precedence: first-class", "X-Auto-Response-Suppress: DR, OOF", "Return-Path: <maija@world.example>"} {
		if e := parse(t, field+"\n"+top+"\nHei\n", nil); e.Automatic {
			t.Errorf("%s: a person's mail is marked automatic", field)
		}
	}
	for _, subject := range []string{"Re: Automatic reply", "Poissaolo koulusta", "Absences of my daughter", "Autosvarare?"} {
		if e := parse(t, strings.Replace(top, "Subject: Hei", "Subject: "+subject, 1)+"\nHei\n", nil); e.Automatic {
			t.Errorf("subject %q is a person's", subject)
		}
	}
}

func TestFault12_MailFromOurOwnAddressOpensNoCase(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"help@desk.example", "Desk <HELP@DESK.example>", "info+x@desk.example"} {
		e := parse(t, strings.Replace(top, "Maija <maija@world.example>", from, 1)+"\nHei\n", nil)
		if e.Direction != msg.Out || !e.Automatic || e.From.Kind != KindUnverified {
			t.Errorf("from %s: direction %s, automatic %v, kind %s", from, e.Direction, e.Automatic, e.From.Kind)
		}
	}
	if e := parse(t, strings.Replace(top, "maija@world.example", "nohelp@desk.example", 1)+"\nHei\n", nil); e.Direction != msg.In {
		t.Error("another address of the domain is a customer like any other")
	}
}

func TestFault31_RemoteImagesAreNeverFetched(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	page := `<link rel=stylesheet href="URL/c"><body background="URL/b" style="background:url(URL/d)"><img src="URL/i"><iframe src="URL/f"></iframe><p>Hei <img src="URL/alt" alt="Logo"></p>`
	e := parse(t, top+"Content-Type: text/html\n\n"+strings.ReplaceAll(page, "URL", server.URL), nil)
	if asked.Load() != 0 || e.Message.Text != "Hei [picture: Logo]" {
		t.Errorf("%d requests, text %q", asked.Load(), e.Message.Text)
	}
}

func TestFault37_HostileShapesEndAsReadableCards(t *testing.T) {
	t.Parallel()
	nested := func(depth int, closed bool) string {
		var b strings.Builder
		b.WriteString(top)
		for i := range depth {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
		}
		b.WriteString("Content-Type: text/plain\n\nsisin\n")
		for i := depth - 1; closed && i >= 0; i-- {
			fmt.Fprintf(&b, "--b%d--\n", i)
		}
		return b.String()
	}
	same := top + strings.Repeat("Content-Type: multipart/mixed; boundary=b\n\n--b\n", 2000) + "\nsisin\n"
	for name, c := range map[string]struct {
		raw string
		cut bool
	}{
		"10,000 parts":                  {top + "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Type: text/plain\n\nx\n", 10_000) + "--b--\n", true},
		"10,000 files":                  {top + "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Type: image/png\n\nx\n", 10_000), true},
		"depth 1,000, closed":           {nested(1000, true), true},
		"depth 50, open":                {nested(50, false), true},
		"depth 5,000, open":             {nested(5000, false), true},
		"one boundary at every depth":   {same, false},
		"20,000 links":                  {top + "Content-Type: text/html\n\n" + strings.Repeat(`<a href="https://x.example/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa">y</a> `, 20_000), false},
		"10 MB of spaces":               {top + "\nhei" + strings.Repeat(" ", 10<<20) + "hei\n", false},
		"1,000,000 empty lines":         {top + "\nhei" + strings.Repeat("\n", 1_000_000) + "hei\n", false},
		"5 MB on one line":              {top + "\n" + strings.Repeat("a", 5<<20) + "\n", false},
		"200,000 lines of quote signs":  {top + "\nhei\n" + strings.Repeat(">\n", 200_000), false},
		"100,000 headings":              {top + "\n" + strings.Repeat("hei\nOn 1.1.2026 10:00 a@x.example wrote:\n> x\n", 100_000), false},
		"1 MB of quote signs":           {top + "\nhei\n" + strings.Repeat(">", 1<<20), false},
		"100,000 false boundaries":      {top + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhei\n" + strings.Repeat("--bx\n", 100_000), false},
		"100,000 boundaries, unnamed":   {top + "Content-Type: multipart/mixed\n\nhei\n" + strings.Repeat("--bx\n", 100_000), false},
		"100,000 unclosed elements":     {top + "Content-Type: text/html\n\n" + strings.Repeat("<b><i>", 100_000) + "hei" + strings.Repeat("</i>", 100_000), false},
		"100,000 comments":              {top + "Content-Type: text/html\n\nhei" + strings.Repeat("<!--", 100_000), false},
		"100,000 encoded words":         {top + "X: " + strings.Repeat("=?utf-8?Q?a?= ", 100_000) + "\nSubject: " + strings.Repeat("=?utf-8?B?YQ", 100_000) + "\n\nhei\n", false},
		"100,000 parameters":            {top + "Content-Type: text/plain" + strings.Repeat("; a*0*=b", 100_000) + "\n\nhei\n", false},
		"100,000 fields":                {strings.Repeat("Received: x\n", 100_000) + top + "\nhei\n", false},
		"100,000 references":            {top + "References: " + strings.Repeat("<a@x.example>\n ", 100_000) + "\n\nhei\n", false},
		"100,000 UUE beginnings":        {top + "\nhei\n" + strings.Repeat("begin 644 x\n", 100_000), false},
		"8 MB of bounce":                {"Return-Path: <>\nFrom: mailer-daemon@b.example\n" + top + "\nundeliverable:\n" + strings.Repeat("<a@b.example>: 550 x\nFrom: x\nTo: y\n", 230_000), false},
		"100,000 addresses in a bounce": {"Return-Path: <>\n" + top + "\nundeliverable:\n" + strings.Repeat("hei", 100_000) + strings.Repeat("@x", 100_000), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events, err := (Adapter{}).Parse(channel.Envelope{Channel: "email", Account: "main", Body: []byte(c.raw)})
			if err != nil || len(events) == 0 {
				t.Fatalf("the mail is lost: %d events, %v", len(events), err)
			}
			e := events[0]
			if e.Kind == msg.KindReceipt {
				return
			}
			if e.Message.Text == "" && len(e.Message.Parts) == 0 {
				t.Error("nothing readable came of it")
			}
			if len(e.Message.FullText) > maxTextChars+200 || len(e.Message.Parts) > maxParts+1 || len(e.Message.References) > maxReferences {
				t.Errorf("%d bytes of text, %d parts, %d references went through", len(e.Message.FullText), len(e.Message.Parts), len(e.Message.References))
			}
			if n := len(e.Message.Parts); c.cut && (n == 0 || e.Message.Parts[n-1].Kind != msg.PartRaw || !strings.Contains(e.Message.Text, "raw mail")) {
				t.Error("it was cut and says nothing of it")
			}
		})
	}
}

func TestFault38_AMegabyteOfFromIsCapped(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]string{
		"a name":     strings.Repeat("a", 1<<20) + " <maija@world.example>",
		"comments":   strings.Repeat("(", 1<<20) + "maija@world.example",
		"addresses":  strings.Repeat("maija@world.example, ", 50_000),
		"folded":     strings.Repeat("\"x\"\n ", 200_000) + "<maija@world.example>",
		"a long one": strings.Repeat("a", 1<<20) + "@world.example",
	} {
		e := parse(t, "From: "+from+"\nTo: help@desk.example\n\nHei\n", passed())
		if len(e.From.Name) > 1000 || len(e.From.Value) > 320 || e.Message.Text != "Hei" {
			t.Errorf("%s: a name of %d bytes and an address of %d went through", name, len(e.From.Name), len(e.From.Value))
		}
	}
	if boxes := mailboxes(strings.Repeat("a@b.example,", 1<<20)); len(boxes) > maxAddresses {
		t.Errorf("%d addresses", len(boxes))
	}
	if boxes := mailboxes(strings.Repeat("a", maxAddressBytes) + " <maija@world.example>"); len(boxes) != 0 {
		t.Errorf("%+v stands beyond the cap and was read", boxes)
	}
}

func TestFault39_InvalidTextAndOddMessageIDsAreStored(t *testing.T) {
	t.Parallel()
	seen := make(map[string]string)
	for name, id := range map[string]string{
		"absent": "", "empty": "Message-ID:\n", "without brackets": "Message-ID: abc\n", "spaces": "Message-ID: <a b @ c>\n", "two": "Message-ID: <a@b> <c@d>\n",
		"8-bit": "Message-ID: <\xe4\xff@x>\n", "long": "Message-ID: <" + strings.Repeat("x", 5000) + "@x>\n",
	} {
		e := parse(t, "From: a@world.example\n"+id+"Subject: \xff\xfe\x80\n\n\xc3\x28 hei \xf0\x9f\x00\n", nil)
		if !strings.Contains(e.Message.Text, "hei") || e.ID == "" || e.Thread == "" {
			t.Errorf("%s: text %q, ID %q, thread %q", name, e.Message.Text, e.ID, e.Thread)
		}
		for _, s := range []string{e.Message.Text, e.Message.Subject, e.Message.MessageID, e.Thread} {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\r") {
				t.Errorf("%s: %q is not clean text", name, s)
			}
		}
		if other, taken := seen[e.ID]; taken && name != "empty" && other != "empty" { // an empty one is an absent one
			t.Errorf("%s and %s have the same ID", name, other)
		}
		seen[e.ID] = name
	}
}

func TestFault40_LineBreaksInDecodedHeadersBecomeSpaces(t *testing.T) {
	t.Parallel()
	e := parse(t, "From: =?utf-8?Q?Maija=0D=0ABcc:_x@evil.example?= <maija@world.example>\nSubject: =?utf-8?Q?Hei=0D=0A=0D=0AX-Evil:_1=00?=\n"+
		"Message-ID: <a\r\n b@x>\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: image/png; name=\"=?utf-8?Q?a=0D=0Ab.png?=\"\n\nx\n--b--\n", nil)
	for _, s := range []string{e.From.Name, e.Message.Subject, e.Message.MessageID, e.Message.Parts[0].Media.Name} {
		if strings.ContainsAny(s, "\r\n\x00") {
			t.Errorf("%q holds a line break", s)
		}
	}
	if e.Message.Subject != "Hei X-Evil: 1" {
		t.Errorf("subject %q", e.Message.Subject)
	}
}

func TestFault42_WhatLibrariesGiveUpOnStaysReadable(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"HTML of 100,000 nested elements": top + "Content-Type: text/html\n\n" + strings.Repeat("<div>", 100_000) + "Hyvää päivää" + strings.Repeat("</div>", 100_000),
		"no boundary named":               top + "Content-Type: multipart/alternative\n\n--x\nContent-Type: text/plain; charset=utf-8\n\nHyvää päivää\n--x--\n",
		"a wrong boundary named":          top + "Content-Type: multipart/mixed; boundary=wrong\n\n--right\nContent-Type: text/plain; charset=utf-8\n\nHyvää päivää\n--right--\n",
		"multipart without parts":         top + "Content-Type: multipart/mixed; boundary=x\n\nHyvää päivää\n",
		"Latin-1 called UTF-8":            top + "Content-Type: text/plain; charset=utf-8\n\nHyv\xe4\xe4 p\xe4iv\xe4\xe4\n",
		"UTF-8 called Latin-1":            top + "Content-Type: text/plain; charset=iso-8859-1\n\nHyvää päivää\n",
		"UTF-8 called nothing":            top + "\nHyvää päivää\n",
		"half of each":                    top + "\nHyvää p\xe4iv\xe4\xe4\n",
		"a stray line in the header":      "X: y\n__\n  <a@b.example>\n" + top + "Content-Type: text/plain; charset=utf-8\n\nHyvää päivää\n",
		"a line of blanks in the header":  "X: y,\n\t\n\tz\n" + top + "Content-Type: text/plain; charset=utf-8\n\nHyvää päivää\n",
		"a broken Content-Type":           top + "Content-Type: text/plain; charset=\"utf-8; x=\n\nHyvää päivää\n",
		"Content-Type of one word":        top + "Content-Type: text\n\nHyvää päivää\n",
		"unpadded base64":                 top + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nSHl2w6TDpCBww6RpdsOkw6Q\n",
		"base64 with rubbish":             top + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nSHl2 w6TD*!pCBw\n\nw6RpdsOkw6Q=\n",
		"HTML called plain":               top + "Content-Type: text/plain; charset=utf-8\n\n<html><body><p>Hyvää päivää</p></body></html>\n",
		"a head that nobody closed":       top + "Content-Type: text/html; charset=utf-8\n\n<html><head><title>x</title><p>Hyvää päivää</p>\n",
		"meta charset only":               top + "Content-Type: text/html\n\n<meta charset=iso-8859-1><p>Hyv\xe4\xe4 p\xe4iv\xe4\xe4</p>\n",
		"UTF-16 with a mark":              top + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n//5IAHkAdgDkAOQAIABwAOQAaQB2AOQA5AA=\n",
	} {
		if e := parse(t, raw, nil); e.Message.Text != "Hyvää päivää" {
			t.Errorf("%s: %q", name, e.Message.Text)
		}
	}
	e := parse(t, strings.Replace(top, "Subject: Hei", "Subject: =?utf-8?B?SHl2w6TDpCBww6RpdsOkw6Q?=", 1)+"\nx\n", nil)
	if e.Message.Subject != "Hyvää päivää" {
		t.Errorf("unpadded RFC 2047: %q", e.Message.Subject)
	}
}

func TestTheIDSurvivesRelaysAndTellsForgeriesApart(t *testing.T) {
	t.Parallel()
	raw := top + "\nHei\n"
	id := parse(t, raw, nil).ID
	for name, same := range map[string]string{
		"CRLF":           strings.ReplaceAll(raw, "\n", "\r\n"),
		"added header":   "Received: from x\nX-Spam: no\n" + raw,
		"trailing lines": raw + "\n\n",
	} {
		if got := parse(t, same, nil).ID; got != id {
			t.Errorf("%s: another ID", name)
		}
	}
	for name, other := range map[string]string{
		"body": top + "\nHej\n", "sender": strings.Replace(raw, "maija@", "mallory@", 1), "date": strings.Replace(raw, "10:00", "10:01", 1),
		"Message-ID": strings.Replace(raw, "m1@", "m2@", 1),
	} {
		if got := parse(t, other, nil).ID; got == id {
			t.Errorf("another %s has the same ID", name)
		}
	}
	if parse(t, raw, passed()).ID == id {
		t.Error("an authenticated mail and a forgery of it have the same ID")
	}
}

func TestEveryFileOfEveryFixtureCanBeTakenOut(t *testing.T) {
	t.Parallel()
	taken := 0
	for _, f := range fixtures(t) {
		env := f.Envelope()
		events, _ := (Adapter{}).Parse(env) // rejections have no files
		for _, e := range events {
			if e.Message == nil {
				continue
			}
			for _, p := range e.Message.Parts {
				if p.Media == nil {
					continue
				}
				data, err := (Adapter{}).Extract(env, *p.Media)
				if err != nil || int64(len(data)) < p.Media.Size-2 || int64(len(data)) > p.Media.Size+2 || len(data) == 0 {
					t.Errorf("%s, part %s: %d bytes of %d, %v", f.Case, p.Media.ID, len(data), p.Media.Size, err)
				}
				taken++
			}
		}
		if _, err := (Adapter{}).Extract(env, msg.Media{ID: "9.9"}); err == nil {
			t.Errorf("%s: a part that is not there was found", f.Case)
		}
	}
	if taken < 15 {
		t.Errorf("only %d files in all fixtures", taken)
	}
}

func TestThePicturesOfAMailAreMarkedWhereTheyStood(t *testing.T) {
	t.Parallel()
	picture := "--b\nContent-Type: image/jpeg; name=IMG_1.jpg\nContent-Disposition: inline; filename=IMG_1.jpg\nContent-Transfer-Encoding: base64\n\n/9j/\n"
	e := parse(t, top+"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nennen\n"+picture+"--b\nContent-Type: text/plain\n\njälkeen\n--b--\n", nil)
	if want := "ennen\n[picture: IMG_1.jpg]\n\njälkeen"; e.Message.Text != want {
		t.Errorf("got %q, want %q", e.Message.Text, want)
	}
}

func TestWhatSESLeavesOutOfItsVerdictsIsReadFromItsOwnHeader(t *testing.T) {
	t.Parallel()
	results := "Authentication-Results: amazonses.com;\n spf=none; envelope-from=x@esp.example;\n dkim=pass header.i=@world.example;\n dmarc=none header.from=world.example;\n"
	own := "Return-Path: <x@esp.example>\nReceived: from mx.world.example by inbound-smtp.eu-west-1.amazonaws.com with SMTP id 1;\n Sun, 22 Nov 2026 08:00:00 +0000 (UTC)\n"
	facts := &channel.Mail{Via: "ses", SPF: "GRAY", DKIM: "PASS", DMARC: "GRAY"}
	if e := parse(t, own+results+top+"\nHei\n", facts); e.From.Kind != KindEmail {
		t.Errorf("aligned DKIM: the sender is %s", e.From.Kind)
	}
	forged := "Received: from evil.example by mx.evil.example; Sun, 22 Nov 2026 08:00:00 +0000\n" + results
	if e := parse(t, own+forged+top+"\nHei\n", facts); e.From.Kind != KindUnverified {
		t.Errorf("results that the sender wrote: the sender is %s", e.From.Kind)
	}
	if facts.DKIMDomains != nil {
		t.Error("Parse changed the envelope")
	}
}

func TestAReportWithoutTheMailNamesItsEnvelopeID(t *testing.T) {
	t.Parallel()
	e := receiptsOf(t, "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example\nSubject: x\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"+
		"Content-Type: message/delivery-status\n\nOriginal-Envelope-Id: 7f3a+2D01\nReporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; maija@world.example\nAction: failed\nStatus: 5.1.1\n--b--\n")[0]
	if e.Tag != "7f3a-01" || e.Receipt.State != msg.Failed {
		t.Errorf("tag %q, %+v", e.Tag, e.Receipt)
	}
}

func TestDatesAreReadAsSendersWriteThem(t *testing.T) {
	t.Parallel()
	const want = "2026-11-22T08:00:00.000Z"
	for _, date := range []string{
		"Sun, 22 Nov 2026 10:00:00 +0200", "22 Nov 2026 10:00:00 +0200 (EET)", "Sun, 22 Nov 26 10:00 EET", "Sun Nov 22 10:00:00 2026 +0200", "2026-11-22 10:00:00 +0200", "2026-11-22T10:00:00+02:00",
		"22 November 2026 08:00:00 GMT", "Sun, 22 Nov 2026 08:00:00", "Sun, 22-Nov-2026 10:00:00 GMT+02:00", "Sun, 22 Nov 126 08:00:00 -0000", "Sun, 22 Nov 2026 10.00.00 +0200", "22.11.2026 10:00:00 +0200", "Sunday, November 22, 2026 8:00 AM UTC",
	} {
		if got := parseDate(date).String(); got != want {
			t.Errorf("%s: %s", date, got)
		}
	}
	for _, date := range []string{"", "yesterday", "Sun, 99 Nov 2026", "22 2026", "0000-00-00", "Nov"} {
		if got := parseDate(date); got != 0 {
			t.Errorf("%s: %s", date, got)
		}
	}
}

func TestAddressesAreReadAsSendersWriteThem(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]mailbox{
		"maija@world.example":                           {"", "maija@world.example"},
		"<Maija.V@WORLD.example.>":                      {"", "maija.v@world.example"},
		"Maija <maija@world.example>":                   {"Maija", "maija@world.example"},
		`"Virtanen, Maija" <maija@world.example>`:       {"Virtanen, Maija", "maija@world.example"},
		"maija@world.example (Maija (M) V)":             {"Maija (M) V", "maija@world.example"},
		"maija@world.example <maija@world.example>":     {"maija@world.example", "maija@world.example"},
		"<@relay.example:maija@world.example>":          {"", "maija@world.example"},
		"\"maija\"@world.example":                       {"", "maija@world.example"},
		"Äiti <äiti@häkki.example>":                     {"Äiti", "äiti@xn--hkki-loa.example"},
		"undisclosed-recipients:;, maija@world.example": {"", "maija@world.example"},
		"Maija maija@world.example":                     {"Maija", "maija@world.example"},
		"Maija (M) <maija(c)@world.example(d)>":         {"Maija (M)", "maija@world.example"},
		"M <maija@world(c).  example>":                  {"M", "maija@world.example"},
		"'Maija' <maija@world.example>":                 {"Maija", "maija@world.example"},
		"Mai\u202eja <maija@world.example>":             {"Maija", "maija@world.example"},
	} {
		if got := mailboxes(value); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v", value, got)
		}
	}
	for _, value := range []string{"", "Maija", "@", "a@", "@b", "<>", "undisclosed-recipients:;"} {
		if got := mailboxes(value); len(got) != 0 {
			t.Errorf("%q: %+v", value, got)
		}
	}
}

func TestASignedReplyAddressGivesItsTokenBack(t *testing.T) {
	t.Parallel()
	const token = "abcdefghijklmnopqrstuvwx23"
	for _, address := range []string{"help+" + token + "@desk.example", "help+r." + token + "@desk.example", "HELP+" + strings.ToUpper(token) + "@Desk.Example", "help+vip+" + token + "@desk.example"} {
		for name, e := range map[string]msg.Event{
			"envelope":     parse(t, top+"\nHei\n", &channel.Mail{Recipients: []string{"other@desk.example", address}}),
			"To":           parse(t, strings.Replace(top, "help@desk.example", "Desk <"+address+">", 1)+"\nHei\n", nil),
			"Delivered-To": parse(t, "Delivered-To: "+address+"\n"+top+"\nHei\n", nil),
		} {
			if e.Message.ReplyToken != token {
				t.Errorf("%s in %s: token %q", address, name, e.Message.ReplyToken)
			}
		}
	}
	for _, address := range []string{"help+orders@desk.example", token + "@desk.example", "help+" + token + "x@desk.example", "help+r.@desk.example", "help+r." + strings.Repeat("a", 70) + "@desk.example"} {
		if e := parse(t, top+"\nHei\n", &channel.Mail{Recipients: []string{address}}); e.Message.ReplyToken != "" {
			t.Errorf("%s gave the token %q", address, e.Message.ReplyToken)
		}
	}
}

func TestFault35_NamesOfFilesAndPeopleShowAsTheyAre(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"../../etc/passwd": "passwd", "C:\\Windows\\a.exe": "a.exe", "a\u202egpj.exe": "agpj.exe", "a\u200bb\u2066c.pdf": "abc.pdf", "..hidden": "hidden", "a\tb.pdf": "a b.pdf",
		"lasku p\xe4iv\xe4.pdf": "lasku päivä.pdf",
	} {
		for _, form := range []string{"attachment; filename=\"" + strings.ReplaceAll(name, `\`, `\\`) + "\"", "attachment; filename*=" + percent(name)} {
			e := parse(t, top+"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/pdf\nContent-Disposition: "+form+"\n\nx\n--b--\n", nil)
			if got := e.Message.Parts[0].Media.Name; got != want {
				t.Errorf("%q as %s: %q", name, form, got)
			}
		}
	}
	if e := parse(t, "From: Mai\u202ej\u200ba <maija@world.example>\n\nHei\n", nil); e.From.Name != "Maija" {
		t.Errorf("the name %q", e.From.Name)
	}
}

// percent writes a name as RFC 2231 has it, in whatever charset its bytes are.
func percent(s string) string {
	charset := "utf-8"
	if !utf8.ValidString(s) {
		charset = "iso-8859-1"
	}
	var b strings.Builder
	b.WriteString(charset + "''")
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

func TestFilesInsideOldTextsAreTakenOutAndTheTextAroundThemKept(t *testing.T) {
	t.Parallel()
	const file = "begin 644 hei.txt\n#0V%T\n`\nend\n"
	raw := top + "\nennen\n" + file + "välissä\n" + strings.Replace(file, "hei", "hoi", 1) + "jälkeen\nbegin 644 not a file\n"
	e := parse(t, raw, nil)
	if e.Message.Text != "ennen\n\nvälissä\n\njälkeen\nbegin 644 not a file" || len(e.Message.Parts) != 2 || e.Message.Parts[1].Media.Name != "hoi.txt" {
		t.Fatalf("%q, %d parts", e.Message.Text, len(e.Message.Parts))
	}
	for _, p := range e.Message.Parts {
		if data, err := (Adapter{}).Extract(channel.Envelope{Body: []byte(raw)}, *p.Media); err != nil || string(data) != "Cat" {
			t.Errorf("%s: %q, %v", p.Media.ID, data, err)
		}
	}
}
