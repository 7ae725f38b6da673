package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/aikajana/aikajana/internal/awslambda"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
)

// told is what Mail understands of a sample event, handed over as Lambda does.
func told(t *testing.T, name string) *pipeline.MailNotice {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "..", "..", "infra", "events", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return understood(t, name, body)
}

func understood(t *testing.T, name string, event []byte) *pipeline.MailNotice {
	t.Helper()
	var n *pipeline.MailNotice
	handler := awslambda.Notices(func(_ context.Context, batch []queue.Message) []string {
		if len(batch) != 1 {
			t.Fatalf("%d messages", len(batch))
		}
		var err error
		if n, err = notice(batch[0].Body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return nil
	})
	if err := awslambda.Invoke(t.Context(), handler, json.RawMessage(event), nil); err != nil || n == nil {
		t.Fatalf("%s: %v %v", name, n, err)
	}
	return n
}

func TestEventOfSESIsAReceiptOfTheAnswerThatItsTagNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]msg.State{"mail-bounce": msg.Failed, "mail-delivery": msg.Delivered} {
		n := told(t, name)
		if len(n.Receipts) != 1 || n.Setup || n.Key != "" {
			t.Fatalf("%s: %+v", name, n)
		}
		r := n.Receipts[0]
		if r.Tag != "sp6eufchiehedzzugivviz5ztu-e0mwsz6rk20mwsz6rk2zzzpzgvo2bwr7jpq" || r.Receipt.State != want || r.Receipt.Recipient != "maija@example.net" ||
			r.Receipt.Of != "0110018f4a9d3c5e-7f2b1d66-0000-4a6b-9a51-0d2f9f3a7c11-000000@eu-north-1.amazonses.com" {
			t.Errorf("%s: %+v %+v", name, r, r.Receipt)
		}
	}
}

func TestMailThatCameIsNoReceipt(t *testing.T) {
	t.Parallel()
	if n := told(t, "mail"); len(n.Receipts) > 0 || n.Key != "ses/o3vrnil0e2ic28trm7dfhrc2v0clambda4nbp0g1" {
		t.Errorf("%+v", n)
	}
}

func TestFault64_WhatSESSaysToTryTheTopicIsNoMail(t *testing.T) {
	t.Parallel()
	if n := told(t, "mail-greeting"); !n.Setup {
		t.Errorf("%+v", n)
	}
	for _, raw := range []string{`{"Type":"Notification","Message":"Successfully did something else"}`, `Successfully validated SNS topic`} {
		if n, err := notice([]byte(raw)); err == nil {
			t.Errorf("%s was understood as %+v", raw, n)
		}
	}
}

func TestMailIsTheSameWhoeverTellsOfIt(t *testing.T) {
	t.Parallel()
	want := told(t, "mail") // through the queue
	if want.Mail.SPFDomain != "example.net" || want.Recipients != nil {
		t.Fatalf("%+v", want)
	}
	for _, name := range []string{"mail-sns", "mail-ses"} {
		if got := told(t, name); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		event, err := os.ReadFile(filepath.Join("..", "..", "..", "infra", "events", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := notice(event); err != nil || !reflect.DeepEqual(got, want) { // given up, into a dead-letter queue, and redriven
			t.Errorf("%s whole in a message: %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestS3SaysWhereAMailIsAndNothingOfIt(t *testing.T) {
	t.Parallel()
	n := told(t, "mail-s3")
	const id = "o3vrnil0e2ic28trm7dfhrc2v0clambda4nbp0g1"
	if n.Key != MailPrefix+id || n.Setup || !reflect.DeepEqual(n.Mail, channel.Mail{Via: "ses", ProviderID: id}) {
		t.Errorf("%+v", n)
	}
	if n.Recipients == nil {
		t.Fatal("nothing says whom the mail is for")
	}
	if got := n.Recipients([]byte("To: help@desk.example\r\n\r\n")); !slices.Equal(got, []string{"help@desk.example"}) {
		t.Errorf("the mail is for %v", got)
	}
}

func TestKeyOfS3IsDecoded(t *testing.T) {
	t.Parallel()
	event, err := os.ReadFile(filepath.Join("..", "..", "..", "infra", "events", "mail-s3.json"))
	if err != nil {
		t.Fatal(err)
	}
	for written, want := range map[string]string{"ses/a+b%2Bc%3D%C3%A4": "ses/a b+c=ä", "ses/plain": "ses/plain"} {
		n := understood(t, written, bytes.Replace(event, []byte("ses/o3vrnil0e2ic28trm7dfhrc2v0clambda4nbp0g1"), []byte(written), 1))
		if n.Key != want {
			t.Errorf("%s became %q, want %q", written, n.Key, want)
		}
	}
}

func TestFault64_TheObjectThatSESTriesTheBucketWithIsNoMailWhoeverTellsOfIt(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mail", "mail-sns", "mail-ses", "mail-s3"} {
		event, err := os.ReadFile(filepath.Join("..", "..", "..", "infra", "events", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		event = bytes.ReplaceAll(event, []byte("o3vrnil0e2ic28trm7dfhrc2v0clambda4nbp0g1"), []byte("AMAZON_SES_SETUP_NOTIFICATION"))
		if n := understood(t, name, event); !n.Setup {
			t.Errorf("%s: %+v", name, n)
		}
	}
}
