package node

import (
	"errors"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// Errors of requests that an instance does not take.
var (
	// ErrClosed says that the node is closed and takes no more requests.
	ErrClosed = errors.New("instance is shutting down")
	// ErrDuplicateID says that a request with the same id in the same session is
	// running on this instance.
	ErrDuplicateID = errors.New("a request with this id is in progress")
	// ErrTooManyCalls says that a session has the maximum number of calls, or of
	// notifications, running on this instance.
	ErrTooManyCalls = errors.New("too many running calls in this session")
)

// Errors of requests that have ended.
var (
	// ErrRequestEnded is the error of a *mcp.ServerSession that is used after its
	// request has ended; see [Options].
	ErrRequestEnded = errors.New("the request this session was connected for has ended")
	// errCancelled is the error response of a call that its client has cancelled.
	errCancelled = &jsonrpc.Error{Code: -32800, Message: "request cancelled"}
	// errLeaving ends the stream of a stateless call that its instance cuts short.
	errLeaving = &jsonrpc.Error{Code: -32000, Message: "the instance is shutting down"}

	// errNotStored is the error response in place of one that its session may not store.
	errNotStored = &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: eventlog.ErrFull.Error()}

	errAbandoned  = errors.New("the request was given up: its client has gone")
	errWriterDied = &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "the instance that ran this request has died; its outcome is unknown"}
)

// Errors of what a handler sends.
var (
	errStoreUnavailable = errors.New("the session store is unavailable")
	errResponseComplete = errors.New("the response is complete")
	errNothingElse      = errors.New("nothing can be sent with this request")
	errNoEventID        = errors.New("the client's connection broke before it had an event id to resume from")
	errNoStandalone     = errors.New("in this protocol version nothing can be sent outside of the request: send it with the context that its handler got")
	errNoSessionYet     = errors.New("there is no session before initialize is answered")
	// errStateless is that of an id of a protocol without sessions.
	errStateless      = fmt.Errorf("%w: from protocol 2026-07-28 on clients have none; while no request of theirs runs, only updates of resources and changes of lists reach them", sessionstore.ErrNotFound)
	errUnknownMessage = errors.New("unknown kind of message")
)

// Errors of server requests, which handlers get in the client's place.
var (
	errNoResponse = errors.New("the client did not answer in time")
	errNoReader   = errors.New("the client does not listen: its stream was not read for 30 seconds")
	// errResponseLost says that the key was lost in which the response waits.
	errResponseLost = errors.New("the client's response may have been lost: the session store has lost what it kept of it")
)

// Errors of calls that ask their clients without a session.
var (
	errTooManyParked = errors.New("too many calls wait for answers of their clients")
	errHeldFull      = errors.New("too much has been said while the client was asked")
	// errTooManyQuestions says that questions wait that are too many, or too large.
	errTooManyQuestions = errors.New("too much is asked at once")
	// errTooLargeToTell says that what a call says has no place in Redis.
	errTooLargeToTell = errors.New("the message is too large: the client is served by another instance than the one that runs its request")
	// errTakenOver says that the fleet has taken this instance for dead.
	errTakenOver = errors.New("the request has been run again on another instance")
	errFrontLost = &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "the rest of this request is no longer available; its outcome is unknown"}
)

// Errors of open streams.
var (
	// errTooSlow says that a listener has fallen so far behind that changes it
	// should get are no longer known.
	errTooSlow = errors.New("the listener is too slow")
	// errBusLost says that the bus has lost changes that a listener may have wanted.
	errBusLost = errors.New("changes may have been lost on the bus")

	errClosedByServer = errors.New("stream closed by the server") // it goes on elsewhere
)

var (
	errResponsesFull = errors.New("too many responses wait for the instance that asked")

	errNotRenewed   = errors.New("the instance's inbox has not been renewed")
	errOwnerSilent  = errors.New("the instance that holds the stream does not answer")
	errNoMethod     = errors.New("the method is empty")
	errParamsObject = errors.New("the params are not an object")
)
