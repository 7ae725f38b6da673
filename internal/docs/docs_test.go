// Package docs holds the written side to the code: what docs/ says of dependencies, limits and files must be so.
package docs

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
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

const root = "../.."

// module is where this program's own packages are.
const module = "github.com/aikajana/aikajana"

// files calls f with every file of the tree whose name ends in suffix.
func files(t *testing.T, suffix string, f func(name string, body []byte)) {
	t.Helper()
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".ci" || d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "bin" || d.Name() == "data"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, suffix):
			return nil
		}
		body, err := fs.ReadFile(tree, name)
		if err == nil {
			f(name, body)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	body, err := os.ReadFile(root + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

var required = regexp.MustCompile(`(?m)^(?:require )?\t?(\S+\.\S+) (v\S+)`)

func TestEveryDependencyIsExplainedAndNothingElse(t *testing.T) {
	t.Parallel()
	versions := map[string]string{}
	for _, m := range required.FindAllStringSubmatch(read(t, "go.mod"), -1) {
		versions[m[1]] = m[2]
	}
	used := map[string]string{} // module: one file that imports it
	files(t, ".go", func(name string, body []byte) {
		file, err := parser.ParseFile(token.NewFileSet(), name, body, parser.ImportsOnly)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		for _, i := range file.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil || !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") || strings.HasPrefix(imported+"/", module+"/") {
				continue
			}
			owner := imported
			for versions[owner] == "" && owner != "." {
				owner = path.Dir(owner)
			}
			if owner == "." {
				t.Errorf("%s imports %s, which go.mod does not require", name, imported)
				continue
			}
			used[owner] = name
		}
	})
	text := read(t, "docs/dependencies.md")
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` (v\\S+) \\|")
	explained := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		explained[m[1]] = m[2]
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		switch {
		case explained[name] == "":
			t.Errorf("docs/dependencies.md does not explain %s %s, which %s imports", name, versions[name], used[name])
		case explained[name] != versions[name]:
			t.Errorf("docs/dependencies.md says %s %s; go.mod has %s", name, explained[name], versions[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(explained)) {
		if used[name] == "" {
			t.Errorf("docs/dependencies.md explains %s, which nothing imports", name)
		}
	}
}

func TestEveryProgramThatTestsRunIsExplainedInItsVersion(t *testing.T) {
	t.Parallel()
	names := map[string]string{
		"DYNAMODB": "DynamoDB Local", "SQS": "ElasticMQ", "MOTO": "moto", "SAM": "AWS SAM CLI", "CFN_LINT": "cfn-lint", "SCHEMATHESIS": "Schemathesis",
		"GOLANGCI": "golangci-lint",
	}
	pinned := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z_]+)(?:=| := )(\d\S*)$`).FindAllStringSubmatch(read(t, "internal/standin/parts/pins.env")+read(t, "Makefile"), -1) {
		if names[m[1]] == "" {
			t.Errorf("%s is pinned, and this test does not know what it is called", m[1])
		}
		pinned[names[m[1]]] = m[2]
	}
	if len(pinned) != len(names) {
		t.Fatalf("pinned are %v", pinned)
	}
	explained := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([A-Za-z -]+) (\d[\d.]*) \|`).FindAllStringSubmatch(read(t, "docs/dependencies.md"), -1) {
		explained[m[1]] = m[2]
	}
	if !maps.Equal(pinned, explained) {
		t.Errorf("docs/dependencies.md explains %v; pinned are %v", explained, pinned)
	}
}

func TestEveryLimitIsAsTheCodeHasIt(t *testing.T) {
	t.Parallel()
	limits := regexp.MustCompile("(?m)^\\| `([^`]+)` `([^`]+)` \\| `([^`]+)` \\|").FindAllStringSubmatch(read(t, "docs/limits.md"), -1)
	if len(limits) < 50 {
		t.Fatalf("docs/limits.md has %d limits", len(limits))
	}
	folders := map[string]map[string]string{}
	for _, l := range limits {
		if folders[l[1]] == nil {
			folders[l[1]] = constants(t, l[1])
		}
		if have, ok := folders[l[1]][l[2]]; !ok {
			t.Errorf("%s has no constant %s", l[1], l[2])
		} else if have != l[3] {
			t.Errorf("%s.%s is %s; docs/limits.md says %s", l[1], l[2], have, l[3])
		}
	}
}

// constants are a package's named constants and the package's variables, with their expressions as the source has them.
func constants(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	names, err := fs.Glob(os.DirFS(root), dir+"/*.go")
	if err != nil || len(names) == 0 {
		t.Errorf("%s: %d files, %v", dir, len(names), err)
	}
	for _, name := range names {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, root+"/"+name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i := range min(len(v.Names), len(v.Values)) {
				var b bytes.Buffer
				if err := printer.Fprint(&b, set, v.Values[i]); err != nil {
					t.Error(err)
				}
				found[v.Names[i].Name] = b.String()
			}
			return true
		})
	}
	return found
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)

func TestEveryLinkOfTheDocumentsLeadsSomewhere(t *testing.T) {
	t.Parallel()
	links := 0
	files(t, ".md", func(name string, body []byte) {
		for _, m := range link.FindAllStringSubmatch(string(body), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			links++
			if _, err := os.Stat(root + "/" + path.Join(path.Dir(name), m[1])); err != nil {
				t.Errorf("%s points at %s, which is not there", name, m[1])
			}
		}
	})
	if links < 20 {
		t.Errorf("only %d links were followed", links)
	}
}

// named is a file of the tree that a text or a code span names from the root, without a link.
var named = regexp.MustCompile(`(?m)(?:^|[^\w./-])((?:\.ci|cmd|docs|functions|infra|internal|scripts)/[\w./-]*\.(?:css|go|http|json|md|sh|yaml))\b`)

func TestEveryFileThatTheDocumentsNameIsThere(t *testing.T) {
	t.Parallel()
	seen := 0
	files(t, ".md", func(name string, body []byte) {
		for _, m := range named.FindAllStringSubmatch(string(body), -1) {
			seen++
			if _, err := os.Stat(root + "/" + m[1]); err != nil {
				t.Errorf("%s names %s, which is not there", name, m[1])
			}
		}
	})
	if seen < 40 {
		t.Errorf("only %d names were looked at", seen)
	}
}

func TestTheLayoutShowsEveryPackage(t *testing.T) {
	t.Parallel()
	_, layout, ok := strings.Cut(read(t, "docs/design.md"), "\n## Layout\n")
	if !ok {
		t.Fatal("docs/design.md has no layout")
	}
	layout, _, _ = strings.Cut(layout, "\n## ")
	for _, parent := range []string{"cmd", "internal"} {
		all, err := fs.ReadDir(os.DirFS(root), parent)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			line := `(?m)^cmd/` + d.Name() + `/ `
			if parent == "internal" {
				line = `(?m)^  (?:[a-z]+/ +)*` + d.Name() + `/ ` // several may share a line
			}
			if !regexp.MustCompile(line).MatchString(layout) {
				t.Errorf("docs/design.md's layout lacks %s/%s", parent, d.Name())
			}
		}
	}
}

// decision is the name of a record of a decision.
var decision = regexp.MustCompile(`^docs/adr/(\d{4})-[a-z0-9-]+\.md$`)

func TestDecisionsAreNumberedWithoutGapsAndListed(t *testing.T) {
	t.Parallel()
	index := read(t, "docs/adr/README.md")
	seen := map[int]string{}
	files(t, ".md", func(name string, body []byte) {
		m := decision.FindStringSubmatch(name)
		if m == nil {
			return
		}
		n, err := strconv.Atoi(m[1])
		if err != nil || seen[n] != "" {
			t.Errorf("%s has the number of %q (%v)", name, seen[n], err)
		}
		seen[n] = name
		for _, part := range []string{fmt.Sprintf("# %d. ", n), "Status: ", "\n## Context\n", "\n## Decision\n", "\n## Consequences\n"} {
			if !strings.Contains("\n"+string(body), part) {
				t.Errorf("%s lacks %q", name, strings.TrimSpace(part))
			}
		}
		if !strings.Contains(index, "("+path.Base(name)+")") {
			t.Errorf("docs/adr/README.md does not list %s", name)
		}
	})
	for n := 1; n <= len(seen); n++ {
		if seen[n] == "" {
			t.Errorf("there is no decision %d", n)
		}
	}
}
