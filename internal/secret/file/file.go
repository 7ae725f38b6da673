// Package file keeps secrets in one encrypted file: the store of the local binary.
//
// # Format
//
// 16 bytes of magic that name the format and its version, a nonce of 12 bytes, and the AES-256-GCM ciphertext of a JSON
// object from name to list of values; the magic is authenticated along. The file is written anew as a whole at each change:
// temporary file, sync, rename, sync of the folder. The key lies in a file of its own, so that a backup of the one without the
// other gives nothing away.
//
// One process at a time may write to a file.
package file

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/aikajana/aikajana/internal/disk"
	"github.com/aikajana/aikajana/internal/secret"
)

// Options say where the files are.
type Options struct {
	// Path is the encrypted file; its folder must exist. It is made at the first Put.
	Path string
	// KeyPath is the file that holds the key; it is made at the first start, and never when secrets are there already. Not
	// used when Key is set.
	KeyPath string
	// Key is 32 bytes, for operators who keep it elsewhere.
	Key []byte
	// FS is the file system, nil for the real one; Random gives keys and nonces, nil for crypto/rand.
	FS     disk.FS
	Random io.Reader
}

// Store is a secret.Store over one file. Safe for concurrent use. Printed or logged, it shows nothing of what it holds.
type Store struct {
	fs     disk.FS
	path   string
	sealer cipher.AEAD
	random io.Reader

	mu     sync.RWMutex
	values map[string][]string
	// broken is set when a write ended so that the disk may hold either version.
	broken error
}

var _ secret.Store = (*Store)(nil)

// magic names the format and its version.
const magic = "aikajana secret1"

const keyLength = 32

// Open reads the file, or begins an empty one.
func Open(o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	sealed, err := disk.ReadFile(o.FS, o.Path)
	begun := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	key := o.Key
	if key == nil {
		if key, err = readKey(o, begun); err != nil {
			return nil, err
		}
	}
	if len(key) != keyLength {
		return nil, fmt.Errorf("open secrets %s: the key has %d bytes, %d are needed", o.Path, len(key), keyLength)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("open secrets %s: %w", o.Path, err)
	}
	sealer, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("open secrets %s: %w", o.Path, err)
	}
	s := &Store{fs: o.FS, path: o.Path, sealer: sealer, random: o.Random, values: map[string][]string{}}
	if begun {
		if s.values, err = s.unseal(sealed); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readKey reads the key file, or makes it when no secrets exist that another key must have sealed.
func readKey(o Options, begun bool) ([]byte, error) {
	text, err := disk.ReadFile(o.FS, o.KeyPath)
	if err == nil {
		if err := onlyOwner(o.FS, o.KeyPath); err != nil {
			return nil, err
		}
		key, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
		if err != nil { // the decoder's error tells only a position, but even that is nobody's business
			return nil, fmt.Errorf("read the key of the secrets: %s does not hold base64; restore it from a backup", o.KeyPath)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key of the secrets: %w", err)
	}
	if begun {
		return nil, fmt.Errorf("open secrets %s: its key %s is missing; restore the key, or remove the file and enter all secrets again", o.Path, o.KeyPath)
	}
	key := make([]byte, keyLength)
	if _, err := io.ReadFull(o.Random, key); err != nil {
		return nil, fmt.Errorf("make a key for the secrets: %w", err)
	}
	text = []byte(base64.StdEncoding.EncodeToString(key) + "\n")
	if err := disk.WriteFile(o.FS, o.KeyPath, o.KeyPath+".new", text); err != nil {
		return nil, fmt.Errorf("make a key for the secrets: %w", err)
	}
	return key, nil
}

// onlyOwner refuses a key that others may read, where the file system can say.
func onlyOwner(d disk.FS, path string) error {
	if _, onDisk := d.(disk.OS); !onDisk {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read the key of the secrets: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("read the key of the secrets: others may read %s; say: chmod 600 %s", path, path)
	}
	return nil
}

func (s *Store) unseal(sealed []byte) (map[string][]string, error) {
	rest, ours := bytes.CutPrefix(sealed, []byte(magic))
	if !ours || len(rest) < s.sealer.NonceSize() {
		return nil, fmt.Errorf("open secrets %s: the file is not one of this version", s.path)
	}
	nonce, ciphertext := rest[:s.sealer.NonceSize()], rest[s.sealer.NonceSize():]
	plain, err := s.sealer.Open(nil, nonce, ciphertext, []byte(magic))
	if err != nil {
		return nil, fmt.Errorf("open secrets %s: the key does not fit, or the file was changed; restore both from the same backup", s.path)
	}
	var values map[string][]string
	if json.Unmarshal(plain, &values) != nil { // its error would quote what it could not read
		return nil, fmt.Errorf("open secrets %s: what was sealed is not a list of secrets", s.path)
	}
	if values == nil {
		values = map[string][]string{}
	}
	return values, nil
}

// Get implements secret.Store.
func (s *Store) Get(_ context.Context, name string) ([]string, error) {
	if err := secret.CheckName(name); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	values, ok := s.values[name]
	if !ok {
		return nil, fmt.Errorf("secret %q: %w", name, secret.ErrNotFound)
	}
	return slices.Clone(values), nil
}

// Put implements secret.Store. A full disk is fault.Retry with code "disk_full".
func (s *Store) Put(ctx context.Context, name string, values []string) error {
	if err := secret.CheckName(name); err != nil {
		return err
	}
	if _, err := secret.Encode(name, values); err != nil {
		return err
	}
	return s.change(ctx, name, func(all map[string][]string) { all[name] = slices.Clone(values) })
}

// Delete implements secret.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := secret.CheckName(name); err != nil {
		return err
	}
	return s.change(ctx, name, func(all map[string][]string) { delete(all, name) })
}

// change writes a changed copy, and takes it over once it is durable.
func (s *Store) change(ctx context.Context, name string, edit func(map[string][]string)) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("secret %q: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	next := maps.Clone(s.values)
	edit(next)
	plain, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("secret %q: the values cannot be encoded", name)
	}
	nonce := make([]byte, s.sealer.NonceSize())
	if _, err := io.ReadFull(s.random, nonce); err != nil {
		return fmt.Errorf("secret %q: make a nonce: %w", name, err)
	}
	sealed := s.sealer.Seal(append([]byte(magic), nonce...), nonce, plain, []byte(magic))
	if err := disk.WriteFile(s.fs, s.path, filepath.Join(filepath.Dir(s.path), "."+filepath.Base(s.path)+".new"), sealed); err != nil {
		err = fmt.Errorf("secret %q: %w", name, err)
		if !disk.Full(err) {
			s.broken = fmt.Errorf("secrets are not written any more, because an earlier write failed; check the disk and start again: %w", err)
		}
		return err
	}
	s.values = next
	return nil
}

// List implements secret.Store.
func (s *Store) List(_ context.Context, prefix string) (map[string][]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := map[string][]string{}
	for name, values := range s.values {
		if strings.HasPrefix(name, prefix) {
			found[name] = slices.Clone(values)
		}
	}
	return found, nil
}

// Format implements fmt.Formatter: whatever the verb, no value is shown.
func (s *Store) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "secrets in a file") }

// MarshalJSON shows no value.
func (s *Store) MarshalJSON() ([]byte, error) { return []byte(`"secrets in a file"`), nil }
