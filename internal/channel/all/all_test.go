package all

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/channel"
)

// A folder that was added without generating the list anew would be a channel that nobody can connect.
func TestEveryFolderWithAnAdapterIsListed(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, a := range Adapters() {
		listed = append(listed, filepath.Base(reflect.TypeOf(a).PkgPath()))
	}
	sources, err := filepath.Glob(filepath.Join("..", "*", "*.go"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("there are no channels beside this folder: %v", err)
	}
	var folders []string
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		folder := filepath.Base(filepath.Dir(source))
		if !strings.HasSuffix(source, "_test.go") && regexp.MustCompile(`(?m)^type Adapter\b`).Match(text) && !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	if !slices.Equal(listed, folders) {
		t.Errorf("listed are %q, the folders are %q: run go generate ./internal/channel/all", listed, folders)
	}
}

func TestTheListedChannelsAreOneRegistry(t *testing.T) {
	t.Parallel()
	registry, err := channel.NewRegistry(Adapters()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range Adapters() {
		if id := a.Info().ID; id != filepath.Base(reflect.TypeOf(a).PkgPath()) {
			t.Errorf("the folder of channel %q is called %q", id, filepath.Base(reflect.TypeOf(a).PkgPath()))
		} else if _, found := registry.Get(id); !found {
			t.Errorf("channel %q is listed, but the registry does not find it", id)
		}
	}
}

// Every channel of STYLE's shape says how to connect it.
func TestEveryChannelHasAPageOnHowToConnectIt(t *testing.T) {
	t.Parallel()
	for _, a := range Adapters() {
		page := filepath.Join("..", "..", "..", "docs", "channels", a.Info().ID+".md")
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, s := range a.Info().Settings {
			if s.Required && !strings.Contains(string(text), "`"+s.Name+"`") {
				t.Errorf("%s does not say what the required setting `%s` is", page, s.Name)
			}
		}
	}
}
