package email

import "strings"

// written is a mail's text, told apart.
type written struct {
	// own is what the person wrote now, without their signature; quoted what they quoted; full everything, in order.
	own, quoted, full string
	// found says that something in the text or markup told own from quoted; nothing, that all of it looked quoted, so that own
	// is everything.
	found, nothing bool
}

// role is what a line of a mail is.
type role uint8

const (
	roleText role = iota
	roleQuote
	roleHeading // "On … wrote:", "-----Original Message-----", From and To of an older mail
	roleSignature
)

// maxReplyLines is how many lines are looked at for headings; text beyond is kept as the line before it was.
const maxReplyLines = 20_000

// plainLines cuts plain text into lines. A line that starts with ">" is quoted.
func plainLines(text string) []line {
	parts := strings.Split(text, "\n")
	lines := make([]line, len(parts))
	for i, s := range parts {
		s = strings.TrimRight(s, " \t\r")
		quoted := strings.HasPrefix(s, ">") || strings.HasPrefix(s, " >") && !strings.HasPrefix(s, " >>>")
		lines[i] = line{text: s, quoted: quoted && !strings.HasPrefix(s, ">From ")}
	}
	return lines
}

// separate tells what was written now from what was quoted.
//
// Order of trust: marks in the HTML (cut, quoted), then quote signs, then headings that mail programs put above what they
// quote. What somebody forwards is no quotation: nobody at the desk has seen it, so it counts as written now, and so does
// all of a mail in which nothing of the person's own is left.
func separate(lines []line) written {
	if at := forwardAt(lines); at >= 0 {
		return separateForward(lines, at)
	}
	roles := make([]role, len(lines))
	found := markRoles(lines, roles)
	markSignature(lines, roles)
	var own, quoted, full textBuilder
	for i, l := range lines {
		text := l.text
		full.line(text)
		switch roles[i] {
		case roleText:
			own.line(text)
			continue
		case roleQuote, roleHeading:
			quoted.line(text)
		}
		own.gap()
	}
	w := written{own: own.String(), quoted: quoted.String(), full: full.String(), found: found}
	if w.own == "" {
		w = nothingOwn(lines, roles, w)
	}
	return w
}

// forwardAt is the line where a forwarded mail begins below the person's own words, or -1. A forward inside what is quoted is
// part of the quotation.
func forwardAt(lines []line) int {
	for i := range lines[:min(len(lines), maxReplyLines)] {
		s := strings.Trim(lines[i].text, "> \t")
		switch {
		case s == "":
		case isForward(s):
			return i
		case lines[i].quoted || lines[i].cut:
			return -1
		default:
			if length, _, glued := headingAt(lines, i); length > 0 || glued >= 0 {
				return -1
			}
		}
	}
	return -1
}

// isForward knows "---------- Forwarded message ---------" and "Begin forwarded message:" in the languages of forwardedMessage.
func isForward(s string) bool {
	if !strings.HasPrefix(s, "--") && !strings.HasSuffix(s, ":") || len(s) > 120 {
		return false
	}
	lower := strings.ToLower(strings.Trim(s, "-_=* \t\u00a0:：—–"))
	for _, phrase := range forwardedMessage {
		if strings.HasPrefix(lower, phrase) && len(lower) < len(phrase)+20 {
			return true
		}
	}
	return false
}

// separateForward keeps everything; only a telephone's line above the forwarded mail is left out.
func separateForward(lines []line, at int) written {
	roles := make([]role, len(lines))
	signatureIn(lines, roles, 0, at, false)
	var own, full textBuilder
	for i, l := range lines {
		full.line(l.text)
		if roles[i] == roleText {
			own.line(l.text)
		} else {
			own.gap()
		}
	}
	return written{own: own.String(), full: full.String(), found: true}
}

// nothingOwn decides about a mail in which everything looks quoted or like a signature.
func nothingOwn(lines []line, roles []role, w written) written {
	var signature textBuilder
	for i, l := range lines {
		if roles[i] == roleSignature {
			signature.line(l.text)
		}
	}
	switch text := signature.String(); {
	case text != "" && !isDeviceLine(text): // somebody wrote inside their signature block
		w.own = text
	case w.quoted != "":
		w.own, w.quoted, w.nothing = w.full, "", true
	case text != "":
		w.own = text
	}
	return w
}

// markRoles finds quotations and their headings.
func markRoles(lines []line, roles []role) bool {
	found := false
	hardSeen := false
	for i := 0; i < len(lines); i++ {
		l := &lines[i]
		switch {
		case l.signature:
			roles[i] = roleSignature
			continue
		case l.cut:
			markRest(lines, roles, i)
			return true
		case l.quoted:
			roles[i], found = roleQuote, true
			hardSeen = hardSeen || l.soft
			continue
		case l.soft && !hardSeen: // the heading in the box of a quotation, or all of a forward in one
			roles[i], found = roleQuote, true
			continue
		case i >= maxReplyLines:
			if i > 0 {
				roles[i] = roles[i-1]
			}
			continue
		}
		length, rest, glued := headingAt(lines, i)
		if length == 0 {
			continue
		}
		if glued >= 0 { // "reply On Wed, … wrote:" on one line
			heading := l.text[glued:]
			l.text = strings.TrimRight(l.text[:glued], " \t-")
			if strings.TrimSpace(heading) != "" {
				roles[i] = roleText
			}
			found = true
			continue
		}
		found = true
		for j := i; j < i+length; j++ {
			roles[j] = roleHeading
		}
		backRule(lines, roles, i)
		if rest || !quoteFollows(lines, i+length) {
			markRest(lines, roles, i)
			return true
		}
		i += length - 1
	}
	return found
}

// markRest makes everything from line i on quoted; text in front of it that only drew a line goes along.
func markRest(lines []line, roles []role, i int) {
	for j := i; j < len(lines); j++ {
		roles[j] = roleQuote
	}
	backRule(lines, roles, i)
}

// backRule takes a drawn line just above a heading into the quotation.
func backRule(lines []line, roles []role, i int) {
	for j := i - 1; j >= 0 && j >= i-3; j-- {
		if s := strings.TrimSpace(lines[j].text); s == "" {
			continue
		} else if isRule(s) {
			roles[j] = roleHeading
		}
		return
	}
}

// quoteFollows says that the next line with something on it is quoted.
func quoteFollows(lines []line, i int) bool {
	for ; i < len(lines); i++ {
		if lines[i].quoted {
			return true
		}
		if lines[i].text != "" {
			return false
		}
	}
	return false
}

// textBuilder joins lines: no more than two empty ones in a row, none at the ends.
type textBuilder struct {
	b     strings.Builder
	empty int
	left  bool // something was left out since the last line
}

// gap says that lines were left out here: one empty line is enough.
func (t *textBuilder) gap() { t.left = true }

func (t *textBuilder) line(s string) {
	if strings.TrimSpace(s) == "" {
		t.empty++
		return
	}
	most := 2
	if t.left {
		most = 1
	}
	if t.b.Len() > 0 {
		t.b.WriteString("\n\n\n"[:1+min(t.empty, most)])
	}
	t.empty, t.left = 0, false
	t.b.WriteString(s)
}

func (t *textBuilder) String() string { return t.b.String() }
