package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/fetch"
	"github.com/mcpfleet/mcpfleet/internal/limit"
)

// maxFetches bounds the fetches of one instance that run at the same time.
const maxFetches = 32

// Unauthenticated callers can make the server fetch URLs of their choice (OAuth
// Client ID Metadata Document, section 6.5). These limits bound, for the whole
// fleet, how many fetches one address may cause and how many one host may get.
var (
	fetchesForAddress = limit.Rate{Requests: 20, Per: time.Minute}
	fetchesFromHost   = limit.Rate{Requests: 120, Per: time.Minute}
)

// A fetcher fetches the documents and keys of clients.
type fetcher struct {
	http       *http.Client
	limiter    *limit.Limiter
	logger     *slog.Logger
	forAddress limit.Rate
	fromHost   limit.Rate
	slots      chan struct{}
}

func newFetcher(limiter *limit.Limiter, o *Options) *fetcher {
	f := &fetcher{
		http: o.HTTPClient, limiter: limiter, logger: o.Logger,
		forAddress: fetchesForAddress, fromHost: fetchesFromHost, slots: make(chan struct{}, maxFetches),
	}
	if f.http == nil {
		f.http = fetch.Public()
	}
	return f
}

// Names of limits. Documents and keys are counted apart, so that a client whose
// document was fetched can have its keys fetched as well.
const (
	fetchDocument = "fetch"
	fetchKeys     = "fetch-keys"
)

// admit counts a fetch that an address causes, and fails if there were too many.
func (f *fetcher) admit(ctx context.Context, what, address string) error {
	verdict, err := f.limiter.Take(ctx, what, address, f.forAddress)
	if err == nil && !verdict.Allowed {
		err = refuse("too_many_requests", "too many clients whose documents or keys have to be fetched")
	}
	return err
}

// errAway is for a document that may be available later. It is the same for a host
// that is down and for one that is not public, so that callers cannot use it to
// scan a private network.
func errAway() error {
	return refuse("temporarily_unavailable", "what the client refers to cannot be fetched at the moment")
}

// json fetches a document. It fails with [fetch.ErrRefused] if there is none.
func (f *fetcher) json(ctx context.Context, uri string, maxBytes int64) (fetch.Document, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return fetch.Document{}, err
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	verdict, err := f.limiter.Take(ctx, "fetched", host, f.fromHost)
	if err != nil {
		return fetch.Document{}, err
	}
	if !verdict.Allowed {
		f.logger.WarnContext(ctx, "not fetched: too often from one host", "url", uri)
		return fetch.Document{}, errAway()
	}
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	default:
		f.logger.WarnContext(ctx, "not fetched: too many fetches are running", "url", uri)
		return fetch.Document{}, errAway()
	}
	doc, err := fetch.JSON(ctx, f.http, uri, maxBytes)
	if err != nil {
		f.logger.InfoContext(ctx, "not fetched", "url", uri, "error", err)
		if !errors.Is(err, fetch.ErrRefused) {
			err = errAway()
		}
	}
	return doc, err
}
