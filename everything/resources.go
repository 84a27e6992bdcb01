package everything

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	resourceCount    = 100
	resourcePrefix   = "test://static/resource/"
	resourceTemplate = resourcePrefix + "{id}"
)

// addResources adds the static resources, and the template that describes them.
func addResources(server *mcp.Server) {
	for id := resourceID(1); id <= resourceCount; id++ {
		server.AddResource(id.describe(), readResource)
	}
	server.AddResourceTemplate(&mcp.ResourceTemplate{
		URITemplate: resourceTemplate,
		Name:        "Static Resource",
		Title:       "Static Resource",
		Description: "A static resource with a numeric ID",
		Annotations: &mcp.Annotations{Audience: []mcp.Role{"user", "assistant"}, Priority: 0.5},
		Icons:       icons(documentIcon),
	}, readResource)
}

// resourceID is the number of a static resource, from 1 to [resourceCount]. Odd
// numbers are texts and even ones are binary.
type resourceID int

// parseResourceID accepts the numbers of the static resources as they are
// written in their URIs: without sign, leading zeros or anything after them.
func parseResourceID(s string) (resourceID, bool) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > resourceCount || strconv.Itoa(n) != s {
		return 0, false
	}
	return resourceID(n), true
}

// parseResourceURI returns the number of the static resource with this URI.
func parseResourceURI(uri string) (resourceID, bool) {
	s, ok := strings.CutPrefix(uri, resourcePrefix)
	if !ok {
		return 0, false
	}
	return parseResourceID(s)
}

func (id resourceID) String() string { return strconv.Itoa(int(id)) }

func (id resourceID) uri() string { return resourcePrefix + id.String() }

func (id resourceID) name() string { return "Resource " + id.String() }

func (id resourceID) isText() bool { return id%2 == 1 }

func (id resourceID) mimeType() string {
	if id.isText() {
		return "text/plain"
	}
	return "application/octet-stream"
}

func (id resourceID) contents() *mcp.ResourceContents {
	contents := &mcp.ResourceContents{URI: id.uri(), MIMEType: id.mimeType()}
	if id.isText() {
		contents.Text = fmt.Sprintf("Resource %s: This is a plaintext resource", id)
	} else {
		contents.Blob = fmt.Appendf(nil, "Resource %s: This is a base64 blob", id)
	}
	return contents
}

// describe returns the resource as it is listed.
func (id resourceID) describe() *mcp.Resource {
	contents := id.contents()
	resource := &mcp.Resource{
		URI:         id.uri(),
		Name:        id.name(),
		Title:       id.name() + " (text)",
		MIMEType:    id.mimeType(),
		Size:        int64(len(contents.Text) + len(contents.Blob)), // it has one of them
		Annotations: &mcp.Annotations{Audience: []mcp.Role{"user", "assistant"}, Priority: 0.5},
		Icons:       icons(documentIcon),
	}
	if !id.isText() {
		resource.Title = id.name() + " (binary)"
		resource.Annotations = &mcp.Annotations{Audience: []mcp.Role{"user"}, Priority: 0.3}
		resource.Icons = icons(binaryIcon)
	}
	return resource
}

// link returns a link to the resource, with everything that a listing has.
func (id resourceID) link() *mcp.ResourceLink {
	r := id.describe()
	return &mcp.ResourceLink{
		URI:         r.URI,
		Name:        r.Name,
		Title:       r.Title,
		MIMEType:    r.MIMEType,
		Size:        &r.Size,
		Annotations: r.Annotations,
		Icons:       r.Icons,
	}
}

// readResource reads a static resource. The template matches more URIs than
// exist, so the URI is checked here.
func readResource(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	id, ok := parseResourceURI(req.Params.URI)
	if !ok {
		return nil, resourceNotFound(req, req.Params.URI)
	}
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{id.contents()}}, nil
}

// subscribe accepts subscriptions to the server's own resources. Whoever connects
// the server stores them.
func subscribe(_ context.Context, req *mcp.SubscribeRequest) error {
	return checkResource(req, req.Params.URI)
}

func unsubscribe(_ context.Context, req *mcp.UnsubscribeRequest) error {
	return checkResource(req, req.Params.URI)
}

func checkResource(req versioned, uri string) error {
	if isResource(uri) {
		return nil
	}
	return resourceNotFound(req, uri)
}

// isResource reports whether there is a resource with this URI.
func isResource(uri string) bool {
	_, ok := parseResourceURI(uri)
	return ok || uri == appURI || uri == noticeURI // also while it is off: who waits for it may subscribe
}

// explainUnknownResource is a middleware that gives unknown URIs the same error,
// whether the SDK finds no resource for them or readResource refuses them.
func explainUnknownResource(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		res, err := next(ctx, method, req)
		read, ok := req.(*mcp.ReadResourceRequest)
		if !ok || err == nil || err.Error() != mcp.ResourceNotFoundError("").Error() {
			return res, err
		}
		return nil, resourceNotFound(read, read.Params.URI)
	}
}
