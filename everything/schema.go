package everything

import (
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
)

// inputSchema returns the schema inferred from the struct T, whose fields carry
// their descriptions in jsonschema tags and are optional if tagged omitempty.
// refine, if not nil, adds what tags cannot express: defaults, bounds and choices.
//
// It panics if T or what refine added is not a valid schema, which the first
// call of New shows.
func inputSchema[T any](refine func(properties map[string]*jsonschema.Schema)) *jsonschema.Schema {
	schema, err := jsonschema.For[T](nil)
	if err != nil {
		panic(fmt.Sprintf("schema of %T: %v", *new(T), err))
	}
	if refine != nil {
		refine(schema.Properties)
	}
	return schema
}

// bound limits a number to low <= x <= high.
func bound(s *jsonschema.Schema, low, high float64) {
	s.Minimum, s.Maximum = &low, &high
}
