package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Script is a parsed story.
type Script struct {
	// Name is the file's name without its folder and extension; Title the first comment.
	Name, Title string
	// ByHand says that a statement says who works on what, or puts trouble inside the program: only a world that is worked by hand can
	// play it.
	ByHand bool
	steps  []step
}

// step is one statement, ready to be played.
type step struct {
	line  int
	text  string
	after time.Duration
	// looks says that it only looks, and takes no time; byHand is its form's.
	looks, byHand bool
	do            action
}

// SyntaxError says where a script cannot be understood.
type SyntaxError struct {
	File string
	Line int
	Err  error
}

// Error is "file:line: what is wrong".
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap gives the cause.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Parse reads a script. Errors are of type *SyntaxError.
func Parse(file, text string) (*Script, error) {
	s := &Script{Name: strings.TrimSuffix(file[strings.LastIndexByte(file, '/')+1:], ".txt")}
	lines := strings.Split(text, "\n")
	for n := 0; n < len(lines); n++ {
		line := lines[n]
		trimmed := strings.TrimSpace(line)
		if comment, ok := strings.CutPrefix(trimmed, "#"); ok && s.Title == "" {
			s.Title = strings.TrimSpace(comment)
		}
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			return nil, &SyntaxError{file, n + 1, errors.New("it is indented, and the line above takes nothing below it")}
		}
		at := n
		var block []string
		for n+1 < len(lines) && lines[n+1] != "" && (lines[n+1][0] == ' ' || lines[n+1][0] == '\t') {
			n++
			if below := strings.TrimSpace(lines[n]); below != "" && below[0] != '#' {
				block = append(block, below)
			}
		}
		one, err := parseStep(trimmed, block)
		if err != nil {
			return nil, &SyntaxError{file, at + 1, err}
		}
		one.line = at + 1
		s.ByHand = s.ByHand || one.byHand
		s.steps = append(s.steps, *one)
	}
	return s, nil
}

func parseStep(text string, block []string) (*step, error) {
	s := &step{text: text}
	if rest, ok := strings.CutPrefix(text, "after "); ok {
		wait, statement, found := strings.Cut(rest, ": ")
		d, err := time.ParseDuration(wait)
		if !found || err != nil || d < 0 {
			return nil, fmt.Errorf(`after what time? write "after 40s: …", not %q`, text)
		}
		s.after, text = d, strings.TrimSpace(statement)
	}
	words, err := split(text)
	if err != nil {
		return nil, err
	}
	words.block = block
	s.looks = words.plain != nil && words.plain[0] == "expect"
	s.do, s.byHand, err = compile(words)
	return s, err
}

// words are the parts of one statement.
type words struct {
	plain  []string          // in order
	named  map[string]string // key=value
	text   string            // the quoted text
	quoted bool
	block  []string
}

// split cuts a statement into words, key=value pairs and at most one "quoted text".
func split(line string) (*words, error) {
	w := &words{named: map[string]string{}}
	rest := line
	for {
		rest = strings.TrimLeftFunc(rest, unicode.IsSpace)
		if rest == "" {
			return w, nil
		}
		if rest[0] == '"' {
			text, after, err := unquote(rest)
			if err != nil {
				return nil, err
			}
			if w.quoted {
				return nil, fmt.Errorf("there are two texts in quotes: %q", line)
			}
			w.text, w.quoted, rest = text, true, after
			continue
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || r == '"' })
		word := rest
		if end >= 0 {
			word = rest[:end]
		}
		rest = rest[len(word):]
		key, value, isPair := strings.Cut(word, "=")
		if !isPair || key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_-") != "" {
			w.plain = append(w.plain, word)
			continue
		}
		if value == "" && strings.HasPrefix(rest, `"`) {
			var err error
			if value, rest, err = unquote(rest); err != nil {
				return nil, err
			}
		}
		if _, twice := w.named[key]; twice {
			return nil, fmt.Errorf("%s= is given twice", key)
		}
		w.named[key] = value
	}
}

func unquote(s string) (text, rest string, err error) {
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		return "", "", fmt.Errorf("a quotation does not end: %s", s)
	}
	text, err = strconv.Unquote(quoted)
	return text, s[len(quoted):], err
}

// form is one kind of statement.
type form struct {
	// words are matched one by one; those in capitals stand for something.
	words string
	// named are the pairs that it takes; "…" takes any.
	named string
	// text and block say whether a quoted text or lines below belong to it.
	text, block bool
	// byHand says that only a world that is worked by hand can do it.
	byHand  bool
	compile func(a *args) (action, error)
}

// args are what a statement's form stands for.
type args struct {
	*words
	at map[string]string
}

func (a *args) duration(name, otherwise string) (time.Duration, error) {
	s := a.at[name]
	if s == "" {
		s = a.named[strings.ToLower(name)]
	}
	if s == "" {
		s = otherwise
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration like 40s, 5m or 24h", s)
	}
	return d, nil
}

func (a *args) count() (int, error) {
	n, err := strconv.Atoi(a.at["COUNT"])
	if err != nil || n < 1 || n > 100000 {
		return 0, fmt.Errorf("%q is no number of times", a.at["COUNT"])
	}
	return n, nil
}

// compile finds the statement's form.
func compile(w *words) (do action, byHand bool, err error) {
	for i := range forms {
		f := &forms[i]
		at, ok := match(f.words, w.plain)
		if !ok {
			continue
		}
		if w.quoted && !f.text {
			return nil, false, fmt.Errorf("%q takes no text in quotes", f.words)
		}
		if len(w.block) > 0 && !f.block {
			return nil, false, fmt.Errorf("%q takes nothing below it", f.words)
		}
		known := strings.Fields(f.named)
		for key := range w.named {
			if !slices.Contains(known, key) && f.named != "…" {
				return nil, false, fmt.Errorf("%q takes no %s=; it takes: %s", f.words, key, f.named)
			}
		}
		do, err = f.compile(&args{w, at})
		return do, f.byHand, err
	}
	return nil, false, fmt.Errorf("there is no such statement: %q; see statements.go for the forms", strings.Join(w.plain, " "))
}

func match(pattern string, plain []string) (map[string]string, bool) {
	want := strings.Fields(pattern)
	if len(want) != len(plain) {
		return nil, false
	}
	at := map[string]string{}
	for i, p := range want {
		if strings.ToUpper(p) == p && strings.ToLower(p) != p {
			at[p] = plain[i]
			continue
		}
		if p != plain[i] {
			return nil, false
		}
	}
	return at, true
}
