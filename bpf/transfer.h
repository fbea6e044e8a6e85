/* SPDX-License-Identifier: GPL-2.0 */
/* From "so many bytes moved on this sock" to records: position, protocol, budget, payload. */
#ifndef MILLRACE_TRANSFER_H
#define MILLRACE_TRANSFER_H

#include "frames.h"
#include "framing.h"
#include "lifecycle.h"

/* Data events without a known token before a connection is given up. One that was joined may be in the middle of a
 * message. */
#define TRIES_FRESH 4
/* As many bytes as a match looks at. */
#define TOKEN_BYTES PEEK
#define TRIES_JOINED 16
/* A connection that was joined and given up is looked at again once in so many events. */
#define RETRY_EVENTS 16

/* Nothing had moved on the connection before these bytes. */
static __always_inline bool nothing_before(struct sock *sk, u64 flow, u64 bytes, u32 side)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	u32 sent = BPF_CORE_READ(tcp, write_seq) - (u32)(flow >> 32);
	u32 received = BPF_CORE_READ(tcp, copied_seq) - (u32)flow;

	return side == SIDE_SEND ? sent == bytes && !received : received == bytes && !sent;
}

/* What was known of a connection before it moved data. False: too little. */
static __always_inline bool take_candidate(struct sock *sk, struct connection *fresh, struct candidate *candidate)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	u64 acked;

	fresh->facts.connecting = candidate->connecting;
	fresh->flags = candidate->flags;
	if (!candidate->send_flow)
		return false;
	fresh->facts.id = candidate->id;
	fresh->facts.send_flow = candidate->send_flow;
	fresh->facts.opened = candidate->opened;
	fresh->facts.role = candidate->role;
	fresh->sides[SIDE_SEND].started = fresh->sides[SIDE_RECEIVE].started = candidate->whole;
	fresh->arrival = candidate->arrival;
	if (candidate->whole)
		return true;
	/* Near enough to place an event by the low half of its position. */
	acked = BPF_CORE_READ(tcp, bytes_acked);
	fresh->sides[SIDE_SEND].next = acked - (candidate->role == ROLE_CLIENT && acked);
	fresh->sides[SIDE_RECEIVE].next = BPF_CORE_READ(tcp, bytes_received);
	return true;
}

/*
 * A TCP connection that is not in the table: this is the first that it moved, or its process was ignored until now, or
 * it could not be entered when the agent started, or the table was full.
 */
static __noinline struct connection *late_connection(struct sock *sk, u64 bytes, u32 side)
{
	struct connection *fresh = new_draft();
	struct candidate *candidate;
	u64 key = (u64)sk;
	struct moved next;
	long failed;

	if (!fresh)
		return NULL;
	candidate = bpf_map_lookup_elem(&candidates, &key);
	if (!candidate || !take_candidate(sk, fresh, candidate)) {
		read_addresses(sk, &fresh->facts);
		if (!derive_identity(sk, &fresh->facts, &next, true)) {
			count_loss(LOSS_NO_OFFSET, bytes);
			return NULL;
		}
		fresh->sides[SIDE_SEND].next = next.sent;
		fresh->sides[SIDE_RECEIVE].next = next.received;
		fresh->facts.id = new_identity(bpf_ktime_get_ns());
		if (nothing_before(sk, fresh->facts.send_flow, bytes, side)) {
			fresh->facts.opened = bpf_ktime_get_ns();
			fresh->sides[SIDE_SEND].next = fresh->sides[SIDE_RECEIVE].next = 0;
			fresh->sides[SIDE_SEND].started = fresh->sides[SIDE_RECEIVE].started = 1;
		}
	} else {
		read_addresses(sk, &fresh->facts);
	}
	failed = bpf_map_update_elem(&connections, &key, fresh, BPF_NOEXIST);
	if (!failed) {
		__sync_fetch_and_add(&connection_count, 1);
		if (candidate)
			bpf_map_delete_elem(&candidates, &key);
	} else if (failed == -7 /* E2BIG */) {
		count_full(TABLE_CONNECTIONS, bytes);
		if (candidate) { /* should there be room later, it is one that was joined */
			candidate->whole = 0;
			candidate->opened = 0;
			candidate->flags |= CONNECTION_LOST;
		}
	}
	return bpf_map_lookup_elem(&connections, &key);
}

/*
 * Whether a process concerns us of which the ports of its connections decide: this one's do, or a process that does
 * concern us had to do with it.
 */
static __noinline bool concerns(struct sock *sk)
{
	u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	u64 key = (u64)sk;

	if (family == AF_UNIX)
		return is_entered(sk);
	if (family != AF_INET && family != AF_INET6)
		return false;
	if (in_rules(BPF_CORE_READ(sk, __sk_common.skc_num)) ||
	    in_rules(__builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport))))
		return true;
	if (bpf_map_lookup_elem(&connections, &key))
		return true;
	/* What moves now is not seen: it is no whole connection any more. */
	if (bpf_map_lookup_elem(&candidates, &key))
		bpf_map_delete_elem(&candidates, &key);
	return false;
}

/* A connection to or from the port of a rule selects its process at once: user space hears of it a moment later. */
static __always_inline void select_by_port(struct policy *policy, struct connection *c)
{
	if (!ports_decide || !policy || !(policy->flags & POLICY_CONDITIONAL) || c->facts.transport != TRANSPORT_TCP)
		return;
	if (in_rules(c->facts.role == ROLE_SERVER ? c->facts.local_port : c->facts.remote_port))
		policy->flags &= ~POLICY_CONDITIONAL;
}

static __always_inline struct connection *connection_of(struct sock *sk, u64 bytes, u32 side)
{
	u64 key = (u64)sk;
	struct connection *known = bpf_map_lookup_elem(&connections, &key);
	u16 family, protocol;

	if (known)
		return known;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family == AF_UNIX)
		return BPF_CORE_READ(sk, sk_type) == SOCK_STREAM ? unix_connection(sk, bytes) : NULL;
	if (family != AF_INET && family != AF_INET6)
		return NULL;
	protocol = BPF_CORE_READ(sk, sk_protocol);
	if (protocol == IPPROTO_TCP)
		return late_connection(sk, bytes, side);
	if (protocol == IPPROTO_MPTCP) /* bytes of several subflows: the sock has no positions of its own */
		count_loss(LOSS_NOT_OBSERVABLE, bytes);
	return NULL;
}

/* Sends the connection's facts. Not 0 if they were lost: then the event that needs them must not be sent either. */
static __always_inline long announce(struct scratch *s, struct work *w, struct connection *c)
{
	/* Behind what may have been read of the event. */
	struct connection_record *record = (void *)(s->payload + PAYLOAD_MAX);
	struct unix_address *address;
	int length;

	if (c->flags & CONNECTION_ANNOUNCED)
		return 0;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.kind = RECORD_OPEN;
	record->head.pid = w->pid;
	record->head.thread = w->thread;
	record->head.time = c->facts.opened ?: w->time;
	record->head.socket = c->facts.id;
	record->head.key = w->key;
	record->head.inode = w->inode;
	record->facts = c->facts;
	if (c->facts.transport == TRANSPORT_UNIX) {
		struct unix_sock *end = (struct unix_sock *)w->key, *peer = (struct unix_sock *)c->peer;

		address = BPF_CORE_READ(end, addr);
		if (!address)
			address = BPF_CORE_READ(peer, addr);
		length = (int)BPF_CORE_READ(address, len) - 2; /* sun_family */
		if (address && length > 0) {
			record->path_length = length > UNIX_PATH_MAX ? UNIX_PATH_MAX : length;
			bpf_probe_read_kernel(record->path, UNIX_PATH_MAX, &address->name[0].sun_path);
		}
	}
	if (send_record(record, sizeof(*record), w->count))
		return -1;
	c->flags |= CONNECTION_ANNOUNCED;
	return 0;
}

/* The end is Millrace's own, or the other end is. */
static __always_inline bool is_ignored(struct connection *c)
{
	u64 pair;

	if (c->flags & CONNECTION_IGNORED)
		return true;
	if (c->flags & CONNECTION_PEER_CHECKED)
		return false;
	c->flags |= CONNECTION_PEER_CHECKED;
	pair = unordered(c->facts.send_flow);
	if (!bpf_map_lookup_elem(&ignored_flows, &pair))
		return false;
	c->flags |= CONNECTION_IGNORED;
	return true;
}

/* A FIN takes a place in the sequence that no byte has. */
static __always_inline bool fin_counted(struct sock *sk, u32 side)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;

	if (side == SIDE_SEND)
		return STATE_BIT(BPF_CORE_READ(sk, __sk_common.skc_state) & 15) & FIN_QUEUED;
	return BPF_CORE_READ(sk, __sk_common.skc_flags) & SOCK_DONE_BIT &&
	       BPF_CORE_READ(tcp, copied_seq) == BPF_CORE_READ(tcp, rcv_nxt);
}

/* Offset of the first byte that moved, from where the socket is now. Sets FLAG_CONCURRENT if it does not follow the
 * last one. */
static __always_inline u64 position_of(struct work *w, struct connection *c, struct direction *d, u16 *flags)
{
	struct tcp_sock *tcp = (struct tcp_sock *)w->key;
	u64 offset, next = d->next;
	u32 low;

	if (c->facts.transport == TRANSPORT_UNIX) {
		d->next = next + w->count;
		return next;
	}
	if (w->side == SIDE_SEND)
		low = (fast_reads ? FAST(tcp_sock, tcp)->write_seq : BPF_CORE_READ(tcp, write_seq)) -
		      (u32)(c->facts.send_flow >> 32);
	else
		low = (fast_reads ? FAST(tcp_sock, tcp)->copied_seq : BPF_CORE_READ(tcp, copied_seq)) - (u32)c->facts.send_flow;
	low -= (u32)(w->after + w->count);
	offset = next + (s64)(s32)(low - (u32)next);
	if (w->in_order && d->started && (s64)(offset - next) > 0)
		offset = next;
	if ((!d->started || offset == next + 1) && fin_counted((struct sock *)w->key, w->side))
		offset--;
	if (d->started && offset != next)
		*flags |= FLAG_CONCURRENT;
	if (!d->started || (s64)(offset + w->count - next) > 0)
		d->next = offset + w->count;
	d->started = 1;
	return offset;
}

static __always_inline bool is_shipped(u8 protocol)
{
	return protocol != PROTOCOL_NONE && protocol != PROTOCOL_TLS && protocol != PROTOCOL_UNKNOWN;
}

/*
 * The connection leaves HTTP with this response: what follows is framed in another way, which user space finds out. The
 * bytes "HTTP/1.1 101" are those of an event of its own, or of one that begins with them.
 */
static __always_inline bool is_upgraded(struct scratch *s, struct work *w)
{
	return w->filled >= 12 && *(volatile u32 *)s->payload == FOUR('H', 'T', 'T', 'P') &&
	       *(volatile u32 *)(s->payload + 8) == FOUR(' ', '1', '0', '1');
}

/*
 * Whether the event's token may tell what a connection speaks that could be many things: the direction begins with it,
 * or with a preface before it, whose end is not known here. Bytes behind the first ones may be anything. A hello of TLS
 * has random ones: read one by one, about one of 100 hellos had some that looked like a frame of another protocol. An
 * event that begins with a record of what is not shipped tells that nothing more is to be.
 */
static __always_inline bool may_tell(struct work *w, struct direction *d, u8 token)
{
	return d->preface || d->next == w->joined || (!is_shipped(token) && !w->joined);
}

/*
 * Whether the event concerns us, going by the protocol. A small event is read on the way. Nothing is told of a
 * connection that was joined before a token shows what it carries: it may be in the middle of a TLS record, which must
 * not be shipped, and should it be given up and taken up again, the bytes in between would be taken for lost.
 */
static __always_inline bool is_wanted(struct scratch *s, struct work *w, struct connection *c, struct direction *d)
{
	u8 protocol = c->facts.protocol, token;
	bool joined = !c->facts.opened, opening;
	u32 found;

	if (protocol == PROTOCOL_TLS)
		return false;
	if (protocol == PROTOCOL_UNKNOWN && (!joined || ++c->tries % RETRY_EVENTS))
		return false;
	if (!w->count)
		return protocol != PROTOCOL_UNKNOWN && c->flags & CONNECTION_ANNOUNCED;
	if (is_small(w))
		read_small(s, w);
	if (is_shipped(protocol) && protocol != PROTOCOL_PENDING) {
		if (protocol == PROTOCOL_HTTP1 && is_upgraded(s, w)) {
			c->sides[SIDE_SEND].budget = c->sides[SIDE_RECEIVE].budget = BUDGET_ALL;
			c->sides[SIDE_SEND].line = c->sides[SIDE_RECEIVE].line = LINE_UNKNOWN;
			return true;
		}
		/* All that a token would change. */
		if (d->budget == message_bytes && !d->line && w->count < LARGE_BYTES)
			return true;
		if (is_framed(d->line))
			return true;
		peek(s, w);
		token = token_of(w, d, PLACE_ANYWHERE, sender_of(w, c));
		if (token == protocol) {
			w->token = token;
			if (d->budget < message_bytes)
				d->budget = message_bytes;
		}
		return true;
	}
	if (is_framed(d->line))
		return true;
	peek(s, w);
	opening = !joined || (c->facts.transport == TRANSPORT_TCP && !d->next && !c->tries);
	found = token_of(w, d, opening ? PLACE_OPENING : PLACE_ANYWHERE, sender_of(w, c));
	token = FOUND_PROTOCOL(found);
	if (protocol == PROTOCOL_PENDING) {
		/* What is not shipped counts right behind a preface; later it may be the middle of a body. */
		if (!token || !may_tell(w, d, token) || (!is_shipped(token) && d->next > HEAD_BYTES + TAIL_BYTES))
			return true;
		if (token == PROTOCOL_PENDING) {
			d->preface = FOUND_PREFACE(found);
			return true;
		}
	}
	if (token) {
		c->facts.protocol = w->token = token;
		d->preface = FOUND_PREFACE(found);
		d->budget = message_bytes;
		if (token == PROTOCOL_PENDING) /* the answer may be what tells, whatever is found on the way to it */
			c->sides[SIDE_SEND].budget = c->sides[SIDE_RECEIVE].budget = message_bytes;
		if (FOUND_FRAMED(found))
			begin_frames(w, c, d, found, joined);
		return is_shipped(token);
	}
	if (protocol == PROTOCOL_UNKNOWN)
		return false;
	if (!w->buffer && !w->iov) /* nothing to tell it by */
		return !joined;
	/* The first bytes may come one by one. */
	if ((joined || w->count >= TOKEN_BYTES / 2 || d->next + w->count >= TOKEN_BYTES) &&
	    ++c->tries >= (joined ? TRIES_JOINED : TRIES_FRESH)) {
		c->facts.protocol = PROTOCOL_UNKNOWN;
		c->tries = 0;
		return false;
	}
	if (!d->budget)
		d->budget = HEAD_BYTES + TAIL_BYTES;
	return !joined;
}

/* How many of the first bytes to ship. */
static __always_inline u32 head_bytes(struct scratch *s, struct work *w, struct connection *c, struct direction *d)
{
	u64 limit = w->count;

	if (limit > d->budget) {
		if (has_framing(s, w, c->facts.protocol))
			d->budget = message_bytes;
		else
			limit = d->budget;
	}
	if (w->count <= SMALL_BYTES && w->count <= payload_bytes)
		return w->count; /* at no cost, so that the budget stays full and need not be looked after */
	d->budget -= limit > d->budget ? d->budget : limit;
	if (limit < HEAD_BYTES)
		limit = HEAD_BYTES;
	if (limit < w->count || w->count > payload_bytes) {
		if (limit > most_head())
			limit = most_head();
	}
	return limit;
}

/* Whether an event that begins with a token, or one in the middle of a message, shows where framing goes on. */
static __always_inline void begin_following(struct scratch *s, struct work *w, u8 protocol)
{
	if (protocol == PROTOCOL_HTTP1) {
		read_head(s, w);
	} else {
		w->line = LINE_VALUE;
		w->at = 0;
	}
}

/*
 * Sends the next record of an event of several: what the framing says is body is left out, and what is not known to be
 * framing or body is shipped as long as the budget lasts. `last`: whatever is left goes into this one. False when the
 * event is done.
 */
__noinline int transfer_part(u64 last)
{
	struct scratch *s = current_scratch();
	u64 offset, flags, told, rest, hole = 0, length, room, keep, tail, iov_at;
	u32 iov_first;
	struct direction *d;
	struct connection *c;
	struct work *w;
	bool cut = last, begins;
	u8 protocol;

	if (!s)
		return false;
	w = &s->work;
	c = connection_at(w);
	if (!c)
		return false;
	d = &c->sides[w->side & 1];
	protocol = c->facts.protocol;
	offset = w->offset;
	flags = w->flags;
	told = w->told;
	rest = w->count - told;
	w->filled = w->segments = w->unreadable = w->keep = 0;
	if (told)
		flags |= FLAG_PART;
	if (d->line & LINE_BODY && d->frame > offset + told)
		hole = d->frame - (offset + told);
	if (hole >= rest) {
		tell(s, w, c, offset + told, rest, flags);
		return false;
	}
	w->line = d->line & ~LINE_BODY;
	begins = w->token && !told && !w->line && is_text(protocol);
	if (w->line == LINE_MESSAGE) {
		w->line = LINE_UNKNOWN;
		begins = d->frame == offset + told + hole; /* unless it is something else: then it has no head */
	}
	w->number = d->number;
	room = payload_bytes - w->shipped;
	tail = tail_bytes();
	length = rest - hole;
	if (length > CHUNK_MAX)
		length = CHUNK_MAX;
	/* The last bytes come on top, unless these are they. */
	if (length + (length < rest - hole ? tail : 0) > room) {
		length = room > tail ? room - tail : 0;
		cut = true;
	}
	iov_at = w->iov_at;
	iov_first = w->iov_first;
	read_range(s, w, told + hole, told + hole + length);
	if (w->filled < length)
		w->line = LINE_UNKNOWN; /* not readable, or in more buffers than are looked at */
	else if (w->line && d->frame >= offset + told + hole)
		w->at = d->frame - (offset + told + hole);
	else if (begins)
		begin_following(s, w, protocol);
	if (w->line && !(w->line & LINE_BODY))
		follow();
	if (w->line == LINE_HEAD && (w->number += 2) > 2 * HEAD_PARTS)
		w->line = LINE_UNKNOWN;
	keep = w->filled;
	if (w->line) {
		d->budget = message_bytes;
	} else if (keep > d->budget) {
		if (is_text(protocol) && find_framing(protocol)) {
			d->budget = message_bytes;
			if (protocol == PROTOCOL_REDIS)
				follow();
			else
				w->line = LINE_UNKNOWN;
		} else {
			keep = d->budget < HEAD_BYTES ? HEAD_BYTES : d->budget;
			if (keep > w->filled)
				keep = w->filled;
			cut = true;
			d->budget = 0;
		}
	} else {
		d->budget -= keep;
	}
	if (w->keep && w->keep < keep) {
		keep = w->keep;
		w->iov_at = iov_at; /* what was read in vain may be needed */
		w->iov_first = iov_first;
	}
	d->line = w->line;
	d->number = w->number;
	d->frame = offset + told + hole + w->at;
	w->filled = keep;
	if (w->segments && keep)
		s->cut.segments[0].length = keep;
	w->segments = keep ? 1 : 0;
	length = hole + keep;
	if (w->line & LINE_BODY && d->frame >= offset + w->count) {
		length = rest; /* all that follows is body */
	} else if (cut && length < rest) {
		u64 from = w->count - tail;

		if (from < told + length)
			from = told + length;
		if (tail > room - keep)
			from = w->count;
		if (from < w->count)
			read_range(s, w, from, w->count);
		d->line = LINE_UNKNOWN;
		length = rest;
	} else if (!length) {
		length = rest; /* not readable */
	}
	w->shipped += w->filled;
	w->told = told + length;
	tell(s, w, c, offset + told, length, flags);
	return w->told < w->count;
}

/* Whether the event is shipped in parts: not if it is small, or most likely the middle of a body. */
static __always_inline bool in_parts(struct scratch *s, struct work *w, struct connection *c, struct direction *d)
{
	if (d->line)
		return true;
	if (w->count < LARGE_BYTES)
		return false;
	return c->facts.protocol == PROTOCOL_REDIS || w->token || d->budget >= PAYLOAD_MAX || has_framing(s, w, c->facts.protocol);
}

/* What the bytes of a small event, which are shipped, say of those that follow. */
__noinline int follow_small(void)
{
	struct scratch *s = current_scratch();
	struct direction *d;
	struct connection *c;
	struct work *w;

	if (!s)
		return 0;
	w = &s->work;
	c = connection_at(w);
	if (!c)
		return 0;
	d = &c->sides[w->side & 1];
	w->line = d->line & ~LINE_BODY;
	if (!d->line || w->token) {
		w->line = LINE_UNKNOWN;
		if (ends_with_length(s, w, c->facts.protocol))
			read_length(s, w, c->facts.protocol);
	} else if (w->line == LINE_MESSAGE) {
		w->line = LINE_UNKNOWN;
	} else {
		w->at = d->frame - w->offset;
		w->number = d->number;
		follow();
	}
	d->line = w->line;
	d->number = w->number;
	d->frame = w->offset + w->at;
	return 0;
}

/* What is to be done of an event that transfer_event() has looked at. */
enum next {
	NEXT_NOTHING,
	NEXT_PARTS,  /* its records are to be sent, in parts */
	NEXT_FOLLOW, /* its record was sent; what it says of the bytes that follow is to be read */
	NEXT_FRAMES, /* as NEXT_PARTS, of a connection whose frames are followed */
	NEXT_FRAMES_FOLLOW,
};

/* Sends the record of an event, or says that there are several. */
static __noinline int transfer_event(struct scratch *s, struct work *w, struct connection *c)
{
	struct direction *d = &c->sides[w->side & 1];
	u16 flags = 0;
	u64 offset;

	if (is_ignored(c))
		return 0;
	w->filled = w->segments = w->unreadable = w->token = 0;
	if (!is_wanted(s, w, c, d)) {
		/* The position is not followed any more, but where only counting tells it to both ends alike. */
		d->started = d->line = 0;
		if (c->facts.transport == TRANSPORT_UNIX)
			d->next += w->count;
		return 0;
	}
	if (c->flags & CONNECTION_TURNS)
		c->sides[(w->side & 1) ^ 1].budget = message_bytes;
	if (!c->facts.owner)
		c->facts.owner = w->pid;
	offset = position_of(w, c, d, &flags);
	if ((s64)offset < 0) {
		count_loss(LOSS_NO_OFFSET, w->count);
		c->flags |= CONNECTION_LOST;
		return 0;
	}
	if (announce(s, w, c)) {
		c->flags |= CONNECTION_LOST;
		return 0;
	}
	if (d->placed)
		take_place(d, offset);
	if (flags & FLAG_CONCURRENT || (w->token == PROTOCOL_HTTP1 && w->count > SMALL_BYTES))
		d->line = LINE_UNKNOWN;
	w->offset = offset;
	w->flags = flags;
	read_waits(w, c);
	if (d->line && is_framed(d->line) && !place_frames(d, offset))
		d->line = LINE_UNKNOWN;
	if (w->filled) {
		if (!d->line) {
			if (ends_with_length(s, w, c->facts.protocol))
				w->next = NEXT_FOLLOW;
		} else if (is_framed(d->line)) {
			if (d->frame < offset + w->count)
				w->next = NEXT_FRAMES_FOLLOW;
			else if (d->number <= offset && d->frame > offset)
				w->filled = 0; /* the middle of a frame */
		} else if (d->line & LINE_BODY && !w->token && d->frame >= offset + w->count) {
			/*
			 * Within a body nothing is needed. The beginning of a message may be in few bytes, which the
			 * next event completes.
			 */
			if (w->count > HELD_MAX && c->facts.protocol == PROTOCOL_HTTP1)
				w->filled = 0;
		} else {
			w->next = NEXT_FOLLOW;
		}
	} else if (!w->unreadable && w->count && (w->buffer || w->iov)) {
		if (in_parts(s, w, c, d)) {
			w->next = is_framed(d->line) ? NEXT_FRAMES : NEXT_PARTS;
			return 0;
		}
		gather(head_bytes(s, w, c, d));
	}
	tell(s, w, c, offset, w->count, flags);
	return 0;
}

#define PARTS_MAX 512

__noinline int transfer_parts(void)
{
	struct work *w = current_work();

	if (!w)
		return 0;
	w->told = w->shipped = w->iov_at = w->iov_first = 0;
	for (u32 i = 0; i < PARTS_MAX; i++) {
		if (!transfer_part(i == PARTS_MAX - 1))
			break;
	}
	return 0;
}

/* Sends the records of one transfer. */
static __always_inline void transfer(struct scratch *s, struct work *w, struct connection *c)
{
	w->next = NEXT_NOTHING;
	transfer_event(s, w, c);
	if (w->next == NEXT_PARTS)
		transfer_parts();
	else if (w->next == NEXT_FOLLOW)
		follow_small();
	else if (w->next == NEXT_FRAMES)
		transfer_frames();
	else if (w->next == NEXT_FRAMES_FOLLOW)
		small_frames();
}

#endif
