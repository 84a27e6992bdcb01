package jsonrpcmsg

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for _, test := range []struct {
		name, data string
		want       *Message
	}{
		{"a call", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, &Message{ID: raw("1"), Method: "ping"}},
		{"a call with params", `{"jsonrpc":"2.0","id":"a","method":"m","params":{"x":[1]}}`,
			&Message{ID: raw(`"a"`), Method: "m", Params: raw(`{"x":[1]}`)}},
		{"null params are none", `{"jsonrpc":"2.0","id":1,"method":"m","params":null}`, &Message{ID: raw("1"), Method: "m"}},
		{"a notification", `{"jsonrpc":"2.0","method":"m","params":{}}`, &Message{Method: "m", Params: raw("{}")}},
		{"a result", `{"jsonrpc":"2.0","id":"a","result":{}}`, &Message{ID: raw(`"a"`), Result: raw("{}")}},
		{"an error", `{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":"m"}}`,
			&Message{ID: raw(`"a"`), Error: raw(`{"code":1,"message":"m"}`)}},
		{"an integer no float can hold", `{"jsonrpc":"2.0","id":9007199254740993123456789,"method":"m"}`,
			&Message{ID: raw("9007199254740993123456789"), Method: "m"}},
		{"a negative id", `{"jsonrpc":"2.0","id":-7,"method":"m"}`, &Message{ID: raw("-7"), Method: "m"}},
		{"an escaped id keeps its bytes", `{"jsonrpc":"2.0","id":"\u0061\/","method":"m"}`, &Message{ID: raw(`"\u0061\/"`), Method: "m"}},
		{"an empty id", `{"jsonrpc":"2.0","id":"","method":"m"}`, &Message{ID: raw(`""`), Method: "m"}},
		{"params keep their bytes", `{"jsonrpc":"2.0","id":1,"method":"m","params":{ "n" : 1e400, "z":1.0 }}`,
			&Message{ID: raw("1"), Method: "m", Params: raw(`{ "n" : 1e400, "z":1.0 }`)}},
		{"unknown fields are passed over", `{"jsonrpc":"2.0","id":1,"method":"m","extra":[{}]}`, &Message{ID: raw("1"), Method: "m"}},
		{"of a field that is there twice the last counts", `{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}`, &Message{ID: raw("1"), Method: "b"}},
		{"names in other case are other fields", `{"jsonrpc":"2.0","id":1,"ID":2,"Id":3,"method":"m","METHOD":"x","Params":{"a":1},"Result":1}`,
			&Message{ID: raw("1"), Method: "m"}},
		{"blanks around", " \r\n\t{\"jsonrpc\":\"2.0\",\"method\":\"m\"}\n", &Message{Method: "m"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := Decode([]byte(test.data))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error("-want +got:\n" + diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	const parse, request = jsonrpc.CodeParseError, jsonrpc.CodeInvalidRequest
	for _, test := range []struct {
		name, data string
		code       int64
		id         string // of the error response
	}{
		{"nothing", ``, parse, ""},
		{"blanks", " \n", parse, ""},
		{"half an object", `{"jsonrpc":"2.0",`, parse, ""},
		{"two objects", `{"jsonrpc":"2.0","method":"m"}{}`, parse, ""},
		{"an id with leading zeros", `{"jsonrpc":"2.0","id":007,"method":"m"}`, parse, ""},
		{"nesting without end", strings.Repeat(`{"a":`, 20000), parse, ""},
		{"null", `null`, request, ""},
		{"a string", `"x"`, request, ""},
		{"a number", `1`, request, ""},
		{"no version", `{"id":1,"method":"m"}`, request, "1"},
		{"another version", `{"jsonrpc":"1.0","id":1,"method":"m"}`, request, "1"},
		{"a version that is a number", `{"jsonrpc":2.0,"id":1,"method":"m"}`, request, "1"},
		{"the version's name in capitals", `{"JSONRPC":"2.0","id":1,"method":"m"}`, request, "1"},
		{"a null id", `{"jsonrpc":"2.0","id":null,"method":"m"}`, request, ""},
		{"a fraction as id", `{"jsonrpc":"2.0","id":1.5,"method":"m"}`, request, ""},
		{"an integer written as a fraction", `{"jsonrpc":"2.0","id":1.0,"method":"m"}`, request, ""},
		{"an id with an exponent", `{"jsonrpc":"2.0","id":1e3,"method":"m"}`, request, ""},
		{"an object as id", `{"jsonrpc":"2.0","id":{},"method":"m"}`, request, ""},
		{"a boolean as id", `{"jsonrpc":"2.0","id":true,"method":"m"}`, request, ""},
		{"an empty method", `{"jsonrpc":"2.0","id":1,"method":""}`, request, "1"},
		{"a null method", `{"jsonrpc":"2.0","id":1,"method":null}`, request, "1"},
		{"a method that is a number", `{"jsonrpc":"2.0","id":1,"method":3}`, request, "1"},
		{"params in an array", `{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}`, request, "1"},
		{"params that are a string", `{"jsonrpc":"2.0","id":1,"method":"m","params":"x"}`, request, "1"},
		{"a request with a result", `{"jsonrpc":"2.0","id":1,"method":"m","result":{}}`, request, "1"},
		{"a request with an error", `{"jsonrpc":"2.0","id":1,"method":"m","error":{"code":1,"message":""}}`, request, "1"},
		{"neither method nor id", `{"jsonrpc":"2.0","params":{}}`, request, ""},
		{"neither result nor error", `{"jsonrpc":"2.0","id":1}`, request, "1"},
		{"both result and error", `{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"m"}}`, request, "1"},
		{"an error that is a string", `{"jsonrpc":"2.0","id":1,"error":"x"}`, request, "1"},
		{"a code that is a string", `{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":"m"}}`, request, "1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, err := Decode([]byte(test.data))
			wire := new(jsonrpc.Error)
			if !errors.As(err, &wire) || wire.Code != test.code {
				t.Fatalf("error %v, want code %d", err, test.code)
			}
			var id string
			if m != nil {
				id = string(m.ID)
			}
			if id != test.id {
				t.Errorf("id %q, want %q", id, test.id)
			}
		})
	}
}

func TestBatchesAreToldApart(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`[]`, " \t\r\n[{}]", `[`, `[{"jsonrpc":"2.0","method":"m"}]`} {
		if _, err := Decode([]byte(data)); !errors.Is(err, ErrBatch) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func TestMessageKinds(t *testing.T) {
	t.Parallel()
	for data, want := range map[string][3]bool{
		`{"jsonrpc":"2.0","id":1,"method":"m"}`:  {true, false, false},
		`{"jsonrpc":"2.0","method":"m"}`:         {false, true, false},
		`{"jsonrpc":"2.0","id":1,"result":null}`: {false, false, true},
	} {
		m, err := Decode([]byte(data))
		if err != nil {
			t.Fatal(err)
		}
		if got := [3]bool{m.IsCall(), m.IsNotification(), m.IsResponse()}; got != want {
			t.Errorf("%s: call, notification, response = %v, want %v", data, got, want)
		}
	}
}

func TestIDsOfDifferentTypesAreDifferent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{`7`, `7`, true},
		{`7`, `"7"`, false},
		{`"a"`, `"\u0061"`, true},
		{`"a"`, `"b"`, false},
		{`9007199254740993`, `9007199254740992`, false},
		{`""`, `0`, false},
		{`"\"7"`, `7`, false},
	} {
		if got := IDKey(json.RawMessage(test.a)) == IDKey(json.RawMessage(test.b)); got != test.same {
			t.Errorf("%s and %s: same = %v, want %v", test.a, test.b, got, test.same)
		}
	}
}

func TestEncodedErrorsAreWhatTheyWrap(t *testing.T) {
	t.Parallel()
	wire := &jsonrpc.Error{Code: -32602, Message: "bad", Data: json.RawMessage(`{"a":1}`)}
	for _, test := range []struct {
		name string
		id   string
		err  error
		want string
	}{
		{"a plain error is internal", `1`, errors.New("boom"), `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"boom"}}`},
		{"a wire error goes as it is", `"x"`, wire, `{"jsonrpc":"2.0","id":"x","error":{"code":-32602,"message":"bad","data":{"a":1}}}`},
		{"a wrapped one keeps code and data", `1`, fmt.Errorf("while: %w", wire),
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":` + quoted(t, fmt.Sprintf("while: %v", wire)) + `,"data":{"a":1}}}`},
		{"no id is null", ``, wire, `{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"bad","data":{"a":1}}}`},
		{"data that is no JSON is left out", `1`, &jsonrpc.Error{Code: 1, Message: "m", Data: json.RawMessage(`{`)},
			`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var id json.RawMessage
			if test.id != "" {
				id = json.RawMessage(test.id)
			}
			if diff := cmp.Diff(test.want, string(EncodeError(id, test.err))); diff != "" {
				t.Error("-want +got:\n" + diff)
			}
		})
	}
}

func quoted(t *testing.T, s string) string {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestEncodedResponsesDecodeToWhatTheyWere(t *testing.T) {
	t.Parallel()
	for _, id := range []string{`1`, `"a"`, `123456789012345678901234567890`, `"\u00e9\n"`} {
		want := &Message{ID: json.RawMessage(id), Result: json.RawMessage(`{"n":1.0}`)}
		got, err := Decode(EncodeResult(want.ID, want.Result))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("-want +got:\n" + diff)
		}
		got, err = Decode(EncodeError(want.ID, errors.New("no")))
		if err != nil {
			t.Fatal(err)
		}
		if string(got.ID) != id || got.Error == nil {
			t.Errorf("error response is %+v", got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"ping"}`, `{"jsonrpc":"2.0","id":"a","result":{}}`, `[]`, `null`, `{"jsonrpc":"2.0","id":1.5,"method":"m"}`,
		`{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":"m","data":[]}}`, `{"jsonrpc":"2.0","method":"m","params":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			if wire := new(jsonrpc.Error); !errors.As(err, &wire) && !errors.Is(err, ErrBatch) {
				t.Fatalf("error %v has no code", err)
			}
			if m != nil && m.ID != nil && !json.Valid(EncodeError(m.ID, err)) {
				t.Fatalf("error response with id %q is not JSON", m.ID)
			}
			return
		}
		if n := btoi(m.IsCall()) + btoi(m.IsNotification()) + btoi(m.IsResponse()); n != 1 {
			t.Fatalf("%q is of %d kinds", data, n)
		}
		if m.ID == nil {
			return
		}
		again, err := Decode(EncodeResult(m.ID, json.RawMessage(`{}`)))
		if err != nil || string(again.ID) != string(m.ID) || IDKey(again.ID) != IDKey(m.ID) {
			t.Fatalf("the id %q came back as %+v, %v", m.ID, again, err)
		}
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
