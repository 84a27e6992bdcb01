package everything

import (
	"encoding/base64"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The icons, as SVG paths in a square of 24 by 24. They are small because every
// result of 2026-07-28 contains those of the server.
const (
	shipIcon     = "M3 15h18l-4 6H7zM11 2v12H4zM13 6l6 8h-6z"
	flaskIcon    = "M8 2h8v2h-1v6l6 12H3L9 10V4H8z"
	speechIcon   = "M2 3h20v13H12l-6 6v-6H2z"
	switchIcon   = "M7 6h10a6 6 0 0 1 0 12H7A6 6 0 0 1 7 6zm10 2a4 4 0 1 0 0 8 4 4 0 0 0 0-8z"
	documentIcon = "M4 2h10v6h6v14H4zM15 2l5 5h-5z"
	binaryIcon   = "M3 3h8v18H3zM15 3h3v18h-3z"
	promptIcon   = "M3 4l9 8-9 8zM12 18h9v3h-9z"
	screenIcon   = "M2 3h20v14H2zM8 19h8v2H8z"
)

// icons returns a path as the icons of a feature: one that fits every size.
func icons(path string) []mcp.Icon {
	svg := `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path fill="#2f74b5" d="` + path + `"/></svg>`
	return []mcp.Icon{{
		Source:   "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg)),
		MIMEType: "image/svg+xml",
		Sizes:    []string{"any"},
	}}
}
