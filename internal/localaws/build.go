package localaws

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	yaml "github.com/oasdiff/yaml3"

	"github.com/aikajana/aikajana/internal/standin"
)

// goFlags are those that functions are built with: no RPC support, no symbol table.
const goFlags = `-trimpath -tags=lambda.norpc "-ldflags=-s -w"`

// sam is the path of the SAM CLI that scripts/parts.sh installed.
func sam() (string, error) {
	dir, err := standin.CacheDir()
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(dir, "sam-*", "bin", "sam"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("find the SAM CLI: %w in %s: run \"scripts/parts.sh sam\" first", standin.ErrNotInstalled, dir)
	}
	return found[len(found)-1], nil
}

// samEnvironment keeps sam quiet, offline and away from real accounts, and what it would leave behind (locks in the folder for
// temporary files, settings in the home folder) in dir. Without AWS_MAX_ATTEMPTS every start stalls for 10 s.
func samEnvironment(dir string) []string {
	all := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "SAM_") })
	return append(all, "KEPT="+dir, "TMPDIR="+filepath.Join(dir, "tmp"), "__SAM_CLI_APP_DIR="+filepath.Join(dir, "sam"), "SAM_CLI_TELEMETRY=0", "AWS_MAX_ATTEMPTS=1", "AWS_EC2_METADATA_DISABLED=true", "AWS_ACCESS_KEY_ID=standin",
		"AWS_SECRET_ACCESS_KEY=standin", "AWS_REGION="+standin.Region, "AWS_DEFAULT_REGION="+standin.Region)
}

// build builds every function for this machine's engine into out. Never with sam's cache: it does not see edits in shared
// packages. Everything is compiled once before, because ten of sam's at once would compile the same packages ten times; go list
// does it without linking, which sam repeats anyway.
func build(ctx context.Context, root, out string, log io.Writer) error {
	bin, err := sam()
	if err != nil {
		return err
	}
	environment := append(samEnvironment(out), "CGO_ENABLED=0", "GOARCH=amd64", "GOOS=linux", "GOFLAGS="+goFlags)
	for _, argv := range [][]string{
		{"go", "list", "-export", "-deps", "-f", `{{""}}`, "./functions/..."},
		{bin, "build", "--parallel", "--build-dir", filepath.Join(out, "build"), "--parameter-overrides", "Architecture=x86_64"},
	} {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // argv is made here
		cmd.Dir, cmd.Env = root, environment
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = io.MultiWriter(log, &said), io.MultiWriter(log, &said)
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build the functions: %s: %w\n%s", argv[0], err, tail(said.String()))
		}
	}
	return nil
}

func tail(s string) string {
	const most = 4000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// localise gives the built template the environment of this stack: sam local would pass logical names for what it cannot
// resolve, and leaves variables out that the template does not declare.
func localise(path string, variables map[string]string) error {
	body, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("prepare the built template: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(body, &doc); err != nil {
		return fmt.Errorf("prepare the built template: %w", err)
	}
	here := doc.Content[0]
	for _, name := range []string{"Globals", "Function", "Environment", "Variables"} {
		if here = child(here, name); here == nil {
			return fmt.Errorf("prepare the built template: it has no %s", name)
		}
	}
	here.Content = nil
	for name, value := range variables {
		here.Content = append(here.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: yaml.DoubleQuotedStyle})
	}
	if body, err = yaml.Marshal(&doc); err != nil {
		return fmt.Errorf("prepare the built template: %w", err)
	}
	return os.WriteFile(path, body, 0o600)
}

func child(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}
