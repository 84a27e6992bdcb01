package sessionstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/rueidis"
)

// unlinkStreams is how many streams are deleted by one command.
const unlinkStreams = 500

// Delete ends a session. When it returns nil, nothing can bring the session
// back, and its record, values, streams and their logs are deleted. If Redis
// fails between the two steps this takes, some logs remain until they expire;
// nobody can read them without the record.
//
// This store's Load returns [ErrNotFound] from then on. Other instances may
// still load the session for [Options.CacheTTL] at most, unless they are told
// to [Store.Forget] it.
func (s *Store) Delete(ctx context.Context, id string) error {
	if !ValidID(id) {
		return ErrNotFound
	}
	defer s.Forget(id) // also when the outcome is unknown
	reply, err := sessionDelete.Exec(ctx, s.rdb, s.sessionKeys(id))
	if err != nil {
		return err
	}
	parts, err := reply.AsStrSlice()
	if err != nil || len(parts) < 2 {
		return fmt.Errorf("delete session: unexpected reply %v", parts)
	}
	existed, owner, streams := parts[0] == "1", parts[1], parts[2:]
	s.clean(ctx, id, owner, streams)
	if !existed {
		return ErrNotFound
	}
	return nil
}

// clean deletes the state and log of the streams of a session that is gone,
// and gives back its place among its owner's. What fails here expires.
func (s *Store) clean(ctx context.Context, id, owner string, streams []string) {
	var cmds rueidis.Commands
	for some := range slices.Chunk(streams, unlinkStreams) {
		var names []string
		for _, stream := range some {
			names = append(names, s.keys.Stream(id, stream), s.keys.Log(id, stream))
		}
		cmds = append(cmds, s.rdb.B().Unlink().Key(names...).Build())
	}
	if owner != "" { // instances may count sessions although this store does not
		cmds = append(cmds, s.releaseCommand(owner, id))
	}
	if len(cmds) > 0 {
		s.rdb.DoMulti(ctx, cmds...)
	}
}
