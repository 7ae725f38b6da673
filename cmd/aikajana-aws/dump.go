package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/aikajana/aikajana/internal/blob"
	blobs3 "github.com/aikajana/aikajana/internal/blob/s3"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

// line is one item as it is dumped.
type line struct {
	PK      string                 `json:"pk"`
	SK      string                 `json:"sk"`
	Rev     int64                  `json:"rev"`
	Body    []byte                 `json:"body,omitempty"`
	Index   map[string]placeInLine `json:"index,omitempty"`
	Expires int64                  `json:"expires,omitempty"`
}

type placeInLine struct {
	PK string `json:"pk"`
	SK string `json:"sk"`
}

const page = 500

type dumpCmd struct {
	Table  string `help:"The table, to dump items; output Table of the stack." placeholder:"NAME"`
	Items  string `help:"File to write items to; standard output when not given." placeholder:"FILE"`
	Bucket string `help:"The bucket, to dump blobs too; output Bucket of the stack." placeholder:"NAME" and:"blobs"`
	Blobs  string `help:"Folder to write blobs to." placeholder:"DIR" and:"blobs"`
}

// Help shows an example.
func (dumpCmd) Help() string {
	return "What is written while it runs may be in the dump or not. The deployment key is needed to find anybody in it again: save " +
		"it with \"key --save\". Blobs alone go without --table; those that are in the folder already are written anew.\n\nExample: aikajana-aws dump --table aikajana-Table-1A2B3C --items items.jsonl --bucket aikajana-databucket-4d5e --blobs blobs"
}

// Validate says what does not go together.
func (c *dumpCmd) Validate() error {
	switch {
	case c.Table == "" && c.Bucket == "":
		return errors.New("say what to dump: --table, or --bucket and --blobs, or all of them")
	case c.Table == "" && c.Items != "":
		return errors.New("--items goes with --table")
	}
	return nil
}

// Run dumps.
func (c *dumpCmd) Run(ctx context.Context, s streams, at cloud) error {
	items, n := 0, 0
	if c.Table != "" {
		t, err := tableOf(ctx, at, c.Table)
		if err != nil {
			return err
		}
		if items, err = c.dumpTable(ctx, t, s.out); err != nil {
			return err
		}
	}
	if c.Blobs != "" {
		store, err := blobsOf(ctx, at, c.Bucket)
		if err != nil {
			return err
		}
		if n, err = dumpBlobs(ctx, store, c.Blobs); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(s.err, "%d items and %d blobs dumped\n", items, n)
	return err
}

func (c *dumpCmd) dumpTable(ctx context.Context, t table.Scanner, out io.Writer) (n int, err error) {
	if c.Items != "" {
		f, err := os.OpenFile(c.Items, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err != nil {
			return 0, fmt.Errorf("dump items: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	return dumpItems(ctx, t, out)
}

func dumpItems(ctx context.Context, t table.Scanner, out io.Writer) (int, error) {
	w := bufio.NewWriter(out)
	encode := json.NewEncoder(w)
	count, from := 0, table.Key{}
	for {
		items, err := t.Scan(ctx, from, page)
		if err != nil {
			return count, fmt.Errorf("dump the items behind %s: %w", from, err)
		}
		for i := range items {
			l := line{PK: items[i].PK, SK: items[i].SK, Rev: items[i].Rev, Body: items[i].Body, Expires: int64(items[i].Expires)}
			for index, at := range items[i].Index {
				if l.Index == nil {
					l.Index = map[string]placeInLine{}
				}
				l.Index[string(index)] = placeInLine{at.PK, at.SK}
			}
			if err := encode.Encode(&l); err != nil {
				return count, fmt.Errorf("dump item %s: %w", items[i].Key, err)
			}
			count, from = count+1, items[i].Key
		}
		if len(items) < page {
			return count, w.Flush()
		}
	}
}

func blobsOf(ctx context.Context, c cloud, bucket string) (*blobs3.Store, error) {
	cfg, err := c(ctx)
	if err != nil {
		return nil, noConfig(err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = cfg.BaseEndpoint != nil || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
	})
	return blobs3.New(blobs3.Options{Client: client, Bucket: bucket}), nil
}

// dataOf opens a deployment's table and bucket.
func dataOf(ctx context.Context, c cloud, name, bucket string) (*dynamo.Table, *blobs3.Store, error) {
	t, err := tableOf(ctx, c, name)
	if err != nil {
		return nil, nil, err
	}
	b, err := blobsOf(ctx, c, bucket)
	return t, b, err
}

func dumpBlobs(ctx context.Context, b blob.Store, dir string) (int, error) {
	count, after := 0, ""
	for {
		some, err := b.List(ctx, "", after, page)
		if err != nil {
			return count, fmt.Errorf("list the blobs behind %q: %w", after, err)
		}
		for _, one := range some {
			if err := dumpBlob(ctx, b, one.Key, filepath.Join(dir, filepath.FromSlash(one.Key))); err != nil {
				return count, err
			}
			count, after = count+1, one.Key
		}
		if len(some) < page {
			return count, nil
		}
	}
}

func dumpBlob(ctx context.Context, b blob.Store, key, path string) (err error) {
	if err := blob.CheckKey(key); err != nil {
		return err // it could lead out of the folder
	}
	r, _, err := b.Get(ctx, key, 0, 0)
	if err != nil {
		return fmt.Errorf("dump blob %s: %w", key, err)
	}
	defer func() { _ = r.Close() }() // read to the end
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("dump blob %s: %w", key, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("dump blob %s: %w", key, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, r); err != nil {
		return fmt.Errorf("dump blob %s: %w", key, err)
	}
	return nil
}
