package store

import "slices"

// spans is a set of numbers from 1 as first and last of its runs, in order: {{1, 3}, {7, 7}}. Runs neither overlap nor touch.
// The zero value is the empty set. Methods change nothing and return the new set.
type spans [][2]int64

// with is the set and the numbers from first to last.
func (s spans) with(first, last int64) spans {
	if first > last {
		return s
	}
	out := make(spans, 0, len(s)+1)
	for _, r := range s {
		if r[1] < first-1 || r[0] > last+1 {
			out = append(out, r)
			continue
		}
		first, last = min(first, r[0]), max(last, r[1])
	}
	out = append(out, [2]int64{first, last})
	slices.SortFunc(out, func(a, b [2]int64) int { return int(a[0] - b[0]) })
	return out
}

// without is the set less the numbers from first to last.
func (s spans) without(first, last int64) spans {
	if first > last {
		return s
	}
	out := make(spans, 0, len(s)+1)
	for _, r := range s {
		if r[0] < first {
			out = append(out, [2]int64{r[0], min(r[1], first-1)})
		}
		if r[1] > last {
			out = append(out, [2]int64{max(r[0], last+1), r[1]})
		}
	}
	return out
}

// common is what the set holds of the numbers from first to last.
func (s spans) common(first, last int64) spans {
	var out spans
	for _, r := range s {
		if a, b := max(r[0], first), min(r[1], last); a <= b {
			out = append(out, [2]int64{a, b})
		}
	}
	return out
}

func (s spans) has(n int64) bool { return len(s.common(n, n)) > 0 }

// size is how many numbers there are.
func (s spans) size() int64 {
	n := int64(0)
	for _, r := range s {
		n += r[1] - r[0] + 1
	}
	return n
}
