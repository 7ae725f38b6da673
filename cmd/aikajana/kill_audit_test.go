package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// patience waits as long as something moves.
type patience struct {
	limit time.Duration
	last  any
	since time.Time
}

// over says that what is waited for has been the same for longer than the limit.
func (p *patience) over(now any) bool {
	if now != p.last || p.since.IsZero() {
		p.last, p.since = now, time.Now()
	}
	return time.Since(p.since) > p.limit
}

// How long nothing may move. An envelope that a passing fault has brought to its last attempt is put off for five minutes; an
// answer whose attempt was cut off is uncertain after two minutes, and those behind it are woken by Tick a minute and a half later
// at the latest.
const (
	drainPatience  = 6 * time.Minute
	answerPatience = 4 * time.Minute
)

// drained waits until everything accepted was worked on and every answer had its attempt.
func (w *world) drained() {
	w.t.Helper()
	for p := (patience{limit: drainPatience}); ; time.Sleep(50 * time.Millisecond) {
		left := 1
		status, body := w.call(http.MethodGet, "/api/v1/reconciliation", nil, nil)
		var r struct {
			Items []struct {
				Balanced  bool
				Envelopes struct{ Queued, Dead int }
			}
		}
		if status == http.StatusOK && json.Unmarshal(body, &r) == nil {
			queued, dead := 0, 0
			for _, i := range r.Items {
				queued += i.Envelopes.Queued
				dead += i.Envelopes.Dead
				if !i.Balanced {
					w.t.Fatalf("the ledger is not even: %s", body)
				}
			}
			if dead > 0 {
				w.redrive(dead)
			}
			if left = queued + dead + w.wakeUps(); left == 0 {
				return
			}
		}
		if p.over(left) {
			w.t.Fatalf("the queues did not drain, %d messages are left; log:\n%s", left, tail(w.log.Name()))
		}
	}
}

// redrive brings back what was in hand at five kills: it is in the dead-letter queue then, where an operator finds it.
func (w *world) redrive(dead int) {
	w.t.Logf("%d envelopes were in hand at five kills and are brought back", dead)
	w.broughtBack += dead
	for _, queue := range []string{"inbound", "mail"} {
		if status, body := w.call(http.MethodPost, "/api/v1/queues/"+queue+"/redrive", nil, nil); status/100 != 2 {
			w.t.Fatalf("bring back what is dead in queue %s: %d %s", queue, status, body)
		}
	}
}

// wakeUps is how many answers wait to be looked at now; those that are to be looked at later do not count.
func (w *world) wakeUps() int {
	_, body := w.call(http.MethodGet, "/metrics", nil, nil)
	total := 0
	for _, state := range []string{"ready", "in_flight"} {
		_, rest, found := strings.Cut(string(body), fmt.Sprintf("aikajana_queue_messages{queue=\"wake\",state=%q} ", state))
		line, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.Atoi(line)
		if !found || err != nil {
			w.t.Fatalf("metrics do not tell of the wake queue: %s", body)
		}
		total += n
	}
	return total
}

// audit looks every accepted message up and counts it; and every answer that the provider took. With toTheEnd it waits until
// every answer has met its end, otherwise only for those with nothing in their way.
func (w *world) audit(toTheEnd bool) {
	w.t.Helper()
	people := map[string]bool{}
	for _, who := range w.accepted {
		people[who] = true
	}
	seen, replies := map[string]int{}, map[string]int{}
	for p := (patience{limit: answerPatience}); ; time.Sleep(time.Second) {
		clear(seen)
		clear(replies)
		for who := range people {
			w.auditCustomer(who, seen, replies)
		}
		if left := w.waiting(toTheEnd); left == 0 || p.over(left) {
			break
		}
	}
	lost, doubled := 0, 0
	for id, who := range w.accepted {
		switch n := seen[id]; {
		case n == 0:
			if lost++; lost <= 20 {
				w.t.Errorf("message %s of %s is not in the timeline", id, who)
			}
		case n > 1:
			doubled++
		}
	}
	if lost > 0 || doubled > 0 {
		w.t.Errorf("of %d accepted messages %d are lost and %d are there twice", len(w.accepted), lost, doubled)
	}
	sent := map[string]int{}
	for _, s := range w.graph.Sent() {
		sent[s.Text]++
	}
	for text := range w.answers {
		if replies[text] != 1 {
			w.t.Errorf("answer %q is in the timeline %d times", text, replies[text])
		}
		if sent[text] > 1 {
			w.t.Errorf("the customer got answer %q %d times", text, sent[text])
		}
	}
	w.settled(sent, toTheEnd)
	w.t.Logf("%d messages accepted, %d answers written, %d accepted by the provider, %d lost, %d twice, %d brought back",
		len(w.accepted), len(w.answers), len(w.graph.Sent()), lost, doubled, w.broughtBack)
}

// held are the conversations in which an attempt is under way, or was when the process died.
func (w *world) held() map[string]bool {
	held := map[string]bool{}
	for text, state := range w.states {
		held[w.talks[text]] = held[w.talks[text]] || state == "sending"
	}
	return held
}

// waiting is how many answers are still to move: pending ones with nothing in their way, and with toTheEnd all that are pending or
// sending. What was in their way may just have become uncertain, and so they are given time before it counts.
func (w *world) waiting(toTheEnd bool) int {
	held, n := w.held(), 0
	for text := range w.answers {
		state := w.states[text]
		if toTheEnd && (state == "pending" || state == "sending") || state == "pending" && !held[w.talks[text]] {
			n++
		}
	}
	return n
}

// settled holds every answer to one of three ends: the provider took it and the timeline says so; an attempt was under way
// when the process died, and it is uncertain; or, unless it is the very end, it is sending or waits behind such a one.
func (w *world) settled(sent map[string]int, atTheEnd bool) {
	w.t.Helper()
	count, held := map[string]int{}, w.held()
	for text := range w.answers {
		state := w.states[text]
		count[state]++
		switch state {
		case "uncertain":
		case "sending", "pending": // pending: waits for one whose fate shows within two minutes, so that the order is kept
			if atTheEnd || state == "pending" && !held[w.talks[text]] {
				w.t.Errorf("answer %q is %s and nothing is in its way", text, state)
			}
		case "accepted", "sent", "delivered", "read":
			if sent[text] != 1 {
				w.t.Errorf("answer %q is %s and the provider took it %d times", text, state, sent[text])
			}
		default:
			w.t.Errorf("answer %q is left %q", text, state)
		}
	}
	w.t.Logf("answers by state: %v", count)
}

func (w *world) auditCustomer(address string, seen, replies map[string]int) {
	w.t.Helper()
	status, body := w.call(http.MethodGet, "/api/v1/customers?address="+url.QueryEscape(address), nil, nil)
	var found struct {
		Items []struct {
			Customer string `json:"customer"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &found); status != http.StatusOK || err != nil || len(found.Items) != 1 {
		w.t.Fatalf("find %s: %d %s", address, status, body)
	}
	before := ""
	for {
		status, body = w.call(http.MethodGet, "/api/v1/customers/"+found.Items[0].Customer+"/timeline?limit=200"+before, nil, nil)
		var page struct {
			Items []struct {
				ID        string
				Direction string
				State     string
				Delivery  struct{ Conversation string }
				Message   *struct {
					Text      string
					MessageID string `json:"message_id"`
				}
			}
			Next string
		}
		if err := json.Unmarshal(body, &page); status != http.StatusOK || err != nil {
			w.t.Fatalf("timeline of %s: %d %s", address, status, body)
		}
		for _, e := range page.Items {
			switch {
			case e.Message == nil:
			case e.Direction == "out":
				replies[e.Message.Text]++
				w.states[e.Message.Text] = e.State
				w.talks[e.Message.Text] = e.Delivery.Conversation
			case e.Message.MessageID != "":
				seen[e.Message.MessageID]++
			default:
				seen[e.ID]++
			}
		}
		if page.Next == "" {
			return
		}
		before = "&before=" + url.QueryEscape(page.Next)
	}
}
