package terminal_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/terminal"
	"github.com/aikajana/aikajana/internal/timeline"
)

// hostile are texts that do something to terminals, with what they would do.
var hostile = map[string]string{
	"clears the screen":       "\x1b[2J\x1b[H",
	"renames the window":      "\x1b]0;owned\x07",
	"writes the clipboard":    "\x1b]52;c;ZXZpbA==\x1b\\",
	"hides a link":            "\x1b]8;;https://evil.example\x1b\\bank.example\x1b]8;;\x1b\\",
	"asks for the version":    "\x1b[>c\x05",
	"one-byte control":        "\u009b31mred\u009d0;title\u009c",
	"overwrites the line":     "all is well\rALL IS LOST",
	"backspaces":              "yes\b\b\bno",
	"turns the order around":  "invoice\u202egpj.exe\u2066\u2069\u202c",
	"invisible":               "pay\u200b\u2060\ufeffpal \U000e0041",
	"not UTF-8":               "a\xff\xfe\x9b31m",
	"floods with marks":       "a" + strings.Repeat("\u0301", 500),
	"vertical tab, form feed": "a\vb\fc",
	"deletes":                 "a\x7fb",
}

func TestFault33_NothingThatACustomerWritesSteersTheTerminal(t *testing.T) {
	t.Parallel()
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			s := terminal.New(&out, terminal.Options{Width: 80, Marks: map[string]string{"whatsapp": "◉"}, Cases: map[string]terminal.CaseName{"k": {Reference: "R", Subject: text}}})
			s.Person(terminal.Person{Name: text, Addresses: []msg.Address{{Kind: text, Value: text}}, Cases: []terminal.PersonCase{{Reference: text, Subject: text, State: text, Agent: text}}})
			e := &timeline.Entry{Event: msg.Event{Channel: "whatsapp", Kind: msg.KindMessage, Direction: msg.In, From: msg.Address{Value: "1", Name: text}, Message: &msg.Message{
				Subject: text, Text: text, Quoted: text, Parts: []msg.Part{
					{Kind: msg.PartKind(text), Text: text}, {Kind: msg.PartFile, Text: text, Media: &msg.Media{Name: text, State: msg.MediaFailed, Error: text}},
					{Kind: msg.PartLink, URL: text}, {Kind: msg.PartForm, Form: []msg.Field{{Name: text, Value: text}}}, {Kind: msg.PartRaw, Raw: json.RawMessage(text)},
					{Kind: msg.PartLocation, Location: &msg.Location{Name: text, Address: text}}, {Kind: msg.PartChoice, Text: text},
				}}},
				Case: "k", Edits: []timeline.Version{{Message: msg.Message{Text: text}}}, Reactions: []timeline.Reaction{{From: msg.Address{Name: text}, Emoji: text}}}
			s.Entry(e)
			out2 := *e
			out2.Direction, out2.State, out2.Agent, out2.Failure = msg.Out, msg.Failed, text, &msg.ReceiptCode{Code: text, Title: text}
			s.Entry(&out2)
			s.Changed(&out2)
			s.Entry(&timeline.Entry{Event: msg.Event{Channel: text, Kind: msg.KindCall, Call: &msg.Call{State: text, Transcript: text}}})
			s.Entry(&timeline.Entry{Event: msg.Event{Channel: text, Kind: msg.KindSignal, Signal: &msg.Signal{Type: text, Source: text}}})
			s.Table([]string{text}, [][]string{{text}})
			s.Fields(terminal.Field{Name: "x", Value: text})
			s.Say(text)
			if r, at := unsafe(out.String()); at >= 0 {
				t.Errorf("%U came through at byte %d:\n%q", r, at, out.String())
			}
		})
	}
}

// unsafe finds the first character that a terminal would act on, by a list of its own.
func unsafe(text string) (rune, int) {
	marks := 0
	for i, r := range text {
		if r == 0x301 {
			marks++
		} else {
			marks = 0
		}
		switch {
		case r == '\n':
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, marks > 10:
			return r, i
		case r == 0x200b, r == 0x2060, r == 0xfeff, r >= 0xe0000 && r < 0xe0080:
			return r, i
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd"):
			return r, i
		}
	}
	return 0, -1
}

func TestCleanKeepsWhatPeopleWrite(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"Hei äåö", "家族", "👨‍👩‍👧‍👦 ❤️ 🇫🇮", "שלום", "नमस्ते", "a\n\nb", "e\u0301"} {
		if got := terminal.Clean(text); got != text {
			t.Errorf("Clean(%q) = %q", text, got)
		}
	}
	if got := terminal.Clean("a\tb\r\nc\rd"); got != "a    b\nc\nd" {
		t.Errorf("tabs and line ends: %q", got)
	}
	if got := terminal.Line("a\n\t b\r\nc"); got != "a b c" {
		t.Errorf("one line: %q", got)
	}
}

func TestFault33_JSONForATerminalMeansTheSame(t *testing.T) {
	t.Parallel()
	for _, text := range hostile {
		raw, err := json.Marshal(map[string]string{"text": text + "\u009b\u007f"})
		if err != nil {
			t.Fatal(err)
		}
		safe := terminal.JSON(raw)
		if r, at := unsafe(string(safe)); at >= 0 && r < 0x10000 && r != 0x301 {
			t.Errorf("%U came through in %q", r, safe)
		}
		var want, got map[string]string
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(safe, &got); err != nil {
			t.Fatalf("%q: %v", safe, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := terminal.Clean(text)
		if r, at := unsafe(got); at >= 0 {
			t.Fatalf("%U came through: %q", r, got)
		}
		if again := terminal.Clean(got); again != got {
			t.Fatalf("cleaning twice changes: %q, then %q", got, again)
		}
	})
}
