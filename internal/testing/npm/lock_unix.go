//go:build unix

package npm

import (
	"os"
	"syscall"
)

// lock waits until no other process holds the lock on a file.
func lock(name string) (unlock func() error, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f.Close, nil
}
