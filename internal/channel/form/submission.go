package form

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/aikajana/aikajana/internal/msg"
)

// Limits of a submission, the same on both shapes of Aikajana. Lengths are in characters, sizes in bytes.
const (
	MaxName     = 200
	MaxEmail    = 254 // RFC 5321 section 4.5.3.1.3, less the angle brackets
	MaxPhone    = 40
	MaxSubject  = 200
	MaxMessage  = 10_000
	MaxValue    = 2_000
	MaxFields   = 50
	MaxID       = 100
	MaxPage     = 2_000
	MaxFileName = 150
	MaxFiles    = 5
	// MaxFilesSize is what the files of one submission may weigh together.
	MaxFilesSize = 4 << 20
	// MaxBody is the largest request that can hold a submission within the limits: MaxFilesSize in base64, and the text.
	MaxBody = MaxFilesSize/3*4 + 512<<10
	// MaxTextBody is the largest urlencoded request; such a one holds no files.
	MaxTextBody = 512 << 10
)

// Submission is one filled-in form. Its JSON (see [Submission.Encode]) is the body of the channel's envelopes.
type Submission struct {
	// ID is the one-time token of the form or the poster's idempotency key. Together with the content it makes the submission
	// happen once only; see EventID.
	ID       string `json:"id,omitempty"`
	Name     string `json:"name,omitempty"`
	Email    string `json:"email,omitempty"`
	Phone    string `json:"phone,omitempty"`
	Subject  string `json:"subject,omitempty"`
	Message  string `json:"message,omitempty"`
	Language string `json:"language,omitempty"`
	// Fields are the account's own fields, in the order in which the form shows them.
	Fields []msg.Field `json:"fields,omitempty"`
	// Page is the address of the page that the customer came from.
	Page string `json:"page,omitempty"`
	// Consent says that the customer ticked the account's consent text.
	Consent bool `json:"consent,omitempty"`
	// Urgent and Callback are what the customer asked for.
	Urgent   bool `json:"urgent,omitempty"`
	Callback bool `json:"callback,omitempty"`
	// Time is when the customer sent it, as the poster claims; zero for our own form.
	Time  msg.Time `json:"time,omitzero"`
	Files []File   `json:"files,omitempty"`

	// The rest is what the receiving page knows and no poster may say. Proof is "token" when the form was ours and opened by
	// somebody before it was sent. Suspect says why it looks like a robot's work ("trap"); empty when it does not.
	Proof   string `json:"proof,omitempty"`
	Suspect string `json:"suspect,omitempty"`
}

// File is one file of a submission.
type File struct {
	Name string `json:"name,omitempty"`
	// Type is what the sender claims.
	Type string `json:"type,omitempty"`
	Data []byte `json:"data"`
}

// Encode is the canonical JSON of the submission: the body of its envelope.
func (s Submission) Encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write a form submission: %w", err)
	}
	return body, nil
}

// EventID names the message that the submission becomes: a hash of its ID and of what the customer wrote. The same form sent
// twice has one EventID; another text under the same ID has its own.
func (s Submission) EventID() string {
	what := s
	what.Time, what.Page, what.Proof, what.Suspect = 0, "", "", ""
	content, _ := json.Marshal(what) // plain data: cannot fail
	sum := sha256.Sum256(content)
	return "form-" + base64.RawURLEncoding.EncodeToString(sum[:18])
}

// Clean returns the submission as it is kept: text is valid UTF-8 with \n line ends and without control characters, one-line
// fields have no line ends, and names carry no characters that reorder what stands next to them (FAULTS 35, 40). It shortens
// nothing: lengths are for [Settings.Validate] to refuse.
func (s Submission) Clean() Submission {
	s.ID = oneLine(s.ID)
	s.Name = oneLine(s.Name)
	s.Email = oneLine(s.Email)
	s.Phone = oneLine(s.Phone)
	s.Subject = oneLine(s.Subject)
	s.Message = manyLines(s.Message)
	s.Language = oneLine(s.Language)
	s.Page = oneLine(s.Page)
	fields := make([]msg.Field, 0, len(s.Fields))
	for _, f := range s.Fields {
		if f = (msg.Field{Name: oneLine(f.Name), Value: manyLines(f.Value)}); f.Name != "" && f.Value != "" {
			fields = append(fields, f)
		}
	}
	s.Fields = fields
	files := make([]File, 0, len(s.Files))
	for _, f := range s.Files {
		files = append(files, File{Name: baseName(f.Name), Type: oneLine(f.Type), Data: f.Data})
	}
	s.Files = files
	if len(fields) == 0 {
		s.Fields = nil
	}
	if len(files) == 0 {
		s.Files = nil
	}
	return s
}

// Empty says that nothing was written.
func (s Submission) Empty() bool {
	return s.Subject == "" && s.Message == "" && len(s.Fields) == 0 && len(s.Files) == 0
}

func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r) || reorders(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.TrimSpace(s)
}

func manyLines(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Trim(s, "\n\t ")
}

// reorders knows the bidirectional controls of Unicode (UAX #9 section 2), which can make "gpj.exe" look like "exe.jpg".
func reorders(r rune) bool {
	return r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069' || r == '\u200E' || r == '\u200F' || r == '\u061C'
}

// baseName drops folders, which old browsers send along, and keeps the end of an overlong name, because it says the type.
func baseName(name string) string {
	name = oneLine(name)
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	if runes := []rune(name); len(runes) > MaxFileName {
		name = string(runes[len(runes)-MaxFileName:])
	}
	if name == "." || name == ".." {
		return ""
	}
	return name
}
