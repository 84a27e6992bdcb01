//go:build !linux

package redistest

import (
	"os/exec"
	"syscall"
)

func dieWithParent() *syscall.SysProcAttr { return nil }

func spawn(cmd *exec.Cmd) error { return cmd.Start() }
