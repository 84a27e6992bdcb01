package runner

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// The headers in which a request of 2026-07-28 repeats what its body says
// (specification 2026-07-28, "Streamable HTTP", "Standard Headers").
const (
	methodHeader = "Mcp-Method"
	nameHeader   = "Mcp-Name"
)

// CheckHeaders fails unless the headers of a message say what its body says.
func (s *Stateless) CheckHeaders() error {
	m, header := s.Message, s.Extra.Header
	if err := s.checkVersions(header.Get(VersionHeader)); err != nil {
		return err
	}
	switch method := header.Get(methodHeader); {
	case method == "" && m.IsCall():
		return mismatch("missing required %s header", methodHeader)
	case method != "" && method != m.Method:
		return mismatch("header mismatch: the %s header %q does not match the body's %q", methodHeader, method, m.Method)
	}
	return s.checkName(header)
}

// checkVersions compares the protocol version of the header with that of _meta, and
// with those of the server. A notification may leave out one of them.
func (s *Stateless) checkVersions(header string) error {
	switch named := s.Version(); {
	case !s.Message.IsCall():
		return s.checkSupported(cmp.Or(header, named))
	case header == "":
		return mismatch("%s header is required for requests carrying %q", VersionHeader, mcp.MetaKeyProtocolVersion)
	case named == "":
		return missingMeta(mcp.MetaKeyProtocolVersion)
	case header != named:
		return mismatch("%s header %q does not match request %s %q", VersionHeader, header, mcp.MetaKeyProtocolVersion, named)
	}
	return s.checkSupported(header)
}

func (s *Stateless) checkSupported(v string) error {
	if sdkcompat.SupportsVersion(s.Server, v) {
		return nil
	}
	return Unsupported(v, sdkcompat.SupportedVersions(s.Server))
}

// nameField is the field of a method's params that the name header repeats, empty if
// there is none.
func nameField(method string) string {
	switch method {
	case "tools/call", "prompts/get":
		return "name"
	case "resources/read":
		return "uri"
	case "tasks/get", "tasks/update", "tasks/cancel": // of the tasks extension
		return "taskId"
	default:
		return ""
	}
}

func (s *Stateless) checkName(header http.Header) error {
	field := nameField(s.Message.Method)
	if field == "" || !s.Message.IsCall() {
		return nil
	}
	value := header.Get(nameHeader)
	if value == "" {
		return mismatch("missing required %s header for method %q", nameHeader, s.Message.Method)
	}
	name, ok := decodeHeader(value)
	if !ok {
		return mismatch("header mismatch: the %s header is not valid Base64", nameHeader)
	}
	if s.params[field] != nil && name != s.text(s.params, field) {
		return mismatch("header mismatch: the %s header does not match the body's %q", nameHeader, field)
	}
	return nil
}

// decodeHeader returns the value of a header, which is encoded if it could not be
// sent otherwise (specification 2026-07-28, "Value Encoding").
func decodeHeader(value string) (decoded string, ok bool) {
	encoded, ok := strings.CutPrefix(value, "=?base64?")
	if ok {
		encoded, ok = strings.CutSuffix(encoded, "?=")
	}
	if !ok {
		return value, true
	}
	b, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return string(b), err == nil
}

func mismatch(format string, args ...any) error {
	return httperror.New(http.StatusBadRequest, mcp.CodeHeaderMismatch, "%s", fmt.Sprintf(format, args...))
}
