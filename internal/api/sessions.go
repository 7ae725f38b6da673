package api

import (
	"context"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// Health implements GET /healthz.
func (h handlers) Health(ctx context.Context, _ HealthRequestObject) (HealthResponseObject, error) {
	if err := h.Healthy(ctx); err != nil {
		return nil, fault.RetryAfter(0, "unhealthy", "the store takes no writes: %w", err)
	}
	return Health200JSONResponse{Status: Ok}, nil
}

// SignIn implements POST /api/v1/sessions.
func (h handlers) SignIn(ctx context.Context, r SignInRequestObject) (SignInResponseObject, error) {
	c := callOf(ctx)
	in, err := h.Auth.SignIn(ctx, r.Body.User, r.Body.Password, c.client, h.Auth.SessionSecret(c.request))
	if err != nil {
		return nil, err
	}
	return SignIn201JSONResponse{h.sessionStarted(c, in)}, nil
}

// AcceptInvitation implements POST /api/v1/accept-invitation.
func (h handlers) AcceptInvitation(ctx context.Context, r AcceptInvitationRequestObject) (AcceptInvitationResponseObject, error) {
	c := callOf(ctx)
	in, err := h.Auth.Accept(ctx, r.Body.Token, auth.Accepted{
		Name: get(r.Body.Name), Language: string(get(r.Body.Language)), Password: r.Body.Password,
	}, c.client)
	if err != nil {
		return nil, err
	}
	return AcceptInvitation201JSONResponse{h.sessionStarted(c, in)}, nil
}

// ChangePassword implements POST /api/v1/password.
func (h handlers) ChangePassword(ctx context.Context, r ChangePasswordRequestObject) (ChangePasswordResponseObject, error) {
	c := callOf(ctx)
	if c.principal.Kind != auth.KindUser {
		return nil, fault.Newf(fault.Denied, "token", "an API token has no password")
	}
	in, err := h.Auth.ChangePassword(ctx, c.principal.ID, r.Body.CurrentPassword, r.Body.Password, c.client)
	if err != nil {
		return nil, err
	}
	return ChangePassword201JSONResponse{h.sessionStarted(c, in)}, nil
}

func (h handlers) sessionStarted(c *call, in auth.SignedIn) SessionStartedJSONResponse {
	return SessionStartedJSONResponse{
		Body:    viewSession(&in.Principal, &in.User, in.Expires),
		Headers: SessionStartedResponseHeaders{SetCookie: opt(h.Auth.Cookie(c.request, in).String())},
	}
}

func viewSession(p *auth.Principal, u *auth.User, expires msg.Time) Session {
	s := Session{
		Id: p.ID, Kind: SessionKind(p.Kind), Name: p.Name, Roles: some(p.Roles), Teams: some(p.Teams), Rights: []string{}, ExpiresAt: opt(expires),
	}
	for _, a := range auth.Actions() {
		if p.May(a) {
			s.Rights = append(s.Rights, string(a))
		}
	}
	if u != nil {
		user := viewUser(*u, p)
		s.User = &user
	}
	return s
}

// CurrentSession implements GET /api/v1/sessions/current.
func (h handlers) CurrentSession(ctx context.Context, _ CurrentSessionRequestObject) (CurrentSessionResponseObject, error) {
	p := &callOf(ctx).principal
	if p.Kind != auth.KindUser {
		return CurrentSession200JSONResponse(viewSession(p, nil, 0)), nil
	}
	u, err := h.Auth.User(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	_, ends, err := h.Auth.Session(ctx, *p)
	if err != nil {
		return nil, err
	}
	return CurrentSession200JSONResponse(viewSession(p, &u, msg.TimeOf(ends))), nil
}

// SignOut implements DELETE /api/v1/sessions/current.
func (h handlers) SignOut(ctx context.Context, _ SignOutRequestObject) (SignOutResponseObject, error) {
	c := callOf(ctx)
	if err := h.Auth.SignOut(ctx, h.Auth.SessionSecret(c.request)); err != nil {
		return nil, err
	}
	return SignOut204Response{SignOut204ResponseHeaders{SetCookie: opt(h.Auth.ClearCookie(c.request).String())}}, nil
}
