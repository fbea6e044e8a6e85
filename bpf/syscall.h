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
#define NUMBERS 328
#define NR(amd64, arm64) [amd64]
#else
#define NUMBERS 288
#define NR(amd64, arm64) [arm64]
#endif

/* In .rodata, so that a lookup is one load. preadv2 and pwritev2 act on sockets with position -1: like readv and writev. */
static const u8 operations[NUMBERS + 1] = {
	NR(0, 63) = OP_READ,	    NR(1, 64) = OP_WRITE,	NR(19, 65) = OP_READV,	  NR(20, 66) = OP_WRITEV,
	NR(45, 207) = OP_RECVFROM,  NR(44, 206) = OP_SENDTO,	NR(47, 212) = OP_RECVMSG, NR(46, 211) = OP_SENDMSG,
	NR(299, 243) = OP_RECVMMSG, NR(307, 269) = OP_SENDMMSG, NR(40, 71) = OP_SENDFILE, NR(275, 76) = OP_SPLICE,
	NR(327, 286) = OP_READV,    NR(328, 287) = OP_WRITEV,
};

static __always_inline u32 operation_of(u64 number)
{
	return number <= NUMBERS ? operations[number] : OP_NONE;
}

#if defined(__TARGET_ARCH_x86)

/* -1 where there is none, for example after a signal handler's return. */
#define SYSCALL_NUMBER(regs) ((u64)(regs)->orig_ax)
#define SYSCALL_ARG0(regs) ((regs)->di)
#define SYSCALL_ARG1(regs) ((regs)->si)
#define SYSCALL_ARG2(regs) ((regs)->dx)
#define SYSCALL_ARG3(regs) ((regs)->r10)
#define USER_CS_64 0x33
#define IS_COMPAT(regs) ((regs)->cs != USER_CS_64)

#else

#define SYSCALL_NUMBER(regs) ((u64)(s64)(regs)->syscallno)
#define SYSCALL_ARG0(regs) ((regs)->orig_x0) /* regs[0] holds the result by now */
#define SYSCALL_ARG1(regs) ((regs)->regs[1])
#define SYSCALL_ARG2(regs) ((regs)->regs[2])
#define SYSCALL_ARG3(regs) ((regs)->regs[3])
#define PSR_MODE32 0x10
#define IS_COMPAT(regs) ((regs)->pstate & PSR_MODE32)

#endif

#define MSG_OOB 1
#define MSG_PEEK 2
#define MSG_TRUNC 0x20
#define MSG_ERRQUEUE 0x2000

#endif
