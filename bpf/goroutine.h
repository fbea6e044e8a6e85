/* SPDX-License-Identifier: GPL-2.0 */
/* Which goroutine the current thread runs. */
#ifndef MILLRACE_GOROUTINE_H
#define MILLRACE_GOROUTINE_H

#include "millrace.h"

/* bpf_get_current_task_btf is allowed here (5.11): its result is read without a helper call per step. */
const volatile bool task_btf = false;

/* Address of Go's g: on amd64 the word before the thread's local storage points to it, on arm64 it is in R28 at a
 * call's exit. */
static __always_inline u64 current_g(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	u64 base, g = 0;

	if (task_btf)
		base = bpf_get_current_task_btf()->thread.fsbase;
	else
		base = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), thread.fsbase);
	bpf_probe_read_user(&g, sizeof(g), (void *)(base - 8));
	return g;
#else
	return regs->regs[28];
#endif
}

/* The goroutine that makes a process. On arm64 its g is in a register that the tracepoint does not show. */
static __always_inline u64 forking_goroutine(struct policy *policy)
{
	u64 goroutine = 0;
#if defined(__TARGET_ARCH_x86)
	u64 g;

	if (!policy || !policy->goid_offset)
		return 0;
	g = current_g(NULL);
	if (g)
		bpf_probe_read_user(&goroutine, sizeof(goroutine), (void *)(g + policy->goid_offset));
#endif
	return goroutine;
}

#endif
