/* SPDX-License-Identifier: GPL-2.0 */
/* The capture object: payload at the exit of system calls, and the life of connections and tasks. */
#include "datagram.h"
#include "goroutine.h"
#include "syscall.h"
#include "transfer.h"

char LICENSE[] SEC("license") = "GPL";

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
	if (fast_reads)
		file = FAST(hlist_head, files + fd)->first;
	else
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

static __always_inline int begin(u64 number)
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

SEC("tp_btf/sys_enter")
int BPF_PROG(syscall_enter, struct pt_regs *regs, long number)
{
	return begin(number);
}

SEC("tracepoint/raw_syscalls/sys_enter")
int syscall_enter_perf(struct trace_event_raw_sys_enter *ctx)
{
	return begin(ctx->id);
}

static __always_inline u64 duration_of(u64 now, u32 thread, u64 number)
{
	u32 slot = thread & 0xffff;
	struct entry *entry = bpf_map_lookup_elem(&entries, &slot);

	if (!entry || entry->thread != thread || entry->number != number || entry->time >= now)
		return 0;
	return now - entry->time;
}

/* Most bytes between the two ids in runtime.g for both to be read at once. */
#define GOIDS_SPAN 248

/* Go's current goroutine and the one that made it. */
static __always_inline void read_goroutine(struct scratch *s, struct work *w, struct policy *policy, struct pt_regs *regs)
{
	u64 g, span;

	w->goroutine = w->parent_goroutine = 0;
	if (!policy || !policy->goid_offset)
		return;
	g = current_g(regs);
	if (!g)
		return;
	span = (u64)policy->parent_goid_offset - policy->goid_offset;
	asm volatile("" : "+r"(span));
	if (span <= GOIDS_SPAN) {
		/* Payload comes later. */
		if (bpf_probe_read_user(s->payload, span + sizeof(u64), (void *)(g + policy->goid_offset)))
			return;
		w->goroutine = *(u64 *)s->payload;
		w->parent_goroutine = *(u64 *)(s->payload + (span & 0xf8));
		return;
	}
	bpf_probe_read_user(&w->goroutine, sizeof(u64), (void *)(g + policy->goid_offset));
	if (policy->parent_goid_offset)
		bpf_probe_read_user(&w->parent_goroutine, sizeof(u64), (void *)(g + policy->parent_goid_offset));
}

/* transfer() for one of several messages: verified once, not at each turn of the loop below. */
__noinline int transfer_message(void)
{
	struct scratch *s = current_scratch();
	struct connection *c = s ? connection_at(&s->work) : NULL;

	if (!c)
		return 0;
	transfer(s, &s->work, c);
	return 0;
}

#define MESSAGES_MAX 64 /* messages of one recvmmsg or sendmmsg that are events of their own; the rest is one */
#define VECTOR_MAX 1024 /* UIO_MAXIOV: the kernel moves no more in one call */

/* Bytes of all messages of a call. A socket moves less than 4 GiB in one. */
__noinline int messages_length(u64 vector, u64 count)
{
	u64 total = 0;
	u32 length;

	for (u32 i = 0; i < VECTOR_MAX; i++) {
		if (i >= count)
			break;
		length = 0;
		bpf_probe_read_user(&length, sizeof(length), &((struct mmsghdr *)vector)[i].length);
		total += length;
	}
	return total;
}

/* recvmmsg and sendmmsg: each message is a transfer of its own, placed from behind because positions are known at the
 * end. */
__noinline int transfer_messages(u64 vector, u64 count)
{
	struct work *w = current_work();
	u32 length, total, i;

	if (!w)
		return 0;
	total = messages_length(vector, count);
	for (i = 0; i < MESSAGES_MAX; i++) {
		struct mmsghdr *message = &((struct mmsghdr *)vector)[i];

		if (i >= count)
			return 0;
		length = 0;
		bpf_probe_read_user(&length, sizeof(length), &message->length);
		bpf_probe_read_user(&w->iov, sizeof(u64), &message->header.iov);
		bpf_probe_read_user(&w->iov_count, sizeof(u64), &message->header.iov_count);
		total -= length;
		w->count = length;
		w->after = total;
		transfer_message();
	}
	if (!total)
		return 0;
	/* Of the rest the bytes are accounted for, without payload. */
	w->iov = w->iov_count = w->after = 0;
	w->count = total;
	transfer_message();
	return 0;
}

/* Of a process of Millrace's own: marks the connection so that its other end is left alone too. */
static __noinline int ignore_peer(struct sock *sk)
{
	u64 key = (u64)sk;
	struct connection *c = bpf_map_lookup_elem(&connections, &key);
	struct candidate own = {}, *known;
	struct connection *draft;
	struct moved next;

	if (c) {
		if (!(c->flags & CONNECTION_IGNORED))
			remember_ignored(c->facts.send_flow);
		c->flags |= CONNECTION_IGNORED;
		return 0;
	}
	known = bpf_map_lookup_elem(&candidates, &key);
	if (known && known->flags & CONNECTION_IGNORED)
		return 0;
	if (known) {
		own = *known;
	} else {
		draft = BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP ? new_draft() : NULL;
		if (!draft)
			return 0;
		read_addresses(sk, &draft->facts);
		if (!derive_identity(sk, &draft->facts, &next, true))
			return 0;
		own.send_flow = draft->facts.send_flow;
		own.role = draft->facts.role;
		own.id = new_identity(bpf_ktime_get_ns());
	}
	own.flags = CONNECTION_IGNORED;
	remember_ignored(own.send_flow);
	bpf_map_update_elem(&candidates, &key, &own, BPF_ANY);
	return 0;
}

#include "uring.h"

static __always_inline bool is_traffic(u32 operation, long ret)
{
	return operation != OP_NONE && ret >= 0;
}

/* The end of a call that moved datagrams, if they are DNS. */
static __noinline int end_datagrams(struct pt_regs *regs, u32 operation, long ret, struct sock *sk)
{
	u64 id = bpf_get_current_pid_tgid(), size = SYSCALL_ARG2(regs), address = 0;
	u32 side = 1u << operation & SENDING ? SIDE_SEND : SIDE_RECEIVE;
	struct scratch *s;
	struct work *w;

	if (!ret || !may_be_dns(sk))
		return 0;
	s = current_scratch();
	if (!s || !take_work(&s->work, ret))
		return 0;
	w = &s->work;
	w->key = (u64)sk;
	w->count = w->end = ret;
	w->inode = w->buffer = w->iov = w->iov_count = 0;
	w->side = side;
	w->pid = id >> 32;
	w->thread = (u32)id;
	w->time = bpf_ktime_get_ns();
	w->duration = side == SIDE_SEND ? duration_of(w->time, (u32)id, SYSCALL_NUMBER(regs)) : 0;
	read_goroutine(s, w, policy_of(id >> 32), regs);
	switch (operation) {
	case OP_RECVFROM:
	case OP_SENDTO:
		address = SYSCALL_ARG4(regs);
		/* fallthrough */
	case OP_READ:
	case OP_WRITE:
		w->buffer = SYSCALL_ARG1(regs);
		if (w->end > size) /* MSG_TRUNC gives the length of what did not fit */
			w->end = size;
		tell_datagram(address);
		break;
	case OP_READV:
	case OP_WRITEV:
		w->iov = SYSCALL_ARG1(regs);
		w->iov_count = size;
		tell_datagram(0);
		break;
	case OP_RECVMSG:
	case OP_SENDMSG: {
		struct user_msghdr *message = (void *)SYSCALL_ARG1(regs);

		bpf_probe_read_user(&w->iov, sizeof(u64), &message->iov);
		bpf_probe_read_user(&w->iov_count, sizeof(u64), &message->iov_count);
		bpf_probe_read_user(&address, sizeof(u64), &message->name);
		tell_datagram(address);
		break;
	}
	case OP_RECVMMSG:
	case OP_SENDMMSG:
		tell_datagrams(SYSCALL_ARG1(regs), ret);
		break;
	}
	w->busy = 0;
	return 0;
}

/* The end of a call that is_traffic(). Inlined twice it would double the object. */
static __noinline int end(struct pt_regs *regs, u32 operation, long ret)
{
	u32 side, fd, flags = 0;
	struct connection *c;
	struct policy *policy;
	struct scratch *s;
	u64 id, size;
	struct work *w;
	struct sock *sk;

	side = 1u << operation & SENDING ? SIDE_SEND : SIDE_RECEIVE;
	/* 0 is the end of the stream for a reader (or an empty buffer), nothing for a writer. */
	size = SYSCALL_ARG2(regs);
	if (!ret && (operation == OP_SPLICE || operation == OP_RECVMMSG || side == SIDE_SEND))
		return 0;
	if (!ret && !size && operation != OP_RECVMSG)
		return 0;

	/*
	 * Before the process: most calls are on files, pipes and events, and this is a few loads where that is a hash.
	 */
	fd = operation == OP_SPLICE ? SYSCALL_ARG2(regs) : SYSCALL_ARG0(regs);
	sk = sock_of(fd);
	if (!sk && operation == OP_SPLICE) {
		sk = sock_of(SYSCALL_ARG0(regs));
		side = SIDE_RECEIVE;
	}
	if (!sk)
		return 0;
	id = bpf_get_current_pid_tgid();
	policy = policy_of(id >> 32);
	if (policy && policy->flags & POLICY_IGNORE && !(policy->flags & POLICY_IGNORE_PEERS))
		return 0;
	if (cgroup_id && bpf_get_current_ancestor_cgroup_id(cgroup_level) != cgroup_id)
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
	if (policy && policy->flags & POLICY_CONDITIONAL && !concerns(sk))
		return 0;
	c = connection_of(sk, ret, side);
	if (!c)
		return end_datagrams(regs, operation, ret, sk);
	select_by_port(policy, c);
	/* The usual end of a connection that is not to be followed; transfer() would find the same. */
	if (c->facts.protocol == PROTOCOL_TLS)
		return 0;
	s = current_scratch();
	if (!s || !take_work(&s->work, ret))
		return 0;
	w = &s->work;
	w->key = (u64)sk;
	w->inode = c->inode;
	w->count = ret;
	w->after = w->buffer = w->iov = w->iov_count = 0;
	w->side = side;
	w->in_order = 0;
	w->pid = id >> 32;
	w->thread = (u32)id;
	w->time = bpf_ktime_get_ns();
	w->duration = side == SIDE_SEND ? duration_of(w->time, (u32)id, SYSCALL_NUMBER(regs)) : 0;
	read_goroutine(s, w, policy, regs);

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
		transfer_messages(SYSCALL_ARG1(regs), ret);
		w->busy = 0;
		return 0;
	}
	transfer(s, w, c);
	w->busy = 0;
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_exit, struct pt_regs *regs, long ret)
{
	u32 operation = operation_of(SYSCALL_NUMBER(regs));

	return is_traffic(operation, ret) ? end(regs, operation, ret) : 0;
}

SEC("tracepoint/raw_syscalls/sys_exit")
int syscall_exit_perf(struct trace_event_raw_sys_exit *ctx)
{
	u32 operation = operation_of(ctx->id);
	long ret = ctx->ret;

	if (!is_traffic(operation, ret))
		return 0;
	return end((struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf()), operation, ret);
}

enum preemption { PREEMPTION_UNKNOWN, PREEMPTION_OFF, PREEMPTION_ON };

/*
 * Whether tasks can be preempted in programs at the tracepoints of system calls, and at others; see preemption_of().
 */
u32 syscall_preemption = PREEMPTION_UNKNOWN;
u32 event_preemption = PREEMPTION_UNKNOWN;
/* Thread group of the agent, whose calls show it. */
const volatile u32 agent = 0;

/*
 * Some kernels (7.x) let tasks be preempted in programs at tracepoints, and skip such a program for every other task
 * of the CPU until the preempted one is done with it: what those do would be missed. A program may never migrate, so
 * either preemption is off or migration is, and the latter can be seen. At perf's side of the same tracepoints
 * preemption is always off, for some more ns per event: there the programs *_perf are attached instead. But perf runs
 * no two programs of any kind inside of each other on a CPU, and a packet's interrupt may come while one runs: what
 * happens to sockets is therefore told by both sides, and the second to come changes nothing. For the same reason user
 * space changes and reads tables by running programs (set_policy, sum_losses): its own system calls on tables keep
 * perf's programs from running, and it can be preempted in them.
 */
static __always_inline int preemption_of(u32 *preemption)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (bpf_get_current_pid_tgid() >> 32 != agent)
		return 0;
	*preemption = bpf_core_field_exists(task->migration_disabled) && BPF_CORE_READ(task, migration_disabled) ? PREEMPTION_ON
														 : PREEMPTION_OFF;
	return 0;
}

/* Attached for a moment by user space, which then makes any system call. */
SEC("tp_btf/sys_exit")
int preemption_of_syscalls(void *ctx)
{
	return preemption_of(&syscall_preemption);
}

/* The same, where user space renames its thread. */
SEC("tp_btf/task_rename")
int preemption_of_events(void *ctx)
{
	return preemption_of(&event_preemption);
}

/* Which connection user space means. */
struct named {
	u64 key;      /* address of the sock */
	u64 inode;    /* Unix-domain: of its socket; 0: TCP */
	u64 identity; /* 0: whichever is there */
};

static __always_inline struct connection *connection_named(struct named *named)
{
	u64 key = named->key, inode = named->inode, identity = named->identity;
	struct connection *c = inode ? unix_entry(key, inode) : bpf_map_lookup_elem(&connections, &key);

	return c && (!identity || c->facts.id == identity) ? c : NULL;
}

#include "verdict.h"

struct policy_change {
	u64 pid;
	u64 flags;
	u64 goid_offset;
	u64 parent_goid_offset;
};

/* Run by user space, never attached: sets the policy of a thread group, or removes it if it is all zeros. */
SEC("raw_tp")
int set_policy(struct policy_change *change)
{
	struct policy policy = {
		.flags = change->flags,
		.goid_offset = change->goid_offset,
		.parent_goid_offset = change->parent_goid_offset,
	};
	u32 pid = change->pid;

	if (policy.flags || policy.goid_offset || policy.parent_goid_offset)
		return bpf_map_update_elem(&policies, &pid, &policy, BPF_ANY) != 0;
	bpf_map_delete_elem(&policies, &pid);
	return 0;
}

struct check {
	struct named connection;
	u64 evict; /* remove it too if it was given up */
};

enum found { FOUND_ALIVE, FOUND_NONE, FOUND_DEAD, FOUND_EVICTED };

static __always_inline bool is_dead(struct sock *sk, struct connection *c)
{
	u32 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	if (!BPF_CORE_READ(sk, __sk_common.skc_refcnt.refs.counter))
		return true;
	if (BPF_CORE_READ(sk, __sk_common.skc_family) != c->facts.family)
		return true;
	if (c->facts.transport == TRANSPORT_UNIX)
		return unix_inode(sk) != c->inode;
	/* A closed socket that a process still holds has no port any more. */
	return state != TCP_CLOSE && (BPF_CORE_READ(sk, __sk_common.skc_num) != c->facts.local_port ||
				      BPF_CORE_READ(sk, __sk_common.skc_dport) != __builtin_bswap16(c->facts.remote_port));
}

/*
 * Run by user space, never attached: whether a connection is still there. Its end may have been missed, or the record
 * of it lost; and the end of Unix-domain streams is not seen.
 */
SEC("raw_tp")
int check_connection(struct check *check)
{
	u64 key = check->connection.key, evict = check->evict;
	struct unix_key end = {.sock = key, .inode = check->connection.inode};
	struct connection *c = connection_named(&check->connection);
	bool given_up;

	if (!c)
		return FOUND_NONE;
	if (is_dead((struct sock *)key, c)) {
		if (end.inode)
			bpf_map_delete_elem(&unix_connections, &end);
		else
			forget(key);
		return FOUND_DEAD;
	}
	given_up = c->facts.protocol == PROTOCOL_TLS || c->facts.protocol == PROTOCOL_UNKNOWN;
	if (end.inode || !evict || !given_up)
		return FOUND_ALIVE;
	send_end(key, c, RECORD_CLOSE, 0);
	forget(key);
	return FOUND_EVICTED;
}

#define CPUS_STEP 64 /* more at once take the verifier seconds */

struct loss loss_sum;

/* Run by user space, never attached: adds up what some CPUs, from ctx[1] on, lost of the cause ctx[0]. */
SEC("raw_tp")
int sum_losses(u64 *ctx)
{
	u32 cause = ctx[0], first = ctx[1];
	struct loss sum = {};

	if (cause >= LOSS_CAUSES + TABLES)
		return 1;
	for (u32 cpu = 0; cpu < CPUS_STEP; cpu++) {
		struct loss *loss = bpf_map_lookup_percpu_elem(&losses, &cause, first + cpu);

		if (!loss)
			break;
		sum.events += loss->events;
		sum.bytes += loss->bytes;
	}
	loss_sum = sum;
	return 0;
}
