package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/roundstore"
)

// AdoptRound takes over the call of a dead instance, with answers to what it asked
// last; see [roundstore.Store.Adopt]. Nobody but its front waits for it, so while Redis
// is away it tries again: if a try had succeeded unnoticed, nobody else could take the
// call over any more.
func (n *Node) AdoptRound(ctx context.Context, state roundstore.State, r roundstore.Record, answers map[string]json.RawMessage) (run roundstore.Run, all map[string]json.RawMessage, err error) {
	try, began := rand.Text(), time.Now()
	n.untilDone(50*time.Millisecond, func() bool {
		run, all, err = n.rounds.Adopt(ctx, try, state, r, n.id, answers)
		return !errors.Is(err, redisx.ErrUnavailable) || time.Since(began) >= outageBound
	})
	return run, all, err
}
