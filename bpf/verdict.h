/* SPDX-License-Identifier: GPL-2.0 */
/* What user space says of a connection once it knows what the connection speaks. */
#ifndef MILLRACE_VERDICT_H
#define MILLRACE_VERDICT_H

#include "frames.h"

#define VERDICT_TURNS 0x100 /* added to the protocol: CONNECTION_TURNS */
#define VERDICT_ASKS 0x200  /* the same: CONNECTION_ASKS */

struct verdict {
	struct named connection;
	u64 protocol;
	u64 framed;  /* number of the entry of `frames` by which messages go on, 0: as first bytes have told */
	u64 next[2]; /* with that, where in each direction a frame begins, or PLACED_SKIP; 0: not known */
};

/* Added to what set_verdict gives, for what is sent: the frames are followed. For what is received it is twice that. */
#define VERDICT_FOLLOWED 2

/*
 * User space knows where the frames begin that follow an upgrade. Until an event has taken what it said, all that moves
 * is copied, so that it knows it again of what comes next. Where the position is lost later all is copied as well.
 */
static __always_inline int place_verdict(struct verdict *verdict, struct connection *c)
{
	int followed = 0;

	if (c->framed != verdict->framed) {
		c->framed = verdict->framed;
		c->sides[SIDE_SEND].line = c->sides[SIDE_RECEIVE].line = LINE_UNKNOWN;
	}
	if (verdict->protocol & VERDICT_ASKS)
		c->flags |= CONNECTION_ASKS;
	else
		c->flags &= ~CONNECTION_ASKS;
	for (u32 side = SIDE_SEND; side <= SIDE_RECEIVE; side++) {
		struct direction *d = &c->sides[side & 1];

		d->budget = verdict->next[side & 1] == PLACED_SKIP ? 0 : BUDGET_ALL;
		if (is_framed(d->line))
			followed |= VERDICT_FOLLOWED << side;
		else if (d->budget)
			d->placed = verdict->next[side & 1];
	}
	return followed;
}

/* Run by user space, never attached: changes what is shipped of a connection, in place. */
SEC("raw_tp")
int set_verdict(struct verdict *verdict)
{
	struct connection *c = connection_named(&verdict->connection);

	if (!c)
		return 1;
	c->facts.protocol = verdict->protocol;
	c->tries = 0;
	if (verdict->framed)
		return place_verdict(verdict, c);
	c->sides[SIDE_SEND].budget = c->sides[SIDE_RECEIVE].budget = message_bytes;
	if (verdict->protocol & VERDICT_TURNS)
		c->flags |= CONNECTION_TURNS;
	else if (c->framed && frames_of(c->framed)->protocol == verdict->protocol)
		return 0; /* followed already */
	c->framed = 0;
	c->sides[SIDE_SEND].line = c->sides[SIDE_RECEIVE].line = LINE_UNKNOWN;
	return 0;
}

#endif
