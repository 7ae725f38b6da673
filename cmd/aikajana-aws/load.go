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
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

type loadCmd struct {
	Table  string `required:"" help:"The table to load into. It must be empty, unless --over." placeholder:"NAME"`
	Items  string `help:"File of dumped items; standard input when not given." placeholder:"FILE" type:"existingfile"`
	Over   bool   `help:"Write over items that are there: to finish a load that was cut short."`
	Bucket string `help:"The bucket, to load blobs too." placeholder:"NAME" and:"blobs"`
	Blobs  string `help:"Folder of dumped blobs." placeholder:"DIR" type:"existingdir" and:"blobs"`
}

// Help shows an example.
func (loadCmd) Help() string {
	return "What is loaded is no news: nobody is told of it again, and the ledger is added up anew from it. docs/aws/restore.md says what comes " +
		"before and after.\n\n" +
		"Example: aikajana-aws load --table aikajana-restored-Table-9Z8Y --items items.jsonl --bucket aikajana-restored-databucket-7x --blobs blobs"
}

// Run loads.
func (c *loadCmd) Run(ctx context.Context, s streams, at cloud) error {
	cfg, err := at(ctx)
	if err != nil {
		return noConfig(err)
	}
	t := dynamo.New(dynamodb.NewFromConfig(cfg), c.Table, dynamo.Options{Now: now, Token: dynamo.LoadToken})
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

// loadItems writes items as they were dumped, and tallies that are counted anew in the place of those that were. It says how
// many lines it read.
func loadItems(ctx context.Context, t table.Table, in io.Reader) (int, error) {
	w := loader{t: t}
	recount := store.NewRecount()
	decode := json.NewDecoder(bufio.NewReader(in))
	for count := 0; ; count++ {
		var l line
		err := decode.Decode(&l)
		if errors.Is(err, io.EOF) {
			tallies, err := recount.Tallies()
			if err != nil {
				return count, err
			}
			for i := range tallies {
				if err := w.add(ctx, tallies[i]); err != nil {
					return count, err
				}
			}
			return count, w.flush(ctx)
		}
		if err != nil || l.PK == "" || l.SK == "" {
			return count, fmt.Errorf("load items: line %d is no dumped item: %w", count+1, err)
		}
		item := l.item()
		keep, err := recount.Item(&item)
		if err != nil {
			return count, fmt.Errorf("load items: line %d: %w", count+1, err)
		}
		if !keep {
			continue
		}
		if err := w.add(ctx, item); err != nil {
			return count, err
		}
	}
}

func (l *line) item() table.Item {
	item := table.Item{Key: table.Key{PK: l.PK, SK: l.SK}, Rev: l.Rev, Body: l.Body, Expires: msg.Time(l.Expires)}
	for index, at := range l.Index {
		if item.Index == nil {
			item.Index = map[table.Index]table.Key{}
		}
		item.Index[table.Index(index)] = table.Key{PK: at.PK, SK: at.SK}
	}
	return item
}

// loader writes items a hundred at a time, apart: a load that is cut short is done again.
type loader struct {
	t    table.Table
	ops  []table.Op
	size int
}

// loadBytes bounds one write, far below what DynamoDB takes.
const loadBytes = 1 << 20

func (w *loader) add(ctx context.Context, item table.Item) error {
	// A transaction takes a key once: what a scan met twice, because it was written meanwhile, goes into the next.
	for i := range w.ops {
		if w.ops[i].Item.Key == item.Key {
			if err := w.flush(ctx); err != nil {
				return err
			}
			break
		}
	}
	w.ops, w.size = append(w.ops, table.Put(item, table.Any)), w.size+len(item.Body)
	if len(w.ops) < table.MaxOps && w.size < loadBytes {
		return nil
	}
	return w.flush(ctx)
}

func (w *loader) flush(ctx context.Context) error {
	if len(w.ops) == 0 {
		return nil
	}
	const tries = 10
	for try := 0; ; try++ {
		err := w.t.Write(table.Apart(ctx), w.ops...)
		if err == nil {
			w.ops, w.size = w.ops[:0], 0
			return nil
		}
		if !errors.Is(err, table.ErrBusy) || try == tries {
			return fmt.Errorf("load items from %s on: %w; run it again with --over", w.ops[0].Item.Key, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond << min(try, 6)): // DynamoDB grows into a load
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
