package queue

import (
	"bytes"
	"encoding/xml"
	"testing"
	"unicode/utf8"
)

// FuzzTextRoundTrip holds the text form of a body to three promises: it comes back as it was, it is of the size that is
// counted, and it is made of characters that SQS takes.
func FuzzTextRoundTrip(f *testing.F) {
	for _, seed := range []string{"", `{"text":"Hei 🎉 ÅÄÖ"}`, "\x00", "\xff", "base64:", "base64:YQ==", "\uFFFE", "\uFFFD", "\xed\xa0\x80", "a\r\nb\tc", "\x7f"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		text := EncodeText(body)
		if got := DecodeText(text); !bytes.Equal(got, body) {
			t.Errorf("%q became %q by way of %q", body, got, text)
		}
		if Size(body) != len(text) {
			t.Errorf("%q is counted as %d bytes, and takes %d", body, Size(body), len(text))
		}
		if !utf8.ValidString(text) {
			t.Errorf("%q becomes text that is not UTF-8: %q", body, text)
		}
		var escaped bytes.Buffer
		if err := xml.EscapeText(&escaped, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if bytes.Count(escaped.Bytes(), []byte("\uFFFD")) != bytes.Count([]byte(text), []byte("\uFFFD")) {
			t.Errorf("%q becomes text with characters that XML does not have: %q", body, text)
		}
	})
}

func TestJSONTravelsAsItIs(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"text":"Hei 🎉 ÅÄÖ"}`, "a\r\n\tb", "\uFFFD"} {
		if got := EncodeText([]byte(body)); got != body {
			t.Errorf("%q became %q", body, got)
		}
	}
}

func TestTextThatEncodeTextDidNotMakeIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "hello", "base64:this is not base64"} {
		if got := string(DecodeText(text)); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func BenchmarkSize(b *testing.B) {
	body := bytes.Repeat([]byte(`{"text":"Hei"}`), 1000)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if Size(body) != len(body) {
			b.Fatal("JSON is not plain")
		}
	}
}
