package pages

import (
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel/form"
	"github.com/aikajana/aikajana/internal/msg"
)

func TestNoLanguageLacksAWordAndAllUseTheSameVerbs(t *testing.T) {
	t.Parallel()
	verbs := regexp.MustCompile(`%[a-z]`)
	reference := reflect.ValueOf(*textsIn("en"))
	for _, language := range form.Languages() {
		texts := reflect.ValueOf(*textsIn(language))
		if texts.FieldByName("Tag").String() != language {
			t.Fatalf("there is no table for %s", language)
		}
		same := 0
		for i := range texts.NumField() {
			name, value := texts.Type().Field(i).Name, texts.Field(i).String()
			if value == "" {
				t.Errorf("%s: %s is missing", language, name)
			}
			if got, want := verbs.FindAllString(value, -1), verbs.FindAllString(reference.Field(i).String(), -1); !slices.Equal(got, want) {
				t.Errorf("%s: %s uses %v, English %v", language, name, got, want)
			}
			if value == reference.Field(i).String() {
				same++
			}
		}
		if language != "en" && same > 0 {
			t.Errorf("%s: %d words are still English", language, same)
		}
	}
}

func TestEveryCodeHasASentence(t *testing.T) {
	t.Parallel()
	for _, code := range []form.Code{form.CodeRequired, form.CodeContact, form.CodeEmail, form.CodePhone, form.CodeTooLong, form.CodeOption, form.CodeDate,
		form.CodeNumber, form.CodeURL, form.CodeConsent, form.CodeFileCount, form.CodeFileSize, form.CodeFileEmpty, form.CodeNoFiles, form.CodeTooMany,
		codeTokenOld, codeTokenYoung, codeTokenWrong, codeTokenMissing, codeBusy, codeRate} {
		text := english()
		if got := sentence(text, &form.Settings{}, form.Problem{Field: "email", Code: code, Limit: 1 << 20}); got == "" || got == text.InvalidTitle {
			t.Errorf("%s: %q", code, got)
		}
	}
}

func TestAnyAccentCanBeRead(t *testing.T) {
	t.Parallel()
	white, dark, black := colour{255, 255, 255}, colour{0x14, 0x18, 0x1d}, colour{}
	for r := 0.0; r <= 255; r += 17 {
		for g := 0.0; g <= 255; g += 17 {
			for b := 0.0; b <= 255; b += 17 {
				c := colour{r, g, b}
				if contrast(c.readable(white, black), white) < 4.5 || contrast(c.readable(dark, white), dark) < 4.5 {
					t.Fatalf("a link of %s cannot be read", c)
				}
				if max(contrast(c, white), contrast(c, black)) < 4.5 {
					t.Fatalf("a button of %s cannot be read", c)
				}
			}
		}
	}
}

func TestClientIsTheConnectionsAddressAndAnIPv6ClientItsNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"203.0.113.9:1234": "203.0.113.9", "[2001:db8:1:2:3:4:5:6]:99": "2001:db8:1:2::/64", "[::ffff:203.0.113.9]:1": "203.0.113.9",
		"[fe80::1%eth0]:1": "fe80::/64", "203.0.113.9": "203.0.113.9", "@": "@", "": "",
	} {
		if got := client(&http.Request{RemoteAddr: address}); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}

func TestStyleKeepsItsContrastInLightAndDark(t *testing.T) {
	t.Parallel()
	style, err := files.ReadFile("templates/style.css")
	if err != nil {
		t.Fatal(err)
	}
	roots := regexp.MustCompile(`:root\{([^}]*)\}`).FindAllSubmatch(style, -1)
	if len(roots) != 2 {
		t.Fatalf("want a light and a dark :root, got %d", len(roots))
	}
	for i, mode := range []string{"light", "dark"} {
		variables := map[string]colour{}
		for _, v := range regexp.MustCompile(`--([a-z]+):(#[0-9a-f]+)`).FindAllSubmatch(roots[i][1], -1) {
			hex := string(v[2])
			if len(hex) == 4 {
				hex = "#" + hex[1:2] + hex[1:2] + hex[2:3] + hex[2:3] + hex[3:] + hex[3:]
			}
			variables[string(v[1])], _ = parseColour(hex)
		}
		for _, pair := range []struct {
			front, back string
			least       float64
		}{
			{"text", "ground", 4.5}, {"soft", "ground", 4.5}, {"bad", "ground", 4.5}, {"text", "field", 4.5}, {"text", "card", 4.5}, {"soft", "card", 4.5},
			{"bad", "badground", 4.5}, {"text", "badground", 4.5}, {"line", "ground", 3}, {"line", "field", 3}, // 1.4.11: edges of inputs
		} {
			front, known := variables[pair.front]
			back, also := variables[pair.back]
			if got := contrast(front, back); !known || !also || got < pair.least {
				t.Errorf("%s: %s on %s has %.2f, want %.1f", mode, pair.front, pair.back, got, pair.least)
			}
		}
	}
}

func TestTokenIsGoodForOneAccountAndKeyOnly(t *testing.T) {
	t.Parallel()
	key, now := []byte("0123456789abcdef0123456789abcdef"), msg.Time(1795348800000)
	token := sign(key, "main", "id-12345678", now)
	later := now.Add(5 * time.Second)
	if id, p := check(key, "main", token, later, time.Second, time.Hour); id != "id-12345678" || p != proofGood {
		t.Errorf("its own: %q, %v", id, p)
	}
	for name, got := range map[string]func() (string, proof){
		"another account": func() (string, proof) { return check(key, "mai", token, later, time.Second, time.Hour) },
		"another key": func() (string, proof) {
			return check([]byte("another-key-another-key-another-"), "main", token, later, time.Second, time.Hour)
		},
		"another ID": func() (string, proof) {
			return check(key, "main", strings.Replace(token, "id-1", "id-2", 1), later, time.Second, time.Hour)
		},
	} {
		if id, p := got(); id != "" || p != proofWrong {
			t.Errorf("%s: %q, %v", name, id, p)
		}
	}
}
