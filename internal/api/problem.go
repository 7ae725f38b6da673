package api

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
)

// Codes of problems that this package makes itself.
const (
	codeMissing   = "missing"
	codeTooLarge  = "too_large"
	codeMediaType = "media_type"
	codeStale     = "stale"
	codeInternal  = "internal"
)

// nothingHere is the one answer to what is not there and to what is not the caller's to see.
func nothingHere() error {
	return fault.Newf(fault.Missing, codeMissing, "there is nothing here, or it is not yours to see")
}

func isMissing(err error) bool { return fault.Of(err) == fault.Missing }

func notAllowed(a auth.Action) error {
	return fault.Newf(fault.Denied, auth.CodeRole, "your role does not allow it (%s); ask a lead or an administrator", a)
}

func tooMany() error {
	return fault.RetryAfter(time.Second, auth.CodeThrottled, "too many requests: slow down")
}

// statusOf is the HTTP status of an error: that of its kind, finer where HTTP is.
func statusOf(err error) int {
	switch fault.Code(err) {
	case auth.CodeUnauthenticated, auth.CodeCredentials:
		return http.StatusUnauthorized
	case auth.CodeThrottled:
		return http.StatusTooManyRequests
	case codeTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeMediaType:
		return http.StatusUnsupportedMediaType
	case codeStale:
		return http.StatusPreconditionFailed
	}
	return fault.Of(err).Status()
}

// fail answers a request that failed. What went wrong inside is logged and not told.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		return // nobody is listening any more
	}
	status := statusOf(err)
	p := Problem{Status: int32(status), Code: fault.Code(err), Detail: err.Error()} //nolint:gosec // three digits
	if e, ok := errors.AsType[*fault.Error](err); ok {
		if e.Field != "" {
			p.Field = &e.Field
		}
		p.Detail = e.Error() // what callers outside the fault added is about our insides
	}
	switch fault.Of(err) {
	case fault.Missing:
		p.Code, p.Detail = codeMissing, nothingHere().Error()
	case fault.Internal:
		a.Log.ErrorContext(r.Context(), "request failed", "method", r.Method, "route", r.Pattern, "err", err)
		p.Code, p.Detail = codeInternal, "something went wrong on our side; it is logged: try again later"
	case fault.Retry:
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(fault.After(err).Seconds())))))
		if status == http.StatusServiceUnavailable {
			a.Log.WarnContext(r.Context(), "request to be tried again", "method", r.Method, "route", r.Pattern, "err", err)
			p.Detail = "busy at the moment: try again"
		}
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="aikajana"`)
	}
	secureHeaders(w.Header())
	writeProblem(w, p)
}

// badRequest answers what the generated code could not read, which validate lets through only where the document is looser
// than the code.
func (a *API) badRequest(w http.ResponseWriter, r *http.Request, err error) {
	field := ""
	if e, ok := errors.AsType[*InvalidParamFormatError](err); ok {
		field = e.ParamName
	}
	if fault.Of(err) == fault.Internal {
		err = &fault.Error{Kind: fault.Invalid, Code: "invalid", Field: field, Err: errors.New("it could not be read: check types and times")}
	}
	a.fail(w, r, err)
}

// writeProblem writes a problem (RFC 9457).
func writeProblem(w http.ResponseWriter, p Problem) {
	p.Type, p.Title = "about:blank", http.StatusText(int(p.Status))
	if p.Code == "" {
		p.Code = "error"
	}
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(int(p.Status))
	_, _ = w.Write(body) // the client has gone if this fails
}

func parseQuery(raw string) (url.Values, error) { return url.ParseQuery(raw) }
