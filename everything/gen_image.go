//go:build ignore

// This program draws tiny.png: three small ships, a fleet, on a calm sea.
package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"log"
	"os"
)

var palette = map[rune]color.NRGBA{
	'.': {0xdb, 0xee, 0xfa, 0xff}, // sky
	'o': {0xf6, 0xc3, 0x43, 0xff}, // sun
	'|': {0x6b, 0x4a, 0x2f, 0xff}, // mast
	'#': {0xff, 0xff, 0xff, 0xff}, // sail
	'=': {0xa6, 0x3d, 0x2f, 0xff}, // hull
	'~': {0x2f, 0x74, 0xb5, 0xff}, // sea
	'-': {0x5b, 0x9b, 0xd5, 0xff}, // wave
}

var rows = []string{
	"....................",
	".ooo................",
	".ooo................",
	".ooo......|.........",
	"..........|#........",
	"..........|##.......",
	"..........|###......",
	"...|......|####.....",
	"...|#.....|.........",
	"...|##...=======....",
	"...|.....~=====~|...",
	"..=====~~~~~~~~~|#..",
	"~~~===~~~~~~~~~~|##~",
	"~~~~~~~~~~~~~~~~|~~~",
	"~~~~~~~~--~~~~=====~",
	"~~--~~~~~~~~~~~===~~",
	"~~~~~~~~~~~--~~~~~~~",
	"~~~~~~--~~~~~~~~~~~~",
	"~--~~~~~~~~~~~~~--~~",
	"~~~~~~~~~~--~~~~~~~~",
}

func main() {
	img := image.NewNRGBA(image.Rect(0, 0, len(rows[0]), len(rows)))
	for y, row := range rows {
		for x, c := range row {
			img.Set(x, y, palette[c])
		}
	}
	var buf bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&buf, img); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("tiny.png", buf.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}
