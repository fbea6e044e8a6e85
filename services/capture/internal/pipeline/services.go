package pipeline

import "millrace.dev/services/capture/internal/process"

// services lists the processes that listen and are watched.
func (p *Pipeline) services() map[uint64]string {
	list := map[uint64]string{}
	p.Inventory.Each(func(proc *process.Process) {
		watched := proc.Selection.State == process.Selected || proc.Selection.State == process.Conditional
		if watched && len(proc.Facts().ListenPorts) > 0 {
			list[proc.ID] = string(proc.Encoded())
		}
	})
	return list
}
