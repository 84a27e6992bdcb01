package everything

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A Notifier sends notifications to the client of one open stream. [Pulse] calls
// its methods from one goroutine; they should return when their context ends.
type Notifier interface {
	// Notify sends a notification to the stream's client.
	Notify(ctx context.Context, method string, params any) error
	// Log sends a log message, unless it is below the level the client has set.
	Log(ctx context.Context, params *mcp.LoggingMessageParams) error
	// Subscriptions returns the URIs that the client is subscribed to now.
	Subscriptions(ctx context.Context) ([]string, error)
}

// beatInterval is the time between two beats of a pulse, and the longest time
// one of them may take.
const beatInterval = 10 * time.Second

// Pulse sends the timed notifications of the demonstration to the client of one
// open stream: every 10 seconds notifications/resources/updated for each resource
// the client is subscribed to, every 20 seconds a log message of a random level,
// and every 30 seconds notifications/stderr, a non-standard method of the
// reference server. It blocks until ctx ends and returns the cause; call it once
// for each stream, with a context that ends with the stream.
//
// Errors of n are neither returned nor retried: another notification follows
// soon. All notifications that are due at one time together have 10 seconds; what
// a slower stream has not taken by then is dropped.
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

// stderrMessage has the time in UTC, because the next message may come from an
// instance in another time zone.
func stderrMessage(now time.Time) stderrParams {
	return stderrParams{Content: now.UTC().Format("03:04:05 PM") + ": A stderr message"}
}
