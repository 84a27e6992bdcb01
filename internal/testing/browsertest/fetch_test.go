package browsertest

import (
	"context"
	_ "embed"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/auth"
	fleetmcp "github.com/mcpfleet/mcpfleet/mcp"
)

// serveMCP adds a protected MCP endpoint to every instance, which pages of one
// further origin may call.
func (fl *fleet) serveMCP(t *testing.T, origin string) {
	t.Helper()
	for _, one := range fl.instances {
		sdk := mcp.NewServer(&mcp.Implementation{Name: "browsertest", Version: "1"}, nil)
		type said struct {
			Text string `json:"text"`
		}
		mcp.AddTool(sdk, &mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.CallToolRequest, in said) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: in.Text}}}, nil, nil
		})
		handler, err := fleetmcp.NewHandler(func(*http.Request) *mcp.Server { return sdk },
			&fleetmcp.Options{Redis: one.redis, Prefix: fl.prefix, AllowedOrigins: []string{origin}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = handler.Shutdown(context.Background()) })
		resource, err := auth.NewResource(fl.url+"/mcp", &auth.ResourceOptions{
			Verifier: one.auth, AuthorizationServers: []string{fl.url}, Scopes: []string{"tools:read"},
		})
		if err != nil {
			t.Fatal(err)
		}
		one.mux.Handle("/mcp", handler.Guard(resource.Protect(handler)))
		one.mux.Handle(resource.MetadataPath(), resource.Metadata())
	}
}

//go:embed testdata/fetch.js
var fetchScript string

// at opens the client's page under another host name, and so as another origin.
func (w *window) at(fl *fleet, host string) {
	w.Helper()
	w.do(chromedp.Navigate(strings.Replace(fl.client, "localhost", host, 1) + "/"))
	w.await("#go")
}

func TestAPageOfAnAllowedOriginIsAClient(t *testing.T) {
	t.Parallel()
	w, fl := newBrowser(t).window(t, looks[0]), newFleet(t)
	fl.serveMCP(t, strings.Replace(fl.client, "localhost", appHost, 1))
	l := fl.login(w, "known")
	l.ask()
	w.click("button[value=allow]")
	w.await("#user")
	w.click("button[value=login]")
	token := l.token(l.back().Get("code"))

	call := func(host, function string) []string {
		w.at(fl, host)
		return run(w, chromedp.Evaluate[[]string]("("+fetchScript+")."+function+"('"+fl.url+"', '"+token+"')", chromedp.EvalAwaitPromise))
	}
	for _, problem := range call(appHost, "allowed") {
		t.Errorf("a page of an allowed origin: %s", problem)
	}
	for _, problem := range call(evilHost, "refused") {
		t.Errorf("a page of another origin: %s", problem)
	}
	w.forgive() // the browser reports each answer that is an error
}
