package api

import (
	"context"

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
	told, next, err := h.Live.Told(ctx, p, cursor, limitOf(r.Params.Limit))
	if err != nil {
		return nil, inQuery(err)
	}
	out := NotificationList{Items: []Notification{}, Next: hideCursor(next)}
	all, err := h.Live.Messages(ctx, told, nil)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.SeenBy(p) {
			out.Items = append(out.Items, viewNotification(m.Of))
		}
	}
	return ListNotifications200JSONResponse(out), nil
}
