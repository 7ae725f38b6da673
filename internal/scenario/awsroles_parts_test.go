//go:build parts

package scenario_test

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aikajana/aikajana/internal/awspolicy"
	"github.com/aikajana/aikajana/internal/scenario"
	"github.com/aikajana/aikajana/internal/standin"
)

// roles are those of template.yaml, with SAM's own policy templates.
func roles(t *testing.T) map[string][]awspolicy.Permission {
	t.Helper()
	template, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := standin.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "sam-*", "lib", "python*", "site-packages", "samtranslator", "policy_templates_data", "policy_templates.json"))
	if err != nil || len(found) == 0 {
		t.Fatalf("SAM's policy templates are not in %s: run \"scripts/parts.sh sam\"", cache)
	}
	sam, err := os.ReadFile(found[len(found)-1])
	if err != nil {
		t.Fatal(err)
	}
	roles, err := awspolicy.Roles(template, sam)
	if err != nil {
		t.Fatal(err)
	}
	return roles
}

// notOurs are permissions that no function uses itself, each with whoever does.
var notOurs = map[string][]awspolicy.Permission{
	"React": {
		// Lambda's event source writes what React gave up, with React's role, and looks at the bucket before ("Capturing
		// discarded batches for a DynamoDB event source", AWS Lambda Developer Guide, seen 2026-11-23).
		{Action: "s3:PutObject", Resource: awspolicy.ObjectARN("FailureBucket", "*")},
		{Action: "s3:ListBucket", Resource: awspolicy.ObjectARN("FailureBucket", "")},
	},
}

// compareRoles holds the roles to the calls, both ways.
func compareRoles(t *testing.T, calls map[string][]awspolicy.Permission) {
	t.Helper()
	for _, d := range awspolicy.Compare(roles(t), calls) {
		for _, c := range d.Refused {
			t.Errorf("%s may not %s, and did: give it the permission in template.yaml", d.Function, c)
		}
		for _, p := range d.Unused {
			if !slices.Contains(notOurs[d.Function], p) {
				t.Errorf("%s may %s, and never did: take the permission out of template.yaml, or have it do so in Rest", d.Function, p)
			}
		}
	}
}

// rest has the functions do what no story tells.
func rest(t *testing.T, on scenario.Parts) {
	t.Helper()
	stage := scenario.Stage{
		Dir: t.TempDir(), Key: bytes.Repeat([]byte("k"), 32), Rand: rand.NewChaCha8([32]byte{1}),
		Log: slog.New(slog.NewTextHandler(logger{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if err := scenario.Rest(t.Context(), stage, on); err != nil {
		t.Fatal(err)
	}
}
