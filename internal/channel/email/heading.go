package email

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// headingAt says whether a heading of a quotation starts at line i: how many lines it takes, whether everything after it is
// quoted without signs, and, when it stands behind text on the same line, where it starts (-1 otherwise).
func headingAt(lines []line, i int) (length int, rest bool, glued int) {
	s := strings.TrimSpace(lines[i].text)
	if s == "" {
		return 0, false, -1
	}
	if isOriginalMessage(s) {
		return 1, true, -1
	}
	if n := headerBlock(lines, i); n > 0 {
		return n, true, -1
	}
	if n := ruledBlock(lines, i); n > 0 {
		return n, true, -1
	}
	if at := gluedAttribution(lines[i].text); at > 0 && quoteFollows(lines, i+1) {
		return 1, false, at
	}
	if n := attributionAt(lines, i); n > 0 {
		return n, false, -1
	}
	return 0, false, -1
}

// isRule says that the line draws a line.
func isRule(s string) bool {
	if len(s) < 3 {
		return false
	}
	for _, r := range s {
		if r != '_' && r != '-' && r != '=' && r != '*' && r != ' ' && r != '—' && r != '─' {
			return false
		}
	}
	return true
}

// isOriginalMessage knows "-----Original Message-----" and its kin in any of the languages of originalMessage.
func isOriginalMessage(s string) bool {
	if c := s[len(s)-1]; c != ':' && c != '-' && c != '_' && c != '=' && c != '*' && !strings.HasPrefix(s, "--") && s[0] < 0x80 {
		return false
	}
	trimmed := strings.Trim(s, "-_=*> \t\u00a0—–")
	if len(trimmed) < 5 || len(trimmed) > 80 {
		return false
	}
	lower := strings.ToLower(strings.TrimSuffix(trimmed, ":"))
	marked := strings.HasPrefix(s, "--") || strings.HasPrefix(s, "__") || strings.HasPrefix(s, "==") || strings.HasPrefix(s, "—")
	for _, phrase := range originalMessage {
		if lower == phrase && (marked || strings.HasSuffix(s, ":") && strings.Contains(phrase, " ")) {
			return true
		}
		if marked && strings.HasPrefix(lower, phrase) && len(lower) < len(phrase)+40 {
			return true
		}
	}
	return false
}

// headerBlock says how many lines at i are the header of an older mail ("From: … Sent: … To: … Subject: …"), or 0.
//
// Two names of headers are needed, and a subject or an address among them: "From: Helsinki, To: Turku" is a journey.
func headerBlock(lines []line, i int) int {
	name, value := headerName(lines[i].text)
	if name == "" {
		return 0
	}
	ruled := lines[i].rule || i > 0 && isRule(strings.TrimSpace(lines[i-1].text)) || i > 1 && lines[i-1].text == "" && isRule(strings.TrimSpace(lines[i-2].text))
	seen := map[string]bool{name: true}
	mail := name == "subject" || strings.Contains(value, "@")
	last, blank := i, 0
	for j := i + 1; j < len(lines) && j <= i+14 && !lines[j].quoted; j++ {
		s := strings.TrimSpace(lines[j].text)
		if s == "" {
			if blank++; blank > 1 {
				break
			}
			continue
		}
		key, v := headerName(s)
		if key == "" {
			if j != last+1 || !continues(s) {
				break
			}
			mail = mail || strings.Contains(s, "@")
			last = j
			continue
		}
		blank = 0
		seen[key] = true
		mail = mail || key == "subject" || strings.Contains(v, "@")
		last = j
	}
	mail = mail || ruled && seen["from"] && seen["date"]
	if len(seen) < 2 || !mail || !seen["from"] && !seen["date"] && !ruled {
		return 0
	}
	return last - i + 1
}

// ruledBlock is headerBlock for the languages that headerNames does not have: below a drawn line, three or more lines like
// "Word: value", with an address or a year among them.
func ruledBlock(lines []line, i int) int {
	if !lines[i].rule && (i == 0 || !isRule(strings.TrimSpace(lines[i-1].text))) {
		return 0
	}
	n, mail := 0, false
	for ; i+n < len(lines) && n < 8; n++ {
		s := strings.Trim(lines[i+n].text, "* \t>")
		end := strings.IndexAny(s, ":：")
		if end <= 0 || end > 40 || strings.Count(s[:end], " ") > 2 || end+1 == len(s) && n == 0 {
			break
		}
		mail = mail || strings.Contains(s, "@") || strings.Contains(s, " 20")
	}
	if n < 3 || !mail {
		return 0
	}
	return n
}

// continues says that a line may be the folded rest of a header: addresses, or short.
func continues(s string) bool { return strings.Contains(s, "@") || strings.HasPrefix(s, "<") }

// headerName reads "From: Maija" or "*Von:* Maija": the header's English name, or "".
func headerName(s string) (name, value string) {
	s = strings.TrimLeft(s, "*> \t|_")
	end := strings.IndexAny(s, ":：")
	if end <= 0 || end > 40 {
		return "", ""
	}
	key := strings.ToLower(strings.TrimRight(s[:end], " *\u00a0_"))
	_, size := utf8.DecodeRuneInString(s[end:])
	return headerNames[key], strings.TrimSpace(s[end+size:])
}

// isAttributionAt says that a heading starts at the line, in HTML whose quotations have no signs yet.
func isAttributionAt(lines []line, i int) bool { return attributionAt(lines, i) > 0 }

// attributionAt says how many lines at i are one heading like "On Monday Maija <maija@x.example> wrote:", or 0.
func attributionAt(lines []line, i int) int {
	var joined strings.Builder
	for n := 0; n < 4 && i+n < len(lines); n++ {
		s := strings.TrimSpace(lines[i+n].text)
		if s == "" || n > 0 && (lines[i+n].quoted != lines[i].quoted || !opensAttribution(lines[i].text)) {
			return 0
		}
		if n > 0 {
			joined.WriteByte(' ')
		}
		joined.WriteString(s)
		if joined.Len() > 500 {
			return 0
		}
		switch attribution(joined.String()) {
		case certain:
			return n + 1
		case likely: // a quotation below settles it
			if quoteFollows(lines, i+n+1) {
				return n + 1
			}
		}
	}
	return 0
}

// certainty is how sure it is that a line is the heading of a quotation.
type certainty int

const (
	unlikely certainty = iota
	likely
	certain
)

// attribution judges one line: does it name who wrote what follows? A verb of writing, a date and an address make it so.
// Gmail in Japanese, Russian and Hebrew leaves the verb out.
func attribution(s string) certainty {
	dashed := strings.HasPrefix(s, "---") && strings.HasSuffix(s, "---")
	s = strings.Trim(s, "->_*—– \t\u00a0\u200e\u200f\u202a\u202b\u202c")
	colon := strings.HasSuffix(s, ":") || strings.HasSuffix(s, "：")
	if len(s) < 8 || len(s) > 500 {
		return unlikely
	}
	opened := opensAttribution(s)
	if !colon && !opened {
		return unlikely
	}
	lower := strings.ToLower(strings.TrimRight(s, ":： \u00a0\u200e\u200f"))
	dated, addressed, clock := hasDate(lower), strings.Contains(lower, "@"), hasClock(lower)
	at, verb := writingVerb(lower)
	if at < 0 {
		if colon && opened && dated && clock && addressed && strings.HasSuffix(strings.TrimRight(lower, "\u202c\u200f\u202a"), ">") {
			return certain
		}
		return unlikely
	}
	atEnd := at+len(verb) >= len(lower)-1
	switch {
	case colon && opened && (dated || addressed), colon && dashed:
		return certain
	case colon && dated && (addressed || clock && len(lower) < 120 || atEnd && len(lower) < 120):
		return certain
	case colon && atEnd && len(lower) < 120:
		return likely
	case !colon && atEnd && opened && dated && (addressed || clock):
		return certain
	}
	return unlikely
}

// writingVerb finds the verb as a word of its own: the last one in the line.
func writingVerb(lower string) (int, string) {
	for _, verb := range writingVerbs {
		at := strings.LastIndex(lower, verb)
		if at < 0 {
			continue
		}
		before, _ := utf8.DecodeLastRuneInString(lower[:at])
		after, _ := utf8.DecodeRuneInString(lower[at+len(verb):])
		wide := verb[0] >= 0xe0 // East Asian verbs stand without spaces
		if (at == 0 || wide || !unicode.IsLetter(before)) && (at+len(verb) == len(lower) || wide || !unicode.IsLetter(after)) {
			return at, verb
		}
	}
	return -1, ""
}

// opensAttribution says that the line starts as such headings do: "On", "Am", "Le", a weekday, a date.
func opensAttribution(s string) bool {
	s = strings.ToLower(strings.TrimLeft(s, "->*_—– \t\u00a0"))
	if s == "" {
		return false
	}
	if s[0] >= '0' && s[0] <= '9' {
		return true
	}
	word := s
	if i := strings.IndexAny(s, " ,.:\u00a0"); i > 0 {
		word = s[:i]
	}
	return attributionOpeners[word]
}

// hasDate says that the text holds a day: two groups of digits, or one with a year.
func hasDate(s string) bool {
	groups, run := 0, 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] >= '0' && s[i] <= '9' {
			run++
			continue
		}
		if run > 0 && run <= 4 {
			groups++
		}
		run = 0
	}
	return groups >= 2
}

func hasClock(s string) bool {
	for i := 1; i+2 < len(s); i++ {
		if (s[i] == ':' || s[i] == '.') && isDigit(s[i-1]) && isDigit(s[i+1]) && isDigit(s[i+2]) {
			return true
		}
	}
	return false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// gluedAttribution finds "On Wed, Apr 4, 2012 … wrote:" behind text on the same line, or -1.
func gluedAttribution(s string) int {
	if !strings.HasSuffix(strings.TrimSpace(s), ":") || opensAttribution(s) {
		return -1
	}
	for _, opener := range []string{" On ", "-On ", " Am ", " Le ", " Den ", " El ", " Il ", " Op "} {
		if at := strings.LastIndex(s, opener); at > 0 && attribution(s[at+1:]) == certain {
			return at + 1
		}
	}
	return -1
}
