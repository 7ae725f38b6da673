package aws

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// linked lists what a package links when it is built as the template builds functions.
func linked(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "lambda.norpc", "github.com/aikajana/aikajana/"+pkg).Output()
	if err != nil {
		t.Fatalf("list what %s links: %v", pkg, err)
	}
	return strings.Fields(string(out))
}

func TestNoLambdaLinksTheEmbeddedStoreAndOnlyPagesLinksTemplates(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"api", "deliver", "fetch", "mail", "pages", "process", "react", "socket", "tick", "webhook"} {
		for _, p := range linked(t, "functions/"+name) {
			switch {
			case strings.HasPrefix(p, "github.com/cockroachdb/"), strings.HasSuffix(p, "/internal/engine"), strings.HasSuffix(p, "/internal/app/local"):
				t.Errorf("%s links %s, which is of the local binary", name, p)
			case p == "github.com/aws/aws-sdk-go-v2/config":
				t.Errorf("%s links %s and with it every way to sign in; what Lambda sets is read by configOf", name, p)
			case (p == "html/template" || p == "text/template") && name != "pages":
				t.Errorf("%s links %s, which undoes dead-code elimination", name, p)
			case (strings.HasSuffix(p, "/internal/api") || strings.HasPrefix(p, "github.com/getkin/")) && name != "api":
				t.Errorf("%s links the API, and nobody asks it anything", name)
			}
		}
	}
}

func TestTheLocalBinaryLinksNoAWS(t *testing.T) {
	t.Parallel()
	for _, p := range linked(t, "cmd/aikajana") {
		if strings.HasPrefix(p, "github.com/aws/") {
			t.Errorf("the local binary links %s", p)
		}
	}
}

func TestOnlyAwslambdaKnowsLambdasLibrary(t *testing.T) {
	t.Parallel()
	const own, bare = "github.com/aikajana/aikajana/internal/awslambda", "github.com/aikajana/aikajana/internal/coldstart/functions/bare"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-tags", "parts", "-f", `{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}}`,
		"github.com/aikajana/aikajana/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var importers []string
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) > 0 && slices.ContainsFunc(words[1:], func(p string) bool { return strings.HasPrefix(p, "github.com/aws/aws-lambda-go") }) {
			importers = append(importers, words[0])
		}
	}
	// bare is what "make coldstart" compares the functions with: Lambda's library, the clients and nothing of the program's.
	if want := []string{own, bare}; !slices.Equal(importers, want) {
		t.Errorf("%v import aws-lambda-go, want %v", importers, want)
	}
}
