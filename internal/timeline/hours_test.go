package timeline_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/timeline"
)

func helsinki(t testing.TB) *time.Location {
	t.Helper()
	l, err := time.LoadLocation("Europe/Helsinki")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWorkingTimeRunsDuringOpeningHoursOnly(t *testing.T) {
	t.Parallel()
	l := helsinki(t)
	office := timeline.OfficeHours(l)
	office.Closed = map[string]bool{"2026-12-25": true}
	night := &timeline.Hours{Location: l}
	for day := range night.Days {
		night.Days[day] = []timeline.Span{{From: 0, To: 24 * 60}}
	}
	for _, one := range []struct {
		name     string
		hours    *timeline.Hours
		from     string
		d        time.Duration
		expected string
	}{
		{"within a day", office, "2026-11-23 09:00", 2 * time.Hour, "2026-11-23 11:00"},
		{"to the minute of closing", office, "2026-11-23 09:00", 7 * time.Hour, "2026-11-23 16:00"},
		{"over night", office, "2026-11-23 15:30", time.Hour, "2026-11-24 08:30"},
		{"over a weekend", office, "2026-11-27 15:00", 2 * time.Hour, "2026-11-30 09:00"},
		{"from a Sunday", office, "2026-11-22 10:00", time.Hour, "2026-11-23 09:00"},
		{"over a holiday and the weekend behind it", office, "2026-12-24 15:00", 2 * time.Hour, "2026-12-28 09:00"},
		{"24 hours are three days", office, "2026-11-23 08:00", 24 * time.Hour, "2026-11-25 16:00"},
		{"over the night without an hour", office, "2026-03-27 15:00", 2 * time.Hour, "2026-03-30 09:00"},
		{"through the day of 23 hours", night, "2026-03-29 00:00", 23 * time.Hour, "2026-03-30 00:00"},
		{"through the day of 25 hours", night, "2026-10-25 00:00", 25 * time.Hour, "2026-10-26 00:00"},
	} {
		at, err := time.ParseInLocation("2006-01-02 15:04", one.from, l)
		if err != nil {
			t.Fatal(err)
		}
		if got := one.hours.Add(msg.TimeOf(at), one.d).Time().In(l).Format("2006-01-02 15:04"); got != one.expected {
			t.Errorf("%s: %s", one.name, got)
		}
	}
}

func TestADeskThatNeverOpensPromisesPlainTime(t *testing.T) {
	t.Parallel()
	if got := (&timeline.Hours{Location: time.UTC}).Add(start, time.Hour); got != start.Add(time.Hour) {
		t.Errorf("%s", got)
	}
}

func TestADeadlineIsNeverEarlierForALaterStartOrALongerPromise(t *testing.T) {
	t.Parallel()
	l := helsinki(t)
	rapid.Check(t, func(t *rapid.T) {
		h := &timeline.Hours{Location: l, Closed: map[string]bool{}}
		for day := range h.Days {
			minute := 0
			for range rapid.IntRange(0, 2).Draw(t, "spans") {
				from := rapid.IntRange(minute, 24*60-1).Draw(t, "from")
				to := rapid.IntRange(from+1, 24*60).Draw(t, "to")
				h.Days[day] = append(h.Days[day], timeline.Span{From: from, To: to})
				if minute = to; minute >= 24*60 {
					break
				}
			}
		}
		h.Days[time.Wednesday] = []timeline.Span{{From: 0, To: 24 * 60}} // some time at all
		h.Closed[start.Time().AddDate(0, 0, rapid.IntRange(0, 20).Draw(t, "closed")).Format(time.DateOnly)] = true
		// From three weeks before the clock goes back until after.
		base := msg.TimeOf(time.Date(2026, 10, 10, 0, 0, 0, 0, time.UTC))
		at := base.Add(time.Duration(rapid.IntRange(0, 30*24*60).Draw(t, "minute")) * time.Minute)
		d := time.Duration(rapid.IntRange(0, 48*60).Draw(t, "promise")) * time.Minute
		more := time.Duration(rapid.IntRange(0, 48*60).Draw(t, "more")) * time.Minute
		due := h.Add(at, d)
		if due < at.Add(d) {
			t.Fatalf("%s of working time from %s end at %s", d, at, due)
		}
		if later := h.Add(at.Add(more), d); later < due {
			t.Fatalf("from %s it is due at %s, from %s later at %s", at, due, more, later)
		}
		if longer := h.Add(at, d+more); longer < due {
			t.Fatalf("%s end at %s, %s at %s", d, due, d+more, longer)
		}
	})
}
