/* SPDX-License-Identifier: GPL-2.0 */
/* Traffic through io_uring, which makes no system call for each transfer: seen when the kernel posts a completion. */
#ifndef MILLRACE_URING_H
#define MILLRACE_URING_H

#include "transfer.h"

/* What the tracepoint io_uring_complete passes, told from its type by user space. */
enum uring_shape {
	URING_NONE,   /* no request (before 6.0): traffic is only counted, when it is submitted */
	URING_RESULT, /* context, request, user data, result, ... */
	URING_ENTRY,  /* context, request, completion queue entry (6.10) */
};

const volatile u32 uring_shape = URING_NONE;
/* Which argument of io_uring_submit_sqe is the operation: 1 or, since 5.15 and in 5.10's later releases, 2. */
const volatile u32 uring_operation_at = 1;

/* enum io_uring_op: part of the interface, so it does not change. */
enum uring_operation {
	URING_READV = 1,
	URING_WRITEV = 2,
	URING_READ_FIXED = 4,
	URING_WRITE_FIXED = 5,
	URING_SENDMSG = 9,
	URING_RECVMSG = 10,
	URING_READ = 22,
	URING_WRITE = 23,
	URING_SEND = 26,
	URING_RECV = 27,
	URING_SPLICE = 30,
	URING_SEND_ZC = 47,
	URING_SENDMSG_ZC = 48,
};

#define URING_SENDING                                                                                                              \
	(1ull << URING_WRITEV | 1ull << URING_WRITE_FIXED | 1ull << URING_SENDMSG | 1ull << URING_WRITE | 1ull << URING_SEND |     \
	 1ull << URING_SEND_ZC | 1ull << URING_SENDMSG_ZC)
#define URING_RECEIVING                                                                                                            \
	(1ull << URING_READV | 1ull << URING_READ_FIXED | 1ull << URING_RECVMSG | 1ull << URING_READ | 1ull << URING_RECV)
#define URING_BUFFER_SELECT (1u << 5) /* REQ_F_BUFFER_SELECT: the kernel chose the buffer */

/* Where the bytes are, if the request still says so. */
static __always_inline void uring_buffer(struct work *w, struct io_kiocb *request, u8 operation)
{
	struct io_sr_msg *message = (void *)request; /* the request begins with what its operation needs */
	struct io_rw *transfer = (void *)request;
	struct user_msghdr *header;

	switch (operation) {
	case URING_SEND:
	case URING_RECV:
	case URING_SEND_ZC:
		if (BPF_CORE_READ(request, flags) & URING_BUFFER_SELECT)
			return;
		w->buffer = (u64)BPF_CORE_READ(message, buf);
		/* After a part was done the pointer has moved on. */
		if (bpf_core_field_exists(message->done_io))
			w->buffer -= BPF_CORE_READ(message, done_io);
		break;
	case URING_SENDMSG:
	case URING_RECVMSG:
	case URING_SENDMSG_ZC:
		if (BPF_CORE_READ(request, flags) & URING_BUFFER_SELECT)
			return;
		header = BPF_CORE_READ(message, buf); /* a union with umsg */
		bpf_probe_read_user(&w->iov, sizeof(u64), &header->iov);
		bpf_probe_read_user(&w->iov_count, sizeof(u64), &header->iov_count);
		break;
	case URING_READ:
	case URING_WRITE:
		if (!(BPF_CORE_READ(request, flags) & URING_BUFFER_SELECT))
			w->buffer = BPF_CORE_READ(transfer, addr);
		break;
	case URING_READV:
	case URING_WRITEV:
		w->iov = BPF_CORE_READ(transfer, addr);
		w->iov_count = BPF_CORE_READ(transfer, len);
		break;
	}
}

static __noinline int complete_request(struct io_kiocb *request, s64 result)
{
	struct connection *c;
	struct policy *policy;
	struct scratch *s;
	struct work *w;
	struct sock *sk;
	struct file *file;
	u8 operation;
	u64 id, bit;

	if (!request || result < 0)
		return 0;
	operation = BPF_CORE_READ(request, opcode);
	bit = 1ull << (operation & 63);
	if (operation > 63 || !(bit & (URING_SENDING | URING_RECEIVING)) || (!result && bit & URING_SENDING))
		return 0;
	id = bpf_get_current_pid_tgid();
	policy = policy_of(id >> 32);
	if (policy && policy->flags & POLICY_IGNORE && !(policy->flags & POLICY_IGNORE_PEERS))
		return 0;
	if (cgroup_id && bpf_get_current_ancestor_cgroup_id(cgroup_level) != cgroup_id)
		return 0;
	file = BPF_CORE_READ(request, file);
	sk = file ? sock_of_file(file) : NULL;
	if (!sk)
		return 0;
	if (policy && policy->flags & POLICY_IGNORE) {
		ignore_peer(sk);
		return 0;
	}
	if (policy && policy->flags & POLICY_CONDITIONAL && !concerns(sk))
		return 0;
	c = connection_of(sk, result, bit & URING_SENDING ? SIDE_SEND : SIDE_RECEIVE);
	s = current_scratch();
	if (c)
		select_by_port(policy, c);
	if (!c && result && is_dns(sk))
		count_loss(LOSS_NOT_OBSERVABLE, result);
	if (!c || !s || !take_work(&s->work, result))
		return 0;
	w = &s->work;
	w->key = (u64)sk;
	w->inode = c->inode;
	w->count = result;
	w->after = w->buffer = w->iov = w->iov_count = w->duration = w->goroutine = w->parent_goroutine = 0;
	w->side = bit & URING_SENDING ? SIDE_SEND : SIDE_RECEIVE;
	w->pid = id >> 32;
	w->thread = (u32)id;
	w->time = bpf_ktime_get_ns();
	w->in_order = 1;
	uring_buffer(w, request, operation);
	transfer(s, w, c);
	w->busy = 0;
	return 0;
}

SEC("tp_btf/io_uring_complete")
int io_uring_done(u64 *ctx)
{
	if (uring_shape == URING_RESULT)
		return complete_request((void *)ctx[1], (s32)ctx[3]);
	if (uring_shape == URING_ENTRY) {
		struct io_uring_cqe *entry = (void *)ctx[2];

		return complete_request((void *)ctx[1], BPF_CORE_READ(entry, res));
	}
	return 0;
}

SEC("tracepoint/io_uring/io_uring_complete")
int io_uring_done_perf(struct trace_event_raw_io_uring_complete *ctx)
{
	return complete_request(ctx->req, ctx->res);
}

/* Before 5.17: what is submitted on sockets is counted, since nothing tells how it ended. */
SEC("tp_btf/io_uring_submit_sqe")
int io_uring_submitted(u64 *ctx)
{
	u64 first = ctx[1], second = ctx[2];
	u8 operation;
	struct policy *policy = policy_of(bpf_get_current_pid_tgid() >> 32);
	u64 bit;

	if (policy && policy->flags & POLICY_IGNORE)
		return 0;
	/* Both are read at a fixed place each: a context with a computed offset is refused. */
	asm volatile("" : "+r"(first), "+r"(second));
	operation = uring_operation_at == 2 ? second : first;
	bit = 1ull << (operation & 63);
	if (operation < 64 && bit & (1ull << URING_SEND | 1ull << URING_RECV | 1ull << URING_SENDMSG | 1ull << URING_RECVMSG))
		count_loss(LOSS_NOT_OBSERVABLE, 0);
	return 0;
}

#endif
