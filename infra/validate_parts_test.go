//go:build parts

package infra

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/standin"
)

// tool is a program of the SAM part, with an environment in which it can reach no account.
func tool(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cache, err := standin.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "sam-*", "bin", name))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s is not installed in %s: run \"scripts/parts.sh sam\"", name, cache)
	}
	cmd := exec.CommandContext(t.Context(), found[len(found)-1], args...)
	cmd.Dir = ".."
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "SAM_CLI_TELEMETRY=0", "AWS_MAX_ATTEMPTS=1", "AWS_EC2_METADATA_DISABLED=true")
	return cmd
}

func TestSAMAcceptsTheTemplate(t *testing.T) {
	t.Parallel()
	if out, err := tool(t, "sam", "validate", "--lint").CombinedOutput(); err != nil || !strings.Contains(string(out), "is a valid SAM Template") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestLinterFindsNothingWhateverTheRegion(t *testing.T) {
	t.Parallel()
	regions := []string{"eu-west-1", "eu-central-1", "eu-north-1", "us-east-1"}
	if out, err := tool(t, "cfn-lint", append(append([]string{"--regions"}, regions...), "--", "template.yaml")...).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("%v\n%s", err, out)
	}
}
