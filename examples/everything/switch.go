package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

// A redisSwitch stores in Redis whether something is on, so that all instances
// agree, those that start later included.
type redisSwitch struct {
	redis rueidis.Client
	key   string
}

const (
	switchTimeout = 2 * time.Second
	// switchKept is how long it stays on if nobody touches the switch.
	switchKept = 30 * 24 * time.Hour
)

func newToolSwitch(redis rueidis.Client, prefix string) *redisSwitch {
	return &redisSwitch{redis, prefix + ":{everything}:switch"}
}

func newResourceSwitch(redis rueidis.Client, prefix string) *redisSwitch {
	return &redisSwitch{redis, prefix + ":{everything}:resource"}
}

// On implements everything.Switch. It asks Redis, not a cache: clients list
// again as soon as they are notified.
func (s *redisSwitch) On(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	n, err := s.redis.Do(ctx, s.redis.B().Exists().Key(s.key).Build()).AsInt64()
	if err != nil {
		return false, fmt.Errorf("read the switch: %w", err)
	}
	return n == 1, nil
}

// Set implements everything.Switch.
func (s *redisSwitch) Set(ctx context.Context, on bool) error {
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
