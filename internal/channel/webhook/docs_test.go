package webhook_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/webhook"
	"github.com/aikajana/aikajana/internal/msg"
)

// block is the first fenced block of the documentation, in that language, that holds all of the words.
func block(t *testing.T, language string, words ...string) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/channels/webhook.md")
	if err != nil {
		t.Fatal(err)
	}
next:
	for _, found := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		for _, word := range words {
			if !strings.Contains(found[1], word) {
				continue next
			}
		}
		return found[1]
	}
	t.Fatalf("docs/channels/webhook.md has no %s block with %q", language, words)
	return ""
}

func TestDocumentedSignatureVerifies(t *testing.T) {
	t.Parallel()
	var example map[string]string
	if err := json.Unmarshal([]byte(block(t, "json", "webhook-signature")), &example); err != nil {
		t.Fatal(err)
	}
	seconds, err := strconv.ParseInt(example["webhook-timestamp"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	_, err = webhook.Adapter{}.Verify(&channel.Request{
		Account: &channel.Account{ID: "crm", Secrets: map[string][]string{"signing_secret": {example["secret"]}}},
		Method:  http.MethodPost, URL: &url.URL{}, Body: []byte(example["body"]), Now: msg.Time(seconds * 1000),
		Header: http.Header{"Webhook-Id": {example["webhook-id"]}, "Webhook-Timestamp": {example["webhook-timestamp"]}, "Webhook-Signature": {example["webhook-signature"]}},
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDocumentedMappingIsValid(t *testing.T) {
	t.Parallel()
	rules, err := webhook.ReadMapping(block(t, "json", `"when"`))
	if err != nil || len(rules) != 2 {
		t.Errorf("got %d rules, %v", len(rules), err)
	}
}

func TestDocumentedSettingsAreTheDeclaredOnes(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/channels/webhook.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range (webhook.Adapter{}).Info().Settings {
		if !strings.Contains(string(page), "| `"+s.Name+"` |") {
			t.Errorf("docs/channels/webhook.md does not say what the setting %q is", s.Name)
		}
	}
}
