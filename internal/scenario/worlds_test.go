//go:build !parts

package scenario_test

import (
	"context"
	"testing"

	"github.com/aikajana/aikajana/internal/scenario"
)

func worlds(testing.TB) map[string]func(context.Context, *scenario.Stage) (scenario.World, error) {
	return map[string]func(context.Context, *scenario.Stage) (scenario.World, error){"local": scenario.NewLocal}
}
