package options_test

import (
	"cmp"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/options"
)

func TestOrDefaultSetsOnlyWhatIsZero(t *testing.T) {
	t.Parallel()
	unset, set := 0, -3
	options.OrDefault(&unset, 7)
	options.OrDefault(&set, 7)
	if unset != 7 || set != -3 {
		t.Errorf("got %d and %d, want 7 and -3", unset, set)
	}
}

func TestErrorsNameTheField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{options.NonNegative("MaxCalls", 0), ""},
		{options.NonNegative("MaxCalls", 1), ""},
		{options.NonNegative("MaxCalls", -1), "Options.MaxCalls is negative"},
		{options.NonNegative("MaxBody", int64(-1)), "Options.MaxBody is negative"},
		{options.AtLeast("SessionTTL", 0, time.Second), ""},
		{options.AtLeast("SessionTTL", time.Second, time.Second), ""},
		{options.AtLeast("SessionTTL", time.Millisecond, time.Second), "Options.SessionTTL is 1ms, under 1s"},
		{options.AtLeast("SessionTTL", -time.Hour, time.Second), "Options.SessionTTL is negative"},
		{cmp.Or(options.NonNegative("A", 1), options.NonNegative("B", -1), options.NonNegative("C", -1)), "Options.B is negative"},
	} {
		if got := text(c.err); got != c.want {
			t.Errorf("got error %q, want %q", got, c.want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
