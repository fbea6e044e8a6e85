/* SPDX-License-Identifier: GPL-2.0 */
/* The life of connections and of tasks. */
#ifndef MILLRACE_LIFECYCLE_H
#define MILLRACE_LIFECYCLE_H

#include "connection.h"
#include "goroutine.h"

/*
 * Programs whose name ends in _perf do the same as those without it, from perf's side of the tracepoint; see
 * preemption_of().
 */

static __always_inline u32 own_flags(void)
{
	struct policy *policy = policy_of(bpf_get_current_pid_tgid() >> 32);

	return policy ? policy->flags & POLICY_IGNORE_PEERS : 0;
}

static __always_inline void remember_ignored(u64 flow)
{
	u64 pair = unordered(flow);
	u8 one = 1;

	bpf_map_update_elem(&ignored_flows, &pair, &one, BPF_ANY);
}

/*
 * Set by user space once system calls are looked at. A connection that is made before may move bytes that nobody sees:
 * it is one of those that were there at the start.
 */
u32 calls_seen = 0;

/* When the sockets that are connecting began to, until they are connected. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, u64);
} connecting SEC(".maps");

/* The caller holds the socket's lock, or nobody else has the socket yet. */
static __always_inline void established(struct sock *sk, int old_state)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	struct connection connection = {}, *known;
	struct listener listener = {};
	u64 key = (u64)sk, now = bpf_ktime_get_ns(), *began;
	bool whole = calls_seen;
	u8 *own;

	if (old_state == TCP_SYN_SENT) {
		began = bpf_map_lookup_elem(&connecting, &key);
		if (began) {
			connection.facts.connecting = *began;
			bpf_map_delete_elem(&connecting, &key);
		}
	}
	read_addresses(sk, &connection.facts);
	connection.facts.id = new_identity(now);
	connection.facts.opened = whole ? now : 0;
	connection.facts.role = old_state == TCP_SYN_SENT ? ROLE_CLIENT : ROLE_SERVER;
	connection.facts.send_flow =
		(u64)(BPF_CORE_READ(tcp, snd_nxt) - (u32)(BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans)))
			<< 32 |
		(u32)(BPF_CORE_READ(tcp, rcv_nxt) - (u32)BPF_CORE_READ(tcp, bytes_received));
	connection.sides[SIDE_SEND].started = connection.sides[SIDE_RECEIVE].started = whole;
	known = bpf_map_lookup_elem(&connections, &key);
	if (known && (known->facts.opened || !whole) && known->facts.send_flow == connection.facts.send_flow)
		return; /* told twice, see preemption_of() */
	if (known)
		connection.flags = known->flags & CONNECTION_IGNORED;
	listener.netns = connection.facts.netns;
	listener.port = connection.facts.local_port;
	own = bpf_map_lookup_elem(&listeners, &listener);
	if (own && *own && connection.facts.role == ROLE_SERVER)
		connection.flags = CONNECTION_IGNORED;
	if (connection.flags & CONNECTION_IGNORED)
		remember_ignored(connection.facts.send_flow);
	if (bpf_map_update_elem(&connections, &key, &connection, BPF_ANY))
		count_loss(LOSS_TABLE_FULL, 0);
}

/* A socket whose bytes were all read ends now; one with bytes left ends when it is destroyed. */
static __always_inline void closed(struct sock *sk, int old_state)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	u64 key = (u64)sk;
	struct connection *connection = bpf_map_lookup_elem(&connections, &key);
	u32 left;

	if (!connection)
		return;
	connection->error = BPF_CORE_READ(sk, sk_err);
	/* An orderly end passes through other states; these two only jump to CLOSE when a reset is sent or received. */
	if (connection->error || old_state == TCP_ESTABLISHED || old_state == TCP_CLOSE_WAIT)
		connection->flags |= CONNECTION_ABORTED;
	left = BPF_CORE_READ(tcp, rcv_nxt) - BPF_CORE_READ(tcp, copied_seq);
	if (BPF_CORE_READ(sk, __sk_common.skc_flags) & SOCK_DONE_BIT && left)
		left--;
	if (!left)
		send_end(key, connection, connection->flags & CONNECTION_ABORTED ? RECORD_RESET : RECORD_CLOSE, connection->error);
}

static __always_inline int change_state(struct sock *sk, int old_state, int new_state)
{
	struct listener listener = {};
	struct connection own = {};
	u64 key = (u64)sk, now;
	u8 value;

	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	switch (new_state) {
	case TCP_SYN_SENT: /* the connecting process is current */
		if (own_flags()) {
			own.flags = CONNECTION_IGNORED;
			bpf_map_update_elem(&connections, &key, &own, BPF_ANY);
			break;
		}
		now = bpf_ktime_get_ns();
		bpf_map_update_elem(&connecting, &key, &now, BPF_NOEXIST);
		break;
	case TCP_ESTABLISHED:
		if (old_state == TCP_SYN_SENT || old_state == TCP_SYN_RECV)
			established(sk, old_state);
		break;
	case TCP_LISTEN:
		value = own_flags() != 0;
		listener.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
		listener.port = BPF_CORE_READ(sk, __sk_common.skc_num);
		bpf_map_update_elem(&listeners, &listener, &value, BPF_ANY);
		break;
	case TCP_CLOSE:
		if (old_state == TCP_SYN_SENT)
			bpf_map_delete_elem(&connecting, &key);
		closed(sk, old_state);
		break;
	}
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(socket_state, struct sock *sk, int old_state, int new_state)
{
	return change_state(sk, old_state, new_state);
}

SEC("tracepoint/sock/inet_sock_set_state")
int socket_state_perf(struct trace_event_raw_inet_sock_set_state *ctx)
{
	return change_state((struct sock *)ctx->skaddr, ctx->oldstate, ctx->newstate);
}

static __always_inline int destroy(struct sock *sk)
{
	u64 key = (u64)sk;
	struct connection *connection = bpf_map_lookup_elem(&connections, &key);

	if (!connection)
		return 0;
	send_end(key, connection, connection->flags & CONNECTION_ABORTED ? RECORD_RESET : RECORD_CLOSE, connection->error);
	bpf_map_delete_elem(&connections, &key);
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(socket_destroyed, struct sock *sk)
{
	return destroy(sk);
}

SEC("tracepoint/tcp/tcp_destroy_sock")
int socket_destroyed_perf(struct trace_event_raw_tcp_event_sk *ctx)
{
	return destroy((struct sock *)ctx->skaddr);
}

/* Run once, after socket_state is attached: the connections and listeners that were there before. */
SEC("iter/tcp")
int existing_sockets(struct bpf_iter__tcp *ctx)
{
	struct sock *sk = (struct sock *)ctx->sk_common;
	struct connection connection = {};
	struct listener listener = {};
	u64 key = (u64)sk;
	u8 value = 0;
	u32 state;

	if (!sk)
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state == TCP_LISTEN) {
		listener.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
		listener.port = BPF_CORE_READ(sk, __sk_common.skc_num);
		bpf_map_update_elem(&listeners, &listener, &value, BPF_NOEXIST);
		return 0;
	}
	/* Not those that are still being made, nor time-wait and request socks, which are no full socks. */
	if (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT && state != TCP_FIN_WAIT1 && state != TCP_FIN_WAIT2)
		return 0;
	read_addresses(sk, &connection.facts);
	if (!derive_identity(sk, &connection, false))
		return 0; /* tried again when it moves data */
	connection.facts.id = new_identity(bpf_ktime_get_ns());
	if (bpf_map_update_elem(&connections, &key, &connection, BPF_NOEXIST) == -7 /* E2BIG */)
		count_loss(LOSS_TABLE_FULL, 0);
	return 0;
}

static __always_inline int fork_task(u32 parent_pid, u32 parent_thread, u32 pid, u32 thread)
{
	struct policy *policy = policy_of(parent_pid);
	struct record record = {};
	struct policy copy;

	if (policy && pid != parent_pid) {
		copy = *policy;
		if (bpf_map_update_elem(&policies, &pid, &copy, BPF_ANY))
			count_loss(LOSS_TABLE_FULL, 0);
	}
	if (policy && policy->flags & POLICY_IGNORE)
		return 0;
	record.kind = pid == parent_pid ? RECORD_TASK_START : RECORD_PROCESS_FORK;
	record.pid = pid;
	record.thread = thread;
	record.parent_thread = parent_thread;
	if (pid != parent_pid) {
		record.parent_pid = parent_pid;
		record.parent_goroutine = forking_goroutine(policy);
	}
	record.time = bpf_ktime_get_ns();
	send_record(&record, sizeof(record), 0);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(task_forked, struct task_struct *parent, struct task_struct *child)
{
	return fork_task(parent->tgid, parent->pid, child->tgid, child->pid);
}

#define CLONE_THREAD 0x10000

/* Runs in the parent, before sched_process_fork, which does not pass the thread group there. */
SEC("tracepoint/task/task_newtask")
int task_forked_perf(struct trace_event_raw_task_newtask *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 thread = ctx->pid;

	return fork_task(id >> 32, (u32)id, ctx->clone_flags & CLONE_THREAD ? id >> 32 : thread, thread);
}

static __always_inline int exec(void)
{
	u64 id = bpf_get_current_pid_tgid();
	struct policy *policy = policy_of(id >> 32);
	struct record record = {};

	if (policy) {
		policy->goid_offset = policy->parent_goid_offset = 0; /* of the program before */
		if (policy->flags & POLICY_IGNORE_PEERS)
			return 0;
	}
	/* Also of ignored processes: the new program may be one to capture. */
	record.kind = RECORD_PROCESS_EXEC;
	record.pid = id >> 32;
	record.thread = (u32)id;
	record.time = bpf_ktime_get_ns();
	/* What /proc says of the program is there for as long as it runs, which may be a few ms. An exec costs far more
	 * than the wake-up. */
	send_record_with(&record, sizeof(record), 0, BPF_RB_FORCE_WAKEUP);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int process_execed(void *ctx)
{
	return exec();
}

SEC("tracepoint/sched/sched_process_exec")
int process_execed_perf(void *ctx)
{
	return exec();
}

static __always_inline int exit_task(struct task_struct *task)
{
	u32 pid = task->tgid;
	struct policy *policy = policy_of(pid);
	bool ignored = policy && policy->flags & POLICY_IGNORE;
	bool last = BPF_CORE_READ(task, signal, live.counter) == 0;
	struct record record = {};

	if (policy && last)
		bpf_map_delete_elem(&policies, &pid);
	if (ignored && !last)
		return 0;
	record.kind = last ? RECORD_PROCESS_EXIT : RECORD_TASK_END;
	record.pid = pid;
	record.thread = task->pid;
	record.time = bpf_ktime_get_ns();
	send_record(&record, sizeof(record), 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(task_exited, struct task_struct *task)
{
	return exit_task(task);
}

SEC("tracepoint/sched/sched_process_exit")
int task_exited_perf(void *ctx)
{
	return exit_task(bpf_get_current_task_btf());
}

#endif
