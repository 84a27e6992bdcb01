package jsonrpcmsg

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzFieldsAreThoseOfEncodingJSON compares with what encoding/json decodes.
func FuzzFieldsAreThoseOfEncodingJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { } `, `null`, `7`, `[]`, `"{"`, `{"a":1}`, "\t{ \"a\" :\r\n[1,{\"b\":\"]\"}] , \"a\":null}\n",
		`{"":"","a\"":"\\","\\":"\\\"","\u0061":{"}":"{"},"é":-1.5e+3,"a":true,"b":false}`,
		`{"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"name":"echo"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return
		}
		var want map[string]json.RawMessage
		_ = json.Unmarshal(data, &want) // what is no object has no fields
		got := map[string]json.RawMessage{}
		for name, value := range Fields(data) {
			got[string([]rune(name))] = value // encoding/json replaces what is not UTF-8
			if string(Field(data, name)) == "" {
				t.Errorf("there is no field %q in %s", name, data)
			}
		}
		if want == nil {
			want = map[string]json.RawMessage{}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("fields of %s (-want +got)\n%s", data, diff)
		}
	})
}
