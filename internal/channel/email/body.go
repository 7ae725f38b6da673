package email

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/aikajana/aikajana/internal/msg"
)

// maxTextChars caps what a mail may put into the timeline; the raw mail stays whole.
const maxTextChars = 200_000

// bodyReader walks a mail's tree and collects its lines and files in the order in which they stand.
type bodyReader struct {
	tree  *tree
	reply bool // the mail answers another one: worth looking for marks of quotation
	lines []line
	parts []msg.Part
	// pictures are the files that the HTML shows by cid: or Content-Location, and the ones it did show.
	pictures map[string]*part
	shown    map[string]bool
	notes    []string // what is to be said about files that cannot be read here
	nested   int
}

// readBody turns the tree into what a message holds.
func readBody(t *tree, reply bool) *bodyReader {
	r := &bodyReader{tree: t, reply: reply, shown: make(map[string]bool)}
	r.read(t.root)
	return r
}

func (r *bodyReader) read(p *part) {
	switch {
	case p.kind == "multipart/alternative":
		r.alternative(p)
	case p.kind == "multipart/related":
		r.related(p)
	case p.kind == "multipart/appledouble" && len(p.children) == 2: // RFC 1740: the resource fork says nothing here
		r.read(p.children[1])
	case p.kind == "multipart/encrypted":
		r.notes = append(r.notes, "[encrypted mail: open the attached file with the key it was made for]")
		r.files(p)
	case len(p.children) > 0:
		for _, child := range p.children {
			r.read(child)
		}
	case isText(p):
		r.text(p)
	default:
		r.file(p)
	}
}

// isText says that the part is text to be read, not a file.
func isText(p *part) bool {
	if p.disposition() == "attachment" {
		return false
	}
	switch p.kind {
	case "text/plain", "text/html":
		return p.name() == "" || p.path == "1"
	case "text/enriched", "text/richtext", "text", "text/x-markdown", "text/markdown", "text/watch-html", "text/x-amp-html":
		return p.name() == ""
	case "message/delivery-status", "message/feedback-report", "message/disposition-notification", "text/rfc822-headers":
		return false
	}
	return false
}

// alternative takes the best of several forms of the same text (RFC 2046 section 5.1.4). Plain text is read first, because it
// is cheap and mostly right; the HTML is read where it alone shows what was quoted, where pictures stand in it, or where the
// plain text is only an excuse.
func (r *bodyReader) alternative(p *part) {
	var plain, rich *part
	for _, child := range p.children {
		switch {
		case child.kind == "text/plain" && isText(child) && plain == nil:
			plain = child
		case child.kind == "text/html" || strings.HasPrefix(child.kind, "multipart/"):
			rich = child
		case child.kind == "text/calendar":
			r.calendar(child)
		case !isText(child):
			r.file(child)
		case plain == nil && rich == nil:
			plain = child
		}
	}
	switch {
	case plain == nil && rich == nil:
	case plain == nil:
		r.read(rich)
	case rich == nil:
		r.text(plain)
	default:
		r.choose(plain, rich)
	}
}

func (r *bodyReader) choose(plain, rich *part) {
	page := firstOf(rich, "text/html")
	text := unflow(plain)
	source := ""
	if page != nil {
		source = page.text()
	}
	usePage := page != nil && (isExcuse(text, source) || r.pictured(rich, source))
	lines := plainLines(capped(squeeze(text), maxHTMLBytes))
	if page != nil && !usePage && (r.reply || strings.Contains(source, "gmail_quote")) && marksQuotes(source) {
		usePage = !separate(plainLines(text)).found
	}
	if usePage || len(r.lines) == 0 && strings.TrimSpace(text) == "" {
		r.read(rich)
		return
	}
	r.add(lines)
	r.files(rich) // pictures and files beside the HTML that was not read
}

// pictured says that the HTML shows pictures of the mail: where they stand is part of what was written.
func (r *bodyReader) pictured(rich *part, source string) bool {
	return (len(rich.children) > 0 || len(r.pictures) > 0) && strings.Contains(source, "cid:")
}

// isExcuse says that the plain text is only there to say that there is none.
func isExcuse(text, source string) bool {
	text = strings.TrimSpace(text)
	if text == "" {
		return strings.TrimSpace(source) != ""
	}
	if len(text) > 400 || len(source) < len(text) {
		return false
	}
	lower := strings.ToLower(text)
	return containsAny(lower, "html") && containsAny(lower, "does not support", "doesn't support", "not support", "cannot display", "can't display",
		"view this", "html version", "html-version", "html email", "html-mail", "html format", "html-format", "ei tue html", "stöder inte", "unterstützt")
}

// related reads the root of a multipart/related (RFC 2387) and marks the pictures that it shows where they stand.
func (r *bodyReader) related(p *part) {
	root := p.children[0:]
	if len(root) == 0 {
		return
	}
	first := root[0]
	if start := strings.Trim(p.params["start"], "<> "); start != "" {
		for _, child := range p.children {
			if child.contentID() == start {
				first = child
			}
		}
	}
	if r.pictures == nil {
		r.pictures = make(map[string]*part)
	}
	for _, child := range p.children {
		if child == first {
			continue
		}
		for _, id := range []string{child.contentID(), strings.TrimSpace(child.header.raw("content-location")), child.name()} {
			if id != "" {
				r.pictures[id] = child
			}
		}
	}
	r.read(first)
	for _, child := range p.children {
		if child != first {
			r.read(child)
		}
	}
}

// text adds a part of text.
func (r *bodyReader) text(p *part) {
	if p.kind == "text/html" || p.kind == "text/enriched" || p.kind == "text/richtext" || looksHTML(p) {
		r.add(htmlText(p.text(), r.picture))
		return
	}
	if f, ok := decodeUU(p.body); ok { // a file inside the text, as before MIME
		r.uuencoded(p, f)
		return
	}
	r.add(plainLines(capped(squeeze(unflow(p)), maxHTMLBytes)))
}

// looksHTML finds HTML that says it is plain text.
func looksHTML(p *part) bool {
	b := bytes.TrimLeft(p.body[:min(len(p.body), 512)], " \t\n\xef\xbb\xbf")
	if len(b) < 6 || b[0] != '<' {
		return false
	}
	head := strings.ToLower(string(b[:min(len(b), 20)]))
	return strings.HasPrefix(head, "<html") || strings.HasPrefix(head, "<!doctype html") || strings.HasPrefix(head, "<body")
}

// uuencoded reads a text with files in it: the text around them, and the files where they stood.
func (r *bodyReader) uuencoded(p *part, f uuFile) {
	rest, ok := p.body, true
	for n := 1; ok && n <= maxUUFiles; n++ {
		text := toUTF8(rest[:f.start], p.params["charset"])
		r.add(plainLines(text))
		name := fileName(rawText(f.name))
		kind := typeByName(name)
		if kind == "" {
			kind = "application/octet-stream"
		}
		r.parts = append(r.parts, msg.Part{Kind: partKind(kind), Media: &msg.Media{
			ID: p.path + ".uu" + strconv.Itoa(n), Type: kind, Name: name, Size: int64(len(f.data)),
		}})
		rest = f.rest
		f, ok = decodeUU(rest)
	}
	text := toUTF8(rest, p.params["charset"])
	r.add(plainLines(capped(squeeze(text), maxHTMLBytes)))
}

// maxUUFiles is how many uuencoded files of one text are taken out.
const maxUUFiles = 50

// uuNumber is the nth file (from 1) of a text.
func uuNumber(b []byte, n string) ([]byte, bool) {
	want, err := strconv.Atoi(n)
	if err != nil || want < 1 || want > maxUUFiles {
		return nil, false
	}
	for ; ; want-- {
		f, ok := decodeUU(b)
		if !ok || want == 1 {
			return f.data, ok
		}
		b = f.rest
	}
}

// add appends lines, with an empty one between two texts.
func (r *bodyReader) add(lines []line) {
	if n := len(r.lines); n > 0 && len(lines) > 0 && r.lines[n-1].text != "" {
		r.lines = append(r.lines, line{})
	}
	r.lines = append(r.lines, lines...)
}

// picture is the mark of an image's source: the name of the file that it shows, "" when it is none of the mail's.
func (r *bodyReader) picture(src string) string {
	src = strings.TrimSpace(src)
	if strings.HasPrefix(strings.ToLower(src), "data:image/") {
		return "inside the text"
	}
	id := src
	if len(src) > 4 && strings.EqualFold(src[:4], "cid:") {
		id = string(unpercent(src[4:]))
	}
	p := r.pictures[id]
	if p == nil {
		if id != src {
			return "missing"
		}
		return ""
	}
	r.shown[p.path] = true
	return partName(p)
}

// files adds everything below p that is a file.
func (r *bodyReader) files(p *part) {
	if len(p.children) == 0 {
		if !isText(p) {
			r.file(p)
		}
		return
	}
	for _, child := range p.children {
		r.files(child)
	}
}

// file adds one attachment, and what can be said about it in words.
func (r *bodyReader) file(p *part) {
	kind := p.kind
	name := p.name()
	switch {
	case kind == "application/applefile" && name == "":
		return
	case kind == "text/calendar":
		r.calendar(p)
		return
	case kind == "application/ms-tnef", kind == "application/vnd.ms-tnef", strings.EqualFold(name, "winmail.dat"):
		r.tnef(p)
		return
	case kind == "message/rfc822" || kind == "message/global":
		r.attachedMail(p)
		return
	case kind == "application/pkcs7-mime" || kind == "application/x-pkcs7-mime":
		r.notes = append(r.notes, smimeNote(p))
	case kind == "message/partial":
		r.notes = append(r.notes, "[one piece of a mail that was sent in pieces]")
	}
	r.parts = append(r.parts, filePart(p))
	// A picture in the flow of the text (Apple Mail) is marked there; one that the HTML showed is marked already.
	if strings.HasPrefix(kind, "image/") && p.disposition() == "inline" && !r.shown[p.path] && len(r.lines) > 0 {
		r.lines = append(r.lines, line{text: "[picture: " + partName(p) + "]"})
	}
}

func smimeNote(p *part) string {
	if strings.Contains(p.params["smime-type"], "signed") {
		return "[signed mail (S/MIME): its content is in the attached file]"
	}
	return "[encrypted mail (S/MIME): open the attached file with the key it was made for]"
}

// filePart describes a file; its place in the tree is how Extract finds it again.
func filePart(p *part) msg.Part {
	kind := p.kind
	name := p.name()
	if kind == "application/octet-stream" || kind == "" {
		if guessed := typeByName(name); guessed != "" {
			kind = guessed
		}
	}
	return msg.Part{Kind: partKind(kind), Media: &msg.Media{
		ID: p.path, Type: kind, Name: partName(p), Size: p.size(), ContentID: p.contentID(),
	}}
}

func partName(p *part) string {
	if name := p.name(); name != "" {
		return name
	}
	base := "file"
	if strings.HasPrefix(p.kind, "image/") {
		base = "picture"
	}
	if p.kind == "message/rfc822" {
		base = "mail"
	}
	return base + "-" + p.path + extension(p.kind)
}

func partKind(mediaType string) msg.PartKind {
	main, _, _ := strings.Cut(mediaType, "/")
	switch {
	case mediaType == "image/svg+xml":
		return msg.PartFile
	case main == "image":
		return msg.PartImage
	case main == "audio":
		return msg.PartAudio
	case main == "video":
		return msg.PartVideo
	}
	return msg.PartFile
}

// attachedMail keeps a mail inside the mail as a file and names it in the text. When the person wrote nothing beside it, its
// text is what they wanted read.
func (r *bodyReader) attachedMail(p *part) {
	inner := p.content()
	h, _ := readHeader(inner)
	f := filePart(p)
	subject := h.text("subject")
	if p.name() == "" && subject != "" {
		f.Media.Name = fileName(capped(subject, 80)) + ".eml"
	}
	f.Text = "attached mail: " + subject
	r.parts = append(r.parts, f)
	if r.nested == 0 && !r.hasText() {
		r.nested++
		r.add([]line{{text: "[attached mail: " + subject + "]"}})
		sub := readBody(readTree(inner), false)
		r.lines = append(r.lines, sub.lines...)
	}
}

func (r *bodyReader) hasText() bool {
	for _, l := range r.lines {
		if strings.TrimSpace(l.text) != "" {
			return true
		}
	}
	return false
}

// firstOf finds the first part of a kind, depth first.
func firstOf(p *part, kind string) *part {
	if p.kind == kind && len(p.children) == 0 {
		return p
	}
	for _, child := range p.children {
		if found := firstOf(child, kind); found != nil {
			return found
		}
	}
	return nil
}

// find is the part at a place, or nil.
func (t *tree) find(place string) *part {
	var walk func(*part) *part
	walk = func(p *part) *part {
		if p.path == place && len(p.children) == 0 {
			return p
		}
		for _, child := range p.children {
			if found := walk(child); found != nil {
				return found
			}
		}
		return nil
	}
	return walk(t.root)
}

// unflow is a plain part's text; format=flowed lines are joined again (RFC 3676).
func unflow(p *part) string {
	text := p.text()
	if !strings.EqualFold(p.params["format"], "flowed") {
		return text
	}
	delSp := strings.EqualFold(p.params["delsp"], "yes")
	var out strings.Builder
	out.Grow(len(text))
	depth, open, first := 0, false, true
	for s := range strings.SplitSeq(text, "\n") {
		s = strings.TrimSuffix(s, "\r")
		d := 0
		for d < len(s) && s[d] == '>' {
			d++
		}
		content := strings.TrimPrefix(s[d:], " ") // space-stuffing, section 4.4
		joined := open && d == depth && s != ""
		open = strings.HasSuffix(content, " ") && content != "-- "
		depth = d
		if open && delSp {
			content = content[:len(content)-1]
		}
		if !joined {
			if !first {
				out.WriteByte('\n')
			}
			if d > 0 {
				out.WriteString(strings.Repeat(">", d) + " ")
			}
		}
		first = false
		out.WriteString(content)
	}
	return out.String()
}

// limited caps a text and says that it did.
func limited(s string) string {
	if len(s) <= maxTextChars {
		return s
	}
	cutAt := maxTextChars
	for cutAt > 0 && s[cutAt]&0xc0 == 0x80 {
		cutAt--
	}
	return s[:cutAt] + "\n[… " + strconv.Itoa(len(s)-cutAt) + " more bytes of text: they are in the raw mail]"
}

// squeeze shortens runs of white space that no person typed (FAULTS 37).
func squeeze(s string) string {
	const most = 80
	run, long := 0, false
	for i := 0; i < len(s) && !long; i++ {
		if s[i] == ' ' || s[i] == '\t' {
			run++
			long = run > most
		} else {
			run = 0
		}
	}
	if !long {
		return s
	}
	var b strings.Builder
	run = 0
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' || s[i] == '\t' {
			if run++; run > most {
				continue
			}
		} else {
			run = 0
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
