package main

import (
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestTheSwitchesAreTwo(t *testing.T) {
	t.Parallel()
	s := redistest.NewMiniredis(t)
	tool, resource := newToolSwitch(s.Client(t), "p"), newResourceSwitch(s.Client(t), "p")
	if err := resource.Set(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if on, err := tool.On(t.Context()); err != nil || on {
		t.Errorf("the tool is on: %t, %v", on, err)
	}
}

func TestInstancesShareTheSwitchAndSoDoesOneStartedLater(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := s.Prefix(t)
		a, b := newToolSwitch(s.Client(t), prefix), newToolSwitch(s.Client(t), prefix)
		for _, on := range []bool{false, true, true, false, false, true} {
			if err := a.Set(t.Context(), on); err != nil {
				t.Fatal(err)
			}
			later := newToolSwitch(s.Client(t), prefix)
			for name, instance := range map[string]*redisSwitch{"the same": a, "another": b, "a later": later} {
				got, err := instance.On(t.Context())
				if err != nil || got != on {
					t.Errorf("%s instance says %v, %v; want %v", name, got, err, on)
				}
			}
		}
		redistest.AssertTTLs(t, a.redis, prefix)
	})
}
