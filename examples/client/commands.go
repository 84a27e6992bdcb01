package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// list prints the names of everything that the server has. The SDK fetches the
// pages of a list one after the other; which instance has the next is all the same.
func list(ctx context.Context, c *client, _ []string) error {
	cs, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer cs.close()
	for tool, err := range cs.Tools(ctx, nil) {
		if err != nil {
			return err
		}
		c.terminal.printf("tool %s: %s", tool.Name, tool.Description)
	}
	for prompt, err := range cs.Prompts(ctx, nil) {
		if err != nil {
			return err
		}
		c.terminal.printf("prompt %s: %s", prompt.Name, prompt.Description)
	}
	for resource, err := range cs.Resources(ctx, nil) {
		if err != nil {
			return err
		}
		c.terminal.printf("resource %s: %s", resource.URI, resource.Name)
	}
	return nil
}

// call calls a tool and prints its result.
func call(ctx context.Context, c *client, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errUsage
	}
	arguments := json.RawMessage("{}")
	if len(args) == 2 {
		arguments = json.RawMessage(args[1])
	}
	if !json.Valid(arguments) {
		return fmt.Errorf("the arguments are not JSON: %s", arguments)
	}
	cs, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer cs.close()
	return c.callTool(ctx, cs, args[0], arguments)
}

// callTool calls a tool, whose progress is printed as it is reported.
func (c *client) callTool(ctx context.Context, cs *connection, name string, arguments any) error {
	params := &mcp.CallToolParams{Name: name, Arguments: arguments}
	params.SetProgressToken(name)
	res, err := cs.CallTool(ctx, params)
	if err != nil {
		return fmt.Errorf("call %s: %w", name, err)
	}
	var texts []string
	for _, content := range res.Content {
		texts = append(texts, contentText(content))
	}
	text := strings.Join(texts, "\n")
	if res.IsError {
		return fmt.Errorf("the tool failed: %s", text)
	}
	c.terminal.printf("%s", text)
	return nil
}

// read prints a resource.
func read(ctx context.Context, c *client, args []string) error {
	if len(args) != 1 {
		return errUsage
	}
	cs, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer cs.close()
	return c.readResource(ctx, cs, args[0])
}

func (c *client) readResource(ctx context.Context, cs *connection, uri string) error {
	res, err := cs.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri})
	if err != nil {
		return fmt.Errorf("read %s: %w", uri, err)
	}
	for _, contents := range res.Contents {
		if contents.Blob != nil {
			c.terminal.printf("%d bytes of %s", len(contents.Blob), contents.MIMEType)
			continue
		}
		c.terminal.printf("%s", contents.Text)
	}
	return nil
}

// subscribe prints a resource each time it changes, until ctx ends. How the
// updates arrive is the SDK's business: on the stream of the session, or in
// 2026-07-28 on a stream of subscriptions/listen.
func subscribe(ctx context.Context, c *client, args []string) error {
	if len(args) != 1 {
		return errUsage
	}
	updates := make(chan string)
	c.onUpdate = func(uri string) {
		select {
		case updates <- uri:
		case <-ctx.Done():
		}
	}
	cs, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer cs.close()
	if err := cs.Subscribe(ctx, &mcp.SubscribeParams{URI: args[0]}); err != nil {
		return fmt.Errorf("subscribe to %s: %w", args[0], err)
	}
	c.terminal.printf("subscribed to %s", args[0])
	for {
		select {
		case uri := <-updates:
			c.terminal.printf("updated: %s", uri)
			// An update says only that there is something new, so read it.
			if err := c.readResource(ctx, cs, uri); err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// contentText returns content as text, and of a picture or the like its type.
func contentText(content mcp.Content) string {
	switch content := content.(type) {
	case *mcp.TextContent:
		return content.Text
	case *mcp.ImageContent:
		return fmt.Sprintf("(an image, %d bytes of %s)", len(content.Data), content.MIMEType)
	case *mcp.AudioContent:
		return fmt.Sprintf("(a sound, %d bytes of %s)", len(content.Data), content.MIMEType)
	case *mcp.ResourceLink:
		return fmt.Sprintf("(a link to %s)", content.URI)
	case *mcp.EmbeddedResource:
		return fmt.Sprintf("(the resource %s)", content.Resource.URI)
	default:
		return fmt.Sprintf("(%T)", content)
	}
}
