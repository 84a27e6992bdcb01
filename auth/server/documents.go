package server

import (
	"context"

	"github.com/mcpfleet/mcpfleet/internal/keys"
	"github.com/mcpfleet/mcpfleet/internal/rds"
)

// documents fetches client ID metadata documents. (helper D)
type documents struct{}

func newDocuments(rds.Client, keys.Space, *Options) *documents { return &documents{} }

func (d *documents) client(ctx context.Context, id string) (*Client, error) { return nil, errNoClient }
