package local_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"github.com/aikajana/aikajana/internal/app/local"
)

func TestAServerThatIsAskedToEndBeforeItBeginsEndsInOrder(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end()
	data := filepath.Join(t.TempDir(), "data")
	for range 3 { // over what the one before left
		s, err := local.Open(local.Options{
			Data: data, HTTP: "127.0.0.1:0", SMTP: "127.0.0.1:0", Token: token, Log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		http, smtp := s.HTTPAddr(), s.SMTPAddr()
		if err := s.Serve(ended); err != nil {
			t.Errorf("it did not end in order: %v", err)
		}
		for _, address := range []string{http, smtp} {
			if conn, err := net.Dial("tcp", address); err == nil {
				t.Errorf("%s still listens", address)
				_ = conn.Close()
			}
		}
	}
}
