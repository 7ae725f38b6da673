// Package secret is the contract of a store for credentials: SSM SecureString on AWS, an encrypted file locally. Both pass
// the suite of package secrettest.
package secret

import (
	"context"
	"errors"
)

// ErrNotFound says that nothing is stored under the name.
var ErrNotFound = errors.New("there is no such secret")

// Store keeps the values of secrets by name. Names are "accounts/<channel>/<account>/<setting>" and the like: a-z, 0-9, - _
// and "/". Each name has one or two values: the current one first, and the one before it while it is still honoured, so
// that a secret can be rotated without a gap. Safe for concurrent use. No error ever holds a value.
type Store interface {
	// Get returns the values of one name, or ErrNotFound.
	Get(ctx context.Context, name string) ([]string, error)
	// Put replaces the values of one name; durable when it returns nil.
	Put(ctx context.Context, name string, values []string) error
	// Delete forgets a name; one that is not there is no error.
	Delete(ctx context.Context, name string) error
	// List returns every name that starts with prefix, with its values.
	List(ctx context.Context, prefix string) (map[string][]string, error)
}
