//go:build parts

package infra

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// built builds every function as it is deployed and gives their folder.
func built(t *testing.T, architecture, flags string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "build")
	cmd := exec.CommandContext(t.Context(), "scripts/sam-build.sh", architecture, out)
	cmd.Dir = ".."
	cmd.Env = append(tool(t, "sam").Env, "SAM_BUILD_GOFLAGS="+flags)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build for %s: %v\n%s", architecture, err, said)
	}
	return out
}

// TestFunctionsAreBuiltForBothProcessorsAndAChangeReachesThemAll: sam's own cache would keep the old code of a package that
// functions share, so it is never used.
func TestFunctionsAreBuiltForBothProcessorsAndAChangeReachesThemAll(t *testing.T) {
	const was, is = `"deployment/key"`, `"deployment/kez"` // a name of package app/aws, which every function starts with
	source, err := filepath.Abs("../internal/app/aws/aws.go")
	if err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(source)
	if err != nil || bytes.Count(body, []byte(was)) != 1 {
		t.Fatalf("%s does not say %s once: %v", source, was, err)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "aws.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {source: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{changed: bytes.Replace(body, []byte(was), []byte(is), 1), overlay: replace} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range []struct {
		architecture, flags string
		machine             elf.Machine
		says                string
	}{
		{"arm64", "", elf.EM_AARCH64, strings.Trim(was, `"`)},
		{"x86_64", "", elf.EM_X86_64, strings.Trim(was, `"`)},
		{"x86_64", "-overlay=" + overlay, elf.EM_X86_64, strings.Trim(is, `"`)},
	} {
		out := built(t, b.architecture, b.flags)
		for _, name := range functions {
			binary, err := os.ReadFile(filepath.Join(out, name+"Function", "bootstrap"))
			if err != nil {
				t.Fatal(err)
			}
			file, err := elf.NewFile(bytes.NewReader(binary))
			if err != nil {
				t.Fatalf("%s for %s: %v", name, b.architecture, err)
			}
			if file.Machine != b.machine || file.Section(".interp") != nil {
				t.Errorf("%s for %s is for %s, or is not static", name, b.architecture, file.Machine)
			}
			if file.Section(".symtab") != nil || file.Section(".debug_info") != nil {
				t.Errorf("%s for %s is not stripped", name, b.architecture)
			}
			info, err := buildinfo.Read(bytes.NewReader(binary))
			if err != nil {
				t.Fatalf("%s for %s: %v", name, b.architecture, err)
			}
			settings := map[string]string{}
			for _, s := range info.Settings {
				settings[s.Key] = s.Value
			}
			for key, want := range map[string]string{"-tags": "lambda.norpc", "-trimpath": "true", "CGO_ENABLED": "0", "GOOS": "linux"} {
				if settings[key] != want {
					t.Errorf("%s for %s is built with %s=%q, want %q", name, b.architecture, key, settings[key], want)
				}
			}
			if !bytes.Contains(binary, []byte(b.says)) {
				t.Errorf("%s for %s %s has old code: it does not say %s", name, b.architecture, b.flags, b.says)
			}
		}
	}
}
