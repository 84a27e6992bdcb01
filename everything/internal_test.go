package everything

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func TestFormatNumber(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{
		0:                       "0",
		math.Copysign(0, -1):    "0",
		3:                       "3",
		-3.5:                    "-3.5",
		0.1:                     "0.1",
		1e-6:                    "0.000001",
		1e-7:                    "1e-7",
		123456789012345680000:   "123456789012345680000",
		1e21:                    "1e+21",
		-1.5e300:                "-1.5e+300",
		5e-324:                  "5e-324",
		math.MaxFloat64:         "1.7976931348623157e+308",
		math.Inf(1):             "Infinity",
		math.Inf(-1):            "-Infinity",
		float64(math.MaxInt64):  "9223372036854776000",
		100000000000000000000.0: "100000000000000000000",
		0.30000000000000004:     "0.30000000000000004",
		4.35:                    "4.35",
		1.0000000000000002:      "1.0000000000000002",
		-9007199254740993:       "-9007199254740992",
		0.000001234:             "0.000001234",
		0.0000001234:            "1.234e-7",
		999999999999999999999.0: "1e+21",
		-0.00001:                "-0.00001",
		2.2250738585072014e-308: "2.2250738585072014e-308",
		12345.678:               "12345.678",
	} {
		if got := formatNumber(x); got != want {
			t.Errorf("%g is %q, want %q", x, got, want)
		}
	}
	if got := formatNumber(math.NaN()); got != "NaN" {
		t.Errorf("NaN is %q", got)
	}
}

func TestURIsAreOrderedByTheNumbersAtTheirEnd(t *testing.T) {
	t.Parallel()
	want := []string{
		"", "7", "8", "10", "a", "a0", "a1", "a2", "a10",
		"a99999999999999999999998", "a99999999999999999999999", "b1", "b-9",
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareURIs)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// Sorting and searching both rely on this.
func FuzzOrderOfURIsIsTotal(f *testing.F) {
	f.Add("a1", "a10", "a2")
	f.Add("a1", "a01", "a001")
	f.Add("a", "a18446744073709551616", "a18446744073709551615")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if compareURIs(a, b) != -compareURIs(b, a) {
			t.Errorf("%q and %q are not in order", a, b)
		}
		if (compareURIs(a, b) == 0) != (a == b) {
			t.Errorf("%q and %q are different but equal", a, b)
		}
		if compareURIs(a, b) <= 0 && compareURIs(b, c) <= 0 && compareURIs(a, c) > 0 {
			t.Errorf("%q, %q and %q are in a circle", a, b, c)
		}
	})
}

func FuzzCursorsSurvive(f *testing.F) {
	f.Add("test://static/resource/10")
	f.Add("")
	f.Add("\xff\x00")
	f.Fuzz(func(t *testing.T, s string) {
		if uri, ok := decodeCursor(encodeCursor(s)); !ok || uri != s {
			t.Errorf("%q became %q", s, uri)
		}
		// Whatever else comes in is refused or ours.
		if uri, ok := decodeCursor(s); ok {
			data, _ := base64.RawURLEncoding.DecodeString(s)
			if string(data) != cursorPrefix+uri {
				t.Errorf("%q was taken for a cursor", s)
			}
		}
	})
}

func FuzzOnlyCanonicalNumbersAreResources(f *testing.F) {
	for _, s := range []string{"1", "100", "0", "101", "-1", "+1", "01", "1 ", "1.0", "１", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, ok := parseResourceURI("test://static/resource/" + s)
		want := slices.Contains(resourceIDs(), s)
		if ok != want {
			t.Errorf("%q is a resource: %v, want %v", s, ok, want)
		}
		if ok && strconv.Itoa(int(id)) != s {
			t.Errorf("%q is resource %d", s, id)
		}
	})
}

// None of the features has that many values, but the protocol's limit holds.
func TestCompletionsAreCutAtTheLimit(t *testing.T) {
	t.Parallel()
	values := make([]string, 250)
	for i := range values {
		values[i] = strings.Repeat("x", i)
	}
	want := mcp.CompletionResultDetails{Values: values[:100], Total: 250, HasMore: true}
	if diff := cmp.Diff(want, completions(values, "").Completion); diff != "" {
		t.Errorf("completion (-want +got):\n%s", diff)
	}
	want = mcp.CompletionResultDetails{Values: values[150:], Total: 100}
	if diff := cmp.Diff(want, completions(values, values[150]).Completion); diff != "" {
		t.Errorf("completion (-want +got):\n%s", diff)
	}
}
