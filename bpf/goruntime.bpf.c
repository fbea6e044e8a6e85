/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Causality inside Go programs: which goroutine caused the request that another one writes, and which goroutine made
 * which. services/capture/internal/goruntime attaches these probes and says why each sits where it does.
 *
 * Go passes arguments in registers since 1.17 (amd64) and 1.18 (arm64), and keeps the running g in one of them; see
 * https://go.dev/s/regabi and src/cmd/compile/abi-internal.md. At each of the three places they still hold what the
 * caller put there.
 */
#include "millrace.h"

char LICENSE[] SEC("license") = "GPL";

#if defined(__TARGET_ARCH_x86)
struct pt_regs___go {
	unsigned long r14, bx, ax, cx, ip;
} __attribute__((preserve_access_index));
#define GO_G(regs) ((regs)->r14)
#define GO_ARGUMENT_1(regs) ((regs)->ax)
#define GO_ARGUMENT_2(regs) ((regs)->bx)
#define GO_ARGUMENT_3(regs) ((regs)->cx)
#define GO_PC(regs) ((regs)->ip)
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs___go {
	u64 regs[31];
	u64 sp, pc;
}; /* fixed by the ABI as struct user_pt_regs */
#define GO_G(r) ((r)->regs[28])
#define GO_ARGUMENT_1(r) ((r)->regs[0])
#define GO_ARGUMENT_2(r) ((r)->regs[1])
#define GO_ARGUMENT_3(r) ((r)->regs[2])
#define GO_PC(r) ((r)->pc)
#endif

/* Where bufio.Writer keeps the data word of its io.Writer: behind err, buf and n. The same since Go 1.0. */
#define BUFIO_WRITER_TARGET 56

enum go_layout_flag {
	GO_TREE = 1, /* new goroutines are reported as they are made */
};

/* Positions of fields in the Go runtime of a thread group. Without an entry the probes do nothing. */
struct go_layout {
	u32 flags;
	u32 goid;	     /* in runtime.g */
	u32 parent_goid;     /* in runtime.g; 0 before Go 1.21 */
	u32 start_pc;	     /* in runtime.g */
	u32 m;		     /* in runtime.g */
	u32 current_g;	     /* in runtime.m */
	s64 background_read; /* from the probe in newproc to the start of goroutines that need no report; 0: none */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC */
	__type(key, u32);
	__type(value, struct go_layout);
} go_layouts SEC(".maps");

/* A goroutine that wants a request written. */
struct go_caller {
	u64 request; /* *net/http.Request; 0: none */
	u64 goroutine;
	u64 parent;
};

struct go_connection_key {
	u64 connection; /* *net/http.persistConn */
	u32 pid;
	u32 reserved;
};

/*
 * Requests on their way from roundTrip to write, microseconds. Between them a connection has one, except for
 * http.ClientConn of Go 1.26, where several goroutines may wait in roundTrip for their turn.
 */
#define CALLERS 4

struct go_connection {
	struct go_caller callers[CALLERS];
};

/* Nothing tells when a connection ends: those not used for long make room. An entry is made once and then changed in
 * place. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct go_connection_key);
	__type(value, struct go_connection);
} go_connections SEC(".maps");

/* Requests are allocated in a size class of 256 bytes. */
static __always_inline struct go_caller *slot(struct go_connection *connection, u64 request)
{
	return &connection->callers[(request >> 8) & (CALLERS - 1)];
}

static __always_inline struct go_layout *layout_of(u32 pid)
{
	struct go_layout *layout = bpf_map_lookup_elem(&go_layouts, &pid);
	struct policy *policy;

	if (!layout)
		return NULL;
	policy = policy_of(pid);
	return policy && policy->flags & POLICY_IGNORE ? NULL : layout;
}

/* One word of the program's memory. The goroutine in question just used it, so it is resident; if it is not, that is
 * counted. */
static __always_inline bool word(u64 *to, u64 address)
{
	if (!bpf_probe_read_user(to, sizeof(*to), (void *)address))
		return true;
	count_loss(LOSS_PAYLOAD_UNREADABLE, 0);
	return false;
}

static __always_inline void report(u8 kind, u64 goroutine, u64 parent)
{
	u64 task = bpf_get_current_pid_tgid();
	struct record record = {
		.kind = kind,
		.pid = task >> 32,
		.thread = (u32)task,
		.time = bpf_ktime_get_ns(),
		.goroutine = goroutine,
		.parent_goroutine = parent,
	};

	send_record(&record, sizeof(record), 0);
}

/* net/http.(*persistConn).roundTrip(pc, req *transportRequest), in the goroutine that wants the request. */
SEC("uprobe")
int go_round_trip(struct pt_regs___go *regs)
{
	u64 g = GO_G(regs), transport_request = GO_ARGUMENT_2(regs);
	struct go_connection_key key = {
		.connection = GO_ARGUMENT_1(regs),
		.pid = bpf_get_current_pid_tgid() >> 32,
	};
	struct go_layout *layout = layout_of(key.pid);
	struct go_connection *connection, fresh = {};
	volatile struct go_caller *caller;
	u64 request, goroutine, parent = 0;

	if (!layout)
		return 0;
	/* transportRequest begins with its *Request. */
	if (!word(&request, transport_request) || !word(&goroutine, g + layout->goid))
		return 0;
	if (layout->parent_goid && !word(&parent, g + layout->parent_goid))
		return 0;
	connection = bpf_map_lookup_elem(&go_connections, &key);
	if (!connection) {
		bpf_map_update_elem(&go_connections, &key, &fresh, BPF_NOEXIST);
		connection = bpf_map_lookup_elem(&go_connections, &key);
	}
	if (!connection) {
		count_loss(LOSS_TABLE_FULL, 0);
		return 0;
	}
	caller = slot(connection, request);
	caller->request = 0; /* not valid while it changes */
	caller->goroutine = goroutine;
	caller->parent = parent;
	caller->request = request;
	return 0;
}

/* net/http.(*Request).write(r, w io.Writer, ...), in the goroutine that writes the requests of a connection. */
SEC("uprobe")
int go_request_write(struct pt_regs___go *regs)
{
	u64 g = GO_G(regs), request = GO_ARGUMENT_1(regs), writer = GO_ARGUMENT_3(regs), goroutine, from, parent;
	struct go_connection_key key = {.pid = bpf_get_current_pid_tgid() >> 32};
	struct go_layout *layout = layout_of(key.pid);
	struct go_connection *connection;
	volatile struct go_caller *caller;

	/* w may be anything when the program itself writes a request somewhere: what is read then is not in the table. */
	if (!layout || bpf_probe_read_user(&key.connection, sizeof(key.connection), (void *)(writer + BUFIO_WRITER_TARGET)))
		return 0;
	connection = bpf_map_lookup_elem(&go_connections, &key);
	if (!connection || !word(&goroutine, g + layout->goid))
		return 0;
	caller = slot(connection, request);
	if (caller->request != request)
		goto overwritten;
	from = caller->goroutine;
	parent = caller->parent;
	if (caller->request != request)
		goto overwritten;
	/* Where goroutines are not reported as they are made, the caller's creator is worth knowing now. */
	if (!(layout->flags & GO_TREE) && parent)
		report(RECORD_TASK_START, from, parent);
	report(RECORD_HANDOFF, goroutine, from);
	return 0;

overwritten:
	count_loss(LOSS_TABLE_FULL, 0);
	return 0;
}

/* The call runqput(pp, newg, true) in runtime.newproc, on the system stack: newg is complete and cannot run yet. */
SEC("uprobe")
int go_new_goroutine(struct pt_regs___go *regs)
{
	u64 system_g = GO_G(regs), new_g = GO_ARGUMENT_2(regs), start = 0, goroutine, parent, m, current;
	struct go_layout *layout = layout_of(bpf_get_current_pid_tgid() >> 32);

	if (!layout)
		return 0;
	if (layout->background_read) {
		if (!word(&start, new_g + layout->start_pc) || start == GO_PC(regs) + layout->background_read)
			return 0;
	}
	if (!word(&goroutine, new_g + layout->goid))
		return 0;
	if (layout->parent_goid) {
		if (!word(&parent, new_g + layout->parent_goid))
			return 0;
	} else {
		/* Before Go 1.21: the goroutine that runs on this thread; none if the scheduler itself runs a timer. */
		if (!word(&m, system_g + layout->m) || !word(&current, m + layout->current_g) || !current)
			return 0;
		if (!word(&parent, current + layout->goid))
			return 0;
	}
	if (parent)
		report(RECORD_TASK_START, goroutine, parent);
	return 0;
}
