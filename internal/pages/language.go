package pages

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aikajana/aikajana/internal/channel/form"
	"github.com/aikajana/aikajana/internal/msg"
)

// texts chooses the language: ?lang, then what the browser prefers, then the fallback, then English. A program that asks for
// no language is answered in English.
func (s *site) texts(r *http.Request, fallback string) *Texts {
	if wantsJSON(r) {
		fallback = "en"
	}
	for _, l := range append([]string{r.URL.Query().Get("lang")}, accepted(r.Header.Get("Accept-Language"))...) {
		if slices.Contains(form.Languages(), l) {
			return textsIn(l)
		}
	}
	return textsIn(fallback)
}

// accepted lists the primary languages of an Accept-Language header (RFC 9110 section 12.5.4), the most wanted first.
func accepted(header string) []string {
	type choice struct {
		tag string
		q   float64
	}
	var choices []choice
	for one := range strings.SplitSeq(header[:min(len(header), 1000)], ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(one), ";")
		primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		q := 1.0
		if value, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(value, 64); err != nil {
				q = 0
			}
		}
		if primary != "" && q > 0 {
			choices = append(choices, choice{primary, q})
		}
	}
	slices.SortStableFunc(choices, func(a, b choice) int { return cmp.Compare(b.q, a.q) })
	tags := make([]string, len(choices))
	for i, c := range choices {
		tags[i] = c.tag
	}
	return tags
}

// languageLinks offers the same page in each language. After a post it is the page's address that is offered.
func languageLinks(r *http.Request, current string) []languageLink {
	var links []languageLink
	for _, tag := range form.Languages() {
		query := url.Values{}
		if from := cameFrom(r); from != "" && r.URL.Query().Get("page") == from {
			query.Set("page", from)
		}
		if token := r.URL.Query().Get("s"); statusToken.MatchString(token) {
			query.Set("s", token)
		}
		query.Set("lang", tag)
		links = append(links, languageLink{URL: "?" + query.Encode(), Tag: tag, Own: textsIn(tag).Own, Current: tag == current})
	}
	return links
}

// number shows a whole number, its thousands apart.
func (t *Texts) number(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + t.Thousands + digits[i:]
	}
	return digits
}

// when shows a time to people, in the desk's zone.
func (s *site) when(t *Texts, at msg.Time) string {
	return at.Time().In(s.Location).Format(t.TimeFormat)
}
