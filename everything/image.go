package everything

import (
	_ "embed"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

//go:generate go run gen_image.go

//go:embed tiny.png
var tinyPNG []byte

// tinyImage returns the tiny image as content with the given annotations.
func tinyImage(annotations *mcp.Annotations) *mcp.ImageContent {
	return &mcp.ImageContent{Data: tinyPNG, MIMEType: "image/png", Annotations: annotations}
}
