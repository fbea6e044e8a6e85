/* SPDX-License-Identifier: GPL-2.0 */
/* Which system calls move data, and where their arguments are when they return. */
#ifndef MILLRACE_SYSCALL_H
#define MILLRACE_SYSCALL_H

#include "millrace.h"

enum operation {
	OP_NONE,
	OP_READ, /* fd, buffer, size */
	OP_WRITE,
	OP_READV, /* fd, iovec, count */
	OP_WRITEV,
	OP_RECVFROM, /* fd, buffer, size, flags */
	OP_SENDTO,
	OP_RECVMSG, /* fd, msghdr, flags */
	OP_SENDMSG,
	OP_RECVMMSG, /* fd, mmsghdr, count, flags */
	OP_SENDMMSG,
	OP_SENDFILE, /* out, in, offset, count */
	OP_SPLICE,   /* in, offset, out, offset, size, flags */
};

#if defined(__TARGET_ARCH_x86)
#define NR(amd64, arm64) amd64
#else
#define NR(amd64, arm64) arm64
#endif

/*
 * Comparisons rather than a table: this runs twice in every system call of the node, where a table's page is a miss in
 * the TLB. preadv2 and pwritev2 act on sockets with position -1: like readv and writev.
 */
static __always_inline u32 operation_of(u64 number)
{
	switch (number) {
	case NR(0, 63):
		return OP_READ;
	case NR(1, 64):
		return OP_WRITE;
	case NR(19, 65):
	case NR(327, 286):
		return OP_READV;
	case NR(20, 66):
	case NR(328, 287):
		return OP_WRITEV;
	case NR(45, 207):
		return OP_RECVFROM;
	case NR(44, 206):
		return OP_SENDTO;
	case NR(47, 212):
		return OP_RECVMSG;
	case NR(46, 211):
		return OP_SENDMSG;
	case NR(299, 243):
		return OP_RECVMMSG;
	case NR(307, 269):
		return OP_SENDMMSG;
	case NR(40, 71):
		return OP_SENDFILE;
	case NR(275, 76):
		return OP_SPLICE;
	}
	return OP_NONE;
}

#if defined(__TARGET_ARCH_x86)

/* -1 where there is none, for example after a signal handler's return. */
#define SYSCALL_NUMBER(regs) ((u64)(regs)->orig_ax)
#define SYSCALL_ARG0(regs) ((regs)->di)
#define SYSCALL_ARG1(regs) ((regs)->si)
#define SYSCALL_ARG2(regs) ((regs)->dx)
#define SYSCALL_ARG3(regs) ((regs)->r10)
#define SYSCALL_ARG4(regs) ((regs)->r8)
#define USER_CS_64 0x33
#define IS_COMPAT(regs) ((regs)->cs != USER_CS_64)

#else

#define SYSCALL_NUMBER(regs) ((u64)(s64)(regs)->syscallno)
#define SYSCALL_ARG0(regs) ((regs)->orig_x0) /* regs[0] holds the result by now */
#define SYSCALL_ARG1(regs) ((regs)->regs[1])
#define SYSCALL_ARG2(regs) ((regs)->regs[2])
#define SYSCALL_ARG3(regs) ((regs)->regs[3])
#define SYSCALL_ARG4(regs) ((regs)->regs[4])
#define PSR_MODE32 0x10
#define IS_COMPAT(regs) ((regs)->pstate & PSR_MODE32)

#endif

#define MSG_OOB 1
#define MSG_PEEK 2
#define MSG_TRUNC 0x20
#define MSG_ERRQUEUE 0x2000

#endif
