package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// dump is everything that must be the same in every world, as the API tells it: for each person the identities, cases and
// timeline, then the work list, notifications, quarantine, what left the desk, and the reconciliation. Keys of objects are
// sorted; lists are in the API's order.
//
// Four things are not the story's and are left out: random IDs (of envelopes, of what is in quarantine, and our Message-IDs,
// which are called by number), filling, the wording of errors of a mailer (a relay and SES word them differently), and the addresses of
// the stand-ins.
func (p *Play) dump(ctx context.Context) (string, error) {
	var b bytes.Buffer
	done := map[string]bool{}
	for _, name := range p.names {
		id, err := p.customer(ctx, name)
		if errors.Is(err, errNobody) {
			fmt.Fprintf(&b, "# %s is not known\n", name)
			continue
		}
		if err != nil {
			return "", err
		}
		if done[id] {
			continue
		}
		done[id] = true
		fmt.Fprintf(&b, "# %s\n", name)
		if err := p.dumpPerson(ctx, &b, id); err != nil {
			return "", err
		}
	}
	for _, list := range []struct{ title, path string }{
		{"work list", "/api/v1/cases?limit=200"}, {"notifications", "/api/v1/notifications?limit=200"},
		{"quarantine", "/api/v1/quarantine?limit=200&replayed=true"},
	} {
		fmt.Fprintf(&b, "# %s\n", list.title)
		if err := p.dumpList(ctx, &b, list.path); err != nil {
			return "", err
		}
	}
	if err := p.dumpLeft(&b); err != nil {
		return "", err
	}
	b.WriteString("# reconciliation\n")
	ledgers, err := p.reconcile(ctx)
	if err != nil {
		return "", err
	}
	for _, l := range ledgers {
		fmt.Fprintf(&b, "%s/%s received=%d stored=%d duplicate=%d quarantined=%d pending=%d dead=%d\n",
			l.Channel, l.Account, l.Received, l.Stored, l.Duplicate, l.Quarantined, l.Pending, l.Dead)
		e := &l.Envelopes
		fmt.Fprintf(&b, "  accepted=%d processed=%d queued=%d dead=%d balanced=%t", e.Accepted, e.Processed, e.Queued, e.Dead, l.Balanced)
		if l.PutOff > 0 {
			fmt.Fprintf(&b, " put_off=%d", l.PutOff)
		}
		b.WriteByte('\n')
	}
	text := strings.ReplaceAll(b.String(), p.outside.graph.URL, "https://graph.example")
	text = filler.ReplaceAllString(aliased(text), "xxx…")
	if p.raced {
		return unraced(text), nil
	}
	return text, nil
}

func (p *Play) dumpPerson(ctx context.Context, b *bytes.Buffer, id string) error {
	status, body, err := p.call(ctx, "admin root", http.MethodGet, "/api/v1/customers/"+id, nil, "")
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("read customer %s: %d %s: %w", id, status, body, err)
	}
	if err := line(b, body); err != nil {
		return err
	}
	entries, err := p.timeline(ctx, id)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := line(b, e); err != nil {
			return err
		}
	}
	return nil
}

func (p *Play) dumpList(ctx context.Context, b *bytes.Buffer, path string) error {
	status, body, err := p.call(ctx, "admin root", http.MethodGet, path, nil, "")
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("read %s: %d %s: %w", path, status, body, err)
	}
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	var lines []string
	for _, item := range list.Items {
		var one bytes.Buffer
		if err := line(&one, item); err != nil {
			return err
		}
		lines = append(lines, one.String())
	}
	if strings.HasPrefix(path, "/api/v1/quarantine") {
		slices.Sort(lines) // its order is that of random IDs
	}
	for _, l := range lines {
		b.WriteString(l)
	}
	return nil
}

// filler is what makes a text long and says nothing.
var filler = regexp.MustCompile(`x{200,}`)

// ours matches Message-IDs that we make, which are random.
var ours = regexp.MustCompile(`[a-z2-7]{26}@desk\.example`)

// aliased calls each of our Message-IDs by the number of its first appearance.
func aliased(text string) string {
	known := map[string]string{}
	return ours.ReplaceAllStringFunc(text, func(id string) string {
		if known[id] == "" {
			known[id] = fmt.Sprintf("our-%d@desk.example", len(known)+1)
		}
		return known[id]
	})
}

// winners are what follows from which message came first: the IDs and words of cases and entries, when things were received, opened and changed, and the
// cursors and reasons of notifications.
var winners = regexp.MustCompile(`"(case|entry|received_at|reference|subject|opened|next_due|waiting_since|changed|created|changed_at|stored_at|cursor|at|why|opens|late)":("[^"]*"|true|false),?`)

// unraced takes what follows from chance out of a dump and sorts what is left by key.
func unraced(text string) string {
	lines := strings.Split(winners.ReplaceAllString(text, ""), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// dumpLeft writes what reached the outside.
func (p *Play) dumpLeft(b *bytes.Buffer) error {
	b.WriteString("# sent by WhatsApp\n")
	for _, s := range p.outside.whatsapp.Sent() {
		text, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if err := line(b, text); err != nil {
			return err
		}
	}
	b.WriteString("# sent by mail\n")
	for _, m := range p.outside.mail.all() {
		subject, body := readable(&m)
		fmt.Fprintf(b, "to=%s tag=%s subject=%q body=%q\n", strings.Join(m.Recipients, ","), m.tag, subject, body)
	}
	return nil
}

// line writes JSON in one line, object keys sorted, without what is not the story's.
func line(b *bytes.Buffer, raw []byte) error {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return err
	}
	clean(v, "")
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := b.Write(out.Bytes())
	return err
}

// clean takes out what differs by chance or by backend.
func clean(v any, channel string) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			clean(one, channel)
		}
	case map[string]any:
		if c, ok := v["channel"].(string); ok {
			channel = c
		}
		delete(v, "envelope")
		delete(v, "claim") // of an attempt to send: random
		if _, is := v["cause"]; is && v["received_at"] != nil {
			delete(v, "id") // of what is in quarantine
		}
		if channel == "email" {
			for _, name := range []string{"cause", "title"} {
				if _, is := v[name].(string); is && v["received_at"] == nil {
					v[name] = "…"
				}
			}
		}
		for _, one := range v {
			clean(one, channel)
		}
	}
}
