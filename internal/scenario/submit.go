package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	hookfake "github.com/aikajana/aikajana/internal/channel/webhook/fake"
)

// compileSubmission posts the form as a program would.
func compileSubmission(a *args) (action, error) {
	status := http.StatusAccepted
	if a.named["answered"] != "" {
		var err error
		if status, err = answered(a); err != nil {
			return nil, err
		}
	}
	body, err := json.Marshal(map[string]string{
		"name": a.named["name"], "email": a.named["email"], "phone": a.named["phone"], "subject": a.named["subject"], "message": a.text,
	})
	if err != nil {
		return nil, err
	}
	send := func(ctx context.Context, p *Play) error {
		if a.named["email"] != "" {
			p.meet(a.named["name"], "email.unverified", a.named["email"])
		} else {
			p.meet(a.named["name"], "phone.unverified", a.named["phone"])
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, BaseURL+"/forms/"+a.at["ACCOUNT"], bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json")
		r.Header.Set("Idempotency-Key", a.named["id"])
		r.RemoteAddr = "203.0.113.7:4000"
		p.again["form/"+a.at["ACCOUNT"]] = nil
		return p.post(r, status)
	}
	return func(ctx context.Context, p *Play) error {
		defer func() { p.again["form/"+a.at["ACCOUNT"]] = send }()
		return send(ctx, p)
	}, nil
}

func (p *Play) hookSender(account string, wrong bool) *hookfake.Sender {
	secret := hookSecret
	if wrong {
		secret = "not the secret that both sides know"
	}
	return &hookfake.Sender{
		URL: BaseURL + "/hooks/webhook/" + account, Secret: secret, Source: "//shop.example", Now: p.clock.Time, Client: &http.Client{Transport: (*byDoor)(nil)},
	}
}

func hookEvent(kind string, w *words, p *Play) (hookfake.Event, error) {
	switch kind {
	case "message":
		who := hookfake.Person{Kind: w.named["kind"], Value: w.named["from"], Name: w.named["name"]}
		if p != nil && who.Kind != "" {
			p.meet(who.Name, who.Kind+".unverified", who.Value)
		}
		return hookfake.Event{ID: w.named["id"], Type: "aikajana.message", Data: hookfake.Message{
			From: who, Thread: w.named["thread"], Subject: w.named["subject"], Text: w.text,
		}}, nil
	case "signal":
		return hookfake.Event{ID: w.named["id"], Type: w.named["type"], Subject: w.named["from"], Data: map[string]string{"note": w.text}}, nil
	case "broken":
		return hookfake.Event{ID: w.named["id"], Type: "aikajana.message", Data: 42}, nil
	}
	return hookfake.Event{}, fmt.Errorf("a webhook carries message, signal or broken here, not %q", kind)
}

func compileHook(a *args) (action, error) {
	status, err := answered(a)
	if err != nil {
		return nil, err
	}
	if _, err := hookEvent(a.at["KIND"], a.words, nil); err != nil {
		return nil, err
	}
	send := func(ctx context.Context, p *Play) error {
		event, err := hookEvent(a.at["KIND"], a.words, p)
		if err != nil {
			return err
		}
		return wanted(status)(p.hookSender(a.at["ACCOUNT"], a.named["signature"] == "wrong").Structured(ctx, event))
	}
	return func(ctx context.Context, p *Play) error {
		p.again["webhook/"+a.at["ACCOUNT"]] = send
		return send(ctx, p)
	}, nil
}

func compileHookBatch(a *args) (action, error) {
	status, err := answered(a)
	if err != nil {
		return nil, err
	}
	var lines []*words
	for _, line := range a.block {
		w, err := split(line)
		if err != nil {
			return nil, err
		}
		if len(w.plain) != 1 {
			return nil, fmt.Errorf(`a line of a batch is "message id=… from=…", not %q`, line)
		}
		if _, err := hookEvent(w.plain[0], w, nil); err != nil {
			return nil, err
		}
		lines = append(lines, w)
	}
	send := func(ctx context.Context, p *Play) error {
		var events []hookfake.Event
		for _, w := range lines {
			e, err := hookEvent(w.plain[0], w, p)
			if err != nil {
				return err
			}
			events = append(events, e)
		}
		return wanted(status)(p.hookSender(a.at["ACCOUNT"], false).Batch(ctx, a.named["id"], events...))
	}
	return func(ctx context.Context, p *Play) error {
		p.again["webhook/"+a.at["ACCOUNT"]] = send
		return send(ctx, p)
	}, nil
}
