package aws

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/aikajana/aikajana/internal/awslambda"
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
	var n *pipeline.MailNotice
	handler := awslambda.SQS(func(_ context.Context, batch []queue.Message) []string {
		if len(batch) != 1 {
			t.Fatalf("%d messages", len(batch))
		}
		if n, err = notice(batch[0].Body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return nil
	})
	if err := awslambda.Invoke(t.Context(), handler, json.RawMessage(body), nil); err != nil || n == nil {
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
