//go:build parts

package localaws

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/queue"
)

// delivery is a call of Process: the messages that it was given, and which of them it failed.
type delivery struct {
	bodies   []string
	attempts []string
	failed   []string
}

// deliveries are the calls of Process so far that had a message with one of the words in it.
func (d *desk) deliveries(t *testing.T, words ...string) []delivery {
	t.Helper()
	var all []delivery
	for _, one := range d.calls.of("ProcessFunction") {
		var e struct {
			Records []struct {
				MessageID, Body string
				Attributes      struct{ ApproximateReceiveCount string }
			}
		}
		if err := json.Unmarshal(one.event, &e); err != nil {
			t.Fatal(err)
		}
		if one.err != nil {
			t.Errorf("Process failed as a whole: %v", one.err)
			continue
		}
		var got delivery
		concerns := false
		bad := failed(t, one.answer)
		for _, r := range e.Records {
			body := string(queue.DecodeText(r.Body))
			concerns = concerns || slices.ContainsFunc(words, func(w string) bool { return strings.Contains(body, w) })
			got.bodies, got.attempts = append(got.bodies, body), append(got.attempts, r.Attributes.ApproximateReceiveCount)
			if slices.Contains(bad, r.MessageID) {
				got.failed = append(got.failed, body)
			}
		}
		if concerns {
			all = append(all, got)
		}
	}
	return all
}

// move puts an object elsewhere in the bucket.
func (d *desk) move(t *testing.T, from, to string) {
	t.Helper()
	if _, err := d.S3.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String(name), CopySource: aws.String(name + "/" + from), Key: &to}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.S3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(name), Key: &from}); err != nil {
		t.Fatal(err)
	}
}

// rawObjects are the bodies of large webhooks.
func (d *desk) rawObjects(t *testing.T) []string {
	t.Helper()
	list, err := d.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(name), Prefix: aws.String("raw/shared/")})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, o := range list.Contents {
		all = append(all, *o.Key)
	}
	return all
}

// envelopes is the ledger of the account's envelopes, as the API tells it.
func (d *desk) envelopes(t *testing.T) (accepted, processed, queued, dead float64) {
	t.Helper()
	_, said := d.ask(t, http.MethodGet, "/api/v1/reconciliation", nil)
	items, _ := said["items"].([]any)
	for _, i := range items {
		one, _ := i.(map[string]any)
		if one["channel"] == "whatsapp" && one["account"] == "main" {
			e, _ := one["envelopes"].(map[string]any)
			of := func(name string) float64 { n, _ := e[name].(float64); return n }
			return of("accepted"), of("processed"), of("queued"), of("dead")
		}
	}
	t.Fatalf("the ledgers are %v", said)
	return 0, 0, 0, 0
}

// TestFault57_APoisonedMessageFailsAloneBecomesADeadLetterAndIsDoneOnceMended: three webhooks come in one batch of the queue. The
// body of one, too large for the queue, is not where its envelope says.
func TestFault57_APoisonedMessageFailsAloneBecomesADeadLetterAndIsDoneOnceMended(t *testing.T) {
	d := open(t)
	inbound := d.System.Queues["inbound"]
	ville, liisa, oona := fake.Person{Phone: "358407654321", Name: "Ville"}, fake.Person{Phone: "358400000001", Name: "Liisa"}, fake.Person{Phone: "358400000002", Name: "Oona"}
	accepted, _, _, _ := d.envelopes(t)

	release := hold(t, &d.polling)
	before := d.rawObjects(t)
	d.writes(t, ville, "Toimiiko?", "wamid.poison.1")
	large := append(d.provider.Body(d.provider.Text(liisa, "Myöhässä").ID("wamid.poison.2")), bytes.Repeat([]byte(" "), 210<<10)...)
	if status, err := d.provider.PostBody(t.Context(), large); err != nil || status != http.StatusOK {
		t.Fatalf("a large webhook was answered %d, %v", status, err)
	}
	d.writes(t, oona, "Minullakin on asiaa", "wamid.poison.3")
	raw := slices.DeleteFunc(d.rawObjects(t), func(key string) bool { return slices.Contains(before, key) })
	if len(raw) != 1 {
		t.Fatalf("the large webhook lies in %q", raw)
	}
	const aside = "aside"
	d.move(t, raw[0], aside)
	release()

	d.caseWith(t, "Ville")
	d.caseWith(t, "Oona")
	eventually(t, "it is in the dead-letter queue", func() bool {
		depth, err := inbound.Depth(t.Context())
		return err == nil && depth == (queue.Depth{Dead: 1})
	})
	ours := []string{"wamid.poison.1", raw[0], "wamid.poison.3"}
	got := d.deliveries(t, ours...)
	if len(got) != 5 || len(got[0].bodies) != 3 {
		t.Fatalf("Process was called with %+v, want all three in a batch, and five tries", got)
	}
	for try, one := range got {
		if len(one.failed) != 1 || !strings.Contains(one.failed[0], raw[0]) {
			t.Errorf("try %d: %q failed", try+1, one.failed)
		}
		if try > 0 && (len(one.bodies) != 1 || one.attempts[0] != string(rune('1'+try))) {
			t.Errorf("try %d came with attempts %q and %q", try+1, one.attempts, one.bodies)
		}
	}
	eventually(t, "the ledger has it as a dead letter", func() bool {
		a, p, q, dead := d.envelopes(t)
		return a == accepted+3 && p == accepted+2 && q == 0 && dead == 1
	})

	d.move(t, aside, raw[0])
	if status, said := d.ask(t, http.MethodPost, "/api/v1/queues/inbound/redrive", map[string]any{}); status != http.StatusAccepted {
		t.Fatalf("the redrive was answered %d %v", status, said)
	}
	if text := d.timeline(t, d.caseWith(t, "Liisa")); strings.Count(text, "Myöhässä") != 1 {
		t.Errorf("the timeline is %s", text)
	}
	eventually(t, "nothing is left", func() bool {
		depth, err := inbound.Depth(t.Context())
		return err == nil && depth == (queue.Depth{})
	})
	if got = d.deliveries(t, ours...); len(got) != 6 || len(got[5].failed) != 0 || got[5].attempts[0] != "1" {
		t.Errorf("after the redrive Process was called with %+v", got[5:])
	}
	eventually(t, "the ledger is even", func() bool {
		a, p, q, dead := d.envelopes(t)
		return a == accepted+3 && p == a && q == 0 && dead == 0
	})
}
