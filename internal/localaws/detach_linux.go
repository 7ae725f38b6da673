package localaws

import "syscall"

// detach unmounts what nobody is to see any more, once nobody uses it.
func detach(at string) error { return syscall.Unmount(at, syscall.MNT_DETACH) }
