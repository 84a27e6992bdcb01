package everything

import (
	"encoding/json"
	"math"
)

// formatNumber writes x the way JavaScript's String(x) does, so that texts with
// numbers read the same as those of the reference server.
func formatNumber(x float64) string {
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	case x == 0:
		return "0" // also for -0, which encoding/json writes with its sign
	}
	// encoding/json formats all other numbers by the rules of ECMAScript.
	data, _ := json.Marshal(x)
	return string(data)
}
