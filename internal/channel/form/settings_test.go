package form_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aikajana/aikajana/internal/channel/form"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

func TestWrongSettingIsNamedDownToItsPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, want string }{
		{"language", "de", "settings.language"},
		{"accent", "blue", "settings.accent"},
		{"accent", "#fff;}", "settings.accent"},
		{"allowed_origins", "https://a.example/path", "settings.allowed_origins"},
		{"privacy_url", "javascript:alert(1)", "settings.privacy_url"},
		{"fields", "{", "settings.fields"},
		{"fields", `[{"name":"a","label":"A"},{"name":"b"}]`, "settings.fields[1].label"},
		{"fields", `[{"name":"email","label":"E"}]`, "settings.fields[0].name"},
		{"fields", `[{"name":"a","label":"A"},{"name":"a","label":"A"}]`, "settings.fields[1].name"},
		{"fields", `[{"name":"a","label":"A","type":"file"}]`, "settings.fields[0].type"},
		{"fields", `[{"name":"a","label":"A","type":"select"}]`, "settings.fields[0].options"},
		{"fields", `[{"name":"a","label":"A","type":"radio","options":["x, y"]}]`, "settings.fields[0].options[0].value"},
		{"fields", `[{"name":"a","label":{"de":"A"}}]`, "settings.fields"},
		{"fields", `[{"name":"a","label":"A","obligatory":true}]`, "settings.fields"},
	} {
		err := form.Adapter{}.CheckSettings(map[string]string{c.name: c.value})
		e, ok := errors.AsType[*fault.Error](err)
		if !ok || e.Kind != fault.Invalid || e.Field != c.want {
			t.Errorf("%s=%s: want a fault.Invalid of %s, got %v", c.name, c.value, c.want, err)
		}
	}
	if err := (form.Adapter{}).CheckSettings(nil); err != nil {
		t.Errorf("an account without settings must work: %v", err)
	}
}

func settings(t *testing.T, values map[string]string) form.Settings {
	t.Helper()
	s, err := form.ReadSettings(values)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEverythingWrongWithASubmissionIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	s := settings(t, map[string]string{
		"consent_fi": "Hyväksyn.",
		"fields": `[{"name":"topic","label":"Aihe","type":"select","options":["a","b"],"required":true},
			{"name":"when","label":"Milloin","type":"date"},{"name":"many","label":"Monta","type":"checkboxes","options":["x","y"]},
			{"name":"amount","label":"Summa","type":"number"},{"name":"short","label":"Lyhyt","max":3}]`,
	})
	got := s.Validate(form.Submission{
		Email: "not", Phone: "x", Message: "m",
		Fields: []msg.Field{{Name: "topic", Value: "c"}, {Name: "when", Value: "22.11.2026"}, {Name: "many", Value: "x, z"}, {Name: "amount", Value: "NaN"}, {Name: "short", Value: "åäö!"}},
	})
	want := []form.Problem{
		{"email", form.CodeEmail, 0}, {"phone", form.CodePhone, 0}, {"topic", form.CodeOption, 0}, {"when", form.CodeDate, 0},
		{"many", form.CodeOption, 0}, {"amount", form.CodeNumber, 0}, {"short", form.CodeTooLong, 3}, {"consent", form.CodeConsent, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestOneWayToAnswerIsAlwaysAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		email, phone string
		given        form.Submission
		want         []form.Problem
	}{
		{"optional", "optional", form.Submission{}, []form.Problem{{"email", form.CodeContact, 0}}},
		{"optional", "optional", form.Submission{Phone: "0401234567"}, nil},
		{"required", "optional", form.Submission{Phone: "0401234567"}, []form.Problem{{"email", form.CodeRequired, 0}}},
		{"optional", "required", form.Submission{Email: "a@b.example"}, []form.Problem{{"phone", form.CodeRequired, 0}}},
		{"optional", "no", form.Submission{}, []form.Problem{{"email", form.CodeRequired, 0}}},
		{"no", "no", form.Submission{}, nil},
		{"optional", "optional", form.Submission{Email: "a@b.example", Callback: true}, []form.Problem{{"phone", form.CodeRequired, 0}}},
	} {
		s := settings(t, map[string]string{"ask_email": c.email, "ask_phone": c.phone})
		c.given.Message = "m"
		if diff := cmp.Diff(c.want, s.Validate(c.given)); diff != "" {
			t.Errorf("ask_email=%s ask_phone=%s %+v (-want +got):\n%s", c.email, c.phone, c.given, diff)
		}
	}
}

func TestFilesAreCountedAndWeighedTogether(t *testing.T) {
	t.Parallel()
	file := func(n int) form.File { return form.File{Name: "f", Data: make([]byte, n)} }
	for name, c := range map[string]struct {
		files []form.File
		off   bool
		want  form.Code
	}{
		"six":        {files: []form.File{file(1), file(1), file(1), file(1), file(1), file(1)}, want: form.CodeFileCount},
		"heavy":      {files: []form.File{file(form.MaxFilesSize), file(1)}, want: form.CodeFileSize},
		"empty":      {files: []form.File{file(0)}, want: form.CodeFileEmpty},
		"not wanted": {files: []form.File{file(1)}, off: true, want: form.CodeNoFiles},
		"good":       {files: []form.File{file(form.MaxFilesSize - 1), file(1)}},
	} {
		values := map[string]string{"files": "yes"}
		if c.off {
			values["files"] = "no"
		}
		s := settings(t, values)
		got := s.Validate(form.Submission{Email: "a@b.example", Message: "m", Files: c.files})
		if (c.want == "") != (len(got) == 0) || len(got) > 0 && got[0].Code != c.want {
			t.Errorf("%s: want %q, got %+v", name, c.want, got)
		}
	}
}
