package everything_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

const (
	appURI  = "ui://hello-world/app.html"
	appMeta = `{"ui": {"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": true}}`
)

// listPages lists all resources and returns their URIs page by page.
func listPages(t *testing.T, cs *mcp.ClientSession) [][]string {
	t.Helper()
	var pages [][]string
	params := &mcp.ListResourcesParams{}
	for {
		res, err := cs.ListResources(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		var page []string
		for _, r := range res.Resources {
			page = append(page, r.URI)
		}
		pages = append(pages, page)
		if res.NextCursor == "" {
			return pages
		}
		if len(pages) > 200 {
			t.Fatal("the listing does not end")
		}
		params = &mcp.ListResourcesParams{Cursor: res.NextCursor}
	}
}

// wantPages returns ten pages of ten resources in numeric order, and one with
// what comes after them.
func wantPages(others ...string) [][]string {
	var uris []string
	for n := 1; n <= 100; n++ {
		uris = append(uris, fmt.Sprintf("test://static/resource/%d", n))
	}
	return slices.Collect(slices.Chunk(append(uris, others...), 10))
}

func TestResourcesAreListedInNumericOrderTenToAPage(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		if diff := cmp.Diff(wantPages(appURI), listPages(t, connect(nil))); diff != "" {
			t.Errorf("pages (-want +got):\n%s", diff)
		}
	})
}

func TestListedResourcesAreDescribed(t *testing.T) {
	t.Parallel()
	cs := connect(t, everything.New(nil), v2025, nil)
	var all []*mcp.Resource
	for r, err := range cs.Resources(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	for _, r := range all {
		wantIcons(t, r.URI, r.Icons)
	}
	app := fmt.Sprintf(`{"uri": "ui://hello-world/app.html", "name": "Hello World MCP App", "title": "Hello World App",
		"description": "Interactive UI for the mcp_apps_hello_world tool",
		"mimeType": "text/html;profile=mcp-app", "size": %d,
		"annotations": {"audience": ["user"], "priority": 0.5}, "_meta": `+appMeta+`}`, len(readAppFile(t)))
	wantJSON(t, without(t, []*mcp.Resource{all[0], all[1], all[99], all[100]}, "icons"), `[
		{"uri": "test://static/resource/1", "name": "Resource 1", "title": "Resource 1 (text)",
			"mimeType": "text/plain", "size": 40,
			"annotations": {"audience": ["user", "assistant"], "priority": 0.5}},
		{"uri": "test://static/resource/2", "name": "Resource 2", "title": "Resource 2 (binary)",
			"mimeType": "application/octet-stream", "size": 33,
			"annotations": {"audience": ["user"], "priority": 0.3}},
		{"uri": "test://static/resource/100", "name": "Resource 100", "title": "Resource 100 (binary)",
			"mimeType": "application/octet-stream", "size": 35,
			"annotations": {"audience": ["user"], "priority": 0.3}},
		`+app+`
	]`)
}

func TestInvalidCursorIsRefused(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(nil)
		for _, cursor := range []string{
			"MTA", "MTA=", "%", "not base64 at all", "-1", "\x00",
			base64.RawURLEncoding.EncodeToString([]byte("before:test://static/resource/7")),
			base64.StdEncoding.EncodeToString([]byte("after:test://static/resource/7")) + "=",
		} {
			_, err := cs.ListResources(t.Context(), &mcp.ListResourcesParams{Cursor: cursor})
			wantRPCError(t, err, -32602, "invalid cursor")
		}
	})
}

func TestListWithoutParamsIsTheFirstPage(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	for _, params := range []string{``, `, "params": null`, `, "params": {}`, `, "params": {"cursor": ""}`} {
		messages := w.post(t, `{"jsonrpc": "2.0", "id": 1, "method": "resources/list"`+params+`}`)
		resources := messages[0]["result"].(map[string]any)["resources"].([]any)
		if got := resources[0].(map[string]any)["uri"]; got != "test://static/resource/1" || len(resources) != 10 {
			t.Errorf("%q: %d resources from %v", params, len(resources), got)
		}
	}
	messages := w.post(t, `{"jsonrpc": "2.0", "id": 1, "method": "resources/list", "params": {"cursor": 5}}`)
	if code := messages[0]["error"].(map[string]any)["code"]; code != -32602.0 {
		t.Errorf("code is %v, want -32602", code)
	}
}

// A listing may go on at another instance.
func TestCursorsAreGoodOnEveryServer(t *testing.T) {
	t.Parallel()
	first, err := connect(t, everything.New(nil), v2025, nil).ListResources(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := connect(t, everything.New(nil), v2026, nil).
		ListResources(t.Context(), &mcp.ListResourcesParams{Cursor: first.NextCursor})
	if err != nil {
		t.Fatal(err)
	}
	if got := second.Resources[0].URI; got != "test://static/resource/11" {
		t.Errorf("second page begins with %s", got)
	}
}

func TestListingGoesOnAfterAResourceThatIsGone(t *testing.T) {
	t.Parallel()
	server := everything.New(nil)
	cs := connect(t, server, v2025, nil)
	first, err := cs.ListResources(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	server.RemoveResources("test://static/resource/10", "test://static/resource/11")
	second, err := cs.ListResources(t.Context(), &mcp.ListResourcesParams{Cursor: first.NextCursor})
	if err != nil {
		t.Fatal(err)
	}
	if got := second.Resources[0].URI; got != "test://static/resource/12" {
		t.Errorf("second page begins with %s", got)
	}
}

// More resources than the SDK puts on one of its own pages.
func TestResourcesOfTheCallerAreListedToo(t *testing.T) {
	t.Parallel()
	server := everything.New(nil)
	var others []string
	for n := 1; n <= mcp.DefaultPageSize; n++ {
		uri := fmt.Sprintf("x://%d", n)
		others = append(others, uri)
		server.AddResource(&mcp.Resource{URI: uri, Name: uri}, readNothing)
	}
	want := wantPages(append([]string{appURI}, others...)...)
	if diff := cmp.Diff(want, listPages(t, connect(t, server, v2025, nil))); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func readNothing(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	return &mcp.ReadResourceResult{}, nil
}
