package scenario_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aikajana/aikajana/internal/scenario"
)

var update = flag.Bool("update", false, "rewrite the golden dumps, from the local world where it can play the story")

// read parses a script of the folder scripts.
func read(t testing.TB, name string) *scenario.Script {
	t.Helper()
	file := "scripts/" + name + ".txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Parse(file, string(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// names are the stories that every world of the two shapes tells.
func names(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("scripts/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range files {
		all = append(all, strings.TrimSuffix(filepath.Base(f), ".txt"))
	}
	if len(all) < 40 {
		t.Errorf("only %d stories are told by both shapes, at least 40 are wanted", len(all))
	}
	return all
}

// play plays a script through a world and holds it to its expectations and to the check.
func play(t testing.TB, s *scenario.Script, build func(context.Context, *scenario.Stage) (scenario.World, error)) string {
	t.Helper()
	r := run(t, s, build)
	for _, p := range r.Problems {
		t.Errorf("%s: the check finds: %s", s.Name, p)
	}
	return r.Dump
}

// built is where the command "aikajana" is built, once, when a story asks for it.
var built = filepath.Join(os.TempDir(), fmt.Sprintf("aikajana-scenario-%d", os.Getpid()))

var build = sync.OnceValue(func() error {
	out, err := exec.Command("go", "build", "-o", built, "../../cmd/aikajana").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the command: %w: %s", err, out)
	}
	return nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.Remove(built) // it is there when a story asked for it
	os.Exit(code)
}

// client runs the command "aikajana".
func client(ctx context.Context, args ...string) (string, error) {
	if err := build(); err != nil {
		return "", err
	}
	c := exec.CommandContext(ctx, built, args...)
	c.Env = append(os.Environ(), "TZ=UTC", "NO_COLOR=1")
	var problems bytes.Buffer
	c.Stderr = &problems
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("aikajana %s: %w: %s", strings.Join(args, " "), err, &problems)
	}
	return string(out), nil
}

// run plays a script through a world and holds it to its expectations alone.
func run(t testing.TB, s *scenario.Script, shape func(context.Context, *scenario.Stage) (scenario.World, error)) *scenario.Result {
	t.Helper()
	seed := [32]byte{1}
	stage := scenario.Stage{
		Dir: t.TempDir(), Key: bytes.Repeat([]byte("k"), 32), Rand: rand.NewChaCha8(seed), Log: slog.New(slog.NewTextHandler(logger{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Client: client,
	}
	r, err := scenario.Run(t.Context(), s, stage, shape)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Failures {
		t.Error(f)
	}
	return r
}

// logger shows what the program logged when the test fails.
type logger struct{ t testing.TB }

func (l logger) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// golden compares a dump of the script of that name with the one that is kept.
func golden(t testing.TB, name, dump string) {
	t.Helper()
	file := "scripts/" + name + ".golden"
	if *update {
		err := os.WriteFile(file, []byte(dump), 0o644) //nolint:gosec // it is kept in the repository
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, file, dump, string(want))
}

// compare says where two dumps part.
func compare(t testing.TB, file, dump, want string) {
	t.Helper()
	if dump == want {
		return
	}
	got, kept := strings.Split(dump, "\n"), strings.Split(want, "\n")
	for i := range got {
		was := "(nothing)"
		if i < len(kept) {
			was = kept[i]
		}
		if got[i] != was {
			t.Fatalf("%s:%d differs:\n  is  %s\n  was %s", file, i+1, got[i], was)
		}
	}
	t.Fatalf("%s: %d lines are missing", file, len(kept)-len(got))
}

func TestEveryStoryIsToldByTheLocalWorldAsItIsKept(t *testing.T) {
	t.Parallel()
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, name, play(t, read(t, name), scenario.NewLocal))
		})
	}
}

func TestScriptThatCannotBeUnderstoodIsRefusedWithItsLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"clock yesterday":                           "a.txt:1: \"yesterday\" is no time",
		"\n# x\nwhatsapp main <- telegram from=1":   "a.txt:3: WhatsApp has no \"telegram\"",
		"whatsapp main <- text":                     "a.txt:1: who wrote it?",
		"whatsapp main <- text from=1 colour=red":   "takes no colour=",
		"agent aino answers Maija \"no end":         "a quotation does not end",
		"agent aino tickles Maija":                  "nobody tickles anybody",
		"dance":                                     "there is no such statement",
		"  indented":                                "indented",
		"tick\n  below":                             "takes nothing below",
		"after a while: tick":                       "after what time?",
		"queue lunch delivers twice":                "no queue \"lunch\"",
		"worker crashes sometimes write 1":          "before or after",
		"expect ledger whatsapp stored=many":        "is no number",
		"whatsapp main <- batch\n  telegram from=1": "WhatsApp has no \"telegram\"",
		"whatsapp main <- text from=1 from=2":       "given twice",
		"agent aino answers Maija \"one\" \"two\"":  "two texts",
		"webhook main <- smoke id=1":                "not \"smoke\"",
		"table refuses writes for ever":             "no duration",
	} {
		_, err := scenario.Parse("a.txt", text)
		var at *scenario.SyntaxError
		if !errors.As(err, &at) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range names(f) {
		text, err := os.ReadFile("scripts/" + name + ".txt")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := scenario.Parse("a.txt", text)
		var at *scenario.SyntaxError
		if err != nil && !errors.As(err, &at) {
			t.Errorf("an error without a place: %v", err)
		}
	})
}
