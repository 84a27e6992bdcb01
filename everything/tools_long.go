package everything

import (
	"context"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The bounds of longRunningOperation: a call must not hold a connection for
// ever, nor flood it with progress.
const (
	maxDuration = time.Hour
	maxSteps    = 1000
)

func addLongRunningTool(server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{
		Name:        "longRunningOperation",
		Title:       "Long Running Operation",
		Annotations: lookup(),
		Icons:       icons(flaskIcon),
		Description: "Demonstrates a long running operation with progress updates",
		InputSchema: inputSchema[longRunningArgs](func(p map[string]*jsonschema.Schema) {
			p["duration"].Default = marshal(10)
			bound(p["duration"], 0, maxDuration.Seconds())
			p["steps"].Default = marshal(5)
			bound(p["steps"], 1, maxSteps)
		}),
	}, longRunningOperation)
}

type longRunningArgs struct {
	Duration float64 `json:"duration,omitempty" jsonschema:"Duration of the operation in seconds"`
	Steps    int     `json:"steps,omitempty" jsonschema:"Number of steps in the operation"`
}

// longRunningOperation takes the given time in equal steps, with a progress
// notification after each if the client asked for progress. It ends early, with
// an error, when its call is cancelled.
func longRunningOperation(ctx context.Context, req *mcp.CallToolRequest, in longRunningArgs) (*mcp.CallToolResult, any, error) {
	token := progressToken(req)
	total := time.Duration(in.Duration * float64(time.Second))
	start := time.Now()
	for step := 1; step <= in.Steps; step++ {
		// Steps end at fixed times after the start, so that the time it takes
		// to send progress does not add up.
		end := start.Add(time.Duration(float64(total) * float64(step) / float64(in.Steps)))
		if err := sleepUntil(ctx, end); err != nil {
			return nil, nil, fmt.Errorf("stopped after %d of %d steps: %w", step-1, in.Steps, err)
		}
		if token == nil {
			continue
		}
		// Progress is a courtesy: the operation goes on if it cannot be sent.
		_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
			ProgressToken: token,
			Progress:      float64(step),
			Total:         float64(in.Steps),
		})
	}
	return textResult(fmt.Sprintf("Long running operation completed. Duration: %s seconds, Steps: %d.",
		formatNumber(in.Duration), in.Steps)), nil, nil
}

// progressToken returns the token under which the client asked for progress, or
// nil if it did not, or with something that cannot be a token.
func progressToken(req *mcp.CallToolRequest) any {
	switch token := req.Params.GetProgressToken().(type) {
	case string, float64:
		return token
	default:
		return nil
	}
}

// sleepUntil returns at the given time, or when ctx ends, with the reason.
func sleepUntil(ctx context.Context, end time.Time) error {
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
