//go:build !unix

package npm

// lock does nothing where there is no way to lock a file.
func lock(string) (unlock func() error, err error) { return func() error { return nil }, nil }
