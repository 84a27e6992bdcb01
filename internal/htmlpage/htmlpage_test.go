package htmlpage

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
	"unicode/utf8"
)

func TestOnlyTheScriptThatAPageHasMayRun(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"a.html": {Data: []byte(`{{template "head" "<A>"}}{{script}}{{.}}`)}}
	for script, want := range map[string]string{"": "", "alert('<>&')": "script-src " + hash("alert('<>&')")} {
		res := httptest.NewRecorder()
		New(files, "*.html", script).Write(res, http.StatusTeapot, "a.html", "<script>x</script>")
		body, policy := res.Body.String(), res.Header().Get("Content-Security-Policy")
		if res.Code != http.StatusTeapot || !strings.Contains(body, "<script>"+script+"</script>") || strings.Contains(body, "<script>x") {
			t.Errorf("%d %s", res.Code, body)
		}
		if !strings.Contains(body, "<title>&lt;A&gt;</title>") || !strings.Contains(body, "<style>"+style+"</style>") {
			t.Errorf("head: %s", body)
		}
		if !strings.Contains(policy, want) || strings.Contains(policy, "script-src") != (script != "") || !strings.Contains(policy, "style-src "+hash(style)) {
			t.Errorf("policy %s", policy)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "  a \t b\n": "a b", "a\u202eb\u2066c\u200fd": "abcd", "\u200b\ufeff\u00ad\u3164\u115f\u2800": "",
		"123456789": "12345678…", "1234567 9": "1234567…", "1234 678 ": "1234 678", "\x00\x1b[2Ja": "[2Ja", "\xff": "�",
		"<b>": "<b>", "א\u0301\u0301\u0301\u0301": "א\u0301\u0301\u0301", "日本語": "日本語", "a\u2028b\u2029c": "a b c",
	} {
		if got := Text(in, 8); got != want {
			t.Errorf("Text(%q) is %q, want %q", in, got, want)
		}
	}
}

func FuzzTextIsOneVisibleLine(f *testing.F) {
	for _, seed := range []string{"", "a b", "\u202e", "\xff", strings.Repeat("\u0300", 9), strings.Repeat("x", 99)} {
		f.Add(seed, 8)
	}
	f.Fuzz(func(t *testing.T, in string, limit int) {
		if limit < 1 || limit > 1000 {
			return
		}
		got := Text(in, limit)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > limit+1 || strings.TrimSpace(got) != got {
			t.Errorf("Text(%q, %d) is %q", in, limit, got)
		}
		for _, r := range got {
			if !unicode.IsGraphic(r) || unicode.In(r, unicode.Bidi_Control, unicode.Other_Default_Ignorable_Code_Point) {
				t.Errorf("Text(%q, %d) has %U", in, limit, r)
			}
		}
	})
}

func TestHost(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("accounts.example.", 14) + "evil.example"
	for in, want := range map[string]string{
		"https://client.example/callback": "client.example", "http://[::1]:80/": "[::1]:80", "com.example.app://bank.example/": "com.example.app:",
		"com.example.app:/x": "com.example.app:", "https://%D0%B0pple.example/": "%D0%B0pple.example", "https://a%E2%80%AEb.example": "a%E2%80%AEb.example",
		"https://" + long + "/": long, "::": "", "https://xn--pple-43d.com/": "xn--pple-43d.com",
	} {
		if got := Host(in); got != want {
			t.Errorf("Host(%q) is %q, want %q", in, got, want)
		}
	}
}
