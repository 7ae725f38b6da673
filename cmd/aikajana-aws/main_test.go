package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestMistypedCommandLineIsExplained(t *testing.T) {
	t.Parallel()
	nowhere := func(context.Context) (aws.Config, error) { return aws.Config{}, errors.New("no region") }
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitOK, "Usage: aikajana-aws"},
		{[]string{"check"}, exitUsage, "--table"},
		{[]string{"key", "--secret-path", "/aikajana/x"}, exitUsage, "--create"},
		{[]string{"dump", "--table", "t", "--blobs", "d"}, exitUsage, "--bucket"},
		{[]string{"dump"}, exitUsage, "--table, or --bucket"},
		{[]string{"dump", "--items", "f", "--bucket", "b", "--blobs", "d"}, exitUsage, "--items goes with --table"},
		{[]string{"erase-again", "--table", "t", "--bucket", "b"}, exitUsage, "--secret-path"},
		{[]string{"hold-answers", "--table", "t"}, exitUsage, "--secret-path"},
		{[]string{"replay", "--table", "t", "--bucket", "b", "--inbound", "u", "--mail", "v", "--since", "yesterday"}, exitUsage, "--since"},
		{[]string{"check", "--table", "t"}, exitFailed, "AWS_REGION"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), c.args, streams{strings.NewReader(""), &out, &out}, nowhere); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%v: exit %d, want %d and %q:\n%s", c.args, code, c.code, c.says, out.String())
		}
	}
}

// TestPagesNameCommandsAndFlagsThatThereAre holds what documents say to type to what there is to be typed.
func TestPagesNameCommandsAndFlagsThatThereAre(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string]map[string]bool{}
	for _, n := range parser.Model.Children {
		commands[n.Name] = map[string]bool{"help": true}
		for _, f := range n.Flags {
			commands[n.Name][f.Name] = true
		}
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(append(pages, more...), "../../README.md", "../../template.yaml") {
		body, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range typed.FindAllStringSubmatch(string(body), -1) {
			found++
			flags, ok := commands[m[1]]
			if !ok {
				t.Errorf("%s: there is no command aikajana-aws %s", page, m[1])
				continue
			}
			for _, f := range flag.FindAllStringSubmatch(m[2], -1) {
				if !flags[f[1]] {
					t.Errorf("%s: aikajana-aws %s has no flag --%s", page, m[1], f[1])
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d commands were found", found)
	}
}

// TestCommandsPageShowsEveryCommandWithItsFlagsAndAnExampleThatParses: what can be typed can be found, and examples are taken as they stand.
func TestCommandsPageShowsEveryCommandWithItsFlagsAndAnExampleThatParses(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, ok := strings.Cut(string(body), "\n## Look after a deployment on AWS\n")
	if !ok {
		t.Fatal("docs/commands.md has no chapter of aikajana-aws")
	}
	page, _, _ = strings.Cut(page, "\n## ")
	shown := map[string]string{} // command: its example
	for line := range strings.Lines(strings.ReplaceAll(page, "\\\n", " ")) {
		if args := strings.Fields(line); len(args) > 1 && args[0] == "aikajana-aws" {
			shown[args[1]] = line
		}
	}
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range parser.Model.Children {
		_, row, ok := strings.Cut(page, "\n| `"+n.Name+"` |")
		if !ok {
			t.Errorf("docs/commands.md does not list aikajana-aws %s", n.Name)
		}
		row, _, _ = strings.Cut(row, "\n")
		for _, f := range n.Flags {
			if f.Name != "help" && !regexp.MustCompile("`--"+f.Name+"[` ]").MatchString(row) {
				t.Errorf("docs/commands.md does not say that aikajana-aws %s has --%s", n.Name, f.Name)
			}
		}
		for _, f := range flag.FindAllStringSubmatch(row, -1) {
			if !slices.ContainsFunc(n.Flags, func(have *kong.Flag) bool { return have.Name == f[1] }) {
				t.Errorf("docs/commands.md: aikajana-aws %s has no flag --%s", n.Name, f[1])
			}
		}
		_, example, _ := strings.Cut(n.Detail, "Example: ")
		for where, line := range map[string]string{"docs/commands.md": shown[n.Name], "its help": example} {
			if err := parses(t, line); err != nil {
				t.Errorf("%s: the example of aikajana-aws %s, %q: %v", where, n.Name, line, err)
			}
		}
	}
}

// parses says whether the command line would be taken. Dumped files are not there, so it gets ones that are.
func parses(t *testing.T, example string) error {
	t.Helper()
	dir := t.TempDir()
	items := filepath.Join(dir, "items.jsonl")
	if err := os.WriteFile(items, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	args := strings.Fields(example)
	if len(args) < 2 || args[0] != "aikajana-aws" {
		return errors.New("there is none")
	}
	for i := range args {
		switch args[i] {
		case "items.jsonl":
			args[i] = items
		case "blobs":
			args[i] = dir
		}
	}
	parser, err := kong.New(&cli{})
	if err != nil {
		return err
	}
	_, err = parser.Parse(args[1:])
	return err
}

// typed is a command in code: behind a backtick, or at the beginning of a line.
var (
	typed = regexp.MustCompile("(?m)(?:`|^ *)aikajana-aws ([a-z-]+)([^`\n]*)")
	flag  = regexp.MustCompile(`--([a-z][a-z-]*)`)
)
