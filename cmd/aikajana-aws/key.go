package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm"

	appaws "github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/secret"
	secretssm "github.com/aikajana/aikajana/internal/secret/ssm"
)

type keyCmd struct {
	SecretPath string `required:"" help:"Where secrets lie; output SecretPath of the stack." placeholder:"PATH"`
	Create     bool   `help:"Make the key, before the first start." xor:"do" required:""`
	Save       string `help:"Write the key to a new file, for the safe." placeholder:"FILE" xor:"do" required:""`
	Restore    string `help:"Bring the key back from such a file, before a restored stack starts." placeholder:"FILE" type:"existingfile" xor:"do" required:""`
}

// Help shows an example.
func (keyCmd) Help() string {
	return "Every key in the table is made from an address under this key. Who loses it cannot find anybody again; who changes it " +
		"loses everybody. So it is made once, never printed and never written over.\n\nExample: aikajana-aws key --secret-path /aikajana/prod --create"
}

// Run makes, saves or brings back the key.
func (c *keyCmd) Run(ctx context.Context, s streams, at cloud) error {
	cfg, err := at(ctx)
	if err != nil {
		return noConfig(err)
	}
	store, err := secretssm.New(ssm.NewFromConfig(cfg), c.SecretPath)
	if err != nil {
		return err
	}
	have, err := store.Get(ctx, appaws.KeyName)
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return err
	}
	if c.Save != "" {
		if len(have) == 0 {
			return fmt.Errorf("save the deployment key: there is none below %s", c.SecretPath)
		}
		return saveKey(c.Save, have[0])
	}
	if len(have) > 0 {
		return fmt.Errorf("there is a deployment key below %s already, and it is not written over: everything in the table is found by it", c.SecretPath)
	}
	var value string
	if c.Create {
		var raw [32]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return fmt.Errorf("make the deployment key: %w", err)
		}
		value = base64.StdEncoding.EncodeToString(raw[:])
	} else {
		body, err := os.ReadFile(c.Restore)
		if err != nil {
			return fmt.Errorf("bring the deployment key back: %w", err)
		}
		value = strings.TrimSpace(string(body))
		if raw, err := base64.StdEncoding.DecodeString(value); err != nil || len(raw) < 32 {
			return fmt.Errorf("bring the deployment key back: %s holds none", c.Restore)
		}
	}
	if err := store.Put(ctx, appaws.KeyName, []string{value}); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, "the deployment key is in place; keep a copy in a safe (key --save)")
	return err
}

func saveKey(path, value string) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("save the deployment key: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteString(value + "\n")
	return err
}

type setupCmd struct {
	Table   string `required:"" help:"The table; output Table of the stack." placeholder:"NAME"`
	BaseURL string `required:"" name:"base-url" help:"Where the desk is; output Address of the stack." placeholder:"URL"`
}

// Help shows an example.
func (setupCmd) Help() string {
	return "The link works once, for a day; making another ends it. Once there is a user no link is made.\n\n" +
		"Example: aikajana-aws setup --table aikajana-Table-1A2B3C --base-url https://desk.example"
}

// Run makes the link.
func (c *setupCmd) Run(ctx context.Context, s streams, at cloud) error {
	t, err := tableOf(ctx, at, c.Table)
	if err != nil {
		return err
	}
	base, err := url.Parse(strings.TrimSuffix(c.BaseURL, "/"))
	if err != nil || base.Scheme == "" || base.Host == "" {
		return fmt.Errorf("make the set-up link: %q is no address like https://desk.example", c.BaseURL)
	}
	people, err := auth.New(auth.Config{Table: t, Now: time.Now, BaseURL: base})
	if err != nil {
		return err
	}
	link, err := people.Bootstrap(ctx, "", "")
	if err != nil {
		return fmt.Errorf("make the set-up link: %w", err)
	}
	if link == "" {
		return errors.New("make the set-up link: somebody can sign in already; they can invite others")
	}
	_, err = fmt.Fprintf(s.out, "%s/setup/%s\n", base, link)
	return err
}
