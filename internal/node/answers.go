package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// CheckAnswers fails unless answers are of the form that their questions want. The
// keys tell which questions these are; those that name none are left out.
func CheckAnswers(raw json.RawMessage) (map[string]json.RawMessage, error) {
	answers := map[string]json.RawMessage{}
	if len(raw) == 0 {
		return answers, nil
	}
	if err := json.Unmarshal(raw, &answers); err != nil || answers == nil {
		return nil, errors.New("inputResponses must be an object")
	}
	for key, answer := range answers {
		asker, _, _ := strings.Cut(key, "-")
		check := checks[asker]
		if check == nil {
			delete(answers, key)
			continue
		}
		if err := check(answer); err != nil {
			return nil, fmt.Errorf("inputResponses: %.100q: %w", key, err)
		}
	}
	return answers, nil
}

// checks are those of the answers to each kind of question.
var checks = map[string]func(json.RawMessage) error{
	"elicit": func(answer json.RawMessage) error {
		var result mcp.ElicitResult
		if err := decodeAnswer(answer, &result); err != nil {
			return err
		}
		if !slices.Contains([]string{"accept", "decline", "cancel"}, result.Action) {
			return errors.New(`"action" must be "accept", "decline" or "cancel"`)
		}
		return nil
	},
	"sample": func(answer json.RawMessage) error {
		var result mcp.CreateMessageWithToolsResult
		if err := decodeAnswer(answer, &result); err != nil {
			return err
		}
		if result.Role == "" || len(result.Content) == 0 {
			return errors.New(`"role" and "content" are required`)
		}
		return nil
	},
	"roots": func(answer json.RawMessage) error {
		var result mcp.ListRootsResult
		if err := decodeAnswer(answer, &result); err != nil {
			return err
		}
		if result.Roots == nil || slices.Contains(result.Roots, nil) {
			return errors.New(`"roots" must be an array of roots`)
		}
		return nil
	},
}

// decodeAnswer decodes an answer as the SDK will, whose words clients do not get: they
// quote the answer, and name types of Go.
func decodeAnswer(answer json.RawMessage, result any) error {
	if len(answer) == 0 || answer[0] != '{' {
		return errors.New("an answer is an object")
	}
	err := json.Unmarshal(answer, result)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Errorf("%q has the wrong type", wrong.Field)
	case err != nil:
		return errors.New("its fields are not those of an answer to this question")
	}
	return nil
}
