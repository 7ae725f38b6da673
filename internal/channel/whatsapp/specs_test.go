//go:build specs

package whatsapp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/channeltest"
	"github.com/aikajana/aikajana/internal/channel/whatsapp"
	"github.com/aikajana/aikajana/internal/msg"
)

// This is a development check against Meta's own OpenAPI description, which is not part of the project:
//
//	SPECS=<folder> go test -tags specs -run Spec ./internal/channel/whatsapp
const specFile = "whatsapp-cloud-v23.0.yaml"

func spec(t *testing.T) *openapi3.T {
	t.Helper()
	dir := os.Getenv("SPECS")
	if dir == "" {
		t.Fatalf("set SPECS to the folder that holds %s", specFile)
	}
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromFile(filepath.Join(dir, specFile))
	if err != nil {
		t.Fatalf("read the description: %v", err)
	}
	return doc
}

// Every example of an inbound webhook becomes an event, or is rejected as a kind that nobody wrote. None is malformed to us.
func TestSpecEveryOfficialWebhookExampleIsUnderstood(t *testing.T) {
	media := spec(t).Paths.Value("/whatsapp/webhooks").Post.RequestBody.Value.Content.Get("application/json")
	if len(media.Examples) < 10 {
		t.Fatalf("the description has only %d examples: is it another one?", len(media.Examples))
	}
	unsupported := map[string]bool{"Group Create Message": true, "Group Settings Update": true, "Group Remove Participants": true}
	for name, example := range media.Examples {
		body, err := json.Marshal(example.Value.Value)
		if err != nil {
			t.Fatal(err)
		}
		events, err := whatsapp.Adapter{}.Parse(envelope(body))
		rejected := channel.Rejections(err)
		switch {
		case unsupported[name]:
			if len(events) != 0 || len(rejected) != 1 || rejected[0].Cause != channel.CauseUnsupported || len(rejected[0].Raw) == 0 {
				t.Errorf("%s: want it kept as unsupported, got %d events, %v", name, len(events), err)
			}
		case len(events) != 1 || err != nil:
			t.Errorf("%s: want one event, got %d, %v", name, len(events), err)
		default:
			raw := events[0].Message != nil && len(events[0].Message.Parts) == 1 && events[0].Message.Parts[0].Kind == msg.PartRaw
			if raw && name != "Unsupported Message" {
				t.Errorf("%s: is only kept raw", name)
			}
			t.Logf("%-45s %s from %s", name, events[0].Kind, events[0].From.Kind)
		}
	}
}

// What Send posts is what the description allows for a message.
func TestSpecWhatIsSentFollowsTheDescription(t *testing.T) {
	doc := spec(t)
	path := "/{Version}/{Phone-Number-ID}/messages"
	operation := doc.Paths.Value(path)
	// As written, the description refuses every text, its own examples too: TextMessage is a base of common properties and,
	// at the same time, an object that has none but "type" and "text". That half is relaxed; the text itself stays strict.
	doc.Components.Schemas["TextMessage"].Value.AllOf[1].Value.AdditionalProperties = openapi3.BoolSchema{}
	// Messages to a user ID ("recipient") came after this description and are left out.
	phone := msg.Address{Kind: "whatsapp.phone", Value: "358401234567"}
	for what, o := range map[string]msg.Outbound{
		"a text":            {Entry: "e1", To: phone, Text: "Hei"},
		"a quoting text":    {Entry: "e1", To: phone, Text: "Hei", ReplyTo: "wamid.Q"},
		"the longest text":  {Entry: "e1", To: phone, Text: strings.Repeat("å", 4096)},
		"a text to a group": {Entry: "e1", To: phone, Thread: "Y2FwaV9ncm91cDoxOjI=", Text: "Hei"},
	} {
		var problem error
		graph := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			problem = openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
				Request: r, PathParams: map[string]string{"Version": "v25.0", "Phone-Number-ID": "1055"},
				Route:   &routers.Route{Spec: doc, Path: path, PathItem: operation, Method: http.MethodPost, Operation: operation.Post},
				Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
			})
			_, _ = w.Write([]byte(`{"messages":[{"id":"wamid.O"}]}`))
		}))
		conn := channel.Conn{HTTP: graph.Client(), Account: &channel.Account{ID: "main",
			Settings: map[string]string{"phone_number_id": "1055", "api_base": graph.URL}, Secrets: map[string][]string{"access_token": {"t"}}}}
		o.Time = channeltest.ReceivedAt
		if _, err := (whatsapp.Adapter{}).Send(t.Context(), conn, o); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if problem != nil {
			t.Errorf("%s: %v", what, problem)
		}
		graph.Close()
	}
}
