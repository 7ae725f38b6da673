package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Cases lists the cases of the person that the customer is, over all merged customers, the one opened last first. most bounds
// how many are read of each member, in no useful order; 0 means all.
func (s *Store) Cases(ctx context.Context, customer string, most int) ([]*timeline.Case, error) {
	c, err := s.Customer(ctx, customer)
	if err != nil {
		return nil, err
	}
	var cases []*timeline.Case
	for _, member := range c.Members() {
		part, err := query[caseRecord](ctx, s, table.Query{PK: "C#" + member, From: "K#", To: "K$", Limit: most})
		if err != nil {
			return nil, fmt.Errorf("cases of customer %s: %w", customer, err)
		}
		for _, one := range part {
			cases = append(cases, &one.Case)
		}
	}
	slices.SortFunc(cases, func(a, b *timeline.Case) int {
		if a.Opened != b.Opened {
			return int(b.Opened - a.Opened)
		}
		return strings.Compare(a.Case, b.Case)
	})
	return cases, nil
}
