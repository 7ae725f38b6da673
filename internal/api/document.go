package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
)

// actionSession is the x-action of operations for whoever is signed in, whatever their role.
const actionSession auth.Action = "session"

// Bounds of a request.
const (
	maxBody  = 1 << 20
	maxDepth = 16
	maxURL   = 4096
)

// document is openapi.yaml as the server goes by it.
type document struct {
	operations []*operation
}

// operation is one route of the document.
type operation struct {
	id, method, path string
	// action is the right that it takes; public operations take none.
	action auth.Action
	public bool
	// named says that the path names a thing: to whoever may not, it looks missing.
	named bool
	query map[string]bool
	route *routers.Route
}

// readDocument reads the document that is compiled in. It is checked when it is generated, not here.
func readDocument() (*document, error) {
	spec, err := GetSpec()
	if err != nil {
		return nil, fmt.Errorf("read the embedded openapi.yaml: %w", err)
	}
	doc := &document{}
	for path, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			op := &operation{
				id: o.OperationID, method: method, path: path, query: map[string]bool{},
				route: &routers.Route{Spec: spec, Path: path, PathItem: item, Method: method, Operation: o},
			}
			op.public = o.Security != nil && len(*o.Security) == 0
			op.named = strings.Contains(path, "{")
			action, _ := o.Extensions["x-action"].(string)
			op.action = auth.Action(action)
			if !op.public && action == "" {
				return nil, fmt.Errorf("read the embedded openapi.yaml: %s %s has no x-action", method, path)
			}
			for _, p := range append(append(openapi3.Parameters{}, item.Parameters...), o.Parameters...) {
				if p.Value.In == openapi3.ParameterInQuery {
					op.query[p.Value.Name] = true
				}
			}
			doc.operations = append(doc.operations, op)
		}
	}
	return doc, nil
}

// validate holds the request to the document. The request that it returns has its body read and ready to be read again.
func (o *operation) validate(r *http.Request) (*http.Request, error) {
	if len(r.URL.RequestURI()) > maxURL {
		return r, fault.Newf(fault.Invalid, "invalid", "the address has more than %d bytes", maxURL)
	}
	if err := o.checkQuery(r); err != nil {
		return r, err
	}
	if err := o.readBody(r); err != nil {
		return r, err
	}
	parameters := make(map[string]string, 2)
	for rest := o.path; ; {
		_, after, ok := strings.Cut(rest, "{")
		if !ok {
			break
		}
		name, tail, _ := strings.Cut(after, "}")
		parameters[name], rest = r.PathValue(name), tail
	}
	err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: o.route,
		Options: &openapi3filter.Options{
			AuthenticationFunc:  openapi3filter.NoopAuthenticationFunc, // gate has authenticated the request before
			SkipSettingDefaults: true,
		},
	})
	if err != nil {
		return r, invalid(err)
	}
	return r, nil
}

// checkQuery refuses parameters that the operation does not know, and those given twice.
func (o *operation) checkQuery(r *http.Request) error {
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.Field("query", "it is not a valid query string")
	}
	for name, values := range query {
		switch {
		case !o.query[name]:
			return fault.Field("query."+printable(name), "there is no such parameter")
		case len(values) > 1:
			return fault.Field("query."+name, "it is given %d times", len(values))
		case !utf8.ValidString(values[0]):
			return fault.Field("query."+name, "it is not valid UTF-8")
		}
	}
	return nil
}

// readBody reads the body, bounded, and refuses what is no JSON of a sane shape.
func (o *operation) readBody(r *http.Request) error {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return &fault.Error{Kind: fault.Invalid, Code: codeTooLarge, Field: "body", Err: fmt.Errorf("it has more than %d bytes", maxBody)}
	}
	if err != nil {
		return fault.Newf(fault.Invalid, "invalid", "the body could not be read to its end")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if o.route.Operation.RequestBody == nil {
		if len(bytes.TrimSpace(body)) > 0 && !bytes.Equal(bytes.TrimSpace(body), []byte("{}")) {
			return fault.Field("body", "this operation takes none")
		}
		return nil
	}
	if len(body) == 0 {
		return fault.Field("body", "it is missing")
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return &fault.Error{Kind: fault.Invalid, Code: codeMediaType, Field: "Content-Type", Err: errors.New("the body must be application/json in UTF-8")}
	}
	return checkJSON(body)
}

// checkJSON refuses what is not one JSON value of valid UTF-8, is nested deeper than anything here needs, or names a field
// twice: readers disagree about which one counts.
func checkJSON(body []byte) error {
	if !utf8.Valid(body) {
		return fault.Field("body", "it is not valid UTF-8")
	}
	if !json.Valid(body) {
		return fault.Field("body", "it is not valid JSON, or more than one value")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	type level struct {
		object, key bool
		names       map[string]bool
	}
	var open []level
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fault.Field("body", "it is not valid JSON (at byte %d)", dec.InputOffset())
		}
		if d, ok := token.(json.Delim); ok && (d == '}' || d == ']') {
			open = open[:len(open)-1]
			continue
		}
		if n := len(open); n > 0 && open[n-1].object {
			top := &open[n-1]
			if top.key = !top.key; top.key {
				name, _ := token.(string)
				if top.names[name] {
					return fault.Field("body."+printable(name), "it is given twice")
				}
				top.names[name] = true
				continue
			}
		}
		if d, ok := token.(json.Delim); ok {
			if len(open) == maxDepth {
				return fault.Field("body", "it is nested deeper than %d levels", maxDepth)
			}
			open = append(open, level{object: d == '{', names: map[string]bool{}})
		}
	}
}

// invalid says in our words, naming the field as the caller wrote it, what the validator found. The value itself is not
// repeated: it may be a password.
func invalid(err error) error {
	field, reason := "body", "it does not match the document"
	if e, ok := errors.AsType[*openapi3filter.RequestError](err); ok && e.Parameter != nil {
		field = e.Parameter.Name
		if e.Parameter.In != openapi3.ParameterInHeader {
			field = e.Parameter.In + "." + e.Parameter.Name
		}
		if errors.Is(err, openapi3filter.ErrInvalidRequired) {
			reason = "it is missing"
		}
	}
	if e, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		path := e.JSONPointer()
		if name, ok := strings.CutSuffix(e.Reason, " is unsupported"); ok { // the path ends at the object around it
			if name, err := strconv.Unquote(strings.TrimPrefix(name, "property ")); err == nil {
				path = append(path, name)
			}
		}
		if len(path) > 0 {
			field = strings.TrimPrefix(field+"."+printable(strings.Join(path, ".")), "body.")
		}
		reason = inWords(e)
	} else if _, ok := errors.AsType[*openapi3filter.ParseError](err); ok {
		reason = "it is not of the right type"
	}
	return fault.Field(field, "%s", reason)
}

func inWords(e *openapi3.SchemaError) string {
	switch {
	case strings.HasSuffix(e.Reason, "is unsupported"):
		return "there is no such field"
	case strings.HasSuffix(e.Reason, "is missing"):
		return "it is missing"
	case e.SchemaField == "pattern":
		return "it does not match " + e.Schema.Pattern
	case e.SchemaField == "format":
		return "it is not a " + e.Schema.Format
	}
	return e.Reason
}

// printable shortens and cleans what a stranger wrote, for an error.
func printable(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
	if utf8.RuneCountInString(clean) > 100 {
		clean = string([]rune(clean)[:100]) + "…"
	}
	return clean
}
