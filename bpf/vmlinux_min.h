/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The few kernel types that Millrace's programs touch, with only the members that they read. Every access is relocated
 * against the running kernel's BTF (preserve_access_index), so neither the order of the members nor what is missing
 * between them matters, and a build needs no kernel at hand. Members that only some kernels have are tested with
 * bpf_core_field_exists() before use.
 */
#ifndef MILLRACE_VMLINUX_MIN_H
#define MILLRACE_VMLINUX_MIN_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __s8 s8;
typedef __u8 u8;
typedef __s16 s16;
typedef __u16 u16;
typedef __s32 s32;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u16 __sum16;
typedef __u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs {
#if defined(__TARGET_ARCH_x86)
	unsigned long r10, r9, r8, ax, dx, si, di, orig_ax, sp;
	u16 cs; /* 8 bytes wide before FRED; the low two are enough */
#elif defined(__TARGET_ARCH_arm64)
	u64 regs[31];
	u64 sp, pc, pstate, orig_x0;
	s32 syscallno;
#else
#error "unknown architecture"
#endif
};

struct thread_struct {
	unsigned long fsbase; /* x86 */
};

struct atomic_count {
	int counter;
};

struct signal_struct {
	struct atomic_count live;
};

struct files_struct {
	struct fdtable *fdt;
};

/* Any structure that begins with a pointer would do: to load one element of an array of pointers. */
struct hlist_head {
	void *first;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct task_struct {
	int pid;
	int tgid;
	struct signal_struct *signal;
	struct files_struct *files;
	struct thread_struct thread;
	struct task_struct *real_parent;
	unsigned short migration_disabled;
};

struct inode {
	u16 i_mode;
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
	void *f_op;
	void *private_data;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

struct net_pointer {
	struct net *net;
};

struct refcount {
	struct atomic_count refs;
};

struct sock_common {
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	u16 skc_dport; /* network order */
	u16 skc_num;
	u16 skc_family;
	volatile u8 skc_state;
	struct net_pointer skc_net;
	struct {
		union {
			u8 u6_addr8[16];
		} in6_u;
	} skc_v6_daddr, skc_v6_rcv_saddr;
	unsigned long skc_flags;
	struct refcount skc_refcnt;
};

struct sock_lock {
	struct {
		struct {
			struct {
				struct atomic_count val;
			} raw_lock;
		} rlock;
	} slock;
	int owned;
};

struct sk_buff_head {
	u32 qlen;
};

struct sock {
	struct sock_common __sk_common;
	struct sock_lock sk_lock;
	struct sk_buff_head sk_receive_queue;
	struct socket *sk_socket;
	u16 sk_protocol;
	u16 sk_type;
	u8 sk_shutdown;
	int sk_err;
};

struct rb_root {
	void *rb_node;
};

struct minmax_sample {
	u32 t, v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_sock {
	u32 write_seq, snd_nxt, snd_una, copied_seq, rcv_nxt;
	u64 bytes_sent, bytes_retrans, bytes_acked, bytes_received;
	u32 srtt_us, total_retrans;
	u32 segs_out, segs_in, data_segs_out, data_segs_in;
	u32 rcv_ooopack, dsack_dups, reord_seen, lost, delivered_ce;
	u16 tcp_header_len;
	struct minmax rtt_min;
	u32 chrono_start, chrono_stat[3];
	u8 chrono_type : 2;
	struct rb_root out_of_order_queue;
};

struct sk_buff {
	char cb[48];
};

struct tcp_skb_cb {
	u32 seq, end_seq;
	u8 tcp_flags; /* 16 bits wide from 6.16 on; the low ones come first */
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

struct sockaddr_un {
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

/* What perf's side of a tracepoint passes. */
struct trace_event_raw_inet_sock_set_state {
	const void *skaddr;
	int oldstate, newstate;
};

struct trace_event_raw_tcp_event_sk {
	const void *skaddr;
};

struct trace_event_raw_tcp_probe {
	const void *skbaddr, *skaddr; /* older kernels have neither */
};

struct trace_event_raw_task_newtask {
	int pid;
	unsigned long clone_flags;
};

struct trace_event_raw_io_uring_complete {
	void *req;
	int res;
};

struct trace_event_raw_sys_enter {
	long id;
};

struct trace_event_raw_sys_exit {
	long id, ret;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	void *key;
	void *value;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

struct io_cqe {
	s32 res;
};

struct io_kiocb {
	struct file *file;
	u8 opcode;
	u64 flags;
};

struct io_sr_msg {
	void *buf;
	int len;
	unsigned int done_io;
};

struct io_rw {
	u64 addr;
	u32 len;
};

struct io_uring_cqe {
	s32 res;
};

#pragma clang attribute pop

/* Layouts of the system call interface: fixed, not relocated. */
struct iovec {
	u64 base;
	u64 length;
};

struct user_msghdr {
	u64 name;
	u32 name_length;
	u32 pad;
	u64 iov;
	u64 iov_count;
	u64 control;
	u64 control_length;
	u32 flags;
	u32 pad2;
};

struct mmsghdr {
	struct user_msghdr header;
	u32 length;
	u32 pad;
};

#endif
