package channeltest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/channel"
)

// Fixture is one case of a channel's testdata, read.
type Fixture struct {
	// Case is the file's name without folder and extension, Path the file.
	Case string
	Path string
	// Source is the page or example of the provider that the case follows, with the date on which it was read.
	Source string
	// Method, URL and Header are those of a .http file; POST, "/" and empty otherwise.
	Method string
	URL    *url.URL
	Header http.Header
	Body   []byte
	Mail   *channel.Mail
	// Settings are those of Options with what the case overrides.
	Settings map[string]string

	info channel.Info
}

// Fixtures reads every case of the folder, sorted by name. A case without a source is an error.
func Fixtures(info channel.Info, o Options) ([]Fixture, error) {
	files, err := os.ReadDir(o.dir())
	if err != nil {
		return nil, fmt.Errorf("read the fixtures of channel %s: %w", info.ID, err)
	}
	var all []Fixture
	seen := map[string]string{}
	for _, file := range files {
		name := file.Name()
		ext := filepath.Ext(name)
		if file.IsDir() || !slices.Contains([]string{".http", ".eml", ".json", ".raw"}, ext) ||
			strings.HasSuffix(name, ".events.json") || strings.HasSuffix(name, ".mail.json") {
			continue
		}
		f, err := readFixture(filepath.Join(o.dir(), name), info, o)
		if err != nil {
			return nil, err
		}
		if other, taken := seen[f.Case]; taken {
			return nil, fmt.Errorf("fixtures %s and %s have the same case name", other, name)
		}
		seen[f.Case] = name
		all = append(all, f)
	}
	return all, nil
}

func readFixture(path string, info channel.Info, o Options) (Fixture, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Fixture{}, fmt.Errorf("read a fixture: %w", err)
	}
	ext := filepath.Ext(path)
	f := Fixture{
		Case: strings.TrimSuffix(filepath.Base(path), ext), Path: path, Method: http.MethodPost, URL: &url.URL{Path: "/"},
		Header: http.Header{}, Body: raw, Settings: map[string]string{}, info: info,
	}
	maps.Copy(f.Settings, o.Settings)
	switch ext {
	case ".http":
		err = f.readRequest(raw)
	case ".eml":
		f.Body, err = f.takePseudo(raw)
		if err == nil {
			err = f.readMail()
		}
	}
	if err != nil {
		return Fixture{}, fmt.Errorf("fixture %s: %w", path, err)
	}
	if f.Source == "" {
		source, err := os.ReadFile(f.sidecar(".source"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Fixture{}, fmt.Errorf("fixture %s: %w", path, err)
		}
		f.Source = strings.TrimSpace(string(source))
	}
	if f.Source == "" {
		return Fixture{}, fmt.Errorf("fixture %s does not say what it follows: add X-Fixture-Source or %s", path, f.sidecar(".source"))
	}
	return f, nil
}

// Envelope is what the pipeline would hand to Parse: only the headers that the adapter named are there.
func (f Fixture) Envelope() channel.Envelope {
	e := channel.Envelope{
		ID: "env-" + f.Case, Channel: f.info.ID, Account: Account, ReceivedAt: ReceivedAt,
		Query: f.URL.RawQuery, Body: bytes.Clone(f.Body), Settings: maps.Clone(f.Settings),
	}
	for _, name := range f.info.Headers {
		if values := f.Header.Values(name); len(values) > 0 {
			if e.Header == nil {
				e.Header = http.Header{}
			}
			e.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
		}
	}
	if f.Mail != nil {
		mail := *f.Mail
		e.Mail = &mail
	}
	return e
}

// Request is the case as a webhook call to the account.
func (f Fixture) Request(account *channel.Account) *channel.Request {
	u := *f.URL
	u.Scheme, u.Host = "https", "desk.example"
	return &channel.Request{
		Account: account, Method: f.Method, URL: &u, Header: f.Header.Clone(), Body: bytes.Clone(f.Body), Now: ReceivedAt,
	}
}

func (f Fixture) sidecar(ext string) string {
	return filepath.Join(filepath.Dir(f.Path), f.Case+ext)
}

func (f *Fixture) readRequest(raw []byte) error {
	line, rest, found := bytes.Cut(raw, []byte("\n"))
	words := strings.Fields(string(line))
	if !found || len(words) < 2 {
		return errors.New(`the first line is not a request line ("POST /hooks/x/main HTTP/1.1")`)
	}
	u, err := url.Parse(words[1])
	if err != nil {
		return fmt.Errorf("read the request line: %w", err)
	}
	f.Method, f.URL = words[0], u
	for {
		line, rest, found = bytes.Cut(rest, []byte("\n"))
		text := strings.TrimRight(string(line), "\r")
		if text == "" {
			f.Body = rest
			return nil
		}
		name, value, colon := strings.Cut(text, ":")
		if !colon || !found {
			return fmt.Errorf("header line %q has no colon, or no empty line ends the headers", text)
		}
		if taken, err := f.pseudo(name, value); err != nil {
			return err
		} else if !taken {
			f.Header.Add(name, strings.TrimSpace(value))
		}
	}
}

// takePseudo removes the X-Fixture- lines at the top of a mail and returns the rest untouched.
func (f *Fixture) takePseudo(raw []byte) ([]byte, error) {
	for bytes.HasPrefix(raw, []byte("X-Fixture-")) {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		name, value, _ := strings.Cut(strings.TrimRight(string(line), "\r"), ":")
		if _, err := f.pseudo(name, value); err != nil {
			return nil, err
		}
		raw = rest
	}
	return raw, nil
}

func (f *Fixture) pseudo(name, value string) (bool, error) {
	value = strings.TrimSpace(value)
	switch http.CanonicalHeaderKey(name) {
	case "X-Fixture-Source":
		f.Source = value
	case "X-Fixture-Setting":
		key, v, found := strings.Cut(value, "=")
		if !found {
			return true, fmt.Errorf("X-Fixture-Setting %q is not name=value", value)
		}
		f.Settings[strings.TrimSpace(key)] = strings.TrimSpace(v)
	default:
		if strings.HasPrefix(http.CanonicalHeaderKey(name), "X-Fixture-") {
			return true, fmt.Errorf("there is no pseudo header %s", name)
		}
		return false, nil
	}
	return true, nil
}

func (f *Fixture) readMail() error {
	facts, err := os.ReadFile(f.sidecar(".mail.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(facts))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f.Mail); err != nil {
		return fmt.Errorf("read %s: %w", f.sidecar(".mail.json"), err)
	}
	return nil
}
