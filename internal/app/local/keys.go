package local

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keyLen is the length of the deployment key in bytes.
const keyLen = 32

// deploymentKey reads the key of a data folder, or makes one on the first start. It is in a file of its own because a backup
// without it is worth nothing, and a stolen table without it holds no address in clear in any key.
func deploymentKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, "key")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newKey(dir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the deployment key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keyLen {
		return nil, fmt.Errorf("the deployment key %s is damaged: bring it back from a backup; with another one nobody is found again", path)
	}
	return key, nil
}

func newKey(dir, path string) ([]byte, error) {
	if _, err := os.Stat(filepath.Join(dir, "store")); err == nil {
		return nil, fmt.Errorf("there is a store in %s but no file \"key\": bring it back from a backup; with another one nobody is found again", dir)
	}
	key := make([]byte, keyLen)
	_, _ = rand.Read(key) // never fails (crypto/rand since Go 1.24)
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the deployment key: %w", err)
	}
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("make the deployment key: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, fmt.Errorf("make the deployment key: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return nil, fmt.Errorf("make the deployment key: %w", err)
	}
	return key, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
