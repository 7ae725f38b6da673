package awslambda

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// FuzzHTTPEvent: whatever a client makes the gateway send, the handler sees a whole request or the client gets a 400.
func FuzzHTTPEvent(f *testing.F) {
	for _, name := range []string{"webhook", "api", "pages"} {
		body, err := os.ReadFile(filepath.Join("..", "..", "infra", "events", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e events.APIGatewayV2HTTPRequest
		if json.Unmarshal(raw, &e) != nil {
			return
		}
		called := false
		response, err := HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			called = true
			body, err := io.ReadAll(r.Body)
			if err != nil || int64(len(body)) != r.ContentLength || r.URL == nil || r.URL.Path == "" {
				t.Errorf("a broken request: %+v, %v", r, err)
			}
			_, _ = w.Write(body) // a recorder takes everything
		}))(t.Context(), e)
		if err != nil || !called && response.StatusCode != http.StatusBadRequest {
			t.Errorf("called %v, answered %d, %v", called, response.StatusCode, err)
		}
	})
}
