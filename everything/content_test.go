package everything_test

import (
	"encoding/binary"
	"testing"

	schemas "github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func TestGetWeatherIsStructured(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(nil)
		const want = `{"city": "Tromsø", "country": "Norway", "temperature": -3, "conditions": "Snow", "humidity": 77}`
		for range 2 { // the weather does not change
			res := call(t, cs, "getWeather", map[string]any{"city": "Tromsø"})
			wantJSON(t, res.StructuredContent, want)
			wantJSON(t, decode(t, []byte(soleText(t, res))), want) // for clients that know no structure
		}
	})
}

func TestWeatherOfEveryCityHasTheAnnouncedForm(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(nil)
		tool := findTool(t, cs, "getWeather")
		output := resolve(t, tool.OutputSchema)
		cities := tool.InputSchema.(map[string]any)["properties"].(map[string]any)["city"].(map[string]any)["enum"].([]any)
		for _, city := range cities {
			res := call(t, cs, "getWeather", map[string]any{"city": city})
			if err := output.Validate(res.StructuredContent); err != nil {
				t.Errorf("%s: %v", city, err)
			}
			if got := res.StructuredContent.(map[string]any)["city"]; got != city {
				t.Errorf("the weather in %s is that in %s", city, got)
			}
		}
	})
}

func findTool(t *testing.T, cs *mcp.ClientSession, name string) *mcp.Tool {
	t.Helper()
	for tool, err := range cs.Tools(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if tool.Name == name {
			return tool
		}
	}
	t.Fatalf("there is no tool %s", name)
	return nil
}

func resolve(t *testing.T, schema any) *schemas.Resolved {
	t.Helper()
	var s schemas.Schema
	if err := s.UnmarshalJSON(encode(t, schema)); err != nil {
		t.Fatal(err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

func TestGetResourceLinksLinksToWhatIsListed(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(nil)
		list, err := cs.ListResources(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			args  map[string]any
			count int
			text  string
		}{
			{map[string]any{}, 3, "Here are 3 of 100 resources:"},
			{map[string]any{"count": 1}, 1, "Here are 1 of 100 resources:"},
			{map[string]any{"count": 10}, 10, "Here are 10 of 100 resources:"},
		} {
			content := call(t, cs, "getResourceLinks", tt.args).Content
			wantJSON(t, content[0], `{"type": "text", "text": "`+tt.text+`"}`)
			if len(content) != 1+tt.count {
				t.Fatalf("%d links, want %d", len(content)-1, tt.count)
			}
			for i, c := range content[1:] {
				link := decode(t, encode(t, c)).(map[string]any)
				if link["type"] != "resource_link" {
					t.Errorf("content %d is a %s", i, link["type"])
				}
				delete(link, "type")
				wantJSON(t, link, string(encode(t, list.Resources[i])))
			}
		}
	})
}

func TestGetTinyAudioReturnsAWAVFile(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		res := call(t, connect(nil), "getTinyAudio", nil)
		if len(res.Content) != 3 {
			t.Fatalf("got %d content blocks, want 3", len(res.Content))
		}
		wantJSON(t, res.Content[0], `{"type": "text", "text": "This is a tiny sound:"}`)
		wantJSON(t, res.Content[2], `{"type": "text", "text": "The sound above is a ship's bell."}`)
		audio, ok := res.Content[1].(*mcp.AudioContent)
		if !ok || audio.MIMEType != "audio/wav" {
			t.Fatalf("content is a %T: %s", res.Content[1], encode(t, res.Content[1]))
		}
		wantBeep(t, audio.Data)
	})
}

// wantBeep checks a RIFF file of one PCM channel, as described in every
// introduction to the format.
func wantBeep(t *testing.T, file []byte) {
	t.Helper()
	if len(file) != 44+2000 {
		t.Fatalf("the file is %d bytes long", len(file))
	}
	for _, tag := range []struct {
		offset int
		want   string
	}{{0, "RIFF"}, {8, "WAVE"}, {12, "fmt "}, {36, "data"}} {
		if got := string(file[tag.offset : tag.offset+4]); got != tag.want {
			t.Errorf("at %d there is %q, want %q", tag.offset, got, tag.want)
		}
	}
	for _, field := range []struct {
		name   string
		offset int
		want   uint32
	}{{"file size", 4, 2036}, {"fmt size", 16, 16}, {"sample rate", 24, 8000}, {"byte rate", 28, 8000}, {"data size", 40, 2000}} {
		if got := binary.LittleEndian.Uint32(file[field.offset:]); got != field.want {
			t.Errorf("%s is %d, want %d", field.name, got, field.want)
		}
	}
	for _, field := range []struct {
		name   string
		offset int
		want   uint16
	}{{"format", 20, 1}, {"channels", 22, 1}, {"block align", 32, 1}, {"bits", 34, 8}} {
		if got := binary.LittleEndian.Uint16(file[field.offset:]); got != field.want {
			t.Errorf("%s is %d, want %d", field.name, got, field.want)
		}
	}
	samples := file[44:]
	if early, late := swing(samples[:200]), swing(samples[1800:]); early < 150 || late > 30 {
		t.Errorf("the tone swings by %d at first and %d in the end: it does not fade", early, late)
	}
}

// swing is the difference between the highest and the lowest sample.
func swing(samples []byte) int {
	low, high := samples[0], samples[0]
	for _, s := range samples {
		low, high = min(low, s), max(high, s)
	}
	return int(high) - int(low)
}
