/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unix-domain streams. No hook tells of their end, and the kernel soon gives the sock of a closed one to another: an
 * entry is found by the sock and the inode of its socket, which are an end's own while it lives. Both ends may be seen
 * first at the same moment on two CPUs, so an entry is only ever added (BPF_NOEXIST), never replaced.
 */
#ifndef MILLRACE_UNIX_H
#define MILLRACE_UNIX_H

#include "connection.h"

struct unix_key {
	u64 sock;
	u64 inode; /* 0: what the other end left for one that was not accepted yet */
};

/* The oldest make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct unix_key);
	__type(value, struct connection);
} unix_connections SEC(".maps");

static __always_inline struct connection *unix_entry(u64 sock, u64 inode)
{
	struct unix_key key = {.sock = sock, .inode = inode};

	return bpf_map_lookup_elem(&unix_connections, &key);
}

static __always_inline void add_unix(u64 sock, u64 inode, struct connection *entry, u64 how)
{
	struct unix_key key = {.sock = sock, .inode = inode};

	bpf_map_update_elem(&unix_connections, &key, entry, how);
}

static __always_inline u32 unix_inode(struct sock *sk)
{
	struct socket_alloc *socket;

	if (fast_reads) {
		socket = (struct socket_alloc *)FAST(sock, sk)->sk_socket;
		return socket ? FAST(socket_alloc, socket)->vfs_inode.i_ino : 0;
	}
	socket = (struct socket_alloc *)BPF_CORE_READ(sk, sk_socket);
	return socket ? BPF_CORE_READ(socket, vfs_inode.i_ino) : 0;
}

static __always_inline u64 unix_peer(struct sock *sk)
{
	return (u64)BPF_CORE_READ((struct unix_sock *)sk, peer);
}

/* What the other end, which knew no inode of this one, left for it; NULL if that was another connection's. */
static __always_inline struct connection *unix_left(u64 sock, u64 peer)
{
	struct connection *left = unix_entry(sock, 0);

	return left && left->peer == peer ? left : NULL;
}

/* Makes an entry that of the other end, whose sock and inode are given. */
static __always_inline void mirror(struct connection *c, u64 peer, u32 inode)
{
	c->facts.id ^= 1ull << 63;
	c->facts.send_flow = c->facts.send_flow << 32 | c->facts.send_flow >> 32;
	if (c->facts.role)
		c->facts.role = c->facts.role == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER;
	c->peer = peer;
	c->inode = inode;
}

/* Fills in the entry of an end, as far as this end tells. */
static __always_inline void draft_unix(struct connection *c, struct sock *sk, u64 peer, u32 inode, u32 peer_inode)
{
	bool named = BPF_CORE_READ((struct unix_sock *)sk, addr) != NULL;
	bool peer_named = BPF_CORE_READ((struct unix_sock *)peer, addr) != NULL;

	c->facts.id = new_identity(bpf_ktime_get_ns());
	c->facts.transport = TRANSPORT_UNIX;
	c->facts.family = AF_UNIX;
	c->facts.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	/* The accepting end bears the listener's name, the connecting one seldom has any. */
	if (named != peer_named)
		c->facts.role = named ? ROLE_SERVER : ROLE_CLIENT;
	c->facts.send_flow = (u64)inode << 32 | (peer_inode ? peer_inode : ~inode);
	c->sides[SIDE_SEND].started = c->sides[SIDE_RECEIVE].started = 1;
	c->peer = peer;
	c->inode = inode;
}

/*
 * Enters both ends when one is seen first, so that they agree on the identity. The other end comes first: whoever adds
 * its entry decides. An end that is not accepted yet has no inode; the complement of this one's stands in for it, and
 * what is left for it matters if this end is closed, and has no inode any more, before the other is seen.
 */
static __noinline struct connection *enter_unix(struct sock *sk, u32 inode, u64 bytes)
{
	u64 key = (u64)sk, peer = unix_peer(sk);
	struct connection *fresh = new_draft(), *other = NULL, *own;
	u32 peer_inode;

	if (!peer || !inode || !fresh) {
		if (bytes)
			count_loss(LOSS_NO_OFFSET, bytes);
		return NULL;
	}
	peer_inode = unix_inode((struct sock *)peer);
	draft_unix(fresh, sk, peer, inode, peer_inode);
	if (peer_inode) {
		mirror(fresh, key, peer_inode);
		add_unix(peer, peer_inode, fresh, BPF_NOEXIST);
		mirror(fresh, peer, inode);
		other = unix_entry(peer, peer_inode);
	} else if (BPF_CORE_READ((struct sock *)peer, __sk_common.skc_flags) & SOCK_DEAD_BIT) {
		other = unix_left(key, peer);
	} else {
		mirror(fresh, key, 0);
		add_unix(peer, 0, fresh, BPF_ANY);
		mirror(fresh, peer, inode);
	}
	if (other && other->paired) {
		/* This end was entered: after we looked, or so long ago that it had to make room. */
		own = unix_entry(key, inode);
		if (own)
			return own;
		/* Where the stream is, is not known any more: no offset of the other end's may be taken for one of these. */
		count_full(TABLE_UNIX_CONNECTIONS, bytes);
		fresh->facts.send_flow = (u64)inode << 32 | (u32)(fresh->facts.id >> 10);
	} else if (other && peer_inode) {
		fresh->facts.send_flow = other->facts.send_flow << 32 | other->facts.send_flow >> 32;
	} else if (other) {
		fresh->facts.send_flow = other->facts.send_flow;
	}
	fresh->paired = peer_inode != 0;
	add_unix(key, inode, fresh, BPF_NOEXIST);
	if (other)
		other->paired = 1;
	return unix_entry(key, inode);
}

/* The entry of an end of which `bytes` moved, which is made if there is none. */
static __always_inline struct connection *unix_connection(struct sock *sk, u64 bytes)
{
	u32 inode = unix_inode(sk);

	return unix_entry((u64)sk, inode) ?: enter_unix(sk, inode, bytes);
}

/* Whether an end was entered, or something was left for it. */
static __always_inline bool is_entered(struct sock *sk)
{
	return unix_entry((u64)sk, unix_inode(sk)) || unix_left((u64)sk, unix_peer(sk));
}

#endif
