package form_test

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/channeltest"
	"github.com/aikajana/aikajana/internal/channel/form"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

func TestChannel(t *testing.T) { channeltest.Run(t, form.Adapter{}, channeltest.Options{}) }

func FuzzParse(f *testing.F) { channeltest.Fuzz(f, form.Adapter{}, channeltest.Options{}) }

func parse(t *testing.T, s form.Submission) *msg.Event {
	t.Helper()
	body, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	events, err := form.Adapter{}.Parse(channel.Envelope{ID: "e", Channel: "form", Account: "main", Body: body})
	if err != nil || len(events) != 1 {
		t.Fatalf("want one event, got %d and %v", len(events), err)
	}
	return &events[0]
}

func TestSameFormSentTwiceIsOneMessageAndAnotherTextIsAnother(t *testing.T) {
	t.Parallel()
	first := form.Submission{ID: "t", Email: "a@b.example", Message: "Hello", Page: "https://a.example/", Time: 1795348800000}
	again := first
	again.Page, again.Time, again.Proof = "https://a.example/?x", 0, "token"
	if a, b := parse(t, first).DedupeKey(), parse(t, again).DedupeKey(); a != b {
		t.Errorf("the same form sent twice has two keys: %q, %q", a, b)
	}
	other := first
	other.Message = "Hello again"
	if parse(t, first).DedupeKey() == parse(t, other).DedupeKey() {
		t.Error("another text under a used token would be swallowed as a duplicate")
	}
}

func TestFault1_ReferenceInTheSubjectJoinsNothing(t *testing.T) {
	t.Parallel()
	e := parse(t, form.Submission{ID: "t", Email: "stranger@b.example", Subject: "Re: [R-2041] my order", Message: "In-Reply-To: <x@desk.example>"})
	if e.ReplyTo != "" || e.Message.InReplyTo != "" || len(e.Message.References) > 0 || e.Message.ReplyToken != "" || e.Thread != e.ID {
		t.Errorf("a submission must stand by itself: %+v", e)
	}
}

func TestFault9_TypedAddressIsNeverVerified(t *testing.T) {
	t.Parallel()
	e := parse(t, form.Submission{ID: "t", Email: "Victim@Posti.Example", Phone: "+358401234567", Message: "x"})
	want := msg.Address{Kind: "email.unverified", Value: "victim@posti.example"}
	if diff := cmp.Diff(want, e.From); diff != "" {
		t.Errorf("from (-want +got):\n%s", diff)
	}
}

func TestFault35_FileNamesAreBareAndCannotReorder(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"../../etc/passwd": "passwd", `C:\fakepath\a.png`: "a.png", "a\u202Egpj.exe": "agpj.exe", "a\x00b\r\n.txt": "ab  .txt", "..": "",
		strings.Repeat("x", 500) + ".pdf": strings.Repeat("x", form.MaxFileName-4) + ".pdf",
	} {
		s := form.Submission{Files: []form.File{{Name: given, Data: []byte("x")}}}.Clean()
		if s.Files[0].Name != want {
			t.Errorf("file name %q became %q, want %q", given, s.Files[0].Name, want)
		}
	}
}

func TestFault40_LineEndsInOneLineFieldsAreTakenOut(t *testing.T) {
	t.Parallel()
	e := parse(t, form.Submission{ID: "t", Name: "A\r\nBcc: x@y.example", Email: "a@b.example", Subject: "S\nBcc: x@y.example", Message: "m"})
	if strings.ContainsAny(e.From.Name+e.Message.Subject, "\r\n") {
		t.Errorf("line ends survive: %q, %q", e.From.Name, e.Message.Subject)
	}
	if _, ok := form.NormalEmail("a@b.example\r\nBcc: x@y.example"); ok {
		t.Error("an address with a line end passed")
	}
}

func TestFault50_MembersThatAPosterMayNotSetAreRefusedByName(t *testing.T) {
	t.Parallel()
	for _, member := range []string{"owner", "suspect", "proof", "from", "agent", "Message "} {
		body, err := json.Marshal(map[string]any{"message": "x", member: "y"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = form.ReadPost("application/json", strings.NewReader(string(body)))
		e, ok := errors.AsType[*fault.Error](err)
		if !ok || e.Kind != fault.Invalid || e.Field != member {
			t.Errorf("member %q: want fault.Invalid that names it, got %v", member, err)
		}
	}
}

func TestFilesComeOutOfTheEnvelopeAsTheyWentIn(t *testing.T) {
	t.Parallel()
	s := form.Submission{ID: "t", Message: "x", Files: []form.File{{Name: "a.bin", Data: []byte{0, 1, 255}}, {Name: "b.txt", Data: []byte("b")}}}
	body, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	env := channel.Envelope{ID: "e", Channel: "form", Account: "main", Body: body}
	e := parse(t, s)
	for i, p := range e.Message.Parts {
		got, err := form.Adapter{}.Extract(env, *p.Media)
		if err != nil || string(got) != string(s.Files[i].Data) {
			t.Errorf("file %d: got %q, %v", i, got, err)
		}
	}
	for _, id := range []string{"0", "3", "", "../1"} {
		if _, err := (form.Adapter{}).Extract(env, msg.Media{ID: id}); fault.Of(err) != fault.Permanent {
			t.Errorf("file %q: want fault.Permanent, got %v", id, err)
		}
	}
}

func TestTypedAddressesAndNumbersAreKnownAsEqual(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		" Maija@Posti.Example ": "maija@posti.example", "maija@posti": "", "a@b@c.example": "", "Maija <m@p.example>": "",
		"m@[127.0.0.1]": "", "Åäö@Pösti.example": "åäö@xn--psti-5qa.example", "A\u030A@b.example": "å@b.example", "": "", "a..b@c.example": "",
	} {
		if got, ok := form.NormalEmail(typed); got != want || ok != (want != "") {
			t.Errorf("address %q: got %q, %v", typed, got, ok)
		}
	}
	for typed, want := range map[string]string{"040 123-4567": "0401234567", "+358 (0)40": "+358040", "00358401": "+358401"} {
		if got, ok := form.NormalPhone(typed); got != want || !ok {
			t.Errorf("number %q: got %q, %v", typed, got, ok)
		}
	}
	for _, typed := range []string{"1234", "call me", "+", "12345678901234567", "1+2345"} {
		if _, ok := form.NormalPhone(typed); ok {
			t.Errorf("number %q passed", typed)
		}
	}
}

func TestDocumentedSettingsAreTheDeclaredOnes(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/channels/form.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range (form.Adapter{}).Info().Settings {
		name := s.Name
		for _, l := range form.Languages() {
			name = strings.TrimSuffix(name, "_"+l)
		}
		if !strings.Contains(string(page), "`"+name) {
			t.Errorf("docs/channels/form.md does not say what the setting %q is", s.Name)
		}
	}
}

func TestFault37_HostileBodiesAreRefusedBeforeTheyMakeWork(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"one name over and over":   strings.Repeat("a=1&", form.MaxTextBody/4),
		"many names":               "a=1&" + manyNames(),
		"one member over and over": "{" + strings.Repeat(`"name":"",`, 5000) + `"message":"x"}`,
		"one field over and over":  `{"fields":[` + strings.Repeat(`{"name":"a","value":"1"},`, 5000) + `{"name":"a"}]}`,
		"thousands of files":       `{"message":"x","files":[` + strings.Repeat(`{"name":"a","data":"AA=="},`, 5000) + `{"name":"a"}]}`,
		"deep":                     strings.Repeat(`{"a":`, 20_000) + "1",
	} {
		contentType := "application/json"
		if body[0] == 'a' {
			contentType = "application/x-www-form-urlencoded"
		}
		if _, err := form.ReadPost(contentType, strings.NewReader(body)); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: want fault.Invalid, got %v", name, err)
		}
		env := channel.Envelope{ID: "e", Channel: "form", Account: "main", Body: []byte(body)}
		if events, err := (form.Adapter{}).Parse(env); len(events) > 0 || len(channel.Rejections(err)) != 1 {
			t.Errorf("%s: want one rejection, got %d events, %v", name, len(events), err)
		}
	}
}

func manyNames() string {
	var b strings.Builder
	for i := range form.MaxFields + 1 {
		b.WriteString("n" + strconv.Itoa(i) + "=1&")
	}
	return b.String()
}
