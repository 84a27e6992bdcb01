package node

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// unknownMessage is of a kind that no instance knows.
type unknownMessage struct{}

func (unknownMessage) encode() []string { return envelope("unknown") }

// TestInboxMessagesKeepTheirForm compares messages with entries of inboxes and of
// responses as they were recorded: fields and values, in order.
func TestInboxMessagesKeepTheirForm(t *testing.T) {
	t.Parallel()
	asked := serverRequestRef{Session: "S", Conn: "7", Number: "1"}
	for _, test := range []struct {
		message inboxMessage
		decode  func(f map[string]string) (inboxMessage, error)
		entry   []string
	}{
		{
			eventAppended{Session: "S", Stream: "g", Reader: "r1", Offset: 12, Nonce: "ABCDEF", Data: []byte(`{"a":1}`)},
			func(f map[string]string) (inboxMessage, error) { return decodeEventAppended(f) },
			[]string{"v", "1", "k", "event", "r", "r1", "o", "12", "t", "ABCDEF", "d", `{"a":1}`, "e", "", "s", "S", "n", "g"},
		},
		{
			eventAppended{Session: "S", Stream: "c1", Reader: "r1", Offset: 13, Data: []byte{}, End: true},
			func(f map[string]string) (inboxMessage, error) { return decodeEventAppended(f) },
			[]string{"v", "1", "k", "event", "r", "r1", "o", "13", "t", "", "d", "", "e", "1", "s", "S", "n", "c1"},
		},
		{
			readerClosed{Reader: "r1", Retry: 3 * time.Second, Taken: true},
			func(f map[string]string) (inboxMessage, error) { return decodeReaderClosed(f) },
			[]string{"v", "1", "k", "close", "r", "r1", "retry", "3000", "taken", "1"},
		},
		{
			readerClosed{Reader: "r1"},
			func(f map[string]string) (inboxMessage, error) { return decodeReaderClosed(f) },
			[]string{"v", "1", "k", "close", "r", "r1", "retry", "0", "taken", ""},
		},
		{
			subscriptionsChanged{Reader: "r1"},
			func(f map[string]string) (inboxMessage, error) { return decodeSubscriptionsChanged(f), nil },
			[]string{"v", "1", "k", "subscriptions", "r", "r1"},
		},
		{
			subscriptionsChanged{Reader: "r1", Instance: "aaaaaaaaaaaaaaaa", Waiter: "5"},
			func(f map[string]string) (inboxMessage, error) { return decodeSubscriptionsChanged(f), nil },
			[]string{"v", "1", "k", "subscriptions", "r", "r1", "i", "aaaaaaaaaaaaaaaa", "w", "5"},
		},
		{
			subscriptionsLoaded{Waiter: "5"},
			func(f map[string]string) (inboxMessage, error) { return decodeSubscriptionsLoaded(f), nil },
			[]string{"v", "1", "k", "subscribed", "w", "5"},
		},
		{
			relayStarted{Reader: "r1", Session: "S", Call: "aaaaaaaaaaaaaaaa.6", Instance: "aaaaaaaaaaaaaaaa"},
			func(f map[string]string) (inboxMessage, error) { return decodeRelayStarted(f), nil },
			[]string{"v", "1", "k", "runs", "r", "r1", "s", "S", "c", "aaaaaaaaaaaaaaaa.6", "i", "aaaaaaaaaaaaaaaa"},
		},
		{
			relayEnded{Reader: "r1", Call: "aaaaaaaaaaaaaaaa.6", Instance: "aaaaaaaaaaaaaaaa"},
			func(f map[string]string) (inboxMessage, error) { return decodeRelayEnded(f), nil },
			[]string{"v", "1", "k", "ran", "r", "r1", "s", "", "c", "aaaaaaaaaaaaaaaa.6", "i", "aaaaaaaaaaaaaaaa"},
		},
		{
			responseArrived{asked, json.RawMessage(`{"r":1}`), false},
			func(f map[string]string) (inboxMessage, error) { return decodeResponseArrived(f), nil },
			[]string{"v", "1", "k", "reply", "s", "S", "c", "7", "q", "1", "d", `{"r":1}`, "e", ""},
		},
		{
			responseArrived{asked, json.RawMessage(`{"code":1,"message":"m"}`), true},
			func(f map[string]string) (inboxMessage, error) { return decodeResponseArrived(f), nil },
			[]string{"v", "1", "k", "reply", "s", "S", "c", "7", "q", "1", "d", `{"code":1,"message":"m"}`, "e", "1"},
		},
		{
			progressArrived{asked, json.RawMessage(`{"progress":1}`)},
			func(f map[string]string) (inboxMessage, error) { return decodeProgressArrived(f), nil },
			[]string{"v", "1", "k", "progress", "s", "S", "c", "7", "q", "1", "d", `{"progress":1}`, "e", ""},
		},
		{
			answersArrived{"7", Answering{"ROUND", "CLAIM", map[string]json.RawMessage{"elicit-1": json.RawMessage(`{"action":"decline"}`)}, front{"aaaaaaaaaaaaaaaa", "6"}}},
			func(f map[string]string) (inboxMessage, error) { return decodeAnswersArrived(f) },
			[]string{"v", "1", "k", "answers", "c", "7", "r", "ROUND", "w", "CLAIM", "d", `{"elicit-1":{"action":"decline"}}`, "i", "aaaaaaaaaaaaaaaa", "f", "6"},
		},
		{
			answersArrived{"7", Answering{"ROUND", "CLAIM", map[string]json.RawMessage{}, front{"aaaaaaaaaaaaaaaa", "6"}}},
			func(f map[string]string) (inboxMessage, error) { return decodeAnswersArrived(f) },
			[]string{"v", "1", "k", "answers", "c", "7", "r", "ROUND", "w", "CLAIM", "d", `{}`, "i", "aaaaaaaaaaaaaaaa", "f", "6"},
		},
		{
			frontTold{"6", front{"bbbbbbbbbbbbbbbb", "7"}, 2, said{json.RawMessage(`{"progress":1}`), saidNotification, "notifications/progress"}},
			func(f map[string]string) (inboxMessage, error) { return decodeFrontTold(f) },
			[]string{"v", "1", "k", "said", "c", "6", "i", "bbbbbbbbbbbbbbbb", "q", "7", "n", "2", "t", "n", "m", "notifications/progress", "d", `{"progress":1}`},
		},
		{
			frontTold{"6", front{"bbbbbbbbbbbbbbbb", "7"}, 3, said{json.RawMessage(`{"content":[]}`), saidResult, ""}},
			func(f map[string]string) (inboxMessage, error) { return decodeFrontTold(f) },
			[]string{"v", "1", "k", "said", "c", "6", "i", "bbbbbbbbbbbbbbbb", "q", "7", "n", "3", "t", "r", "m", "", "d", `{"content":[]}`},
		},
		{
			frontTold{"6", front{"bbbbbbbbbbbbbbbb", "7"}, 0, said{json.RawMessage(`{"code":-32603,"message":"m"}`), saidError, ""}},
			func(f map[string]string) (inboxMessage, error) { return decodeFrontTold(f) },
			[]string{"v", "1", "k", "said", "c", "6", "i", "bbbbbbbbbbbbbbbb", "q", "7", "n", "0", "t", "e", "m", "", "d", `{"code":-32603,"message":"m"}`},
		},
		{
			frontTook{"7", front{"aaaaaaaaaaaaaaaa", "6"}, 2},
			func(f map[string]string) (inboxMessage, error) { return decodeFrontTook(f) },
			[]string{"v", "1", "k", "took", "q", "7", "i", "aaaaaaaaaaaaaaaa", "c", "6", "n", "2"},
		},
		{
			frontGone{"7", front{"aaaaaaaaaaaaaaaa", "6"}},
			func(f map[string]string) (inboxMessage, error) { return decodeFrontGone(f), nil },
			[]string{"v", "1", "k", "left", "q", "7", "i", "aaaaaaaaaaaaaaaa", "c", "6"},
		},
	} {
		if diff := cmp.Diff(test.entry, test.message.encode()); diff != "" {
			t.Errorf("%T is written (-recorded +got):\n%s", test.message, diff)
		}
		fields := map[string]string{}
		for i := 0; i < len(test.entry); i += 2 {
			fields[test.entry[i]] = test.entry[i+1]
		}
		got, err := test.decode(fields)
		if err != nil {
			t.Errorf("%T: %v", test.message, err)
		}
		if diff := cmp.Diff(test.message, got, cmp.AllowUnexported(responseArrived{}, progressArrived{}, Answering{}, front{}, frontTold{}, said{})); diff != "" {
			t.Errorf("%T is read (-want +got):\n%s", test.message, diff)
		}
	}
}
