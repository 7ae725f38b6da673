package email

import (
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/html"
)

// Limits of reading HTML. The tokenizer builds no tree, so nesting costs nothing (FAULTS 42); only what is kept is capped.
const (
	maxHTMLBytes = 4 << 20
	maxHTMLStack = 2000
	maxLinks     = 500
	maxLinkChars = 300
)

// line is one line of a mail's text and what its markup says about it.
type line struct {
	text string
	// quoted: inside what the mail program marks as a quotation. soft: inside the box that holds a quotation and its heading,
	// where replies between the quoted lines stand too. signature: inside the sender's signature block.
	quoted, soft, signature bool
	// cut: from here on everything is quoted. rule: a drawn line; one above a heading of From, To, Subject is a cut.
	cut, rule bool
}

// htmlText turns an HTML mail into lines. picture names the file behind an image's source ("" for none of ours); nothing is
// ever fetched (FAULTS 31).
func htmlText(source string, picture func(src string) string) []line {
	w := &htmlWriter{picture: picture, open: make(map[string]int)}
	z := html.NewTokenizer(strings.NewReader(capped(source, maxHTMLBytes)))
	for {
		switch z.Next() {
		case html.ErrorToken:
			w.breakLine()
			return settleBlocks(w.lines, w.blocks)
		case html.TextToken:
			w.text(string(z.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			w.start(string(name), readAttributes(z, more))
		case html.EndTagToken:
			name, _ := z.TagName()
			w.end(string(name))
		}
	}
}

// attributes are the few that matter.
type attributes struct {
	class, id, kind, style, href, src, alt, name, marker string
}

func readAttributes(z *html.Tokenizer, more bool) attributes {
	var a attributes
	for n := 0; more && n < 100; n++ {
		var key, value []byte
		key, value, more = z.TagAttr()
		switch string(key) {
		case "class":
			a.class = strings.ToLower(string(value))
		case "id":
			a.id = strings.ToLower(string(value))
		case "type":
			a.kind = strings.ToLower(string(value))
		case "style":
			a.style = strings.ToLower(strings.ReplaceAll(string(value), " ", ""))
		case "href":
			a.href = string(value)
		case "src":
			a.src = string(value)
		case "alt":
			a.alt = string(value)
		case "name":
			a.name = strings.ToLower(string(value))
		case "data-marker":
			a.marker = strings.ToLower(string(value))
		}
	}
	return a
}

// effect is what an open element does to the text inside it.
type effect struct {
	tag                               string
	skip, quote, soft, signature, pre bool
	href                              string
	linkFrom                          int
	items                             int // of an ordered list; -1 for an unordered one
	block                             int // index into blocks, for a blockquote that says nothing of itself; -1 otherwise
	textStart                         int
}

// span is a range of lines.
type span struct{ from, to int }

type htmlWriter struct {
	picture func(string) string
	lines   []line
	current strings.Builder
	stack   []effect
	open    map[string]int
	blocks  []span

	skip, quote, soft, signature, pre int
	links                             int
	cutNext, ruleNext                 bool
	space                             bool // white space is due before the next word
	head                              bool
}

// start handles an opening tag.
func (w *htmlWriter) start(tag string, a attributes) {
	if w.head && !headTag(tag) { // a head that nobody closed must not hide the mail
		w.end("head")
		w.head = false
	}
	switch tag {
	case "br":
		w.newLine()
		return
	case "hr":
		w.breakLine()
		w.ruleNext = true
		w.cutNext = w.cutNext || isCut(a)
		w.emit("________________")
		return
	case "img":
		w.image(a)
		return
	case "head":
		w.head = true
	}
	if voidTag(tag) {
		return
	}
	if blockTag(tag) {
		w.breakLine()
	}
	switch tag {
	case "p", "h1", "h2", "h3", "h4", "h5", "h6":
		if !strings.Contains(a.class, "msonormal") && !strings.Contains(a.style, "margin:0") {
			w.blank()
		}
		if !strings.Contains(a.class, "cite") && !isQuote(tag, a) {
			return
		}
	case "li":
		w.item()
		return
	case "td", "th":
		if w.current.Len() > 0 {
			w.current.WriteString("  ")
			w.space = false
		}
	case "tr", "tbody", "thead", "dt", "dd", "option":
		return
	}
	w.push(tag, a)
}

func (w *htmlWriter) push(tag string, a attributes) {
	if len(w.stack) >= maxHTMLStack {
		return
	}
	e := effect{tag: tag, items: -1, block: -1}
	e.skip = skipTag(tag) || strings.Contains(a.style, "display:none")
	e.pre = tag == "pre" || tag == "plaintext" || tag == "listing"
	e.quote = isQuote(tag, a)
	e.soft = isSoftQuote(a)
	e.signature = isSignature(a)
	if isCut(a) {
		w.breakLine()
		w.cutNext = true
	}
	if strings.Contains(a.style, "border-top:") && !strings.Contains(a.style, "border-top:none") && !strings.Contains(a.style, "border-top:0") ||
		strings.Contains(a.style, "border-top-style:solid") {
		w.breakLine()
		w.ruleNext = true
	}
	switch {
	case tag == "a":
		e.href, e.linkFrom = a.href, w.current.Len()
		e.textStart = len(w.lines)
	case tag == "ol":
		e.items = 0
	case tag == "blockquote" && !e.quote:
		e.block = len(w.blocks)
		w.blocks = append(w.blocks, span{len(w.lines), -1})
	}
	if e.quote || e.soft || e.signature {
		w.breakLine()
	}
	w.count(e, 1)
	w.stack = append(w.stack, e)
	w.open[tag]++
}

func (w *htmlWriter) count(e effect, by int) {
	for _, c := range []struct {
		on bool
		n  *int
	}{{e.skip, &w.skip}, {e.quote, &w.quote}, {e.soft, &w.soft}, {e.signature, &w.signature}, {e.pre, &w.pre}} {
		if c.on {
			*c.n += by
		}
	}
}

// end handles a closing tag: it closes the nearest open element of that name. Mail is full of tags that close in the wrong
// order; an inline one closes nothing across a block.
func (w *htmlWriter) end(tag string) {
	if blockTag(tag) {
		w.breakLine()
	}
	if tag == "p" {
		w.blank()
	}
	if w.open[tag] == 0 {
		return
	}
	for i := len(w.stack) - 1; i >= 0 && i >= len(w.stack)-100; i-- {
		if w.stack[i].tag == tag {
			for len(w.stack) > i {
				w.pop()
			}
			return
		}
		if blockTag(w.stack[i].tag) && !blockTag(tag) {
			return
		}
	}
}

func (w *htmlWriter) pop() {
	e := w.stack[len(w.stack)-1]
	w.stack = w.stack[:len(w.stack)-1]
	w.open[e.tag]--
	if e.quote || e.soft || e.signature {
		w.breakLine()
	}
	w.count(e, -1)
	if e.tag == "a" {
		w.link(e)
	}
	if e.block >= 0 {
		w.breakLine()
		w.blocks[e.block].to = len(w.lines)
	}
	if e.tag == "head" {
		w.head = false
	}
}

// link writes where a link leads, when the text does not say so itself.
func (w *htmlWriter) link(e effect) {
	if w.skip > 0 || w.links >= maxLinks || e.textStart != len(w.lines) || e.linkFrom > w.current.Len() {
		return
	}
	shown := strings.TrimSpace(w.current.String()[e.linkFrom:])
	href := strings.TrimSpace(e.href)
	scheme, rest, ok := strings.Cut(href, ":")
	if !ok || shown == "" {
		return
	}
	switch strings.ToLower(scheme) {
	case "http", "https":
		rest = strings.TrimPrefix(rest, "//")
	case "mailto", "tel":
		rest, _, _ = strings.Cut(rest, "?")
		href = rest
	default:
		return
	}
	if strings.Contains(shown, strings.TrimSuffix(rest, "/")) || strings.HasPrefix(rest, strings.TrimSuffix(shown, "/")) {
		return
	}
	w.links++
	if len(href) > maxLinkChars {
		href = strings.ToValidUTF8(href[:maxLinkChars], "") + "…"
	}
	w.current.WriteString(" <" + oneLine(href) + ">")
}

// image marks a picture where it stands.
func (w *htmlWriter) image(a attributes) {
	if w.skip > 0 {
		return
	}
	name := ""
	if w.picture != nil {
		name = w.picture(a.src)
	}
	alt := oneLine(a.alt)
	switch {
	case name != "":
		w.word("[picture: " + name + "]")
	case alt != "" && len([]rune(alt)) <= 4 && !isASCII(alt): // an emoji drawn as a picture
		w.word(alt)
	case alt != "" && len(alt) <= 100:
		w.word("[picture: " + plainName(alt) + "]")
	}
}

func (w *htmlWriter) word(s string) {
	if w.space && w.current.Len() > 0 {
		w.current.WriteByte(' ')
	}
	w.space = false
	w.current.WriteString(s)
}

// text adds character data: white space runs become one space, but in pre.
func (w *htmlWriter) text(s string) {
	if w.skip > 0 {
		return
	}
	if w.pre > 0 {
		for i, l := range strings.Split(s, "\n") {
			if i > 0 {
				w.newLine()
			}
			w.current.WriteString(l)
		}
		return
	}
	start := -1
	for i, r := range s {
		if r == ' ' || r == '\n' || r == '\t' || r == '\r' || r == '\f' {
			if start >= 0 {
				w.word(s[start:i])
				start = -1
			}
			w.space = true
		} else if start < 0 {
			start = i
		}
	}
	if start >= 0 {
		w.word(s[start:])
	}
}

// breakLine ends the line when there is something on it.
func (w *htmlWriter) breakLine() {
	w.space = false
	if w.current.Len() > 0 {
		w.newLine()
	}
}

func (w *htmlWriter) newLine() {
	s := strings.Map(func(r rune) rune {
		switch {
		case r == 0xa0 || unicode.Is(unicode.Zs, r):
			return ' '
		case r == 0x200b || r == 0xfeff || r == 0xad || r == 0x200c || r == 0x034f:
			return -1
		}
		return r
	}, w.current.String())
	w.current.Reset()
	w.space = false
	if w.skip > 0 {
		return
	}
	if w.pre == 0 {
		s = strings.TrimSpace(s)
	}
	w.emit(strings.TrimRight(s, " \t\r"))
}

// blank asks for an empty line between paragraphs.
func (w *htmlWriter) blank() {
	if n := len(w.lines); n > 0 && w.lines[n-1].text != "" && w.lines[n-1].text != ">" {
		w.emit("")
	}
}

func (w *htmlWriter) emit(s string) {
	if w.skip > 0 {
		return
	}
	l := line{text: s, quoted: w.quote > 0, soft: w.soft > 0, signature: w.signature > 0}
	if l.quoted {
		l.text = strings.TrimRight(strings.Repeat(">", min(w.quote, 5))+" "+s, " ")
	}
	if s != "" {
		l.cut, l.rule = w.cutNext, w.ruleNext
		w.cutNext, w.ruleNext = false, false
	}
	if n := len(w.lines); s == "" && n > 2 && trimQuote(w.lines[n-1].text) == "" && trimQuote(w.lines[n-2].text) == "" {
		return
	}
	w.lines = append(w.lines, l)
}

func (w *htmlWriter) item() {
	mark := "- "
	for i := len(w.stack) - 1; i >= 0 && i >= len(w.stack)-10; i-- {
		if tag := w.stack[i].tag; tag == "ol" {
			w.stack[i].items++
			mark = strconv.Itoa(w.stack[i].items) + ". "
			break
		} else if tag == "ul" {
			break
		}
	}
	w.current.WriteString(mark)
	w.space = false
}

// settleBlocks decides about blockquotes that say nothing of themselves: people indent with them too. One that holds a
// heading like "On … wrote:", or follows one, is a quotation.
func settleBlocks(lines []line, blocks []span) []line {
	for _, b := range blocks {
		to := b.to
		if to < 0 {
			to = len(lines)
		}
		if to > len(lines) || b.from >= to {
			continue
		}
		first := b.from
		for first < to && lines[first].text == "" {
			first++
		}
		before := b.from - 1
		for before >= 0 && lines[before].text == "" {
			before--
		}
		if !(first < to && isAttributionAt(lines, first) || before >= 0 && isAttributionAt(lines, before)) {
			continue
		}
		for i := b.from; i < to; i++ {
			if !lines[i].quoted {
				lines[i].quoted = true
				lines[i].text = strings.TrimRight("> "+lines[i].text, " ")
			}
		}
	}
	return lines
}

func trimQuote(s string) string { return strings.TrimLeft(s, "> ") }

func blockTag(tag string) bool {
	switch tag {
	case "div", "p", "table", "tr", "blockquote", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "center", "section",
		"article", "header", "footer", "pre", "form", "fieldset", "address", "dl", "dt", "dd", "body", "html", "head", "title",
		"main", "aside", "nav", "figure", "option", "caption", "plaintext", "listing":
		return true
	}
	return false
}

func voidTag(tag string) bool {
	switch tag {
	case "meta", "link", "base", "input", "col", "area", "wbr", "embed", "source", "track", "param", "frame", "bgsound", "o:p":
		return true
	}
	return false
}

func skipTag(tag string) bool {
	switch tag {
	case "style", "script", "head", "title", "template", "noembed", "svg", "math", "xml", "select", "audio", "video", "object":
		return true
	}
	return false
}

func headTag(tag string) bool {
	switch tag {
	case "head", "meta", "link", "base", "style", "script", "title", "noscript", "html", "bgsound":
		return true
	}
	return strings.Contains(tag, ":") || tag == "xml"
}
