/* SPDX-License-Identifier: GPL-2.0 */
/* The life of connections and of tasks. */
#ifndef MILLRACE_LIFECYCLE_H
#define MILLRACE_LIFECYCLE_H

#include "arrival.h"
#include "connection.h"
#include "flow.h"
#include "goroutine.h"

/*
 * Programs whose name ends in _perf do the same as those without it, from perf's side of the tracepoint; see
 * preemption_of().
 */

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

/* The sock at an address is a new one; the end of the connection that was there was missed. */
static __always_inline void replace(u64 key, struct connection *stale)
{
	send_end(key, stale, RECORD_CLOSE, 0);
	forget(key);
}

/* The current process begins to connect. */
static __always_inline void connecting(struct sock *sk)
{
	struct policy *policy = policy_of(bpf_get_current_pid_tgid() >> 32);
	struct candidate candidate = {};
	struct connection *stale;
	u64 key = (u64)sk;

	stale = bpf_map_lookup_elem(&connections, &key);
	if (stale)
		replace(key, stale);
	if (policy && policy->flags & POLICY_IGNORE_PEERS) {
		candidate.flags = CONNECTION_IGNORED;
	} else if (!may_be_selected(policy, __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport)))) {
		bpf_map_delete_elem(&candidates, &key);
		return;
	}
	candidate.connecting = bpf_ktime_get_ns();
	candidate.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_map_update_elem(&candidates, &key, &candidate, BPF_ANY);
}

/* The caller holds the socket's lock, or nobody else has the socket yet. Which process will have an accepted one is not
 * known: the one that listens stands for it. */
static __always_inline void established(struct sock *sk, int old_state)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	struct candidate candidate = {}, *known;
	u64 key = (u64)sk, now = bpf_ktime_get_ns();
	struct listener_state *state;
	struct listener listener = {};
	struct connection *stale;

	candidate.send_flow =
		(u64)(BPF_CORE_READ(tcp, snd_nxt) - (u32)(BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans)))
			<< 32 |
		(u32)(BPF_CORE_READ(tcp, rcv_nxt) - (u32)BPF_CORE_READ(tcp, bytes_received));
	stale = bpf_map_lookup_elem(&connections, &key);
	if (stale) {
		if (stale->facts.send_flow == candidate.send_flow)
			return; /* told twice, see preemption_of() */
		replace(key, stale);
	}
	known = bpf_map_lookup_elem(&candidates, &key);
	if (known && known->send_flow == candidate.send_flow)
		return; /* told twice */
	if (old_state == TCP_SYN_SENT) {
		if (!known)
			return; /* its process is ignored, or it had to make room */
		candidate.connecting = known->connecting;
		candidate.flags = known->flags;
		candidate.pid = known->pid;
	} else {
		listener.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
		listener.port = BPF_CORE_READ(sk, __sk_common.skc_num);
		state = bpf_map_lookup_elem(&listeners, &listener);
		if (state)
			candidate.pid = state->pid;
		if (state && state->own) {
			candidate.flags = CONNECTION_IGNORED;
		} else if (state && !may_be_selected(policy_of(state->pid), listener.port)) {
			if (known)
				bpf_map_delete_elem(&candidates, &key);
			return;
		}
	}
	candidate.id = new_identity(now);
	candidate.whole = calls_seen;
	candidate.opened = candidate.whole ? now : 0;
	candidate.role = old_state == TCP_SYN_SENT ? ROLE_CLIENT : ROLE_SERVER;
	if (candidate.whole && arrivals_seen && old_state == TCP_SYN_RECV)
		begin_arrivals(sk, &candidate.arrival, now);
	if (candidate.flags & CONNECTION_IGNORED)
		remember_ignored(candidate.send_flow);
	bpf_map_update_elem(&candidates, &key, &candidate, BPF_ANY);
}

static __always_inline void stop_listening(u64 key)
{
	struct listening *socket = bpf_map_lookup_elem(&listening, &key);
	struct listener_state *state;
	struct listener listener = {};

	if (!socket)
		return;
	listener.netns = socket->netns;
	listener.port = socket->port;
	state = bpf_map_lookup_elem(&listeners, &listener);
	if (state && state->sockets > 1)
		__sync_fetch_and_add(&state->sockets, -1);
	else
		bpf_map_delete_elem(&listeners, &listener);
	bpf_map_delete_elem(&listening, &key);
	__sync_fetch_and_add(&listening_changes, 1);
}

/* pid is the thread group that listens, 0 if it did before capture. */
static __always_inline void start_listening(struct sock *sk, u32 pid, bool own)
{
	struct listener_state fresh = {.sockets = 1, .pid = pid, .own = own}, *state;
	struct listening socket = {.pid = pid}, *known;
	struct listener listener = {};
	u64 key = (u64)sk;

	listener.netns = socket.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	listener.port = socket.port = BPF_CORE_READ(sk, __sk_common.skc_num);
	socket.inode = socket_inode(sk);
	known = bpf_map_lookup_elem(&listening, &key);
	if (known && known->inode == socket.inode && known->netns == socket.netns && known->port == socket.port)
		return; /* told twice, or found by the iterator too */
	if (known)
		stop_listening(key);
	if (bpf_map_update_elem(&listening, &key, &socket, BPF_ANY)) {
		count_full(TABLE_LISTENERS, 0);
		return; /* nothing would count the port down */
	}
	state = bpf_map_lookup_elem(&listeners, &listener);
	if (state) {
		__sync_fetch_and_add(&state->sockets, 1);
		state->own |= own;
		state->pid = pid ?: state->pid;
	} else if (bpf_map_update_elem(&listeners, &listener, &fresh, BPF_ANY)) {
		count_full(TABLE_LISTENERS, 0);
	}
	__sync_fetch_and_add(&listening_changes, 1);
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
	struct policy *policy;
	u64 key = (u64)sk;
	u32 pid;

	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	switch (new_state) {
	case TCP_SYN_SENT: /* the connecting process is current */
		connecting(sk);
		break;
	case TCP_ESTABLISHED:
		if (old_state == TCP_SYN_SENT || old_state == TCP_SYN_RECV)
			established(sk, old_state);
		break;
	case TCP_LISTEN:
		pid = bpf_get_current_pid_tgid() >> 32;
		policy = policy_of(pid);
		start_listening(sk, pid, policy && policy->flags & POLICY_IGNORE_PEERS);
		break;
	case TCP_CLOSE:
		if (old_state == TCP_LISTEN)
			stop_listening(key);
		else if (old_state == TCP_SYN_SENT)
			bpf_map_delete_elem(&candidates, &key);
		else {
			end_flow(sk, old_state);
			closed(sk, old_state);
		}
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

	if (!connection) {
		bpf_map_delete_elem(&candidates, &key);
		return 0;
	}
	send_end(key, connection, connection->flags & CONNECTION_ABORTED ? RECORD_RESET : RECORD_CLOSE, connection->error);
	forget(key);
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
	struct connection_facts facts = {};
	struct candidate candidate = {};
	struct moved next;
	u64 key = (u64)sk;
	u32 state;

	if (!sk)
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state == TCP_LISTEN) {
		start_listening(sk, 0, false);
		return 0;
	}
	/* Not those that are still being made, nor time-wait and request socks, which are no full socks. */
	if (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT && state != TCP_FIN_WAIT1 && state != TCP_FIN_WAIT2)
		return 0;
	read_addresses(sk, &facts);
	if (!derive_identity(sk, &facts, &next, false))
		return 0; /* tried again when it moves data */
	candidate.id = new_identity(bpf_ktime_get_ns());
	candidate.send_flow = facts.send_flow;
	candidate.role = facts.role;
	bpf_map_update_elem(&candidates, &key, &candidate, BPF_NOEXIST);
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
			count_full(TABLE_POLICIES, 0);
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
		/* The new program may be one to capture: it is, until user space has decided about it. */
		policy->flags = 0;
	}
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
