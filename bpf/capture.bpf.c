/* SPDX-License-Identifier: GPL-2.0 */
/* The capture object: payload at the exit of system calls, and the life of connections and tasks. */
#include "syscall.h"
#include "transfer.h"

char LICENSE[] SEC("license") = "GPL";

/* bpf_get_current_task_btf is allowed here (5.11): its result is read without a helper call per step. */
const volatile bool task_btf = false;
/* Capture below this cgroup (v2) alone; 0: everywhere. */
const volatile u64 cgroup_id = 0;
const volatile u32 cgroup_level = 0;

#define S_IFMT 0170000
#define S_IFSOCK 0140000

/* Address of socket_file_ops, learnt from the first socket seen: kallsyms does not tell it everywhere. */
static volatile u64 socket_operations;

/* The sock behind a file, NULL if it is none. */
static __always_inline struct sock *sock_of_file(struct file *file)
{
	u64 operations = (u64)(fast_reads ? FAST(file, file)->f_op : BPF_CORE_READ(file, f_op));
	struct socket *socket;

	if (operations != socket_operations) {
		if (socket_operations || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
			return NULL;
		socket_operations = operations;
	}
	if (fast_reads) {
		socket = FAST(file, file)->private_data;
		return FAST(socket, socket)->sk;
	}
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

/* The sock behind a file descriptor of the current task. Untrusted: to be read by CO-RE only. */
static __always_inline struct sock *sock_of(u32 fd)
{
	struct file **files, *file = NULL;
	u32 max;

	if (task_btf) {
		struct task_struct *task = bpf_get_current_task_btf();
		struct fdtable *table = task->files->fdt;

		max = table->max_fds;
		files = table->fd;
	} else {
		struct task_struct *task = (void *)bpf_get_current_task();
		struct fdtable *table = BPF_CORE_READ(task, files, fdt);

		max = BPF_CORE_READ(table, max_fds);
		files = BPF_CORE_READ(table, fd);
	}
	if (fd >= max)
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file ? sock_of_file(file) : NULL;
}

struct entry {
	u64 time;
	u32 thread;
	u32 number;
};

/* When each thread's last call that can send began. Threads share slots, so a slot names its thread. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct entry);
} entries SEC(".maps");

#define SENDING                                                                                                                    \
	(1u << OP_WRITE | 1u << OP_WRITEV | 1u << OP_SENDTO | 1u << OP_SENDMSG | 1u << OP_SENDMMSG | 1u << OP_SENDFILE |           \
	 1u << OP_SPLICE)

SEC("tp_btf/sys_enter")
int BPF_PROG(syscall_enter, struct pt_regs *regs, long number)
{
	struct entry *entry;
	u32 slot, thread;

	if (!(1u << operation_of(number) & SENDING))
		return 0;
	thread = (u32)bpf_get_current_pid_tgid();
	slot = thread & 0xffff;
	entry = bpf_map_lookup_elem(&entries, &slot);
	if (entry) {
		entry->time = bpf_ktime_get_ns();
		entry->thread = thread;
		entry->number = number;
	}
	return 0;
}

static __always_inline u64 duration_of(u64 now, u32 thread, u64 number)
{
	u32 slot = thread & 0xffff;
	struct entry *entry = bpf_map_lookup_elem(&entries, &slot);

	if (!entry || entry->thread != thread || entry->number != number || entry->time >= now)
		return 0;
	return now - entry->time;
}

/* Go's current goroutine. On amd64 its g is at fs:-8; on arm64 it is in a register that a system call may overwrite: left 0. */
static __always_inline void read_goroutine(struct work *w, struct policy *policy)
{
	w->goroutine = w->parent_goroutine = 0;
#if defined(__TARGET_ARCH_x86)
	if (policy && policy->goid_offset) {
		u64 base = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), thread.fsbase), g = 0;

		if (bpf_probe_read_user(&g, sizeof(g), (void *)(base - 8)) || !g)
			return;
		bpf_probe_read_user(&w->goroutine, sizeof(u64), (void *)(g + policy->goid_offset));
		if (policy->parent_goid_offset)
			bpf_probe_read_user(&w->parent_goroutine, sizeof(u64), (void *)(g + policy->parent_goid_offset));
	}
#endif
}

/* transfer() for one of several messages: verified once, not at each turn of the loop below. */
__noinline int transfer_message(u64 key)
{
	struct connection *c = bpf_map_lookup_elem(&connections, &key);
	struct scratch *s = current_scratch();
	struct work *w = current_work();

	if (!c)
		c = bpf_map_lookup_elem(&unix_connections, &key);
	if (!c || !s || !w)
		return 0;
	return transfer(s, w, c);
}

#define MESSAGES_MAX 8 /* messages of one recvmmsg or sendmmsg that are looked at */

/* recvmmsg and sendmmsg: each message is a transfer of its own, placed from behind because positions are known at the end. */
static __always_inline void transfer_messages(struct work *w, u64 vector, u32 count)
{
	u64 total = 0;
	u32 length;

	for (u32 i = 0; i < MESSAGES_MAX; i++) {
		if (i >= count)
			break;
		length = 0;
		bpf_probe_read_user(&length, sizeof(length), &((struct mmsghdr *)vector)[i].length);
		total += length;
	}
	if (count > MESSAGES_MAX)
		count_loss(LOSS_NOT_OBSERVABLE, 0);
	for (u32 i = 0; i < MESSAGES_MAX; i++) {
		struct mmsghdr *message = &((struct mmsghdr *)vector)[i];

		if (i >= count)
			break;
		length = 0;
		bpf_probe_read_user(&length, sizeof(length), &message->length);
		bpf_probe_read_user(&w->iov, sizeof(u64), &message->header.iov);
		bpf_probe_read_user(&w->iov_count, sizeof(u64), &message->header.iov_count);
		total -= length;
		w->count = length;
		w->after = total;
		transfer_message(w->key);
	}
}

/* Of a process of Millrace's own: marks the connection so that its other end is left alone too. */
static __always_inline void ignore_peer(struct sock *sk)
{
	u64 key = (u64)sk;
	struct connection *c = bpf_map_lookup_elem(&connections, &key);

	if (!c || c->flags & CONNECTION_IGNORED)
		return;
	c->flags |= CONNECTION_IGNORED;
	remember_ignored(c->facts.send_flow);
}

#include "uring.h"

SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_exit, struct pt_regs *regs, long ret)
{
	u64 number = SYSCALL_NUMBER(regs), id, size;
	u32 operation = operation_of(number), zero = 0, side, fd, flags = 0;
	struct connection *c;
	struct policy *policy;
	struct scratch *s;
	struct work *w;
	struct sock *sk;

	if (operation == OP_NONE || ret < 0)
		return 0;
	side = 1u << operation & SENDING ? SIDE_SEND : SIDE_RECEIVE;
	/* 0 is the end of the stream for a reader (or an empty buffer), nothing for a writer. */
	size = SYSCALL_ARG2(regs);
	if (!ret && (operation == OP_SPLICE || operation == OP_RECVMMSG || side == SIDE_SEND))
		return 0;
	if (!ret && !size && operation != OP_RECVMSG)
		return 0;
	id = bpf_get_current_pid_tgid();
	policy = policy_of(id >> 32);
	if (policy && policy->flags & POLICY_IGNORE && !(policy->flags & POLICY_IGNORE_PEERS))
		return 0;
	if (cgroup_id && bpf_get_current_ancestor_cgroup_id(cgroup_level) != cgroup_id)
		return 0;

	fd = operation == OP_SPLICE ? SYSCALL_ARG2(regs) : SYSCALL_ARG0(regs);
	sk = sock_of(fd);
	if (!sk && operation == OP_SPLICE) {
		sk = sock_of(SYSCALL_ARG0(regs));
		side = SIDE_RECEIVE;
	}
	if (!sk)
		return 0;
	if (IS_COMPAT(regs)) { /* numbers and structures of another interface */
		count_loss(LOSS_NOT_OBSERVABLE, ret);
		return 0;
	}
	if (policy && policy->flags & POLICY_IGNORE) {
		ignore_peer(sk);
		return 0;
	}
	if (operation == OP_RECVFROM || operation == OP_RECVMMSG)
		flags = SYSCALL_ARG3(regs);
	else if (operation == OP_RECVMSG)
		flags = SYSCALL_ARG2(regs);
	if (flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB))
		return 0;
	c = connection_of(sk, ret);
	if (!c)
		return 0;
	/* The usual end of a connection that is not to be followed; transfer() would find the same. */
	if (c->facts.protocol == PROTOCOL_TLS)
		return 0;
	w = bpf_map_lookup_elem(&works, &zero);
	s = bpf_map_lookup_elem(&scratches, &zero);
	if (!w || !s || !take_work(w, ret))
		return 0;
	w->key = (u64)sk;
	w->count = ret;
	w->after = w->buffer = w->iov = w->iov_count = 0;
	w->side = side;
	w->in_order = 0;
	w->pid = id >> 32;
	w->thread = (u32)id;
	w->time = bpf_ktime_get_ns();
	w->duration = side == SIDE_SEND ? duration_of(w->time, (u32)id, number) : 0;
	read_goroutine(w, policy);

	switch (operation) {
	case OP_READ:
	case OP_WRITE:
	case OP_RECVFROM:
	case OP_SENDTO:
		/* TCP drops what is read with MSG_TRUNC: the buffer holds nothing. */
		if (!(flags & MSG_TRUNC))
			w->buffer = SYSCALL_ARG1(regs);
		break;
	case OP_READV:
	case OP_WRITEV:
		w->iov = SYSCALL_ARG1(regs);
		w->iov_count = size;
		break;
	case OP_RECVMSG:
	case OP_SENDMSG:
		if (!(flags & MSG_TRUNC)) {
			struct user_msghdr *message = (void *)SYSCALL_ARG1(regs);

			bpf_probe_read_user(&w->iov, sizeof(u64), &message->iov);
			bpf_probe_read_user(&w->iov_count, sizeof(u64), &message->iov_count);
		}
		break;
	case OP_RECVMMSG:
	case OP_SENDMMSG:
		transfer_messages(w, SYSCALL_ARG1(regs), ret);
		w->busy = 0;
		return 0;
	}
	transfer(s, w, c);
	w->busy = 0;
	return 0;
}

struct verdict {
	u64 key;
	u64 identity;
	u64 protocol;
};

/* Run by user space, never attached: changes what is shipped of a connection, in place. */
SEC("raw_tp")
int set_verdict(struct verdict *verdict)
{
	u64 key = verdict->key, identity = verdict->identity;
	struct connection *c = bpf_map_lookup_elem(&connections, &key);

	if (!c || c->facts.id != identity)
		c = bpf_map_lookup_elem(&unix_connections, &key);
	if (!c || c->facts.id != identity)
		return 1;
	c->facts.protocol = verdict->protocol;
	c->tries = 0;
	c->sides[SIDE_SEND].budget = c->sides[SIDE_RECEIVE].budget = message_bytes;
	return 0;
}
