package email

import (
	"encoding/json"
	"strings"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// SESTag is the name of the tag that carries our entry's ID through SES.
const SESTag = "entry"

// Events reads one record of SES event publishing, bare or as SNS hands it on, and says what became of a mail of ours: one
// receipt per recipient. Channel is set and Account is not: Tag, or Receipt.Of when a send had no tag, leads to the entry.
//
//	Send                          accepted   SES has it; settles an answer whose sending was uncertain
//	Delivery                      delivered
//	DeliveryDelay                 delayed
//	Bounce                        failed     but delayed for a Transient General one that no server confirmed: SES says
//	                                         so of automatic replies ("out of office") too, and the mail has arrived
//	Complaint                     delivered  with code "complaint": it arrived and was not wanted
//	Reject, Rendering Failure     failed
//	Open, Click, Subscription                a Rejected of cause unsupported: nobody is watched reading
//
// A repeated record gives the same events, and so does the older form with notificationType. Errors are [*channel.Rejected].
func Events(raw []byte) ([]msg.Event, error) {
	raw = unwrapSNS(raw)
	var r sesRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, rejected(raw, channel.CauseMalformed, "an event about a sent mail is not the JSON that SES publishes")
	}
	kind := r.EventType
	if kind == "" {
		kind = r.NotificationType
	}
	if kind == "" || r.Mail.MessageID == "" {
		return nil, rejected(raw, channel.CauseMalformed, "eventType or mail.messageId is missing")
	}
	switch kind {
	case "Send":
		return r.receipts(msg.Accepted, r.Mail.Timestamp, "", r.destinations(), nil), nil
	case "Delivery":
		return r.receipts(msg.Delivered, r.Delivery.Timestamp, "", named(r.Delivery.Recipients), nil), nil
	case "DeliveryDelay":
		return r.receipts(msg.Delayed, r.DeliveryDelay.Timestamp, "", r.DeliveryDelay.Recipients,
			&msg.ReceiptCode{Code: r.DeliveryDelay.Type, Title: delays[r.DeliveryDelay.Type]}), nil
	case "Bounce":
		return r.bounce(), nil
	case "Complaint":
		return r.receipts(msg.Delivered, r.Complaint.Timestamp, r.Complaint.FeedbackID, r.Complaint.Recipients,
			&msg.ReceiptCode{Code: "complaint", Title: strings.TrimSpace("the recipient reported the mail " + r.Complaint.FeedbackType)}), nil
	case "Reject":
		return r.receipts(msg.Failed, r.Mail.Timestamp, "", r.destinations(),
			&msg.ReceiptCode{Code: "reject", Title: shortLine(r.Reject.Reason)}), nil
	case "Rendering Failure":
		return r.receipts(msg.Failed, r.Mail.Timestamp, "", r.destinations(),
			&msg.ReceiptCode{Code: "rendering_failure", Title: shortLine(r.Failure.ErrorMessage)}), nil
	}
	return nil, rejected(raw, channel.CauseUnsupported, "eventType %q is not used", capped(kind, 40))
}

// delays say what the delay types mean ("Delivery delay object", seen 2026-11-23).
var delays = map[string]string{
	"InternalFailure":                "a fault inside SES delays the mail",
	"General":                        "the mail is delayed",
	"MailboxFull":                    "the recipient's mailbox is full",
	"SpamDetected":                   "the recipient's server sees much unwanted mail from us",
	"RecipientServerError":           "the recipient's server has a fault",
	"IPFailure":                      "the recipient's server blocks the sending address",
	"TransientCommunicationFailure":  "the connection to the recipient's server broke",
	"BYOIPHostNameLookupUnavailable": "the sending address has no name in DNS",
	"Undetermined":                   "the mail is delayed, and nobody says why",
	"SendingDeferral":                "SES holds the mail back for a while",
}

type sesRecord struct {
	EventType        string `json:"eventType"`
	NotificationType string `json:"notificationType"`
	Mail             struct {
		sesMail
		Destination []string `json:"destination"`
	} `json:"mail"`
	Delivery struct {
		Timestamp  string   `json:"timestamp"`
		Recipients []string `json:"recipients"`
	} `json:"delivery"`
	DeliveryDelay struct {
		Timestamp  string         `json:"timestamp"`
		Type       string         `json:"delayType"`
		Recipients []sesRecipient `json:"delayedRecipients"`
	} `json:"deliveryDelay"`
	Bounce struct {
		Timestamp  string         `json:"timestamp"`
		Type       string         `json:"bounceType"`
		SubType    string         `json:"bounceSubType"`
		FeedbackID string         `json:"feedbackId"`
		Recipients []sesRecipient `json:"bouncedRecipients"`
	} `json:"bounce"`
	Complaint struct {
		Timestamp    string         `json:"timestamp"`
		FeedbackType string         `json:"complaintFeedbackType"`
		FeedbackID   string         `json:"feedbackId"`
		Recipients   []sesRecipient `json:"complainedRecipients"`
	} `json:"complaint"`
	Reject struct {
		Reason string `json:"reason"`
	} `json:"reject"`
	Failure struct {
		ErrorMessage string `json:"errorMessage"`
	} `json:"failure"`
}

type sesRecipient struct {
	Address    string `json:"emailAddress"`
	Action     string `json:"action"`
	Status     string `json:"status"`
	Diagnostic string `json:"diagnosticCode"`
}

func (r *sesRecord) bounce() []msg.Event {
	b := &r.Bounce
	state := msg.Failed
	if b.Type == "Transient" && b.SubType == "General" {
		state = msg.Delayed
		for _, one := range b.Recipients {
			if one.Action == "failed" {
				state = msg.Failed
			}
		}
	}
	return r.receipts(state, b.Timestamp, b.FeedbackID, b.Recipients, &msg.ReceiptCode{Title: b.Type + " " + b.SubType})
}

func named(addresses []string) []sesRecipient {
	all := make([]sesRecipient, len(addresses))
	for i, a := range addresses {
		all[i].Address = a
	}
	return all
}

func (r *sesRecord) destinations() []sesRecipient { return named(r.Mail.Destination) }

// receipts makes one event per recipient, or one without a recipient when none is named.
func (r *sesRecord) receipts(state msg.State, at, id string, recipients []sesRecipient, why *msg.ReceiptCode) []msg.Event {
	when, err := msg.ParseTime(at)
	if err != nil {
		when = 0 // the time of a receipt orders nothing by itself
	}
	if len(recipients) == 0 {
		recipients = []sesRecipient{{}}
	}
	of := SESMessageID(regionOf(r.Mail.SourceARN), r.Mail.MessageID)
	tag := r.tag()
	var events []msg.Event
	for _, one := range recipients[:min(len(recipients), maxReceipts)] {
		address, ok := normalAddress(one.Address)
		if !ok {
			address = ""
		}
		e := msg.Event{
			Channel: "email", ID: r.Mail.MessageID, Kind: msg.KindReceipt, Time: when, Direction: msg.In,
			Thread: of, Automatic: true, Tag: tag, EventID: id,
			Receipt: &msg.Receipt{Of: of, Recipient: address, State: state, MessageID: of},
		}
		if why != nil {
			code := *why
			if one.Status != "" {
				code.Code = one.Status
			}
			if code.Code == "" {
				code.Code = strings.ToLower(r.Bounce.Type)
			}
			if one.Diagnostic != "" {
				code.Title += ": " + shortLine(one.Diagnostic)
			}
			e.Receipt.Error = &code
		}
		events = append(events, e)
	}
	return events
}

func shortLine(s string) string { return oneLine(strings.ToValidUTF8(capped(s, 300), "")) }

// tag is our entry: the tag of the send, or our header when SES is set to return headers.
func (r *sesRecord) tag() string {
	if values := r.Mail.Tags[SESTag]; len(values) > 0 {
		return headerToken(values[0])
	}
	for _, h := range r.Mail.Headers {
		if strings.EqualFold(h.Name, TagHeader) {
			return headerToken(h.Value)
		}
	}
	return ""
}

// regionOf is the region in an ARN like arn:aws:ses:eu-west-1:123456789012:identity/desk.example, or "".
func regionOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[3]
	}
	return ""
}
