package email

import (
	"strings"

	"github.com/aikajana/aikajana/internal/msg"
)

// calendar keeps an invitation as a file and says in words what it invites to (RFC 5545, RFC 5546). The same event is often
// there twice, beside the text and as a file: it is said once.
func (r *bodyReader) calendar(p *part) {
	f := filePart(p)
	if text, uid := calendarText(p.text()); text != "" {
		f.Text = text
		if !r.shown["calendar "+uid] {
			r.shown["calendar "+uid] = true
			r.notes = append(r.notes, text)
		} else {
			for _, other := range r.parts {
				if other.Text == text && other.Media != nil && other.Media.Size == f.Media.Size {
					return
				}
			}
		}
	}
	if f.Media.Name == "file-"+p.path+".ics" {
		f.Media.Name = "invitation.ics"
	}
	f.Kind = msg.PartFile
	r.parts = append(r.parts, f)
}

// calendarText is the first event of a calendar in words, and its UID; "" when there is none.
func calendarText(source string) (text, uid string) {
	event, method := calendarEvent(source)
	if event == nil {
		return "", ""
	}
	title := event["SUMMARY"].value
	if title == "" {
		title = "without a title"
	}
	kind := "calendar invitation"
	switch {
	case method == "CANCEL" || event["STATUS"].value == "CANCELLED":
		kind = "calendar cancellation"
	case method == "REPLY":
		kind = "calendar answer, " + strings.ToLower(event["ATTENDEE"].params["PARTSTAT"])
	case method == "COUNTER":
		kind = "calendar: another time proposed"
	case method == "" || method == "PUBLISH":
		kind = "calendar event"
	}
	lines := []string{"[" + kind + ": " + title + "]"}
	if when := calendarWhen(event["DTSTART"], event["DTEND"]); when != "" {
		lines = append(lines, "When: "+when)
	}
	if event["RRULE"].value != "" {
		lines = append(lines, "Repeats: "+strings.ToLower(strings.ReplaceAll(event["RRULE"].value, ";", ", ")))
	}
	if where := event["LOCATION"].value; where != "" {
		lines = append(lines, "Where: "+where)
	}
	if by := strings.TrimPrefix(strings.ToLower(event["ORGANIZER"].value), "mailto:"); by != "" {
		lines = append(lines, "Organiser: "+by)
	}
	return strings.Join(lines, "\n"), event["UID"].value
}

// property is one content line (RFC 5545 section 3.1).
type property struct {
	value  string
	params map[string]string
}

// calendarEvent reads the properties of the first VEVENT or VTODO, not those of alarms and time zones.
func calendarEvent(source string) (event map[string]property, method string) {
	source = capped(strings.ReplaceAll(strings.ReplaceAll(source, "\r", ""), "\n ", ""), 1<<20)
	source = strings.ReplaceAll(source, "\n\t", "")
	depth := 0
	for l := range strings.SplitSeq(source, "\n") {
		name, p := contentLine(l)
		switch name {
		case "METHOD":
			method = strings.ToUpper(p.value)
		case "BEGIN":
			if kind := strings.ToUpper(p.value); event == nil && (kind == "VEVENT" || kind == "VTODO") {
				event, depth = make(map[string]property), 1
			} else if depth > 0 {
				depth++
			}
		case "END":
			if depth--; depth == 0 && event != nil {
				return event, method
			}
		default:
			if _, taken := event[name]; depth == 1 && !taken && len(event) < 100 {
				event[name] = p
			}
		}
	}
	return event, method
}

// contentLine reads `NAME;PARAM="x":value`.
func contentLine(s string) (string, property) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ':' && !quoted:
			name, params, _ := strings.Cut(s[:i], ";")
			p := property{value: unescapeCalendar(s[i+1:])}
			if params != "" {
				p.params = make(map[string]string)
				for _, pair := range rawParams(params) {
					p.params[strings.ToUpper(pair.key)] = pair.value
				}
			}
			return strings.ToUpper(strings.TrimSpace(name)), p
		}
	}
	return "", property{}
}

func unescapeCalendar(s string) string {
	s = strings.NewReplacer(`\n`, " ", `\N`, " ", `\,`, ",", `\;`, ";", `\\`, `\`).Replace(s)
	return limitedLine(oneLine(s))
}

// calendarWhen writes "2026-11-25 10:00 – 11:30 (Europe/Helsinki)": the times as the invitation has them, never converted,
// because its own time zone definitions are not trusted and the reader's are not known here.
func calendarWhen(start, end property) string {
	from := calendarTime(start.value)
	if from == "" {
		return ""
	}
	to := calendarTime(end.value)
	if day, clock, ok := strings.Cut(to, " "); ok && strings.HasPrefix(from, day) {
		to = clock
	}
	if to != "" && to != from {
		from += " – " + to
	}
	switch zone := start.params["TZID"]; {
	case strings.HasSuffix(start.value, "Z"):
		from += " (UTC)"
	case zone != "":
		from += " (" + zone + ")"
	}
	return from
}

// calendarTime writes 20261125T100000Z as "2026-11-25 10:00".
func calendarTime(s string) string {
	if len(s) < 8 || digits(s) < 8 {
		return ""
	}
	out := s[:4] + "-" + s[4:6] + "-" + s[6:8]
	if len(s) >= 13 && s[8] == 'T' && digits(s[9:]) >= 4 {
		out += " " + s[9:11] + ":" + s[11:13]
	}
	return out
}
