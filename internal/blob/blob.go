// Package blob is the contract of a store for raw payloads and files. S3 and a folder pass the suite of package blobtest.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Info describes a stored blob.
type Info struct {
	Key  string
	Size int64
	// Type is the media type that it was stored with, or "".
	Type string
	// Modified is when it was last stored, by the clock of whatever keeps it. Only List tells.
	Modified time.Time
}

// Errors of Store.
var (
	// ErrNotFound: there is no such blob (or not yet readable, which on S3 right after a notification can happen).
	ErrNotFound = errors.New("there is no such blob")
	// ErrExists: IfAbsent was asked for and the key is taken.
	ErrExists = errors.New("the blob is already there")
	// ErrKey: the key is not one: see Store.
	ErrKey = errors.New("not a valid blob key")
	// ErrRange: the range lies outside the blob.
	ErrRange = errors.New("the range lies outside the blob")
)

// PutOptions say how to store a blob. Zero values are fine.
type PutOptions struct {
	Type string
	// IfAbsent refuses with ErrExists when the key is taken.
	IfAbsent bool
}

// Link says how a browser is to treat what it gets.
type Link struct {
	// TTL is how long the link works, at most 300 s.
	TTL time.Duration
	// Type and Disposition become the response's Content-Type and Content-Disposition.
	Type        string
	Disposition string
}

// Store keeps blobs. Keys are 1 to 512 bytes of a-z A-Z 0-9 - _ . = and "/", without empty, "." or ".." segments; anything
// else is ErrKey, by every implementation alike ([CheckKey]). All methods are safe for concurrent use.
type Store interface {
	// Put stores all of r, replacing what was there. When it returns nil the blob is durable and whole; after an error or a
	// crash it is whole or absent (or what it was before), never torn.
	Put(ctx context.Context, key string, r io.Reader, o PutOptions) (Info, error)
	// Get opens a blob from byte from (0 for all), at most n bytes (n <= 0: to the end). The caller closes it.
	Get(ctx context.Context, key string, from, n int64) (io.ReadCloser, Info, error)
	// Delete removes a blob; one that is not there is no error.
	Delete(ctx context.Context, key string) error
	// List returns up to limit blobs whose keys start with prefix, in byte order, behind after. Their Type is left empty, and
	// Modified is set.
	List(ctx context.Context, prefix, after string, limit int) ([]Info, error)
	// Link makes a URL that gives the blob to whoever holds it, until it expires.
	Link(ctx context.Context, key string, l Link) (string, error)
}

// CheckKey says whether key is a valid key; the error wraps ErrKey.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > 512 {
		return errKey(key)
	}
	start := 0
	for i := 0; i <= len(key); i++ {
		if i < len(key) && key[i] != '/' {
			if !keyByte(key[i]) {
				return errKey(key)
			}
			continue
		}
		if segment := key[start:i]; segment == "" || segment == "." || segment == ".." {
			return errKey(key)
		}
		start = i + 1
	}
	return nil
}

func keyByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' || b == '_' || b == '.' || b == '='
}

func errKey(key string) error {
	if len(key) > 64 {
		key = key[:64] + "…"
	}
	return fmt.Errorf("blob key %q: %w", key, ErrKey)
}
