// Package faults holds docs/faults.md to the tests: the register names every fault that this program must stand, and the
// tests that show it.
package faults

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tests named TestFaultNN_… into the register")

// last is the highest number; 43a belongs to 43 and has a line of its own.
const (
	register = "docs/faults.md"
	last     = 70
)

// required are the faults that the first release must show. One of them marked open fails the build.
var required = []int{
	1, 5, 6, 7, 9, 11, 12, 15, 16, 18, 19, 20, 21, 22, 23, 25, 26, 27, 29, 30, 31, 32, 35, 37, 38, 39, 42, 43, 44, 45, 48, 50, 53, 56, 57, 58,
	59, 60, 61, 63, 64, 65, 66, 67, 68, 69, 70,
}

// place is a test: the folder of its package and its name.
type place struct{ dir, name string }

func (p place) String() string { return fmt.Sprintf("`%s` `%s`", p.dir, p.name) }

// entry is one fault of the register.
type entry struct {
	number string
	tests  []place
	open   bool
}

var (
	heading  = regexp.MustCompile(`^\*\*(\d+a?)\.\*\* \S`)
	named    = regexp.MustCompile("^- `([^`]+)` `(Test[A-Za-z0-9_]+)`$")
	unproven = regexp.MustCompile(`^- open(: .+)?$`)
	faulty   = regexp.MustCompile(`^TestFault0*(\d+a?)_`)
)

// read parses the register.
func read(text string) (entries []entry, problems []string) {
	for i, line := range strings.Split(text, "\n") {
		if m := heading.FindStringSubmatch(line); m != nil {
			entries = append(entries, entry{number: m[1]})
			continue
		}
		if !strings.HasPrefix(line, "- ") || len(entries) == 0 {
			continue
		}
		e := &entries[len(entries)-1]
		switch m := named.FindStringSubmatch(line); {
		case m != nil:
			e.tests = append(e.tests, place{m[1], m[2]})
		case unproven.MatchString(line):
			e.open = true
		default:
			problems = append(problems, fmt.Sprintf("line %d is neither a test nor open: %s", i+1, line))
		}
	}
	return entries, problems
}

// tests finds every test function below root, whatever its build tags.
func tests(root fs.FS) (map[place]bool, error) {
	found := map[place]bool{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		body, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, body, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				found[place{path.Dir(name), f.Name.Name}] = true
			}
		}
		return nil
	})
	return found, err
}

// compare says what the register and the tests do not agree on.
func compare(text string, found map[place]bool) []string {
	entries, problems := read(text)
	seen := map[string]bool{}
	registered := map[string]map[place]bool{}
	for _, e := range entries {
		if seen[e.number] {
			problems = append(problems, "fault "+e.number+" is there twice")
		}
		seen[e.number], registered[e.number] = true, map[place]bool{}
		for _, p := range e.tests {
			registered[e.number][p] = true
			if !found[p] {
				problems = append(problems, fmt.Sprintf("fault %s names %s, which does not exist", e.number, p))
			}
		}
		number, _ := strconv.Atoi(strings.TrimSuffix(e.number, "a")) // the expression lets digits through only
		switch {
		case len(e.tests) == 0 && !e.open:
			problems = append(problems, "fault "+e.number+" has no test and is not marked open")
		case len(e.tests) == 0 && slices.Contains(required, number):
			problems = append(problems, "fault "+e.number+" must be shown by a test and is open")
		}
	}
	for _, number := range numbers() {
		if !seen[number] {
			problems = append(problems, "fault "+number+" is missing")
		}
	}
	for p := range found {
		if m := faulty.FindStringSubmatch(p.name); m != nil && !registered[m[1]][p] {
			problems = append(problems, fmt.Sprintf("%s is not in the register under fault %s; \"go test ./internal/faults -update\" writes it there", p, m[1]))
		}
	}
	slices.Sort(problems)
	return problems
}

func numbers() []string {
	all := []string{"43a"}
	for n := 1; n <= last; n++ {
		all = append(all, strconv.Itoa(n))
	}
	return all
}

// renew writes the tests that carry a fault's number under it, and takes out those that are gone. Others stay.
func renew(text string, found map[place]bool) string {
	of := map[string]map[place]bool{}
	for p := range found {
		if m := faulty.FindStringSubmatch(p.name); m != nil {
			if of[m[1]] == nil {
				of[m[1]] = map[place]bool{}
			}
			of[m[1]][p] = true
		}
	}
	var out bytes.Buffer
	current, remark := "", ""
	list := map[place]bool{}
	flush := func() {
		if current == "" {
			return
		}
		for _, p := range slices.SortedFunc(maps.Keys(list), func(a, b place) int { return strings.Compare(a.String(), b.String()) }) {
			out.WriteString("- " + p.String() + "\n")
		}
		if len(list) == 0 {
			out.WriteString(remark + "\n")
		}
		out.WriteString("\n")
		current = ""
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		m := heading.FindStringSubmatch(line)
		switch {
		case m != nil:
			flush()
			current, remark, list = m[1], "- open", maps.Clone(of[m[1]])
			if list == nil {
				list = map[place]bool{}
			}
			out.WriteString(line + "\n")
		case current != "" && unproven.MatchString(line):
			remark = line
		case current != "" && named.MatchString(line):
			n := named.FindStringSubmatch(line)
			if p := (place{n[1], n[2]}); found[p] {
				list[p] = true
			}
		case current != "" && line == "":
		default:
			if strings.HasPrefix(line, "#") {
				flush()
			}
			out.WriteString(line + "\n")
			if current == "" && strings.HasPrefix(line, "#") {
				out.WriteString("\n")
			}
		}
	}
	flush()
	return strings.TrimRight(regexp.MustCompile(`\n{3,}`).ReplaceAllString(out.String(), "\n\n"), "\n") + "\n"
}

func TestTheRegisterOfFaultsAndTheTestsAgree(t *testing.T) {
	root := os.DirFS("../..")
	found, err := tests(root)
	if err != nil {
		t.Fatal(err)
	}
	body, err := fs.ReadFile(root, register)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		body = []byte(renew(string(body), found))
		if err := os.WriteFile("../../"+register, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range compare(string(body), found) {
		t.Error(p)
	}
}

func TestARegisterThatIsWrongIsFoundWrong(t *testing.T) {
	t.Parallel()
	var good strings.Builder
	found := map[place]bool{}
	for _, n := range numbers() {
		p := place{"internal/x", "TestFault" + n + "_Holds"}
		found[p] = true
		fmt.Fprintf(&good, "**%s.** Something.\n- %s\n\n", n, p)
	}
	if problems := compare(good.String(), found); len(problems) != 0 {
		t.Fatalf("a right register: %q", problems)
	}
	for what, wrong := range map[string]struct{ text, complaint string }{
		"a test that does not exist": {strings.Replace(good.String(), "TestFault7_Holds", "TestFault7_Gone", 1), "fault 7 names `internal/x` `TestFault7_Gone`, which does not exist"},
		"a fault left out":           {strings.Replace(good.String(), "**8.** Something.", "", 1), "fault 8 is missing"},
		"a test left out":            {strings.Replace(good.String(), "- `internal/x` `TestFault2_Holds`", "- open", 1), "`internal/x` `TestFault2_Holds` is not in the register under fault 2"},
		"a required fault open":      {strings.Replace(good.String(), "- `internal/x` `TestFault5_Holds`", "- open", 1), "fault 5 must be shown by a test and is open"},
		"a fault twice":              {good.String() + "**9.** Again.\n- open\n", "fault 9 is there twice"},
		"a line of neither kind":     {good.String() + "- covered\n", "neither a test nor open"},
	} {
		if got := strings.Join(compare(wrong.text, found), "\n"); !strings.Contains(got, wrong.complaint) {
			t.Errorf("%s: %q", what, got)
		}
	}
	if got := renew(strings.Replace(good.String(), "- `internal/x` `TestFault5_Holds`", "- open", 1), found); len(compare(got, found)) != 0 {
		t.Errorf("renewed:\n%s", got)
	}
}
