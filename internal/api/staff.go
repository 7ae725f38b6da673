package api

import (
	"context"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
)

// page reads one more than asked for, to know whether there is a next page.
func page[T any](limit int, read func(limit int) ([]T, error), id func(T) string) (all []T, next *Cursor, err error) {
	all, err = read(limit + 1)
	if err != nil || len(all) <= limit {
		return all, nil, err
	}
	return all[:limit], hideCursor(id(all[limit-1])), nil
}

// teamsOr gives those who are named no team the desk's, so that they see something.
func (h handlers) teamsOr(teams *Teams) []string {
	if teams == nil {
		return []string{h.Config.Team}
	}
	return *teams
}

// ListUsers implements GET /api/v1/users.
func (h handlers) ListUsers(ctx context.Context, r ListUsersRequestObject) (ListUsersResponseObject, error) {
	after, err := showCursor("after", r.Params.After)
	if err != nil {
		return nil, err
	}
	users, next, err := page(limitOf(r.Params.Limit),
		func(limit int) ([]auth.User, error) { return h.Auth.Users(ctx, after, limit) },
		func(u auth.User) string { return u.ID })
	if err != nil {
		return nil, err
	}
	p := &callOf(ctx).principal
	return ListUsers200JSONResponse{Items: viewAll(users, func(u auth.User) User { return viewUser(u, p) }), Next: next}, nil
}

// GetUser implements GET /api/v1/users/{id}.
func (h handlers) GetUser(ctx context.Context, r GetUserRequestObject) (GetUserResponseObject, error) {
	u, err := h.Auth.User(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return GetUser200JSONResponse{userResponse(ctx, u)}, nil
}

func userResponse(ctx context.Context, u auth.User) UserJSONResponse {
	return UserJSONResponse{
		Body: viewUser(u, &callOf(ctx).principal), Headers: UserResponseHeaders{ETag: opt(etag(u.Revision))},
	}
}

// CreateUser implements POST /api/v1/users.
func (h handlers) CreateUser(ctx context.Context, r CreateUserRequestObject) (CreateUserResponseObject, error) {
	u, err := h.Auth.CreateUser(ctx, callOf(ctx).principal.ID, auth.User{
		ID: r.Body.Id, Name: get(r.Body.Name), Email: get(r.Body.Email), Roles: r.Body.Roles, Teams: h.teamsOr(r.Body.Teams),
		Language: string(get(r.Body.Language)),
	}, r.Body.Password)
	if err != nil {
		return nil, err
	}
	return CreateUser201JSONResponse{userResponse(ctx, u)}, nil
}

// ChangeUser implements PATCH /api/v1/users/{id}.
func (h handlers) ChangeUser(ctx context.Context, r ChangeUserRequestObject) (ChangeUserResponseObject, error) {
	p := &callOf(ctx).principal
	b := r.Body
	if !p.May(auth.ManageUsers) {
		if p.Kind != auth.KindUser || p.ID != r.Id {
			return nil, nothingHere()
		}
		if b.Email != nil || b.Roles != nil || b.Teams != nil || b.Disabled != nil {
			return nil, notAllowed(auth.ManageUsers)
		}
	}
	change := auth.UserChange{
		Name: b.Name, Email: b.Email, Roles: b.Roles, Teams: b.Teams, Presence: b.Presence, NotifyByMail: b.NotifyByMail, Disabled: b.Disabled,
	}
	if b.Language != nil {
		language := string(*b.Language)
		change.Language = &language
	}
	revision, stated := revisionOf(r.Params.IfMatch)
	if stated && revision == 0 {
		revision = -1 // nothing is ever at it; 0 would ask for no revision at all
	}
	u, err := h.Auth.ChangeUser(ctx, p.ID, r.Id, change, revision)
	if err != nil {
		return nil, stale(err, r.Params.IfMatch)
	}
	return ChangeUser200JSONResponse{userResponse(ctx, u)}, nil
}

// stale makes a conflict a failed precondition (412) when the caller stated one.
func stale(err error, ifMatch *IfMatch) error {
	if ifMatch == nil || fault.Of(err) != fault.Conflict || fault.Code(err) != "revision" && fault.Code(err) != "changed" {
		return err
	}
	return &fault.Error{Kind: fault.Conflict, Code: codeStale, Field: "If-Match", Err: err}
}

// ResetPassword implements POST /api/v1/users/{id}/password-reset.
func (h handlers) ResetPassword(ctx context.Context, r ResetPasswordRequestObject) (ResetPasswordResponseObject, error) {
	i, secret, err := h.Auth.ResetPassword(ctx, callOf(ctx).principal.ID, r.Id)
	if err != nil {
		return nil, err
	}
	return ResetPassword201JSONResponse{LinkMadeJSONResponse{Invitation: viewInvitation(i), Token: secret}}, nil
}

// EndSessions implements DELETE /api/v1/users/{id}/sessions.
func (h handlers) EndSessions(ctx context.Context, r EndSessionsRequestObject) (EndSessionsResponseObject, error) {
	p := &callOf(ctx).principal
	if !p.May(auth.ManageUsers) && (p.Kind != auth.KindUser || p.ID != r.Id) {
		return nil, nothingHere()
	}
	if err := h.Auth.EndSessions(ctx, p.ID, r.Id); err != nil {
		return nil, err
	}
	return EndSessions204Response{}, nil
}

// ListInvitations implements GET /api/v1/invitations.
func (h handlers) ListInvitations(ctx context.Context, r ListInvitationsRequestObject) (ListInvitationsResponseObject, error) {
	after, err := showCursor("after", r.Params.After)
	if err != nil {
		return nil, err
	}
	all, next, err := page(limitOf(r.Params.Limit),
		func(limit int) ([]auth.Invitation, error) { return h.Auth.Invitations(ctx, after, limit) },
		func(i auth.Invitation) string { return i.ID })
	if err != nil {
		return nil, err
	}
	return ListInvitations200JSONResponse{Items: viewAll(all, viewInvitation), Next: next}, nil
}

func viewInvitation(i auth.Invitation) Invitation {
	v := Invitation{
		Id: i.ID, Kind: InvitationKind(i.Kind), User: i.User, Name: opt(i.Name), Email: opt(i.Email), CreatedBy: opt(i.CreatedBy),
		CreatedAt: i.CreatedAt, ExpiresAt: i.ExpiresAt,
	}
	if i.Kind != auth.Reset {
		roles, teams := some(i.Roles), some(i.Teams)
		v.Roles, v.Teams = &roles, &teams
	}
	return v
}

// Invite implements POST /api/v1/invitations.
func (h handlers) Invite(ctx context.Context, r InviteRequestObject) (InviteResponseObject, error) {
	i, secret, err := h.Auth.Invite(ctx, callOf(ctx).principal.ID, auth.Invitation{
		User: r.Body.User, Name: get(r.Body.Name), Email: get(r.Body.Email), Roles: r.Body.Roles, Teams: h.teamsOr(r.Body.Teams),
	})
	if err != nil {
		return nil, err
	}
	return Invite201JSONResponse{LinkMadeJSONResponse{Invitation: viewInvitation(i), Token: secret}}, nil
}

// RevokeInvitation implements DELETE /api/v1/invitations/{id}.
func (h handlers) RevokeInvitation(ctx context.Context, r RevokeInvitationRequestObject) (RevokeInvitationResponseObject, error) {
	if err := h.Auth.RevokeInvitation(ctx, callOf(ctx).principal.ID, r.Id); err != nil {
		return nil, err
	}
	return RevokeInvitation204Response{}, nil
}

// ListTokens implements GET /api/v1/tokens.
func (h handlers) ListTokens(ctx context.Context, r ListTokensRequestObject) (ListTokensResponseObject, error) {
	after, err := showCursor("after", r.Params.After)
	if err != nil {
		return nil, err
	}
	all, next, err := page(limitOf(r.Params.Limit),
		func(limit int) ([]auth.Token, error) { return h.Auth.Tokens(ctx, after, limit) },
		func(t auth.Token) string { return t.ID })
	if err != nil {
		return nil, err
	}
	return ListTokens200JSONResponse{Items: viewAll(all, viewToken), Next: next}, nil
}

func viewToken(t auth.Token) Token {
	return Token{
		Id: t.ID, Name: t.Name, Roles: some(t.Roles), Teams: some(t.Teams), Scopes: some(t.Scopes), CreatedBy: opt(t.CreatedBy),
		CreatedAt: t.CreatedAt, ExpiresAt: opt(t.ExpiresAt), UsedAt: opt(t.UsedAt),
	}
}

// CreateToken implements POST /api/v1/tokens.
func (h handlers) CreateToken(ctx context.Context, r CreateTokenRequestObject) (CreateTokenResponseObject, error) {
	t, secret, err := h.Auth.CreateToken(ctx, callOf(ctx).principal.ID, auth.Token{
		Name: r.Body.Name, Roles: r.Body.Roles, Teams: h.teamsOr(r.Body.Teams), Scopes: get(r.Body.Scopes), ExpiresAt: get(r.Body.ExpiresAt),
	})
	if err != nil {
		return nil, err
	}
	return CreateToken201JSONResponse{Token: viewToken(t), Secret: secret}, nil
}

// RevokeToken implements DELETE /api/v1/tokens/{id}.
func (h handlers) RevokeToken(ctx context.Context, r RevokeTokenRequestObject) (RevokeTokenResponseObject, error) {
	if err := h.Auth.RevokeToken(ctx, callOf(ctx).principal.ID, r.Id); err != nil {
		return nil, err
	}
	return RevokeToken204Response{}, nil
}
