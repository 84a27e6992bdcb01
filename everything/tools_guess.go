package everything

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	maxGuesses   = 3
	maxGuessable = 1_000_000_000
)

func addGuessTool(server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{
		Name:        "guessNumber",
		Title:       "Guess a Number",
		Description: "Demonstrates several questions in one call: thinks of a number, which the user may guess three times",
		Annotations: game(),
		Icons:       icons(speechIcon),
		InputSchema: inputSchema[guessArgs](func(p map[string]*jsonschema.Schema) {
			p["player"].Default = marshal("Player")
			p["max"].Default = marshal(100)
			bound(p["max"], 2, maxGuessable)
		}),
	}, guessNumber)
}

type guessArgs struct {
	Player string `json:"player,omitempty" jsonschema:"How to address the user"`
	Max    int    `json:"max,omitempty" jsonschema:"The largest number to think of"`
}

// guessNumber keeps its number in a variable while it waits for the guesses.
func guessNumber(ctx context.Context, req *mcp.CallToolRequest, in guessArgs) (*mcp.CallToolResult, any, error) {
	if !fillsInForms(req.ClientCapabilities()) {
		return nil, nil, missingForm(req)
	}
	number := 1 + rand.IntN(in.Max)
	var guesses []string
	hint := ""
	for left := maxGuesses; left > 0; left-- {
		response, err := ask(ctx, req.Session.Elicit, guessParams(in, hint, left))
		if err != nil {
			return nil, nil, err
		}
		n, ok := response.Content["guess"].(float64)
		if response.Action != "accept" || !ok {
			return textResult(fmt.Sprintf("%s gave up. The number was %d.", in.Player, number)), nil, nil
		}
		guess := int(n)
		guesses = append(guesses, fmt.Sprint(guess))
		switch {
		case guess == number:
			return textResult(fmt.Sprintf("%s guessed it: %s.", in.Player, strings.Join(guesses, ", "))), nil, nil
		case guess < number:
			hint = fmt.Sprintf("%d is too small. ", guess)
		default:
			hint = fmt.Sprintf("%d is too large. ", guess)
		}
	}
	return textResult(fmt.Sprintf("%s guessed %s. The number was %d.", in.Player, strings.Join(guesses, ", "), number)), nil, nil
}

func guessParams(in guessArgs, hint string, left int) *mcp.ElicitParams {
	guess := &jsonschema.Schema{Type: "integer", Title: "Guess", Description: "A whole number"}
	bound(guess, 1, float64(in.Max))
	return &mcp.ElicitParams{
		Mode:    "form",
		Message: fmt.Sprintf("%s, guess a number from 1 to %d. %sGuesses left: %d.", in.Player, in.Max, hint, left),
		RequestedSchema: &jsonschema.Schema{
			Type: "object", Required: []string{"guess"},
			Properties: map[string]*jsonschema.Schema{"guess": guess},
		},
	}
}
