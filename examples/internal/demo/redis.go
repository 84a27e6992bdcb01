package demo

import (
	"github.com/alicebob/miniredis/v2"
	"github.com/redis/rueidis"
)

// connectRedis returns the client for the Redis of the settings and a function
// that ends it.
func (p *Process) connectRedis() (rueidis.Client, func(), error) {
	if p.Config.Redis == nil {
		return p.embedRedis()
	}
	client, err := rueidis.NewClient(*p.Config.Redis)
	if err != nil {
		return nil, nil, &SettingError{p.Config.RedisSetting, err}
	}
	p.using = func() { p.Log.Info("using Redis", "addr", p.Config.Redis.InitAddress) }
	return client, client.Close, nil
}

// embedRedis starts a Redis of the process's own on a free loopback port.
func (p *Process) embedRedis() (rueidis.Client, func(), error) {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true) // Else no key would ever expire.
	if err := m.Start(); err != nil {
		return nil, nil, err
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress:  []string{m.Addr()},
		DisableCache: true, // miniredis sends no invalidations.
	})
	if err != nil {
		m.Close()
		return nil, nil, err
	}
	p.using = func() {
		p.Log.Info("using an embedded Redis, for this process alone and only while it runs; set REDIS_URL to run several", "addr", m.Addr())
	}
	return client, func() { client.Close(); m.Close() }, nil
}
