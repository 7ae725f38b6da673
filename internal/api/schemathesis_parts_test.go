//go:build parts

package api_test

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/api"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/standin"
)

// TestSchemathesisFindsNothing runs Schemathesis over every operation: requests made from openapi.yaml, valid and not, by an
// administrator, against things that are there. The seed is fixed, so that what it finds is found again.
func TestSchemathesisFindsNothing(t *testing.T) {
	d := setupWith(t, api.Limits{PerPrincipal: 1e6, PrincipalBurst: 1e6, PerClient: 1e6, ClientBurst: 1e6})
	entry, caseID, customer := d.Write("whatsapp", "main", "358401234567", "Hei")
	_, _, victim := d.Write("whatsapp", "main", "358409999999", "Hei")
	_, _, other := d.Write("email", "main", "maija@mail.example", "Hei")
	merge := d.admin().do("POST", "/api/v1/merges", map[string]any{"customers": []string{customer, other}}).want(201).text("merge")
	d.user("aino", auth.Agent, "sales")
	d.user("root", auth.Administrator)
	spare, _, err := d.Auth.CreateToken(t.Context(), "test", auth.Token{Name: "spare", Roles: []auth.Role{auth.Agent}}) // whoever finds the other by listing would revoke itself
	must(t, err)
	config := strings.NewReplacer(
		"$CASE", caseID, "$ENTRY", entry, "$CUSTOMER", customer, "$MERGE", merge, "$QUARANTINED", d.quarantine("malformed"),
		"$MEDIA", strings.TrimPrefix(d.picture("sales", "image/png", "kuva.png"), "/api/v1/media/"), "$TOKEN", d.token, "$VICTIM", victim, "$SPARE", spare.ID,
	).Replace(schemathesisConfig)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "schemathesis.toml"), []byte(config), 0o600))

	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	schema, err := filepath.Abs("openapi.yaml")
	must(t, err)
	// One worker, which it has unless told: with two, both may parse Python at once, which 3.11 now and then trips over
	// ("AST constructor recursion depth mismatch", https://github.com/python/cpython/issues/106905, read on 2026-11-30).
	run := exec.CommandContext(ctx, schemathesis(t), "--config-file", filepath.Join(dir, "schemathesis.toml"), "run", schema,
		"--url", d.server.URL,
		"--seed", cmp.Or(os.Getenv("SCHEMATHESIS_SEED"), "20261123"), "--max-examples", "50", "--phases", "examples,coverage,fuzzing", "--no-color")
	run.Dir = dir
	text, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if log := d.Log.String(); strings.Contains(log, "request failed") {
		t.Errorf("something broke inside:\n%s", log)
	}
	t.Logf("%s", text[max(0, len(text)-2000):])
}

// schemathesisConfig names things that are there, so that requests get beyond "missing", and says where a request that fits
// the document may be refused all the same: an opaque cursor, an ETag, a link, a route to the customer are more than a schema
// can say.
const schemathesisConfig = `
[auth.openapi.token]
bearer = "$TOKEN"

[[operations]]
include-path-regex = "^/api/v1/cases/"
parameters = { "path.id" = "$CASE" }

[[operations]]
include-path-regex = "^/api/v1/entries/"
parameters = { "path.id" = "$ENTRY" }

[[operations]]
include-path-regex = "^/api/v1/customers/"
parameters = { "path.id" = "$CUSTOMER" }

[[operations]]
include-operation-id = "eraseCustomer"
parameters = { "path.id" = "$VICTIM" }

[[operations]]
include-operation-id = "revokeToken"
parameters = { "path.id" = "$SPARE" }

[[operations]]
include-path-regex = "^/api/v1/merges/"
parameters = { "path.id" = "$MERGE" }

[[operations]]
include-path-regex = "^/api/v1/media/"
parameters = { "path.id" = "$MEDIA" }

[[operations]]
include-path-regex = "^/api/v1/quarantine/"
parameters = { "path.id" = "$QUARANTINED" }

[[operations]]
include-operation-id = ["listCases", "timeline", "listQuarantine", "listUsers", "listTokens", "listInvitations", "listNotifications"]
[operations.checks]
positive_data_acceptance.expected-statuses = ["2xx", 400]

[[operations]]
include-operation-id = ["changeCase", "changeUser", "reply", "putAccount", "createToken", "createUser", "invite", "merge", "acceptInvitation", "changePassword", "replayReact", "decide"]
[operations.checks]
positive_data_acceptance.expected-statuses = ["2xx", 400, 403, 404, 409, 412, 422]
`

// schemathesis finds the installed program.
func schemathesis(t *testing.T) string {
	t.Helper()
	cache, err := standin.CacheDir()
	must(t, err)
	found, err := filepath.Glob(filepath.Join(cache, "schemathesis-*", "bin", "schemathesis"))
	must(t, err)
	if len(found) == 0 {
		t.Fatalf("schemathesis is not installed in %s: run scripts/parts.sh schemathesis", cache)
	}
	return found[len(found)-1]
}
