package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/fetch"
	"github.com/mcpfleet/mcpfleet/internal/limit"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// Bounds of a document's size, and of how long it is cached (OAuth Client ID
// Metadata Document, sections 4.3 and 6.6).
const (
	maxDocument = 5 << 10
	minCached   = time.Minute
	maxCached   = 24 * time.Hour
)

// documents finds clients whose id is the URL of a document that describes them
// (OAuth Client ID Metadata Document). Documents are cached in Redis as they were
// fetched, and checked at each use, because the rules may have become stricter.
// Only documents that pass the checks are cached.
type documents struct {
	rdb     redisx.Client
	keys    rediskeys.Space
	fetcher *fetcher
	schemes []string
	// cachedLong bounds how many documents are cached for longer than minCached.
	cachedLong limit.Rate

	mu      sync.Mutex // guards running
	running map[string]*documentFetch
}

// A documentFetch is a running fetch, which all requests for that document share.
type documentFetch struct {
	done   chan struct{} // closed when client and err are set
	client *Client
	err    error
}

func newDocuments(rdb redisx.Client, space rediskeys.Space, o *Options, f *fetcher) *documents {
	return &documents{
		rdb: rdb, keys: space, fetcher: f, schemes: o.RedirectSchemes,
		cachedLong: limit.Rate{Requests: 10_000, Per: maxCached}, running: map[string]*documentFetch{},
	}
}

// client returns the client that the document at id describes, for a request
// from an address. It fails with an [*oauthError] if there is none.
func (d *documents) client(ctx context.Context, id, address string) (*Client, error) {
	if err := checkDocumentURL(id); err != nil {
		return nil, refuse("invalid_client", "client_id %v", err)
	}
	client, err := d.cached(ctx, id)
	if client != nil || err != nil {
		return client, err
	}
	if f := d.runningFetch(id); f != nil {
		return f.wait(ctx) // who causes no fetch is not counted
	}
	if err := d.fetcher.admit(ctx, fetchDocument, address); err != nil {
		return nil, err
	}
	return d.once(ctx, id)
}

// runningFetch returns the running fetch of a document, nil if there is none.
func (d *documents) runningFetch(id string) *documentFetch {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.running[id]
}

// wait returns the outcome of a fetch.
func (f *documentFetch) wait(ctx context.Context) (*Client, error) {
	select {
	case <-f.done:
		return f.client, f.err
	case <-ctx.Done():
		return nil, errAway()
	}
}

// cached returns the client that a cached document describes, nil if there is no
// cached document or it does not pass the checks.
func (d *documents) cached(ctx context.Context, id string) (*Client, error) {
	body, err := d.rdb.Do(ctx, d.rdb.B().Get().Key(d.keys.Document(id)).Build()).AsBytes()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, redisx.Unavailable("load client document", err)
	}
	if client, err := parseDocument(id, body, d.schemes); err == nil {
		return client, nil
	}
	return nil, nil // it was cached under other rules
}

// once fetches a document, or waits for the running fetch.
func (d *documents) once(ctx context.Context, id string) (*Client, error) {
	d.mu.Lock()
	if f := d.running[id]; f != nil {
		d.mu.Unlock()
		return f.wait(ctx)
	}
	f := &documentFetch{done: make(chan struct{}), err: errAway()}
	d.running[id] = f
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.running, id)
		close(f.done)
	}()
	// Others may wait for it, so it does not end with the first request.
	f.client, f.err = d.fetch(context.WithoutCancel(ctx), id)
	return f.client, f.err
}

func (d *documents) fetch(ctx context.Context, id string) (*Client, error) {
	// Another request may have fetched it in the meantime.
	client, err := d.cached(ctx, id)
	if client != nil || err != nil {
		return client, err
	}
	doc, err := d.fetcher.json(ctx, id, maxDocument)
	if errors.Is(err, fetch.ErrRefused) {
		return nil, refuse("invalid_client", "there is no JSON document of at most %d bytes at client_id", maxDocument)
	}
	if err != nil {
		return nil, err
	}
	client, err = parseDocument(id, doc.Body, d.schemes)
	if err != nil {
		d.fetcher.logger.InfoContext(ctx, "client document not usable", "url", id, "error", err)
		return nil, refuse("invalid_client", "the client document is not acceptable: %v", err)
	}
	life, err := d.life(ctx, doc.MaxAge)
	if err != nil {
		return nil, err
	}
	cmd := d.rdb.B().Set().Key(d.keys.Document(id)).Value(rueidis.BinaryString(doc.Body)).Px(life).Build()
	if err := d.rdb.Do(ctx, cmd).Error(); err != nil {
		return nil, redisx.Unavailable("cache client document", err)
	}
	return client, nil
}

// life returns how long to cache a document that may be cached for age. Documents
// are cached for strangers, and many of them would fill Redis: those over the
// limit are cached for the shortest time only.
func (d *documents) life(ctx context.Context, age time.Duration) (time.Duration, error) {
	if age <= minCached {
		return minCached, nil
	}
	verdict, err := d.fetcher.limiter.Take(ctx, "document", "", d.cachedLong)
	if err != nil || !verdict.Allowed {
		return minCached, err
	}
	return min(age, maxCached), nil
}
