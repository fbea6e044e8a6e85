/* SPDX-License-Identifier: GPL-2.0 */
/* Data records: what is told of a transfer. */
#ifndef MILLRACE_TELL_H
#define MILLRACE_TELL_H

#include "arrival.h"
#include "payload.h"
#include "unix.h"

/* `length` bytes of the event from `offset` on. */
static __always_inline void fill_record(struct record *r, struct work *w, struct connection *c, u64 offset, u32 length, u16 flags)
{
	struct tcp_sock *tcp = (struct tcp_sock *)w->key;

	r->kind = w->side == SIDE_SEND ? RECORD_SEND : RECORD_RECEIVE;
	r->flags = flags;
	r->pid = w->pid;
	r->thread = w->thread;
	r->payload = w->filled;
	r->length = length;
	r->error = 0;
	r->time = w->time;
	fill_waits(r, w, offset, length);
	r->socket = c->facts.id;
	r->key = w->key;
	r->offset = offset;
	r->goroutine = w->goroutine;
	r->parent_goroutine = w->parent_goroutine;
	if (c->facts.transport == TRANSPORT_TCP && fast_reads) {
		r->srtt_us = FAST(tcp_sock, tcp)->srtt_us >> 3;
		r->retransmits = FAST(tcp_sock, tcp)->total_retrans;
	} else if (c->facts.transport == TRANSPORT_TCP) {
		r->srtt_us = BPF_CORE_READ(tcp, srtt_us) >> 3;
		r->retransmits = BPF_CORE_READ(tcp, total_retrans);
	} else {
		r->inode = w->inode;
		r->retransmits = 0;
	}
}

/* To be bounded where it is used: verifiers before 5.15 forget the bound of what was on the stack since. */
static __always_inline u64 payload_size(struct work *w)
{
	u64 size = w->filled;

	asm volatile("" : "+r"(size));
	return size;
}

/* Sends a record of `length` bytes from `offset` on, and what is in the payload of them. */
static __always_inline void tell(struct scratch *s, struct work *w, struct connection *c, u64 offset, u32 length, u16 flags)
{
	u64 size;
	long failed;

	if (w->unreadable) {
		count_loss(LOSS_PAYLOAD_UNREADABLE, length - w->filled);
		flags |= FLAG_UNREADABLE;
	}
	if (w->filled < length)
		flags |= FLAG_CUT;
	if (c->flags & CONNECTION_LOST)
		flags |= FLAG_LOST_BEFORE;
	if (w->filled && w->filled < length && w->segments) {
		fill_record(&s->cut.head, w, c, offset, length, flags);
		s->cut.head.segments = w->segments;
		size = payload_size(w);
		if (size > PAYLOAD_MAX + CHUNK_MAX)
			return;
		failed = send_record(&s->cut, sizeof(s->cut) + size, w->filled);
	} else {
		fill_record(&s->whole.head, w, c, offset, length, flags);
		s->whole.head.segments = 0;
		size = payload_size(w);
		if (size > PAYLOAD_MAX + CHUNK_MAX)
			return;
		failed = send_record(&s->whole.head, sizeof(s->whole.head) + size, w->filled);
	}
	if (failed)
		c->flags |= CONNECTION_LOST;
	else
		c->flags &= ~CONNECTION_LOST;
}

/* The connection of the transfer. */
static __always_inline struct connection *connection_at(struct work *w)
{
	return w->inode ? unix_entry(w->key, w->inode) : bpf_map_lookup_elem(&connections, &w->key);
}

#endif
