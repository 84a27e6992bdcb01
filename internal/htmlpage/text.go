package htmlpage

import (
	"net/url"
	"strings"
	"unicode"
)

// Text returns text from elsewhere, such as the name that a client gives itself,
// as it is shown to users: one line of at most limit characters, without what
// is invisible, turns the direction of what follows (U+202E), or piles up over
// the lines above. It is still to be escaped.
func Text(text string, limit int) string {
	var out strings.Builder
	var n, marks int
	space := false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r), r == brailleBlank:
			space = n > 0
			continue
		case !unicode.IsGraphic(r), unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			continue
		case !unicode.IsMark(r):
			marks = 0
		case marks == maxMarks:
			continue
		default:
			marks++
		}
		if space {
			n++
		}
		if n >= limit {
			return out.String() + "…"
		}
		if space {
			out.WriteByte(' ')
			space = false
		}
		out.WriteRune(r)
		n++
	}
	return out.String()
}

const (
	brailleBlank = '\u2800' // a symbol to Unicode, nothing to the eye
	maxMarks     = 3        // on one letter; some scripts need two
)

// Host returns what users are told of where a URI leads: its host, or the
// scheme if that is the name of an application. All of it is shown, however
// long, because what counts of a host is its end.
func Host(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	host := u.Host
	if u.Scheme != "https" && u.Scheme != "http" {
		host = u.Scheme + ":"
	}
	// In a URI everything but ASCII is percent-encoded. Decoded it could look
	// like another host.
	var out strings.Builder
	for _, b := range []byte(host) {
		if b <= ' ' || b > '~' {
			out.WriteString(url.PathEscape(string([]byte{b})))
			continue
		}
		out.WriteByte(b)
	}
	return out.String()
}
