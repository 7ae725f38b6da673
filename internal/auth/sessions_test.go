package auth_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/table"
)

func TestSigningInByIDOrByAddressStartsASession(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "aino", auth.Agent)
	for _, login := range []string{"aino", "aino@desk.example", "Aino@Desk.example"} {
		in, err := s.SignIn(t.Context(), login, password, client, "")
		if err != nil {
			t.Fatalf("%s: %v", login, err)
		}
		p, err := s.Check(t.Context(), in.Principal.Credential)
		if err != nil || p.ID != "aino" || !p.May(auth.WorkCases) || p.May(auth.ManageUsers) {
			t.Fatalf("%s: principal %+v, %v", login, p, err)
		}
	}
}

func TestWrongUnknownAndDisabledLookAlike(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "root", auth.Administrator)
	withUser(t, s, "aino", auth.Agent)
	yes := true
	if _, err := s.ChangeUser(t.Context(), "root", "aino", auth.UserChange{Disabled: &yes}, 0); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, try := range [][2]string{{"root", "wrong"}, {"nobody", password}, {"aino", password}, {"", ""}, {"a b\x00", password}, {"root", strings.Repeat("x", 1<<20)}} {
		_, err := s.SignIn(t.Context(), try[0], try[1], client, "")
		wantCode(t, err, fault.Denied, auth.CodeCredentials)
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Fatalf("the answers differ: %q", texts)
		}
	}
}

func TestFault48_SigningInEndsTheSessionThatWasThereBefore(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "aino", auth.Agent)
	withUser(t, s, "mallory", auth.Agent)
	planted := signIn(t, s, "mallory")
	in, err := s.SignIn(t.Context(), "aino", password, client, planted.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if in.Secret == planted.Secret {
		t.Fatal("the planted secret became the victim's")
	}
	_, err = s.Check(t.Context(), planted.Principal.Credential)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)
	if _, err := s.Check(t.Context(), in.Principal.Credential); err != nil {
		t.Fatal(err)
	}
}

func TestFault48_NoSessionSurvivesAPasswordChange(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "aino", auth.Agent)
	phone, laptop := signIn(t, s, "aino"), signIn(t, s, "aino")
	next, err := s.ChangePassword(t.Context(), "aino", password, "a new and longer one", client)
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []auth.SignedIn{phone, laptop} {
		_, err := s.Check(t.Context(), old.Principal.Credential)
		wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)
	}
	if _, err := s.Check(t.Context(), next.Principal.Credential); err != nil {
		t.Fatal(err)
	}
	_, err = s.SignIn(t.Context(), "aino", password, client, "")
	wantCode(t, err, fault.Denied, auth.CodeCredentials)
}

func TestAWrongCurrentPasswordChangesNothing(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "aino", auth.Agent)
	in := signIn(t, s, "aino")
	_, err := s.ChangePassword(t.Context(), "aino", "not the one", "a new and longer one", client)
	wantCode(t, err, fault.Invalid, "invalid")
	if _, err := s.Check(t.Context(), in.Principal.Credential); err != nil {
		t.Fatal(err)
	}
}

func TestASessionEndsWhenIdleAndAtTheLatestAfterItsLife(t *testing.T) {
	t.Parallel()
	s, b := setup(t)
	withUser(t, s, "aino", auth.Agent)
	idle := signIn(t, s, "aino")
	b.clock.pass(auth.SessionIdle)
	_, err := s.Check(t.Context(), idle.Principal.Credential)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)

	busy := signIn(t, s, "aino")
	var used time.Duration
	for ; used < auth.SessionLife; used += time.Hour {
		if _, err := s.Check(t.Context(), busy.Principal.Credential); err != nil {
			t.Fatalf("ended after %s of use: %v", used, err)
		}
		b.clock.pass(time.Hour)
	}
	_, err = s.Check(t.Context(), busy.Principal.Credential)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)
}

func TestSigningOutEndsOneSessionAndEndSessionsAll(t *testing.T) {
	t.Parallel()
	s, b := setup(t)
	withUser(t, s, "aino", auth.Agent)
	one, two := signIn(t, s, "aino"), signIn(t, s, "aino")
	if err := s.SignOut(t.Context(), one.Secret); err != nil {
		t.Fatal(err)
	}
	if err := s.SignOut(t.Context(), one.Secret); err != nil {
		t.Fatalf("signing out twice: %v", err)
	}
	_, err := s.Check(t.Context(), one.Principal.Credential)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)
	if _, err := s.Check(t.Context(), two.Principal.Credential); err != nil {
		t.Fatal(err)
	}
	if err := s.EndSessions(t.Context(), "root", "aino"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Check(t.Context(), two.Principal.Credential)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)
	wantKinds(t, b.audit, auth.AuditedUserCreated, auth.AuditedSignIn, auth.AuditedSignIn, auth.AuditedSessionEnded, auth.AuditedSessionsEnded)
}

func TestLosingARoleEndsTheSessionsAndGainingOneDoesNot(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "root", auth.Administrator)
	withUser(t, s, "aino", auth.Agent)
	in := signIn(t, s, "aino")
	both := []auth.Role{auth.Agent, auth.Lead}
	if _, err := s.ChangeUser(t.Context(), "root", "aino", auth.UserChange{Roles: &both}, 0); err != nil {
		t.Fatal(err)
	}
	p, err := s.Check(t.Context(), in.Principal.Credential)
	if err != nil || !p.May(auth.AssignOthers) {
		t.Fatalf("principal %+v, %v", p, err)
	}
	one := []auth.Role{auth.Agent}
	if _, err := s.ChangeUser(t.Context(), "root", "aino", auth.UserChange{Roles: &one}, 0); err != nil {
		t.Fatal(err)
	}
	_, err = s.Check(t.Context(), in.Principal.Credential)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)
}

func TestGuessingIsSlowedDownByPairByAddressAndByUser(t *testing.T) {
	t.Parallel()
	s, b := setup(t)
	withUser(t, s, "aino", auth.Agent)
	for range 5 {
		_, err := s.SignIn(t.Context(), "aino", "guess", client, "")
		wantCode(t, err, fault.Denied, auth.CodeCredentials)
	}
	_, err := s.SignIn(t.Context(), "aino", password, client, "")
	wantCode(t, err, fault.Retry, auth.CodeThrottled)
	if fault.After(err) <= 0 {
		t.Fatal("the refusal does not say how long to wait")
	}
	if _, err := s.SignIn(t.Context(), "aino", password, "198.51.100.9", ""); err != nil {
		t.Fatalf("a stranger's guesses locked the user out elsewhere: %v", err)
	}
	b.clock.pass(16 * time.Minute)
	if _, err := s.SignIn(t.Context(), "aino", password, client, ""); err != nil {
		t.Fatalf("still refused after a quarter of an hour: %v", err)
	}

	refused := 0
	for n := range 40 {
		_, err := s.SignIn(t.Context(), "u"+string(rune('a'+n%26))+string(rune('a'+n/26)), "guess", "203.0.113.5", "")
		if fault.Code(err) == auth.CodeThrottled {
			refused++
		}
	}
	if refused == 0 {
		t.Fatal("one address may guess at any number of users")
	}
}

func TestGuessesSideBySideDoNotOutrunTheCount(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "aino", auth.Agent)
	var wg sync.WaitGroup
	var mu sync.Mutex
	looked := 0
	for range 40 {
		wg.Go(func() {
			_, err := s.SignIn(t.Context(), "aino", "guess", client, "")
			mu.Lock()
			defer mu.Unlock()
			if fault.Code(err) == auth.CodeCredentials {
				looked++
			}
		})
	}
	wg.Wait()
	if looked > 5 {
		t.Fatalf("%d of 40 guesses at the same time were looked at, want at most 5", looked)
	}
}

func TestRightPasswordsDoNotCountTowardsTheLimit(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "aino", auth.Agent)
	for n := range 50 {
		if _, err := s.SignIn(t.Context(), "aino", password, client, ""); err != nil {
			t.Fatalf("sign-in %d: %v", n, err)
		}
	}
}

func TestNoCredentialIsStoredInClear(t *testing.T) {
	t.Parallel()
	s, b := setup(t)
	withUser(t, s, "aino", auth.Agent)
	in := signIn(t, s, "aino")
	_, token, err := s.CreateToken(t.Context(), "aino", auth.Token{Name: "script", Roles: []auth.Role{auth.Agent}})
	if err != nil {
		t.Fatal(err)
	}
	_, invite, err := s.Invite(t.Context(), "aino", auth.Invitation{User: "eero", Roles: []auth.Role{auth.Agent}})
	if err != nil {
		t.Fatal(err)
	}
	ticket, _, err := s.Ticket(t.Context(), in.Principal)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Bootstrap(t.Context(), "", "an environment token"); err != nil {
		t.Fatal(err)
	}
	said, _ := json.Marshal(b.audit.events)
	kept := string(said) + dump(t, b)
	for _, secret := range []string{password, in.Secret, token, invite, ticket, "an environment token"} {
		if strings.Contains(kept, secret) {
			t.Errorf("the store or the audit log holds %q", secret)
		}
	}
	if users, err := s.Users(t.Context(), "", 0); err != nil || len(users) != 1 {
		t.Fatalf("%v, %v", users, err)
	}
}

// dump is everything in the partitions that this package's tests know of.
func dump(t *testing.T, b *bundle) string {
	t.Helper()
	var all strings.Builder
	for _, pk := range b.writes() {
		items, err := b.table.Query(t.Context(), table.Query{PK: pk})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			all.WriteString(i.Key.String() + " " + string(i.Body) + "\n")
		}
	}
	return all.String()
}
