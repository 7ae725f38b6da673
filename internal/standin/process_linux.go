package standin

import (
	"os/exec"
	"syscall"
)

// endsWithParent says that a part cannot outlive the process that started it.
const endsWithParent = true

// endWithParent has the kernel end the command when the thread that starts it ends: also when this process is killed. It is asked to end
// and not killed, so that it takes its temporary files along: DynamoDB Local has a library of a megabyte among them.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
