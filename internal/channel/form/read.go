package form

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// Names of the inputs that belong to the page and not to the submission.
const (
	// InputToken carries the signed, one-time token of a form that we showed.
	InputToken = "_token"
	// InputTrap is an input that people do not see. Robots fill it in.
	InputTrap = "website"
)

// Post is what somebody posted to a form.
type Post struct {
	Submission Submission
	// Token and Trap are the values of InputToken and InputTrap.
	Token, Trap string
	// JSON says that a program posted it.
	JSON bool
}

// ReadPost reads the body of a post: application/x-www-form-urlencoded, multipart/form-data or application/json. The order of
// the fields is kept. Values are as posted: see [Submission.Clean] and [Settings.Validate].
//
// In a browser's post every input that the package does not know becomes a field. In JSON an unknown member is an error, so
// that a misspelt one is noticed and nobody can set what is not theirs (FAULTS 50). Errors are of kind fault.Invalid; those of
// body (an *http.MaxBytesError) are passed on wrapped.
func ReadPost(contentType string, body io.Reader) (Post, error) {
	switch mediaType(contentType) {
	case "application/json":
		raw, err := io.ReadAll(body)
		if err != nil {
			return Post{}, fmt.Errorf("read a form post: %w", err)
		}
		s, junk, err := decodeJSON(raw, true)
		if err == nil && len(junk) > 0 {
			err = junk[0]
		}
		return Post{Submission: s, JSON: true}, err
	case "multipart/form-data":
		return readMultipart(contentType, body)
	case "application/x-www-form-urlencoded", "":
		return readURLEncoded(body)
	}
	return Post{}, &fault.Error{Kind: fault.Invalid, Code: "content_type", Field: "Content-Type",
		Err: errors.New("use application/x-www-form-urlencoded, multipart/form-data or application/json")}
}

func mediaType(contentType string) string {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		t, _, _ = strings.Cut(contentType, ";")
	}
	return strings.ToLower(strings.TrimSpace(t))
}

func readURLEncoded(body io.Reader) (Post, error) {
	raw, err := io.ReadAll(body)
	if err != nil {
		return Post{}, fmt.Errorf("read a form post: %w", err)
	}
	var p Post
	for pair := range strings.SplitSeq(string(raw), "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if errors.Join(errName, errValue) != nil {
			return Post{}, fault.Field("body", "is not application/x-www-form-urlencoded: a %% must be followed by two hex digits")
		}
		if err := p.put(name, value); err != nil {
			return Post{}, err
		}
	}
	return p, nil
}

func readMultipart(contentType string, body io.Reader) (Post, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return Post{}, fault.Field("Content-Type", "multipart/form-data needs a boundary")
	}
	var p Post
	reader := multipart.NewReader(body, params["boundary"])
	for parts := 0; ; parts++ {
		part, err := reader.NextPart()
		if err == io.EOF { //nolint:errorlint // a body that breaks off wraps io.EOF; only the bare one is the end
			return p, nil
		}
		if err != nil {
			return Post{}, multipartError(err)
		}
		if parts > MaxFields+MaxFiles+20 {
			return Post{}, fault.Field("body", "has too many parts: at most %d fields and %d files", MaxFields, MaxFiles)
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return Post{}, multipartError(err)
		}
		_, disposition, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if name, isFile := disposition["filename"]; isFile {
			// A browser sends an empty, nameless file for an input that nobody used.
			if name != "" || len(value) > 0 {
				p.Submission.Files = append(p.Submission.Files, File{Name: name, Type: mediaType(part.Header.Get("Content-Type")), Data: value})
			}
			continue
		}
		if err := p.put(part.FormName(), string(value)); err != nil {
			return Post{}, err
		}
	}
}

func multipartError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fmt.Errorf("read a form post: %w", err)
	}
	return fault.Field("body", "is not multipart/form-data: a part is broken, or the end is missing")
}

// put sets what the input of that name says. Inputs of the same name (check boxes) come together, separated by commas.
func (p *Post) put(name, value string) error {
	s := &p.Submission
	switch name {
	case "":
	case InputToken:
		p.Token = value
	case InputTrap:
		p.Trap = value
	case "id":
		s.ID = value
	case "name":
		s.Name = value
	case "email":
		s.Email = value
	case "phone":
		s.Phone = value
	case "subject":
		s.Subject = value
	case "message":
		s.Message = value
	case "language", "lang":
		s.Language = value
	case "page":
		s.Page = value
	case "consent":
		s.Consent = ticked(value)
	case "urgent":
		s.Urgent = ticked(value)
	case "callback":
		s.Callback = ticked(value)
	default:
		return s.addField(name, value)
	}
	return nil
}

func (s *Submission) addField(name, value string) error {
	if i := slices.IndexFunc(s.Fields, func(f msg.Field) bool { return f.Name == name }); i >= 0 {
		if len(s.Fields[i].Value) > 4*MaxValue { // in bytes; and adding on and on would take quadratic time
			return fault.Field("fields", "one of them is there too often")
		}
		if s.Fields[i].Value != "" && value != "" {
			value = s.Fields[i].Value + ", " + value
		}
		s.Fields[i].Value = value
		return nil
	}
	if len(s.Fields) >= MaxFields {
		return fault.Field("fields", "are more than %d", MaxFields)
	}
	s.Fields = append(s.Fields, msg.Field{Name: name, Value: value})
	return nil
}

func ticked(value string) bool {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "", "0", "no", "off", "false":
		return false
	}
	return true
}

// decodeJSON reads a JSON submission member by member, so that its fields keep their order. Strict is for what came from
// outside; what is not strict was written by Encode, or is a file given to normalize, and keeps unknown members as fields.
// Junk says what is wrong with elements of "fields" and "files" that were left out.
func decodeJSON(body []byte, strict bool) (s Submission, junk []error, err error) {
	members, err := object(bytes.TrimPrefix(body, []byte("\uFEFF")))
	if err != nil {
		return s, nil, fault.Field("body", "is not a JSON object: %w", err)
	}
	targets := s.targets(strict)
	for _, m := range members {
		bad, err := s.setMember(targets, m, strict)
		if err != nil {
			return s, nil, err
		}
		junk = append(junk, bad...)
	}
	return s, junk, nil
}

// maxMembers bounds the work that a list or an object can make; no form has as many.
const maxMembers = 1000

type member struct {
	name string
	raw  json.RawMessage
}

// object lists the members of a JSON object in their order, and checks that nothing follows it.
func object(body []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil {
		return nil, err
	} else if t != json.Delim('{') {
		return nil, errors.New("it does not start with {")
	}
	var members []member
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := member{name: fmt.Sprint(t)}
		if err := d.Decode(&m.raw); err != nil {
			return nil, err
		}
		if members = append(members, m); len(members) > maxMembers {
			return nil, fmt.Errorf("it has more than %d members", maxMembers)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	return members, nil
}

// targets are the members of a JSON submission but for "fields" and "files".
func (s *Submission) targets(strict bool) map[string]any {
	targets := map[string]any{
		"id": &s.ID, "name": &s.Name, "email": &s.Email, "phone": &s.Phone, "subject": &s.Subject, "message": &s.Message,
		"language": &s.Language, "page": &s.Page, "consent": &s.Consent, "urgent": &s.Urgent, "callback": &s.Callback, "time": &s.Time,
	}
	if !strict {
		targets["proof"], targets["suspect"] = &s.Proof, &s.Suspect
	}
	return targets
}

func (s *Submission) setMember(targets map[string]any, m member, strict bool) (junk []error, err error) {
	switch m.name {
	case "fields":
		return s.setFields(m.raw)
	case "files":
		return s.setFiles(m.raw)
	}
	target, known := targets[m.name]
	if !known && strict {
		return nil, fault.Field(m.name, "is not known; put fields of your own into \"fields\"")
	}
	if !known {
		return nil, s.addField(m.name, plain(m.raw))
	}
	if err := json.Unmarshal(m.raw, target); err != nil {
		return nil, fault.Field(m.name, "is not %s", expected(m.name))
	}
	return nil, nil
}

func expected(name string) string {
	switch name {
	case "consent", "urgent", "callback":
		return "true or false"
	case "time":
		return "an RFC 3339 time (like 2026-11-22T10:00:00.000Z)"
	}
	return "a string"
}

// setFields reads {"name": value, …}, or [{"name": …, "value": …}, …] as Encode writes it.
func (s *Submission) setFields(raw json.RawMessage) (junk []error, err error) {
	const form = `is not an object of names and values, nor a list of {"name", "value"}`
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		members, err := object(raw)
		if err != nil {
			return nil, fault.Field("fields", form)
		}
		for _, m := range members {
			if err := s.addField(m.name, plain(m.raw)); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	if len(list) > maxMembers {
		return nil, fault.Field("fields", "are more than %d", MaxFields)
	}
	for i, one := range list {
		var f struct {
			Name  string          `json:"name"`
			Value json.RawMessage `json:"value"`
		}
		if json.Unmarshal(one, &f) != nil || f.Name == "" {
			junk = append(junk, fault.Field(fmt.Sprintf("fields[%d]", i), `is not {"name", "value"}`))
		} else if err := s.addField(f.Name, plain(f.Value)); err != nil {
			return nil, err
		}
	}
	return junk, nil
}

func (s *Submission) setFiles(raw json.RawMessage) (junk []error, err error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, fault.Field("files", `are not a list of {"name", "type", "data"}`)
	}
	if len(list) > maxMembers {
		return nil, fault.Field("files", "are more than %d", MaxFiles)
	}
	for i, one := range list {
		var f File
		if json.Unmarshal(one, &f) != nil || f.Name == "" && len(f.Data) == 0 {
			junk = append(junk, fault.Field(fmt.Sprintf("files[%d]", i), `is not {"name", "type", "data"} with data in base64`))
			continue
		}
		s.Files = append(s.Files, f)
	}
	return junk, nil
}

// plain shows a JSON value to a person: strings as they are, the rest as JSON.
func plain(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(bytes.TrimSpace(raw))
}
