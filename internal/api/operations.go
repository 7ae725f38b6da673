package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/store"
)

// ListQuarantine implements GET /api/v1/quarantine.
func (h handlers) ListQuarantine(ctx context.Context, r ListQuarantineRequestObject) (ListQuarantineResponseObject, error) {
	after, err := showCursor("after", r.Params.After)
	if err != nil {
		return nil, err
	}
	all, next, err := h.Store.QuarantineList(ctx, store.Page{After: after, Limit: limitOf(r.Params.Limit)}, get(r.Params.Replayed))
	if err != nil {
		return nil, inQuery(quarantinePlace(err, after))
	}
	return ListQuarantine200JSONResponse{Items: viewAll(all, viewQuarantined), Next: hideCursor(next)}, nil
}

// quarantinePlace makes a place that is none an error about the place: the store says that nothing is there.
func quarantinePlace(err error, after string) error {
	if after != "" && isMissing(err) {
		return fault.Field("after", "no such place")
	}
	return err
}

func viewQuarantined(q *store.Quarantined) Quarantined {
	return Quarantined{
		Id: q.ID, Channel: q.Channel, Account: q.Account, Cause: QuarantinedCause(q.Cause), Detail: q.Detail, Envelope: opt(q.Envelope),
		ReceivedAt: q.ReceivedAt, StoredAt: q.Stored, Size: int32(q.Size), Seen: opt(int32(q.Seen)), //nolint:gosec // bounded by the largest input
		Refused: q.Refused, ReplayedAt: opt(q.Replayed), ExpiresAt: opt(q.Expires),
	}
}

// GetQuarantined implements GET /api/v1/quarantine/{id}.
func (h handlers) GetQuarantined(ctx context.Context, r GetQuarantinedRequestObject) (GetQuarantinedResponseObject, error) {
	q, err := h.Store.Quarantined(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	v := viewQuarantined(q)
	out := QuarantinedRaw{
		Id: v.Id, Channel: v.Channel, Account: v.Account, Cause: QuarantinedRawCause(v.Cause), Detail: v.Detail, Envelope: v.Envelope,
		ReceivedAt: v.ReceivedAt, StoredAt: v.StoredAt, Size: v.Size, Seen: v.Seen, Refused: v.Refused, ReplayedAt: v.ReplayedAt, ExpiresAt: v.ExpiresAt,
	}
	if q.Event != nil {
		text, err := json.Marshal(q.Event)
		if err != nil {
			return nil, fmt.Errorf("show quarantined input %s: %w", r.Id, err)
		}
		event := map[string]any{}
		if err := json.Unmarshal(text, &event); err != nil {
			return nil, fmt.Errorf("show quarantined input %s: %w", r.Id, err)
		}
		out.Event = &event
		return GetQuarantined200JSONResponse(out), nil
	}
	raw, err := h.Pipeline.Raw(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(raw) > 0 { // it is gone when the person it was of was erased, or its time is over
		out.Raw = &raw
	}
	return GetQuarantined200JSONResponse(out), nil
}

// Replay implements POST /api/v1/quarantine/{id}/replay.
func (h handlers) Replay(ctx context.Context, r ReplayRequestObject) (ReplayResponseObject, error) {
	if _, err := h.Store.Quarantined(ctx, r.Id); err != nil {
		return nil, err
	}
	if err := h.Pipeline.Replay(ctx, r.Id); err != nil {
		return nil, err
	}
	h.Log.InfoContext(ctx, "quarantined input replayed", "id", r.Id, "by", callOf(ctx).principal.ID)
	return Replay202Response{}, nil
}

// ReplayReact implements POST /api/v1/react.
func (h handlers) ReplayReact(ctx context.Context, r ReplayReactRequestObject) (ReplayReactResponseObject, error) {
	if r.Body.Since.IsZero() {
		return nil, fault.Field("since", "it is missing")
	}
	n, err := h.Pipeline.ReplayReact(ctx, r.Body.Since)
	if err != nil {
		return nil, err
	}
	return ReplayReact202JSONResponse{Changes: int32(n)}, nil //nolint:gosec // far below 2^31
}

// ListQueues implements GET /api/v1/queues.
func (h handlers) ListQueues(ctx context.Context, _ ListQueuesRequestObject) (ListQueuesResponseObject, error) {
	out := QueueList{Items: []Queue{}}
	for _, name := range slices.Sorted(maps.Keys(h.Queues)) {
		d, err := h.Queues[name].Depth(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the depth of queue %s: %w", name, err)
		}
		out.Items = append(out.Items, Queue{Queue: QueueQueue(name), Ready: d.Ready, Delayed: d.Delayed, InFlight: d.InFlight, Dead: d.Dead})
	}
	return ListQueues200JSONResponse(out), nil
}

// Redrive implements POST /api/v1/queues/{queue}/redrive.
func (h handlers) Redrive(ctx context.Context, r RedriveRequestObject) (RedriveResponseObject, error) {
	q, ok := h.Queues[string(r.Queue)]
	if !ok {
		return nil, nothingHere()
	}
	n, err := q.Redrive(ctx)
	if err != nil {
		return nil, fmt.Errorf("redrive queue %s: %w", r.Queue, err)
	}
	h.Log.InfoContext(ctx, "dead letters redriven", "queue", r.Queue, "moved", n, "by", callOf(ctx).principal.ID)
	return Redrive202JSONResponse{Queue: string(r.Queue), Moved: int32(n)}, nil //nolint:gosec // far below 2^31
}

// Reconciliation implements GET /api/v1/reconciliation.
func (h handlers) Reconciliation(ctx context.Context, _ ReconciliationRequestObject) (ReconciliationResponseObject, error) {
	ledgers, err := h.Pipeline.Reconcile(ctx)
	if err != nil {
		return nil, err
	}
	out := Reconciliation{Items: some(ledgers), Complete: true}
	for i := range ledgers {
		out.Complete = out.Complete && ledgers[i].Envelopes.Queued == 0
	}
	return Reconciliation200JSONResponse(out), nil
}
