package mcp_test

import (
	"net/http"
	"testing"
	"testing/synctest"
)

// Its client sends it again elsewhere: what was done here would be done twice.
func TestABatchThatIsRefusedDoesNothing(t *testing.T) {
	t.Parallel()
	const cancelled = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := at(s.batching(t), s.instances[0].url)
		replied := make(chan *http.Response, 1)
		go func() { replied <- c.Post(t, toolCall(7, "wait", `{"name":"w"}`)) }()
		s.runs(t, "w")
		left := make(chan error, 1)
		go func() { left <- s.instances[0].handler.Shutdown(t.Context()) }()
		synctest.Wait()
		if got := read(t, c.Post(t, array(cancelled, toolCall(8, "echo", "{}")))); got.Status != http.StatusServiceUnavailable {
			t.Errorf("a batch during Shutdown: %+v", got)
		}
		synctest.Wait()
		s.open("w")
		wantText(t, c.Message(t, soon(t, replied)), "went on")
		must(t, soon(t, left))
	})
}
