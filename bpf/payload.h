/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which bytes of an event are shipped: telling protocols by their first bytes, budgets, and gathering from user
 * memory.
 */
#ifndef MILLRACE_PAYLOAD_H
#define MILLRACE_PAYLOAD_H

#include "connection.h"

#define PAYLOAD_MAX 16384 /* most payload of one record's head; a larger event is several records */
#define CHUNK_MAX 15616	  /* most that is read from one of several buffers: PAYLOAD_MAX + this fits into the scratch */
#define HEAD_BYTES 256
#define TAIL_BYTES 256
#define PIECE_BYTES 64 /* of each of the first PIECES buffers, when only head and tail are shipped */
#define PIECES 8
#define BUFFERS_MAX 64 /* buffers of one call that are looked at */
#define SEGMENTS_MAX 16
#define PEEK 16

const volatile u32 payload_bytes = 4 << 20;
const volatile u32 message_bytes = 65536;

/* One transfer of bytes, as the system call describes it. */
struct work {
	u64 key;    /* address of the sock */
	u64 count;  /* bytes moved */
	u64 after;  /* bytes that the same call moved behind these */
	u64 buffer; /* 0: several buffers, or none */
	u64 iov;
	u64 iov_count;
	u64 time;
	u64 duration;
	u64 arrived;	   /* receive: when the last byte had come; 0: not known */
	u64 first_arrived; /* receive: when the first byte had come; 0: not known */
	u64 unsent;	   /* send: bytes that the socket then still holds back */
	u64 goroutine;
	u64 parent_goroutine;
	/*
	 * Progress of gathering; kept here because the verifier follows values in memory more cheaply than in
	 * registers.
	 */
	u64 position;
	u64 filled;
	u64 last_base;
	u64 last_length;
	u64 last_position;
	u32 head_done;
	u32 unreadable;
	u32 segments;
	u32 side;
	u32 pid;
	u32 thread;
	u32 inode;    /* Unix-domain: of the socket; 0: TCP, or datagrams */
	u32 in_order; /* told late and in order: the position is behind the last one, not before the socket's */
	u32 busy;     /* see take_work() */
	/* Following the framing of the payload, see framing.h. */
	u64 at;	      /* where in the payload a line is read, or will be */
	u64 keep;     /* where in the payload begins what is left out; 0: nothing is */
	u64 number;   /* of the line */
	u64 head_end; /* of a head of HTTP; 0: not in the payload */
	u32 line;     /* enum line */
	u8 sized, coded, unsure;
	u8 token; /* enum protocol: with whose token the event begins */
	/* What transfer() leaves to others, whose stacks would not fit on top of its own. */
	u32 next;    /* enum next */
	u32 flags;   /* of the event's records */
	u64 offset;  /* of the event */
	u64 told;    /* bytes of the event that records report */
	u64 shipped; /* bytes of it that they held */
	u64 iov_at;  /* position of the buffer iov_first in the event */
	u32 iov_first;
	u32 joined; /* bytes of events before with which the token began */
	u64 peek[PEEK / sizeof(u64)];
	/* Following frames, see frames.h. */
	u64 frame;   /* offset of the next header */
	u64 wanted;  /* offset behind what is shipped of the frame before */
	u64 end;     /* where in the payload the window ends */
	u64 head[3]; /* the header that is being read, as far as it has come; the last is room for reading beyond it */
	u32 window;  /* how much is read ahead */
	u8 have;     /* bytes in head */
	u8 framed;   /* number of the entry of `frames`, from 1 on */
	u8 server;   /* 1: the server sends the bytes */
	u8 again;    /* bytes with which the other end answers first frames */
	u8 all;	     /* nothing is left out */
};

#define SCRATCH_SIZE 32768 /* most that a value of a per-CPU array may have */

/*
 * A record in the making: with segments it begins at `cut`, without at `whole`, and payload follows either way. The
 * work is in front of it so that a small event touches one page of this: with page table isolation each page that a
 * program touches is a miss in the TLB.
 */
struct scratch {
	struct work work;
	union {
		struct {
			struct record head;
			struct segment segments[SEGMENTS_MAX];
		} cut;
		struct {
			u8 unused[SEGMENTS_MAX * sizeof(struct segment)];
			struct record head;
		} whole;
	};
	u8 payload[SCRATCH_SIZE - sizeof(struct work) - sizeof(struct record) - SEGMENTS_MAX * sizeof(struct segment)];
};
_Static_assert(sizeof(((struct scratch *)0)->payload) >= PAYLOAD_MAX + CHUNK_MAX, "the payload fits");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

#define FOUR(a, b, c, d) ((u32)(a) | (u32)(b) << 8 | (u32)(c) << 16 | (u32)(d) << 24)

/*
 * What first bytes are taken for: Rule in millrace.dev/protocols, written by the loader from the list there. Bytes
 * that cannot be read peek as zeros, so a match says how many it needs at least.
 */
struct match {
	u64 mask[PEEK / sizeof(u64)];
	u64 value[PEEK / sizeof(u64)];
	u8 least;
	u8 protocol;
	u8 not_at;   /* enum place: where it does not hold */
	u8 framed;   /* number of the protocol's entry of `frames`, from 1 on; 0: none */
	u8 from;     /* enum sender */
	u8 not_from; /* the other one; 0: both send such bytes */
	u8 preface;  /* 1: another protocol comes behind */
	u8 reserved;
};

#define MATCHES_MAX 128

const volatile struct match matches[MATCHES_MAX] = {};
const volatile u32 matches_count = 0;

static __always_inline bool is_upper(u8 c)
{
	return c >= 'A' && c <= 'Z';
}

static __always_inline bool is_digit(u8 c)
{
	return c >= '0' && c <= '9';
}

static __always_inline struct scratch *current_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

static __always_inline struct work *current_work(void)
{
	struct scratch *s = current_scratch();

	return s ? &s->work : NULL;
}

/*
 * Kernels that let programs be preempted can start one of another kind (system call, io_uring) on this CPU before the
 * first is done. The kernel itself keeps a program from starting twice. What comes second is counted as lost.
 */
static __always_inline bool take_work(struct work *w, u64 bytes)
{
	if (w->busy) {
		count_loss(LOSS_NOT_OBSERVABLE, bytes);
		return false;
	}
	w->busy = 1;
	return true;
}

/*
 * The functions below that are not static are verified once, on their own, instead of at each call; inlined they
 * exceed the verifier's limit of a million steps. On 5.10 such a function takes scalars only, so it looks its memory
 * up itself.
 */

/* What is known of the place of bytes: that they begin a connection, or not. */
enum place { PLACE_ANYWHERE = 1, PLACE_OPENING = 2 };

/* Which end sends bytes. The bits of both are never set together. */
enum sender { SENDER_UNKNOWN, SENDER_CLIENT, SENDER_SERVER };

static __always_inline u32 sender_of(struct work *w, struct connection *c)
{
	if (c->facts.role == ROLE_UNKNOWN)
		return SENDER_UNKNOWN;
	return (c->facts.role == ROLE_CLIENT) == (w->side == SIDE_SEND) ? SENDER_CLIENT : SENDER_SERVER;
}

#define FOUND_PROTOCOL(found) ((u8)(found))
#define FOUND_FRAMED(found) ((u8)((found) >> 8))
#define FOUND_SENDER(found) ((u8)((found) >> 16))
#define FOUND_PREFACE(found) ((u8)((found) >> 24))

/*
 * The first match of the peeked bytes, as FOUND_*(), else 0. `place` is an enum place, `sender` an enum sender. One
 * branch a turn, on a value that is not used after it: where programs have functions, verifiers before 6.2 take every
 * scalar for precise, so that a branch on `length` would multiply the states of the loop, to minutes of loading on
 * 5.10.
 */
__noinline int first_token(u64 length, u64 place, u64 sender)
{
	struct work *w = current_work();
	u64 low, high;

	if (!w)
		return PROTOCOL_NONE;
	low = w->peek[0];
	high = w->peek[1];
	for (u32 i = 0; i < MATCHES_MAX; i++) {
		const volatile struct match *m = &matches[i];
		u64 differs, lacks = length - m->least;

		if (i >= matches_count)
			break;
		/* The compiler would make branches of it. */
		asm volatile("" : "+r"(lacks));
		differs = ((low & m->mask[0]) ^ m->value[0]) | ((high & m->mask[1]) ^ m->value[1]);
		differs |= lacks >> 63 | (place & m->not_at) | (sender & m->not_from);
		asm volatile("" : "+r"(differs));
		if (!differs)
			return m->protocol | m->framed << 8 | m->from << 16 | m->preface << 24;
	}
	return PROTOCOL_NONE;
}

/* Events of so many bytes are read whole, once. */
#define SMALL_BYTES (HEAD_BYTES + TAIL_BYTES)

static __always_inline bool is_small(struct work *w)
{
	return w->buffer && w->count <= SMALL_BYTES && w->count <= payload_bytes;
}

/* Reads all of a small event to s->payload. */
static __always_inline void read_small(struct scratch *s, struct work *w)
{
	u64 length = w->count;

	/* The compiler must not derive the bound from earlier ones, see append(). */
	asm volatile("" : "+r"(length));
	if (length > SMALL_BYTES)
		return;
	if (bpf_probe_read_user(s->payload, length, (void *)w->buffer))
		w->unreadable = 1;
	else
		w->filled = length;
}

/* Copies the first bytes to w->peek: of a small event, which was read already, from there. */
static __always_inline void peek(struct scratch *s, struct work *w)
{
	u64 base = w->buffer, length = w->count, *first = (u64 *)s->payload;
	struct iovec v = {};

	if (w->filled) {
		w->peek[0] = first[0];
		w->peek[1] = first[1];
		if (length < 8) {
			w->peek[0] &= (1ull << length * 8) - 1;
			w->peek[1] = 0;
		} else if (length < PEEK) {
			w->peek[1] &= (1ull << (length - 8) * 8) - 1;
		}
		return;
	}
	w->peek[0] = w->peek[1] = 0;
	if (!base && w->iov) {
		for (int i = 0; i < 4 && i < w->iov_count; i++) {
			if (bpf_probe_read_user(&v, sizeof(v), (void *)(w->iov + i * sizeof(v))) || v.length)
				break;
		}
		base = v.base;
		if (v.length < length)
			length = v.length;
	}
	if (!base || !length)
		return;
	if (length >= PEEK)
		bpf_probe_read_user(w->peek, PEEK, (void *)base);
	else
		bpf_probe_read_user(w->peek, length & (PEEK - 1), (void *)base);
}

/*
 * The token with which an event begins, also where an earlier event took the first bytes of it: Go's net/http reads
 * one byte ahead while a handler runs, so most of its requests arrive as one byte and the rest.
 */
static __always_inline int token_of(struct work *w, struct direction *d, u32 place, u32 sender)
{
	int token = first_token(w->count, place, sender);
	u32 length = d->held_length, shift = (length & 7) * 8;
	u64 low = w->peek[0], high = w->peek[1];

	w->joined = 0;
	if (!token && length && length <= HELD_MAX) {
		if (length < 8) {
			w->peek[0] = d->held[0] | low << shift;
			w->peek[1] = high << shift | low >> (64 - shift);
		} else {
			w->peek[0] = d->held[0];
			w->peek[1] = d->held[1] | low << shift;
		}
		token = first_token(w->count + length, place, sender);
		w->joined = token ? length : 0;
		/* Few bytes again: they join those that are held. */
		if (!token && w->count + length <= HELD_MAX) {
			d->held[0] = w->peek[0];
			d->held[1] = w->peek[1];
			d->held_length = length + w->count;
			return token;
		}
	}
	d->held_length = 0;
	if (!token && w->count <= HELD_MAX) {
		d->held[0] = low;
		d->held[1] = high;
		d->held_length = w->count;
	}
	return token;
}

/* Messages are framed by text: see framing.h. What is pending may be. */
static __always_inline bool is_text(u8 protocol)
{
	return protocol == PROTOCOL_HTTP1 || protocol == PROTOCOL_REDIS || protocol == PROTOCOL_PENDING;
}

#define FRAMING_STEP 16

/* has_framing() for FRAMING_STEP positions from `from` of s->payload; w->at is where the line of Redis begins. */
__noinline int framing_at(u64 from, u64 protocol)
{
	struct scratch *s = current_scratch();
	u8 *b;

	if (!s || from > PAYLOAD_MAX)
		return false;
	b = s->payload + from;
	for (int i = 0; i < FRAMING_STEP; i++) {
		u32 word = *(volatile u32 *)(b + i);
		u8 type = word >> 16;

		if (protocol == PROTOCOL_HTTP1) {
			if (word == FOUR('T', 'P', '/', '1'))
				return true;
		} else if ((word & 0xffff) == FOUR('\r', '\n', 0, 0)) {
			if (type == '*' || type == '$' || type == '+' || type == ':' || type == '-') {
				s->work.at = from + i + 2;
				return true;
			}
		}
	}
	return false;
}

/*
 * Whether the first bytes of an event hold the framing of small messages. Asked when the budget is used up: the middle
 * of a long body has none, a long pipeline has it everywhere and must be shipped.
 */
static __always_inline bool has_framing(struct scratch *s, struct work *w, u8 protocol)
{
	if (!w->buffer || w->count < HEAD_BYTES + TAIL_BYTES || !is_text(protocol) ||
	    bpf_probe_read_user(s->payload, HEAD_BYTES + FRAMING_STEP, (void *)w->buffer))
		return false;
	for (int i = 0; i < HEAD_BYTES; i += FRAMING_STEP) {
		if (framing_at(i, protocol))
			return true;
	}
	return false;
}

static __always_inline void add_segment(struct scratch *s, struct work *w, u64 at, u64 length)
{
	u32 count = w->segments;

	if (count && count <= SEGMENTS_MAX) {
		struct segment *last = &s->cut.segments[(count - 1) & (SEGMENTS_MAX - 1)];

		if (last->at + last->length == at) {
			last->length += length;
			return;
		}
	}
	if (count >= SEGMENTS_MAX)
		return;
	s->cut.segments[count & (SEGMENTS_MAX - 1)].at = at;
	s->cut.segments[count & (SEGMENTS_MAX - 1)].length = length;
	w->segments = count + 1;
}

/* Appends `length` bytes at `base`, which belong at position `at` of the event. */
static __always_inline bool append(struct scratch *s, struct work *w, u64 base, u64 length, u64 at)
{
	u64 filled = w->filled;

	/* The compiler must not derive these bounds from earlier ones: verifiers before 5.15 forget those. */
	asm volatile("" : "+r"(filled), "+r"(length));
	if (filled > PAYLOAD_MAX || length > CHUNK_MAX)
		return false;
	if (!length)
		return true;
	if (bpf_probe_read_user(s->payload + filled, length, (void *)base)) {
		w->unreadable = 1;
		return false;
	}
	add_segment(s, w, at, length);
	w->filled = filled + length;
	return true;
}

/* Of an event's last bytes: a quarter of what may be shipped at most. */
static __always_inline u32 tail_bytes(void)
{
	return payload_bytes < 4 * TAIL_BYTES ? payload_bytes / 4 : TAIL_BYTES;
}

/* Pieces come on top of head and tail. */
static __always_inline bool has_pieces(void)
{
	return payload_bytes >= 4 * PIECES * PIECE_BYTES;
}

/* Most of an event's first bytes when it is not shipped whole. */
static __always_inline u32 most_head(void)
{
	return payload_bytes - tail_bytes() - (has_pieces() ? PIECES * PIECE_BYTES : 0);
}

/* Appends what was not shipped yet of the last bytes of the buffer that gathering saw last. */
static __always_inline void append_tail(struct scratch *s, struct work *w)
{
	u64 shipped = 0, begin = w->last_position, end = w->last_position + w->last_length;
	u32 count = w->segments;

	if (count && count <= SEGMENTS_MAX) {
		struct segment *last = &s->cut.segments[(count - 1) & (SEGMENTS_MAX - 1)];

		shipped = (u64)last->at + last->length;
	}
	if (end - begin > tail_bytes())
		begin = end - tail_bytes();
	if (begin < shipped)
		begin = shipped;
	if (begin < end)
		append(s, w, w->last_base + (begin - w->last_position), end - begin, begin);
}

/* One step of gather(): the buffer `index` of several. False when there is nothing more to do. */
__noinline int gather_buffer(u64 index, u64 limit)
{
	struct scratch *s = current_scratch();
	u64 position, chunk = 0;
	struct work *w;
	struct iovec v;

	if (!s)
		return false;
	w = &s->work;
	position = w->position;
	if (index >= w->iov_count || position >= w->count)
		return false;
	if (bpf_probe_read_user(&v, sizeof(v), (void *)(w->iov + index * sizeof(v)))) {
		w->unreadable = 1;
		return false;
	}
	if (v.length > w->count - position)
		v.length = w->count - position;
	if (!w->head_done)
		chunk = limit - w->filled;
	else if (index < PIECES && has_pieces())
		chunk = PIECE_BYTES;
	if (chunk > CHUNK_MAX)
		chunk = CHUNK_MAX;
	if (chunk > v.length)
		chunk = v.length;
	if (!append(s, w, v.base, chunk, position))
		return false;
	if (chunk < v.length || w->filled >= limit)
		w->head_done = 1;
	w->last_base = v.base;
	w->last_length = v.length;
	w->last_position = position;
	w->position = position + v.length;
	return true;
}

/*
 * Copies the first `limit` bytes to s->payload and, if there are more, the last ones and the beginnings of the first
 * buffers.
 */
__noinline int gather(u64 limit)
{
	struct scratch *s = current_scratch();
	struct work *w;

	if (!s)
		return 0;
	w = &s->work;
	w->position = w->filled = w->last_length = w->last_position = 0;
	w->head_done = w->unreadable = w->segments = 0;
	if (w->buffer) {
		u64 length = limit;

		asm volatile("" : "+r"(length));
		if (length > PAYLOAD_MAX)
			length = PAYLOAD_MAX;
		if (bpf_probe_read_user(s->payload, length, (void *)w->buffer)) {
			w->unreadable = 1;
			return 0;
		}
		w->filled = length;
		if (length == w->count)
			return 0;
		add_segment(s, w, 0, length);
		w->last_base = w->buffer;
		w->last_length = w->count;
		append_tail(s, w);
		return 0;
	}
	for (u32 i = 0; i < BUFFERS_MAX; i++) {
		if (!gather_buffer(i, limit))
			break;
	}
	if (w->filled < w->count && !w->unreadable)
		append_tail(s, w);
	return 0;
}

/* Appends what the buffer `index` of several has of the event's bytes from `from` to `to`. False: no more buffers. */
__noinline int read_buffer(u64 index, u64 from, u64 to)
{
	struct scratch *s = current_scratch();
	u64 begin, end, position;
	struct work *w;
	struct iovec v;

	if (!s)
		return false;
	w = &s->work;
	position = w->iov_at;
	if (index >= w->iov_count || position >= to)
		return false;
	if (bpf_probe_read_user(&v, sizeof(v), (void *)(w->iov + index * sizeof(v)))) {
		w->unreadable = 1;
		return false;
	}
	begin = position > from ? position : from;
	end = position + v.length < to ? position + v.length : to;
	if (begin < end && !append(s, w, v.base + (begin - position), end - begin, begin - w->told))
		return false;
	if (position + v.length > to) /* the next range begins in it */
		return false;
	w->iov_at = position + v.length;
	w->iov_first = index + 1;
	return true;
}

/* Calls read_buffer() from w->iov_first on. Verified once, on its own, as below. */
__noinline int read_buffers(u64 from, u64 to)
{
	struct work *w = current_work();
	u32 first;

	if (!w)
		return 0;
	first = w->iov_first;
	for (u32 i = 0; i < BUFFERS_MAX; i++) {
		if (!read_buffer(first + i, from, to))
			break;
	}
	return 0;
}

/* Appends the event's bytes from `from` to `to`, at most PAYLOAD_MAX of one buffer and CHUNK_MAX of several. Ranges
 * ascend. */
static __always_inline void read_range(struct scratch *s, struct work *w, u64 from, u64 to)
{
	if (w->buffer)
		append(s, w, w->buffer + from, to - from, from - w->told);
	else
		read_buffers(from, to);
}

#endif
