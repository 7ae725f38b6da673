package auth_test

import (
	"context"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

func now(b *bundle) msg.Time { return msg.TimeOf(b.clock.now()) }

func invite(t *testing.T, s *auth.Service, id string) string {
	t.Helper()
	_, secret, err := s.Invite(t.Context(), "root", auth.Invitation{User: id, Name: "Eero", Roles: []auth.Role{auth.Agent}, Teams: []string{"sales"}})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestFault46_AnEmptyOldRevokedOrReusedInvitationIsRefusedAlike(t *testing.T) {
	t.Parallel()
	s, b := setup(t)
	used := invite(t, s, "eero")
	in, err := s.Accept(t.Context(), used, auth.Accepted{Password: password}, client)
	if err != nil || in.User.ID != "eero" || in.User.Teams[0] != "sales" {
		t.Fatalf("%+v, %v", in.User, err)
	}
	old := invite(t, s, "iida")
	b.clock.pass(auth.InvitationLife)
	revoked := invite(t, s, "olli")
	all, err := s.Invitations(t.Context(), "", 0)
	if err != nil || len(all) != 1 {
		t.Fatalf("links in force: %+v, %v", all, err)
	}
	if err := s.RevokeInvitation(t.Context(), "root", all[0].ID); err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{"empty": "", "blank": " ", "unknown": "AAAA", "used": used, "old": old, "revoked": revoked} {
		if _, err := s.Accept(t.Context(), secret, auth.Accepted{Password: password}, client); fault.Code(err) != auth.CodeLinkInvalid {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Peek(t.Context(), secret); fault.Code(err) != auth.CodeLinkInvalid {
			t.Errorf("%s, looked at: %v", name, err)
		}
	}
}

func TestFault46_AnInvitationUsedTwiceAtTheSameTimeMakesOneUserAndOneSession(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	secret := invite(t, s, "eero")
	n := together(8, func(ctx context.Context) error {
		_, err := s.Accept(ctx, secret, auth.Accepted{Password: password}, client)
		return err
	})
	if n != 1 {
		t.Fatalf("accepted %d times", n)
	}
}

func TestAWeakPasswordDoesNotUseTheInvitationUp(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	secret := invite(t, s, "eero")
	_, err := s.Accept(t.Context(), secret, auth.Accepted{Password: "short"}, client)
	wantCode(t, err, fault.Invalid, "invalid")
	if _, err := s.Accept(t.Context(), secret, auth.Accepted{Password: password}, client); err != nil {
		t.Fatal(err)
	}
}

func TestAResetLinkGivesANewPasswordOnceAndEndsAllSessions(t *testing.T) {
	t.Parallel()
	s, b := setup(t)
	withUser(t, s, "aino", auth.Agent)
	before := signIn(t, s, "aino")
	_, secret, err := s.ResetPassword(t.Context(), "root", "aino")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Accept(t.Context(), secret, auth.Accepted{Password: "the one after that"}, client); err != nil {
		t.Fatal(err)
	}
	_, err = s.Check(t.Context(), before.Principal.Credential)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)
	_, err = s.Accept(t.Context(), secret, auth.Accepted{Password: "the one after that"}, client)
	wantCode(t, err, fault.Invalid, auth.CodeLinkInvalid)

	_, late, err := s.ResetPassword(t.Context(), "root", "aino")
	if err != nil {
		t.Fatal(err)
	}
	b.clock.pass(auth.PasswordReset)
	_, err = s.Accept(t.Context(), late, auth.Accepted{Password: password}, client)
	wantCode(t, err, fault.Invalid, auth.CodeLinkInvalid)
}

func TestAResetThatMeetsAnotherChangeOfTheUserCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	s, b := setup(t)
	withUser(t, s, "aino", auth.Agent)
	_, secret, err := s.ResetPassword(t.Context(), "root", "aino")
	if err != nil {
		t.Fatal(err)
	}
	away := auth.Present
	b.table.(*recorder).before = func() {
		if _, err := s.ChangeUser(t.Context(), "aino", "aino", auth.UserChange{Presence: &away}, 0); err != nil {
			t.Error(err)
		}
	}
	_, err = s.Accept(t.Context(), secret, auth.Accepted{Password: "the one after that"}, client)
	wantCode(t, err, fault.Conflict, "conflict")
	if _, err := s.Accept(t.Context(), secret, auth.Accepted{Password: "the one after that"}, client); err != nil {
		t.Fatal(err)
	}
}

func TestAnEmptyStoreIsOpenedByThePasswordOfTheEnvironment(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	setupLink, err := s.Bootstrap(t.Context(), "short", "")
	if err != nil || setupLink != "" {
		t.Fatalf("%q, %v", setupLink, err)
	}
	in, err := s.SignIn(t.Context(), "admin", "short", client, "")
	if err != nil || !in.Principal.May(auth.ManageUsers) {
		t.Fatalf("%+v, %v", in.Principal, err)
	}
	if _, err := s.Bootstrap(t.Context(), "another", ""); err != nil {
		t.Fatal(err)
	}
	_, err = s.SignIn(t.Context(), "admin", "another", client, "")
	wantCode(t, err, fault.Denied, auth.CodeCredentials)
}

func TestAnEmptyStoreIsElseOpenedByTheNewestSetUpLinkOnce(t *testing.T) {
	t.Parallel()
	s, b := setup(t)
	first, err := s.Bootstrap(t.Context(), "", "")
	if err != nil || first == "" {
		t.Fatalf("%q, %v", first, err)
	}
	b.clock.pass(time.Minute)
	second, err := s.Bootstrap(t.Context(), "", "")
	if err != nil || second == first {
		t.Fatalf("%q, %v", second, err)
	}
	_, err = s.Accept(t.Context(), first, auth.Accepted{Password: password}, client)
	wantCode(t, err, fault.Invalid, auth.CodeLinkInvalid)
	in, err := s.Accept(t.Context(), second, auth.Accepted{Password: password}, client)
	if err != nil || !in.Principal.Has(auth.Administrator) {
		t.Fatalf("%+v, %v", in.Principal, err)
	}
	if third, err := s.Bootstrap(t.Context(), "", ""); err != nil || third != "" {
		t.Fatalf("a set-up link on a store with users: %q, %v", third, err)
	}
}

func TestTheTokenOfTheEnvironmentReplacesTheOneBefore(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	try := func(token string) error {
		_, err := s.Authenticate(request("GET", "http://localhost/", "Authorization", "Bearer "+token))
		return err
	}
	for _, token := range []string{"one", "one", "two"} {
		if _, err := s.Bootstrap(t.Context(), "pw", token); err != nil {
			t.Fatal(err)
		}
		if err := try(token); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, try("one"), fault.Denied, auth.CodeUnauthenticated)
	if _, err := s.Bootstrap(t.Context(), "pw", ""); err != nil {
		t.Fatal(err)
	}
	if err := try("two"); err != nil {
		t.Fatalf("it lasts until it is revoked or replaced: %v", err)
	}
}

func TestTheLastAdministratorStaysOne(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "root", auth.Administrator)
	withUser(t, s, "aino", auth.Agent)
	agent, yes := []auth.Role{auth.Agent}, true
	_, err := s.ChangeUser(t.Context(), "root", "root", auth.UserChange{Roles: &agent}, 0)
	wantCode(t, err, fault.Invalid, "invalid")
	_, err = s.ChangeUser(t.Context(), "root", "root", auth.UserChange{Disabled: &yes}, 0)
	wantCode(t, err, fault.Invalid, "invalid")
	if _, err := s.ChangeUser(t.Context(), "root", "aino", auth.UserChange{Disabled: &yes}, 0); err != nil {
		t.Fatal(err)
	}
}

func TestAnIDOrAddressThatIsTakenIsRefusedAndNamed(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "aino", auth.Agent)
	for field, u := range map[string]auth.User{
		"id":    {ID: "aino", Roles: []auth.Role{auth.Agent}},
		"email": {ID: "other", Email: "AINO@desk.example", Roles: []auth.Role{auth.Agent}},
	} {
		_, err := s.CreateUser(t.Context(), "root", u, password)
		wantCode(t, err, fault.Conflict, auth.CodeTaken)
		if f := err.Error(); f == "" || !contains(f, field+": ") {
			t.Errorf("%q does not name %s", f, field)
		}
	}
	if _, err := s.User(t.Context(), "other"); fault.Of(err) != fault.Missing {
		t.Fatalf("half a user was made: %v", err)
	}
	moved := "new@desk.example"
	if _, err := s.ChangeUser(t.Context(), "root", "aino", auth.UserChange{Email: &moved}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateUser(t.Context(), "root", auth.User{ID: "other", Email: "aino@desk.example", Roles: []auth.Role{auth.Agent}}, password); err != nil {
		t.Fatalf("an address given up stays taken: %v", err)
	}
}

func TestAChangeFromAnOldRevisionIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	u := withUser(t, s, "aino", auth.Agent)
	away, name := auth.Present, "Aino V."
	changed, err := s.ChangeUser(t.Context(), "aino", "aino", auth.UserChange{Presence: &away}, u.Revision)
	if err != nil || changed.Revision != u.Revision+1 {
		t.Fatalf("%+v, %v", changed, err)
	}
	_, err = s.ChangeUser(t.Context(), "root", "aino", auth.UserChange{Name: &name}, u.Revision)
	wantCode(t, err, fault.Conflict, "revision")
	if got, err := s.User(t.Context(), "aino"); err != nil || got.Revision != changed.Revision || got.Presence != auth.Present {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestTeamMembersAreTheEnabledUsersOfTheTeam(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "root", auth.Administrator)
	withUser(t, s, "aino", auth.Agent)
	withUser(t, s, "eero", auth.Agent)
	other, yes := []string{"billing"}, true
	for id, c := range map[string]auth.UserChange{"eero": {Teams: &other}, "aino": {Disabled: &yes}} {
		if _, err := s.ChangeUser(t.Context(), "root", id, c, 0); err != nil {
			t.Fatal(err)
		}
	}
	for team, want := range map[string]int{"sales": 1, "billing": 1, "none": 0, "": 2} {
		if got, err := s.TeamMembers(t.Context(), team); err != nil || len(got) != want {
			t.Errorf("team %q has %d members (%v), want %d", team, len(got), err, want)
		}
	}
}

func TestUnfitUsersAreRefusedByField(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	good := func() auth.User { return auth.User{ID: "aino", Roles: []auth.Role{auth.Agent}} }
	for field, spoil := range map[string]func(*auth.User){
		"id":       func(u *auth.User) { u.ID = "Aino V" },
		"name":     func(u *auth.User) { u.Name = "a\u202eb" },
		"email":    func(u *auth.User) { u.Email = "Aino <a@b.example>" },
		"roles":    func(u *auth.User) { u.Roles = []auth.Role{"owner"} },
		"teams":    func(u *auth.User) { u.Teams = []string{"Sales Team"} },
		"presence": func(u *auth.User) { u.Presence = "lunch" },
		"language": func(u *auth.User) { u.Language = "xx" },
	} {
		u := good()
		spoil(&u)
		_, err := s.CreateUser(t.Context(), "root", u, password)
		wantCode(t, err, fault.Invalid, "invalid")
		if !contains(err.Error(), field+": ") {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}
