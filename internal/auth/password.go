package auth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/aikajana/aikajana/internal/fault"
)

// Cost is what checking a password costs (RFC 9106 section 4).
type Cost struct {
	// MemoryKiB is how much memory one check takes; Passes how often it is gone over.
	MemoryKiB uint32
	Passes    uint32
	// AtOnce is how many checks run side by side: it bounds the memory that strangers can make us take.
	AtOnce int
}

// DefaultCost takes about 50 ms on one core of 2026, and 38 MiB at most for all checks together. It is above what OWASP's
// Password Storage Cheat Sheet asks for (19 MiB, 2 passes; read 2026-11-22).
var DefaultCost = Cost{MemoryKiB: 19 << 10, Passes: 5, AtOnce: 2}

// Limits of a password, in characters. A pass phrase fits; hashing a novel does not.
const (
	MinPassword = 10
	MaxPassword = 256
)

const (
	saltBytes = 16
	keyBytes  = 32
)

// hasher checks passwords, only so many at once.
type hasher struct {
	cost  Cost
	rand  io.Reader
	slots chan struct{}
}

func newHasher(c Cost, random io.Reader) *hasher {
	return &hasher{cost: c, rand: random, slots: make(chan struct{}, max(1, c.AtOnce))}
}

// hash makes the stored form of a password: the PHC string format, as other argon2 tools write it.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltBytes)
	if _, err := io.ReadFull(h.rand, salt); err != nil {
		return "", fmt.Errorf("make a salt: %w", err)
	}
	sum, err := h.derive(ctx, password, salt, h.cost)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, h.cost.MemoryKiB, h.cost.Passes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum)), nil
}

// verify says whether password is the one behind stored. An empty stored (an unknown user, or one without a password) takes
// as long as a wrong password, so that nobody can tell them apart by the clock.
func (h *hasher) verify(ctx context.Context, password, stored string) (bool, error) {
	cost, salt, want, ok := parsePHC(stored)
	if !ok {
		cost, salt, want = h.cost, make([]byte, saltBytes), make([]byte, keyBytes)
	}
	sum, err := h.derive(ctx, password, salt, cost)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(sum, want) == 1 && ok, nil
}

// stale says that stored was made at another cost than today's.
func (h *hasher) stale(stored string) bool {
	cost, _, _, ok := parsePHC(stored)
	return !ok || cost.MemoryKiB != h.cost.MemoryKiB || cost.Passes != h.cost.Passes
}

func (h *hasher) derive(ctx context.Context, password string, salt []byte, c Cost) ([]byte, error) {
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, &fault.Error{Kind: fault.Retry, Code: "busy", After: time.Second,
			Err: fmt.Errorf("wait for a turn to check a password: %w", ctx.Err())}
	}
	defer func() { <-h.slots }()
	return argon2.IDKey([]byte(password), salt, c.Passes, c.MemoryKiB, 1, keyBytes), nil
}

func parsePHC(stored string) (c Cost, salt, sum []byte, ok bool) {
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return Cost{}, nil, nil, false
	}
	var version, lanes uint32
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return Cost{}, nil, nil, false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.MemoryKiB, &c.Passes, &lanes); err != nil || lanes != 1 || c.Passes == 0 {
		return Cost{}, nil, nil, false
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	sum, sumErr := base64.RawStdEncoding.DecodeString(parts[5])
	return c, salt, sum, saltErr == nil && sumErr == nil && len(sum) == keyBytes
}

// checkPassword refuses what is no fit password. It asks for length alone: rules about digits and signs make passwords worse
// (NIST SP 800-63B section 5.1.1.2).
func checkPassword(field, password string) error {
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password):
		return fault.Field(field, "the password is not valid UTF-8")
	case n < MinPassword:
		return fault.Field(field, "the password has %d characters; it takes at least %d", n, MinPassword)
	case n > MaxPassword:
		return fault.Field(field, "the password has %d characters; it may have at most %d", n, MaxPassword)
	}
	return nil
}
