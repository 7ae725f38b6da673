//go:build parts

package scenario

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/aikajana/aikajana/internal/channel/email"
	"github.com/aikajana/aikajana/internal/standin"
)

// Report implements reporter: SES publishes an event of the configuration set to the topic, and SNS hands it to the queue
// (docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html, seen 2026-11-23).
func (w *amazon) Report(ctx context.Context, m *leaving, action, status string) error {
	at, to := w.stage.Clock.Now().String(), m.Recipients
	recipient := []map[string]string{{"emailAddress": to[0], "action": action, "status": status, "diagnosticCode": "smtp; as the story says"}}
	var kind, field string
	var detail map[string]any
	switch action {
	case "failed":
		kind, field = "Bounce", "bounce"
		detail = map[string]any{"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": recipient, "timestamp": at, "feedbackId": "feedback-" + m.id}
	case "delayed":
		kind, field = "DeliveryDelay", "deliveryDelay"
		detail = map[string]any{"timestamp": at, "delayType": "TransientCommunicationFailure", "expirationTime": at, "delayedRecipients": recipient}
	case "delivered":
		kind, field = "Delivery", "delivery"
		detail = map[string]any{"timestamp": at, "processingTimeMillis": 546, "recipients": to, "smtpResponse": "250 ok", "reportingMTA": "mta.example"}
	default:
		return fmt.Errorf("SES has no event for %q", action)
	}
	tags := map[string][]string{"ses:configuration-set": {"ConfigurationSet"}}
	if m.tag != "" {
		tags[email.SESTag] = []string{m.tag}
	}
	event, err := jsonText(map[string]any{"eventType": kind, field: detail, "mail": map[string]any{
		"timestamp": at, "source": m.Sender, "sourceArn": "arn:aws:ses:" + standin.Region + ":123456789012:identity/desk.example", "messageId": m.id,
		"destination": to, "headersTruncated": false, "headers": []any{}, "tags": tags,
	}})
	if err != nil {
		return err
	}
	text, err := jsonText(map[string]string{
		"Type": "Notification", "MessageId": "5f2ad6bd-" + m.id, "TopicArn": "arn:aws:sns:" + standin.Region + ":123456789012:MailEvents",
		"Subject": "Amazon SES Email Event Notification", "Message": event, "Timestamp": at,
	})
	if err != nil {
		return err
	}
	_, err = w.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(w.system.Env.Queues["mail"]), MessageBody: &text})
	return err
}
