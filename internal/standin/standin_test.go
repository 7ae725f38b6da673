package standin

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestPartThatIsNotInstalledSaysHowToGetIt(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), t.TempDir())
	if !errors.Is(err, ErrNotInstalled) {
		t.Fatalf("got %v, want ErrNotInstalled", err)
	}
	for _, part := range []string{"dynamodb", "sqs", "moto"} {
		if !strings.Contains(err.Error(), "make parts") || !strings.Contains(err.Error(), "scripts/parts.sh "+part) {
			t.Errorf("the error does not say how to install %s: %v", part, err)
		}
	}
}

func TestCommandThatEndsAtOnceShowsWhatItWrote(t *testing.T) {
	t.Parallel()
	p, err := run([]string{"sh", "-c", "echo no such option; exit 1"}, "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.answers(t.Context()); err == nil || !strings.Contains(err.Error(), "ended at once") {
		t.Errorf("got %v, want that it ended at once", err)
	}
	p.stop()
	if got := p.out.String(); got != "no such option" {
		t.Errorf("kept output %q", got)
	}
}

func TestOnlyTheLastLinesOfALongOutputAreKept(t *testing.T) {
	t.Parallel()
	var out tail
	for range 1000 {
		if _, err := out.Write([]byte("a line that is not the last\n")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := out.Write([]byte("the last")); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); len(got) > tailSize || !strings.HasSuffix(got, "the last") {
		t.Errorf("kept %d bytes, ending %q", len(got), got[len(got)-20:])
	}
}

func TestEveryPythonPartsConstraintsHoldItsPin(t *testing.T) {
	t.Parallel()
	for part, pkg := range map[Part]string{PartMoto: "moto", "sam": "aws-sam-cli", "schemathesis": "schemathesis"} {
		version, err := pin(part)
		if err != nil {
			t.Fatal(err)
		}
		constraints, err := os.ReadFile("parts/" + string(part) + "/constraints.txt")
		if err != nil {
			t.Fatal(err)
		}
		if want := "\n" + pkg + "==" + version + "\n"; !strings.Contains(string(constraints), want) {
			t.Errorf("parts/%s/constraints.txt does not hold %s", part, strings.TrimSpace(want))
		}
	}
}

func TestRelativeCacheIsRefused(t *testing.T) {
	t.Setenv("AIKAJANA_CACHE", "cache")
	if dir, err := CacheDir(); err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("got %q, %v, want to be asked for an absolute path", dir, err)
	}
}

func TestPortsAreNoneThatTheKernelGivesAway(t *testing.T) {
	t.Parallel()
	for range 20 {
		port, err := FreePort(0)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 20_000 || n >= 32_000 {
			t.Errorf("port %s, %v", port, err)
		}
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nothing is in it
	if port, err := FreePort(l.Addr().(*net.TCPAddr).Port); err == nil {
		t.Errorf("port %s is taken, and was given", port)
	}
}
