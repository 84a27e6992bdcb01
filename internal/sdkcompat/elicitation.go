package sdkcompat

import "strings"

// The SDK refuses to elicit a client that did not declare it, with an error that has no
// code. A handler that returns it fails with an internal error, where the protocol has
// one of its own (specification 2026-07-28, "MissingRequiredClientCapability").
//
// Seen in: v1.8.0.
// Here: the error is known by its text.
// Test: TestElicitationThatIsRefusedHasNoCode.

// CannotElicit reports whether a handler's error is that its client cannot be elicited,
// and in which mode, if it could in another.
func CannotElicit(err error) (mode string, ok bool) {
	_, what, ok := strings.Cut(err.Error(), "client does not support ")
	mode, ok2 := strings.CutSuffix(what, "elicitation")
	return strings.Trim(mode, `" `), ok && ok2
}
