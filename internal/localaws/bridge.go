package localaws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// bridge is a network device of this machine that a private engine's containers hang on.
type bridge struct{ name string }

// bridgeFile says beside the engine which bridge is its own, for whoever cleans up after a kill.
const bridgeFile = "bridge"

// openBridge makes a bridge, with the first address of a block that hardly anybody uses and that no other device of this machine
// is in. Making one fails when the name is taken, so engines that start at the same time get one each. Dir is told its name.
func openBridge(ctx context.Context, dir string) (*bridge, error) {
	var last error
	for block := 255; block > 223; block-- {
		b := &bridge{fmt.Sprintf("aikajana%d", block)}
		address := fmt.Sprintf("172.31.%d.1", block)
		if taken(net.ParseIP(address)) {
			continue
		}
		if last = ip(ctx, "link", "add", b.name, "type", "bridge"); last != nil {
			continue
		}
		err := errors.Join(
			os.WriteFile(filepath.Join(dir, bridgeFile), []byte(b.name), 0o600),
			ip(ctx, "address", "add", address+"/24", "dev", b.name),
			ip(ctx, "link", "set", b.name, "up"),
		)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make a network for containers: %w", err), b.remove(ctx))
		}
		return b, nil
	}
	return nil, fmt.Errorf("make a network for containers: every block from 172.31.224.0 to 172.31.255.0 is in use here: %w", last)
}

// taken says that a device of this machine is in the address's network.
func taken(address net.IP) bool {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false // making it will say
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.Contains(address) {
			return true
		}
	}
	return false
}

// remove takes the bridge away.
func (b *bridge) remove(ctx context.Context) error { return ip(ctx, "link", "delete", b.name) }

// gone is an error for a bridge that is still there.
func (b *bridge) gone() error {
	if _, err := net.InterfaceByName(b.name); err == nil {
		return fmt.Errorf("the network %s is still there: remove it with \"ip link delete %s\"", b.name, b.name)
	}
	return nil
}

func ip(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput() //nolint:gosec // args are made here
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
