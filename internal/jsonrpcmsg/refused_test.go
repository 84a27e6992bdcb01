package jsonrpcmsg

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestResponsesAreFoundInWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		``:                          nil,
		`{`:                         nil,
		`{}`:                        nil,
		`{"id":1`:                   nil,
		`{"id":1}`:                  nil,
		`{"id":1,"result":`:         {`1`},
		`{"id":"a","result":{"x":[`: {`"a"`},
		` { "result" : [ { "id" : 2 , "result" : 3 } ] , "id" : "a" } `: {`"a"`},
		`{"id":"a","error":"x"}`:                                          {`"a"`},
		`{"id":"a","error":"x","method":null}`:                            {`"a"`},
		`{"id":"a","error":"x","method":"m"}`:                             nil,
		`{"id":"a","error":"x","method":7}`:                               nil,
		`{"id":1.5,"result":7}`:                                           nil,
		`{"id":null,"result":7}`:                                          nil,
		`{"id":{"id":1},"result":7}`:                                      nil,
		`{"id":1,"id":2,"result":7}`:                                      {`2`},
		`{"id":"\"}","result":"\\"}`:                                      {`"\"}"`},
		`{"result":"\\\"","id":"a"}`:                                      {`"a"`},
		`{"id":1,"result":2}{"id":3,"result":4}`:                          {`1`, `3`},
		`[{"id":1,"result":2},{"id":3,"method":"m"},{"id":4,"error":{}}`:  {`1`, `4`},
		`[{"id":1,"result":2},{"result":[[{"id":5,"result":6}]],"id":"a"`: nil, // below
		`[[{"id":1,"result":2}]]`:                                         nil,
		`"{\"id\":1,\"result\":2}"`:                                       nil,
		`]}]}{"id":1,"result":2}`:                                         {`1`},
		`{"id":"` + strings.Repeat("x", 1000) + `","result":1}`:           nil,
		`{"` + strings.Repeat("x", 1000) + `":1,"id":"a","result":1}`:     {`"a"`},
		"\x00\xff{\"id\":1,\"result\":\xff":                               {`1`},
	} {
		if strings.HasPrefix(text, `[{"id":1,"result":2},{"result":[[`) {
			want = []string{`1`} // the value of an id that is cut short may be another one
		}
		var s responseScanner
		s.scan([]byte(text))
		var got []string
		for _, id := range s.found() {
			got = append(got, string(id))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", text, diff)
		}
	}
}

// What is a well-formed response is found, in whatever pieces it comes.
func TestEveryResponseIsFoundThatIsOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.Custom(func(rt *rapid.T) any {
			return rapid.OneOf(rapid.Just(any(nil)), rapid.Map(rapid.String(), func(s string) any { return s }),
				rapid.Map(rapid.SliceOf(rapid.Int()), func(s []int) any { return map[string]any{"id": s, "result": "]}"} })).Draw(rt, "value")
		})
		fields := map[string]any{
			rapid.SampledFrom([]string{"result", "error", "results", `re"sult`}).Draw(rt, "what"): value.Draw(rt, "result"),
			rapid.SampledFrom([]string{"id", "ID", "x"}).Draw(rt, "id"):                           rapid.SampledFrom([]any{1, "a", `"\`, nil, 1.5}).Draw(rt, "of"),
			rapid.SampledFrom([]string{"method", "x", "y"}).Draw(rt, "method"):                    rapid.SampledFrom([]any{nil, "m"}).Draw(rt, "named"),
		}
		data, err := json.Marshal(fields)
		if err != nil {
			rt.Fatal(err)
		}
		_, hasResult := fields["result"]
		_, hasError := fields["error"]
		id, hasID := fields["id"]
		isResponse := (hasResult || hasError) && fields["method"] == nil && hasID && id != nil && id != 1.5
		at := rapid.IntRange(0, len(data)).Draw(rt, "at")
		found := RefusedResponses(data[:at], iotest.OneByteReader(strings.NewReader(string(data[at:]))), errors.New("reason"))
		if isResponse != (len(found) == 1) {
			rt.Fatalf("%s: found %v", data, found)
		}
		if isResponse && !strings.Contains(string(found[0].Error), "reason") {
			rt.Errorf("the error is %s", found[0].Error)
		}
	})
}
