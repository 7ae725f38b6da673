package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/store"
)

// ListNotifications implements GET /api/v1/notifications.
func (h handlers) ListNotifications(ctx context.Context, r ListNotificationsRequestObject) (ListNotificationsResponseObject, error) {
	p := &callOf(ctx).principal
	cursor, err := showCursor("after", r.Params.After)
	if err != nil {
		return nil, err
	}
	if cursor == "" {
		cursor = store.CursorAt(h.Store.Now().Add(-store.NotificationsFor))
	}
	told, next, err := h.told(ctx, p, cursor, limitOf(r.Params.Limit))
	if err != nil {
		return nil, inQuery(err)
	}
	out := NotificationList{Items: []Notification{}, Next: hideCursor(next)}
	for _, n := range told {
		m, err := h.message(ctx, n)
		if err != nil {
			return nil, err
		}
		if m != nil && m.seenBy(p) {
			out.Items = append(out.Items, viewNotification(n))
		}
	}
	return ListNotifications200JSONResponse(out), nil
}

// told is what the principal's teams were told behind the cursor, oldest first, and where to go on.
func (a *API) told(ctx context.Context, p *auth.Principal, cursor string, limit int) (told []*store.Notification, next string, err error) {
	teams, err := a.teamsOf(ctx, p)
	if err != nil {
		return nil, "", err
	}
	for _, team := range teams {
		part, err := a.Store.Notifications(ctx, team, cursor, limit+1)
		if err != nil {
			return nil, "", err
		}
		told = append(told, part...)
	}
	slices.SortFunc(told, func(x, y *store.Notification) int { return strings.Compare(x.Cursor, y.Cursor) })
	if len(told) > limit {
		return told[:limit], told[limit-1].Cursor, nil
	}
	return told, "", nil
}

// resumeFrom is how long before its cursor a socket reads again: notifications are not written in the order of their times.
const resumeFrom = 30 * time.Second
