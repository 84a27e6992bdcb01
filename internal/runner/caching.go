package runner

import (
	"bytes"
	"encoding/json"
)

// isCacheable reports whether results of a method say who may keep them
// (specification 2026-07-28, "Caching").
func isCacheable(method string) bool {
	switch method {
	case "server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read":
		return true
	default:
		return false
	}
}

// private returns a result with its scope, if it has one, set to private: the SDK says
// "public" for a server that says nothing, and then a cache that users share may give
// one of them what is another's.
func private(result json.RawMessage) json.RawMessage {
	start, end, found := scopeIn(result)
	if !found {
		return result
	}
	return bytes.Join([][]byte{result[:start], result[end:]}, []byte(`"private"`))
}

// scopeIn returns where in a result the value of its cacheScope is.
func scopeIn(result json.RawMessage) (start, end int64, found bool) {
	d := json.NewDecoder(bytes.NewReader(result))
	if _, err := d.Token(); err != nil {
		return 0, 0, false
	}
	for d.More() {
		field, err := d.Token()
		if err != nil {
			return 0, 0, false
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return 0, 0, false
		}
		if end := d.InputOffset(); field == "cacheScope" {
			return end - int64(len(value)), end, true
		}
	}
	return 0, 0, false
}
