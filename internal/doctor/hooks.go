package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// account looks at one account as its provider and its customers do.
func (e *examination) account(ctx context.Context, a Account) {
	switch a.Channel {
	case "email":
		return // nothing of it is reached over HTTP
	case "form":
		e.form(ctx, a)
		return
	}
	e.handshake(ctx, a)
	e.signature(ctx, a)
}

// String is how an account is written everywhere: channel/name.
func (a Account) String() string { return a.Channel + "/" + a.Name }

// hook is where the account's provider delivers.
func (a Account) hook() string {
	return "/hooks/" + url.PathEscape(a.Channel) + "/" + url.PathEscape(a.Name)
}

func (e *examination) form(ctx context.Context, a Account) {
	const do = "see that the account is connected, and that /forms/ reaches the pages"
	switch answer, err := e.ask(ctx, http.MethodGet, "/forms/"+url.PathEscape(a.Name), nil); {
	case err != nil:
		e.find("form", a.String(), Problem, short(err), do)
	case answer.status != http.StatusOK:
		e.find("form", a.String(), Problem, said(answer)+" instead of 200", do)
	default:
		e.find("form", a.String(), OK, "it is shown", "")
	}
}

// verifyToken is the secret of handshakes: Meta calls it so, and the API shows it to whoever may manage accounts.
const verifyToken = "verify_token"

// handshake asks as Meta does when somebody enters the address of a webhook (package channel/whatsapp answers it): with a wrong
// token, and with the right one when the API shows it.
func (e *examination) handshake(ctx context.Context, a Account) {
	told := e.told[a]
	if a.Channel != "whatsapp" && !slices.Contains(told.SecretsSet, verifyToken) {
		return
	}
	ask := func(token string) (answer *reply, challenge string, err error) {
		challenge = strconv.FormatInt(e.o.Now().UnixNano(), 10)
		q := url.Values{"hub.mode": {"subscribe"}, "hub.challenge": {challenge}, "hub.verify_token": {token}}
		answer, err = e.ask(ctx, http.MethodGet, a.hook()+"?"+q.Encode(), nil)
		return answer, challenge, err
	}
	answer, _, err := ask("not-the-token-of-this-account")
	e.refused("handshake", a, answer, err, "a handshake with a wrong token")
	if told.VerifyToken == "" {
		if e.o.Token != "" {
			e.find("handshake", a.String(), Unknown, "the right token is not shown to the API token that was given, so it was not tried", "give an administrator's token that may write")
		}
		return
	}
	answer, challenge, err := ask(told.VerifyToken)
	const do = "the provider could not connect the webhook: see that GET /hooks/… reaches the program with its query, and that nothing in between answers for it"
	switch {
	case err != nil:
		e.find("handshake", a.String(), Problem, short(err), do)
	case answer.status != http.StatusOK || answer.body != challenge:
		e.find("handshake", a.String(), Problem, said(answer)+" to the right token, and not 200 with the challenge", do)
	default:
		e.find("handshake", a.String(), OK, "the right token is answered with the challenge", "")
	}
}

// nobody is the name of an account that does not exist.
const nobody = "no-such-account"

// signature has the account refuse a delivery without a signature and one with a wrong one, which must look like a delivery to
// an account that does not exist: otherwise strangers learn what is connected (FAULTS 15, 16). The bodies are empty, and such
// are not kept.
func (e *examination) signature(ctx context.Context, a Account) {
	answer, err := e.ask(ctx, http.MethodPost, a.hook(), nil)
	e.refused("signature", a, answer, err, "a delivery without a signature")
	wrong, err := e.ask(ctx, http.MethodPost, a.hook(), e.forged())
	if !e.refused("signature", a, wrong, err, "a delivery with a wrong signature") {
		return
	}
	stranger := e.strangers[a.Channel]
	if stranger == nil {
		if stranger, err = e.ask(ctx, http.MethodPost, Account{a.Channel, nobody}.hook(), e.forged()); err != nil {
			e.find("signature", a.String(), Problem, short(err), "see that POST /hooks/… reaches the program for every account")
			return
		}
		e.strangers[a.Channel] = stranger
	}
	if stranger.status != wrong.status || stranger.header.Get("Content-Type") != wrong.header.Get("Content-Type") || stranger.body != wrong.body {
		e.find("signature", a.String(), Problem, fmt.Sprintf("an account that does not exist is answered otherwise: %d %q in place of %d %q",
			stranger.status, line(stranger.body), wrong.status, line(wrong.body)),
			"strangers can find out what is connected: see that no proxy answers for some accounts, and that all of it is of one version")
		return
	}
	e.find("signature", a.String(), OK, "an account that does not exist looks the same", "")
}

// forged is a wrong signature in the form of every scheme that channels use, so that it comes as far as a comparison: Meta's
// and that of Standard Webhooks.
func (e *examination) forged() http.Header {
	return http.Header{
		"X-Hub-Signature-256": {"sha256=" + strings.Repeat("0", 64)},
		"Webhook-Id":          {"aikajana-doctor"}, "Webhook-Timestamp": {strconv.FormatInt(e.o.Now().Unix(), 10)},
		"Webhook-Signature": {"v1," + strings.Repeat("A", 43) + "="},
	}
}

// refused wants 401 or 403, and says whether it was so.
func (e *examination) refused(check string, a Account, answer *reply, err error, what string) bool {
	switch {
	case err != nil:
		e.find(check, a.String(), Problem, what+": "+short(err), "see that "+a.hook()+" reaches the program")
	case turnedAway(answer):
		e.find(check, a.String(), OK, what+" is refused", "")
		return true
	case answer.status >= http.StatusInternalServerError:
		e.find(check, a.String(), Problem, what+": "+said(answer), "the server fails before it decides: look at its log; on AWS whether the function may read the secrets")
	case answer.status == http.StatusNotFound || answer.status == http.StatusTooManyRequests:
		e.find(check, a.String(), Problem, what+": "+said(answer), "see that "+a.hook()+" reaches the program, and that no throttle stands before it")
	default:
		e.find(check, a.String(), Problem, what+" was not refused: "+said(answer), "strangers are let in: see which program answers, and that nothing in between signs, rewrites or answers for it")
	}
	return false
}

// line is the beginning of a body, for people.
func line(body string) string {
	body = strings.TrimSpace(body)
	return body[:min(len(body), 60)]
}
