package everything

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A Notifier sends notifications on one open stream to one client. Its methods
// should return when their context ends.
type Notifier interface {
	// Notify sends a notification to the stream's client.
	Notify(ctx context.Context, method string, params any) error
	// Log sends a log message, if the client wants its level.
	Log(ctx context.Context, params *mcp.LoggingMessageParams) error
	// Subscriptions returns the URIs that the client is subscribed to now.
	Subscriptions(ctx context.Context) ([]string, error)
}

// beatInterval is the time between two beats of a pulse, and the longest time
// one of them may take.
const beatInterval = 10 * time.Second

// Pulse sends the timed notifications of the demonstration to the client of one
// open stream: every 10 seconds an update of each resource the client is
// subscribed to, every 20 seconds a log message of a random level, and every 30
// seconds a "notifications/stderr", a method of this server's own. It returns
// when ctx ends, with the cause; call it once for each stream, with a context
// that ends with the stream.
//
// Nothing else ends it. What cannot be sent is dropped, as there will be another
// one soon: an error of n is neither returned nor retried. What is due at one
// time has 10 seconds to be sent; a stream that is slower gets less.
func Pulse(ctx context.Context, n Notifier) error {
	ticker := time.NewTicker(beatInterval)
	defer ticker.Stop()
	for beat := 1; ; beat++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case now := <-ticker.C:
			sendBeat(ctx, n, beat, now)
		}
	}
}

func sendBeat(ctx context.Context, n Notifier, beat int, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, beatInterval)
	defer cancel()
	sendUpdates(ctx, n)
	if beat%2 == 0 {
		_ = n.Log(ctx, randomMessage())
	}
	if beat%3 == 0 {
		_ = n.Notify(ctx, "notifications/stderr", stderrMessage(now))
	}
}

func sendUpdates(ctx context.Context, n Notifier) {
	uris, err := n.Subscriptions(ctx)
	if err != nil {
		return
	}
	for _, uri := range uris {
		_ = n.Notify(ctx, "notifications/resources/updated", &mcp.ResourceUpdatedNotificationParams{URI: uri})
	}
}

// randomMessage returns one of the messages of the reference server, whose
// texts these are, to the letter.
func randomMessage() *mcp.LoggingMessageParams {
	messages := []mcp.LoggingMessageParams{
		{Level: "debug", Data: "Debug-level message"},
		{Level: "info", Data: "Info-level message"},
		{Level: "notice", Data: "Notice-level message"},
		{Level: "warning", Data: "Warning-level message"},
		{Level: "error", Data: "Error-level message"},
		{Level: "critical", Data: "Critical-level message"},
		{Level: "alert", Data: "Alert level-message"},
		{Level: "emergency", Data: "Emergency-level message"},
	}
	return &messages[rand.IntN(len(messages))]
}

type stderrParams struct {
	Content string `json:"content"`
}

// stderrMessage tells the time in UTC, since a client's next message may come
// from an instance elsewhere.
func stderrMessage(now time.Time) stderrParams {
	return stderrParams{Content: now.UTC().Format("03:04:05 PM") + ": A stderr message"}
}
