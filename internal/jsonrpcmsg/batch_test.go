package jsonrpcmsg

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

func TestABatchKeepsTheOrderOfItsMessages(t *testing.T) {
	t.Parallel()
	batch, err := DecodeBatch([]byte(` [ {"jsonrpc":"2.0","id":1,"method":"a"}, {"jsonrpc":"2.0","method":"b"},`+
		`{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":"1","method":"c"} ] `), 4)
	if err != nil {
		t.Fatal(err)
	}
	var methods []string
	for _, m := range batch {
		methods = append(methods, m.Method)
	}
	if got := strings.Join(methods, ","); got != "a,b,,c" {
		t.Errorf("the batch has the methods %s", got)
	}
}

func TestALongBatchIsNotDecoded(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`[1,2,3]`, `[1,2,{"no JSON`, `[1,2,` + strings.Repeat("[", 100_000)} {
		if _, err := DecodeBatch([]byte(body), 2); !errors.Is(err, ErrLongBatch) {
			t.Errorf("%.20s: %v", body, err)
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	for _, seed := range []string{
		`[]`, `[1]`, `[[]]`, `{}`, `[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":"1","method":"a"}]`, `[{}]x`, `[`, ` [ ] `, `[,]`, `[null]`,
		`[{"jsonrpc":"2.0","method":"a"}]`, `[{"jsonrpc":"2.0","id":1,"method":"a"}{"jsonrpc":"2.0","id":2,"method":"a"}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		batch, err := DecodeBatch(data, 5)
		var members []json.RawMessage
		valid := json.Unmarshal(data, &members) == nil && members != nil
		switch {
		case err == nil && (!valid || len(batch) != len(members) || len(batch) == 0 || len(batch) > 5):
			t.Errorf("%q has %d messages", data, len(batch))
		case err != nil && !errors.Is(err, ErrLongBatch) && !errors.As(err, new(*jsonrpc.Error)):
			t.Errorf("%q: %v", data, err)
		case errors.Is(err, ErrLongBatch) && valid && len(members) <= 5:
			t.Errorf("%q is too long", data)
		}
	})
}
