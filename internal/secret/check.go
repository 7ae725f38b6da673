package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors that every implementation gives alike; none ever holds a value.
var (
	// ErrName: not a name: see CheckName.
	ErrName = errors.New("not a valid name of a secret")
	// ErrValues: not one or two values, or too long: see Encode.
	ErrValues = errors.New("not valid values of a secret")
)

// The limits are those of a standard SSM parameter (AWS Systems Manager quotas, 2026-11-22), so that both stores refuse alike.
const (
	// MaxName is the longest name in bytes; MaxSegments how many parts it has between its slashes.
	MaxName     = 256
	MaxSegments = 8
	// MaxEncoded is the longest JSON list of values in bytes.
	MaxEncoded = 4096
)

// CheckName says whether name is one: 1 to MaxName bytes of a-z 0-9 - _ in at most MaxSegments non-empty segments between "/".
// The error wraps ErrName.
func CheckName(name string) error {
	segments := strings.Split(name, "/")
	bad := strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '/'
	})
	if bad || len(name) > MaxName || len(segments) > MaxSegments || slices.Contains(segments, "") {
		return fmt.Errorf("secret %.80q: %w (a-z, 0-9, - and _ in at most %d parts between slashes)", name, ErrName, MaxSegments)
	}
	return nil
}

// Encode is how values are stored: a JSON list. One or two values, none empty, at most MaxEncoded bytes together; the error
// wraps ErrValues.
func Encode(name string, values []string) ([]byte, error) {
	if len(values) < 1 || len(values) > 2 || slices.Contains(values, "") {
		return nil, fmt.Errorf("secret %q: %w: %d given; a secret has one value, or two while it is being changed, and none is empty", name, ErrValues, len(values))
	}
	encoded, err := json.Marshal(values)
	if err != nil || len(encoded) > MaxEncoded {
		return nil, fmt.Errorf("secret %q: %w: together they take %d bytes, at most %d fit", name, ErrValues, len(encoded), MaxEncoded)
	}
	return encoded, nil
}

// Decode reads what Encode wrote. The error does not wrap that of the JSON decoder, which quotes its input.
func Decode(name string, encoded []byte) ([]string, error) {
	var values []string
	if json.Unmarshal(encoded, &values) != nil || len(values) == 0 {
		return nil, fmt.Errorf("secret %q: what is stored is not a list of values; put it again", name)
	}
	return values, nil
}
