package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ssm"

	appaws "github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/secret"
	secretssm "github.com/aikajana/aikajana/internal/secret/ssm"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

type eraseAgainCmd struct {
	Table      string `required:"" help:"The restored table; output Table of the stack." placeholder:"NAME"`
	Bucket     string `required:"" help:"The bucket with the ledger of erasures and the files; output Bucket of the stack." placeholder:"NAME"`
	SecretPath string `required:"" help:"Where secrets lie, for the deployment key; output SecretPath of the stack." placeholder:"PATH"`
}

// Help shows an example.
func (eraseAgainCmd) Help() string {
	return "The table may be from before somebody was erased, and whoever was erased stays erased. Run it before anything is served or replayed. Where " +
		"nothing of them is left it changes nothing.\n\n" +
		"Example: aikajana-aws erase-again --table aikajana-restored-Table-9Z8Y --bucket aikajana-databucket-4d5e --secret-path /aikajana/restored"
}

// Run erases.
func (c *eraseAgainCmd) Run(ctx context.Context, s streams, at cloud) error {
	t, blobs, err := dataOf(ctx, at, c.Table, c.Bucket)
	if err != nil {
		return err
	}
	desk, err := deskOf(ctx, at, t, c.SecretPath)
	if err != nil {
		return err
	}
	erasures, files := 0, 0
	if err := pipeline.EraseAgain(ctx, desk, blobs, func(_ string, n int) { erasures, files = erasures+1, files+n }); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.err, "%d erasures in the ledger; %d files of theirs were there and are gone\n", erasures, files)
	return err
}

// deskOf is a store over a table, with the deployment's key.
func deskOf(ctx context.Context, at cloud, t table.Table, secretPath string) (*store.Store, error) {
	key, err := deploymentKey(ctx, at, secretPath)
	if err != nil {
		return nil, err
	}
	return store.New(store.Options{Table: t, Key: key, Now: now, NewID: func() string { return strings.ToLower(rand.Text()) }})
}

func deploymentKey(ctx context.Context, at cloud, path string) ([]byte, error) {
	cfg, err := at(ctx)
	if err != nil {
		return nil, noConfig(err)
	}
	secrets, err := secretssm.New(ssm.NewFromConfig(cfg), path)
	if err != nil {
		return nil, err
	}
	values, err := secrets.Get(ctx, appaws.KeyName)
	if errors.Is(err, secret.ErrNotFound) || err == nil && len(values) == 0 {
		return nil, fmt.Errorf("read the deployment key: there is none below %s; bring it back with \"aikajana-aws key --restore\"", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the deployment key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(values[0])
	if err != nil {
		return nil, fmt.Errorf("read the deployment key below %s: it is not in base64", path)
	}
	return key, nil
}
