package jsonrpcmsg

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

// ErrLongBatch says that a batch has more messages than allowed.
var ErrLongBatch = errors.New("too many messages in a JSON-RPC batch")

// DecodeBatch decodes a JSON-RPC batch of at most limit messages, an array, as
// protocol 2025-03-26 has it. It is all or nothing: JSON-RPC would have each
// malformed member answered by an error of its own, most with the id null,
// which MCP does not have; so a batch in which any member is not a message, or
// two requests have the same id, is a *jsonrpc.Error like those of
// [Decode]. A longer batch is [ErrLongBatch], found without decoding it.
func DecodeBatch(data []byte, limit int) ([]*Message, error) {
	members, err := splitBatch(data, limit)
	if err != nil {
		return nil, err
	}
	batch := make([]*Message, 0, len(members))
	ids := map[string]bool{}
	for i, member := range members {
		m, err := Decode(member)
		if err == nil && m.IsCall() && ids[IDKey(m.ID)] {
			err = invalid("a request before it has the same id")
		}
		if err != nil {
			return nil, invalid("message %d of the batch: %v", i+1, inBatch(err))
		}
		if m.IsCall() {
			ids[IDKey(m.ID)] = true
		}
		batch = append(batch, m)
	}
	return batch, nil
}

func splitBatch(data []byte, limit int) ([]json.RawMessage, error) {
	malformed := &jsonrpc.Error{Code: jsonrpc.CodeParseError, Message: "malformed JSON"}
	d := json.NewDecoder(bytes.NewReader(data))
	if first, err := d.Token(); err != nil || first != json.Delim('[') {
		return nil, malformed
	}
	var members []json.RawMessage
	for d.More() {
		if len(members) == limit {
			return nil, fmt.Errorf("%w: %d are allowed", ErrLongBatch, limit)
		}
		var member json.RawMessage
		if err := d.Decode(&member); err != nil {
			return nil, malformed
		}
		members = append(members, member)
	}
	if _, err := d.Token(); err != nil {
		return nil, malformed
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed
	}
	if len(members) == 0 {
		return nil, invalid("a batch has at least one message")
	}
	return members, nil
}

// inBatch returns what to say of a member: a batch within a batch is no message.
func inBatch(err error) error {
	if errors.Is(err, ErrBatch) {
		return invalid("a JSON-RPC message is an object")
	}
	return err
}
