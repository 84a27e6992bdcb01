package everything

import "github.com/google/jsonschema-go/jsonschema"

// inputFormSchema is the form elicitInputs presents: one field of every kind a
// client may have to render.
func inputFormSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type:     "object",
		Required: []string{"name"},
		Properties: map[string]*jsonschema.Schema{
			"name":      {Type: "string", Title: "Full Name", Description: "Your full name"},
			"check":     {Type: "boolean", Title: "Agree to terms", Description: "Whether you agree to the terms"},
			"color":     {Type: "string", Title: "Favorite Color", Description: "Any color, in your own words", Default: marshal("blue")},
			"email":     {Type: "string", Title: "Email Address", Description: "An address in the form name@example.com", Format: "email"},
			"homepage":  {Type: "string", Title: "Homepage", Description: "The address of your homepage", Format: "uri"},
			"birthdate": {Type: "string", Title: "Birthdate", Description: "Your date of birth", Format: "date"},
			"integer": {
				Type:        "integer",
				Title:       "Favorite Integer",
				Description: "A whole number from 1 to 100",
				Minimum:     jsonschema.Ptr(1.0),
				Maximum:     jsonschema.Ptr(100.0),
				Default:     marshal(42),
			},
			"number": {
				Type:        "number",
				Title:       "Favorite Number",
				Description: "Any number from 0 to 1000",
				Minimum:     jsonschema.Ptr(0.0),
				Maximum:     jsonschema.Ptr(1000.0),
				Default:     marshal(3.14),
			},
			"petType": {
				Type:        "string",
				Title:       "Pet Type",
				Description: "Your favorite kind of pet",
				Enum:        []any{"cats", "dogs", "birds", "fish", "reptiles"},
				// The names to show for the choices, in the form all revisions know.
				Extra:   map[string]any{"enumNames": []any{"Cats", "Dogs", "Birds", "Fish", "Reptiles"}},
				Default: marshal("dogs"),
			},
		},
		PropertyOrder: []string{
			"name", "check", "color", "email", "homepage", "birthdate", "integer", "number", "petType",
		},
	}
}
