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
	dir := t.TempDir()
	out, config := filepath.Join(dir, "openapi.gen.go"), filepath.Join(dir, "oapi-codegen.yaml")
	settings, err := os.ReadFile("oapi-codegen.yaml")
	must(t, err)
	elsewhere := bytes.Replace(settings, []byte("output: openapi.gen.go"), []byte("output: "+out), 1)
	must(t, os.WriteFile(config, elsewhere, 0o600))
	run := exec.CommandContext(t.Context(), "go", "run", "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2",
		"-config", config, "openapi.yaml")
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
