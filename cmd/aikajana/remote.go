package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/term"

	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/terminal"
)

// remote is what a command that asks a server has: the server, and the terminal.
type remote struct {
	*client.Client
	streams
	json bool
}

func (c *cli) remote(s streams) (*remote, error) {
	o, err := c.where()
	if err != nil {
		return nil, err
	}
	one, err := client.New(o)
	if err != nil {
		return nil, &exit{exitUsage, err}
	}
	return &remote{one, s, c.JSON}, nil
}

// isTerminal says whether w (or a reader) is a terminal.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(f.Fd())
}

// screen is how to draw on the output.
func (s streams) screen() terminal.Options {
	o := terminal.Options{Location: time.Local, ASCII: !utf8Locale()}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		o.Width = n
	}
	if !isTerminal(s.out) {
		return o
	}
	o.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if f, ok := s.out.(*os.File); ok && o.Width == 0 {
		if w, _, err := term.GetSize(f.Fd()); err == nil && w > 0 {
			o.Width = w
		}
	}
	return o
}

// utf8Locale says whether text may leave ASCII. A machine that names no locale at all is taken for a modern one.
func utf8Locale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToLower(os.Getenv(name)); value != "" {
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return true
}

// print writes what the server said, verbatim; on a terminal without what would steer it.
func (r *remote) print(raw []byte) error {
	if isTerminal(r.out) {
		raw = terminal.JSON(raw)
	}
	if len(raw) > 0 && raw[len(raw)-1] != '\n' {
		raw = append(slices.Clip(raw), '\n')
	}
	_, err := r.out.Write(raw)
	return err
}

// say writes a sentence.
func (r *remote) say(format string, args ...any) error {
	_, err := fmt.Fprintln(r.out, terminal.Line(fmt.Sprintf(format, args...)))
	return err
}

// table draws a list; empty says what it means that there is nothing, next how to see more.
func (r *remote) table(head []string, rows [][]string, empty, next string) error {
	if len(rows) == 0 {
		return r.say("%s", empty)
	}
	s := terminal.New(r.out, r.screen())
	s.Table(head, rows)
	if next != "" {
		s.Blank()
		s.Say("there is more: --after " + next)
	}
	return s.Err()
}

// confirm asks before something that cannot be taken back. Without a terminal there must be --yes.
func (r *remote) confirm(yes bool, what string) error {
	if yes {
		return nil
	}
	if !isTerminal(r.in) {
		return &exit{exitUsage, fmt.Errorf("%s: this cannot be taken back; add --yes when you mean it", what)}
	}
	if _, err := fmt.Fprintf(r.err, "%s. This cannot be taken back. Type yes to go on: ", terminal.Line(what)); err != nil {
		return err
	}
	answer, err := bufio.NewReader(r.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}

// text is an argument, or standard input for "-".
func (s streams) text(argument string) (string, error) {
	if argument != "-" {
		return argument, nil
	}
	const most = 1 << 20
	body, err := io.ReadAll(io.LimitReader(s.in, most))
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	return strings.TrimRight(string(body), "\r\n"), nil
}

// secret reads a password or key: hidden from a terminal, a line of standard input otherwise.
func (s streams) secret(prompt string) (string, error) {
	if f, ok := s.in.(*os.File); ok && term.IsTerminal(f.Fd()) {
		if _, err := fmt.Fprint(s.err, prompt+": "); err != nil {
			return "", err
		}
		value, err := term.ReadPassword(f.Fd())
		_, _ = fmt.Fprintln(s.err) // the line end that was not echoed
		return string(value), err
	}
	line, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

var (
	reference = regexp.MustCompile(`^(?i)[0-9a-z]{4}-[0-9a-z]{4}$`)
	number    = regexp.MustCompile(`^\+?[0-9][0-9 ().-]{4,}$`)
)

// who finds a customer by what people have at hand: an address, a case's reference, an ID of either.
func (r *remote) who(ctx context.Context, name string) (*client.Answer[client.Customer], error) {
	switch {
	case reference.MatchString(name):
		c, err := r.Case(ctx, strings.ToUpper(name))
		if err != nil {
			return nil, err
		}
		return r.Customer(ctx, c.Value.Customer)
	case strings.ContainsAny(name, "@:") || number.MatchString(name):
		return r.at(ctx, name)
	}
	c, err := r.Customer(ctx, name)
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != 404 {
		return c, err
	}
	one, caseErr := r.Case(ctx, name)
	if caseErr != nil {
		return nil, fmt.Errorf("there is no customer, address or case %q; \"aikajana cases\" lists cases, and an address looks like maija@mail.example or whatsapp.phone:358401234567", name)
	}
	return r.Customer(ctx, one.Value.Customer)
}

func (r *remote) at(ctx context.Context, address string) (*client.Answer[client.Customer], error) {
	if number.MatchString(address) {
		address = strings.Map(func(c rune) rune {
			if c >= '0' && c <= '9' {
				return c
			}
			return -1
		}, address)
	}
	found, err := r.FindCustomers(ctx, address)
	if err != nil {
		return nil, err
	}
	items := found.Value.Items
	if len(items) == 0 {
		return nil, fmt.Errorf("nobody has the address %s; write it with its kind if it has a rare one, like telegram.user:123", address)
	}
	for _, other := range items[1:] {
		if !slices.Contains(items[0].Person, other.Customer) {
			names := make([]string, len(items))
			for i, c := range items {
				names[i] = fmt.Sprintf("%s (%s)", c.Customer, c.Name)
			}
			return nil, fmt.Errorf("%s is the address of several customers: %s; name one by ID", address, strings.Join(names, ", "))
		}
	}
	return r.Customer(ctx, items[0].Customer)
}

// since reads a duration back from now, or a time.
func since(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return time.Time{}, &exit{exitUsage, fmt.Errorf("--since %q is neither a duration like 1h nor a time like 2026-11-22T10:00:00Z", text)}
}

// until says how long there is to a time, for people.
func until(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := t.Sub(now)
	if d < 0 {
		return "OVERDUE " + span(-d)
	}
	return "in " + span(d)
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}
