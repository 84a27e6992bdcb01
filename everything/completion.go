package everything

import (
	"context"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// maxCompletions is the most values the protocol allows in one result.
const maxCompletions = 100

// completionHandler completes the arguments of prompts and of the template of
// the static resources, by prefix and depending on the arguments chosen before.
// An argument without known values gets no completions; an unknown prompt or
// resource is an error.
func completionHandler(prompts []prompt) func(context.Context, *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
	values := completer{prompts: make(map[string]prompt, len(prompts)), ids: resourceIDs()}
	for _, p := range prompts {
		values.prompts[p.prompt.Name] = p
	}
	return func(_ context.Context, req *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
		var chosen map[string]string
		if req.Params.Context != nil {
			chosen = req.Params.Context.Arguments
		}
		all, err := values.of(req.Params.Ref, req.Params.Argument.Name, chosen)
		if err != nil {
			return nil, err
		}
		return completions(all, req.Params.Argument.Value), nil
	}
}

// completer knows the values of arguments. It is not changed after its creation.
type completer struct {
	prompts map[string]prompt
	ids     []string
}

// of returns all values of an argument of what ref refers to, given those that
// were chosen for others.
func (c completer) of(ref *mcp.CompleteReference, argument string, chosen map[string]string) ([]string, error) {
	if ref.Type == "ref/prompt" {
		p, ok := c.prompts[ref.Name]
		if !ok {
			return nil, invalidParams("unknown prompt %q", ref.Name)
		}
		if values := p.values[argument]; values != nil {
			return values(chosen), nil
		}
		return nil, nil
	}
	switch {
	case ref.URI == resourceTemplate && argument == "id":
		return c.ids, nil
	case ref.URI == resourceTemplate || isResource(ref.URI):
		return nil, nil // a plain resource has no arguments
	default:
		return nil, invalidParams("unknown resource %q", ref.URI)
	}
}

// completions returns those values that begin with prefix.
func completions(values []string, prefix string) *mcp.CompleteResult {
	matches := []string{} // not nil: the protocol wants an array
	for _, v := range values {
		if strings.HasPrefix(v, prefix) {
			matches = append(matches, v)
		}
	}
	return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{
		Values:  matches[:min(len(matches), maxCompletions)],
		Total:   len(matches),
		HasMore: len(matches) > maxCompletions,
	}}
}
