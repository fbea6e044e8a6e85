/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What Millrace's programs share with each other and with user space: the records of the ring buffer, the tables that
 * every object uses, and how to send a record. An object of its own (for example the Go runtime's probes) includes
 * this file; the loader puts the tables of the capture object in the place of its own (MapReplacements by name:
 * events, policies, losses).
 */
#ifndef MILLRACE_H
#define MILLRACE_H

#include "vmlinux_min.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

/*
 * Reading a kernel structure through a pointer that the verifier does not trust. With bpf_rdonly_cast (6.2) it is a
 * load instead of a call of bpf_probe_read_kernel. User space sets fast_reads where the kernel has it and takes it
 * back if loading fails.
 */
extern void *bpf_rdonly_cast(const void *pointer, u32 type) __ksym __weak;
#define FAST(type, pointer) ((struct type *)bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(struct type)))

/* Same numbers as Kind in services/capture/internal/kernel/event.go. */
enum record_kind {
	RECORD_SEND = 1,
	RECORD_RECEIVE = 2,
	RECORD_OPEN = 3, /* struct connection_record: facts, before the connection's first data record */
	RECORD_CLOSE = 4,
	RECORD_RESET = 5,
	RECORD_TASK_START = 6,
	RECORD_TASK_END = 7,
	RECORD_HANDOFF = 8, /* goroutine acts for parent_goroutine; socket is 0 or the connection's identity */
	RECORD_PROCESS_EXEC = 9,
	RECORD_PROCESS_EXIT = 10,
	RECORD_PROCESS_FORK = 11,
	RECORD_DATAGRAM_SENT = 12, /* struct datagram stands between the record and the payload */
	RECORD_DATAGRAM_RECEIVED = 13,
	RECORD_FLOW = 14, /* struct flow_record: counters of a TCP connection */
};

/* As Event.flags in raw.proto. */
enum record_flag {
	FLAG_CUT = 1,
	FLAG_UNREADABLE = 2,
	FLAG_CONCURRENT = 8,
	FLAG_LOST_BEFORE = 16,
	FLAG_CLOSING = 32,
	FLAG_PART = 64,
};

/* As LossCause in raw.proto. */
enum loss_cause {
	LOSS_RING_FULL = 1,
	LOSS_TABLE_FULL = 2,
	LOSS_PAYLOAD_UNREADABLE = 3,
	LOSS_NOT_OBSERVABLE = 5,
	LOSS_NO_OFFSET = 7,
	LOSS_FLOW = 8,
	LOSS_CAUSES = 9,
};

/* Tables of a fixed size that refuse an entry when they are full. What that loses is counted behind the causes, for
 * each table; user space reports the sum as LOSS_TABLE_FULL. */
enum table { TABLE_CONNECTIONS, TABLE_POLICIES, TABLE_LISTENERS, TABLE_UNIX_CONNECTIONS, TABLES };

/*
 * Head of every record. Times are CLOCK_MONOTONIC in ns, ids are those of the host's PID namespace. Fields that a kind
 * does not need are 0. A data record is followed by `segments` pairs (struct segment), then by `payload` bytes.
 */
struct record {
	u8 kind;
	u8 segments;
	u16 flags;
	u32 pid;
	u32 thread;
	union {
		u32 payload;	/* data: bytes of payload that follow */
		u32 parent_pid; /* PROCESS_FORK */
	};
	union {
		u32 length;	   /* data: bytes moved */
		u32 parent_thread; /* TASK_START, HANDOFF, PROCESS_FORK */
	};
	u32 error; /* RESET: errno */
	u64 time;
	union {
		u64 duration; /* sent: how long the call ran */
		u64 arrived;  /* received: when the last byte had come; 0: not known */
	};
	union {
		u64 unsent;	   /* sent: bytes that the socket then still holds back */
		u64 first_arrived; /* received: when the first byte had come; 0: not known */
	};
	u64 socket; /* identity of the connection end, struct connection.id */
	u64 key;    /* address of the sock: key of the table of connections; never leaves the node's capture */
	u64 offset;
	u64 goroutine;
	u64 parent_goroutine;
	union {
		u32 srtt_us;
		u32 inode; /* Unix-domain: the other part of the key */
	};
	u32 retransmits;
};

struct segment {
	u32 at;
	u32 length;
};

/* Facts about one end of a connection. */
struct connection_facts {
	u64 id; /* unique on the node while it is up */
	u64 send_flow;
	u64 opened;	/* 0: open before capture */
	u64 connecting; /* when this end began to connect; 0: it did not, or before capture */
	u32 owner;	/* thread group that first moved data */
	u32 netns;
	u8 transport; /* Transport in raw.proto */
	u8 role;      /* Role in raw.proto */
	u8 family;
	u8 protocol; /* Protocol in raw.proto: what the first bytes look like, or what user space decided */
	u16 local_port;
	u16 remote_port; /* both in host order */
	u8 local[16];
	u8 remote[16];
};

#define UNIX_PATH_MAX 108

struct connection_record {
	struct record head;
	struct connection_facts facts;
	u32 path_length; /* of a Unix-domain socket; begins with a NUL if abstract */
	char path[UNIX_PATH_MAX];
};

/* What to do with a thread group. Without an entry: capture. */
enum policy_flag {
	POLICY_IGNORE = 1,
	POLICY_IGNORE_PEERS = 2, /* nor the other local end of its connections: Millrace's own processes */
	POLICY_CONDITIONAL = 4,	 /* only what concerns a port of a rule, see rule_ports */
};

struct policy {
	u32 flags;
	u32 goid_offset; /* in runtime.g; 0: unknown or not Go */
	u32 parent_goid_offset;
	u32 reserved;
};

struct loss {
	u64 events;
	u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct policy);
} policies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOSS_CAUSES + TABLES);
	__type(key, u32);
	__type(value, struct loss);
} losses SEC(".maps");

static __always_inline void count_loss(u32 cause, u64 bytes)
{
	struct loss *loss = bpf_map_lookup_elem(&losses, &cause);

	if (!loss)
		return;
	loss->events++;
	loss->bytes += bytes;
}

/* What did not fit into a table. */
static __always_inline void count_full(u32 table, u64 bytes)
{
	count_loss(LOSS_CAUSES + table, bytes);
}

/* Sends a record with BPF_RB_*_WAKEUP. Not 0 if the ring buffer had no room, which is counted. `bytes` is how much
 * payload would be lost. */
static __always_inline long send_record_with(void *record, u64 size, u64 bytes, u64 wakeup)
{
	long failed = bpf_ringbuf_output(&events, record, size, wakeup);

	if (failed)
		count_loss(LOSS_RING_FULL, bytes);
	return failed;
}

/* The reader looks by the clock: being woken would cost the sender more than the record does. */
static __always_inline long send_record(void *record, u64 size, u64 bytes)
{
	return send_record_with(record, size, bytes, BPF_RB_NO_WAKEUP);
}

static __always_inline struct policy *policy_of(u32 pid)
{
	return bpf_map_lookup_elem(&policies, &pid);
}

#endif
