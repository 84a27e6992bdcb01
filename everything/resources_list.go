package everything

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const resourcePageSize = 10

// pageResources is a middleware that lists resources in their natural order,
// ten to a page. The SDK orders them as strings, with resource 100 before 2,
// and has one page size for tools, prompts and resources.
func pageResources(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		list, ok := req.(*mcp.ListResourcesRequest)
		if !ok {
			return next(ctx, method, req)
		}
		after, err := afterCursor(list.Params)
		if err != nil {
			return nil, err
		}
		all, err := listAll(ctx, next, method, list)
		if err != nil {
			return nil, err
		}
		return pageAfter(all, after), nil
	}
}

// afterCursor returns the URI after which the requested page begins.
func afterCursor(params *mcp.ListResourcesParams) (string, error) {
	if params == nil || params.Cursor == "" {
		return "", nil
	}
	after, ok := decodeCursor(params.Cursor)
	if !ok {
		return "", invalidParams("invalid cursor %q", params.Cursor)
	}
	return after, nil
}

// listAll returns all pages of the SDK as one, including resources that a caller
// of New added, and with the result's other fields.
func listAll(ctx context.Context, next mcp.MethodHandler, method string, req *mcp.ListResourcesRequest) (*mcp.ListResourcesResult, error) {
	params := mcp.ListResourcesParams{}
	if req.Params != nil {
		params = *req.Params
	}
	params.Cursor = ""
	var resources []*mcp.Resource
	for {
		p := params
		res, err := next(ctx, method, &mcp.ListResourcesRequest{Session: req.Session, Params: &p, Extra: req.Extra})
		if err != nil {
			return nil, err
		}
		page, ok := res.(*mcp.ListResourcesResult)
		if !ok {
			return nil, fmt.Errorf("%s returned a %T", method, res)
		}
		resources = append(resources, page.Resources...)
		if page.NextCursor == "" {
			page.Resources = resources
			return page, nil
		}
		params.Cursor = page.NextCursor
	}
}

// pageAfter cuts the page that begins after a URI out of all resources. A page
// is found by comparison, not by position or presence, so that a listing which
// is continued on another instance, or while resources come and go, neither
// repeats nor omits those that stay.
func pageAfter(all *mcp.ListResourcesResult, after string) *mcp.ListResourcesResult {
	slices.SortFunc(all.Resources, func(a, b *mcp.Resource) int { return compareURIs(a.URI, b.URI) })
	start, found := slices.BinarySearchFunc(all.Resources, after, func(r *mcp.Resource, uri string) int {
		return compareURIs(r.URI, uri)
	})
	if found {
		start++
	}
	end := min(start+resourcePageSize, len(all.Resources))
	page := *all
	page.Resources = all.Resources[start:end]
	if end < len(all.Resources) {
		page.NextCursor = encodeCursor(all.Resources[end-1].URI)
	}
	return &page
}

// compareURIs orders URIs as strings, but numbers at their end by value.
func compareURIs(a, b string) int {
	aPrefix, aNumber := cutNumber(a)
	bPrefix, bNumber := cutNumber(b)
	return cmp.Or(cmp.Compare(aPrefix, bPrefix), cmp.Compare(aNumber, bNumber), cmp.Compare(a, b))
}

// cutNumber splits off the decimal number at the end of s. The number is 0 if
// there is none or it is too large to matter.
func cutNumber(s string) (prefix string, number uint64) {
	prefix = strings.TrimRight(s, "0123456789")
	number, err := strconv.ParseUint(s[len(prefix):], 10, 64)
	if err != nil {
		return s, 0
	}
	return prefix, number
}

// cursorPrefix distinguishes our cursors from other strings that are valid base64.
const cursorPrefix = "after:"

func encodeCursor(uri string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorPrefix + uri))
}

func decodeCursor(cursor string) (uri string, ok bool) {
	data, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return "", false
	}
	return strings.CutPrefix(string(data), cursorPrefix)
}
