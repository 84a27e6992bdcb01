package node

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// Each script is sent, and executed only after its caller has given it up: a dead
// instance's inbox does not come back.
func TestALateInboxScriptChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, prepare := range map[string]func(t *testing.T, n *Node) func() error{
		"inbox_renew": func(_ *testing.T, n *Node) func() error {
			return func() error { return n.renewInbox(ctx, firstMail) }
		},
		"inbox_send": func(t *testing.T, n *Node) func() error {
			if err := n.renewInbox(ctx, firstMail); err != nil {
				t.Fatal(err)
			}
			return func() error { _, err := n.send(ctx, n.id, readerClosed{Reader: "r"}); return err }
		},
		"response_send": func(t *testing.T, n *Node) func() error {
			if err := n.renewInbox(ctx, firstMail); err != nil {
				t.Fatal(err)
			}
			return func() error { _, err := n.sendToKeep(ctx, n.id, responseArrived{Data: []byte(`{}`)}); return err }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := redistest.NewBubble(t)
				path := b.Link()
				r := newRig(t, path.Client(t), eventlog.Options{})
				b.Late(t, path, func(t *testing.T) func() error {
					n := &Node{opts: Options{}.withDefaults(), link: link{rdb: r.rdb, keys: r.keys, log: r.log}, id: redistest.NewPrefix()[5:]}
					return prepare(t, n)
				})
			})
		})
	}
}
