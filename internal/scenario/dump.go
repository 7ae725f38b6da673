package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
// which are called by number), filling, what SES puts in front of the words of another mail server, and the addresses of the
// stand-ins.
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
	if p.raced != noRace {
		text = unraced(text, p.raced)
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

// race is what chance decides among workers that work at the same moment.
type race string

const (
	// noRace is what everything else is: chance decides nothing.
	noRace race = ""
	// order is which of several messages of somebody new comes first. It opens the case, whose ID, words and times follow from it, and
	// is told of as a new case; what was stored before an older one makes that one late.
	order race = "order"
	// twin is which of two deliveries of one message comes first: the entry was received then, and opens the case, and both IDs hold
	// the time.
	twin race = "twin"
)

// chance are the fields that a race decides. Everything else must come out the same, times of writing included: the script's
// clock stands still meanwhile.
var chance = map[race]*regexp.Regexp{
	order: regexp.MustCompile(`"(case|reference|subject|opened|next_due|waiting_since|late|why)":("[^"]+"|true|false)`),
	twin:  regexp.MustCompile(`"(entry|case|reference|cursor|received_at|opened|next_due|waiting_since)":"[^"]+"`),
}

// unraced takes out of a dump what the race has decided. That several lines are about the same case or entry still shows: each is
// called by the number of its first appearance. How often each reason to tell staff was given stands at the end.
func unraced(text string, by race) string {
	known, given := map[string]string{}, map[string]int{}
	text = chance[by].ReplaceAllStringFunc(text, func(field string) string {
		name, _, _ := strings.Cut(field[1:], `"`)
		switch name {
		case "case", "entry", "reference":
			if known[field] == "" {
				known[field] = fmt.Sprintf(`"%s":"%s-%d"`, name, name, len(known)+1)
			}
			return known[field]
		case "why":
			given[field]++
		}
		return `"` + name + `":"…"`
	})
	const opens = `"opens":true,`
	if by == order {
		given[opens[:len(opens)-1]] = strings.Count(text, opens)
		text = strings.ReplaceAll(text, opens, "")
	}
	for _, field := range slices.Sorted(maps.Keys(given)) {
		text += fmt.Sprintf("# %s %d times\n", field, given[field])
	}
	return text
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
	clean(v)
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := b.Write(out.Bytes())
	return err
}

// sesWords is what an event of SES says of a bounce before it comes to what the other server said; a mail that comes back says
// only that.
const sesWords = "Permanent General: smtp; "

// clean takes out what differs by chance or by backend.
func clean(v any) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			clean(one)
		}
	case map[string]any:
		delete(v, "envelope")
		delete(v, "claim") // of an attempt to send: random
		if _, is := v["cause"]; is && v["received_at"] != nil {
			delete(v, "id") // of what is in quarantine
		}
		if title, ok := v["title"].(string); ok {
			v["title"] = strings.TrimPrefix(title, sesWords)
		}
		for _, one := range v {
			clean(one)
		}
	}
}
