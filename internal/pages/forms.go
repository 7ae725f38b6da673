package pages

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel/form"
	"github.com/aikajana/aikajana/internal/fault"
)

func (s *site) showForm(w http.ResponseWriter, r *http.Request) {
	account := r.PathValue("account")
	view, err := s.Forms.Form(r.Context(), account)
	if err != nil {
		s.fail(w, r, s.texts(r, ""), err)
		return
	}
	t := s.texts(r, view.Form.Language)
	p := s.formPage(t, account, view, form.Submission{Page: cameFrom(r)}, nil)
	p.Token = sign(s.Key, account, s.NewID(), s.Now())
	s.render(w, r, http.StatusOK, "form", p)
}

// cameFrom is the page that the visitor came from: what a link says, or else what the browser does.
func cameFrom(r *http.Request) string {
	for _, one := range []string{r.URL.Query().Get("page"), r.Referer()} {
		u, err := url.Parse(one)
		if err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && len(one) <= form.MaxPage {
			return one
		}
	}
	return ""
}

// arrival is one post on its way in.
type arrival struct {
	account string
	view    FormView
	t       *Texts
	post    form.Post
	sub     form.Submission
	proof   proof
}

func (s *site) takeForm(w http.ResponseWriter, r *http.Request) {
	account := r.PathValue("account")
	view, err := s.Forms.Form(r.Context(), account)
	if err != nil {
		s.fail(w, r, s.texts(r, ""), err)
		return
	}
	a := arrival{account: account, view: view, t: s.texts(r, view.Form.Language)}
	cross, ours := s.origin(r, view.Form.Origins)
	if cross != "" {
		allowCross(w.Header(), cross)
	}
	limit := int64(form.MaxBody)
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		limit = form.MaxTextBody
	}
	a.post, err = form.ReadPost(r.Header.Get("Content-Type"), http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		s.refuseBody(w, r, &a, err)
		return
	}
	s.prepare(r, &a)
	if !ours && a.proof != proofGood {
		s.message(w, r, http.StatusForbidden, a.t, a.t.DeniedTitle, a.t.CrossSite)
		return
	}
	if a.refused() {
		s.askAgain(w, r, &a, http.StatusBadRequest, []form.Problem{{Code: a.proofCode()}})
		return
	}
	if problems := view.Form.Validate(a.sub); len(problems) > 0 {
		s.askAgain(w, r, &a, http.StatusBadRequest, problems)
		return
	}
	accepted, err := s.Intake.Submit(r.Context(), account, a.sub, client(r))
	if err != nil {
		s.refuseSubmit(w, r, &a, err)
		return
	}
	s.thank(w, &a, accepted)
}

// prepare reads the language and the token, and decides what the submission is called.
func (s *site) prepare(r *http.Request, a *arrival) {
	a.sub = a.view.Form.Arrange(a.post.Submission.Clean())
	if !a.post.JSON {
		if slices.Contains(form.Languages(), a.sub.Language) {
			a.t = textsIn(a.sub.Language)
		}
		a.sub.Language = a.t.Tag
	} else if a.sub.Language == "" {
		a.sub.Language = a.view.Form.Language
	}
	var id string
	id, a.proof = check(s.Key, a.account, a.post.Token, s.Now(), s.MinAge, s.MaxAge)
	switch key := strings.TrimSpace(r.Header.Get("Idempotency-Key")); {
	case id != "":
		a.sub.ID = id
	case a.sub.ID == "" && key != "":
		a.sub.ID = key
	case a.sub.ID == "":
		a.sub.ID = s.NewID()
	}
	if a.proof == proofGood {
		a.sub.Proof = "token"
	}
	if strings.TrimSpace(a.post.Trap) != "" {
		a.sub.Suspect = "trap"
	}
}

// refused says that the token does not let a browser's post in.
func (a *arrival) refused() bool {
	if a.post.JSON {
		return false
	}
	return a.proof != proofGood && (a.proof != proofMissing || a.view.Form.ProofRequired)
}

// Codes of the token; the others are those of package form.
const (
	codeTokenOld     form.Code = "token_old"
	codeTokenYoung   form.Code = "token_young"
	codeTokenWrong   form.Code = "token_wrong"
	codeTokenMissing form.Code = "token_missing"
	codeBusy         form.Code = "busy"
	codeRate         form.Code = "rate_limited"
)

func (a *arrival) proofCode() form.Code {
	switch a.proof {
	case proofOld:
		return codeTokenOld
	case proofYoung:
		return codeTokenYoung
	case proofMissing:
		return codeTokenMissing
	}
	return codeTokenWrong
}

// refuseBody answers a body that could not be read.
func (s *site) refuseBody(w http.ResponseWriter, r *http.Request, a *arrival, err error) {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		s.message(w, r, http.StatusRequestEntityTooLarge, a.t, a.t.LargeTitle, fmt.Sprintf(a.t.LargeText, form.MaxFilesSize>>20))
		return
	}
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		s.message(w, r, http.StatusBadRequest, a.t, a.t.InvalidTitle)
		return
	}
	status := http.StatusBadRequest
	if e.Code == "content_type" {
		status = http.StatusUnsupportedMediaType
	}
	if !wantsJSON(r) {
		s.message(w, r, status, a.t, a.t.InvalidTitle, a.t.ContentType)
		return
	}
	writeProblem(w, status, problem{Code: e.Code, Detail: e.Error(), Errors: []fieldProblem{{e.Field, e.Code, e.Err.Error()}}})
}

// refuseSubmit answers a submission that was good, but could not be taken. What the customer wrote comes back to them.
func (s *site) refuseSubmit(w http.ResponseWriter, r *http.Request, a *arrival, err error) {
	e, _ := errors.AsType[*fault.Error](err)
	status, code := statusOf(err), codeBusy
	switch kind := fault.Of(err); {
	case kind == fault.Missing || kind == fault.Denied:
		s.fail(w, r, a.t, err)
		return
	case kind == fault.Invalid && e.Field != "":
		s.askAgain(w, r, a, status, []form.Problem{{Field: e.Field, Code: form.CodeOption}})
		return
	case status == http.StatusTooManyRequests:
		code = codeRate
	default:
		s.Log.ErrorContext(r.Context(), "take a form", "account", a.account, "kind", kind.String(), "error", err)
	}
	if after := fault.After(err); after > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int((after+time.Second-1)/time.Second)))
	}
	s.askAgain(w, r, a, status, []form.Problem{{Code: code}})
}

// askAgain says what is wrong: to a program as a problem, to a person on the form, filled in as they sent it.
func (s *site) askAgain(w http.ResponseWriter, r *http.Request, a *arrival, status int, problems []form.Problem) {
	if a.post.JSON || wantsJSON(r) {
		p := problem{Code: "invalid"}
		for _, one := range problems {
			text := sentence(a.t, &a.view.Form, one)
			if one.Field == "" {
				p.Code, p.Detail = string(one.Code), text
				continue
			}
			p.Errors = append(p.Errors, fieldProblem{one.Field, string(one.Code), text})
		}
		if len(p.Errors) > 0 {
			p.Detail = p.Errors[0].Field + ": " + p.Errors[0].Detail
		}
		writeProblem(w, status, p)
		return
	}
	page := s.formPage(a.t, a.account, a.view, a.sub, problems)
	page.Token = a.post.Token
	if a.proof == proofOld || a.proof == proofWrong || a.proof == proofMissing {
		page.Token = sign(s.Key, a.account, s.NewID(), s.Now())
	}
	s.render(w, r, status, "form", page)
}

// thank answers a submission that is durable. Nothing of it is repeated.
func (s *site) thank(w http.ResponseWriter, a *arrival, accepted Accepted) {
	status := ""
	if accepted.StatusToken != "" {
		status = s.BaseURL + "/s/" + url.PathEscape(accepted.StatusToken)
	}
	if a.post.JSON {
		if status != "" {
			w.Header().Set("Location", status)
		}
		writeJSON(w, http.StatusAccepted, "application/json", struct {
			ID        string `json:"id"`
			Reference string `json:"reference,omitempty"`
			StatusURL string `json:"status_url,omitempty"`
		}{a.sub.EventID(), accepted.Reference, status})
		return
	}
	query := url.Values{"lang": {a.t.Tag}}
	if accepted.StatusToken != "" {
		query.Set("s", accepted.StatusToken)
	}
	common(w.Header())
	// The path is made of the account alone: no parameter of the request can lead elsewhere (FAULTS 52).
	w.Header().Set("Location", "/forms/"+url.PathEscape(a.account)+"/thanks?"+query.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

var statusToken = regexp.MustCompile(`^[A-Za-z0-9_-]{16,128}$`)

func (s *site) showThanks(w http.ResponseWriter, r *http.Request) {
	account := r.PathValue("account")
	view, err := s.Forms.Form(r.Context(), account)
	if err != nil {
		s.fail(w, r, s.texts(r, ""), err)
		return
	}
	t := s.texts(r, view.Form.Language)
	p := page{T: t, Title: t.ThanksTitle, Intro: []string{t.ThanksText}, Promise: promise(t, view), Accent: view.Form.Accent,
		Origins: view.Form.Origins, Action: "/forms/" + url.PathEscape(account) + "?lang=" + t.Tag}
	if text := view.Form.Thanks[t.Tag]; text != "" {
		p.Intro = paragraphs(text)
	}
	if token := r.URL.Query().Get("s"); statusToken.MatchString(token) {
		p.Status = "/s/" + token + "?lang=" + t.Tag
	}
	s.render(w, r, http.StatusOK, "thanks", p)
}

func (s *site) preflight(w http.ResponseWriter, r *http.Request) {
	view, err := s.Forms.Form(r.Context(), r.PathValue("account"))
	if err == nil {
		if cross, ok := s.origin(r, view.Form.Origins); ok && cross != "" {
			allowCross(w.Header(), cross)
			w.Header().Set("Access-Control-Allow-Methods", "POST")
			w.Header().Set("Access-Control-Allow-Headers", "Content-Type, Idempotency-Key")
			w.Header().Set("Access-Control-Max-Age", "600")
		}
	}
	common(w.Header())
	w.WriteHeader(http.StatusNoContent)
}

func allowCross(h http.Header, origin string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Location, Retry-After")
	h.Add("Vary", "Origin")
}

// promise is the sentence about when an answer comes; "" for none.
func promise(t *Texts, view FormView) string {
	switch d := view.AnswerWithin; {
	case d <= 0:
		return ""
	case d < 2*time.Hour:
		return fmt.Sprintf(t.PromiseMinutes, max(2, int(d/time.Minute)))
	case view.WorkingTime:
		return fmt.Sprintf(t.PromiseWorkingHours, int(d/time.Hour))
	default:
		return fmt.Sprintf(t.PromiseHours, int(d/time.Hour))
	}
}

func paragraphs(text string) []string {
	var all []string
	for one := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	return all
}

// fieldValue is what was sent for one of the account's own fields.
func fieldValue(sub form.Submission, name string) string {
	for _, f := range sub.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}
