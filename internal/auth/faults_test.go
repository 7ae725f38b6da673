package auth_test

import (
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
)

func TestFault66_WhatHasExpiredOpensNothingThoughItIsStillThere(t *testing.T) {
	t.Parallel()
	_, b := setup(t)
	// The table's clock stands still, so that it never drops anything: as on AWS, where expired items stay for days.
	b.table = openTable(t, &clock{at: b.clock.now()})
	s := b.service(t, auth.Config{})
	withUser(t, s, "root", auth.Administrator)
	withUser(t, s, "aino", auth.Agent)

	session := signIn(t, s, "aino").Principal
	b.clock.pass(auth.SessionIdle - time.Second)
	if _, err := s.Check(t.Context(), session.Credential); err != nil {
		t.Fatalf("a second before its end: %v", err)
	}
	busy := signIn(t, s, "aino").Principal
	ticket, _, err := s.Ticket(t.Context(), busy)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.pass(auth.TicketLife)
	_, err = s.Redeem(t.Context(), ticket)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)

	_, token, err := s.CreateToken(t.Context(), "root", auth.Token{Name: "x", Roles: []auth.Role{auth.Agent}, Teams: []string{"sales"}, ExpiresAt: now(b).Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(request("GET", "http://localhost/", "Authorization", "Bearer "+token)); err != nil {
		t.Fatalf("a token in force: %v", err)
	}
	invitation := invite(t, s, "eero")
	b.clock.pass(auth.SessionIdle + time.Minute)
	for name, p := range map[string]auth.Principal{"used to its end": session, "left alone": busy} {
		if _, err := s.Check(t.Context(), p.Credential); fault.Code(err) != auth.CodeUnauthenticated {
			t.Errorf("a session %s: %v", name, err)
		}
	}
	_, err = s.Authenticate(request("GET", "http://localhost/", "Authorization", "Bearer "+token))
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)

	b.clock.pass(auth.InvitationLife)
	if _, err := s.Accept(t.Context(), invitation, auth.Accepted{Password: password}, client); fault.Code(err) != auth.CodeLinkInvalid {
		t.Errorf("an invitation: %v", err)
	}
}
