package local

import (
	"fmt"
	"net/http"
)

// handler is everything that answers HTTP.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/hooks/{channel}/{account}", s.app.Pipeline.Ingest())
	mux.Handle("/healthz", s.staff.API)
	mux.Handle("/api/", s.staff.API)
	mux.Handle("GET /socket", s.staff.API.Socket())
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.Handle("/files/", s.blobs.Handler())
	mux.Handle("/", s.pages)
	return mux
}

// metrics are in Prometheus's text form. They name accounts and queues, never people.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	for name, q := range s.queues {
		d, err := q.Depth(r.Context())
		if err != nil {
			continue
		}
		for state, n := range map[string]int64{"ready": d.Ready, "delayed": d.Delayed, "in_flight": d.InFlight, "dead": d.Dead} {
			_, _ = fmt.Fprintf(w, "aikajana_queue_messages{queue=%q,state=%q} %d\n", name, state, n)
		}
	}
	_, _ = fmt.Fprintf(w, "aikajana_sockets %d\n", s.hub.Sockets())
	health := s.app.Pipeline.Health()
	_, _ = fmt.Fprintf(w, "aikajana_unhealthy %d\n", health.Unhealthy())
	_, _ = fmt.Fprintf(w, "aikajana_changes_passed_over_total %d\n", s.app.Pipeline.PassedOver())
	balances, err := s.app.Pipeline.Reconcile(r.Context())
	if err != nil {
		s.log.Error("metrics", "err", err)
		return
	}
	for _, b := range balances {
		for state, n := range map[string]int64{"stored": b.Stored, "duplicate": b.Duplicate, "quarantined": b.Quarantined, "pending": b.Pending, "dead": b.Dead} {
			_, _ = fmt.Fprintf(w, "aikajana_events_total{channel=%q,account=%q,state=%q} %d\n", b.Channel, b.Account, state, n)
		}
		for state, n := range map[string]int64{
			"accepted": b.Envelopes.Accepted, "processed": b.Envelopes.Processed, "queued": b.Envelopes.Queued, "dead": b.Envelopes.Dead,
		} {
			_, _ = fmt.Fprintf(w, "aikajana_envelopes_total{channel=%q,account=%q,state=%q} %d\n", b.Channel, b.Account, state, n)
		}
	}
}
