package pages

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/fault"
)

// Lengths of a password, in characters. The upper one bounds the work of hashing it.
const (
	minPassword = 12
	maxPassword = 200
)

// administrator is the name of the first user, as the environment's AIKAJANA_ADMIN_PASSWORD has it too.
const administrator = "admin"

func (s *site) showSetup(w http.ResponseWriter, r *http.Request) {
	t := s.texts(r, "")
	if err := s.Setup.Check(r.Context(), r.PathValue("token")); err != nil {
		s.failSetup(w, r, t, err)
		return
	}
	s.render(w, r, http.StatusOK, "setup", setupPage(t, r.PathValue("token"), false, nil))
}

func (s *site) takeSetup(w http.ResponseWriter, r *http.Request) {
	t := s.texts(r, "")
	token := r.PathValue("token")
	if err := s.Setup.Check(r.Context(), token); err != nil {
		s.failSetup(w, r, t, err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		s.message(w, r, http.StatusBadRequest, t, t.InvalidTitle)
		return
	}
	choice := SetupChoice{Password: r.PostForm.Get("password"), Demo: r.PostForm.Get("demo") != ""}
	var errs []wrong
	switch n := utf8.RuneCountInString(choice.Password); {
	case n < minPassword:
		errs = append(errs, wrong{"password", fmt.Sprintf(t.PasswordShort, minPassword)})
	case n > maxPassword:
		errs = append(errs, wrong{"password", fmt.Sprintf(t.PasswordLong, maxPassword)})
	case subtle.ConstantTimeCompare([]byte(choice.Password), []byte(r.PostForm.Get("again"))) != 1:
		errs = append(errs, wrong{"again", t.PasswordDiffers})
	}
	if len(errs) == 0 {
		err := s.Setup.Complete(r.Context(), token, choice)
		if err == nil {
			common(w.Header())
			w.Header().Set("Location", "/setup/done?lang="+t.Tag)
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		if e, ok := errors.AsType[*fault.Error](err); !ok || e.Kind != fault.Invalid {
			s.failSetup(w, r, t, err)
			return
		}
		errs = append(errs, wrong{"password", t.PasswordRefused})
	}
	s.render(w, r, http.StatusBadRequest, "setup", setupPage(t, token, choice.Demo, errs))
}

func (s *site) failSetup(w http.ResponseWriter, r *http.Request, t *Texts, err error) {
	if fault.Of(err) == fault.Missing {
		s.message(w, r, http.StatusNotFound, t, t.SetupGoneTitle, t.SetupGoneText)
		return
	}
	s.fail(w, r, t, err)
}

// setupPage never holds the password: it is typed again after an error.
func setupPage(t *Texts, token string, demo bool, errs []wrong) page {
	p := page{T: t, Title: t.SetupTitle, Errors: errs, Action: "/setup/" + url.PathEscape(token) + "?lang=" + t.Tag}
	ticked := ""
	if demo {
		ticked = "yes"
	}
	p.Controls = []control{
		{ID: "username", Name: "username", Label: t.SetupUser, Type: "text", Value: administrator, ReadOnly: true, Autocomplete: "username"},
		{ID: "password", Name: "password", Label: t.Password, Help: fmt.Sprintf(t.PasswordHelp, minPassword), Type: "password", Required: true, Autocomplete: "new-password"},
		{ID: "again", Name: "again", Label: t.PasswordAgain, Type: "password", Required: true, Autocomplete: "new-password"},
		{ID: "demo", Name: "demo", Label: t.Demo, Help: t.DemoHelp, Type: "checkbox", Value: ticked},
	}
	for _, e := range errs {
		for i := range p.Controls {
			if p.Controls[i].ID == e.ID {
				p.Controls[i].Wrong = e.Text
			}
		}
	}
	return p
}

func (s *site) showSetupDone(w http.ResponseWriter, r *http.Request) {
	t := s.texts(r, "")
	s.render(w, r, http.StatusOK, "message", page{T: t, Title: t.SetupDoneTitle, Intro: []string{t.SetupDoneText}, Link: &link{s.Home, t.SetupOpen}})
}
