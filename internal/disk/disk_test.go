package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aikajana/aikajana/internal/disk"
	"github.com/aikajana/aikajana/internal/disk/crashdisk"
)

// The disk of the tests must refuse what the real one refuses, or the tests show nothing.
func TestRealAndForgetfulDiskBehaveAlike(t *testing.T) {
	t.Parallel()
	for what, at := range map[string]struct {
		fs   disk.FS
		root string
	}{"real": {disk.OS{}, t.TempDir()}, "forgetful": {crashdisk.New(), "/"}} {
		name := func(s string) string { return filepath.Join(at.root, s) }
		check := func(doing string, err, want error) {
			t.Helper()
			if !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%s disk: %s: %v, want %v", what, doing, err, want)
			}
		}
		check("write", disk.WriteFile(at.fs, name("a"), name("a.new"), []byte("one")), nil)
		_, err := at.fs.Create(name("a"))
		check("create over a file", err, fs.ErrExist)
		_, err = at.fs.Open(name("nothing"))
		check("open nothing", err, fs.ErrNotExist)
		_, err = at.fs.ModTime(name("nothing"))
		check("look at nothing", err, fs.ErrNotExist)
		check("remove nothing", at.fs.Remove(name("nothing")), fs.ErrNotExist)
		check("link nothing", at.fs.Link(name("nothing"), name("b")), fs.ErrNotExist)
		check("link", at.fs.Link(name("a"), name("b")), nil)
		check("link over a file", at.fs.Link(name("a"), name("b")), fs.ErrExist)
		check("make a folder", at.fs.Mkdir(name("d")), nil)
		check("make it again", at.fs.Mkdir(name("d")), nil)
		check("rename", at.fs.Rename(name("b"), name("d/b")), nil)
		if at.fs.Remove(name("d")) == nil {
			t.Errorf("%s disk: a folder with a file in it was removed", what)
		}
		check("sync a folder", at.fs.SyncDir(name("d")), nil)
		check("remove a file", at.fs.Remove(name("d/b")), nil)
		check("remove an empty folder", at.fs.Remove(name("d")), nil)
		_, err = at.fs.List(name("d"))
		check("list a folder that is gone", err, fs.ErrNotExist)
		check("replace", disk.WriteFile(at.fs, name("a"), name("a.new"), []byte("two")), nil)
		if got, err := disk.ReadFile(at.fs, name("a")); err != nil || string(got) != "two" {
			t.Errorf("%s disk: read %q, %v", what, got, err)
		}
		if names, err := at.fs.List(at.root); err != nil || !slices.Equal(names, []string{"a"}) {
			t.Errorf("%s disk: holds %q, %v", what, names, err)
		}
	}
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "f")
	if err := disk.WriteFile(disk.OS{}, name, name+".new", nil); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
