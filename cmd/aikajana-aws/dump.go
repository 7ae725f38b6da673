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
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/aikajana/aikajana/internal/blob"
	blobs3 "github.com/aikajana/aikajana/internal/blob/s3"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
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
	Table  string `required:"" help:"The table; output Table of the stack." placeholder:"NAME"`
	Items  string `help:"File to write items to; standard output when not given." placeholder:"FILE"`
	Bucket string `help:"The bucket, to dump blobs too; output Bucket of the stack." placeholder:"NAME" and:"blobs"`
	Blobs  string `help:"Folder to write blobs to." placeholder:"DIR" and:"blobs"`
}

// Help shows an example.
func (dumpCmd) Help() string {
	return "What is written while it runs may be in the dump or not. The deployment key is needed to find anybody in it again: save " +
		"it with \"key --save\".\n\nExample: aikajana-aws dump --table aikajana-Table-1A2B3C --items items.jsonl --bucket aikajana-databucket-4d5e --blobs blobs"
}

// Run dumps.
func (c *dumpCmd) Run(ctx context.Context, s streams, at cloud) (err error) {
	t, err := tableOf(ctx, at, c.Table)
	if err != nil {
		return err
	}
	out := s.out
	if c.Items != "" {
		f, err := os.OpenFile(c.Items, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("dump items: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	items, err := dumpItems(ctx, t, out)
	if err != nil {
		return err
	}
	n := 0
	if c.Blobs != "" {
		store, err := blobsOf(ctx, at, c.Bucket)
		if err != nil {
			return err
		}
		if n, err = dumpBlobs(ctx, store, c.Blobs); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.err, "%d items and %d blobs dumped\n", items, n)
	return err
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
		return nil, fmt.Errorf("load the AWS configuration: %w; set AWS_REGION and credentials", err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = cfg.BaseEndpoint != nil || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
	})
	return blobs3.New(blobs3.Options{Client: client, Bucket: bucket}), nil
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

type loadCmd struct {
	Table  string `required:"" help:"The table to load into. It must be empty, unless --over." placeholder:"NAME"`
	Items  string `help:"File of dumped items; standard input when not given." placeholder:"FILE" type:"existingfile"`
	Over   bool   `help:"Write over items that are there."`
	Bucket string `help:"The bucket, to load blobs too." placeholder:"NAME" and:"blobs"`
	Blobs  string `help:"Folder of dumped blobs." placeholder:"DIR" type:"existingdir" and:"blobs"`
}

// Help shows an example.
func (loadCmd) Help() string {
	return "Stop the stack's event sources first: what is loaded would be followed up anew. docs/aws/restore.md rehearses it.\n\n" +
		"Example: aikajana-aws load --table aikajana-restored-Table-9Z8Y --items items.jsonl --bucket aikajana-restored-databucket-7x --blobs blobs"
}

// Run loads.
func (c *loadCmd) Run(ctx context.Context, s streams, at cloud) error {
	t, err := tableOf(ctx, at, c.Table)
	if err != nil {
		return err
	}
	if !c.Over {
		some, err := t.Scan(ctx, table.Key{}, 1)
		if err != nil {
			return fmt.Errorf("look into table %s: %w", c.Table, err)
		}
		if len(some) > 0 {
			return fmt.Errorf("load into table %s: it is not empty (it holds %s); load into a new one, or say --over", c.Table, some[0].Key)
		}
	}
	in := s.in
	if c.Items != "" {
		f, err := os.Open(c.Items)
		if err != nil {
			return fmt.Errorf("load items: %w", err)
		}
		defer func() { _ = f.Close() }() // only read from
		in = f
	}
	// Blobs first: an item must not point at what is not there.
	n := 0
	if c.Blobs != "" {
		store, err := blobsOf(ctx, at, c.Bucket)
		if err != nil {
			return err
		}
		if n, err = loadBlobs(ctx, store, c.Blobs); err != nil {
			return err
		}
	}
	items, err := loadItems(ctx, t, in)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.err, "%d items and %d blobs loaded\n", items, n)
	return err
}

func loadItems(ctx context.Context, t table.Table, in io.Reader) (int, error) {
	decode := json.NewDecoder(bufio.NewReader(in))
	for count := 0; ; count++ {
		var l line
		err := decode.Decode(&l)
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err != nil || l.PK == "" || l.SK == "" {
			return count, fmt.Errorf("load items: line %d is no dumped item: %w", count+1, err)
		}
		item := table.Item{Key: table.Key{PK: l.PK, SK: l.SK}, Rev: l.Rev, Body: l.Body, Expires: msg.Time(l.Expires)}
		for index, at := range l.Index {
			if item.Index == nil {
				item.Index = map[table.Index]table.Key{}
			}
			item.Index[table.Index(index)] = table.Key{PK: at.PK, SK: at.SK}
		}
		if err := t.Write(ctx, table.Put(item, table.Any)); err != nil {
			return count, fmt.Errorf("load item %s: %w; run it again with --over", item.Key, err)
		}
	}
}

func loadBlobs(ctx context.Context, b blob.Store, dir string) (int, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, fmt.Errorf("load blobs: %w", err)
	}
	defer func() { _ = root.Close() }() // only read from
	count := 0
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read from
		key := strings.ReplaceAll(name, string(filepath.Separator), "/")
		if _, err := b.Put(ctx, key, f, blob.PutOptions{Type: "application/octet-stream"}); err != nil {
			return fmt.Errorf("load blob %s: %w", key, err)
		}
		count++
		return nil
	})
	return count, err
}
