/* SPDX-License-Identifier: GPL-2.0 */
/* Datagrams to and from the ports of DNS: each is a record of its own. */
#ifndef MILLRACE_DATAGRAM_H
#define MILLRACE_DATAGRAM_H

#include "goroutine.h"
#include "payload.h"
#include "syscall.h"

#define IPPROTO_UDP 17
#define DATAGRAM_MAX 1232 /* bytes of one that are shipped: what resolvers offer to take (RFC 9715) */
#define DATAGRAMS_MAX 64  /* of one call */

#define DATAGRAM_PORTS_MAX 8

/* Ports whose datagrams are captured, in host order; 0 behind the last. */
const volatile u16 datagram_ports[DATAGRAM_PORTS_MAX] = {53};

static __always_inline bool is_datagram_port(u16 port)
{
	bool found = false;

	for (int i = 0; i < DATAGRAM_PORTS_MAX; i++)
		found |= datagram_ports[i] == port;
	return found && port;
}

/* What stands in front of the payload of a datagram's record. IPv4 addresses are mapped to IPv6. */
struct datagram {
	u8 local[16];
	u8 remote[16];
	u32 netns;
	u16 local_port;
	u16 remote_port; /* both in host order; 0: not known */
	u64 reserved;
};

static __always_inline void map_address(u8 *to, u32 address)
{
	__builtin_memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, &address, sizeof(address));
}

/* The other end by a sockaddr in user memory; 0: by the socket, which may be connected. */
static __always_inline void read_remote(struct datagram *d, struct sock_common *common, u16 family, u64 address)
{
	struct {
		u16 family, port;
		u32 address;
	} head = {};

	d->remote_port = 0;
	__builtin_memset(d->remote, 0, sizeof(d->remote));
	if (address && !bpf_probe_read_user(&head, sizeof(head), (void *)address)) {
		d->remote_port = __builtin_bswap16(head.port);
		if (head.family == AF_INET6)
			bpf_probe_read_user(d->remote, sizeof(d->remote), (void *)(address + 8));
		else
			map_address(d->remote, head.address);
		return;
	}
	d->remote_port = __builtin_bswap16(BPF_CORE_READ(common, skc_dport));
	if (family == AF_INET6)
		BPF_CORE_READ_INTO(&d->remote, common, skc_v6_daddr.in6_u.u6_addr8);
	else
		map_address(d->remote, BPF_CORE_READ(common, skc_daddr));
}

/* Sends the record of the datagram in w, of which w->end bytes are in user memory. `address`: see read_remote(). */
__noinline int tell_datagram(u64 address)
{
	struct scratch *s = current_scratch();
	struct sock_common *common;
	u64 readable, size;
	struct datagram *d;
	struct record *r;
	struct work *w;
	u16 family;

	if (!s)
		return 0;
	w = &s->work;
	common = (struct sock_common *)w->key;
	d = (struct datagram *)s->payload;
	family = BPF_CORE_READ(common, skc_family);
	d->local_port = BPF_CORE_READ(common, skc_num);
	read_remote(d, common, family, address);
	if (!is_datagram_port(d->local_port) && !is_datagram_port(d->remote_port))
		return 0;
	if (family == AF_INET6)
		BPF_CORE_READ_INTO(&d->local, common, skc_v6_rcv_saddr.in6_u.u6_addr8);
	else
		map_address(d->local, BPF_CORE_READ(common, skc_rcv_saddr));
	d->netns = BPF_CORE_READ(common, skc_net.net, ns.inum);
	readable = w->end < DATAGRAM_MAX ? w->end : DATAGRAM_MAX;
	w->filled = sizeof(*d);
	w->told = w->iov_at = w->iov_first = w->segments = w->unreadable = 0;
	read_range(s, w, 0, readable);
	r = &s->whole.head;
	__builtin_memset(r, 0, sizeof(*r));
	r->kind = w->side == SIDE_SEND ? RECORD_DATAGRAM_SENT : RECORD_DATAGRAM_RECEIVED;
	size = w->filled;
	asm volatile("" : "+r"(size));
	if (size > PAYLOAD_MAX)
		return 0;
	r->payload = size - sizeof(*d);
	if (r->payload < w->count)
		r->flags = FLAG_CUT;
	if (w->unreadable) {
		r->flags |= FLAG_UNREADABLE;
		count_loss(LOSS_PAYLOAD_UNREADABLE, w->count - r->payload);
	}
	r->pid = w->pid;
	r->thread = w->thread;
	r->length = w->count;
	r->time = w->time;
	r->duration = w->duration;
	r->key = w->key;
	r->goroutine = w->goroutine;
	r->parent_goroutine = w->parent_goroutine;
	send_record(r, sizeof(*r) + size, r->payload);
	return 0;
}

/* The datagrams of one recvmmsg or sendmmsg; those beyond 64 are counted as lost. */
__noinline int tell_datagrams(u64 vector, u64 count)
{
	struct work *w = current_work();
	struct mmsghdr *message;
	u64 address;
	u32 length;

	if (!w)
		return 0;
	for (u32 i = 0; i < DATAGRAMS_MAX; i++) {
		message = &((struct mmsghdr *)vector)[i];
		if (i >= count)
			return 0;
		length = 0;
		address = 0;
		bpf_probe_read_user(&length, sizeof(length), &message->length);
		bpf_probe_read_user(&address, sizeof(address), &message->header.name);
		bpf_probe_read_user(&w->iov, sizeof(u64), &message->header.iov);
		bpf_probe_read_user(&w->iov_count, sizeof(u64), &message->header.iov_count);
		w->count = w->end = length;
		if (length)
			tell_datagram(address);
	}
	if (count > DATAGRAMS_MAX)
		count_loss(LOSS_NOT_OBSERVABLE, 0);
	return 0;
}

/* Whether datagrams of the socket are of such a port for certain: one that is not connected may send anywhere. */
static __always_inline bool is_dns(struct sock *sk)
{
	u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return (family == AF_INET || family == AF_INET6) && BPF_CORE_READ(sk, sk_protocol) == IPPROTO_UDP &&
	       (is_datagram_port(__builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport))) ||
		is_datagram_port(BPF_CORE_READ(sk, __sk_common.skc_num)));
}

/* Whether datagrams of the socket may be DNS. It is not a TCP connection nor a Unix-domain stream. */
static __always_inline bool may_be_dns(struct sock *sk)
{
	u16 family = BPF_CORE_READ(sk, __sk_common.skc_family), remote;

	if ((family != AF_INET && family != AF_INET6) || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_UDP)
		return false;
	remote = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	return !remote || is_datagram_port(remote) || is_datagram_port(BPF_CORE_READ(sk, __sk_common.skc_num));
}

#endif
