package everything

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func addAudioTool(server *mcp.Server) {
	sound := beep()
	mcp.AddTool(server, &mcp.Tool{
		Name:        "getTinyAudio",
		Title:       "Tiny Audio",
		Description: "Returns a short sound",
		Annotations: lookup(),
		Icons:       icons(flaskIcon),
		InputSchema: inputSchema[noArgs](nil),
	}, func(context.Context, *mcp.CallToolRequest, noArgs) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{
			text("This is a tiny sound:"),
			&mcp.AudioContent{Data: sound, MIMEType: "audio/wav"},
			text("The sound above is a ship's bell."),
		}}, nil, nil
	})
}

const (
	sampleRate  = 8000 // per second, each of one byte
	beepSamples = sampleRate / 4
)

// beep returns a WAV file with a quarter of a second of a tone that fades away.
func beep() []byte {
	header := struct {
		RIFF       [4]byte
		Size       uint32
		WAVE, Fmt  [4]byte
		FmtSize    uint32
		Format     uint16
		Channels   uint16
		SampleRate uint32
		ByteRate   uint32
		BlockAlign uint16
		Bits       uint16
		Data       [4]byte
		DataSize   uint32
	}{
		RIFF: [4]byte([]byte("RIFF")), Size: 36 + beepSamples,
		WAVE: [4]byte([]byte("WAVE")), Fmt: [4]byte([]byte("fmt ")), FmtSize: 16,
		Format: 1 /* PCM */, Channels: 1, SampleRate: sampleRate, ByteRate: sampleRate, BlockAlign: 1, Bits: 8,
		Data: [4]byte([]byte("data")), DataSize: beepSamples,
	}
	var file bytes.Buffer
	_ = binary.Write(&file, binary.LittleEndian, header) // a buffer takes everything
	for i := range beepSamples {
		loudness := 1 - float64(i)/beepSamples
		wave := math.Sin(2 * math.Pi * 880 * float64(i) / sampleRate)
		file.WriteByte(byte(128 + 100*loudness*wave))
	}
	return file.Bytes()
}
