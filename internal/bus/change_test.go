package bus

import "testing"

func TestAChangeIsEncodedForSessionsAndListeners(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		change            *Change
		session, listener string
	}{
		{
			newUpdate(Position{1, 0}, `a:"b"`),
			`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:\"b\""}}`,
			`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7},"uri":"a:\"b\""}}`,
		},
		{
			newListChange(Position{1, 0}, "tools"),
			`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{}}`,
			`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7}}}`,
		},
	} {
		if got := string(test.change.Message()); got != test.session {
			t.Errorf("for a session: %s", got)
		}
		if got := string(test.change.MessageFor([]byte(`7`))); got != test.listener {
			t.Errorf("for a listener: %s", got)
		}
	}
}
