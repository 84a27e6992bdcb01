package server

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// What an upstream issues for a user is used to learn who it is, and then gone:
// no response, no line of the log and nothing in Redis has it, and it is no
// token here.
func TestT26_AnUpstreamsTokenGoesNowhere(t *testing.T) {
	t.Parallel()
	const token = "upstream token" // what the provider issues
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		p := newProvider(t)
		var log journal
		fl := newFleet(t, s, p.upstream(t, p.identify), func(o *Options) {
			o.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		l := fl.login(t, public)
		back := l.get(t, l.toProvider(t).String())
		responses := []response{back, l.redeem(t, mustURL(t, back.header.Get("Location")).Query().Get("code"))}
		access, refresh := tokensIn(t, responses[1])
		if _, err := fl.instances[0].Verify(t.Context(), access); err != nil {
			t.Fatal(err)
		}
		responses = append(responses, l.refresh(t, refresh))
		for i, res := range responses {
			if text := fmt.Sprint(res.header, res.body); strings.Contains(text, token) {
				t.Errorf("response %d has the upstream's token: %s", i, text)
			}
		}
		if strings.Contains(log.String(), token) || !strings.Contains(log.String(), "authorization granted") {
			t.Errorf("the log: %s", &log)
		}
		if strings.Contains(fl.dump(t), token) {
			t.Error("Redis has the upstream's token")
		}
		for _, instance := range fl.instances {
			if _, err := instance.Verify(t.Context(), token); !errors.Is(err, auth.ErrInvalidToken) {
				t.Errorf("the upstream's token presented here: %v", err)
			}
		}
	})
}
