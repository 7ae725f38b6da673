package channel

import (
	"fmt"
	"slices"
)

// Registry finds an adapter by its channel's ID. The zero value is empty. It does not change after New, so it is safe for
// concurrent use.
type Registry struct {
	byID map[string]Adapter
	ids  []string
}

// NewRegistry holds the given adapters. Two with the same ID are a defect of the caller and reported as an error.
func NewRegistry(adapters ...Adapter) (*Registry, error) {
	r := &Registry{byID: make(map[string]Adapter, len(adapters))}
	for _, a := range adapters {
		id := a.Info().ID
		if id == "" || r.byID[id] != nil {
			return nil, fmt.Errorf("register channel %q: the ID is empty or taken twice", id)
		}
		r.byID[id] = a
		r.ids = append(r.ids, id)
	}
	slices.Sort(r.ids)
	return r, nil
}

// Get returns the adapter of a channel.
func (r *Registry) Get(id string) (Adapter, bool) {
	a, ok := r.byID[id]
	return a, ok
}

// IDs lists the channels, sorted.
func (r *Registry) IDs() []string { return slices.Clone(r.ids) }

// Info returns what a channel declares.
func (r *Registry) Info(id string) (Info, bool) {
	a, ok := r.byID[id]
	if !ok {
		return Info{}, false
	}
	return a.Info(), true
}
