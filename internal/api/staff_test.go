package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
)

func TestSigningInTellsWhoOneIsAndSigningOutEndsIt(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	me := aino.do("GET", "/api/v1/sessions/current", nil).want(200)
	if me.text("id") != "aino" || me.text("user.name") != "aino Virtanen" || me.text("teams.0") != "sales" || me.at("expires_at") == nil {
		t.Fatalf("%s", me.raw)
	}
	if rights := me.at("rights").([]any); len(rights) != 3 {
		t.Fatalf("an agent's rights are %v", rights)
	}
	out := aino.do("DELETE", "/api/v1/sessions/current", nil).want(204)
	if c := out.header.Get("Set-Cookie"); !strings.Contains(c, "Max-Age=0") {
		t.Fatalf("the cookie stays: %q", c)
	}
	aino.do("GET", "/api/v1/sessions/current", nil).wantProblem(401, "unauthenticated", "")
	aino.do("DELETE", "/api/v1/sessions/current", nil).want(204)

	token := d.admin().do("GET", "/api/v1/sessions/current", nil).want(200)
	if token.text("kind") != "token" || token.body["user"] != nil {
		t.Fatalf("%s", token.raw)
	}
	d.anonymous().do("POST", "/api/v1/sessions", map[string]any{"user": "aino", "password": "wrong"}).wantProblem(401, "credentials", "")
}

func TestFault48_APasswordChangeEndsTheOtherBrowsersAndKeepsThisOne(t *testing.T) {
	t.Parallel()
	d := setup(t)
	here := d.user("aino", auth.Agent, "sales")
	there := d.anonymous()
	there.do("POST", "/api/v1/sessions", map[string]any{"user": "aino", "password": password}).want(201)
	here.do("POST", "/api/v1/password", map[string]any{"current_password": "wrong", "password": "a new and longer one"}).wantProblem(400, "invalid", "current_password")
	here.do("POST", "/api/v1/password", map[string]any{"current_password": password, "password": "short"}).wantProblem(400, "invalid", "password")
	here.do("POST", "/api/v1/password", map[string]any{"current_password": password, "password": "a new and longer one"}).want(201)
	here.do("GET", "/api/v1/sessions/current", nil).want(200)
	there.do("GET", "/api/v1/sessions/current", nil).wantProblem(401, "unauthenticated", "")
	d.admin().do("POST", "/api/v1/password", map[string]any{"current_password": password, "password": "a new and longer one"}).wantProblem(403, "token", "")
}

func TestFault46_AnInvitationMakesOneUserOnce(t *testing.T) {
	t.Parallel()
	d := setup(t)
	made := d.admin().do("POST", "/api/v1/invitations", map[string]any{"user": "eero", "name": "Eero Mäki", "roles": []string{"lead"}}).want(201)
	if made.text("invitation.teams.0") != "support" {
		t.Fatalf("whoever is invited without a team gets the desk's: %s", made.raw)
	}
	if all := d.admin().do("GET", "/api/v1/invitations", nil).want(200); strings.Contains(string(all.raw), made.text("token")) || len(all.items()) != 1 {
		t.Fatalf("%s", all.raw)
	}
	accept := map[string]any{"token": made.text("token"), "password": password, "language": "fi"}
	eero := d.anonymous()
	me := eero.do("POST", "/api/v1/accept-invitation", accept).want(201)
	if me.text("user.language") != "fi" || me.text("roles.0") != "lead" {
		t.Fatalf("%s", me.raw)
	}
	eero.do("GET", "/api/v1/quarantine", nil).want(200)
	used := d.anonymous().do("POST", "/api/v1/accept-invitation", accept)
	used.wantProblem(400, "link_invalid", "token")
	for _, token := range []string{"", "nonsense"} {
		accept["token"] = token
		if other := d.anonymous().do("POST", "/api/v1/accept-invitation", accept); string(other.raw) != string(used.raw) {
			t.Errorf("%q: %s", token, other.raw)
		}
	}
	d.anonymous().do("POST", "/api/v1/accept-invitation", map[string]any{"token": "x", "password": password, "roles": []string{"administrator"}}).wantProblem(400, "invalid", "roles")

	withdrawn := d.admin().do("POST", "/api/v1/invitations", map[string]any{"user": "olli", "roles": []string{"agent"}}).want(201)
	d.admin().do("DELETE", "/api/v1/invitations/"+withdrawn.text("invitation.id"), nil).want(204)
	d.anonymous().do("POST", "/api/v1/accept-invitation", map[string]any{"token": withdrawn.text("token"), "password": password}).wantProblem(400, "link_invalid", "token")
}

func TestAnAdministratorsResetLinkGivesANewPassword(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	made := d.admin().do("POST", "/api/v1/users/aino/password-reset", nil).want(201)
	d.anonymous().do("POST", "/api/v1/accept-invitation", map[string]any{"token": made.text("token"), "password": "a new and longer one"}).want(201)
	aino.do("GET", "/api/v1/sessions/current", nil).wantProblem(401, "unauthenticated", "")
}

func TestPeopleChangeThemselvesAndAdministratorsTheRest(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	d.user("eero", auth.Agent, "sales")
	if me := aino.do("PATCH", "/api/v1/users/aino", map[string]any{"presence": "present", "language": "sv", "notify_by_mail": true}).want(200); me.text("presence") != "present" {
		t.Fatalf("%s", me.raw)
	}
	aino.do("PATCH", "/api/v1/users/aino", map[string]any{"roles": []string{"administrator"}}).wantProblem(403, "role", "")
	aino.do("PATCH", "/api/v1/users/eero", map[string]any{"presence": "away"}).wantProblem(404, "missing", "")
	aino.do("DELETE", "/api/v1/users/eero/sessions", nil).wantProblem(404, "missing", "")
	d.admin().do("PATCH", "/api/v1/users/aino", map[string]any{"email": "aino@desk.example", "teams": []string{"billing"}}).want(200)
	aino.do("GET", "/api/v1/sessions/current", nil).wantProblem(401, "unauthenticated", "") // the rights of before are gone

	aino.do("POST", "/api/v1/sessions", map[string]any{"user": "aino@desk.example", "password": password}).want(201)
	eero := d.anonymous()
	eero.do("POST", "/api/v1/sessions", map[string]any{"user": "eero", "password": password}).want(201)
	if seen := eero.do("GET", "/api/v1/users/aino", nil).want(200); seen.body["email"] != nil {
		t.Fatalf("a colleague sees the address: %s", seen.raw)
	}
	if mine := aino.do("GET", "/api/v1/users/aino", nil).want(200); mine.text("email") != "aino@desk.example" {
		t.Fatalf("%s", mine.raw)
	}
	aino.do("DELETE", "/api/v1/users/aino/sessions", nil).want(204)
	aino.do("GET", "/api/v1/sessions/current", nil).wantProblem(401, "unauthenticated", "")
}

func TestListsOfPeoplePage(t *testing.T) {
	t.Parallel()
	d := setup(t)
	for _, id := range []string{"a", "b", "c"} {
		d.admin().do("POST", "/api/v1/users", map[string]any{"id": id, "roles": []string{"agent"}, "password": password}).want(201)
	}
	first := d.admin().do("GET", "/api/v1/users?limit=2", nil).want(200)
	rest := d.admin().do("GET", "/api/v1/users?limit=2&after="+first.text("next"), nil).want(200)
	if len(first.items()) != 2 || len(rest.items()) != 1 || rest.body["next"] != nil || rest.text("items.0.id") != "c" {
		t.Fatalf("%s\n%s", first.raw, rest.raw)
	}
	d.admin().do("POST", "/api/v1/users", map[string]any{"id": "a", "roles": []string{"agent"}, "password": password}).wantProblem(409, "taken", "id")
}

func TestATokenIsShownOnceAndEndsWhenRevoked(t *testing.T) {
	t.Parallel()
	d := setup(t)
	made := d.admin().do("POST", "/api/v1/tokens", map[string]any{"name": "display", "roles": []string{"agent"}, "teams": []string{"sales"}, "expires_at": "2026-12-01T00:00:00Z"}).want(201)
	script := d.anonymous()
	script.token = made.text("secret")
	script.do("GET", "/api/v1/cases", nil).want(200)
	if all := d.admin().do("GET", "/api/v1/tokens", nil).want(200); strings.Contains(string(all.raw), script.token) || len(all.items()) != 2 {
		t.Fatalf("%s", all.raw)
	}
	d.admin().do("DELETE", "/api/v1/tokens/"+made.text("token.id"), nil).want(204)
	script.do("GET", "/api/v1/cases", nil).wantProblem(401, "unauthenticated", "")
	d.admin().do("DELETE", "/api/v1/tokens/"+made.text("token.id"), nil).wantProblem(404, "missing", "")
	d.admin().do("POST", "/api/v1/tokens", map[string]any{"name": "x", "roles": []string{"agent"}, "expires_at": "2020-01-01T00:00:00Z"}).wantProblem(400, "invalid", "expires_at")
}

func TestGuessingAtAPasswordIsSlowedDownWhoeverAsksAgain(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.user("aino", auth.Agent)
	for range 5 {
		d.anonymous().do("POST", "/api/v1/sessions", map[string]any{"user": "aino", "password": "wrong"}).wantProblem(401, "credentials", "")
	}
	refused := d.anonymous().do("POST", "/api/v1/sessions", map[string]any{"user": "aino", "password": password}, "X-Forwarded-For", "198.51.100.7")
	refused.wantProblem(429, "throttled", "")
	if refused.header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	d.Clock.Pass(time.Hour)
	d.anonymous().do("POST", "/api/v1/sessions", map[string]any{"user": "aino", "password": password}).want(201)
}
