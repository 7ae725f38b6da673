package form

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/msg"
)

// Code says in a word what is wrong with a field of a submission. Package pages has a sentence for each in every language.
type Code string

// The codes.
const (
	CodeRequired  Code = "required"
	CodeContact   Code = "contact" // neither an address nor a number
	CodeEmail     Code = "email"
	CodePhone     Code = "phone"
	CodeTooLong   Code = "too_long"
	CodeOption    Code = "option"
	CodeDate      Code = "date"
	CodeNumber    Code = "number"
	CodeURL       Code = "url"
	CodeConsent   Code = "consent"
	CodeFileCount Code = "file_count"
	CodeFileSize  Code = "file_size"
	CodeFileEmpty Code = "file_empty"
	CodeNoFiles   Code = "no_files"
	CodeTooMany   Code = "too_many"
)

// Problem is one thing that is wrong with a submission.
type Problem struct {
	// Field is the input's name.
	Field string
	Code  Code
	// Limit is the largest allowed number, for the codes that have one: characters, files or bytes.
	Limit int
}

// Validate checks a cleaned submission against the account's form and lists all that is wrong with it, in the form's order;
// nil when nothing is.
func (s *Settings) Validate(sub Submission) []Problem {
	var all []Problem
	wrong := func(field string, code Code, limit int) { all = append(all, Problem{field, code, limit}) }
	tooLong := func(field, value string, limit int) bool {
		if utf8.RuneCountInString(value) <= limit {
			return false
		}
		wrong(field, CodeTooLong, limit)
		return true
	}
	tooLong("id", sub.ID, MaxID)
	tooLong("name", sub.Name, MaxName)
	s.validateContact(sub, wrong, tooLong)
	tooLong("subject", sub.Subject, MaxSubject)
	s.validateFields(sub, wrong)
	if !tooLong("message", sub.Message, MaxMessage) && sub.Message == "" && !s.MessageOptional() && len(sub.Fields) == 0 {
		wrong("message", CodeRequired, 0)
	}
	s.validateFiles(sub, wrong)
	if s.Consent.In("") != "" && !sub.Consent {
		wrong("consent", CodeConsent, 0)
	}
	tooLong("page", sub.Page, MaxPage)
	if sub.Language != "" && !slices.Contains(Languages(), sub.Language) {
		wrong("language", CodeOption, 0)
	}
	return all
}

func (s *Settings) validateContact(sub Submission, wrong func(string, Code, int), tooLong func(string, string, int) bool) {
	if !tooLong("email", sub.Email, MaxEmail) && sub.Email != "" {
		if _, ok := NormalEmail(sub.Email); !ok {
			wrong("email", CodeEmail, 0)
		}
	}
	if !tooLong("phone", sub.Phone, MaxPhone) && sub.Phone != "" {
		if _, ok := NormalPhone(sub.Phone); !ok {
			wrong("phone", CodePhone, 0)
		}
	}
	switch {
	case s.Email == AskRequired && sub.Email == "":
		wrong("email", CodeRequired, 0)
	case s.Email != AskRequired && s.Phone != AskRequired && sub.Email == "" && sub.Phone == "":
		switch {
		case s.Email == AskOptional && s.Phone == AskOptional:
			wrong("email", CodeContact, 0)
		case s.Email == AskOptional:
			wrong("email", CodeRequired, 0)
		case s.Phone == AskOptional:
			wrong("phone", CodeRequired, 0)
		}
	}
	if sub.Phone == "" && (s.Phone == AskRequired || sub.Callback && sub.Email != "") {
		wrong("phone", CodeRequired, 0)
	}
}

// MessageOptional says that the account's own fields hold what the matter is about, because one of them must be filled in.
// Otherwise a message is needed, or some field instead of it.
func (s *Settings) MessageOptional() bool {
	return slices.ContainsFunc(s.Fields, func(f Field) bool { return f.Required })
}

func (s *Settings) validateFields(sub Submission, wrong func(string, Code, int)) {
	if len(sub.Fields) > MaxFields {
		wrong("fields", CodeTooMany, MaxFields)
		return
	}
	values := make(map[string]string, len(sub.Fields))
	for _, f := range sub.Fields {
		values[f.Name] = f.Value
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		value := values[f.Name]
		delete(values, f.Name)
		if code, limit := f.validate(value); code != "" {
			wrong(f.Name, code, limit)
		}
	}
	for _, f := range sub.Fields {
		if _, undeclared := values[f.Name]; undeclared && (utf8.RuneCountInString(f.Value) > MaxValue || utf8.RuneCountInString(f.Name) > MaxName) {
			wrong("fields", CodeTooLong, MaxValue)
			return
		}
	}
}

func (f *Field) validate(value string) (Code, int) {
	limit := f.Max
	if limit == 0 {
		limit = MaxValue
	}
	switch {
	case value == "" && f.Required:
		return CodeRequired, 0
	case value == "":
		return "", 0
	case utf8.RuneCountInString(value) > limit:
		return CodeTooLong, limit
	}
	switch f.Type {
	case "select", "radio":
		if !f.hasOption(value) {
			return CodeOption, 0
		}
	case "checkboxes":
		for one := range strings.SplitSeq(value, ", ") {
			if !f.hasOption(one) {
				return CodeOption, 0
			}
		}
	case "date":
		if _, err := time.Parse(time.DateOnly, value); err != nil {
			return CodeDate, 0
		}
	case "number":
		if _, err := strconv.ParseFloat(strings.Replace(value, ",", ".", 1), 64); err != nil || strings.Trim(value, "+-0123456789.,") != "" {
			return CodeNumber, 0
		}
	case "url":
		if u, err := url.Parse(value); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return CodeURL, 0
		}
	}
	return "", 0
}

func (f *Field) hasOption(value string) bool {
	return slices.ContainsFunc(f.Options, func(o Option) bool { return o.Value == value })
}

func (s *Settings) validateFiles(sub Submission, wrong func(string, Code, int)) {
	size := 0
	for _, f := range sub.Files {
		size += len(f.Data)
	}
	switch {
	case len(sub.Files) == 0:
	case !s.Files:
		wrong("files", CodeNoFiles, 0)
	case len(sub.Files) > MaxFiles:
		wrong("files", CodeFileCount, MaxFiles)
	case size > MaxFilesSize:
		wrong("files", CodeFileSize, MaxFilesSize)
	case slices.ContainsFunc(sub.Files, func(f File) bool { return len(f.Data) == 0 }):
		wrong("files", CodeFileEmpty, 0)
	}
}

// Arrange puts the account's own fields in the form's order; others follow as they came.
func (s *Settings) Arrange(sub Submission) Submission {
	place := func(f msg.Field) int {
		if i := slices.IndexFunc(s.Fields, func(d Field) bool { return d.Name == f.Name }); i >= 0 {
			return i
		}
		return len(s.Fields)
	}
	sub.Fields = slices.Clone(sub.Fields)
	slices.SortStableFunc(sub.Fields, func(a, b msg.Field) int { return place(a) - place(b) })
	return sub
}
