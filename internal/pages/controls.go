package pages

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aikajana/aikajana/internal/channel/form"
)

// control is one labelled input.
type control struct {
	ID, Name, Label, Help, Wrong, Optional, Type, Value string
	Autocomplete, InputMode, Placeholder                string
	Required, ReadOnly                                  bool
	// Group is "radio" or "checkbox" for a control of several boxes.
	Group   string
	Options []option
}

type option struct {
	ID, Value, Label string
	Chosen           bool
}

// Described names what is said about the input beside its label, for screen readers.
func (c control) Described() string {
	var ids []string
	if c.Help != "" {
		ids = append(ids, c.ID+"-help")
	}
	if c.Wrong != "" {
		ids = append(ids, c.ID+"-wrong")
	}
	return strings.Join(ids, " ")
}

// target is the ID to go to from the error summary.
func (c control) target() string {
	if len(c.Options) > 0 && c.Group != "" {
		return c.Options[0].ID
	}
	return c.ID
}

// formPage lays an account's form out, filled in with what sub holds.
func (s *site) formPage(t *Texts, account string, view FormView, sub form.Submission, problems []form.Problem) page {
	f := &view.Form
	p := page{
		T: t, Title: f.Title[t.Tag], Promise: promise(t, view), Accent: f.Accent, Origins: f.Origins, FormPage: true,
		Action: "/forms/" + url.PathEscape(account) + "?lang=" + t.Tag, Page: sub.Page, Privacy: f.PrivacyURL, Files: f.Files,
		Controls: controls(t, f, sub),
	}
	if p.Title == "" {
		p.Title = t.Title
	}
	intro, in := f.Intro.Best(t.Tag)
	if p.Intro = paragraphs(intro); in != t.Tag {
		p.IntroLanguage = in
	}
	for _, one := range problems {
		e := wrong{Text: sentence(t, f, one)}
		if i := slices.IndexFunc(p.Controls, func(c control) bool { return c.Name == one.Field }); i >= 0 && one.Field != "" {
			e.ID = p.Controls[i].target()
			p.Controls[i].Wrong = e.Text
		}
		p.Errors = append(p.Errors, e)
	}
	if len(problems) > 0 && len(sub.Files) > 0 {
		e := wrong{Text: t.FilesAgain} // a browser does not keep them
		if i := slices.IndexFunc(p.Controls, func(c control) bool { return c.Name == "files" }); i >= 0 {
			e.ID = p.Controls[i].ID
			if p.Controls[i].Wrong == "" {
				p.Controls[i].Wrong = t.FilesAgain
			}
		}
		p.Errors = append(p.Errors, e)
	}
	return p
}

func controls(t *Texts, f *form.Settings, sub form.Submission) []control {
	all := []control{{ID: "name", Name: "name", Label: t.Name, Type: "text", Value: sub.Name, Optional: t.Optional, Autocomplete: "name"}}
	either := f.Email == form.AskOptional && f.Phone == form.AskOptional
	if f.Email != form.AskNo {
		c := control{ID: "email", Name: "email", Label: t.Email, Help: t.EmailHelp, Type: "email", Value: sub.Email, Autocomplete: "email"}
		c.Required = f.Email == form.AskRequired || f.Phone == form.AskNo
		if either {
			c.Help = t.ContactHelp
		}
		all = append(all, c.optional(t, !either))
	}
	if f.Phone != form.AskNo {
		c := control{ID: "phone", Name: "phone", Label: t.Phone, Help: t.PhoneHelp, Type: "tel", Value: sub.Phone, Autocomplete: "tel"}
		c.Required = f.Phone == form.AskRequired || f.Email == form.AskNo
		all = append(all, c.optional(t, !either))
	}
	tick := func(show bool, name, label, help string, on bool) {
		if show {
			c := control{ID: name, Name: name, Label: label, Help: help, Type: "checkbox"}
			if on {
				c.Value = "yes"
			}
			all = append(all, c)
		}
	}
	tick(f.Callback, "callback", t.Callback, "", sub.Callback)
	all = append(all, control{ID: "subject", Name: "subject", Label: t.Subject, Type: "text", Value: sub.Subject, Optional: t.Optional})
	for i := range f.Fields {
		all = append(all, ownControl(t, &f.Fields[i], fieldValue(sub, f.Fields[i].Name)))
	}
	message := control{ID: "message", Name: "message", Label: t.Message, Help: fmt.Sprintf(t.MessageHelp, t.number(form.MaxMessage)), Type: "textarea", Value: sub.Message}
	message.Required = len(f.Fields) == 0
	all = append(all, message.optional(t, f.MessageOptional()))
	tick(f.Urgent, "urgent", t.Urgent, t.UrgentHelp, sub.Urgent)
	if f.Files {
		all = append(all, control{ID: "files", Name: "files", Label: t.Files, Help: fmt.Sprintf(t.FilesHelp, form.MaxFiles, form.MaxFilesSize>>20), Type: "file", Optional: t.Optional})
	}
	if consent := f.Consent.In(t.Tag); consent != "" {
		tick(true, "consent", consent, "", sub.Consent)
		all[len(all)-1].Required = true
	}
	return all
}

func (c control) optional(t *Texts, mark bool) control {
	if mark && !c.Required {
		c.Optional = t.Optional
	}
	return c
}

// ownControl is one of the account's own fields. Its ID cannot meet those of ours.
func ownControl(t *Texts, f *form.Field, value string) control {
	c := control{ID: "field-" + f.Name, Name: f.Name, Label: f.Label.In(t.Tag), Help: f.Help.In(t.Tag), Type: f.Type, Value: value, Required: f.Required, Placeholder: t.Choose}
	switch f.Type {
	case "checkbox":
		return c
	case "number":
		c.Type, c.InputMode = "text", "decimal" // type=number changes by the mouse wheel and loses what is no number
	case "radio":
		c.Group = "radio"
	case "checkboxes":
		c.Group = "checkbox"
	}
	chosen := strings.Split(value, ", ")
	for i, o := range f.Options {
		c.Options = append(c.Options, option{ID: c.ID + "-" + strconv.Itoa(i+1), Value: o.Value, Label: o.In(t.Tag), Chosen: slices.Contains(chosen, o.Value)})
	}
	return c.optional(t, true)
}

// sentence says to a person what is wrong.
func sentence(t *Texts, f *form.Settings, p form.Problem) string {
	switch p.Code {
	case form.CodeRequired:
		return fmt.Sprintf(t.Required, labelOf(t, f, p.Field))
	case form.CodeTooLong:
		return fmt.Sprintf(t.TooLong, labelOf(t, f, p.Field), t.number(p.Limit))
	case form.CodeOption:
		return fmt.Sprintf(t.Option, labelOf(t, f, p.Field))
	case form.CodeDate:
		return fmt.Sprintf(t.Date, labelOf(t, f, p.Field))
	case form.CodeNumber:
		return fmt.Sprintf(t.Number, labelOf(t, f, p.Field))
	case form.CodeURL:
		return fmt.Sprintf(t.URL, labelOf(t, f, p.Field))
	case form.CodeFileCount:
		return fmt.Sprintf(t.FileCount, p.Limit)
	case form.CodeFileSize:
		return fmt.Sprintf(t.FileSize, p.Limit>>20)
	case form.CodeTooMany:
		return fmt.Sprintf(t.TooMany, p.Limit)
	}
	if text, ok := map[form.Code]string{
		form.CodeContact: t.Contact, form.CodeEmail: t.EmailWrong, form.CodePhone: t.PhoneWrong, form.CodeConsent: t.Consent,
		form.CodeFileEmpty: t.FileEmpty, form.CodeNoFiles: t.NoFiles,
		codeTokenOld: t.TokenOld, codeTokenYoung: t.TokenYoung, codeTokenWrong: t.TokenWrong, codeTokenMissing: t.TokenMissing,
		codeRate: t.RateLimited, codeBusy: t.Busy,
	}[p.Code]; ok {
		return text
	}
	return t.InvalidTitle
}

func labelOf(t *Texts, f *form.Settings, name string) string {
	for i := range f.Fields {
		if f.Fields[i].Name == name {
			return f.Fields[i].Label.In(t.Tag)
		}
	}
	if label, ok := map[string]string{"name": t.Name, "email": t.Email, "phone": t.Phone, "subject": t.Subject, "message": t.Message, "files": t.Files}[name]; ok {
		return label
	}
	return name
}
