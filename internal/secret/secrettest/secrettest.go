// Package secrettest is what every secret.Store must pass.
package secrettest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aikajana/aikajana/internal/secret"
)

// Run runs the suite; open returns an empty store and is called once for each test.
func Run(t *testing.T, open func(t *testing.T) secret.Store) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, secret.Store)
	}{
		{"WhatIsPutIsGotCurrentValueFirst", putGet},
		{"MissingSecretIsNotFound", missing},
		{"DeletedSecretIsGoneAndDeletingAgainIsNoError", deletes},
		{"ListGivesAllBelowAPrefix", list},
		{"InvalidNamesAndValuesAreRefused", invalid},
		{"ConcurrentPutsAreAllKept", concurrent},
		{"Fault56_NoValueIsEverShown", Canary},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

func put(t *testing.T, s secret.Store, name string, values ...string) {
	t.Helper()
	if err := s.Put(t.Context(), name, values); err != nil {
		t.Fatalf("put %q: %v", name, err)
	}
}

func want(t *testing.T, s secret.Store, name string, values ...string) {
	t.Helper()
	got, err := s.Get(t.Context(), name)
	if err != nil || !slices.Equal(got, values) {
		t.Fatalf("get %q: %d values, %v; want %d", name, len(got), err, len(values))
	}
}

func putGet(t *testing.T, s secret.Store) {
	put(t, s, "accounts/whatsapp/main/app_secret", "one")
	want(t, s, "accounts/whatsapp/main/app_secret", "one")
	put(t, s, "accounts/whatsapp/main/app_secret", "two", "one")
	want(t, s, "accounts/whatsapp/main/app_secret", "two", "one")
	put(t, s, "accounts/whatsapp/main/app_secret", "two")
	want(t, s, "accounts/whatsapp/main/app_secret", "two")
	awkward := "-----BEGIN KEY-----\nä \"quoted\", {{ssm:x}} \\ \t" + strings.Repeat("k", 3000)
	put(t, s, "a", awkward)
	want(t, s, "a", awkward)
	// What the caller holds is the caller's: changing it changes nothing here.
	values := []string{"mine", "old"}
	put(t, s, "b", values...)
	values[0] = "changed"
	got, err := s.Get(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	got[1] = "changed"
	want(t, s, "b", "mine", "old")
}

func missing(t *testing.T, s secret.Store) {
	put(t, s, "accounts/x", "there")
	for _, name := range []string{"accounts", "accounts/x/y", "accounts/y"} {
		if _, err := s.Get(t.Context(), name); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("get %q: %v, want ErrNotFound", name, err)
		}
	}
}

func deletes(t *testing.T, s secret.Store) {
	put(t, s, "d/1", "one")
	put(t, s, "d/2", "two")
	for range 2 {
		if err := s.Delete(t.Context(), "d/1"); err != nil {
			t.Fatalf("delete: %v", err)
		}
	}
	if _, err := s.Get(t.Context(), "d/1"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("get what was deleted: %v", err)
	}
	want(t, s, "d/2", "two")
}

func list(t *testing.T, s secret.Store) {
	all := map[string][]string{}
	for i := range 25 { // more than one page of ten
		name := fmt.Sprintf("accounts/c%d/main/token", i)
		all[name] = []string{fmt.Sprintf("value %d", i)}
		put(t, s, name, all[name]...)
	}
	for _, name := range []string{"accounts/c1/second/token", "other", "accounts-like/x"} {
		all[name] = []string{"new", "old"}
		put(t, s, name, all[name]...)
	}
	for _, prefix := range []string{"", "accounts", "accounts/", "accounts/c1", "accounts/c1/", "accounts/c1/main/token", "nothing/", "o"} {
		wanted := maps.Clone(all)
		maps.DeleteFunc(wanted, func(name string, _ []string) bool { return !strings.HasPrefix(name, prefix) })
		got, err := s.List(t.Context(), prefix)
		if err != nil || !maps.EqualFunc(got, wanted, slices.Equal[[]string]) {
			t.Errorf("list %q: %q, %v; want %q", prefix, slices.Sorted(maps.Keys(got)), err, slices.Sorted(maps.Keys(wanted)))
		}
	}
}

func invalid(t *testing.T, s secret.Store) {
	for _, name := range []string{"", "/", "/a", "a/", "a//b", "A", "ä", "a b", "a.b", "..", "a\n", strings.Repeat("a", 257), "1/2/3/4/5/6/7/8/9"} {
		if err := s.Put(t.Context(), name, []string{"x"}); !errors.Is(err, secret.ErrName) {
			t.Errorf("put %.20q: %v, want ErrName", name, err)
		}
		if _, err := s.Get(t.Context(), name); !errors.Is(err, secret.ErrName) {
			t.Errorf("get %.20q: %v, want ErrName", name, err)
		}
		if err := s.Delete(t.Context(), name); !errors.Is(err, secret.ErrName) {
			t.Errorf("delete %.20q: %v, want ErrName", name, err)
		}
	}
	for _, values := range [][]string{nil, {}, {""}, {"a", ""}, {"a", "b", "c"}, {strings.Repeat("canary", 1000)}} {
		err := s.Put(t.Context(), "v", values)
		if !errors.Is(err, secret.ErrValues) || strings.Contains(err.Error(), "canary") {
			t.Errorf("put %d values: %.100v, want ErrValues without them", len(values), err)
		}
	}
	if _, err := s.Get(t.Context(), "v"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("something was stored after all: %v", err)
	}
}

func concurrent(t *testing.T, s secret.Store) {
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			if err := s.Put(t.Context(), fmt.Sprintf("c/%d", i), []string{fmt.Sprint(i)}); err != nil {
				t.Errorf("put %d: %v", i, err)
			}
		})
	}
	all.Wait()
	for i := range 12 {
		want(t, s, fmt.Sprintf("c/%d", i), fmt.Sprint(i))
	}
}

// Canary puts a value and looks for it in every form in which the store could be written out.
func Canary(t *testing.T, s secret.Store) {
	const canary = "canary-7d1f"
	put(t, s, "canary/name", canary, canary+"-old")
	var logs bytes.Buffer
	for _, logger := range []*slog.Logger{slog.New(slog.NewJSONHandler(&logs, nil)), slog.New(slog.NewTextHandler(&logs, nil))} {
		logger.Info("store", "store", s, "group", slog.GroupValue(slog.Any("store", s)))
	}
	shown := []string{logs.String()}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(format, s), fmt.Sprintf(format, []any{s}))
	}
	if encoded, err := json.Marshal(s); err == nil {
		shown = append(shown, string(encoded))
	}
	for _, values := range [][]string{{canary, canary, canary}, {canary, ""}} {
		shown = append(shown, fmt.Sprint(s.Put(t.Context(), "canary/name", values)))
	}
	shown = append(shown, fmt.Sprint(s.Put(t.Context(), "canary/BAD", []string{canary})))
	for _, text := range shown {
		if strings.Contains(text, "canary-") || strings.Contains(text, "63616e6172792d") {
			t.Errorf("a value is shown: %.200s", text)
		}
	}
}
