package standin

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEngineOfWhichAPartIsMissingIsInstalled runs scripts/parts.sh where only the programs are that it is given, as root.
func TestEngineOfWhichAPartIsMissingIsInstalled(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatalf("parts.sh is a script of bash: %v", err)
	}
	whole := []string{"docker", "dockerd", "containerd", "busybox", "ip"}
	for missing := range len(whole) + 1 {
		there := append([]string{}, whole[:min(missing, len(whole))]...)
		name := "Nothing"
		if missing < len(whole) {
			there, name = append(there, whole[missing+1:]...), whole[missing]
		}
		t.Run(name+"IsMissing", func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			called := filepath.Join(dir, "called")
			program := func(name, does string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("#!"+bash+"\n"+does+"\n"), 0o700); err != nil { //nolint:gosec // it is to be run
					t.Fatal(err)
				}
			}
			for _, name := range there {
				program(name, "exit 1") // docker: no engine answers
			}
			program("id", "echo 0")
			program("apt-get", `echo "$@" >>`+called)
			for _, name := range []string{"dirname", "mkdir", "cat"} {
				path, err := exec.LookPath(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), bash, "../../scripts/parts.sh", "docker")
			cmd.Env = []string{"PATH=" + dir, "AIKAJANA_CACHE=" + filepath.Join(dir, "cache")}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			said, err := os.ReadFile(called)
			if installs := err == nil && strings.Contains(string(said), "install") && strings.Contains(string(said), "busybox-static"); installs != (missing < len(whole)) {
				t.Errorf("with %v apt-get was told %q", there, said)
			}
		})
	}
}
