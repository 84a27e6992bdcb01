package redistest

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// dieWithParent has the kernel kill the child when its parent is gone, however
// it went.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// spawn starts cmd from a thread that lives as long as the test process: what
// the kernel watches is the thread, not the process (go.dev/issue/27505).
func spawn(cmd *exec.Cmd) error {
	err := make(chan error)
	spawnRequests() <- spawnRequest{cmd, err}
	return <-err
}

type spawnRequest struct {
	cmd *exec.Cmd
	err chan<- error
}

var spawnRequests = sync.OnceValue(func() chan<- spawnRequest {
	requests := make(chan spawnRequest)
	go func() {
		runtime.LockOSThread()
		for r := range requests {
			r.err <- r.cmd.Start()
		}
	}()
	return requests
})
