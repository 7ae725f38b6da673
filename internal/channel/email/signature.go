package email

import "strings"

// maxSignatureLines is the longest text below "-- " that is taken for a signature; more is a letter with a dash in it.
const maxSignatureLines = 40

// markSignature takes the sender's signature out of what they wrote: what follows "-- " (RFC 3676 section 4.3) at the end of
// the mail, and lines like "Sent from my iPhone". It stays in the full text.
//
// Names and greetings stay where they are, and so does a signature with a quotation below it: "--" in the middle of a mail
// is too often a line that somebody drew, and a telephone number too many harms less than a sentence too few.
func markSignature(lines []line, roles []role) {
	last := true // nothing but signatures stands below
	for end := len(lines); end > 0; {
		start := end
		for start > 0 && roles[start-1] == roleText {
			start--
		}
		if start < end {
			signatureIn(lines, roles, start, end, last)
			last = last && count(lines[start:end]) == 0
		}
		if start > 0 && roles[start-1] != roleSignature && lines[start-1].text != "" {
			last = false
		}
		end = start - 1
	}
}

func signatureIn(lines []line, roles []role, start, end int, last bool) {
	for i := start; i < end; i++ {
		if !isSignatureMark(lines[i].text) && !listFooterAt(lines[i:end]) || count(lines[i:end]) > maxSignatureLines {
			continue
		}
		if !last {
			return
		}
		for j := i; j < end; j++ {
			roles[j] = roleSignature
		}
		end = i
		break
	}
	for last := end - 1; last >= start; last-- {
		s := strings.TrimSpace(lines[last].text)
		if s == "" {
			continue
		}
		if !isDeviceLine(s) && !isRule(s) {
			return
		}
		if isRule(s) && !ruleAboveQuote(lines, roles, last) {
			return
		}
		roles[last] = roleSignature
	}
}

// ruleAboveQuote says that a drawn line stands above a quotation or a device line, not at the end of a letter.
func ruleAboveQuote(lines []line, roles []role, i int) bool {
	for j := i + 1; j < len(lines); j++ {
		if lines[j].text != "" {
			return roles[j] != roleText
		}
	}
	return false
}

// isSignatureMark knows "-- ", and "--" as many programs send it.
func isSignatureMark(s string) bool { return s == "--" || s == "-- " || s == "–" || s == "—" }

// listFooterAt says that a mailing list's footer begins: a long drawn line, the list's name and address below it.
func listFooterAt(lines []line) bool {
	s := lines[0].text
	if len(s) < 20 || strings.Trim(s, "_") != "" || count(lines) > 8 {
		return false
	}
	for _, l := range lines[1:] {
		if lower := strings.ToLower(l.text); strings.Contains(lower, "mailing list") || strings.Contains(lower, "listinfo") || strings.Contains(lower, "unsubscribe") {
			return true
		}
	}
	return false
}

func count(lines []line) int {
	n := 0
	for _, l := range lines {
		if l.text != "" {
			n++
		}
	}
	return n
}

// isDeviceLine knows what telephones put under a mail: one short line that begins with "Sent from" in some language.
func isDeviceLine(s string) bool {
	s = strings.ToLower(strings.Trim(s, "*_[]()<> \t"))
	if len(s) > 200 {
		return false
	}
	shown := s
	if i := strings.IndexByte(s, '<'); i > 0 { // a link behind it
		shown = s[:i]
	}
	shown = strings.TrimSpace(shown)
	// A sentence that begins alike ("Sent from Tampere yesterday, still not here.") is the person's own.
	if shown == "" || len(shown) > 100 || strings.IndexByte(".,?;", shown[len(shown)-1]) >= 0 || len(strings.Fields(shown)) > 10 {
		return false
	}
	if rest, ok := strings.CutPrefix(shown, "lähetetty "); ok { // "Lähetetty iPhonesta", not "Lähetetty tavara puuttuu"
		return strings.HasSuffix(rest, "sta") || strings.HasSuffix(rest, "stä") || strings.HasSuffix(rest, "lta") || strings.HasSuffix(rest, "lla") ||
			strings.HasPrefix(rest, "iphone") || strings.HasPrefix(rest, "outlook")
	}
	for _, prefix := range deviceLines {
		if strings.HasPrefix(shown, prefix) {
			return true
		}
	}
	// German and Dutch put the verb last.
	return (strings.HasPrefix(shown, "von meinem ") || strings.HasPrefix(shown, "diese nachricht wurde von meinem") ||
		strings.HasPrefix(shown, "von unterwegs") || strings.HasPrefix(shown, "vom ")) && strings.Contains(shown, "gesendet") ||
		strings.HasPrefix(shown, "mobil") && strings.Contains(shown, "gesendet")
}
