package whatsapp

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/guard"
	"github.com/aikajana/aikajana/internal/msg"
)

// Redirects of a download that are followed, each without credentials.
const maxRedirects = 3

// Fetch opens a file that a customer sent. The webhook's own URL is only good for minutes, so a fresh one is asked for by ID
// (GET /{media-id}, good for 5 minutes) and followed at once (quirk 14). Only the look-up's answer says that a file is gone; an
// address that it has just given and that leads nowhere has expired on the way, and is asked for again.
//
// The access token goes to the hosts of Info.MediaHosts over https and to the account's api_base, to nobody else and never
// across a redirect (FAULTS 29). When the provider gave a SHA-256, reading to the end fails on other bytes.
func (a Adapter) Fetch(ctx context.Context, conn channel.Conn, media msg.Media) (io.ReadCloser, error) {
	wrap := func(err error) error {
		return fmt.Errorf("fetch file %s: whatsapp account %q: %w", printable(media.ID), conn.Account.ID, err)
	}
	info := a.Info()
	from := media.URL
	if media.ID != "" {
		fresh, err := a.lookUp(ctx, conn, &info, &media)
		if err != nil {
			return nil, wrap(err)
		}
		from = fresh
	}
	for range maxRedirects + 1 {
		response, err := get(ctx, conn, &info, from)
		if err != nil {
			return nil, wrap(err)
		}
		if response.StatusCode/100 == 2 {
			return checked(response.Body, media.SHA256), nil
		}
		answer, _ := io.ReadAll(io.LimitReader(response.Body, answerLimit)) // what could be read of the reason
		_ = response.Body.Close()                                           // nothing more is wanted of it
		if response.StatusCode/100 != 3 {
			err := unavailable(response.StatusCode, answer)
			if media.ID != "" && fault.Of(err) == fault.Permanent {
				err = fault.RetryAfter(0, "expired", "the address that the look-up gave leads nowhere (HTTP status %d); a new one is asked for", response.StatusCode)
			}
			return nil, wrap(err)
		}
		next, err := response.Request.URL.Parse(response.Header.Get("Location"))
		if err != nil || next.Scheme != "https" && next.Scheme != response.Request.URL.Scheme {
			return nil, wrap(fault.Newf(fault.Permanent, "redirect", "the file is redirected to where it may not be fetched from"))
		}
		from = next.String()
		info.MediaHosts, conn.Account = nil, stripped(conn.Account)
	}
	return nil, wrap(fault.Newf(fault.Permanent, "redirect", "the file is redirected more than %d times", maxRedirects))
}

// lookUp asks where a file is now, and fills in its checksum when the webhook had none.
func (a Adapter) lookUp(ctx context.Context, conn channel.Conn, info *channel.Info, media *msg.Media) (string, error) {
	if conn.Account.Secret(secretAccess) == "" {
		return "", fault.RetryAfter(operatorWait, "auth", "the account has no access_token; put one into it")
	}
	at := endpoint(conn.Account, info, media.ID) + "?" + url.Values{settingNumber: {conn.Account.Settings[settingNumber]}}.Encode()
	response, err := get(ctx, conn, info, at)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // read below
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return "", fault.RetryAfter(time.Minute, "lost", "the look-up was cut off")
	}
	if response.StatusCode/100 != 2 {
		return "", unavailable(response.StatusCode, answer)
	}
	var found struct {
		URL    string `json:"url"`
		SHA256 string `json:"sha256"`
	}
	if err := json.Unmarshal(answer, &found); err != nil || found.URL == "" {
		return "", fault.RetryAfter(time.Minute, "answer", "the look-up's answer holds no url")
	}
	if media.SHA256 == "" {
		media.SHA256 = found.SHA256
	}
	return found.URL, nil
}

// get makes one request, with the access token only where it may go.
func get(ctx context.Context, conn channel.Conn, info *channel.Info, at string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, fault.Newf(fault.Permanent, "url", "the file's address is not a URL")
	}
	request.Header.Set("User-Agent", userAgent)
	if trusted(conn.Account, info, request.URL) {
		guard.WithCredentials(request, []string{request.URL.Host}, "Authorization", "Bearer "+conn.Account.Secret(secretAccess))
	}
	return guard.Do(direct(conn.HTTP), request)
}

// trusted says whether credentials may go to a URL: https to a host of the list, or exactly where api_base points.
func trusted(account *channel.Account, info *channel.Info, u *url.URL) bool {
	if account.Secret(secretAccess) == "" || u.User != nil {
		return false
	}
	if u.Scheme == "https" && (u.Port() == "" || u.Port() == "443") && slices.Contains(info.MediaHosts, strings.ToLower(u.Hostname())) {
		return true
	}
	base, err := url.Parse(account.Setting(info, settingBase))
	return err == nil && base.Scheme == u.Scheme && strings.EqualFold(base.Host, u.Host)
}

// stripped is the account without credentials.
func stripped(account *channel.Account) *channel.Account {
	bare := *account
	bare.Secrets = nil
	return &bare
}

// unavailable says whether a file may still come.
func unavailable(status int, answer []byte) error {
	var g graphError
	code := -1
	if json.Unmarshal(answer, &g) == nil && g.Error.Code != nil { // without a code the status decides
		code = *g.Error.Code
	}
	switch {
	case status == http.StatusNotFound || status == http.StatusGone || code == 100:
		return fault.Newf(fault.Permanent, "gone", "the file is gone (HTTP status %d, error %d); whatsapp keeps files for 7 days", status, code)
	case status == http.StatusUnauthorized || status == http.StatusForbidden || code == 190:
		return fault.RetryAfter(operatorWait, "auth", "the file was refused (HTTP status %d, error %d): check the access_token", status, code)
	}
	return fault.RetryAfter(time.Minute, "unavailable", "the file was not given (HTTP status %d, error %d)", status, code)
}

// checked reads through to the body and compares the checksum at its end. A sum that is not 32 bytes is none.
func checked(body io.ReadCloser, sum string) io.ReadCloser {
	for _, decode := range []func(string) ([]byte, error){base64.StdEncoding.DecodeString, hex.DecodeString} {
		if want, err := decode(sum); err == nil && len(want) == sha256.Size {
			return &checkedBody{ReadCloser: body, sum: sha256.New(), want: want}
		}
	}
	return body
}

type checkedBody struct {
	io.ReadCloser
	sum  hash.Hash
	want []byte
}

// Read passes bytes on. In place of io.EOF it returns an error when they are not those that were announced.
func (c *checkedBody) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.sum.Write(b[:n])
	if errors.Is(err, io.EOF) && subtle.ConstantTimeCompare(c.sum.Sum(nil), c.want) != 1 {
		return n, fault.RetryAfter(time.Minute, "checksum", "the file's bytes are not those that the provider announced (SHA-256 differs)")
	}
	return n, err
}
