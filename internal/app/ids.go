package app

import (
	"encoding/base32"
	"fmt"
	"io"
	"sync"
)

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewIDs makes IDs of 128 random bits in 26 letters and digits. Reading is batched, because every message takes one. The
// function is safe for concurrent use. A source that fails ends the process: without randomness nothing is safe to go on.
func NewIDs(random io.Reader) func() string {
	const size, batch = 16, 64
	var (
		mu     sync.Mutex
		buffer [size * batch]byte
		left   []byte
	)
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		if len(left) < size {
			if _, err := io.ReadFull(random, buffer[:]); err != nil {
				panic(fmt.Sprintf("no randomness: %v", err))
			}
			left = buffer[:]
		}
		id := letters.EncodeToString(left[:size])
		left = left[size:]
		return id
	}
}
