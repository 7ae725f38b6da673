package timeline

import (
	"fmt"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
)

// Hours are the hours in which a clock that counts working time runs.
type Hours struct {
	// Days holds the open spans of each day, Sunday first, in order and apart from each other.
	Days [7][]Span
	// Closed are the dates (2006-01-02) on which nobody works.
	Closed map[string]bool
	// Location is where the hours are told.
	Location *time.Location
}

// Span is a part of a day in minutes since midnight: From <= t < To.
type Span struct{ From, To int }

// OfficeHours are eight to four on weekdays in the given place.
func OfficeHours(l *time.Location) *Hours {
	h := &Hours{Location: l}
	for day := time.Monday; day <= time.Friday; day++ {
		h.Days[day] = []Span{{8 * 60, 16 * 60}}
	}
	return h
}

// ParseSpan reads "08:00-16:00".
func ParseSpan(s string) (Span, error) {
	var h1, m1, h2, m2 int
	if n, err := fmt.Sscanf(s, "%d:%d-%d:%d", &h1, &m1, &h2, &m2); err != nil || n != 4 {
		return Span{}, fmt.Errorf("opening hours %q are not like 08:00-16:00", s)
	}
	span := Span{h1*60 + m1, h2*60 + m2}
	if m1 < 0 || m1 > 59 || m2 < 0 || m2 > 59 || span.From < 0 || span.To > 24*60 || span.From >= span.To {
		return Span{}, fmt.Errorf("opening hours %q do not lie in a day", s)
	}
	return span, nil
}

// horizon bounds the search for working time: a desk that never opens must not loop for ever.
const horizon = 366

// Add returns the moment at which d of working time has passed since t. Where the hours leave no time open within a year,
// it is plain t+d.
func (h *Hours) Add(t msg.Time, d time.Duration) msg.Time {
	at := t.Time().In(h.Location)
	for range horizon {
		midnight := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, h.Location)
		if !h.Closed[midnight.Format(time.DateOnly)] {
			for _, span := range h.Days[at.Weekday()] {
				from, to := clockTime(midnight, span.From), clockTime(midnight, span.To)
				if !at.Before(to) {
					continue
				}
				if at.Before(from) {
					at = from
				}
				if open := to.Sub(at); open >= d {
					return msg.TimeOf(at.Add(d))
				} else {
					d -= open
					at = to
				}
			}
		}
		at = time.Date(midnight.Year(), midnight.Month(), midnight.Day()+1, 0, 0, 0, 0, h.Location)
	}
	return t.Add(d)
}

// clockTime is what the wall clock shows so many minutes after midnight: on days when the clock is changed that is not the
// same as adding minutes.
func clockTime(midnight time.Time, minutes int) time.Time {
	return time.Date(midnight.Year(), midnight.Month(), midnight.Day(), minutes/60, minutes%60, 0, 0, midnight.Location())
}
