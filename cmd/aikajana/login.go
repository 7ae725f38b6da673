package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/terminal"
)

// sessions is what is kept of being signed in, in a file that only its owner may read: where one signed in last, and the
// session at each server.
type sessions struct {
	Server string            `json:"server,omitempty"`
	At     map[string]string `json:"sessions"`
}

// sessionsFile is where the sessions are, such as ~/.config/aikajana/sessions.json.
func sessionsFile() (string, error) {
	folder, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the folder for settings: %w; set HOME, or give an API token with AIKAJANA_TOKEN", err)
	}
	return filepath.Join(folder, "aikajana", "sessions.json"), nil
}

// readSessions reads what is kept; nothing yet is no error.
func readSessions() (*sessions, error) {
	kept := &sessions{At: map[string]string{}}
	path, err := sessionsFile()
	if err != nil {
		return kept, err
	}
	b, err := os.ReadFile(path) //nolint:gosec // it is the user's own settings file
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return kept, fmt.Errorf("read the sessions: %w", err)
	}
	if err := json.Unmarshal(b, kept); err != nil {
		return kept, fmt.Errorf("read the sessions in %s: %w; remove the file and sign in again", path, err)
	}
	if kept.At == nil {
		kept.At = map[string]string{}
	}
	return kept, nil
}

// write keeps the sessions. The file is there whole or as it was, and nobody else can read it at any moment.
func (s *sessions) write() error {
	path, err := sessionsFile()
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("keep the sessions: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep the sessions: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "sessions-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("keep the sessions: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keep the sessions: %w", errors.Join(err, os.Remove(f.Name())))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("keep the sessions: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// where is the server to ask and how to be known to it: what the command line or the environment says, else where one is
// signed in. Without either the server says what to do.
func (c *cli) where() (client.Options, error) {
	o := client.Options{Server: c.Server, Token: c.Token}
	if o.Server != "" && o.Token != "" {
		return o, nil
	}
	kept, err := readSessions()
	if err != nil && o.Token == "" {
		return o, err
	}
	if o.Server == "" {
		o.Server = kept.Server
	}
	if o.Server == "" {
		o.Server = client.DefaultServer
	}
	if o.Token == "" {
		o.Session = kept.At[strings.TrimRight(o.Server, "/")]
	}
	return o, nil
}

type loginCmd struct {
	User string `arg:"" optional:"" help:"What you sign in with; asked for when not given." placeholder:"USER"`
}

// Help shows an example.
func (loginCmd) Help() string {
	return "Signs in with a password, so that the other commands know who you are, and asks that server from then on. Without a terminal the " +
		"password is the first line of standard input. The session is kept in a file that only you can read, until \"aikajana logout\" or until it ends.\n\n" +
		"Example: aikajana login admin\n\nExample: aikajana --server https://desk.example login aino"
}

// Run signs in.
func (c *loginCmd) Run(ctx context.Context, r *remote) error {
	user := c.User
	if user == "" {
		if !isTerminal(r.in) {
			return &exit{exitUsage, errors.New("say who signs in: aikajana login USER")}
		}
		if _, err := fmt.Fprint(r.err, "User: "); err != nil {
			return err
		}
		line, err := bufio.NewReader(r.in).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the user: %w", err)
		}
		user = strings.TrimSpace(line)
	}
	password, err := r.secret("Password of " + terminal.Line(user))
	if err != nil {
		return err
	}
	kept, err := readSessions()
	if err != nil {
		return err
	}
	if err := r.SignIn(ctx, user, password); err != nil {
		return err
	}
	kept.Server, kept.At[r.Server()] = r.Server(), r.Session()
	if err := kept.write(); err != nil {
		return err
	}
	me, err := r.WhoAmI(ctx)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(me.Raw)
	}
	return r.say("signed in at %s as %s (%s)", r.Server(), me.Value.Name, strings.Join(me.Value.Roles, ", "))
}

type logoutCmd struct{}

// Help shows an example.
func (logoutCmd) Help() string {
	return "Ends the session at the server and forgets it here.\n\nExample: aikajana logout"
}

// Run signs out. The session is forgotten also when the server cannot be told.
func (c *logoutCmd) Run(ctx context.Context, r *remote) error {
	kept, err := readSessions()
	if err != nil {
		return err
	}
	if _, signedIn := kept.At[r.Server()]; !signedIn {
		return r.say("nobody is signed in at %s", r.Server())
	}
	ended := r.SignOut(ctx)
	delete(kept.At, r.Server())
	if kept.Server == r.Server() {
		kept.Server = ""
	}
	if err := kept.write(); err != nil {
		return err
	}
	if ended != nil {
		return fmt.Errorf("the session is forgotten here, but not ended there: %w", ended)
	}
	return r.say("signed out at %s", r.Server())
}
