// SPDX-License-Identifier: Apache-2.0
// Packets built by hand as decoding would leave them, and a bench to run them on: tables, a ring each
// and the records that came out, in the order they came.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "counters.h"
#include "flow.h"
#include "packet.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
enum { BENCH_TABLES_MAX = 4 };

#define MS UINT64_C(1000000)
#define SEC NSEC_PER_S

// A round time to begin at: 2023-11-14T22:13:20Z.
#define T0 (UINT64_C(1700000000) * SEC)

struct bench {
	struct flow_config config;
	unsigned tables;
	struct flow_table *table[BENCH_TABLES_MAX];
	struct ring *ring[BENCH_TABLES_MAX];
	struct counters counters[FLOW_CAPTURES_MAX]; // all tables of a capture share a block
	uint64_t seq[FLOW_CAPTURES_MAX];
	struct flow_record *record;
	size_t count, room;
	bool forget; // count records only
	uint64_t forgotten;
};

struct flow_config bench_config(void); // the daemon's defaults, 1000 flows
void bench_open(struct bench *, const struct flow_config *, unsigned tables);
void bench_close(struct bench *);
void bench_begin(struct bench *, uint16_t capture, const char *name, bool lossless);
// Hashes, finds owners, numbers and runs packets; takes the records out.
void bench_burst(struct bench *, struct packet *, unsigned n);
void bench_send(struct bench *, const struct packet *); // a copy
unsigned bench_expire(struct bench *, uint16_t capture, uint64_t now_ns, unsigned budget);
unsigned bench_end(struct bench *, uint16_t capture, uint64_t now_ns, enum flow_end, bool keep);
void bench_drain(struct bench *);
unsigned bench_active(const struct bench *);
uint64_t bench_count(const struct bench *, enum counter_id); // of capture 0

// Packets. Addresses in text, the version by their form. payload: L4 payload bytes; the frame has
// 14 bytes of Ethernet and headers without options around it.
struct packet packet_ip(const char *src, const char *dst, uint8_t proto, uint64_t ts_ns);
struct packet packet_tcp(const char *src, uint16_t sport, const char *dst, uint16_t dport,
	uint8_t flags, uint32_t payload, uint64_t ts_ns);
struct packet packet_udp(const char *src, uint16_t sport, const char *dst, uint16_t dport,
	uint32_t payload, uint64_t ts_ns);
// Maps type and code to ports as Community ID 1.0 does.
struct packet packet_icmp(
	const char *src, const char *dst, uint8_t type, uint8_t code, uint64_t ts_ns);
// Puts outer headers around a packet: the frame grows by bytes.
void packet_wrap(struct packet *, const char *src, uint16_t sport, const char *dst, uint16_t dport,
	uint8_t proto, uint8_t tunnel_type, int64_t tunnel_id, uint32_t bytes); // id -1: none

// Numbers that are the same in every run.
struct rng {
	uint64_t state;
};
uint32_t rng_below(struct rng *, uint32_t n);
