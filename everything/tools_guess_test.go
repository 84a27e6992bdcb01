package everything_test

import (
	"context"
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

// guesser returns the options of a client that guesses numbers one after the other,
// and keeps what it is asked. When it has no more, it declines.
func guesser(asked *[]string, guesses ...float64) *mcp.ClientOptions {
	return &mcp.ClientOptions{
		ElicitationHandler: func(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			n := len(*asked)
			*asked = append(*asked, req.Params.Message)
			if n >= len(guesses) {
				return &mcp.ElicitResult{Action: "decline"}, nil
			}
			return accept(map[string]any{"guess": guesses[n]}), nil
		},
	}
}

func TestGuessNumberKeepsItsNumberBetweenTheQuestions(t *testing.T) {
	t.Parallel()
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		var asked []string
		// The only numbers are 1 and 2: of a number that changed, one would be wrong twice.
		text := soleText(t, call(t, connect(guesser(&asked, 1, 2)), "guessNumber", map[string]any{"player": "Ada", "max": 2}))
		switch text {
		case "Ada guessed it: 1.":
			asked = append(asked, "Ada, guess a number from 1 to 2. 1 is too small. Guesses left: 2.")
		case "Ada guessed it: 1, 2.":
		default:
			t.Errorf("the game ends with %q", text)
		}
		want := []string{"Ada, guess a number from 1 to 2. Guesses left: 3.", "Ada, guess a number from 1 to 2. 1 is too small. Guesses left: 2."}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	})
}

func TestGuessNumberEnds(t *testing.T) {
	t.Parallel()
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		for _, test := range []struct {
			guesses []float64
			want    string
		}{
			{[]float64{1e9 - 1, 1e9 - 2, 1e9 - 3}, `^Player guessed 999999999, 999999998, 999999997\. The number was (\d+)\.$`},
			{[]float64{1e9}, `^Player gave up\. The number was (\d+)\.$`},
			{nil, `^Player gave up\. The number was (\d+)\.$`},
		} {
			var asked []string
			text := soleText(t, call(t, connect(guesser(&asked, test.guesses...)), "guessNumber", map[string]any{"max": 1e9}))
			found := regexp.MustCompile(test.want).FindStringSubmatch(text)
			if found == nil {
				t.Errorf("the game ends with %q", text)
				continue
			}
			if n, err := strconv.Atoi(found[1]); err != nil || n < 1 || n > 1e9 {
				t.Errorf("the number is %q", found[1])
			}
		}
	})
}

func TestGuessNumberNeedsAForm(t *testing.T) {
	t.Parallel()
	wantToolError(t, call(t, connect(t, everything.New(nil), v2025, nil), "guessNumber", nil), "client does not support form elicitation")
}
