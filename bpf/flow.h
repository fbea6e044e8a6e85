/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counters of TCP connections, as the kernel keeps them in struct tcp_sock: nothing is done per packet. They are told
 * when a connection ends, and of those that moved segments in a pass over the table of connections now and then. They
 * count from the connection's beginning, so that one that is lost is made up for by the next.
 */
#ifndef MILLRACE_FLOW_H
#define MILLRACE_FLOW_H

#include "connection.h"

/* Counters are told. Otherwise the verifier removes all that is below. */
const volatile bool flows = false;

enum flow_told { FLOW_TOLD = 1, FLOW_END_TOLD = 2 };

enum flow_flag {
	FLOW_FIRST = 1,	       /* nothing was told of this end before */
	FLOW_END = 2,	       /* nothing follows */
	FLOW_FIN_ACKED = 4,    /* bytes_acked has the FIN */
	FLOW_FIN_RECEIVED = 8, /* bytes_received has the FIN */
};

/* enum tcp_chrono in net/ipv4/tcp.h; a type's time is at chrono_stat[type - 1], without what is running. */
enum chrono { CHRONO_BUSY = 1, CHRONO_RECEIVER_LIMITED, CHRONO_SENDER_LIMITED };

struct flow_counters {
	u64 bytes_sent; /* with retransmissions */
	u64 bytes_retransmitted;
	u64 bytes_acked;
	u64 bytes_received;
	u32 segments_out;
	u32 segments_in;
	u32 data_segments_out;
	u32 data_segments_in;
	u32 retransmits;
	u32 srtt_us;
	u32 rtt_min_us;
	u32 out_of_order;
	u32 dsack_dups;
	u32 reordered;
	u32 lost;
	u32 delivered_ce;
	u32 limited[3]; /* jiffies, by enum chrono */
	u32 jiffies;	/* now */
	u16 header;	/* bytes of a TCP header without SACK */
	u8 state;
	u8 flags;
	u32 error;
};

struct flow_record {
	struct record head;
	struct connection_facts facts;
	struct flow_counters counters;
};

/* A member of a tcp_sock that the verifier does not trust. */
#define TCP_READ(tcp, member) (fast_reads ? FAST(tcp_sock, tcp)->member : BPF_CORE_READ(tcp, member))

static __always_inline u32 segments_of(struct sock *sk)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;

	return TCP_READ(tcp, segs_out) + TCP_READ(tcp, segs_in);
}

static __always_inline void read_counters(struct sock *sk, struct flow_counters *c, u32 state)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	u32 running, now = bpf_jiffies64();
	u8 type;

	c->bytes_sent = TCP_READ(tcp, bytes_sent);
	c->bytes_retransmitted = TCP_READ(tcp, bytes_retrans);
	c->bytes_acked = TCP_READ(tcp, bytes_acked);
	c->bytes_received = TCP_READ(tcp, bytes_received);
	c->segments_out = TCP_READ(tcp, segs_out);
	c->segments_in = TCP_READ(tcp, segs_in);
	c->data_segments_out = TCP_READ(tcp, data_segs_out);
	c->data_segments_in = TCP_READ(tcp, data_segs_in);
	c->retransmits = TCP_READ(tcp, total_retrans);
	c->srtt_us = TCP_READ(tcp, srtt_us) >> 3;
	c->rtt_min_us = TCP_READ(tcp, rtt_min.s[0].v);
	c->out_of_order = TCP_READ(tcp, rcv_ooopack);
	c->dsack_dups = TCP_READ(tcp, dsack_dups);
	c->reordered = TCP_READ(tcp, reord_seen);
	c->lost = TCP_READ(tcp, lost);
	c->delivered_ce = TCP_READ(tcp, delivered_ce);
	c->limited[0] = TCP_READ(tcp, chrono_stat[0]);
	c->limited[1] = TCP_READ(tcp, chrono_stat[1]);
	c->limited[2] = TCP_READ(tcp, chrono_stat[2]);
	type = BPF_CORE_READ_BITFIELD_PROBED(tcp, chrono_type);
	running = now - TCP_READ(tcp, chrono_start);
	if (type == CHRONO_BUSY)
		c->limited[0] += running;
	else if (type == CHRONO_RECEIVER_LIMITED)
		c->limited[1] += running;
	else if (type == CHRONO_SENDER_LIMITED)
		c->limited[2] += running;
	c->jiffies = now;
	c->header = TCP_READ(tcp, tcp_header_len);
	c->state = state;
	if (STATE_BIT(state & 15) & FIN_QUEUED && TCP_READ(tcp, snd_una) == TCP_READ(tcp, write_seq))
		c->flags |= FLOW_FIN_ACKED;
	if (BPF_CORE_READ(sk, __sk_common.skc_flags) & SOCK_DONE_BIT)
		c->flags |= FLOW_FIN_RECEIVED;
	c->error = BPF_CORE_READ(sk, sk_err);
}

/* Sends the counters of an end, without waking the reader. Not 0 if there was no room, which is counted. */
static __always_inline long tell_flow(struct sock *sk, struct connection_facts *facts, u32 state, u8 flags)
{
	struct flow_record *r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);

	if (!r) {
		count_loss(LOSS_FLOW, 0);
		return -1;
	}
	__builtin_memset(r, 0, sizeof(*r));
	r->head.kind = RECORD_FLOW;
	r->head.pid = facts->owner;
	r->head.time = bpf_ktime_get_ns();
	r->head.socket = facts->id;
	r->head.key = (u64)sk;
	r->facts = *facts;
	r->counters.flags = flags;
	read_counters(sk, &r->counters, state);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Whether an end is Millrace's own or its other end is. */
static __always_inline bool is_own(u64 flow, u8 flags)
{
	u64 pair = unordered(flow);

	return flags & CONNECTION_IGNORED || bpf_map_lookup_elem(&ignored_flows, &pair);
}

/* The counters of a connection that moved no data for a process: health checks of a port, and what the kernel itself
 * connects. */
static __always_inline void end_idle_flow(struct sock *sk, u32 state)
{
	struct connection_facts facts = {};
	struct candidate *known;
	u64 key = (u64)sk;

	known = bpf_map_lookup_elem(&candidates, &key);
	if (!known || !known->id || known->flow_told || is_own(known->send_flow, known->flags))
		return;
	known->flow_told = FLOW_TOLD | FLOW_END_TOLD;
	read_addresses(sk, &facts);
	facts.id = known->id;
	facts.send_flow = known->send_flow;
	facts.opened = known->opened;
	facts.connecting = known->connecting;
	facts.role = known->role;
	facts.owner = known->pid;
	tell_flow(sk, &facts, state, FLOW_FIRST | FLOW_END);
}

/* A sock is about to be closed, from `state`. It may be told twice, see preemption_of(). */
static __always_inline void end_flow(struct sock *sk, u32 state)
{
	struct connection *c;
	u64 key = (u64)sk;
	u8 flags = FLOW_END;

	if (!flows)
		return;
	c = bpf_map_lookup_elem(&connections, &key);
	if (!c) {
		end_idle_flow(sk, state);
		return;
	}
	if (c->flow_told & FLOW_END_TOLD || is_own(c->facts.send_flow, c->flags))
		return;
	if (!(c->flow_told & FLOW_TOLD))
		flags |= FLOW_FIRST;
	c->flow_told |= FLOW_TOLD | FLOW_END_TOLD;
	tell_flow(sk, &c->facts, state, flags);
}

/* Tells the counters of a connection that moved segments since they were told. */
static __always_inline long sample_flow(u64 key, struct connection *c)
{
	u32 segments, state;
	struct sock *sk = (struct sock *)key;
	u8 flags = 0;

	if (c->flow_told & FLOW_END_TOLD || c->facts.transport != TRANSPORT_TCP)
		return 0;
	segments = segments_of(sk);
	if (c->flow_told && segments == c->flow_segments)
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	/* The entry goes when the kernel destroys the sock, and another may have its memory by now. A closed one has no
	 * port, and its counters were told when it was closed. */
	if (state == TCP_CLOSE || !BPF_CORE_READ(sk, __sk_common.skc_refcnt.refs.counter) ||
	    BPF_CORE_READ(sk, __sk_common.skc_num) != c->facts.local_port ||
	    BPF_CORE_READ(sk, __sk_common.skc_dport) != __builtin_bswap16(c->facts.remote_port))
		return 0;
	if (is_own(c->facts.send_flow, c->flags))
		return 0;
	if (!c->flow_told)
		flags = FLOW_FIRST;
	if (tell_flow(sk, &c->facts, state, flags))
		return 0;
	c->flow_told |= FLOW_TOLD;
	c->flow_segments = segments;
	return 0;
}

static long sample_entry(void *map, u64 *key, struct connection *c, void *ctx)
{
	return sample_flow(*key, c);
}

/* Run by user space now and then, never attached: a pass over the table of connections. Kernels before 5.13 cannot. */
SEC("raw_tp")
int sample_table(void *ctx)
{
	if (flows)
		bpf_for_each_map_elem(&connections, sample_entry, NULL, 0);
	return 0;
}

/* The same for those, as an iterator that user space reads. */
SEC("iter/bpf_map_elem")
int sample_flows(struct bpf_iter__bpf_map_elem *ctx)
{
	struct connection *c = ctx->value;
	u64 *key = ctx->key;

	return flows && key && c ? sample_flow(*key, c) : 0;
}

#endif
