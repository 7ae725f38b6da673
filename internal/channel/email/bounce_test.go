package email

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// ours is the header of a mail of ours as bounces return it.
const ours = "Return-Path: <help@desk.example>\nReceived: from desk.example by mx.world.example; Sun, 22 Nov 2026 09:59:00 +0200\nMessage-ID: <r7f3a@desk.example>\nX-Aikajana-Entry: 7f3a-01\nFrom: Desk <help@desk.example>\nTo: maija@world.example\nSubject: Re: Tilaus 17\n\nKatson heti.\n"

func receiptsOf(t testing.TB, raw string) []msg.Event {
	t.Helper()
	events, err := (Adapter{}).Parse(channel.Envelope{Channel: "email", Account: "main", Body: []byte(raw), Settings: map[string]string{"address": "help@desk.example"}})
	if err != nil || len(events) == 0 {
		t.Fatalf("the mail is lost: %v", err)
	}
	return events
}

// The shapes of bounces that are no RFC 3464 report, written after what each program is documented or known to send.
func TestBouncesWithoutStructureNameTheirRecipient(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, subject, text string
		state               msg.State
		code                string
	}{
		"Lotus Notes":                           {"Mail Router <mailrouter@world.example>", "DELIVERY FAILURE", "------- Failure Reasons  --------\n\nUser not listed in public Name & Address Book\nmaija@world.example\n\n------- Returned Message --------\n\n" + ours, msg.Failed, ""},
		"Apache James":                          {"postmaster@mx.world.example", "[BOUNCE]", "Hi. This is the James mail server at mx.\nI'm afraid I wasn't able to deliver your message to the following addresses.\n\nRCPT TO: maija@world.example\nError message below:\n550 - Requested action not taken: no such user here\n\nMessage details:\n", msg.Failed, "550"},
		"MailFoundry":                           {"MAILER-DAEMON@mx.world.example", "Message delivery has failed", "This is a MIME encapsulated message.\nUnable to deliver message to: <maija@world.example>\nDelivery failed for the following reason:\nServer mx22.world.example[192.0.2.222] failed with: 550 <maija@world.example> No such user here\n", msg.Failed, "550"},
		"MailMarshal":                           {"postmaster@world.example", "Undeliverable Mail: \"Tilaus\"", "Your message:\n   From:    help@desk.example\n   Subject: Tilaus\n\nCould not be delivered because of\n\n550 5.1.1 User unknown\n\nThe following recipients were affected:\n    maija@world.example\n\nAdditional Information\n======================\n" + ours, msg.Failed, "5.1.1"},
		"KDDI":                                  {"no-reply@mail.example", "Mail System Error - Returned mail", "Your mail sent on: Thu, 29 Apr 2010 11:04:47 +0900\n    Could not be delivered to: <maija@world.example>\n    As their mailbox is full.\n\n" + ours, msg.Failed, ""},
		"Biglobe":                               {"Postmaster@mx.world.example", "Mail Delivery Problem", "   ----- The following addresses had delivery problems -----\nmaija@world.example\n\n   ----- Non-delivered information -----\nThe number of messages in recipient's mailbox exceeded the local limit.\n\n", msg.Failed, ""},
		"ActiveHunter":                          {"MAILER-DAEMON@mx.world.example", "FAILURE NOTICE:", "  ----- The following addresses had permanent fatal errors -----\n\n>>> maija@world.example <maija@world.example>\n\n  ----- The following is a reason -----\n\n550 sorry, no mailbox here by that name\n\n>>>>>>>>>>>>>>>>> Original mail\n" + ours, msg.Failed, "550"},
		"GroupWise":                             {"Mailer-Daemon@world.example", "Message status - undeliverable", "The attached file had the following undeliverable recipient(s):\n\tmaija@world.example (550 host unknown)\n", msg.Failed, "550"},
		"Postfix in German":                     {"MAILER-DAEMON@world.example", "Unzustellbar: Tilaus", "Ihre Nachricht konnte nicht zugestellt werden:\n\n<maija@world.example>: Postfach voll (5.2.2)\n", msg.Failed, "5.2.2"},
		"Exchange in Swedish":                   {"Postmaster <postmaster@world.example>", "Gick inte att leverera: Tilaus", "Meddelandet kunde inte levereras till följande mottagare:\n\nmaija@world.example\nDen angivna adressen hittades inte.\n\nDiagnostikinformation:\n#550 5.1.10 RESOLVER.ADR.RecipientNotFound ##\n", msg.Failed, "5.1.10"},
		"Exchange in French":                    {"postmaster@world.example", "Échec de remise : Tilaus", "Échec de la remise pour ces destinataires ou groupes :\n\nMaija (maija@world.example)<mailto:maija@world.example>\nL'adresse est introuvable. 550 5.1.1\n", msg.Failed, "5.1.1"},
		"Exim warning":                          {"Mail Delivery System <Mailer-Daemon@mx.example>", "Warning: message 1abc delayed 24 hours", "This message was created automatically by mail delivery software.\nA message that you sent has not yet been delivered to one or more of its\nrecipients after more than 24 hours on the queue on mx.example.\n\nThe message identifier is:     1abc\nThe address to which the message has not yet been delivered is:\n\n  maija@world.example\n    Delay reason: connection timed out\n\nNo action is required on your part. Delivery attempts will continue for\nsome time, and this warning may be repeated at intervals.\n", msg.Delayed, ""},
		"Sendmail warning":                      {"Mail Delivery Subsystem <MAILER-DAEMON@mx.example>", "Warning: could not send message for past 4 hours", "    **********************************************\n    **      THIS IS A WARNING MESSAGE ONLY      **\n    **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **\n    **********************************************\n\n   ----- The following addresses had transient non-fatal errors -----\n<maija@world.example>\n\n   ----- Transcript of session follows -----\n451 mx.world.example: Deferred: Connection timed out\n", msg.Delayed, "451"},
		"the address only in the returned mail": {"MAILER-DAEMON@mx.example", "Returned mail", "   ----- Transcript of session follows -----\n421 world.example (smtp)... Deferred: Connection timed out\n\n   ----- Unsent message follows -----\n" + ours, msg.Failed, "421"},
		"telephone gateway":                     {"post_master@vtext.example", "Undeliverable Message", "Error:  No valid recipients for this MM\nMessage could not be delivered to mobile.\nRCPT TO: maija@world.example\n", msg.Failed, ""},
	} {
		events := receiptsOf(t, "From: "+c.from+"\nTo: help@desk.example\nSubject: "+c.subject+"\nContent-Type: text/plain; charset=utf-8\n\n"+c.text)
		e := events[0]
		if len(events) != 1 || e.Kind != msg.KindReceipt {
			t.Errorf("%s: %d events, the first a %s", name, len(events), e.Kind)
			continue
		}
		code := ""
		if e.Receipt.Error != nil {
			code = e.Receipt.Error.Code
		}
		if e.Receipt.Recipient != "maija@world.example" || e.Receipt.State != c.state || code != c.code {
			t.Errorf("%s: %s %s, code %q, %+v", name, e.Receipt.Recipient, e.Receipt.State, code, e.Receipt.Error)
		}
		if returned := strings.Contains(c.text, ours); returned && (e.Receipt.Of != "r7f3a@desk.example" || e.Tag != "7f3a-01") {
			t.Errorf("%s: of %q, tag %q", name, e.Receipt.Of, e.Tag)
		}
	}
}

func TestOnlyMachinesBounce(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"a customer about a parcel":    "From: maija@world.example\nSubject: Delivery failed\n\nMy delivery could not be delivered to maija@world.example, user unknown they said.\n",
		"a customer forwards a bounce": "From: maija@world.example\nSubject: Fwd: Undelivered Mail Returned to Sender\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nWhat is this?\n--b\nContent-Type: message/rfc822\n\nFrom: MAILER-DAEMON@mx.example\nSubject: failure notice\n\n<x@y.example>: unknown user\n--b--\n",
		"a courier's robot":            "From: no-reply@courier.example\nSubject: Delivery failed\n\nYour parcel could not be delivered to maija@world.example. Call us.\n",
		"a company's name":             "From: Delivery Systems Oy <sales@systems.example>\nSubject: Delivery failed\n\nThe parcel could not be delivered to maija@world.example.\n",
		"a postmaster who asks":        "From: Matti <postmaster@world.example>\nSubject: Your DKIM key\n\nHello, could you rotate it?\n",
	} {
		for _, e := range receiptsOf(t, raw) {
			if e.Kind != msg.KindMessage || e.Automatic != strings.Contains(name, "robot") {
				t.Errorf("%s became a %s, automatic %v", name, e.Kind, e.Automatic)
			}
		}
	}
}

func TestAReportThatNamesNothingStaysApartFromOthers(t *testing.T) {
	t.Parallel()
	a := receiptsOf(t, "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example\nSubject: failure notice\n\nUndeliverable. a\n")[0]
	b := receiptsOf(t, "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example\nSubject: failure notice\n\nUndeliverable. b\n")[0]
	if a.Kind != msg.KindReceipt || a.Receipt.Of == "" || a.DedupeKey() == b.DedupeKey() {
		t.Errorf("%q and %q", a.DedupeKey(), b.DedupeKey())
	}
}

func TestAReportInsideAReportIsAboutOurMail(t *testing.T) {
	t.Parallel()
	inner := "From: MAILER-DAEMON@mx.example\nTo: help@desk.example\nSubject: failure notice\nMessage-ID: <bounce@mx.example>\n\nundeliverable:\n<maija@world.example>:\n550 5.1.1 unknown\n\n--- Below this line is a copy of the message.\n\n" + ours
	events := receiptsOf(t, "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example\nSubject: Postmaster notify\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; help@desk.example\nAction: failed\nStatus: 5.0.0\n--b\nContent-Type: message/rfc822\n\n"+inner+"\n--b--\n")
	if len(events) != 2 || events[0].Receipt.Recipient != "maija@world.example" || events[0].Tag != "7f3a-01" || events[0].Receipt.Of != "r7f3a@desk.example" {
		t.Errorf("%+v", events[0].Receipt)
	}
}

func TestAnEncodedReportIsRead(t *testing.T) {
	t.Parallel()
	status := base64.StdEncoding.EncodeToString([]byte("Reporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; maija@world.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"))
	events := receiptsOf(t, "From: postmaster@outlook.example\nSubject: Undeliverable: Tilaus\nIn-Reply-To: <r7f3a@desk.example>\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n"+status+"\n--b--\n")
	if r := events[0].Receipt; r == nil || r.Of != "r7f3a@desk.example" || r.State != msg.Failed || r.Recipient != "maija@world.example" {
		t.Errorf("%+v", events[0])
	}
}
