package form

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
)

// Languages are the languages of the form, in the order in which they are offered.
func Languages() []string { return []string{"fi", "sv", "en"} }

// Text is one text in each language, by its tag. An empty one falls back: see Text.In.
type Text map[string]string

// In is the text in that language; where it is missing, in the first of the languages that has one.
func (t Text) In(language string) string {
	text, _ := t.Best(language)
	return text
}

// Best is like In, and says in which language the text is: the page marks it when that is not its own.
func (t Text) Best(language string) (text, in string) {
	for _, l := range append([]string{language}, Languages()...) {
		if s := t[l]; s != "" {
			return s, l
		}
	}
	return "", ""
}

// Settings are an account's settings, read.
type Settings struct {
	// Language is what the form is shown in when the visitor's browser asks for none of Languages.
	Language string
	// Title, Intro, Thanks and Consent are the operator's texts; an empty Title or Thanks leaves ours, an empty Consent asks for none.
	Title, Intro, Thanks, Consent Text
	// PrivacyURL is where the operator says what becomes of the data; empty for no link.
	PrivacyURL string
	Fields     []Field
	// Accent is the colour of buttons and links, as "#rrggbb".
	Accent string
	// Origins are the other web sites that may post or embed the form ("https://www.example.fi").
	Origins []string
	// Email and Phone say whether the form asks for them. When neither is required, one of those asked for is.
	Email, Phone Ask
	// Urgent, Callback and Files say whether the form offers them.
	Urgent, Callback, Files bool
	// ProofRequired refuses browsers' posts that do not come from our own form.
	ProofRequired bool
}

// Ask says whether something is asked for.
type Ask string

// The ways of asking.
const (
	AskNo       Ask = "no"
	AskOptional Ask = "optional"
	AskRequired Ask = "required"
)

// Field is one field that an account adds to its form.
type Field struct {
	// Name is the input's name: what agents and programs see. 1 to 40 of a-z 0-9 _ -.
	Name  string `json:"name"`
	Label Text   `json:"label"`
	Help  Text   `json:"help,omitempty"`
	// Type is one of text, textarea, select, radio, checkboxes, checkbox, date, number, url. Empty means text.
	Type     string   `json:"type,omitempty"`
	Required bool     `json:"required,omitempty"`
	Options  []Option `json:"options,omitempty"`
	// Max is the longest value in characters; 0 means MaxValue.
	Max int `json:"max,omitempty"`
}

// Option is one choice of a field.
type Option struct {
	Value string `json:"value"`
	Label Text   `json:"label"`
}

// declared lists the settings of an account.
func declared() []channel.Setting {
	const yesNo = "yes|no"
	settings := []channel.Setting{
		{Name: "language", Default: "fi", Pattern: "fi|sv|en", Help: "The form's language when the visitor's browser asks for neither Finnish, Swedish nor English."},
	}
	for _, text := range []struct{ name, help string }{
		{"title", "The form's heading; empty for our own."},
		{"intro", "What stands above the fields; plain text, an empty line makes a paragraph."},
		{"thanks", "What stands on the page after sending; empty for our own."},
		{"consent", "A sentence that the customer must tick; empty for none."},
	} {
		for _, l := range Languages() {
			settings = append(settings, channel.Setting{Name: text.name + "_" + l, Help: text.help})
		}
	}
	return append(settings,
		channel.Setting{Name: "privacy_url", Pattern: `https?://\S+`, Help: "The address of your privacy notice; the form links to it."},
		channel.Setting{Name: "fields", Help: `Fields of your own: a JSON list of {"name", "label": {"fi", "sv", "en"}, "type", "required", "options"}.`},
		channel.Setting{Name: "accent", Default: "#0b5cad", Pattern: "#[0-9a-fA-F]{6}", Help: "The colour of buttons and links, like #0b5cad; text on it turns black or white by itself."},
		channel.Setting{Name: "allowed_origins", Help: "Other web sites that may post to or embed the form, like https://www.example.fi, separated by spaces."},
		channel.Setting{Name: "ask_email", Default: "optional", Pattern: "no|optional|required", Help: "Whether the form asks for an email address; when nothing is required, one of address and number is."},
		channel.Setting{Name: "ask_phone", Default: "optional", Pattern: "no|optional|required", Help: "Whether the form asks for a telephone number."},
		channel.Setting{Name: "ask_urgent", Default: "no", Pattern: yesNo, Help: "Whether the customer can say that the matter is urgent."},
		channel.Setting{Name: "ask_callback", Default: "yes", Pattern: yesNo, Help: "Whether the customer can ask to be called; needs ask_phone."},
		channel.Setting{Name: "files", Default: "yes", Pattern: yesNo, Help: "Whether files can be sent along: at most 5, together 4 MB."},
		channel.Setting{Name: "proof", Default: "optional", Pattern: "optional|required", Help: "Whether a browser's post must come from our own form; \"required\" keeps more robots out, and forms on other sites too."},
		channel.Setting{Name: "suspect", Default: "quarantine", Pattern: "quarantine|accept", Help: "What becomes of a submission that looks like a robot's."},
	)
}

// ReadSettings reads an account's settings; what is not set has its default. Errors are of kind fault.Invalid and name the
// setting, down to the place inside "fields".
func ReadSettings(values map[string]string) (Settings, error) {
	get := make(map[string]string)
	for _, d := range declared() {
		value := strings.TrimSpace(values[d.Name])
		if value == "" {
			value = d.Default
		}
		if value != "" && d.Pattern != "" && !regexp.MustCompile("^(?:"+d.Pattern+")$").MatchString(value) {
			return Settings{}, fault.Field("settings."+d.Name, "%q does not match %s", value, d.Pattern)
		}
		get[d.Name] = value
	}
	s := Settings{
		Language: get["language"], PrivacyURL: get["privacy_url"], Accent: strings.ToLower(get["accent"]),
		Email: Ask(get["ask_email"]), Phone: Ask(get["ask_phone"]),
		Urgent: get["ask_urgent"] == "yes", Files: get["files"] == "yes", ProofRequired: get["proof"] == "required",
	}
	s.Callback = get["ask_callback"] == "yes" && s.Phone != AskNo
	s.Title, s.Intro = texts(get, "title"), texts(get, "intro")
	s.Thanks, s.Consent = texts(get, "thanks"), texts(get, "consent")
	var err error
	if s.Origins, err = readOrigins(get["allowed_origins"]); err != nil {
		return Settings{}, err
	}
	if s.Fields, err = ReadFields(get["fields"]); err != nil {
		return Settings{}, err
	}
	return s, nil
}

func texts(get map[string]string, name string) Text {
	t := Text{}
	for _, l := range Languages() {
		if value := get[name+"_"+l]; value != "" {
			t[l] = value
		}
	}
	return t
}

func readOrigins(list string) ([]string, error) {
	var origins []string
	for _, one := range strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' }) {
		u, err := url.Parse(one)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			return nil, fault.Field("settings.allowed_origins", "%q is not a web site's origin (like https://www.example.fi)", one)
		}
		origins = append(origins, strings.ToLower(u.Scheme+"://"+u.Host))
	}
	return origins, nil
}

// ReadFields reads the setting "fields". Errors are of kind fault.Invalid and say where: "settings.fields[2].label".
func ReadFields(text string) ([]Field, error) {
	if text == "" {
		return nil, nil
	}
	var fields []Field
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&fields); err != nil {
		return nil, fault.Field("settings.fields", "is not a list of fields: %w", err)
	}
	if d.More() {
		return nil, fault.Field("settings.fields", "has something behind the list")
	}
	if len(fields) > MaxFields {
		return nil, fault.Field("settings.fields", "are more than %d", MaxFields)
	}
	taken := make(map[string]bool)
	for i := range fields {
		if fields[i].Type == "" {
			fields[i].Type = "text"
		}
		if where, err := fields[i].check(taken); err != nil {
			return nil, fault.Field(fmt.Sprintf("settings.fields[%d].%s", i, where), "%w", err)
		}
		taken[fields[i].Name] = true
	}
	return fields, nil
}

var (
	fieldName  = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)
	fieldTypes = []string{"text", "textarea", "select", "radio", "checkboxes", "checkbox", "date", "number", "url"}
	// ownNames are the inputs of every form, which an account's field must not take.
	ownNames = []string{"id", "name", "email", "phone", "subject", "message", "language", "lang", "page", "consent", "urgent",
		"callback", "files", "fields", "time", "proof", "suspect", InputTrap, InputToken}
)

func (f *Field) check(taken map[string]bool) (where string, err error) {
	switch {
	case !fieldName.MatchString(f.Name):
		return "name", fmt.Errorf("%q is not 1 to 40 of a-z 0-9 _ - starting with a letter or digit", f.Name)
	case slices.Contains(ownNames, f.Name):
		return "name", fmt.Errorf("%q is an input that every form has", f.Name)
	case taken[f.Name]:
		return "name", fmt.Errorf("%q is there twice", f.Name)
	case f.Label.In("") == "":
		return "label", fmt.Errorf("is missing: give %q at least", "fi")
	case !slices.Contains(fieldTypes, f.Type):
		return "type", fmt.Errorf("%q is none of %s", f.Type, strings.Join(fieldTypes, ", "))
	case f.choice() != (len(f.Options) > 0):
		return "options", fmt.Errorf("belong to select, radio and checkboxes, which need at least one")
	case f.Max < 0 || f.Max > MaxMessage:
		return "max", fmt.Errorf("%d is not between 0 and %d", f.Max, MaxMessage)
	}
	for i, o := range f.Options {
		if o.Value == "" || strings.Contains(o.Value, ", ") {
			return fmt.Sprintf("options[%d].value", i), fmt.Errorf("is empty or holds a comma and a space, which stand between several")
		}
	}
	return "", nil
}

func (f *Field) choice() bool {
	return f.Type == "select" || f.Type == "radio" || f.Type == "checkboxes"
}

// UnmarshalJSON reads {"value": …, "label": {…}} or a plain string, which is both.
func (o *Option) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &o.Value) == nil {
		return nil
	}
	type plain Option
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode((*plain)(o)); err != nil {
		return fmt.Errorf(`an option is a string or {"value", "label"}: %w`, err)
	}
	return nil
}

// In is the option's label in that language, or its value.
func (o Option) In(language string) string {
	if label := o.Label.In(language); label != "" {
		return label
	}
	return o.Value
}

// UnmarshalJSON reads {"fi": …, "sv": …, "en": …} or a plain string, which is for every language.
func (t *Text) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = Text{}
		for _, l := range Languages() {
			(*t)[l] = one
		}
		return nil
	}
	var many map[string]string
	if err := json.Unmarshal(b, &many); err != nil {
		return fmt.Errorf(`a text is a string or {"fi", "sv", "en"}: %w`, err)
	}
	for l := range many {
		if !slices.Contains(Languages(), l) {
			return fmt.Errorf("%q is none of the languages fi, sv and en", l)
		}
	}
	*t = many
	return nil
}
