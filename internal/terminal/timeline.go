package terminal

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Person heads a timeline.
type Person struct {
	Name      string
	Addresses []msg.Address
	Cases     []PersonCase
	// Suggested counts customers who may be the same person.
	Suggested int
}

// PersonCase is one case of a person.
type PersonCase struct {
	Reference, Subject, State, Agent string
	Due                              msg.Time
}

// Person draws who it is about. What follows says its day and case anew.
func (s *Screen) Person(p Person) {
	s.day, s.inCase = "", ""
	name := p.Name
	if name == "" {
		name = "(no name)"
	}
	s.Rule(name)
	known := make([]string, len(p.Addresses))
	for i, a := range p.Addresses {
		known[i] = a.Value
		if strings.HasSuffix(a.Kind, ".unverified") {
			known[i] += " (unverified)"
		}
	}
	fields := []Field{{Name: "known as", Value: strings.Join(known, ", ")}}
	for _, c := range p.Cases {
		text := c.Reference + " " + c.State
		if !c.Due.IsZero() {
			text += ", due " + s.When(c.Due)
		}
		if c.Agent != "" {
			text += ", " + s.agent(c.Agent)
		}
		if c.Subject != "" {
			text += ": " + c.Subject
		}
		fields = append(fields, Field{Name: "case", Value: text})
	}
	if p.Suggested > 0 {
		fields = append(fields, Field{Name: "perhaps", Value: fmt.Sprintf("the same person as %d other(s): see \"aikajana merge --help\"", p.Suggested)})
	}
	s.Fields(fields...)
}

// Entry draws one entry, and before it the day and the case when they are others than those of the entry before.
func (s *Screen) Entry(e *timeline.Entry) {
	at := e.Sort.Time().In(s.o.Location)
	if day := at.Format("Monday 2 January 2006"); day != s.day {
		s.day = day
		s.Blank()
		s.Rule(day)
	}
	if c, ok := s.o.Cases[e.Case]; ok && e.Case != s.inCase {
		s.write("")
		title := "case " + Line(c.Reference)
		if c.Subject != "" {
			title += ": " + Line(c.Subject)
		}
		s.write(s.style.dim.Render("─ " + ansi.Truncate(s.spell(title), s.width-2, s.dots())))
		s.inCase = e.Case
	}
	s.Blank()
	s.headline(e)
	s.body(e)
}

// Changed tells, under what was drawn before, that an entry is another now: how far an answer has come, that a text was edited.
func (s *Screen) Changed(e *timeline.Entry) {
	text := ""
	if e.Message != nil {
		text = Line(e.Message.Text)
	}
	what, style := s.state(e)
	switch {
	case !e.Removed.IsZero():
		what, text, style = "taken back", "", s.style.dim
	case what == "" && len(e.Edits) > 0:
		what, style = "edited", s.style.dim
	case what == "":
		what, style = "changed", s.style.dim
	}
	line, text := s.spell(s.clock(e.ChangedAt)+"  "+s.mark(e.Channel)+" "+style.Render(what)), s.spell(text)
	if text != "" {
		line += s.style.dim.Render("  " + ansi.Truncate(text, max(10, s.width-ansi.StringWidth(line)-2), s.dots()))
	}
	s.Blank()
	s.write(line)
	s.troubles(e)
}

// indent is how far texts stand from the left, in columns.
func (s *Screen) indent() int {
	if s.width < 60 {
		return 2
	}
	return 7
}

func (s *Screen) mark(channel string) string {
	mark := s.o.Marks[channel]
	if s.o.ASCII || mark == "" {
		return Line(channel)
	}
	if s.width >= 60 {
		return mark + " " + Line(channel)
	}
	return mark
}

// headline says when, where, which way and who, and on the right what to know at once.
func (s *Screen) headline(e *timeline.Entry) {
	left := s.clock(e.Sort) + "  "
	style := s.style.in
	switch {
	case e.Kind == msg.KindNote:
		left, style = left+"✎ note", s.style.note
	case e.Kind == msg.KindVisit:
		left, style = left+"✎ visit", s.style.note
	case e.Direction == msg.Out:
		left, style = left+s.mark(e.Channel)+" →", s.style.out
	default:
		left += s.mark(e.Channel) + " ←"
	}
	left, right, who := s.spell(left), s.spell(s.remarks(e)), s.spell(s.who(e))
	if room := s.width - ansi.StringWidth(left) - 1; ansi.StringWidth(who) > room {
		who = ansi.Truncate(who, max(room, 8), s.dots())
	}
	line := left + " " + style.Render(who)
	gap := s.width - ansi.StringWidth(line) - ansi.StringWidth(right)
	switch {
	case right == "":
		s.write(line)
	case gap >= 2:
		s.write(line + strings.Repeat(" ", gap) + right)
	default:
		s.write(line)
		s.write(strings.Repeat(" ", s.indent()) + ansi.Truncate(right, s.width-s.indent(), s.dots()))
	}
}

// who wrote it.
func (s *Screen) who(e *timeline.Entry) string {
	switch {
	case e.Agent != "":
		return s.agent(e.Agent)
	case e.Direction == msg.Out && e.Automatic:
		return "automatic"
	case e.Direction == msg.Out && e.From.Name == "":
		return "the desk, elsewhere" // an echo: written in the provider's own application
	case e.From.Name != "":
		return Line(e.From.Name)
	case e.From.Value != "":
		return Line(e.From.Value)
	}
	return "somebody"
}

func (s *Screen) agent(id string) string {
	if name := s.o.Agents[id]; name != "" {
		return Line(name)
	}
	if token, ok := strings.CutPrefix(id, "token:"); ok {
		return "API token " + Line(token)
	}
	return Line(id)
}

// remarks stand at the right edge: how far an answer has come, and what should make one careful.
func (s *Screen) remarks(e *timeline.Entry) string {
	var all []string
	if e.Unverified {
		all = append(all, s.style.bad.Render("unverified sender"))
	}
	if e.Public {
		all = append(all, s.style.wait.Render("public"))
	}
	if e.Automatic && e.Direction == msg.In {
		all = append(all, s.style.dim.Render("automatic"))
	}
	if e.Late {
		all = append(all, s.style.wait.Render("late, came "+s.came(e)))
	}
	if text, style := s.state(e); text != "" {
		all = append(all, style.Render(text))
	}
	return strings.Join(all, " · ")
}

func (s *Screen) came(e *timeline.Entry) string {
	at := e.ReceivedAt.Time().In(s.o.Location)
	if at.Format(time.DateOnly) != e.Sort.Time().In(s.o.Location).Format(time.DateOnly) {
		return at.Format("2 Jan 15:04")
	}
	return at.Format("15:04")
}

// state says how far an answer has come.
func (s *Screen) state(e *timeline.Entry) (string, lipgloss.Style) {
	if e.Direction != msg.Out || e.Kind == msg.KindNote {
		return "", s.style.dim
	}
	tick := func(n int, word string) string {
		if s.o.ASCII {
			return word
		}
		return strings.Repeat("✓", n) + " " + word
	}
	switch e.State {
	case msg.Pending, msg.Sending:
		return s.dots() + " " + string(e.State), s.style.wait
	case msg.Uncertain:
		return "? UNCERTAIN", s.style.bad
	case msg.Accepted:
		return tick(1, "accepted"), s.style.dim
	case msg.Sent:
		return tick(1, "sent"), s.style.good
	case msg.Delayed:
		return s.dots() + " delayed", s.style.wait
	case msg.Delivered:
		return tick(2, "delivered"), s.style.good
	case msg.Read:
		return tick(2, "read"), s.style.read
	case msg.Failed:
		return "✗ FAILED", s.style.bad
	}
	return "", s.style.dim
}

// paragraph writes wrapped text below a headline, each line behind a prefix.
func (s *Screen) paragraph(text, prefix string, style lipgloss.Style) {
	lead := strings.Repeat(" ", s.indent()) + prefix
	for _, line := range s.wrap(Clean(text), s.width-ansi.StringWidth(lead)) {
		if line == "" {
			s.write(strings.TrimRight(lead, " "))
			continue
		}
		s.write(strings.Repeat(" ", s.indent()) + style.Render(prefix+line))
	}
}

func (s *Screen) body(e *timeline.Entry) {
	style, prefix := s.style.strong.UnsetBold(), ""
	if e.Kind == msg.KindNote || e.Kind == msg.KindVisit {
		style, prefix = s.style.note, "┆ "
	}
	switch {
	case !e.Removed.IsZero():
		s.paragraph("⌫ the sender took this back at "+s.clock(e.Removed), prefix, s.style.dim)
	case e.Message != nil:
		s.message(e.Message, prefix, style)
	case e.Call != nil:
		s.call(e.Call)
	case e.Signal != nil:
		s.paragraph(fmt.Sprintf("signal %s from %s", Line(e.Signal.Type), Line(e.Signal.Source)), "", style)
		s.data(e.Signal.Data)
	case e.Identity != nil:
		s.paragraph("⇄ was "+Line(e.Identity.Was.Value)+", is now "+Line(e.Identity.Now.Value), "", style)
	}
	if e.Removed.IsZero() {
		for _, v := range e.Edits {
			s.paragraph(fmt.Sprintf("✎ edited; before: %s", Line(v.Message.Text)), "", s.style.dim)
		}
	}
	for _, r := range e.Reactions {
		name := r.From.Name
		if name == "" {
			name = r.From.Value
		}
		s.paragraph(Line(r.Emoji)+" "+Line(name), "", s.style.dim)
	}
	if d := e.Sort.Sub(e.Time); !e.Time.IsZero() && (d > time.Minute || d < -time.Minute) {
		s.paragraph("the sender says: "+s.When(e.Time), "", s.style.dim)
	}
	s.troubles(e)
}

// troubles say why an answer is not where it should be.
func (s *Screen) troubles(e *timeline.Entry) {
	switch {
	case e.State == msg.Failed && e.Failure != nil:
		why := Line(e.Failure.Title)
		if e.Failure.Code != "" {
			why += " (" + Line(e.Failure.Code) + ")"
		}
		s.paragraph("✗ NOT DELIVERED: "+why, "", s.style.bad)
	case e.State == msg.Failed:
		s.paragraph("✗ NOT DELIVERED: "+s.cause(e), "", s.style.bad)
	case e.State == msg.Uncertain:
		s.paragraph("? nobody knows whether it arrived: "+s.cause(e), "", s.style.bad)
	case e.State == msg.Delayed && e.Failure != nil:
		s.paragraph("delayed: "+Line(e.Failure.Title), "", s.style.wait)
	case e.State == msg.Pending && e.Delivery != nil && e.Delivery.Cause != "":
		s.paragraph("waits: "+s.cause(e), "", s.style.wait)
	}
}

func (s *Screen) cause(e *timeline.Entry) string {
	if e.Delivery == nil || e.Delivery.Cause == "" {
		return "no reason was given"
	}
	return Line(e.Delivery.Cause)
}

func (s *Screen) message(m *msg.Message, prefix string, style lipgloss.Style) {
	if m.Subject != "" {
		s.paragraph(Line(m.Subject), prefix, style.Bold(true))
	}
	if m.Text != "" {
		s.paragraph(m.Text, prefix, style)
	}
	for i := range m.Parts {
		s.part(&m.Parts[i])
	}
	if m.Quoted != "" {
		s.paragraph(fmt.Sprintf("(%d quoted lines)", strings.Count(strings.TrimSpace(m.Quoted), "\n")+1), prefix, s.style.dim)
	}
}

func (s *Screen) call(c *msg.Call) {
	text := "☎ call " + string(c.Direction) + ", " + Line(c.State)
	if c.DurationS > 0 {
		text += fmt.Sprintf(", %d:%02d", c.DurationS/60, c.DurationS%60)
	}
	s.paragraph(text, "", s.style.strong)
	if c.Recording != nil {
		s.file("♪ recording", c.Recording, "")
	}
	if c.Transcript != "" {
		s.paragraph(c.Transcript, "", s.style.dim)
	}
}

// mediaNames are what people call the kinds of file.
var mediaNames = map[msg.PartKind]string{
	msg.PartImage: "▣ picture", msg.PartAudio: "♪ sound", msg.PartVoice: "♪ voice message", msg.PartVideo: "▸ video",
	msg.PartFile: "▤ file", msg.PartSticker: "▣ sticker", msg.PartStory: "▣ story",
}

func (s *Screen) part(p *msg.Part) {
	normal := s.style.strong.UnsetBold()
	switch {
	case p.Media != nil:
		name := mediaNames[p.Kind]
		if name == "" {
			name = "▤ " + Line(string(p.Kind))
		}
		s.file(name, p.Media, p.Text)
	case p.Location != nil:
		where := strings.TrimPrefix(Line(p.Location.Name+", "+p.Location.Address), ", ")
		where = strings.TrimSuffix(strings.TrimSpace(where), ",")
		s.paragraph(strings.TrimSpace(fmt.Sprintf("⌖ place %s (%.5f, %.5f)", where, p.Location.Latitude, p.Location.Longitude)), "", normal)
	case len(p.Form) > 0:
		for _, f := range p.Form {
			s.paragraph(Line(f.Name)+": "+Line(f.Value), "▤ ", normal)
		}
	case p.Kind == msg.PartChoice:
		s.paragraph("▸ chose “"+Line(p.Text)+"”", "", normal)
	case p.URL != "":
		s.paragraph("↗ "+strings.TrimSpace(Line(p.Text)+" "+Line(p.URL)), "", normal)
	case p.Text != "":
		s.paragraph("▤ "+Line(string(p.Kind))+": "+Line(p.Text), "", normal)
	case len(p.Contact) > 0:
		s.paragraph("▤ contact card", "", normal)
		s.data(p.Contact)
	case len(p.Order) > 0:
		s.paragraph("▤ order", "", normal)
		s.data(p.Order)
	default:
		s.paragraph("▤ something that this version cannot show", "", normal)
		s.data(p.Raw)
	}
}

// data shows what has no shape of its own, cut to a few lines.
func (s *Screen) data(raw json.RawMessage) {
	const most = 400
	if len(raw) == 0 {
		return
	}
	text := Line(string(raw))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " …"
	}
	s.paragraph(text, "  ", s.style.dim)
}

// file shows a file: what it is, how large, and whether it is here.
func (s *Screen) file(what string, m *msg.Media, caption string) {
	parts := []string{what}
	if m.Name != "" {
		parts[0] += " " + Line(m.Name)
	}
	if m.Size > 0 {
		parts = append(parts, Bytes(m.Size))
	}
	style := s.style.strong.UnsetBold()
	switch m.State {
	case msg.MediaFailed:
		why := Line(m.Error)
		if why == "" {
			why = "the file could not be fetched"
		}
		parts, style = append(parts, "FAILED: "+why), s.style.bad
	case msg.MediaStored:
	default:
		parts, style = append(parts, "not fetched yet"), s.style.wait
	}
	s.paragraph(strings.Join(parts, ", "), "", style)
	if caption != "" {
		s.paragraph(caption, "  ", s.style.strong.UnsetBold())
	}
}
