package node

import (
	"encoding/json"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Answers that pass can be decoded by who asked, and no more than that is kept of them.
func FuzzCheckAnswers(f *testing.F) {
	for _, s := range []string{
		``, `null`, `7`, `[]`, `{}`, `{"elicit-1":{"action":"accept","content":{"a":1}}}`, `{"elicit-1":{"action":"accept","content":7}}`,
		`{"sample-1":{"role":"user","model":"m","content":{"type":"text","text":"t"}}}`, `{"sample-1":{"role":"user","content":[{"type":"tool_use","id":"1","name":"n","input":{}}]}}`,
		`{"roots-1":{"roots":[{"uri":"file:///a"}]}}`, `{"roots-1":{"roots":[null]}}`, `{"roots-1":{"roots":[{"uri":7}]}}`, `{"elicit":null,"x":{}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		answers, err := CheckAnswers(json.RawMessage(raw))
		if err != nil {
			return
		}
		for key, answer := range answers {
			var result any
			switch key[0] {
			case 'e':
				result = new(mcp.ElicitResult)
			case 's':
				result = new(mcp.CreateMessageWithToolsResult)
			case 'r':
				result = new(mcp.ListRootsResult)
			}
			if err := json.Unmarshal(answer, result); err != nil {
				t.Errorf("%s: %s: %v", key, answer, err)
			}
		}
	})
}
