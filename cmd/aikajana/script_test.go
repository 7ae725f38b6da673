package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/aikajana/aikajana/internal/app/local"
)

// TestCommandsBehaveAsTheirScriptsSay runs testdata/script/*.txtar. Beside testscript's own commands there are
//
//	exits N COMMAND …   the command ends with exit code N
//	desk [FILE]         a desk opens in $WORK/desk, with a form and a mailbox or the accounts of the file; AIKAJANA_SERVER and
//	                    AIKAJANA_TOKEN lead to it
//	closes              it closes
//	form NAME TEXT      somebody fills in the web form, and it is in the timeline
//	forged              a delivery with a wrong signature comes to whatsapp/main
//	sets NAME PATTERN   the environment variable becomes what the pattern's group finds in the last output
func TestCommandsBehaveAsTheirScriptsSay(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "aikajana")); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv(asProgram, "1")
			e.Setenv("LANG", "C.UTF-8")
			e.Setenv("TZ", "UTC")
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
			e.Values[deskKey{}] = new(opened)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "desk": opens, "closes": closes, "form": form, "forged": forged, "sets": sets},
	})
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var e *exec.ExitError
	if errors.As(err, &e) {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

type deskKey struct{}

// opened is the desk of one script.
type opened struct{ end func() error }

func opens(ts *testscript.TestScript, _ bool, args []string) {
	config := ts.MkAbs("accounts.json")
	accounts := `{"accounts":[{"channel":"form","account":"main"},{"channel":"email","account":"main","settings":{"address":"help@desk.example"}}]}`
	if len(args) > 0 {
		accounts = ts.ReadFile(args[0])
	}
	ts.Check(os.WriteFile(config, []byte(accounts), 0o600))
	server, err := local.Open(local.Options{Data: ts.MkAbs("desk"), HTTP: "127.0.0.1:0", Config: config, Token: adminToken, AdminPassword: "correct horse battery"})
	ts.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	d := ts.Value(deskKey{}).(*opened)
	d.end = func() error { stop(); return <-done }
	ts.Defer(func() {
		if d.end != nil {
			_ = d.end() // the script has failed by then
		}
	})
	ts.Setenv("AIKAJANA_SERVER", "http://"+server.HTTPAddr())
	ts.Setenv("AIKAJANA_TOKEN", adminToken)
	eventuallyIn(ts, "the desk is open", func() bool {
		response, err := http.Get("http://" + server.HTTPAddr() + "/healthz")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
}

func closes(ts *testscript.TestScript, _ bool, _ []string) {
	d := ts.Value(deskKey{}).(*opened)
	ts.Check(d.end())
	d.end = nil
}

func form(ts *testscript.TestScript, _ bool, args []string) {
	body := fmt.Sprintf(`{"id":%q,"name":%q,"email":"%s@posti.example","message":%q}`, args[0]+args[1], args[0], strings.ToLower(args[0]), args[1])
	response, err := http.Post(ts.Getenv("AIKAJANA_SERVER")+"/forms/main", "application/json", strings.NewReader(body))
	ts.Check(err)
	defer func() { _ = response.Body.Close() }()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusAccepted {
		ts.Fatalf("the form answered with status %d: %s", response.StatusCode, text)
	}
	eventuallyIn(ts, "it is in the timeline", func() bool {
		return ts.Exec("aikajana", "timeline", "email.unverified:"+strings.ToLower(args[0])+"@posti.example") == nil && strings.Contains(ts.ReadFile("stdout"), args[1])
	})
}

func forged(ts *testscript.TestScript, _ bool, _ []string) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, ts.Getenv("AIKAJANA_SERVER")+"/hooks/whatsapp/main", strings.NewReader("{}"))
	ts.Check(err)
	r.Header.Set("X-Hub-Signature-256", "sha256=00")
	response, err := http.DefaultClient.Do(r)
	ts.Check(err)
	_ = response.Body.Close()
	if response.StatusCode/100 == 2 {
		ts.Fatalf("it was taken: status %d", response.StatusCode)
	}
}

func sets(ts *testscript.TestScript, _ bool, args []string) {
	found := regexpFind(args[1], ts.ReadFile("stdout"))
	if found == "" {
		ts.Fatalf("%s is not in the output", args[1])
	}
	ts.Setenv(args[0], found)
}

func eventuallyIn(ts *testscript.TestScript, what string, ok func() bool) {
	deadline := time.Now().Add(waitingLimit)
	for !ok() {
		if time.Now().After(deadline) {
			ts.Fatalf("waited too long until %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestEveryCommandHelpsWithAnExampleThatParses(t *testing.T) {
	t.Parallel()
	parser, err := newParser(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	leaves := 0
	err = kong.Visit(parser.Model, func(n kong.Visitable, next kong.Next) error {
		node, ok := n.(*kong.Node)
		if !ok || node.Type != kong.CommandNode || !node.Leaf() {
			return next(nil)
		}
		leaves++
		if node.Help == "" {
			t.Errorf("%s: there is no help", node.FullPath())
		}
		examples := 0
		for _, line := range strings.Split(node.Detail, "\n") {
			example, ok := strings.CutPrefix(line, "Example: ")
			if !ok {
				continue
			}
			examples++
			if err := parses(t, example); err != nil {
				t.Errorf("%s: its example %q: %v", node.FullPath(), example, err)
			}
		}
		if examples == 0 {
			t.Errorf("%s: its help shows no example", node.FullPath())
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	if leaves < 25 {
		t.Errorf("only %d commands were looked at", leaves)
	}
}

// parses says whether the command line would be taken. Files that examples name are not there, so they get ones that are.
func parses(t *testing.T, example string) error {
	t.Helper()
	example, _, _ = strings.Cut(example, " < ")
	for _, name := range []string{" desk", " data", " accounts.json", " /backups/desk-2026-11-22"} {
		example = strings.ReplaceAll(example+" ", name+" ", " "+t.TempDir()+" ")
	}
	example = strings.ReplaceAll(example, "--config "+filepath.Dir(example), "--config ")
	args := fields(example)
	if args[0] != "aikajana" {
		return errors.New("it does not begin with aikajana")
	}
	for i := range args {
		if args[i] == "--config" {
			args[i+1], _ = os.Executable() // any file will do
		}
	}
	parser, err := newParser(new(cli))
	if err != nil {
		return err
	}
	_, err = parser.Parse(args[1:])
	return err
}

// fields splits a command line as a shell does, as far as double quotes go.
func fields(line string) []string {
	var all []string
	for i, piece := range strings.Split(line, `"`) {
		if i%2 == 1 {
			all = append(all, piece)
			continue
		}
		all = append(all, strings.Fields(piece)...)
	}
	return all
}

func regexpFind(pattern, text string) string {
	if found := regexp.MustCompile(pattern).FindStringSubmatch(text); len(found) == 2 {
		return found[1]
	}
	return ""
}
