package fakeupstream_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/auth/fakeupstream"
	"github.com/mcpfleet/mcpfleet/internal/testing/authtest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestAFormThatDoesNotArriveHoldsNoConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up, err := fakeupstream.New(&fakeupstream.Options{Redis: redistest.NewBubble(t).Client(t), BaseURL: "http://localhost"})
		if err != nil {
			t.Fatal(err)
		}
		response, held := authtest.Stall(t, &http.Server{Handler: up}, fakeupstream.AuthorizePath)
		if held > 15*time.Second || !strings.HasPrefix(response, "HTTP/1.1 4") {
			t.Errorf("held for %v, answered %.20q", held, response)
		}
	})
}
