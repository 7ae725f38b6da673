package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aikajana/aikajana/internal/disk/crashdisk"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/secret/file"
	"github.com/aikajana/aikajana/internal/secret/secrettest"
)

func options(dir string) file.Options {
	return file.Options{Path: filepath.Join(dir, "secrets"), KeyPath: filepath.Join(dir, "secrets.key")}
}

func open(t *testing.T, o file.Options) *file.Store {
	t.Helper()
	s, err := file.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFileIsASecretStore(t *testing.T) {
	t.Parallel()
	secrettest.Run(t, func(t *testing.T) secret.Store { return open(t, options(t.TempDir())) })
}

func TestSecretsAreThereAfterARestartAndUnreadableOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := open(t, options(dir)).Put(t.Context(), "accounts/x", []string{"canary", "canary-old"}); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, options(dir)).Get(t.Context(), "accounts/x")
	if err != nil || len(got) != 2 || got[0] != "canary" {
		t.Errorf("after a restart: %d values, %v", len(got), err)
	}
	for _, name := range []string{"secrets", "secrets.key"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || bytes.Contains(data, []byte("canary")) || bytes.Contains(data, []byte("accounts")) {
			t.Errorf("%s can be read, %v", name, err)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
}

func TestWrongKeyChangedFileOrOpenKeyAreRefused(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(o *file.Options) error{
		"another key":       func(o *file.Options) error { o.Key = bytes.Repeat([]byte("k"), 32); return nil },
		"a short key":       func(o *file.Options) error { o.Key = []byte("k"); return nil },
		"no key":            func(o *file.Options) error { return os.Remove(o.KeyPath) },
		"a key for all":     func(o *file.Options) error { return os.Chmod(o.KeyPath, 0o644) },
		"a key of nonsense": func(o *file.Options) error { return os.WriteFile(o.KeyPath, []byte("not base64"), 0o600) },
		"an empty file":     func(o *file.Options) error { return os.WriteFile(o.Path, nil, 0o600) },
		"a changed byte": func(o *file.Options) error {
			data, err := os.ReadFile(o.Path)
			if err != nil {
				return err
			}
			data[len(data)-1] ^= 1
			return os.WriteFile(o.Path, data, 0o600)
		},
	} {
		o := options(t.TempDir())
		if err := open(t, o).Put(t.Context(), "a", []string{"canary"}); err != nil {
			t.Fatal(err)
		}
		if err := spoil(&o); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Open(o); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
		if _, err := os.Stat(o.KeyPath); what == "no key" && err == nil {
			t.Errorf("%s: a new key was made although the secrets need the old one", what)
		}
	}
}

func TestFault68_SecretsAreOldOrNewWhereverThePowerIsCut(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(68, 1))
	for _, percent := range []int{0, 50} {
		for at := 0; ; at++ {
			d := crashdisk.New()
			o := options("/")
			o.FS = d
			s := open(t, o)
			if err := s.Put(t.Context(), "a", []string{"old"}); err != nil {
				t.Fatal(err)
			}
			calls := 0
			var crashed *crashdisk.Disk
			d.Fail(func(crashdisk.Op, string) error {
				if calls == at {
					crashed = d.Crash(percent, random)
				}
				calls++
				return nil
			})
			if err := s.Put(t.Context(), "a", []string{"new", "old"}); err != nil {
				t.Fatal(err)
			}
			acknowledged := crashed == nil
			if acknowledged {
				crashed = d.Crash(0, nil)
			}
			o.FS = crashed
			got, err := open(t, o).Get(t.Context(), "a")
			if text := fmt.Sprint(got); err != nil || text != "[new old]" && (text != "[old]" || acknowledged) {
				t.Fatalf("cut before call %d, %d%% survived: %s, %v", at, percent, text, err)
			}
			if acknowledged {
				break
			}
		}
	}
}

func TestFault70_FullDiskKeepsTheSecretsAsTheyWere(t *testing.T) {
	t.Parallel()
	d := crashdisk.New()
	o := options("/")
	o.FS = d
	s := open(t, o)
	if err := s.Put(t.Context(), "a", []string{"old"}); err != nil {
		t.Fatal(err)
	}
	d.Fail(func(op crashdisk.Op, name string) error {
		if op == crashdisk.OpWrite {
			return &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
		}
		return nil
	})
	if err := s.Put(t.Context(), "a", []string{"new"}); fault.Of(err) != fault.Retry || fault.Code(err) != "disk_full" {
		t.Errorf("put on a full disk: %v (%s)", err, fault.Of(err))
	}
	if got, err := s.Get(t.Context(), "a"); err != nil || got[0] != "old" {
		t.Errorf("after a put that failed: %q, %v", got, err)
	}
	d.Fail(nil)
	if err := s.Put(t.Context(), "a", []string{"new"}); err != nil {
		t.Errorf("after room was made: %v", err)
	}
	d.Fail(func(op crashdisk.Op, _ string) error {
		if op == crashdisk.OpSync {
			return syscall.EIO
		}
		return nil
	})
	if err := s.Put(t.Context(), "a", []string{"lost"}); !errors.Is(err, syscall.EIO) {
		t.Errorf("a sync fails: %v", err)
	}
	d.Fail(nil)
	if err := s.Put(t.Context(), "a", []string{"more"}); err == nil {
		t.Error("after a failed sync a put was accepted")
	}
}
