package msg

import (
	"encoding/json"
	"fmt"
	"time"
)

// Time is an instant in UTC, in milliseconds since 1970. The zero value means that the time is not known.
//
// Milliseconds are what every provider and the sort keys of the store have in common; a plain number keeps events
// comparable and their JSON stable.
type Time int64

const layout = "2006-01-02T15:04:05.000Z"

// TimeOf converts t, dropping what is finer than a millisecond. The zero time.Time becomes the zero Time.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMilli())
}

// Time converts back, in UTC.
func (t Time) Time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(t)).UTC()
}

// Add returns t+d.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Milliseconds()) }

// Sub returns t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// IsZero says that the time is not known.
func (t Time) IsZero() bool { return t == 0 }

// The first and the last millisecond that RFC 3339 can tell (years 1 to 9999).
const (
	first Time = -62135596799999
	last  Time = 253402300799999
)

// String is RFC 3339 with milliseconds, always in UTC; empty for the zero Time, and for one that lies outside the calendar of
// RFC 3339: what a provider counts wrong is not known, and must not be written so that nobody can read it again.
func (t Time) String() string {
	if t == 0 || t < first || t > last {
		return ""
	}
	return t.Time().Format(layout)
}

// MarshalJSON writes the RFC 3339 form with milliseconds.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// UnmarshalJSON reads any RFC 3339 time, or "" for the zero Time.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("read a time: %w", err)
	}
	parsed, err := ParseTime(s)
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

// ParseTime reads any RFC 3339 time; the empty string is the zero Time.
func ParseTime(s string) (Time, error) {
	if s == "" {
		return 0, nil
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("read a time: %q is not RFC 3339 (like 2026-11-22T10:00:00.000Z)", s)
	}
	return TimeOf(at), nil
}
