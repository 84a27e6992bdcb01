// Package sdkcompat holds what mcpfleet has to do because go-sdk does not: a
// file for each gap, with what the SDK does and the version it was seen in, what
// is done about it, and the test that notices when that is no longer needed.
package sdkcompat
