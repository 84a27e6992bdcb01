package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A responder responds to the requests of the server: for input of the user
// (elicitation) and for a completion of a model (sampling). The SDK's client calls
// it whether they arrive as requests or, in 2026-07-28, in the result of a call.
type responder struct {
	terminal *terminal
	canned   bool
}

// elicit has the user fill in a form or open a page.
func (r responder) elicit(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
	p := req.Params
	if p.Mode == "url" {
		r.terminal.printf("the server asks you to open a page: %s\n  %s", p.Message, p.URL)
		if r.canned {
			return &mcp.ElicitResult{Action: "accept"}, nil
		}
		return r.consent("will you open it? [accept, decline, or nothing to cancel]")
	}
	form, err := newForm(p.RequestedSchema)
	if err != nil {
		return nil, err
	}
	r.terminal.printf("the server asks you to fill in a form: %s\n%s", p.Message, form)
	if r.canned {
		return &mcp.ElicitResult{Action: "accept", Content: form.cannedContent()}, nil
	}
	return r.fillIn()
}

// consent returns the user's decision.
func (r responder) consent(prompt string) (*mcp.ElicitResult, error) {
	switch line, _ := r.terminal.ask("%s", prompt); line {
	case "accept", "decline":
		return &mcp.ElicitResult{Action: line}, nil
	default:
		return &mcp.ElicitResult{Action: "cancel"}, nil
	}
}

// fillIn returns what the user types for a form. The SDK checks it against the
// form's schema and adds defaults.
func (r responder) fillIn() (*mcp.ElicitResult, error) {
	line, _ := r.terminal.ask(`type a JSON object such as {"name":"Ada"}, decline, or nothing to cancel`)
	switch {
	case line == "":
		return &mcp.ElicitResult{Action: "cancel"}, nil
	case line == "decline":
		return &mcp.ElicitResult{Action: "decline"}, nil
	}
	var content map[string]any
	if err := json.Unmarshal([]byte(line), &content); err != nil {
		return nil, fmt.Errorf("the user's input is not a JSON object: %w", err)
	}
	return &mcp.ElicitResult{Action: "accept", Content: content}, nil
}

// sample has the user play the language model.
func (r responder) sample(_ context.Context, req *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	var prompt strings.Builder
	for _, m := range req.Params.Messages {
		fmt.Fprintf(&prompt, "\n  %s: %s", m.Role, contentText(m.Content))
	}
	r.terminal.printf("the server asks for a completion:%s", prompt.String())
	text := "This is what a model would say."
	if !r.canned {
		var err error
		if text, err = r.terminal.ask("what does the model say?"); err != nil {
			return nil, fmt.Errorf("there is nobody to ask: %w", err)
		}
	}
	return &mcp.CreateMessageResult{Model: "terminal", Role: "assistant", Content: &mcp.TextContent{Text: text}}, nil
}

// roots returns what the client lets servers work on, which the SDK's client
// tells servers that ask: here the working directory.
func roots() []*mcp.Root {
	dir, err := os.Getwd()
	if err != nil {
		return nil
	}
	uri := url.URL{Scheme: "file", Path: dir}
	return []*mcp.Root{{Name: "working directory", URI: uri.String()}}
}
