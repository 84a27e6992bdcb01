package sdkcompat

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// The SDK's handler compares the Mcp-Name header with the name in the body as it
// comes. A name that cannot be the value of a header is sent encoded
// (specification 2026-07-28, "Value Encoding"), and is refused.
//
// Seen in: v1.8.0.
// Here: the header is decoded before the SDK sees it.
// Test: TestEncodedNamesAreRefused.

const nameHeader = "Mcp-Name"

// DecodeName decodes the name in a request's header, if it is encoded. A malformed
// one is left for the SDK to refuse.
func DecodeName(r *http.Request) {
	encoded, ok := strings.CutPrefix(r.Header.Get(nameHeader), "=?base64?")
	if !ok {
		return
	}
	encoded, ok = strings.CutSuffix(encoded, "?=")
	if name, err := base64.StdEncoding.DecodeString(encoded); ok && err == nil {
		r.Header = r.Header.Clone() // the caller's stays as it was sent
		r.Header.Set(nameHeader, string(name))
	}
}
