package localaws

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// inside is the name by which containers know this machine.
const inside = "host.docker.internal"

// forwarders let containers reach what listens on 127.0.0.1: for each port a listener on the bridge's own address, which
// nothing but containers and this machine reaches.
type forwarders struct {
	gateway net.IP
	mu      sync.Mutex
	open    map[string]net.Listener
	wait    sync.WaitGroup
}

// reach makes a loopback URL one that containers can use.
func (f *forwarders) reach(url string) (string, error) {
	host := strings.TrimPrefix(url, "http://")
	host, path, _ := strings.Cut(host, "/")
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		return "", fmt.Errorf("let containers reach %s: %w", url, err)
	}
	inner := "http://" + net.JoinHostPort(inside, port)
	if path != "" {
		inner += "/" + path
	}
	if f.gateway == nil {
		return inner, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[port] != nil {
		return inner, nil
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(f.gateway.String(), port))
	if err != nil {
		return "", fmt.Errorf("let containers reach %s: %w", url, err)
	}
	if f.open == nil {
		f.open = map[string]net.Listener{}
	}
	f.open[port] = l
	f.wait.Go(func() { f.accept(l, net.JoinHostPort("127.0.0.1", port)) })
	return inner, nil
}

func (f *forwarders) accept(l net.Listener, to string) {
	for {
		from, err := l.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			defer func() { _ = from.Close() }()
			out, err := new(net.Dialer).DialContext(context.Background(), "tcp", to)
			if err != nil {
				return // the container sees a closed connection
			}
			defer func() { _ = out.Close() }()
			go func() { _, _ = io.Copy(out, from); _ = out.(*net.TCPConn).CloseWrite() }() // either side may end first
			_, _ = io.Copy(from, out)
		}()
	}
}

func (f *forwarders) close() {
	f.mu.Lock()
	for _, l := range f.open {
		_ = l.Close() // nothing is in it
	}
	f.mu.Unlock()
	f.wait.Wait()
}
