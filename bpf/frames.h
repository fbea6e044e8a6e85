/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Following the frames of protocols whose messages begin with their length: Frames in millrace.dev/protocols, written
 * by the loader from the list there. A direction is followed from its first frame on. It is known at which offset the
 * next header begins, and up to which offset the frame before it is wanted. Where the position is lost it is lost for
 * good; then the budget decides.
 */
#ifndef MILLRACE_FRAMES_H
#define MILLRACE_FRAMES_H

#include "framing.h"
#include "tell.h"

#define FRAMED_MAX 32 /* a power of two */
#define AGAIN_MAX 4
#define COPIES_MAX 8
#define WINDOW_LEAST 1024 /* read at once behind a hole: a frame that ends within it is shipped whole */
#define WINDOW_MOST CHUNK_MAX
#define HEADERS_MAX 512	  /* headers that are read of one window; behind them begins another */
#define FRAMES_STEPS 2048 /* windows of one event */
#define VECTOR_STEPS 16	  /* BUFFERS_MAX so often: all buffers that a call may have */

/* Where a frame says how long it is: FrameHeader in millrace.dev/protocols. */
struct frame_header {
	u64 most; /* longest whole frame */
	s32 add;
	u8 size; /* 0: no frame has this header */
	u8 length_at;
	u8 unused_bits; /* of 32, that the length has not */
	u8 little;
	u8 type_at;
	u8 variable; /* 1: as long as its second byte says */
	u8 reserved[6];
};

struct frames {
	struct frame_header header;
	struct frame_header first;
	struct {
		u64 mask[PEEK / sizeof(u64)];
		u64 value[PEEK / sizeof(u64)];
	} again[AGAIN_MAX];
	u32 copy[2][COPIES_MAX]; /* of the client's and the server's frames, by class */
	u8 class[2][256];	 /* of types */
	u8 protocol;
	u8 preface;
	u8 answer;
	u8 again_count;
	u8 reserved[4];
};

const volatile struct frames frames[FRAMED_MAX] = {};

/* The entry with a number from 1 on. The number is masked where it is used: verifiers before 5.15 forget the bound of
 * what was on the stack since. */
static __always_inline const volatile struct frames *frames_of(u32 number)
{
	u32 index = number - 1;

	asm volatile("" : "+r"(index));
	return &frames[index & (FRAMED_MAX - 1)];
}

/* Added to LINE_FRAME and LINE_FIRST: the frame begins with the event that showed the protocol. */
#define LINE_BEGINS 2

static __always_inline bool is_framed(u8 line)
{
	return line & LINE_FRAME;
}

/*
 * A match showed a protocol with frames: both directions are followed if nothing of them was missed. `joined`: bytes
 * of the direction moved before capture, or may have.
 */
static __always_inline void begin_frames(struct work *w, struct connection *c, struct direction *d, u32 found, bool joined)
{
	struct direction *other = &c->sides[(w->side & 1) ^ 1];
	u32 sender = sender_of(w, c) ?: FOUND_SENDER(found);
	const volatile struct frames *f;
	u8 client, first;

	/* The other direction's first bytes, which move on another CPU at this moment, showed it too. */
	if (c->framed == FOUND_FRAMED(found) && is_framed(*(volatile u8 *)&d->line))
		return;
	d->line = other->line = LINE_UNKNOWN;
	c->framed = FOUND_FRAMED(found);
	if (joined && d->next > w->joined)
		return;
	f = frames_of(c->framed);
	/* Of a Unix-domain stream it is not known whether this is its beginning: a match may be of any message. */
	if (f->preface && c->facts.transport == TRANSPORT_UNIX)
		return;
	first = f->first.size ? LINE_FIRST : LINE_FRAME;
	client = sender != SENDER_SERVER;
	if (client == (w->side == SIDE_SEND))
		c->flags |= CONNECTION_ASKS;
	else
		c->flags &= ~CONNECTION_ASKS;
	d->line = (client ? first : LINE_FRAME) | LINE_BEGINS;
	/* held[] has the bytes before; a preface is passed over without them. */
	d->held_length = client && f->preface ? 0 : w->joined;
	d->frame = client ? f->preface : 0; /* from the event's offset on, see place_frames() */
	d->frame -= w->joined;
	if (other->next)
		return;
	other->held_length = 0;
	other->frame = other->number = client ? 0 : f->preface;
	*(volatile u8 *)&other->line = client ? LINE_FRAME : first; /* last: it may be read at this moment */
}

/*
 * Takes what user space said of where a frame begins, at an event: `line` and `frame` are written by events alone, of
 * which one may be at work on another CPU while user space speaks. Bytes may have moved meanwhile that were not
 * followed; then user space says it again.
 */
static __always_inline void take_place(struct direction *d, u64 offset)
{
	u64 placed = d->placed, next = placed & ~PLACED_SKIP;

	d->placed = 0;
	if (next < offset)
		return;
	d->line = LINE_FRAME;
	d->held_length = 0;
	d->frame = next;
	d->number = placed & PLACED_SKIP ? 0 : next;
}

/* Whether it is known where in a frame the event begins. */
static __always_inline bool place_frames(struct direction *d, u64 offset)
{
	if (d->line & LINE_BEGINS) {
		d->line &= ~LINE_BEGINS;
		d->frame += offset;
		d->number = d->frame;
	}
	if (d->frame > offset || d->frame + d->held_length == offset)
		return true;
	d->line = LINE_UNKNOWN;
	d->held_length = 0;
	return false;
}

static __always_inline void take_frames(struct work *w, struct connection *c, struct direction *d)
{
	w->framed = c->framed;
	w->line = d->line;
	w->frame = d->frame;
	w->wanted = d->number;
	w->have = d->held_length;
	w->head[0] = d->held[0];
	w->head[1] = d->held[1];
	w->server = !(c->flags & CONNECTION_ASKS) == (w->side == SIDE_SEND);
	w->all = c->facts.protocol == PROTOCOL_PENDING;
	w->again = 0;
}

static __always_inline void put_frames(struct work *w, struct connection *c, struct direction *d)
{
	struct direction *other = &c->sides[(w->side & 1) ^ 1];

	/* No first frame: the ends have agreed on something else, such as encryption. */
	if (d->line == LINE_FIRST && !w->line && is_framed(other->line))
		other->line = LINE_UNKNOWN;
	d->line = w->line;
	d->frame = w->frame;
	d->number = w->wanted;
	d->held_length = w->line ? w->have : 0;
	d->held[0] = w->head[0];
	d->held[1] = w->head[1];
	if (w->again && is_framed(other->line) && !other->held_length)
		other->frame = other->number = other->frame + w->again;
}

/* Whether the first frame whose header is in w->head is followed by another one. */
static __always_inline bool comes_again(struct work *w, const volatile struct frames *f)
{
	u64 differs;

	for (u32 i = 0; i < AGAIN_MAX; i++) {
		if (i >= f->again_count)
			break;
		differs = ((w->head[0] & f->again[i].mask[0]) ^ f->again[i].value[0]) |
			  ((w->head[1] & f->again[i].mask[1]) ^ f->again[i].value[1]);
		if (!differs) {
			w->again += f->answer;
			return true;
		}
	}
	return false;
}

/* Length of a header of WebSocket whose second byte is given, without a masking key (RFC 6455, section 5.2). */
static __always_inline u32 variable_size(u8 second)
{
	second &= 127;
	return second == 126 ? 4 : second == 127 ? 10 : 2;
}

/* Length of the frame with such a header, which is in w->head. */
static __always_inline u64 variable_length(struct work *w, u32 size)
{
	u8 *head = (u8 *)w->head, second = *(volatile u8 *)(head + 1);
	u64 length = second & 127;

	if (size == 4)
		length = __builtin_bswap16(*(volatile u16 *)(head + 2));
	else if (size == 10)
		length = __builtin_bswap64(*(volatile u64 *)(head + 2));
	return size + (second & 128 ? 4 : 0) + length;
}

/*
 * Reads the header that begins, or goes on, at w->at of s->payload, whose window ends at w->end. True: another header
 * begins in the window, at w->at.
 */
__noinline int read_header(void)
{
	struct scratch *s = current_scratch();
	u64 at, rest, low, high, total, copy;
	const volatile struct frame_header *h;
	const volatile struct frames *f;
	u32 length, have, shift, size;
	struct work *w;
	bool first;
	u8 type;

	if (!s)
		return false;
	w = &s->work;
	at = w->at;
	asm volatile("" : "+r"(at));
	if (at >= PAYLOAD_MAX + CHUNK_MAX || at >= w->end)
		return false;
	first = w->line & 1;
	low = *(volatile u64 *)(s->payload + at);
	high = *(volatile u64 *)(s->payload + at + 8);
	rest = w->end - at;
	if (rest < 8) {
		low &= (1ull << rest * 8) - 1;
		high = 0;
	} else if (rest < PEEK) {
		high &= (1ull << (rest - 8) * 8) - 1;
	}
	have = w->have;
	shift = (have & 7) * 8;
	if (have >= 8) {
		w->head[1] |= low << shift;
	} else if (shift) {
		w->head[0] |= low << shift;
		w->head[1] = high << shift | low >> (64 - shift);
	} else {
		w->head[0] = low;
		w->head[1] = high;
	}
	f = frames_of(w->framed);
	h = first ? &f->first : &f->header;
	size = h->size;
	if (h->variable && have + rest >= 2)
		size = variable_size(*(volatile u8 *)((u8 *)w->head + 1));
	if (have + rest < size) {
		w->have = have + rest;
		w->at = w->end;
		return false;
	}
	length = *(volatile u32 *)((u8 *)w->head + (h->length_at & 15));
	if (h->little)
		length <<= h->unused_bits & 31;
	else
		length = __builtin_bswap32(length);
	length >>= h->unused_bits & 31;
	total = (u64)length + (s64)h->add;
	if (h->variable)
		total = variable_length(w, size);
	if (total < h->size || total < have || total > h->most) {
		w->line = LINE_UNKNOWN;
		return false;
	}
	copy = total;
	if (first) {
		if (!comes_again(w, f))
			w->line = LINE_FRAME;
	} else if (!w->all) {
		type = *(volatile u8 *)((u8 *)w->head + (h->type_at & 15));
		copy = f->copy[w->server & 1][f->class[w->server & 1][type] & (COPIES_MAX - 1)];
		if (copy < size)
			copy = size;
		if (copy > total)
			copy = total;
	}
	w->wanted = w->frame + copy;
	w->frame += total;
	w->have = 0;
	w->at = at + total - have;
	return w->at < w->end;
}

/* Reads the headers of the window. */
__noinline int read_headers(void)
{
	for (u32 i = 0; i < HEADERS_MAX; i++) {
		if (!read_header())
			break;
	}
	return 0;
}

/* What the bytes of a small event, which are shipped, say of those that follow. */
__noinline int small_frames(void)
{
	struct work *w = current_work();
	struct connection *c;
	struct direction *d;

	if (!w)
		return 0;
	c = connection_at(w);
	if (!c)
		return 0;
	d = &c->sides[w->side & 1];
	take_frames(w, c, d);
	w->at = w->frame > w->offset ? w->frame - w->offset : 0;
	w->end = w->count;
	read_headers();
	if (w->at < w->end)
		w->line = LINE_UNKNOWN; /* no length, or more headers than are looked at */
	put_frames(w, c, d);
	return 0;
}

/* Appends `length` bytes from `position` of the event on. False: they could not be read. */
static __always_inline bool read_window(struct scratch *s, struct work *w, u64 position, u64 length)
{
	u64 begin = w->filled, first, done = 0;

	if (w->buffer)
		return append(s, w, w->buffer + position, length, position - w->told);
	for (u32 i = 0; i < VECTOR_STEPS; i++) {
		first = w->iov_first;
		read_buffers(position + done, position + length);
		done = w->filled - begin;
		if (done >= length || w->unreadable || w->iov_first == first)
			break;
	}
	return done == length;
}

/* Takes back all but `keep` of the `length` bytes that were appended last. */
static __always_inline void take_back(struct scratch *s, struct work *w, u64 length, u64 keep)
{
	u32 last = (w->segments - 1) & (SEGMENTS_MAX - 1);

	w->filled -= length - keep;
	s->cut.segments[last].length -= length - keep;
	if (!s->cut.segments[last].length)
		w->segments = last;
}

/* Sends what was read, as a record of the event's bytes up to w->position. */
__noinline int tell_frames(void)
{
	struct scratch *s = current_scratch();
	struct connection *c;
	struct work *w;
	u64 length;

	if (!s)
		return 0;
	w = &s->work;
	c = connection_at(w);
	if (!c)
		return 0;
	length = w->position - w->told;
	tell(s, w, c, w->offset + w->told, length, w->flags | (w->told ? FLAG_PART : 0));
	w->shipped += w->filled;
	w->told = w->position;
	w->filled = w->segments = w->unreadable = 0;
	return 0;
}

/*
 * Ships a window of the event from w->position on, without what is not wanted of the frame that goes on behind it, and
 * moves behind that. False: the event is done, or the position is lost.
 */
__noinline int frames_step(void)
{
	struct scratch *s = current_scratch();
	u64 position, at, length, keep, begin, room;
	struct work *w;

	if (!s)
		return false;
	w = &s->work;
	position = w->position;
	at = w->offset + position;
	if (w->frame > at && w->wanted <= at)
		position += w->frame - at;
	if (position >= w->count) {
		w->position = w->count;
		return false;
	}
	at = w->offset + position;
	w->position = position;
	if (w->segments >= SEGMENTS_MAX || w->filled > PAYLOAD_MAX - WINDOW_LEAST)
		tell_frames();
	begin = w->filled;
	length = w->window;
	if (w->frame > at && w->wanted - at > length)
		length = w->wanted - at;
	if (length > WINDOW_MOST)
		length = WINDOW_MOST;
	if (length > PAYLOAD_MAX - begin)
		length = PAYLOAD_MAX - begin;
	if (length > w->count - position)
		length = w->count - position;
	if (!read_window(s, w, position, length)) {
		w->line = LINE_UNKNOWN;
		return false;
	}
	w->end = begin + length;
	w->at = w->frame > at ? begin + (w->frame - at) : begin;
	read_headers();
	keep = length;
	if (w->line && w->at < w->end)
		keep = w->at - begin; /* the rest is read again */
	else if (w->frame > at + length && w->wanted < at + length)
		keep = w->wanted - at;
	w->position = position + (w->at < w->end ? keep : length);
	w->window = WINDOW_LEAST;
	if (keep == length)
		w->window = 2 * length < WINDOW_MOST ? 2 * length : WINDOW_MOST;
	/* Beyond what may be shipped of an event frames are followed all the same. */
	room = w->shipped + begin < payload_bytes ? payload_bytes - w->shipped - begin : 0;
	if (keep > room)
		keep = room;
	if (keep < length)
		take_back(s, w, length, keep);
	return w->line;
}

/* Ships a window behind the place where the position was lost, as far as the budget goes. False: nothing more. */
__noinline int rest_step(void)
{
	struct scratch *s = current_scratch();
	struct connection *c;
	struct direction *d;
	struct work *w;
	u64 length, begin;

	if (!s)
		return false;
	w = &s->work;
	c = connection_at(w);
	if (!c)
		return false;
	d = &c->sides[w->side & 1];
	if (w->segments >= SEGMENTS_MAX || w->filled > PAYLOAD_MAX - WINDOW_LEAST)
		tell_frames();
	begin = w->filled;
	length = w->count - w->position;
	if (length > WINDOW_MOST)
		length = WINDOW_MOST;
	if (length > PAYLOAD_MAX - begin)
		length = PAYLOAD_MAX - begin;
	if (length > d->budget)
		length = d->budget;
	if (w->shipped + begin + length > payload_bytes || !length || !read_window(s, w, w->position, length))
		return false;
	w->position += length;
	d->budget -= length;
	return w->position < w->count;
}

/* Sends the records of an event whose frames are followed. */
__noinline int transfer_frames(void)
{
	struct work *w = current_work();
	struct connection *c;
	struct direction *d;

	if (!w)
		return 0;
	c = connection_at(w);
	if (!c)
		return 0;
	d = &c->sides[w->side & 1];
	take_frames(w, c, d);
	w->told = w->shipped = w->iov_at = w->iov_first = w->position = 0;
	w->filled = w->segments = w->unreadable = 0;
	w->window = WINDOW_LEAST;
	for (u32 i = 0; i < FRAMES_STEPS; i++) {
		if (!frames_step())
			break;
	}
	if (w->position < w->count) {
		w->line = LINE_UNKNOWN;
		for (u32 i = 0; i < FRAMES_STEPS; i++) {
			if (w->unreadable || !rest_step())
				break;
		}
		w->position = w->count;
	}
	if (w->told < w->count)
		tell_frames();
	put_frames(w, c, d);
	return 0;
}

#endif
