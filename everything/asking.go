package everything

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// answerWithin bounds the wait for a client's answer: people fill in forms.
const answerWithin = 10 * time.Minute

var errNoAnswer = fmt.Errorf("the client did not answer within %v", answerWithin)

// ask calls a method of the SDK's session that asks the client, and waits for the
// answer for at most [answerWithin].
func ask[P, R any](ctx context.Context, method func(context.Context, P) (R, error), params P) (R, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, errNoAnswer)
	defer cancel()
	answer, err := method(ctx, params)
	if err != nil && errors.Is(context.Cause(ctx), errNoAnswer) {
		return answer, errNoAnswer
	}
	return answer, err
}
