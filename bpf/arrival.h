/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How long bytes waited on this host: when what is received had come to the socket, and what of what is sent the socket
 * still holds back. Times are taken where the kernel looks at a segment of an established connection
 * (trace_tcp_probe in tcp_rcv_established), and given to whoever reads the bytes, found by their sequence numbers.
 * What is told is right or left out: a segment that is missed here makes the numbers differ.
 */
#ifndef MILLRACE_ARRIVAL_H
#define MILLRACE_ARRIVAL_H

#include "connection.h"
#include "payload.h"

/* Set by user space once segments are looked at. */
u32 arrivals_seen = 0;

/* Values of arrival.last that are no times. */
enum arrival_time {
	ARRIVAL_NEVER,	 /* and `until` is not known */
	ARRIVAL_UNKNOWN, /* bytes before `until` are missing */
};

#define TCP_FLAG_FIN 1

/* Stores and loads that the compiler leaves in their order: readers are on other processors. */
#define WRITE(place, value) (*(volatile typeof(place) *)&(place) = (value))
#define READ(place) (*(volatile typeof(place) *)&(place))

static __always_inline struct arrival *arrival_of(u64 key)
{
	struct connection *c = bpf_map_lookup_elem(&connections, &key);
	struct candidate *candidate;

	if (c)
		return &c->arrival;
	candidate = bpf_map_lookup_elem(&candidates, &key);
	if (!candidate)
		return NULL;
	asm volatile("" : "+r"(candidate)); /* else the place is computed before it is known that there is one */
	return &candidate->arrival;
}

/* Sequence numbers of a segment's payload. */
struct extent {
	u32 seq;
	u32 end;
};

/* False if there is no payload. The sequence numbers count a FIN. */
static __always_inline bool read_extent(struct sk_buff *skb, struct extent *e)
{
	struct tcp_skb_cb *cb = (struct tcp_skb_cb *)&skb->cb;

	if (fast_reads) {
		cb = FAST(tcp_skb_cb, cb);
		e->seq = cb->seq;
		e->end = cb->end_seq;
		if (e->seq == e->end)
			return false;
		e->end -= cb->tcp_flags & TCP_FLAG_FIN;
	} else {
		e->seq = BPF_CORE_READ(cb, seq);
		e->end = BPF_CORE_READ(cb, end_seq);
		if (e->seq == e->end)
			return false;
		e->end -= BPF_CORE_READ(cb, tcp_flags) & TCP_FLAG_FIN;
	}
	return e->seq != e->end;
}

static __always_inline bool out_of_order_queued(struct tcp_sock *tcp)
{
	return fast_reads ? FAST(tcp_sock, tcp)->out_of_order_queue.rb_node : BPF_CORE_READ(tcp, out_of_order_queue.rb_node);
}

/*
 * A segment has come to an established connection and is not processed yet. The caller holds the socket's lock. While a
 * thread has the socket, segments wait in its backlog, so the time can be late by as long as that call takes, never
 * early.
 */
static __always_inline int segment(struct sock *sk, struct sk_buff *skb)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	struct extent e;
	struct arrival *a;
	u32 next, copied;
	u64 now;

	if (!read_extent(skb, &e))
		return 0;
	a = arrival_of((u64)sk);
	if (!a)
		return 0;
	if (fast_reads) {
		next = FAST(tcp_sock, tcp)->rcv_nxt;
		copied = FAST(tcp_sock, tcp)->copied_seq;
	} else {
		next = BPF_CORE_READ(tcp, rcv_nxt);
		copied = BPF_CORE_READ(tcp, copied_seq);
	}
	if ((s32)(e.end - next) <= 0)
		return 0; /* it came before */
	if ((s32)(e.seq - next) > 0) {
		/* Out of order: it can be read when what is missing has come. */
		if (a->last == ARRIVAL_NEVER || (s32)(e.end - a->until) > 0)
			WRITE(a->until, e.end);
		WRITE(a->last, ARRIVAL_UNKNOWN);
		return 0;
	}
	now = bpf_ktime_get_ns();
	if (copied == next) {
		WRITE(a->from, next);
		WRITE(a->first, now);
	} else if ((s32)(e.end - a->from) < 0) {
		WRITE(a->first, 0); /* before the numbers come again */
	}
	/* A segment that was dropped after all, or was not of this window, must not count for ever. */
	if (a->last == ARRIVAL_NEVER || (s32)(e.end - a->until) > 0 || !out_of_order_queued(tcp))
		WRITE(a->until, e.end);
	WRITE(a->last, now);
	return 0;
}

SEC("tp_btf/tcp_probe")
int BPF_PROG(segment_arrived, struct sock *sk, struct sk_buff *skb)
{
	return segment(sk, skb);
}

SEC("tracepoint/tcp/tcp_probe")
int segment_arrived_perf(struct trace_event_raw_tcp_probe *ctx)
{
	return segment((struct sock *)ctx->skaddr, (struct sk_buff *)ctx->skbaddr);
}

/* The end that accepts is established now. Payload of the segment that does it is not seen by segment(). */
static __always_inline void begin_arrivals(struct sock *sk, struct arrival *a, u64 now)
{
	a->last = now;
	a->until = BPF_CORE_READ((struct tcp_sock *)sk, rcv_nxt);
}

/*
 * Whether all that this end got was the segment that made the connection. The SYN before it counts in segs_in
 * (tcp_create_openreq_child).
 */
static __always_inline bool opened_with_payload(struct tcp_sock *tcp)
{
	return BPF_CORE_READ(tcp, segs_in) == 2 && BPF_CORE_READ(tcp, data_segs_in) == 1;
}

/* When the bytes of a receive had come. The times are read before the numbers that they belong to. */
static __always_inline void read_arrival(struct work *w, struct connection *c)
{
	struct arrival *a = &c->arrival;
	u64 last = READ(a->last), first;
	u32 until = READ(a->until), from = (u32)c->facts.send_flow + (u32)w->offset;

	if (last <= ARRIVAL_UNKNOWN)
		return;
	if (until == from + (u32)w->count) {
		w->arrived = last;
	} else if (!w->offset && until == from && opened_with_payload((struct tcp_sock *)w->key)) {
		w->arrived = w->first_arrived = last;
		return;
	}
	first = READ(a->first);
	if (READ(a->from) == from)
		w->first_arrived = first;
	/* Of what came behind these bytes meanwhile, on another processor. */
	if (w->arrived > w->time)
		w->arrived = 0;
	if (w->first_arrived > w->time)
		w->first_arrived = 0;
}

/* How long the bytes of an event waited, or wait. Its offset is known. */
static __always_inline void read_waits(struct work *w, struct connection *c)
{
	struct tcp_sock *tcp = (struct tcp_sock *)w->key;
	u32 unsent;

	w->arrived = w->first_arrived = w->unsent = 0;
	if (c->facts.transport != TRANSPORT_TCP || w->flags & FLAG_CONCURRENT || !w->count)
		return;
	if (w->side == SIDE_RECEIVE) {
		read_arrival(w, c);
		return;
	}
	if (w->after) /* what the same call wrote behind it is not sent either */
		return;
	if (fast_reads)
		unsent = FAST(tcp_sock, tcp)->write_seq - FAST(tcp_sock, tcp)->snd_nxt;
	else
		unsent = BPF_CORE_READ(tcp, write_seq) - BPF_CORE_READ(tcp, snd_nxt);
	if ((s32)unsent > 0)
		w->unsent = unsent;
}

/* Says so in the record of `length` bytes of the event, from `offset` on. */
static __always_inline void fill_waits(struct record *r, struct work *w, u64 offset, u32 length)
{
	bool ends = offset + length == w->offset + w->count;

	if (w->side == SIDE_SEND) {
		r->duration = w->duration;
		r->unsent = ends ? w->unsent : 0;
		return;
	}
	r->arrived = ends ? w->arrived : 0;
	r->first_arrived = offset == w->offset ? w->first_arrived : 0;
}

#endif
