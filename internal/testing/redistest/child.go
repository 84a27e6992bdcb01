package redistest

import "os/exec"

// StartChild starts cmd so that it dies with the test process, however that
// ends, where the platform can do that.
func StartChild(cmd *exec.Cmd) error {
	cmd.SysProcAttr = dieWithParent()
	return spawn(cmd)
}
