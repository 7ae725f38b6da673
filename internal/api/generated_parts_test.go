//go:build parts

package api_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRegeneratingChangesNothing needs the network or a warm module cache for the generator itself.
func TestRegeneratingChangesNothing(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "openapi.gen.go")
	run := exec.CommandContext(t.Context(), "go", "run", "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2",
		"-config", "oapi-codegen.yaml", "-o", out, "openapi.yaml")
	if text, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	fresh, err := os.ReadFile(out)
	must(t, err)
	committed, err := os.ReadFile("openapi.gen.go")
	must(t, err)
	if !bytes.Equal(fresh, committed) {
		t.Fatal("openapi.gen.go is not what openapi.yaml gives: run go generate ./internal/api")
	}
}
