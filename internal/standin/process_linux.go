package standin

import (
	"os/exec"
	"syscall"
)

// endsWithParent says that a part cannot outlive the process that started it.
const endsWithParent = true

// endWithParent has the kernel kill the command when the thread that starts it ends: also when this process is killed.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
