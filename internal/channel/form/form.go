package form

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// Adapter is the web form. It has no state.
type Adapter struct{}

var (
	_ channel.Adapter   = Adapter{}
	_ channel.Extractor = Adapter{}
)

// The identities that a form gives.
const (
	// KindEmail is an address that somebody typed.
	KindEmail = "email.unverified"
	// KindPhone is a number that somebody typed, where no address was given: digits, with a leading + where one was written.
	KindPhone = "phone.unverified"
	// KindAnonymous is somebody who gave neither; the value is the submission's EventID.
	KindAnonymous = "form.anonymous"
)

// Info declares the channel.
func (Adapter) Info() channel.Info {
	return channel.Info{
		ID: "form", Name: "Web form", Mark: "▤",
		Reference:    "docs/channels/form.md",
		Settings:     declared(),
		Headers:      []string{"Content-Type"},
		Identities:   []string{KindEmail, KindPhone, KindAnonymous},
		Threading:    channel.BySubmission,
		TimeAsserted: true,
		AnswerBy:     []string{"email"},
		ServiceLevel: channel.ServiceLevel{FirstAnswer: 24 * time.Hour, Solved: 72 * time.Hour, WorkingTime: true},
	}
}

// CheckSettings says what is wrong with an account's settings; the error is of kind fault.Invalid and names the setting.
func (Adapter) CheckSettings(settings map[string]string) error {
	_, err := ReadSettings(settings)
	return err
}

// Parse makes one message of one submission. Besides the JSON of [Submission.Encode] it takes what a browser posts (urlencoded
// and multipart, told by Content-Type), so that a recorded request can be given to "aikajana normalize".
func (Adapter) Parse(env channel.Envelope) ([]msg.Event, error) {
	s, junk, err := decode(env)
	if err != nil {
		return nil, &channel.Rejected{Cause: channel.CauseMalformed, Detail: err.Error()}
	}
	if s.Empty() {
		return nil, &channel.Rejected{Cause: channel.CauseMalformed, Detail: "message: nothing was written"}
	}
	if s.Suspect != "" && env.Settings["suspect"] != "accept" {
		from, _ := sender(s, s.EventID())
		return nil, &channel.Rejected{Cause: channel.CauseSpam, From: []msg.Address{from},
			Detail: "suspect: a robot filled in a field that people do not see; to let it in, set suspect=accept and replay"}
	}
	submitted := event(env, s)
	var rejected []error
	for _, one := range junk {
		rejected = append(rejected, &channel.Rejected{Cause: channel.CauseMalformed, Detail: one.Error(), From: submitted.From.All()})
	}
	return []msg.Event{submitted}, errors.Join(rejected...)
}

func decode(env channel.Envelope) (s Submission, junk []error, err error) {
	contentType := env.Header.Get("Content-Type")
	if mediaType(contentType) == "application/json" || looksJSON(env.Body) {
		s, junk, err = decodeJSON(env.Body, false)
		return s.Clean(), junk, err
	}
	post, err := ReadPost(contentType, bytes.NewReader(env.Body))
	if post.Trap != "" {
		post.Submission.Suspect = "trap"
	}
	return post.Submission.Clean(), nil, err
}

func looksJSON(body []byte) bool {
	return strings.HasPrefix(strings.TrimLeft(string(body[:min(len(body), 64)]), " \t\r\n\uFEFF"), "{")
}

// A claimed time outside of these is a mistake, and says nothing: 2000-01-01 and 2100-01-01.
const (
	earliest msg.Time = 946_684_800_000
	latest   msg.Time = 4_102_444_800_000
)

// native is what only a form has.
type native struct {
	Page     string `json:"page,omitempty"`
	Consent  bool   `json:"consent,omitempty"`
	Urgent   bool   `json:"urgent,omitempty"`
	Callback bool   `json:"callback,omitempty"`
	Proof    string `json:"proof,omitempty"`
}

func event(env channel.Envelope, s Submission) msg.Event {
	id := s.EventID()
	from, rest := sender(s, id)
	m := msg.Message{Subject: s.Subject, Text: s.Message, Language: s.Language}
	if rest = append(rest, s.Fields...); len(rest) > 0 {
		m.Parts = append(m.Parts, msg.Part{Kind: msg.PartForm, Form: rest})
	}
	for i, f := range s.Files {
		m.Parts = append(m.Parts, filePart(i, f))
	}
	e := msg.Event{
		Channel: "form", Account: env.Account, ID: id, Kind: msg.KindMessage, Time: s.Time, Direction: msg.In,
		From: from, Thread: id, Message: &m,
	}
	if e.Time < earliest || e.Time > latest {
		e.Time = 0
	}
	if n := (native{s.Page, s.Consent, s.Urgent, s.Callback, s.Proof}); n != (native{}) {
		e.Native, _ = json.Marshal(n) // plain data: cannot fail
	}
	return e
}

// sender says who wrote, and which of what they typed is still to be shown.
func sender(s Submission, id string) (msg.Address, []msg.Field) {
	var rest []msg.Field
	keep := func(name, value string) {
		if value != "" {
			rest = append(rest, msg.Field{Name: name, Value: value})
		}
	}
	from := msg.Address{Kind: KindAnonymous, Value: id, Name: s.Name}
	address, isAddress := NormalEmail(s.Email)
	phone, isPhone := NormalPhone(s.Phone)
	switch {
	case isAddress:
		from.Kind, from.Value = KindEmail, address
	case isPhone:
		from.Kind, from.Value = KindPhone, phone
		keep("email", s.Email)
	default:
		keep("email", s.Email)
	}
	keep("phone", s.Phone)
	if s.Callback {
		keep("callback", "yes")
	}
	if s.Urgent {
		keep("urgent", "yes")
	}
	return from, rest
}

// NormalEmail is the address by which equal typed addresses are known as equal, and whether what was typed is one at all: a
// bare addr-spec of RFC 5322, in lower case, its domain in ASCII, at most [MaxEmail] bytes. People's telephones write their addresses with a capital.
func NormalEmail(typed string) (string, bool) {
	typed = strings.TrimSpace(typed)
	if typed == "" || len(typed) > MaxEmail || strings.ContainsAny(typed, "<>\r\n") {
		return "", false
	}
	a, err := mail.ParseAddress(typed)
	if err != nil || a.Name != "" || !strings.EqualFold(a.Address, typed) {
		return "", false
	}
	at := strings.LastIndexByte(a.Address, '@')
	local, domain := norm.NFC.String(strings.ToLower(a.Address[:at])), strings.ToLower(a.Address[at+1:])
	if !strings.Contains(domain, ".") || strings.HasPrefix(domain, "[") {
		return "", false
	}
	// As mail writes it, so that the desk can suggest that this is who writes by mail (RFC 5891 section 5).
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		domain = ascii
	}
	return local + "@" + domain, true
}

// NormalPhone is the number without what people put between digits, and whether what was typed can be a number: 5 to 15
// digits (ITU-T E.164 allows 15). A leading 00 is written +. No country is guessed.
func NormalPhone(typed string) (string, bool) {
	var digits strings.Builder
	for i, r := range strings.TrimSpace(typed) {
		switch {
		case r >= '0' && r <= '9':
			digits.WriteRune(r)
		case r == '+' && i == 0:
			digits.WriteRune(r)
		case strings.ContainsRune(" \u00A0-()./", r):
		default:
			return "", false
		}
	}
	number := digits.String()
	if after, ok := strings.CutPrefix(number, "00"); ok {
		number = "+" + after
	}
	n := len(strings.TrimPrefix(number, "+"))
	return number, n >= 5 && n <= 15
}

func filePart(i int, f File) msg.Part {
	kind := msg.PartFile
	switch class, _, _ := strings.Cut(f.Type, "/"); class {
	case "image":
		kind = msg.PartImage
	case "audio":
		kind = msg.PartAudio
	case "video":
		kind = msg.PartVideo
	}
	return msg.Part{Kind: kind, Media: &msg.Media{ID: strconv.Itoa(i + 1), Type: f.Type, Name: f.Name, Size: int64(len(f.Data))}}
}

// Extract returns a file of the submission. Media.ID is its place, from 1.
func (Adapter) Extract(env channel.Envelope, media msg.Media) ([]byte, error) {
	s, _, err := decode(env)
	if err != nil {
		return nil, fault.Newf(fault.Permanent, "malformed", "read file %q of form submission %s: %w", media.ID, env.ID, err)
	}
	n, err := strconv.Atoi(media.ID)
	if err != nil || n < 1 || n > len(s.Files) {
		return nil, fault.Newf(fault.Permanent, "missing", "read file %q of form submission %s: it has %d files", media.ID, env.ID, len(s.Files))
	}
	return s.Files[n-1].Data, nil
}

// String describes the submission for a log without saying who wrote what.
func (s Submission) String() string {
	return fmt.Sprintf("form submission of %d characters, %d fields, %d files", len(s.Message), len(s.Fields), len(s.Files))
}
