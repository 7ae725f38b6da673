package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/msg"
)

const password = "a password of a story"

// call asks the API as a member of staff and gives back the status and the body.
func (p *Play) call(ctx context.Context, who, method, path string, body any, key string) (int, []byte, error) {
	for range 4 {
		if p.staff[who] == "" {
			if err := p.signIn(ctx, who); err != nil {
				return 0, nil, err
			}
		}
		status, answer, _, err := p.request(in(ctx, "api"), method, path, body, map[string]string{"Cookie": p.staff[who], "Idempotency-Key": key})
		switch {
		case err == nil && status == http.StatusUnauthorized:
			p.staff[who] = "" // the session has ended: time went by
		case err == nil && status == http.StatusServiceUnavailable && !p.faults.isRefusing():
			// a client asks again, with the same key
		default:
			return status, answer, err
		}
	}
	return 0, nil, fmt.Errorf("%s asks in vain: %s %s", who, method, path)
}

func (p *Play) request(ctx context.Context, method, path string, body any, header map[string]string) (int, []byte, http.Header, error) {
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, nil, err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, BaseURL+path, content)
	if err != nil {
		return 0, nil, nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range header {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	r.RemoteAddr = "192.0.2.1:5000"
	w := httptest.NewRecorder()
	p.world.Door().ServeHTTP(w, r)
	return w.Code, w.Body.Bytes(), w.Header(), nil
}

// signIn makes the member of staff when they are new, and signs them in.
func (p *Play) signIn(ctx context.Context, who string) error {
	role, name, _ := strings.Cut(who, " ")
	user := auth.User{ID: name, Name: strings.ToUpper(name[:1]) + name[1:], Roles: []auth.Role{auth.Agent}, Teams: []string{"support"}}
	switch role {
	case "lead":
		user.Roles = []auth.Role{auth.Lead}
	case "admin":
		user.Roles = []auth.Role{auth.Administrator}
	}
	if _, made := p.staff[who]; !made {
		if _, err := p.world.People().Auth.CreateUser(ctx, "scenario", user, password); err != nil {
			return err
		}
	}
	status, answer, header, err := p.request(ctx, http.MethodPost, "/api/v1/sessions", map[string]string{"user": name, "password": password}, nil)
	if err != nil {
		return err
	}
	if status != http.StatusCreated {
		return fmt.Errorf("%s signs in: %d %s", who, status, answer)
	}
	cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
	p.staff[who] = cookie
	return nil
}

// compileSignOut ends the session of a member of staff.
func compileSignOut(a *args) (action, error) {
	who, err := who(a)
	return func(ctx context.Context, p *Play) error {
		if p.staff[who] == "" {
			return fmt.Errorf("%s is not signed in", who)
		}
		status, answer, _, err := p.request(in(ctx, "api"), http.MethodDelete, "/api/v1/sessions/current", nil, map[string]string{"Cookie": p.staff[who]})
		if err != nil {
			return err
		}
		if status != http.StatusNoContent {
			return fmt.Errorf("%s signs out: %d %s", who, status, answer)
		}
		p.staff[who] = "" // whatever they do next, they sign in again
		return nil
	}, err
}

// staffRoles are who may act.
var staffRoles = []string{"agent", "lead", "admin"}

func who(a *args) (string, error) {
	if !slices.Contains(staffRoles, a.at["ROLE"]) || a.at["NAME"] == "" {
		return "", fmt.Errorf("there is no such statement; staff are one of %v and a name", staffRoles)
	}
	return a.at["ROLE"] + " " + a.at["NAME"], nil
}

// done is what the API answers when all is well; the script may say otherwise with answered=.
func done(a *args, otherwise int) (int, error) {
	if a.named["answered"] == "" {
		return otherwise, nil
	}
	return answered(a)
}

// act makes a statement that asks the API for one thing.
func act(a *args, otherwise int, ask func(ctx context.Context, p *Play, who string) (int, []byte, error)) (action, error) {
	who, err := who(a)
	if err != nil {
		return nil, err
	}
	want, err := done(a, otherwise)
	return func(ctx context.Context, p *Play) error {
		status, answer, err := ask(ctx, p, who)
		if err != nil {
			return err
		}
		if status != want {
			return fmt.Errorf("the API answered %d, not %d: %s", status, want, answer)
		}
		return nil
	}, err
}

// customer finds the person's customer ID.
func (p *Play) customer(ctx context.Context, name string) (string, error) {
	address := p.people[name]
	if address == "" {
		return "", fmt.Errorf("nobody is called %q yet; known are %v", name, p.names)
	}
	status, body, err := p.call(ctx, "admin root", http.MethodGet, "/api/v1/customers?address="+url.QueryEscape(address), nil, "")
	if err != nil {
		return "", err
	}
	var found struct {
		Items []struct{ Customer string } `json:"items"`
	}
	if err := json.Unmarshal(body, &found); err != nil || status != http.StatusOK {
		return "", fmt.Errorf("look for %s: %d %s", name, status, body)
	}
	if len(found.Items) == 0 {
		return "", fmt.Errorf("%w: %s", errNobody, name)
	}
	return found.Items[0].Customer, nil
}

var errNobody = errors.New("the desk knows nobody of that address")

// entries is the person's whole timeline.
func (p *Play) entries(ctx context.Context, name string) ([]json.RawMessage, error) {
	id, err := p.customer(ctx, name)
	if err != nil {
		return nil, err
	}
	return p.timeline(ctx, id)
}

func (p *Play) timeline(ctx context.Context, customer string) ([]json.RawMessage, error) {
	var all []json.RawMessage
	before := ""
	for {
		path := "/api/v1/customers/" + customer + "/timeline?limit=100"
		if before != "" {
			path += "&before=" + before
		}
		status, body, err := p.call(ctx, "admin root", http.MethodGet, path, nil, "")
		if err != nil {
			return nil, err
		}
		var page struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next"`
		}
		if err := json.Unmarshal(body, &page); err != nil || status != http.StatusOK {
			return nil, fmt.Errorf("read the timeline of %s: %d %s", customer, status, body)
		}
		all = append(page.Items, all...)
		if before = page.Next; before == "" {
			return all, nil
		}
	}
}

// caseOf is the case that is meant by a person's name: the one that their newest entry belongs to.
func (p *Play) caseOf(ctx context.Context, name string) (string, error) {
	all, err := p.entries(ctx, name)
	if err != nil {
		return "", err
	}
	for _, raw := range slices.Backward(all) {
		var e struct{ Case string }
		if err := json.Unmarshal(raw, &e); err != nil {
			return "", err
		}
		if e.Case != "" {
			return e.Case, nil
		}
	}
	return "", fmt.Errorf("%s has no case yet", name)
}

// answerTo is the person's newest answer of ours.
func (p *Play) answerTo(ctx context.Context, name string) (string, error) {
	all, err := p.entries(ctx, name)
	if err != nil {
		return "", err
	}
	for _, raw := range slices.Backward(all) {
		var e struct{ Entry, Direction, Agent string }
		if err := json.Unmarshal(raw, &e); err != nil {
			return "", err
		}
		if e.Direction == "out" && e.Agent != "" {
			return e.Entry, nil
		}
	}
	return "", fmt.Errorf("%s was not answered yet", name)
}

func (p *Play) key() string { return "line-" + strconv.Itoa(p.line) }

func compileAnswer(a *args) (action, error) {
	if a.text == "" {
		return nil, errors.New("what is the answer? give a text in quotes")
	}
	return act(a, http.StatusCreated, func(ctx context.Context, p *Play, who string) (int, []byte, error) {
		id, err := p.caseOf(ctx, a.at["PERSON"])
		if err != nil {
			return 0, nil, err
		}
		reply := map[string]any{"text": a.text}
		if by := a.named["by"]; by != "" {
			channel, to, _ := strings.Cut(by, ":")
			reply["channel"] = channel
			if kind, value, ok := strings.Cut(to, ":"); ok {
				reply["to"] = map[string]string{"kind": kind, "value": value}
			}
		}
		return p.call(ctx, who, http.MethodPost, "/api/v1/cases/"+id+"/replies", reply, p.key())
	})
}

func compileNote(a *args) (action, error) {
	return act(a, http.StatusCreated, func(ctx context.Context, p *Play, who string) (int, []byte, error) {
		id, err := p.caseOf(ctx, a.at["PERSON"])
		if err != nil {
			return 0, nil, err
		}
		return p.call(ctx, who, http.MethodPost, "/api/v1/cases/"+id+"/notes", map[string]string{"text": a.text}, p.key())
	})
}

// patch changes the person's case.
func patch(a *args, change func(p *Play) map[string]any) (action, error) {
	return act(a, http.StatusOK, func(ctx context.Context, p *Play, who string) (int, []byte, error) {
		id, err := p.caseOf(ctx, a.at["PERSON"])
		if err != nil {
			return 0, nil, err
		}
		return p.call(ctx, who, http.MethodPatch, "/api/v1/cases/"+id, change(p), "")
	})
}

func compileSnooze(a *args) (action, error) {
	d, err := a.duration("TIME", "")
	if err != nil {
		return nil, err
	}
	return patch(a, func(p *Play) map[string]any {
		return map[string]any{"snoozed_until": msg.TimeOf(p.clock.Time().Add(d).Truncate(time.Second))}
	})
}

func compileGive(a *args) (action, error) {
	return patch(a, func(*Play) map[string]any { return map[string]any{"agent": a.at["AGENT"]} })
}

func compileVerb(a *args) (action, error) {
	if _, err := who(a); err != nil {
		return nil, err
	}
	switch a.at["VERB"] {
	case "takes":
		return patch(a, func(*Play) map[string]any { return map[string]any{"agent": a.at["NAME"]} })
	case "leaves":
		return patch(a, func(*Play) map[string]any { return map[string]any{"agent": ""} })
	case "solves":
		return patch(a, func(*Play) map[string]any { return map[string]any{"state": "solved"} })
	case "reopens":
		return patch(a, func(*Play) map[string]any { return map[string]any{"state": "open"} })
	case "sees":
		return act(a, http.StatusNoContent, func(ctx context.Context, p *Play, who string) (int, []byte, error) {
			id, err := p.caseOf(ctx, a.at["PERSON"])
			if err != nil {
				return 0, nil, err
			}
			return p.call(ctx, who, http.MethodPost, "/api/v1/cases/"+id+"/seen", nil, "")
		})
	}
	return nil, fmt.Errorf("nobody %s anybody here; staff can take, leave, solve, reopen and see", a.at["VERB"])
}

func compileDecide(a *args) (action, error) {
	return act(a, http.StatusOK, func(ctx context.Context, p *Play, who string) (int, []byte, error) {
		id, err := p.answerTo(ctx, a.at["PERSON"])
		if err != nil {
			return 0, nil, err
		}
		return p.call(ctx, who, http.MethodPost, "/api/v1/entries/"+id+"/decision", map[string]string{"decision": a.at["DECISION"]}, "")
	})
}

func compileMerge(a *args) (action, error) {
	return act(a, http.StatusCreated, func(ctx context.Context, p *Play, who string) (int, []byte, error) {
		one, err := p.customer(ctx, a.at["PERSON"])
		if err != nil {
			return 0, nil, err
		}
		other, err := p.customer(ctx, a.at["OTHER"])
		if err != nil {
			return 0, nil, err
		}
		status, body, err := p.call(ctx, who, http.MethodPost, "/api/v1/merges", map[string][]string{"customers": {one, other}}, "")
		var m struct{ Merge string }
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		p.merges[a.at["PERSON"]] = m.Merge
		return status, body, err
	})
}

func compileUnmerge(a *args) (action, error) {
	return act(a, http.StatusNoContent, func(ctx context.Context, p *Play, who string) (int, []byte, error) {
		return p.call(ctx, who, http.MethodDelete, "/api/v1/merges/"+p.merges[a.at["PERSON"]], nil, "")
	})
}

func compileErase(a *args) (action, error) {
	return act(a, http.StatusAccepted, func(ctx context.Context, p *Play, who string) (int, []byte, error) {
		id, err := p.customer(ctx, a.at["PERSON"])
		if err != nil {
			return 0, nil, err
		}
		return p.call(ctx, who, http.MethodDelete, "/api/v1/customers/"+id, nil, "")
	})
}

// compileReplay replays everything in quarantine; answered= is what each is answered.
func compileReplay(a *args) (action, error) {
	return act(a, http.StatusAccepted, func(ctx context.Context, p *Play, who string) (int, []byte, error) {
		list, err := p.quarantine(ctx)
		if err != nil {
			return 0, nil, err
		}
		status, body := 0, []byte("quarantine is empty")
		for _, q := range list {
			if status, body, err = p.call(ctx, who, http.MethodPost, "/api/v1/quarantine/"+q.ID+"/replay", nil, ""); err != nil {
				return 0, nil, err
			}
		}
		return status, body, nil
	})
}

// quarantined is an input in quarantine, as the API tells it.
type quarantined struct {
	ID, Channel, Account, Cause, Detail string
	ReceivedAt                          string `json:"received_at"`
}

func (p *Play) quarantine(ctx context.Context) ([]quarantined, error) {
	status, body, err := p.call(ctx, "admin root", http.MethodGet, "/api/v1/quarantine?limit=100", nil, "")
	if err != nil {
		return nil, err
	}
	var list struct{ Items []quarantined }
	if err := json.Unmarshal(body, &list); err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("list quarantine: %d %s", status, body)
	}
	slices.SortStableFunc(list.Items, func(a, b quarantined) int {
		return strings.Compare(a.ReceivedAt+a.Channel+a.Cause+a.Detail, b.ReceivedAt+b.Channel+b.Cause+b.Detail)
	})
	return list.Items, nil
}

func compileRepeat(a *args) (action, error) {
	since, err := a.duration("SINCE", "24h")
	if err != nil {
		return nil, err
	}
	return act(a, http.StatusAccepted, func(ctx context.Context, p *Play, who string) (int, []byte, error) {
		return p.call(ctx, who, http.MethodPost, "/api/v1/react", map[string]any{"since": msg.TimeOf(p.clock.Time().Add(-since))}, "")
	})
}

func compileRedrive(a *args) (action, error) {
	if err := knownQueue(a.at["QUEUE"]); err != nil {
		return nil, err
	}
	return act(a, http.StatusAccepted, func(ctx context.Context, p *Play, who string) (int, []byte, error) {
		status, body, err := p.call(ctx, who, http.MethodPost, "/api/v1/queues/"+a.at["QUEUE"]+"/redrive", nil, "")
		if err == nil {
			err = p.world.Redriven(ctx, a.at["QUEUE"])
		}
		return status, body, err
	})
}

// compileRedriveTwice has somebody press the button twice: both calls are under way at the same time.
func compileRedriveTwice(a *args) (action, error) {
	if err := knownQueue(a.at["QUEUE"]); err != nil {
		return nil, err
	}
	return act(a, http.StatusAccepted, func(ctx context.Context, p *Play, who string) (int, []byte, error) {
		if status, body, err := p.call(ctx, who, http.MethodGet, "/api/v1/sessions/current", nil, ""); err != nil || status != http.StatusOK {
			return status, body, err // nobody is signed in while both are under way
		}
		var wait sync.WaitGroup
		var statuses [2]int
		var bodies [2][]byte
		var errs [2]error
		for i := range 2 {
			wait.Go(func() {
				statuses[i], bodies[i], _, errs[i] = p.request(in(ctx, "api"), http.MethodPost, "/api/v1/queues/"+a.at["QUEUE"]+"/redrive", nil,
					map[string]string{"Cookie": p.staff[who]})
			})
		}
		wait.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			return 0, nil, err
		}
		if statuses[0] != statuses[1] {
			return 0, nil, fmt.Errorf("one was answered %d, the other %d: %s %s", statuses[0], statuses[1], bodies[0], bodies[1])
		}
		return statuses[0], bodies[0], p.world.Redriven(ctx, a.at["QUEUE"])
	})
}
