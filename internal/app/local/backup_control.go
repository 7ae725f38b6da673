package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/engine"
)

// A store is open in one process, so what is done to a running one is done by that process. It listens for such wishes on a
// port of loopback that nobody else is told: the file "control" in the data folder says where, and holds a token that lives
// as long as the process. Whoever can read the data folder may ask; nobody else can, and no route of the outside leads there.
const controlFile = "control"

type control struct {
	Address string `json:"address"`
	Token   string `json:"token"`
}

// controller serves wishes of the same machine.
type controller struct {
	s        *Server
	listener net.Listener
	token    string
	server   *http.Server
}

// openControl listens and says where.
func (s *Server) openControl() error {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails (crypto/rand since Go 1.24)
	c := &controller{s: s, token: base64.RawURLEncoding.EncodeToString(secret[:])}
	var err error
	if c.listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("listen for the control of this store: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /backup", c.guard(c.backup))
	mux.HandleFunc("POST /compact", c.guard(c.compact))
	c.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	s.control = c
	text, err := json.Marshal(control{Address: c.listener.Addr().String(), Token: c.token})
	if err != nil {
		return err
	}
	path := filepath.Join(s.o.Data, controlFile)
	if err := writeFile(path+".new", text); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func (c *controller) serve() {
	if err := served("control", c.server.Serve(c.listener)); err != nil {
		c.s.log.Error("control", "err", err)
	}
}

// close ends it; a backup under way is cut short and leaves nothing behind.
func (c *controller) close() {
	if c == nil {
		return
	}
	_ = os.Remove(filepath.Join(c.s.o.Data, controlFile)) // a stale one does no harm
	_ = c.server.Close()                                  // what is under way is told by its context
	_ = c.listener.Close()                                // the server may never have served
}

// guard lets holders of the token in.
func (c *controller) guard(f func(ctx context.Context, body []byte) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		given := r.Header.Get("Authorization")
		if subtle.ConstantTimeCompare([]byte(given), []byte("Bearer "+c.token)) != 1 {
			http.Error(w, "not allowed", http.StatusForbidden)
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
		var out any
		if err == nil {
			out, err = f(r.Context(), body)
		}
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			w.WriteHeader(http.StatusConflict)
			out = map[string]string{"error": err.Error()}
		}
		_ = json.NewEncoder(w).Encode(out) // who asked may have gone
	}
}

type backupWish struct {
	To string `json:"to"`
}

func (c *controller) backup(ctx context.Context, body []byte) (any, error) {
	var wish backupWish
	if err := json.Unmarshal(body, &wish); err != nil {
		return nil, fmt.Errorf("read the wish: %w", err)
	}
	report, err := backup(ctx, c.s.o.Data, wish.To, c.s.db, &c.s.kept.hold)
	if err == nil {
		c.s.log.Info("backed up", "to", report.To, "files", report.Files, "bytes", report.Bytes)
	}
	return report, err
}

// CompactReport says what compacting brought, in bytes of the store's tables on disk. Their log, which turns over by itself,
// is not counted.
type CompactReport struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

func (c *controller) compact(ctx context.Context, _ []byte) (any, error) {
	return compact(ctx, c.s.o.Data, c.s.db)
}

func compact(ctx context.Context, data string, db *engine.DB) (*CompactReport, error) {
	before, err := tableBytes(data)
	if err != nil {
		return nil, err
	}
	if err := db.Compact(ctx); err != nil {
		return nil, err
	}
	// What is not needed any more is deleted a moment later: the figure is of now.
	after, err := tableBytes(data)
	return &CompactReport{Before: before, After: after}, err
}

// tableBytes is the size of the store's tables.
func tableBytes(data string) (sum int64, err error) {
	entries, err := os.ReadDir(filepath.Join(data, storeFolder))
	if err != nil {
		return 0, fmt.Errorf("measure the store: %w", err)
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext != ".sst" && ext != ".blob" {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since the folder was listed
		}
		if err != nil {
			return 0, fmt.Errorf("measure the store: %w", err)
		}
		sum += info.Size()
	}
	return sum, nil
}

// errNobody: no process serves the store.
var errNobody = errors.New("nobody serves the store")

// ask asks the process that serves the store.
func ask(ctx context.Context, data, what string, wish, out any) error {
	text, err := os.ReadFile(filepath.Join(data, controlFile))
	if errors.Is(err, fs.ErrNotExist) {
		return errNobody
	}
	if err != nil {
		return fmt.Errorf("ask the process that serves %s: %w", data, err)
	}
	var where control
	if err := json.Unmarshal(text, &where); err != nil {
		return errNobody // cut short by a crash: its process is gone
	}
	body, err := json.Marshal(wish)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+where.Address+"/"+what, bytes.NewReader(body))
	if err != nil {
		return errNobody
	}
	r.Header.Set("Authorization", "Bearer "+where.Token)
	response, err := (&http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}).Do(r)
	var refused *net.OpError
	if errors.As(err, &refused) && refused.Op == "dial" {
		return errNobody // the file outlived its process
	}
	if err != nil {
		return fmt.Errorf("ask the process that serves %s: %w", data, err)
	}
	defer func() { _ = response.Body.Close() }() // read below
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	switch {
	case err != nil:
		return fmt.Errorf("ask the process that serves %s: %w", data, err)
	case response.StatusCode == http.StatusOK:
		return json.Unmarshal(answer, out)
	case response.StatusCode != http.StatusConflict:
		return errNobody // the port is somebody else's by now
	}
	var problem struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(answer, &problem); err != nil || problem.Error == "" {
		problem.Error = "it failed without a reason"
	}
	return errors.New(problem.Error)
}

// Backup makes a consistent copy of the store in data, served by a process or not, as the folder to, which must not be there.
func Backup(ctx context.Context, data, to string) (*BackupReport, error) {
	to, err := filepath.Abs(to)
	if err != nil {
		return nil, fmt.Errorf("back up to %s: %w", to, err)
	}
	report := new(BackupReport)
	if err := ask(ctx, data, "backup", backupWish{To: to}, report); !errors.Is(err, errNobody) {
		return report, err
	}
	err = withStore(data, func(db *engine.DB) error {
		report, err = backup(ctx, data, to, db, new(sync.Mutex))
		return err
	})
	return report, err
}

// Compact gives space of deleted records in the store in data back to the file system, served by a process or not.
func Compact(ctx context.Context, data string) (*CompactReport, error) {
	report := new(CompactReport)
	err := ask(ctx, data, "compact", struct{}{}, report)
	if !errors.Is(err, errNobody) {
		return report, err
	}
	err = withStore(data, func(db *engine.DB) error {
		report, err = compact(ctx, data, db)
		return err
	})
	return report, err
}

// withStore opens a store that nobody serves.
func withStore(data string, f func(*engine.DB) error) error {
	folder := filepath.Join(data, storeFolder)
	if _, err := os.Stat(folder); err != nil {
		return fmt.Errorf("there is no store in %s: name the data folder with --data", data)
	}
	db, err := engine.Open(folder, engine.Options{})
	if err != nil {
		return fmt.Errorf("%w; nobody may be using it meanwhile", err)
	}
	return errors.Join(f(db), db.Close())
}
