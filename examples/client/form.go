package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// A form is what a server asks a user to fill in: an object of simple fields.
type form struct{ schema jsonschema.Schema }

// newForm reads the schema of a form, which the SDK leaves as it came.
func newForm(requested any) (*form, error) {
	data, err := json.Marshal(requested)
	if err != nil {
		return nil, err
	}
	var f form
	if err := json.Unmarshal(data, &f.schema); err != nil {
		return nil, fmt.Errorf("the form's schema: %w", err)
	}
	return &f, nil
}

// String returns a line for each field.
func (f *form) String() string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(f.schema.Properties)) {
		field := f.schema.Properties[name]
		line := fmt.Sprintf("  %s (%s): %s", name, field.Type, field.Description)
		if field.Default != nil {
			line += fmt.Sprintf(", by default %s", field.Default)
		}
		if slices.Contains(f.schema.Required, name) {
			line += ", required"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// cannedContent returns a value for each field that has to have one. The SDK
// adds the defaults of the others.
func (f *form) cannedContent() map[string]any {
	content := map[string]any{}
	for _, name := range f.schema.Required {
		if field := f.schema.Properties[name]; field != nil && field.Default == nil {
			content[name] = cannedValue(field)
		}
	}
	return content
}

func cannedValue(field *jsonschema.Schema) any {
	switch {
	case len(field.Enum) > 0:
		return field.Enum[0]
	case field.Type == "boolean":
		return true
	case field.Type != "number" && field.Type != "integer":
		return "Ada"
	case field.Minimum != nil:
		return *field.Minimum
	default:
		return 1
	}
}
