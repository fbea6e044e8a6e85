/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Following the framing of large messages, so that bodies and long values need not be shipped. A direction is followed
 * from an event of LARGE_BYTES that begins a message: then it is known at which offset framing goes on, whatever moves
 * until there. User space follows the same framing with more care; where this here gives up, the budget decides.
 */
#ifndef MILLRACE_FRAMING_H
#define MILLRACE_FRAMING_H

#include "payload.h"

#define LARGE_BYTES 4096 /* events below are shipped whole at less cost than following them */
#define BODY_BYTES 4096	 /* longest value, chunk or body that is shipped whole while framing is followed */
#define VALUE_BYTES 256	 /* of a longer value of Redis: what user space keeps of it */
#define LENGTH_LIMIT (1ull << 40)
#define LINE_STEP 32   /* bytes that are looked at in one step */
#define LINE_STEPS 256 /* of one part; beyond it the part is nothing but framing */
#define SCAN_STEP 16
#define SCAN_BYTES 4096 /* longest head of HTTP whose headers are looked at */
#define HEAD_STEPS 512	/* as LINE_STEPS, in a head: all of a part */
#define HEAD_PARTS 80	/* most parts of a head, more than 1 MiB */

/* What is read at an offset. */
enum line {
	LINE_UNKNOWN,
	LINE_VALUE,	 /* Redis: before a value, and perhaps the line end that follows a string */
	LINE_LENGTH,	 /* Redis: in the length of a string */
	LINE_REST,	 /* Redis: in the rest of another line */
	LINE_CHUNK,	 /* HTTP: before the size of a chunk, and perhaps the line end that follows the one before */
	LINE_SIZE,	 /* HTTP: in the size of a chunk */
	LINE_EXTENSION,	 /* HTTP: behind it */
	LINE_MESSAGE,	 /* HTTP: at the end of a body */
	LINE_HEAD,	 /* HTTP: in a long head; what it says of the body is not looked at */
	LINE_FRAME = 32, /* a frame, see frames.h */
	LINE_FIRST,	 /* a first frame */
	LINE_BODY = 64,	 /* all bytes before are body, and not needed */
};

static __always_inline bool is_letter(u8 c)
{
	return (c | 32) >= 'a' && (c | 32) <= 'f';
}

static __always_inline bool size_digit(struct work *w, u8 c)
{
	w->number = w->number << 4 | (is_digit(c) ? c - '0' : (c | 32) - 'a' + 10);
	return w->number < LENGTH_LIMIT;
}

/* One byte of a line. False if it cannot be there. */
static __always_inline bool line_byte(struct work *w, u8 c)
{
	switch (w->line) {
	case LINE_VALUE:
		if (c == '\r' || c == '\n')
			return true;
		w->number = 0;
		if (c == '$' || c == '!' || c == '=' || c == ';')
			w->line = LINE_LENGTH;
		else if (c == '*' || c == '%' || c == '~' || c == '>' || c == '|' || c == '+' || c == '-' || c == ':' || c == ',' ||
			 c == '(' || c == '#' || c == '_' || c == '.' || is_upper(c) || is_upper(c - 32))
			w->line = LINE_REST;
		else
			return false;
		return true;
	case LINE_LENGTH:
		if (is_digit(c))
			w->number = w->number * 10 + (c - '0');
		else if (c == '-' || c == '?')
			w->line = LINE_REST;
		else
			return c == '\r' || c == '\n';
		return w->number < LENGTH_LIMIT;
	case LINE_HEAD: /* the lowest bit: nothing of the line was seen */
		if (c == '\n' && w->number & 1)
			return false; /* the end of the head; then the budget decides */
		if (c == '\n')
			w->number |= 1;
		else if (c != '\r')
			w->number &= ~1ull;
		return true;
	case LINE_CHUNK:
		if (c == '\r' || c == '\n')
			return true;
		w->number = 0;
		w->line = LINE_SIZE;
		return is_digit(c) || is_letter(c) ? size_digit(w, c) : false;
	case LINE_SIZE:
		if (is_digit(c) || is_letter(c))
			return size_digit(w, c);
		if (c == ';' || c == ' ' || c == '\t')
			w->line = LINE_EXTENSION;
		else
			return c == '\r' || c == '\n';
	}
	return true;
}

/* Moves behind bytes whose length a line told. False if they are left out. */
static __always_inline bool pass_body(struct work *w, u32 kept)
{
	u64 number = w->number;

	if (number > BODY_BYTES) {
		w->keep = w->at + kept;
		w->line |= LINE_BODY;
	}
	w->at += number;
	w->number = 0;
	return number <= BODY_BYTES;
}

/*
 * Reads on at w->at of what is in s->payload. True: not at its end yet. Verified once, on its own; what it knows is in
 * memory, because the verifier follows values there more cheaply than in registers.
 */
__noinline int follow_step(void)
{
	struct scratch *s = current_scratch();
	struct work *w;

	if (!s)
		return false;
	w = &s->work;
	for (int i = 0; i < LINE_STEP; i++) {
		u64 at = w->at;
		u8 c;

		asm volatile("" : "+r"(at));
		if (at >= w->filled || at >= PAYLOAD_MAX + CHUNK_MAX)
			return false;
		c = s->payload[at];
		w->at = at + 1;
		if (!line_byte(w, c)) {
			w->line = LINE_UNKNOWN;
			return false;
		}
		if (c != '\n')
			continue;
		switch (w->line) {
		case LINE_LENGTH:
			w->line = LINE_VALUE;
			return pass_body(w, VALUE_BYTES);
		case LINE_REST:
			w->line = LINE_VALUE;
			return true;
		case LINE_SIZE:
		case LINE_EXTENSION:
			w->line = w->number ? LINE_CHUNK : LINE_UNKNOWN; /* trailers, and the next message */
			return w->number && pass_body(w, 0);
		}
	}
	return true;
}

/* Follows the lines in s->payload from w->at. */
__noinline int follow(void)
{
	struct work *w = current_work();

	if (!w)
		return 0;
	for (u32 i = 0; i < HEAD_STEPS; i++) {
		if (i >= LINE_STEPS && w->line != LINE_HEAD)
			break;
		if (!follow_step())
			return 0;
	}
	w->line = LINE_UNKNOWN;
	return 0;
}

/*
 * Whether what is in s->payload has the framing of messages, though it does not begin with one; then w->line and w->at
 * say where it goes on. As far as a value may reach that is shipped whole; of HTTP, whose messages are larger, near
 * the beginning.
 */
__noinline int find_framing(u64 protocol)
{
	u32 end = protocol == PROTOCOL_REDIS ? BODY_BYTES : HEAD_BYTES;
	struct work *w = current_work();

	if (!w)
		return false;
	for (u32 i = 0; i < BODY_BYTES; i += FRAMING_STEP) {
		if (i >= end || i + FRAMING_STEP > w->filled)
			return false;
		if (framing_at(i, protocol)) {
			w->line = LINE_VALUE;
			w->number = 0;
			return true;
		}
	}
	return false;
}

#define EIGHT(a, b, c, d, e, f, g, h) ((u64)FOUR(a, b, c, d) | (u64)FOUR(e, f, g, h) << 32)
#define LOWER 0x2020202020202020ull
#define LENGTH_DIGITS 24

/* Notes what a header line at `at` of s->payload says of the body. */
__noinline int header_at(u64 at)
{
	struct scratch *s = current_scratch();
	u64 first, second, third;
	struct work *w;
	u8 *b;

	if (!s || at > SCAN_BYTES)
		return 0;
	w = &s->work;
	b = s->payload + at;
	first = *(volatile u64 *)b | LOWER;
	second = *(volatile u64 *)(b + 8) | LOWER;
	if (first == EIGHT('c', 'o', 'n', 't', 'e', 'n', 't', '-') && second << 8 == EIGHT(0, 'l', 'e', 'n', 'g', 't', 'h', ':')) {
		if (w->sized || w->coded) {
			w->unsure = 1;
			return 0;
		}
		w->number = 0;
		for (int i = 15; i < 15 + LENGTH_DIGITS; i++) {
			u8 c = b[i];

			if (c == '\r' || c == '\n')
				return 0;
			if (is_digit(c)) {
				w->number = w->number * 10 + (c - '0');
				w->sized = 1;
			} else if (c != ' ' || w->sized) {
				break;
			}
		}
		w->unsure = 1;
	} else if (first == EIGHT('t', 'r', 'a', 'n', 's', 'f', 'e', 'r') &&
		   second == EIGHT('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n')) {
		third = *(volatile u64 *)(b + 19) | LOWER;
		if (b[18] != ' ' || third != (EIGHT('c', 'h', 'u', 'n', 'k', 'e', 'd', '\r') | LOWER) || w->sized || w->coded)
			w->unsure = 1;
		w->coded = 1;
	}
	return 0;
}

#define SCAN_LINE 64 /* a header that may frame the body begins behind the positions */

/*
 * Looks for a header that may frame the body, and for the end of the head, at SCAN_STEP positions. Gives how many of
 * them were looked at, with SCAN_LINE if it found a header; 0 if the head ends.
 */
__noinline int scan_step(u64 from)
{
	struct scratch *s = current_scratch();
	u8 *b;

	if (!s || from > SCAN_BYTES - SCAN_STEP)
		return 0;
	b = s->payload + from;
	for (int i = 0; i < SCAN_STEP; i++) {
		u32 word = *(volatile u32 *)(b + i);
		u8 letter;

		if ((word & 0xff) != '\n')
			continue;
		letter = word >> 8 | 32;
		if (letter == 'c' || letter == 't')
			return (i + 1) | SCAN_LINE;
		if ((word >> 8 & 0xffff) == FOUR('\r', '\n', 0, 0) || (word >> 8 & 0xff) == '\n') {
			s->work.head_end = from + i + ((word >> 8 & 0xff) == '\n' ? 2 : 3);
			return 0;
		}
	}
	return SCAN_STEP;
}

#define SCAN_LINES 256 /* lines that may frame the body, of one head */

/* Looks from the beginning of s->payload to the end of the head. */
__noinline int scan_head(void)
{
	struct work *w = current_work();
	u64 from = 0;
	u32 passed;

	if (!w)
		return 0;
	for (u32 i = 0; i < SCAN_BYTES / SCAN_STEP + SCAN_LINES; i++) {
		if (from >= w->filled)
			break;
		passed = scan_step(from);
		if (!passed)
			break;
		from += passed & (SCAN_LINE - 1);
		if (passed & SCAN_LINE)
			header_at(from);
	}
	return 0;
}

/*
 * Reads the head of HTTP at the beginning of s->payload, and sets w->line and w->at to where framing goes on if it is
 * certain. A response to HEAD and a 304 say how long the body would be: what comes instead of it begins an event,
 * which shows it, or follows at once.
 */
static __always_inline void read_head(struct scratch *s, struct work *w)
{
	bool response;
	u32 status;
	u64 end;

	response = *(volatile u32 *)s->payload == FOUR('H', 'T', 'T', 'P');
	/* A method, or the version of a response. */
	if (!is_upper(s->payload[0]) || !is_upper(s->payload[1]) || !is_upper(s->payload[2]))
		return;
	w->head_end = w->number = 0;
	w->sized = w->coded = w->unsure = 0;
	scan_head();
	end = w->head_end;
	asm volatile("" : "+r"(end));
	if (!end || end > w->filled) {
		w->line = LINE_HEAD;
		w->at = w->number = 0;
		return;
	}
	if (end > SCAN_BYTES || w->unsure)
		return;
	if (end < w->filled && *(volatile u32 *)(s->payload + end) == FOUR('H', 'T', 'T', 'P'))
		return;
	w->at = end;
	if (w->coded) {
		w->line = LINE_CHUNK;
		w->number = 0;
		return;
	}
	if (!w->sized) {
		status = *(volatile u32 *)(s->payload + 9) & 0xffffff;
		if (!response || (status & 0xff) == '1' || status == FOUR('2', '0', '4', 0) || status == FOUR('3', '0', '4', 0))
			return;
		w->number = LENGTH_LIMIT; /* until the connection is closed */
	}
	if (w->number <= BODY_BYTES)
		return;
	w->line = LINE_MESSAGE | LINE_BODY;
	w->keep = end;
	w->at = end + w->number;
	w->number = 0;
}

/*
 * Whether a small event may end with what tells the length of a long body or value: a server may send a head, and a
 * client a command up to its value, by itself.
 */
static __always_inline bool ends_with_length(struct scratch *s, struct work *w, u8 protocol)
{
	u64 at = w->filled - 4;
	u8 *end;

	/* The compiler must not check another value in the place of this one: verifiers before 5.15 lose the bound. */
	asm volatile("" : "+r"(at));
	if (at > SMALL_BYTES)
		return false;
	end = s->payload + at;
	if (protocol == PROTOCOL_HTTP1) /* most requests that end with their head have no body */
		return *(volatile u32 *)end == FOUR('\r', '\n', '\r', '\n') && s->payload[0] != 'G' && s->payload[1] != 'E';
	return end[3] == '\n' && is_digit(end[1]) && is_digit(end[0]) && is_text(protocol);
}

/* Reads that length. */
static __always_inline void read_length(struct scratch *s, struct work *w, u8 protocol)
{
	u64 at;

	if (protocol == PROTOCOL_HTTP1) {
		read_head(s, w);
		if (w->line == LINE_HEAD)
			w->line = LINE_UNKNOWN;
		return;
	}
	for (int i = 3; i < 16; i++) {
		at = w->filled - i;
		asm volatile("" : "+r"(at));
		if (at > SMALL_BYTES)
			return;
		if (s->payload[at] == '$') {
			w->line = LINE_LENGTH;
			w->at = at + 1;
			w->number = 0;
			follow_step();
			if (!(w->line & LINE_BODY))
				w->line = LINE_UNKNOWN;
			return;
		}
		if (!is_digit(s->payload[at]))
			return;
	}
}

#endif
