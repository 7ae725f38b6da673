package email

import (
	"strconv"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
)

// parseDate reads a Date header as RFC 5322 section 3.3 has it and as senders write it: without a weekday or zone, with a
// two-digit year, a month in full, dots instead of colons, ISO 8601, or the year last. Zero when no date can be made of it.
func parseDate(value string) msg.Time {
	value = capped(value, 200)
	if i := strings.IndexByte(value, '('); i >= 0 {
		value = value[:i]
	}
	if at, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(value)); err == nil {
		return plausible(at)
	}
	var d dateParts
	for _, token := range strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == ';' }) {
		d.take(token)
	}
	if d.year == 0 || d.month == 0 || d.day == 0 || d.day > 31 {
		return 0
	}
	at := time.Date(d.year, d.month, d.day, d.hour, d.minute, d.second, 0, time.UTC).Add(-time.Duration(d.offset) * time.Minute)
	return plausible(at)
}

// plausible refuses what no clock says: before mail existed, or past what four-digit years hold.
func plausible(at time.Time) msg.Time {
	if at.Year() < 1971 || at.Year() > 9999 {
		return 0
	}
	return msg.TimeOf(at)
}

// dateParts collects a date from its tokens; offset is minutes east of UTC.
type dateParts struct {
	year, day            int
	month                time.Month
	hour, minute, second int
	offset               int
	clock                bool
}

func (d *dateParts) take(token string) {
	switch {
	case strings.Count(token, ":") >= 1 && token[0] >= '0' && token[0] <= '9':
		d.takeClock(token)
	case (token[0] == '+' || token[0] == '-') && len(token) >= 3:
		d.offset = zoneOffset(token)
	case token[0] >= '0' && token[0] <= '9' && strings.Count(token, "-") == 2:
		d.takeDashed(token)
	case token[0] >= '0' && token[0] <= '9' && strings.Count(strings.Trim(token, "."), ".") == 2 && d.day == 0:
		d.takeDashed(strings.ReplaceAll(strings.Trim(token, "."), ".", "-"))
	case token[0] >= '0' && token[0] <= '9' && strings.Contains(strings.Trim(token, "."), ".") && !d.clock:
		d.takeClock(token)
	case token[0] >= '0' && token[0] <= '9':
		d.takeNumber(strings.Trim(token, "."))
	default:
		d.takeWord(strings.ToLower(strings.Trim(token, ".")))
	}
}

func (d *dateParts) takeClock(token string) {
	if i := strings.IndexAny(token, "+-Zz"); i > 0 {
		d.offset = zoneOffset(token[i:])
		token = token[:i]
	}
	parts := strings.FieldsFunc(token, func(r rune) bool { return r == ':' || r == '.' })
	for i, into := range []*int{&d.hour, &d.minute, &d.second} {
		if i < len(parts) {
			*into, _ = strconv.Atoi(parts[i]) // not a number counts as 0
		}
	}
	d.hour, d.minute, d.second, d.clock = min(d.hour, 23), min(d.minute, 59), min(d.second, 60), true
}

// takeDashed reads "2026-11-22", "22-11-2026", "22-Nov-26" and the date of "2026-11-22T10:00".
func (d *dateParts) takeDashed(token string) {
	day, clock, ok := strings.Cut(token, "T")
	if ok && clock != "" && clock[0] >= '0' && clock[0] <= '9' {
		d.takeClock(clock)
	} else {
		day = token
	}
	parts := strings.Split(day, "-")
	if len(parts[0]) == 4 {
		parts[0], parts[2] = parts[2], parts[0]
	}
	d.takeNumber(parts[0])
	if n, err := strconv.Atoi(parts[1]); err == nil && n >= 1 && n <= 12 {
		d.month = time.Month(n)
	} else {
		d.takeWord(strings.ToLower(parts[1]))
	}
	d.takeNumber(parts[2])
}

func (d *dateParts) takeNumber(token string) {
	n, err := strconv.Atoi(token)
	switch {
	case err != nil:
	case len(token) <= 2 && d.day == 0:
		d.day = n
	case len(token) == 4 && d.year == 0:
		d.year = n
	case d.year == 0 && len(token) <= 3: // RFC 5322 section 4.3: two digits below 50 are 20xx, three digits count from 1900
		d.year = 1900 + n
		if n < 50 {
			d.year = 2000 + n
		}
	}
}

func (d *dateParts) takeWord(word string) {
	if len(word) >= 3 {
		for m := time.January; m <= time.December; m++ {
			if strings.HasPrefix(word, strings.ToLower(m.String()[:3])) && d.month == 0 {
				d.month = m
				return
			}
		}
	}
	switch word {
	case "pm":
		if d.hour < 12 {
			d.hour += 12
		}
	case "am":
		d.hour %= 12
	case "est", "cdt":
		d.offset = -5 * 60
	case "edt":
		d.offset = -4 * 60
	case "cst", "mdt":
		d.offset = -6 * 60
	case "mst", "pdt":
		d.offset = -7 * 60
	case "pst":
		d.offset = -8 * 60
	case "cet", "bst", "met":
		d.offset = 60
	case "cest", "eet", "mest":
		d.offset = 2 * 60
	case "eest", "msk":
		d.offset = 3 * 60
	case "jst", "kst":
		d.offset = 9 * 60
	default:
		for _, prefix := range []string{"gmt", "utc"} {
			if tail, ok := strings.CutPrefix(word, prefix); ok && tail != "" {
				d.offset = zoneOffset(tail)
			}
		}
	}
}

// zoneOffset reads "+0200", "+02:00", "+2" and "-00:00" in minutes; anything else is 0.
func zoneOffset(s string) int {
	if s == "" || s[0] != '+' && s[0] != '-' {
		return 0
	}
	digits := strings.ReplaceAll(s[1:], ":", "")
	n, err := strconv.Atoi(capped(digits, 4))
	if err != nil {
		return 0
	}
	if len(digits) > 2 {
		n = n/100*60 + n%100
	} else {
		n *= 60
	}
	if n > 24*60 {
		return 0
	}
	if s[0] == '-' {
		return -n
	}
	return n
}
