/* SPDX-License-Identifier: GPL-2.0 */
/* Connections: their identity on the wire, the table that holds them, and positions in their byte streams. */
#ifndef MILLRACE_CONNECTION_H
#define MILLRACE_CONNECTION_H

#include "millrace.h"

const volatile bool fast_reads = false; /* see FAST() */

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262

enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
};

#define STATE_BIT(state) (1u << (state))
/* The local end has queued its FIN. */
#define FIN_QUEUED (STATE_BIT(TCP_FIN_WAIT1) | STATE_BIT(TCP_FIN_WAIT2) | STATE_BIT(TCP_LAST_ACK) | STATE_BIT(TCP_CLOSING))

#define SHUTDOWN_SEND 2
#define SOCK_DEAD_BIT (1ul << 0) /* enum sock_flags: it has no socket any more */
#define SOCK_DONE_BIT (1ul << 1) /* enum sock_flags: a FIN was received */

enum transport { TRANSPORT_TCP = 1, TRANSPORT_UNIX = 2 };
enum role { ROLE_UNKNOWN, ROLE_CLIENT, ROLE_SERVER };
enum protocol {
	PROTOCOL_NONE,
	PROTOCOL_HTTP1,
	PROTOCOL_REDIS,
	PROTOCOL_TLS,
	PROTOCOL_UNKNOWN,
	/*
	 * The first bytes could be many things: payload is copied until user space says what it is. Not in raw.proto.
	 */
	PROTOCOL_PENDING = 255,
};
enum side { SIDE_SEND, SIDE_RECEIVE };

/* One direction of a connection. */
struct direction {
	u64 next;	/* offset behind the last byte seen */
	u64 held[2];	/* the last events' bytes if they were few: the beginning of a token, perhaps, or of a frame's header */
	u32 budget;	/* payload bytes still to ship of the current message */
	u8 held_length; /* at most HELD_MAX */
	u8 started;	/* `next` is exact */
	u8 line;	/* what is read at `frame`, enum line in framing.h */
	u8 preface;	/* 1: began with a preface, and nothing that was recognised came since */
	u64 frame;	/* offset at which framing goes on, where `line` says that it is known */
	u64 number;	/* of the line that is being read there; with frames the offset behind what is wanted of one */
	u64 placed;	/* where a frame begins as user space says, for the next event to take; 0: nothing is said */
};

#define HELD_MAX 15
#define PLACED_SKIP (1ull << 63) /* added to `placed`: what moves before that offset is not needed */
#define BUDGET_ALL (~0u)	 /* of a direction whose bytes are all needed, until user space says which are not */

/* When bytes that were not read yet arrived at the socket; see arrival.h. Sequence numbers are of what is received. */
struct arrival {
	u64 last;  /* when the byte before `until` could be read; see enum arrival_time */
	u64 first; /* when the byte at `from` arrived, before which nothing waited; 0: not known */
	u32 until; /* behind the last byte that arrived */
	u32 from;
};

enum connection_flag {
	CONNECTION_ANNOUNCED = 1, /* its facts were sent */
	CONNECTION_IGNORED = 2,	  /* an end of Millrace's own */
	CONNECTION_LOST = 4,	  /* events were lost since the last record */
	CONNECTION_ENDED = 8,	  /* CLOSE or RESET was sent */
	CONNECTION_PEER_CHECKED = 16,
	CONNECTION_ABORTED = 32, /* ended by a reset that is not reported yet */
	CONNECTION_ASKS = 64,	 /* this end is the client, for frames */
	/* Its messages are not followed: what an end sends begins a message once the other end has sent something. */
	CONNECTION_TURNS = 128,
};

struct connection {
	struct connection_facts facts;
	struct direction sides[2];
	struct arrival arrival;
	u64 peer;  /* Unix-domain: the other sock */
	u64 inode; /* Unix-domain: of this end's socket, 0 while it is not accepted */
	union {
		u32 error;  /* TCP: of the reset that ended it */
		u32 paired; /* Unix-domain: both ends were entered */
	};
	u16 tries; /* data events without a known token */
	u8 flags;
	u8 framed;	   /* number of the entry of `frames`, from 1 on; 0: its protocol has none */
	u32 flow_segments; /* that had moved when its counters were told last */
	u8 flow_told;	   /* enum flow_told */
	u8 reserved[3];
};

/*
 * TCP connections that moved data for a process that is not ignored, by address of the sock. Entries go when the
 * kernel destroys the sock, so an address cannot mean an older connection.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u64);
	__type(value, struct connection);
} connections SEC(".maps");

/* Entries of connections. */
u64 connection_count = 0;

/* What is known of a TCP connection before it moves data. */
struct candidate {
	u64 id;
	u64 send_flow; /* 0: not established */
	u64 opened;
	u64 connecting;
	u8 role;
	u8 flags;     /* CONNECTION_IGNORED */
	u8 whole;     /* all its bytes can be seen */
	u8 flow_told; /* enum flow_told */
	u32 pid;      /* thread group that connected or listens; 0: not known */
	struct arrival arrival;
};

/*
 * TCP connections that have not moved data, by address of the sock: most of a node's idle ones. The oldest make room,
 * so they cannot fill a table that others need. One that is not found here, or that was entered nowhere because its
 * process is ignored, is looked at when it moves data: late_connection().
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct candidate);
} candidates SEC(".maps");

/* CLOSE and RESET records that found no room in the ring buffer. */
u64 ends_lost = 0;

/* Connections with an end of Millrace's own, as the halves of their flow in ascending order. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u8);
} ignored_flows SEC(".maps");

struct listener {
	u32 netns;
	u32 port;
};

struct listener_state {
	u32 sockets; /* that listen there */
	u32 pid;     /* thread group that called listen last; 0: before capture */
	u8 own;	     /* one is Millrace's own */
	u8 reserved[3];
};

/* Ports with a listening socket. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct listener);
	__type(value, struct listener_state);
} listeners SEC(".maps");

struct listening {
	u64 inode; /* of the socket */
	u32 netns;
	u32 pid; /* as in listener_state */
	u32 port;
	u32 reserved;
};

/* Listening sockets, by address of the sock: user space finds out who holds them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct listening);
} listening SEC(".maps");

/* Grows with each change of the table above. */
u64 listening_changes = 0;

/* The TCP ports of the rules, as bits. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536 / 64);
	__type(key, u32);
	__type(value, u64);
} rule_ports SEC(".maps");

/* A connection to or from such a port selects a process, whatever its program. */
const volatile bool ports_decide = false;

static __always_inline bool in_rules(u16 port)
{
	u32 word = port / 64;
	u64 *bits = bpf_map_lookup_elem(&rule_ports, &word);

	return bits && *bits >> (port & 63) & 1;
}

/* Whether a process with the policy may have events of a connection with the port of a rule. */
static __always_inline bool may_be_selected(struct policy *policy, u16 port)
{
	if (!policy)
		return true;
	if (policy->flags & POLICY_IGNORE)
		return false;
	return !(policy->flags & POLICY_CONDITIONAL) || in_rules(port);
}

/* The same for both ends and both directions. */
static __always_inline u64 unordered(u64 flow)
{
	u64 reverse = flow << 32 | flow >> 32;

	return reverse < flow ? reverse : flow;
}

/* Where new entries are made: on the stack they would not fit beside the callers' frames (512 bytes in all). */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct connection);
} drafts SEC(".maps");

static __always_inline struct connection *new_draft(void)
{
	struct connection *draft;
	u32 zero = 0;

	draft = bpf_map_lookup_elem(&drafts, &zero);
	if (draft)
		__builtin_memset(draft, 0, sizeof(*draft));
	return draft;
}

/* No two connections of a CPU begin in one nanosecond; the shift wraps after 208 days. */
static __always_inline u64 new_identity(u64 now)
{
	return now << 10 | (bpf_get_smp_processor_id() & 1023);
}

static __always_inline void read_addresses(struct sock *sk, struct connection_facts *facts)
{
	struct sock_common *common = &sk->__sk_common;

	facts->transport = TRANSPORT_TCP;
	facts->family = BPF_CORE_READ(common, skc_family);
	facts->local_port = BPF_CORE_READ(common, skc_num);
	facts->remote_port = __builtin_bswap16(BPF_CORE_READ(common, skc_dport));
	facts->netns = BPF_CORE_READ(common, skc_net.net, ns.inum);
	if (facts->family == AF_INET6) {
		BPF_CORE_READ_INTO(&facts->local, common, skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&facts->remote, common, skc_v6_daddr.in6_u.u6_addr8);
	} else {
		u32 address = BPF_CORE_READ(common, skc_rcv_saddr);

		__builtin_memcpy(facts->local, &address, sizeof(address));
		address = BPF_CORE_READ(common, skc_daddr);
		__builtin_memcpy(facts->remote, &address, sizeof(address));
	}
}

/* Not 0 if it is. */
static __always_inline u32 lock_of(struct sock *sk)
{
	u32 lock = BPF_CORE_READ(sk, sk_lock.owned);

	/* Not with PREEMPT_RT, whose lock has another shape. */
	if (bpf_core_field_exists(sk->sk_lock.slock.rlock.raw_lock.val.counter))
		lock |= BPF_CORE_READ(sk, sk_lock.slock.rlock.raw_lock.val.counter);
	return lock;
}

/* What the identity of a connection follows from. */
struct snapshot {
	u64 key; /* address of the sock */
	u64 acked;
	u64 received;
	u32 una;
	u32 received_next;
	u32 sent; /* as una would be if all that was sent were acknowledged, without a FIN */
	u32 state;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct snapshot);
} snapshots SEC(".maps");

enum taken { TAKEN_TORN, TAKEN_LOCKED, TAKEN_UNLOCKED };

/*
 * Takes the snapshot of a sock, unless it changes meanwhile. The values belong together for certain if nobody holds
 * the sock's lock, which is looked at if `check_lock` is 1. Verified once, on its own: inlined into the loop below it
 * cost the verifier 100,000 steps at each of three places.
 */
__noinline int take_snapshot(u64 check_lock)
{
	u64 acked, received, sent, retransmitted;
	u32 una, received_next, next, written, state, locked, zero = 0;
	struct snapshot *s = bpf_map_lookup_elem(&snapshots, &zero);
	struct tcp_sock *tcp;
	struct sock *sk;

	if (!s)
		return TAKEN_TORN;
	tcp = (struct tcp_sock *)s->key;
	sk = (struct sock *)s->key;
	locked = check_lock ? lock_of(sk) : 0;
	una = BPF_CORE_READ(tcp, snd_una);
	acked = BPF_CORE_READ(tcp, bytes_acked);
	received_next = BPF_CORE_READ(tcp, rcv_nxt);
	received = BPF_CORE_READ(tcp, bytes_received);
	next = BPF_CORE_READ(tcp, snd_nxt);
	sent = BPF_CORE_READ(tcp, bytes_sent);
	retransmitted = BPF_CORE_READ(tcp, bytes_retrans);
	written = BPF_CORE_READ(tcp, write_seq);
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (una != BPF_CORE_READ(tcp, snd_una) || acked != BPF_CORE_READ(tcp, bytes_acked) ||
	    received_next != BPF_CORE_READ(tcp, rcv_nxt) || received != BPF_CORE_READ(tcp, bytes_received))
		return TAKEN_TORN;
	s->acked = acked;
	s->received = received;
	s->una = una;
	s->received_next = received_next;
	s->sent = next - (u32)(sent - retransmitted);
	if (STATE_BIT(state & 15) & FIN_QUEUED && next == written)
		s->sent--;
	s->state = state;
	return locked || (check_lock && lock_of(sk)) ? TAKEN_LOCKED : TAKEN_UNLOCKED;
}

/* Offsets behind the last byte that each direction has moved. */
struct moved {
	u64 sent;
	u64 received;
};

/* Snapshots of which one must be whole, and taken of an unlocked socket, to be believed; after that the last that was
 * whole is. */
#define SNAPSHOT_TRIES 8

/*
 * Identity of a connection at any moment of its life. snd_una and bytes_acked move together (tcp_snd_una_update), as
 * do rcv_nxt and bytes_received (tcp_rcv_nxt_update), whatever is in flight, retransmitted, dropped on this host or
 * closed: FINs count in both. But the SYN of the end that connected counts in bytes_acked too. snd_nxt - (bytes_sent -
 * bytes_retrans) is without the SYN, so the two differ by 1 at the client and by 0 at the server. It runs ahead when
 * the local queue refused a packet; then the listening sockets tell the role.
 *
 * What it finds is no struct connection, which with its callers' own is too large for the stack of an iterator.
 */
static __always_inline bool derive_identity(struct sock *sk, struct connection_facts *facts, struct moved *next, bool check_lock)
{
	struct listener listener = {};
	u32 by_acked, zero = 0;
	struct snapshot *s = bpf_map_lookup_elem(&snapshots, &zero);
	bool whole = false;
	u64 acked;
	int taken;

	if (!s)
		return false;
	s->key = (u64)sk;
	for (int i = 0; i < SNAPSHOT_TRIES; i++) {
		taken = take_snapshot(check_lock);
		whole |= taken != TAKEN_TORN;
		if (taken == TAKEN_UNLOCKED)
			break;
	}
	if (!whole || s->state == TCP_SYN_SENT || s->state == TCP_LISTEN)
		return false;
	acked = s->acked;
	by_acked = s->una - (u32)acked;
	switch (s->sent - by_acked) {
	case 0:
		facts->role = ROLE_SERVER;
		break;
	case 1:
		facts->role = ROLE_CLIENT;
		break;
	default:
		listener.netns = facts->netns;
		listener.port = facts->local_port;
		facts->role = bpf_map_lookup_elem(&listeners, &listener) ? ROLE_SERVER : ROLE_CLIENT;
	}
	if (facts->role == ROLE_CLIENT) {
		by_acked++;
		acked -= acked > 0;
	}
	facts->send_flow = (u64)by_acked << 32 | (u32)(s->received_next - (u32)s->received);
	next->sent = acked;
	next->received = s->received;
	return true;
}

static __always_inline u64 socket_inode(struct sock *sk)
{
	struct socket_alloc *socket = (struct socket_alloc *)BPF_CORE_READ(sk, sk_socket);

	return socket ? BPF_CORE_READ(socket, vfs_inode.i_ino) : 0;
}

/* Removes a connection from the table. */
static __always_inline void forget(u64 key)
{
	if (!bpf_map_delete_elem(&connections, &key))
		__sync_fetch_and_add(&connection_count, -1);
}

/* Sends CLOSE or RESET once. */
static __always_inline void send_end(u64 key, struct connection *connection, u32 kind, u32 error)
{
	struct record record = {};

	if (connection->flags & CONNECTION_ENDED)
		return;
	connection->flags |= CONNECTION_ENDED;
	if (!(connection->flags & CONNECTION_ANNOUNCED))
		return;
	record.kind = kind;
	record.pid = connection->facts.owner;
	record.error = error;
	record.time = bpf_ktime_get_ns();
	record.socket = connection->facts.id;
	record.key = key;
	if (send_record(&record, sizeof(record), 0))
		__sync_fetch_and_add(&ends_lost, 1);
}

#endif
