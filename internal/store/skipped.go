package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aikajana/aikajana/internal/table"
)

// Skipped is the error of a call that did everything but what concerns items that cannot be read. Trying again does not help:
// say which they are and go on. They stay where they are, and check finds them.
type Skipped struct {
	Items []SkippedItem
}

// SkippedItem is one that cannot be read, and why.
type SkippedItem struct {
	Key table.Key
	Err error
}

// Error names the first of them.
func (s *Skipped) Error() string {
	return fmt.Sprintf("%d items cannot be read and were passed over, the first is %s: %v", len(s.Items), s.Items[0].Key, s.Items[0].Err)
}

func (s *Skipped) add(k table.Key, err error) { s.Items = append(s.Items, SkippedItem{k, err}) }

// Take moves what err says was passed over to s, each item once, and returns nil for it; any other error it returns.
func (s *Skipped) Take(err error) error {
	var other *Skipped
	if !errors.As(err, &other) {
		return err
	}
	for _, item := range other.Items {
		if !slices.ContainsFunc(s.Items, func(have SkippedItem) bool { return have.Key == item.Key }) {
			s.Items = append(s.Items, item)
		}
	}
	return nil
}

func (s *Skipped) err() error {
	if len(s.Items) == 0 {
		return nil
	}
	return s
}
