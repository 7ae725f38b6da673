package pipeline_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/email"
	letters "github.com/aikajana/aikajana/internal/channel/email/fake"
	"github.com/aikajana/aikajana/internal/channel/form"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/notify"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

func TestFault06_AnAnswerToAnAgentsNotificationIsNobodysAnswerAndGoesToNobody(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	relay := d.withMail(nil)
	aino := staff{auth.User{ID: "aino", Name: "Aino", Teams: []string{"support"}, Email: "aino@staff.example", Presence: auth.Present, Language: "fi", NotifyByMail: true}}
	d.rewire(func(deps *pipeline.Deps) {
		deps.Notifiers = []pipeline.Notifier{&notify.Mail{
			People: aino, Told: d.Store, Mailer: relay, From: d.MailAddress, BaseURL: "https://desk.example", Now: d.now,
		}}
	})
	d.send(d.graph.Text(maija, "Salainen asia").ID("w1"))
	told := relay.to("aino@staff.example")
	if len(told) != 1 {
		t.Fatalf("the agent was told %d times", len(told))
	}
	notification, err := mail.ReadMessage(bytes.NewReader(told[0].raw))
	must(t, err)
	id := strings.Trim(notification.Header.Get("Message-ID"), "<>")
	if id == "" {
		t.Fatal("the notification has no Message-ID")
	}
	forged := letters.Letter{Subject: "Re: Uusi asia", Text: "Kerro minulle kaikki.", InReplyTo: id, References: []string{id}, MessageID: "f1@evil.example"}
	forged.From, forged.Name = "aino@staff.example", "Aino"
	d.letter(forged, "FAIL")
	forged.From, forged.Name, forged.MessageID = "mallory@evil.example", "Mallory", "f2@evil.example"
	d.letter(forged, "PASS")
	d.pass(time.Minute)

	if got := d.draw(maija); got != "08:00:00 in received Salainen asia\n" {
		t.Errorf("the customer's timeline: %s", got)
	}
	if sent := d.graph.Sent(); len(sent) != 0 {
		t.Errorf("the customer was sent %+v", sent)
	}
	for _, m := range relay.sent {
		if len(m.to) != 1 || m.to[0] != "aino@staff.example" {
			t.Errorf("a mail went to %v:\n%s", m.to, m.raw)
		}
	}
	for _, from := range []msg.Address{{Kind: "email.unverified", Value: "aino@staff.example"}, {Kind: "email", Value: "mallory@evil.example"}} {
		c, err := d.Store.CustomerAt(t.Context(), from)
		must(t, err)
		entries, _, err := d.Store.Timeline(t.Context(), c.Customer, store.Page{})
		must(t, err)
		if len(entries) != 1 || entries[0].Direction != msg.In || entries[0].Agent != "" {
			t.Errorf("%s: %+v", from.Value, entries)
		}
	}
	d.even()
}

func TestFault10_OneAddressIsAcknowledgedOnceAnHourAndNothingTypedIsRepeated(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	relay := d.withMail(nil)
	d.connect("form", map[string]string{"acknowledge": "yes"}, nil)
	submit := func(n int) {
		t.Helper()
		body, err := form.Submission{
			ID: fmt.Sprintf("s%d", n), Name: "OSTA HALPAA", Email: "uhri@world.example", Subject: "http://evil.example", Message: fmt.Sprintf("Osta halpaa %d", n),
		}.Encode()
		must(t, err)
		must(t, d.Accept(t.Context(), &channel.Envelope{
			ID: d.newID(), Channel: "form", Account: "main", ReceivedAt: d.now(), Body: body, Header: http.Header{"Content-Type": {"application/json"}},
		}, d.Inbound))
	}
	for n := range 30 {
		submit(n)
	}
	d.settle()
	d.pass(time.Minute)
	sent := relay.to("uhri@world.example")
	if len(sent) != 1 {
		t.Fatalf("thirty forms were acknowledged %d times", len(sent))
	}
	whole := strings.ToLower(string(sent[0].raw))
	for _, typed := range []string{"halpaa", "evil"} {
		if strings.Contains(whole, typed) {
			t.Errorf("the acknowledgement repeats %q:\n%s", typed, sent[0].raw)
		}
	}
	if n := len(d.open()); n != 30 {
		t.Errorf("%d of thirty forms are cases", n)
	}
	d.pass(time.Hour)
	submit(30)
	d.settle()
	d.pass(time.Minute)
	if n := len(relay.to("uhri@world.example")); n != 2 {
		t.Errorf("an hour later there are %d acknowledgements in all", n)
	}
	d.even()
}

func TestFault11_MachinesMailIsOnRecordAndOpensReopensAndGetsNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	relay := d.withMail(map[string]string{"acknowledge": "yes"})
	person := msg.Address{Kind: "email", Value: "maija@world.example"}
	d.letter(letters.Letter{From: person.Value, Subject: "Lamppu", Text: "Se on rikki.", MessageID: "m1@world.example"}, "PASS")
	d.pass(time.Minute)
	if n := len(relay.to(person.Value)); n != 1 {
		t.Fatalf("a person's mail was acknowledged %d times", n)
	}
	c := d.open()[0]
	solved := timeline.CaseSolved
	_, err := d.Store.Change(t.Context(), c.Case, store.Patch{State: &solved})
	must(t, err)
	d.settle()
	d.pass(2 * time.Hour) // so that the cap is not what keeps an acknowledgement back

	marks := map[string]letters.Letter{
		"auto-replied": {Extra: []string{"Auto-Submitted: auto-replied"}},
		"bulk":         {Extra: []string{"Precedence: bulk"}},
		"auto_reply":   {Extra: []string{"Precedence: auto_reply"}},
		"x-autoreply":  {Extra: []string{"X-Autoreply: yes"}},
		"null sender":  {NullSender: true},
	}
	for name, l := range marks {
		l.From, l.Subject, l.Text = person.Value, "Re: Lamppu", "Olen lomalla: "+name
		l.MessageID, l.InReplyTo = strings.ReplaceAll(name, " ", "-")+"@world.example", "m1@world.example"
		d.letter(l, "PASS")
		l.InReplyTo, l.MessageID = "", "other-"+l.MessageID
		l.From = "robot@" + strings.NewReplacer(" ", "-", "_", "-").Replace(name) + ".example"
		d.letter(l, "PASS")
	}
	d.pass(time.Minute)
	if n := len(relay.sent); n != 1 {
		t.Errorf("machines were answered: %d mails in all", n)
	}
	if open := d.open(); len(open) != 0 {
		t.Errorf("machines opened %d cases, the first %+v", len(open), open[0])
	}
	if n := len(d.texts(person)); n != 2+len(marks) {
		t.Errorf("%d entries are on record of %d", n, 2+len(marks))
	}
	d.letter(letters.Letter{From: person.Value, Subject: "Re: Lamppu", Text: "Nyt minä itse.", InReplyTo: "m1@world.example", MessageID: "m2@world.example"}, "PASS")
	if open := d.open(); len(open) != 1 || open[0].Case != c.Case {
		t.Errorf("a person's answer does not reopen the case: %+v", open)
	}
	d.even()
}

func TestFault12_MailFromTheDesksOwnAddressOpensNoCase(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	relay := d.withMail(map[string]string{"address": "help@desk.example, info@desk.example", "acknowledge": "yes"})
	for n, from := range []string{"help@desk.example", "info@desk.example", "Help+x@desk.example"} {
		d.letter(letters.Letter{From: from, Subject: "Silmukka", Text: "Hei taas", MessageID: fmt.Sprintf("l%d@desk.example", n)}, "PASS")
	}
	d.pass(time.Minute)
	if open := d.open(); len(open) != 0 {
		t.Errorf("our own mail opened %d cases", len(open))
	}
	if len(relay.sent) != 0 {
		t.Errorf("our own mail was answered %d times", len(relay.sent))
	}
	told, err := d.Store.Notifications(t.Context(), "support", "", 10)
	must(t, err)
	for _, n := range told {
		if n.For != "" {
			t.Errorf("somebody was told of our own mail: %+v", n)
		}
	}
	for _, b := range d.even() {
		if b.Channel == "email" && b.Stored != 3 {
			t.Errorf("the mails are not on record: %+v", b)
		}
	}
}

func TestFault02_ASpoofedCustomerIsHeldApartAndTheStrangerInCcGetsNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	relay := d.withMail(nil)
	person := msg.Address{Kind: "email", Value: "maija@world.example"}
	d.letter(letters.Letter{From: person.Value, Subject: "Lasku", Text: "Alkuperäinen.", MessageID: "m1@world.example"}, "PASS")
	c := d.open()[0]
	address := "help+" + d.Store.ReplyToken("email", c.Case) + "@desk.example"
	d.letter(letters.Letter{
		From: person.Value, Name: "Maija", To: []string{address}, Subject: "Re: Lasku", Text: "Vaihdan tilinumeron.", InReplyTo: "m1@world.example",
		MessageID: "x1@evil.example", Extra: []string{"Cc: mallory@evil.example"},
	}, "FAIL")
	equal(t, "the customer's timeline", d.texts(person), []string{"in Alkuperäinen."})
	who, err := d.Store.Customer(t.Context(), c.Customer)
	must(t, err)
	if len(who.Identities) != 1 {
		t.Errorf("somebody was added: %+v", who.Identities)
	}
	apart, err := d.Store.CustomerAt(t.Context(), msg.Address{Kind: "email.unverified", Value: person.Value})
	must(t, err)
	entries, _, err := d.Store.Timeline(t.Context(), apart.Customer, store.Page{})
	must(t, err)
	if apart.Customer == c.Customer || len(entries) != 1 || !entries[0].Unverified || entries[0].Entry == "" {
		t.Fatalf("the forged mail is not held apart: %+v", entries)
	}
	d.reply(c, "Katsomme asiaa.")
	d.pass(time.Minute)
	for _, m := range relay.sent {
		if len(m.to) != 1 || m.to[0] != person.Value || strings.Contains(string(m.raw), "mallory") {
			t.Errorf("an answer went to %v:\n%s", m.to, m.raw)
		}
	}
	if len(relay.sent) != 1 {
		t.Errorf("%d answers left", len(relay.sent))
	}
	d.even()
}

// reply answers a case on the channel that it is on.
func (d *desk) reply(c *timeline.Case, text string) {
	d.t.Helper()
	route, err := d.Route(d.t.Context(), c, nil, "", "")
	must(d.t, err)
	_, err = d.Store.Reply(d.t.Context(), store.Answer{
		Case: c.Case, Agent: "aino", Channel: route.Channel, Account: route.Account, To: route.To, Text: text, MessageID: route.MessageID,
	})
	must(d.t, err)
	d.settle()
}

// announced makes the handlers understand what SES says, as on AWS.
func (d *desk) announced() {
	d.t.Helper()
	d.rewire(func(deps *pipeline.Deps) {
		deps.Notice = func(raw []byte) (*pipeline.MailNotice, error) {
			n, err := email.Notification(raw)
			if err != nil {
				return nil, err
			}
			facts := n.Mail
			if facts.ProviderID == "" {
				facts.ProviderID = n.MessageID
			}
			told := &pipeline.MailNotice{Setup: n.Setup, Key: n.Key, At: n.At, Mail: facts}
			if facts.Recipients == nil {
				told.Recipients = email.Recipients
			}
			return told, nil
		}
	})
}

// announcement is what SES says of a mail in the bucket, as the S3 action with a topic does.
func announcement(t *testing.T, id, key string) []byte {
	t.Helper()
	pass := map[string]string{"status": "PASS"}
	b, err := json.Marshal(map[string]any{
		"notificationType": "Received",
		"mail":             map[string]any{"timestamp": "2026-11-22T08:00:00.000Z", "messageId": id, "source": "maija@world.example", "destination": []string{"help@desk.example"}},
		"receipt": map[string]any{
			"recipients": []string{"help@desk.example"}, "spamVerdict": pass, "virusVerdict": pass, "spfVerdict": pass, "dkimVerdict": pass, "dmarcVerdict": pass,
			"action": map[string]any{"type": "S3", "bucketName": "mail", "objectKey": key},
		},
	})
	must(t, err)
	return b
}

func (d *desk) putMail(key, text string) {
	d.t.Helper()
	raw, err := letters.Letter{
		From: "maija@world.example", To: []string{"help@desk.example"}, Subject: "Hei", Text: text, MessageID: "ses@world.example", Date: d.time(),
	}.Bytes()
	must(d.t, err)
	_, err = d.Blobs.Put(d.t.Context(), key, bytes.NewReader(raw), blob.PutOptions{})
	must(d.t, err)
}

func TestFault63_AMailAnnouncedTwiceAndByTwoRulesIsOneEntry(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.withMail(nil)
	d.announced()
	d.putMail("mail/one", "Kerran vain.")
	d.putMail("other-rule/one", "Kerran vain.")
	first := announcement(t, "ses-1", "mail/one")
	for _, body := range [][]byte{first, first, announcement(t, "ses-1", "other-rule/one")} {
		must(t, d.Mails.Send(t.Context(), queue.Outgoing{Body: body, Group: "email/main"}))
		d.settle()
	}
	equal(t, "the timeline", d.texts(msg.Address{Kind: "email", Value: "maija@world.example"}), []string{"in Kerran vain."})
	if open := d.open(); len(open) != 1 {
		t.Errorf("%d cases are open", len(open))
	}
	for _, b := range d.even() {
		if b.Channel == "email" && (b.Stored != 1 || b.Duplicate != 2) {
			t.Errorf("ledger: %+v", b)
		}
	}
}

func TestFault64_AMailThatCannotBeReadYetComesAgainAndTheSetUpObjectIsNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.withMail(nil)
	d.announced()
	for _, body := range [][]byte{announcement(t, "AMAZON_SES_SETUP_NOTIFICATION", "mail/AMAZON_SES_SETUP_NOTIFICATION"), announcement(t, "ses-1", "mail/late")} {
		must(t, d.Mails.Send(t.Context(), queue.Outgoing{Body: body, Group: "email/main"}))
	}
	d.settle()
	depth, err := d.Mails.Depth(t.Context())
	must(t, err)
	if depth.Delayed+depth.InFlight+depth.Ready != 1 || depth.Dead != 0 {
		t.Fatalf("the mail that cannot be read does not wait: %+v", depth)
	}
	if list, _, err := d.Store.QuarantineList(t.Context(), store.Page{}, true); err != nil || len(list) != 0 {
		t.Errorf("quarantine: %+v, %v", list, err)
	}
	d.putMail("mail/late", "Myöhässä.")
	d.pass(5 * time.Minute)
	equal(t, "the timeline", d.texts(msg.Address{Kind: "email", Value: "maija@world.example"}), []string{"in Myöhässä."})
	d.even()
}

// stored is what S3 says of a mail in the bucket.
func stored(key string) []byte {
	return fmt.Appendf(nil, `{"Records":[{"s3":{"bucket":{"name":"mail"},"object":{"key":%q}}}]}`, key)
}

// TestFault02_MailThatOnlyS3ToldOfIsOfWhoSESProved: such a notice has no verdicts. They stand in the mail where SES took it, and
// where it did not, nobody vouches for the sender.
func TestFault02_MailThatOnlyS3ToldOfIsOfWhoSESProved(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.withMail(nil)
	d.announced()
	const taken = "Received: from mx.world.example ([192.0.2.1]) by inbound-smtp.eu-west-1.amazonaws.com with SMTP id x for help@desk.example; Sun, 22 Nov 2026 10:00:00 +0000\r\n" +
		"X-SES-Spam-Verdict: PASS\r\nX-SES-Virus-Verdict: PASS\r\n"
	const from = "From: Maija <maija@world.example>\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
	for key, raw := range map[string]string{
		"proven":   taken + "Authentication-Results: amazonses.com; spf=pass; dkim=pass header.i=@world.example; dmarc=pass header.from=world.example;\r\n" + from + "\r\nOikea.\r\n",
		"forged":   taken + "Authentication-Results: amazonses.com; spf=fail; dkim=fail; dmarc=fail header.from=world.example;\r\n" + from + "\r\nVäärennetty.\r\n",
		"unjudged": from + "To: help@desk.example\r\n\r\nTuntematon.\r\n",
	} {
		_, err := d.Blobs.Put(t.Context(), "ses/"+key, strings.NewReader(raw), blob.PutOptions{})
		must(t, err)
		must(t, d.Mails.Send(t.Context(), queue.Outgoing{Body: stored("ses/" + key)}))
		d.settle()
	}
	equal(t, "what Maija wrote", d.texts(msg.Address{Kind: "email", Value: "maija@world.example"}), []string{"in Oikea."})
	got := d.texts(msg.Address{Kind: "email.unverified", Value: "maija@world.example"})
	slices.Sort(got)
	equal(t, "what anybody wrote in her name", got, []string{"in Tuntematon.", "in Väärennetty."})
	d.even()
}

func TestMailThatOnlyS3ToldOfAndIsForNobodyHereIsInQuarantine(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.withMail(nil)
	d.announced()
	_, err := d.Blobs.Put(t.Context(), "ses/stray", strings.NewReader("From: a@world.example\r\nTo: b@world.example\r\n\r\n"+strings.Repeat("Hei.\r\n", 50_000)), blob.PutOptions{})
	must(t, err)
	must(t, d.Mails.Send(t.Context(), queue.Outgoing{Body: stored("ses/stray")}))
	must(t, d.Mails.Send(t.Context(), queue.Outgoing{Body: stored("ses/not-there-yet")}))
	d.settle()
	list, _, err := d.Store.QuarantineList(t.Context(), store.Page{}, true)
	// A mail of any size is not stored a second time: SES's object is what is kept of it.
	if err != nil || len(list) != 1 || list[0].Cause != string(channel.CauseUnknownAccount) || !slices.Equal(list[0].Bodies, []string{"ses/stray"}) {
		t.Errorf("quarantine: %+v, %v", list, err)
	}
	if depth, err := d.Mails.Depth(t.Context()); err != nil || depth.Delayed+depth.InFlight+depth.Ready != 1 {
		t.Errorf("the mail that cannot be read yet does not wait: %+v, %v", depth, err)
	}
}

func TestFault31_NothingThatAMailPointsAtIsFetched(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.withMail(nil)
	asked := make(chan string, 10)
	d.rewire(func(deps *pipeline.Deps) {
		deps.HTTP = &http.Client{Transport: tripwire(asked)}
		deps.Files = deps.HTTP
	})
	raw := "From: maija@world.example\r\nTo: help@desk.example\r\nSubject: Kuva\r\nMessage-ID: <k@world.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n" +
		`<p>Hei<img src="http://tracker.example/pixel.gif"><link rel="stylesheet" href="http://tracker.example/a.css"></p>` + "\r\n"
	d.letter(letters.Letter{From: "maija@world.example", Raw: []byte(raw)}, "PASS")
	d.pass(time.Hour)
	equal(t, "the timeline", d.texts(msg.Address{Kind: "email", Value: "maija@world.example"}), []string{"in Hei"})
	if len(asked) != 0 {
		t.Errorf("fetched %s", <-asked)
	}
	d.even()
}

// tripwire tells of every request and lets none through.
type tripwire chan string

func (w tripwire) RoundTrip(r *http.Request) (*http.Response, error) {
	w <- r.URL.String()
	return nil, http.ErrServerClosed
}

func TestFault03_AConfirmationCodeOfAThirdPartyIsSeenByStaffAndLeavesByNoMail(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	relay := d.withMail(map[string]string{"acknowledge": "yes"})
	aino := staff{auth.User{ID: "aino", Name: "Aino", Teams: []string{"support"}, Email: "aino@staff.example", Presence: auth.Present, Language: "en", NotifyByMail: true}}
	d.rewire(func(deps *pipeline.Deps) {
		deps.Notifiers = []pipeline.Notifier{&notify.Mail{
			People: aino, Told: d.Store, Mailer: relay, From: d.MailAddress, BaseURL: "https://desk.example", Now: d.now,
		}}
	})
	d.letter(letters.Letter{
		From: "verify@service.example", Name: "Service", Subject: "Your code is 771177", Text: "Confirm with 771177.", MessageID: "771177@service.example",
	}, "PASS")
	d.pass(time.Minute)
	if seen := d.texts(msg.Address{Kind: "email", Value: "verify@service.example"}); !slices.Contains(seen, "in Confirm with 771177.") {
		t.Errorf("staff see %q", seen)
	}
	if len(relay.sent) != 2 {
		t.Errorf("%d mails left: want one to the agent and one acknowledgement", len(relay.sent))
	}
	for _, m := range relay.sent {
		body := bytes.ReplaceAll(m.raw, []byte("771177@service.example"), nil) // what an answer must refer to
		if bytes.Contains(body, []byte("771177")) {
			t.Errorf("the code went to %v:\n%s", m.to, m.raw)
		}
	}
}
