// Package terminal draws timelines and tables for people who sit at a terminal. It knows widths of characters, keeps text
// within the screen, and lets nothing through that a customer could steer the terminal by (FAULTS 33): see [Clean].
package terminal

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"github.com/aikajana/aikajana/internal/msg"
)

// Widths in columns. Narrower screens overflow rather than show one letter a line; wider ones are not filled, because lines
// of two hundred columns cannot be read.
const (
	minWidth = 30
	maxWidth = 110
)

// Options say what the terminal can do and how to name things.
type Options struct {
	// Width is the screen's, in columns; 80 when 0.
	Width int
	// Color switches colours on; ASCII keeps to ASCII.
	Color, ASCII bool
	// Location is the reader's time zone; UTC when nil.
	Location *time.Location
	// Marks are the channels' marks by ID, Agents the names of users by ID, Cases what a case is called by ID. All may be nil.
	Marks, Agents map[string]string
	Cases         map[string]CaseName
}

// CaseName is what people call a case.
type CaseName struct{ Reference, Subject string }

// Screen draws. It is not safe for concurrent use. Write errors are kept: see Err.
type Screen struct {
	o     Options
	out   io.Writer
	err   error
	width int
	style styles

	// day and case of what was drawn last, so that the next entry says only what changed.
	day, inCase string
}

type styles struct {
	rule, dim, in, out, note, good, wait, bad, strong, read lipgloss.Style
}

// New makes a screen that draws on w.
func New(w io.Writer, o Options) *Screen {
	if o.Width <= 0 {
		o.Width = 80
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.Ascii)
	if o.Color {
		r.SetColorProfile(termenv.ANSI) // the sixteen colours follow the reader's own theme
	}
	color := func(c string) lipgloss.Style { return r.NewStyle().Foreground(lipgloss.Color(c)) }
	return &Screen{o: o, out: w, width: min(max(o.Width, minWidth), maxWidth), style: styles{
		rule: r.NewStyle().Bold(true), dim: r.NewStyle().Faint(true), in: color("6").Bold(true), out: color("2").Bold(true),
		note: color("3"), good: color("2"), wait: color("3"), bad: color("1").Bold(true), strong: r.NewStyle().Bold(true), read: color("4"),
	}}
}

// Err is the first error of writing.
func (s *Screen) Err() error { return s.err }

// write puts one line out.
func (s *Screen) write(line string) {
	if s.err != nil {
		return
	}
	_, s.err = io.WriteString(s.out, strings.TrimRight(s.spell(line), " ")+"\n")
}

// spell writes in the letters that the terminal has. What is measured is spelled before.
func (s *Screen) spell(text string) string {
	if s.o.ASCII {
		return plain(text)
	}
	return text
}

// Blank leaves a line empty.
func (s *Screen) Blank() { s.write("") }

// Say writes a paragraph, wrapped.
func (s *Screen) Say(text string) {
	for _, line := range s.wrap(Clean(text), s.width) {
		s.write(line)
	}
}

// Rule draws a line across the screen with a title in it.
func (s *Screen) Rule(title string) {
	title = ansi.Truncate(s.spell(Line(title)), s.width-6, s.dots())
	s.write(s.style.rule.Render("── " + title + " " + strings.Repeat("─", max(2, s.width-4-ansi.StringWidth(title)))))
}

// Field is a name with its value; Loud ones are shown so that nobody misses them.
type Field struct {
	Name, Value string
	Loud        bool
}

// Fields lists names and values, one below the other; empty values are left out.
func (s *Screen) Fields(fields ...Field) {
	widest := 0
	for _, f := range fields {
		if f.Value != "" {
			widest = max(widest, ansi.StringWidth(f.Name))
		}
	}
	for _, f := range fields {
		if f.Value == "" {
			continue
		}
		style := s.style.strong.UnsetBold()
		if f.Loud {
			style = s.style.bad
		}
		name := "  " + f.Name + strings.Repeat(" ", widest-ansi.StringWidth(f.Name)) + "  "
		for i, line := range s.wrap(Line(f.Value), max(20, s.width-len(name))) {
			if i > 0 {
				name = strings.Repeat(" ", widest+4)
			}
			s.write(s.style.dim.Render(name) + style.Render(line))
		}
	}
}

// Table draws rows below a heading. Columns are as wide as they need; the last one is cut where the screen ends, unless the
// screen is narrower than the others.
func (s *Screen) Table(head []string, rows [][]string) {
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i := range row {
			row[i] = s.spell(Line(row[i]))
			widths[i] = max(widths[i], ansi.StringWidth(row[i]))
		}
	}
	line := func(row []string) string {
		var b strings.Builder
		for i, cell := range row {
			if i == len(row)-1 {
				if left := s.o.Width - ansi.StringWidth(b.String()); left >= 10 {
					cell = ansi.Truncate(cell, left, s.dots())
				}
				b.WriteString(cell)
				break
			}
			b.WriteString(cell + strings.Repeat(" ", widths[i]-ansi.StringWidth(cell)+2))
		}
		return strings.TrimRight(b.String(), " ")
	}
	s.write(s.style.dim.Render(line(head)))
	for _, row := range rows {
		s.write(line(row))
	}
}

func (s *Screen) dots() string {
	if s.o.ASCII {
		return "..."
	}
	return "…"
}

// wrap breaks text into lines of at most width columns, at spaces where it can.
func (s *Screen) wrap(text string, width int) []string {
	var lines []string
	for _, paragraph := range strings.Split(strings.Trim(s.spell(text), "\n"), "\n") {
		lines = append(lines, strings.Split(ansi.Wrap(strings.TrimRight(paragraph, " "), max(width, 10), ""), "\n")...)
	}
	return lines
}

// When says a time in the reader's zone, with the day; "" for none.
func (s *Screen) When(t msg.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Time().In(s.o.Location).Format("2 Jan 2006 15:04")
}

func (s *Screen) clock(t msg.Time) string { return t.Time().In(s.o.Location).Format("15:04") }

// Bytes says a size for people.
func Bytes(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%d KB", (n+500)/1000)
	case n < 1000*1000*1000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
