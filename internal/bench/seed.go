package bench

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/app/local"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Seeded names the customer of a seeded store with a long timeline, and how many cases there are.
type Seeded struct {
	Customer string
	Cases    int
	Took     time.Duration
}

// Seed fills a new data folder through the store, without HTTP: one customer with so many entries, and so many customers
// with an open case each. The change feed is moved on without reacting, because nobody is to be notified of them.
func Seed(ctx context.Context, data string, entries, cases int) (s Seeded, err error) {
	begun := time.Now()
	if err := prepare(ctx, data); err != nil {
		return s, err
	}
	text, err := os.ReadFile(filepath.Join(data, "key"))
	if err != nil {
		return s, err
	}
	key, err := base64.StdEncoding.DecodeString(string(text[:len(text)-1]))
	if err != nil {
		return s, err
	}
	db, err := engine.Open(filepath.Join(data, "store"), engine.Options{})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	t, err := pebble.New(db, now)
	if err != nil {
		return s, err
	}
	feed, err := t.Feed(ctx, "react")
	if err != nil {
		return s, err
	}
	st, err := store.New(store.Options{Table: t, Key: key, Now: now, NewID: func() string { return strconv.FormatInt(time.Now().UnixNano(), 36) }})
	if err != nil {
		return s, err
	}
	following, stop := context.WithCancel(ctx)
	var behind sync.WaitGroup
	behind.Go(func() { _ = follow(following, feed, 10_000) })
	if err = seedAll(table.Redoable(ctx), st, entries, cases); err == nil {
		s.Customer, err = customerOf(ctx, st)
	}
	for err == nil {
		var left uint64
		if left, err = t.Backlog(); left == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	behind.Wait()
	s.Cases, s.Took = cases, time.Since(begun)
	return s, err
}

// prepare makes folder, keys and token by starting the program once, in this process, and ending it when it listens.
func prepare(ctx context.Context, data string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server, err := local.Open(local.Options{Data: data, HTTP: "127.0.0.1:0", Token: Token, Out: whenWritten(cancel)})
	if err != nil {
		return err
	}
	return server.Serve(ctx)
}

// whenWritten is a writer that calls itself at every write.
type whenWritten func()

func (f whenWritten) Write(b []byte) (int, error) { f(); return len(b), nil }

var longOne = msg.Address{Kind: "whatsapp.phone", Value: "358400000000"}

func customerOf(ctx context.Context, st *store.Store) (string, error) {
	c, err := st.CustomerAt(ctx, longOne)
	if err != nil {
		return "", err
	}
	return c.Customer, nil
}

// seedAll records everything, by several writers at once: the long timeline by the first, in order.
func seedAll(ctx context.Context, st *store.Store, entries, cases int) error {
	const writers = 4
	last := entries + cases - 1
	each := (last - entries + writers) / writers
	errs := make([]error, writers)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			if w == 0 {
				errs[w] = seedRange(ctx, st, entries, 0, entries)
			}
			if errs[w] == nil {
				errs[w] = seedRange(ctx, st, entries, entries+w*each, min(entries+(w+1)*each, last))
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// seedRange records messages in transactions of ten: the first of all by one customer, each further one by another.
func seedRange(ctx context.Context, st *store.Store, entries, from, to int) error {
	begun := now().Add(-24 * time.Hour)
	in := make([]store.Incoming, 0, 10)
	for n := from; n < to; n++ {
		who, id := longOne, "long-"+strconv.Itoa(n)
		if n >= entries {
			who, id = msg.Address{Kind: "whatsapp.phone", Value: fmt.Sprintf("35850%07d", n)}, "case-"+strconv.Itoa(n)
		}
		who.Name = "Asiakas"
		at := begun.Add(time.Duration(n) * 10 * time.Millisecond)
		in = append(in, store.Incoming{
			Event: msg.Event{
				Channel: "whatsapp", Account: "main", ID: id, Kind: msg.KindMessage, Time: at, Direction: msg.In, From: who,
				Thread: who.Value, Message: &msg.Message{Text: "Hei, tilaukseni numero " + strconv.Itoa(n) + " ei ole vielä saapunut. Milloin se tulee?"},
			},
			Scope: "1055", ReceivedAt: at, Envelope: "seed",
			Rules: store.Rules{ChatLike: true, Identities: []string{"whatsapp.user", "whatsapp.phone"}, Team: "support", Promise: timeline.Promise{FirstAnswer: 48 * time.Hour}},
		})
		if len(in) == cap(in) || n == to-1 {
			if _, err := st.Record(ctx, in); err != nil {
				return err
			}
			in = in[:0]
		}
	}
	return nil
}
