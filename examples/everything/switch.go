package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

// A toolSwitch stores in Redis whether the switchable tool is on, so that all
// instances agree, those that start later included.
type toolSwitch struct {
	redis rueidis.Client
	key   string
}

const (
	switchTimeout = 2 * time.Second
	// switchKept is how long the tool stays on if nobody touches the switch.
	switchKept = 30 * 24 * time.Hour
)

func newToolSwitch(redis rueidis.Client, prefix string) *toolSwitch {
	return &toolSwitch{redis, prefix + ":{everything}:switch"}
}

// On implements everything.Switch. It asks Redis, not a cache: clients list the
// tools again as soon as they are notified.
func (s *toolSwitch) On(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	n, err := s.redis.Do(ctx, s.redis.B().Exists().Key(s.key).Build()).AsInt64()
	if err != nil {
		return false, fmt.Errorf("read the switch: %w", err)
	}
	return n == 1, nil
}

// Set implements everything.Switch.
func (s *toolSwitch) Set(ctx context.Context, on bool) error {
	ctx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	cmd := s.redis.B().Del().Key(s.key).Build()
	if on {
		cmd = s.redis.B().Set().Key(s.key).Value("on").Ex(switchKept).Build()
	}
	if err := s.redis.Do(ctx, cmd).Error(); err != nil {
		return fmt.Errorf("turn the switch: %w", err)
	}
	return nil
}
