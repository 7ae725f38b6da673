// Package fault says what is to become of something that failed. The kind alone decides: HTTP status, acknowledge or try
// again, and what an agent sees all follow from it (see [Kind.Status] and [Kind.Again]).
package fault

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Kind is a disposition, not a cause. The zero Kind is Internal: an error that nobody typed is a defect of ours, tried again
// and, when it stays, left in the dead-letter queue.
type Kind int

// The dispositions.
const (
	// Internal is untyped: a defect or an outage of our own. Tried again.
	Internal Kind = iota
	// Denied: the caller may not do this, or is not who they say. Never tried again.
	Denied
	// Invalid: the input is wrong; the message names the field. Never tried again.
	Invalid
	// Missing: what was asked for is not there, or not the caller's to see.
	Missing
	// Conflict: somebody else changed it first; read again and decide.
	Conflict
	// Permanent: the other side refused for good. Never tried again.
	Permanent
	// Retry: nothing happened; try again after Error.After.
	Retry
	// Uncertain: it may have happened. Never tried again blindly.
	Uncertain
)

// String names the kind as logs and metrics do.
func (k Kind) String() string {
	return [...]string{"internal", "denied", "invalid", "missing", "conflict", "permanent", "retry", "uncertain"}[k]
}

// Status is the HTTP status that answers a request which failed this way.
func (k Kind) Status() int {
	return [...]int{
		http.StatusInternalServerError, http.StatusForbidden, http.StatusBadRequest, http.StatusNotFound,
		http.StatusConflict, http.StatusUnprocessableEntity, http.StatusServiceUnavailable, http.StatusBadGateway,
	}[k]
}

// Again says that the same thing may be tried again as it is.
func (k Kind) Again() bool { return k == Internal || k == Retry || k == Conflict }

// Error is an error with a disposition.
type Error struct {
	Kind Kind
	// Code is a short stable word for programs ("signature", "window_closed", a provider's number).
	Code string
	// Field names the input at fault, as the caller wrote it ("settings.address").
	Field string
	// After is how long to wait at least before a Retry.
	After time.Duration
	Err   error
}

// Error is the wrapped error's text: what was being done, with which ID, and what to do next.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Kind.String()
	case e.Field != "":
		return e.Field + ": " + e.Err.Error()
	}
	return e.Err.Error()
}

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// Of is the disposition of err: that of the outermost *Error in its chain, or Internal.
func Of(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// After is how long to wait before trying again, 0 when err does not say.
func After(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.After
	}
	return 0
}

// Code is err's short word for programs, or "" when it has none.
func Code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// Newf makes an error of the given kind and code. The format is fmt.Errorf's, %w included.
func Newf(k Kind, code, format string, args ...any) error {
	return &Error{Kind: k, Code: code, Err: fmt.Errorf(format, args...)}
}

// Field is an Invalid error about one named field.
func Field(field, format string, args ...any) error {
	return &Error{Kind: Invalid, Code: "invalid", Field: field, Err: fmt.Errorf(format, args...)}
}

// RetryAfter is a Retry error that says how long to wait.
func RetryAfter(after time.Duration, code, format string, args ...any) error {
	return &Error{Kind: Retry, Code: code, After: after, Err: fmt.Errorf(format, args...)}
}
