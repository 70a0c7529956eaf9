// SPDX-License-Identifier: Apache-2.0
#include "builder.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "ring.h"

#undef NDEBUG
#include <assert.h>

uint32_t rng_below(struct rng *r, uint32_t n)
{
	r->state += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t x = r->state;

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((x ^ x >> 31) >> 16) % n;
}

struct flow_config bench_config(void)
{
	return (struct flow_config){
		.capacity = 1000,
		.key_tunnel = true,
		.tcp_new_ns = 30 * SEC,
		.tcp_established_ns = 300 * SEC,
		.tcp_closed_ns = 10 * SEC,
		.udp_ns = 60 * SEC,
		.icmp_ns = 31 * SEC,
		.other_ns = 61 * SEC,
		.active_ns = 300 * SEC,
	};
}

void bench_open(struct bench *b, const struct flow_config *config, unsigned tables)
{
	memset(b, 0, sizeof(*b));
	b->config = *config;
	b->tables = tables;
	for (unsigned i = 0; i < tables; i++) {
		b->ring[i] = ring_new(1 << 20);
		b->table[i] = flow_table_new(config, i, b->ring[i]);
		assert(b->ring[i] != NULL && b->table[i] != NULL);
	}
}

void bench_close(struct bench *b)
{
	for (unsigned i = 0; i < b->tables; i++) {
		flow_table_free(b->table[i]);
		ring_free(b->ring[i]);
	}
	free(b->record);
	memset(b, 0, sizeof(*b));
}

void bench_begin(struct bench *b, uint16_t capture, const char *name, bool lossless)
{
	for (unsigned i = 0; i < b->tables; i++) {
		int r = flow_capture_begin(b->table[i], capture,
			&(struct flow_capture){.name = name,
				.counters = &b->counters[capture],
				.lossless = lossless});

		assert(r == 0);
	}
}

static void keep(struct bench *b, const struct flow_record *r)
{
	if (b->forget) {
		b->forgotten++;
		return;
	}
	if (b->count == b->room) {
		b->room = b->room * 2 + 64;
		b->record = realloc(b->record, b->room * sizeof(*b->record));
		assert(b->record != NULL);
	}
	memset(&b->record[b->count], 0, sizeof(*r));
	memcpy(&b->record[b->count++], r, flow_record_size(r));
}

void bench_drain(struct bench *b)
{
	const struct ring_msg *m;

	for (unsigned i = 0; i < b->tables; i++) {
		ring_publish(b->ring[i]);
		while ((m = ring_next(b->ring[i])) != NULL) {
			assert(m->type == RECORD_FLOW);
			keep(b, (const struct flow_record *)(m + 1));
		}
		ring_release(b->ring[i]);
	}
}

void bench_burst(struct bench *b, struct packet *p, unsigned n)
{
	struct packet *at[PACKET_BURST];

	assert(n <= PACKET_BURST);
	flow_key_hash(&b->config, p, n);
	for (unsigned i = 0; i < n; i++) {
		at[i] = &p[i];
		p[i].seq = ++b->seq[p[i].capture];
		for (unsigned l = 0; l < p[i].layer_count; l++)
			if (p[i].layer[l].owner != LAYER_NOT_COUNTED)
				p[i].layer[l].owner = flow_owner(p[i].layer[l].hash, b->tables);
	}
	for (unsigned i = 0; i < b->tables; i++)
		flow_burst(b->table[i], at, n);
	bench_drain(b);
}

void bench_send(struct bench *b, const struct packet *p)
{
	struct packet copy = *p;

	bench_burst(b, &copy, 1);
}

unsigned bench_expire(struct bench *b, uint16_t capture, uint64_t now_ns, unsigned budget)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->tables; i++)
		n += flow_expire(b->table[i], capture, now_ns, budget);
	bench_drain(b);
	return n;
}

unsigned bench_end(struct bench *b, uint16_t capture, uint64_t now_ns, enum flow_end end, bool on)
{
	unsigned left = 0;

	for (unsigned i = 0; i < b->tables; i++) {
		// In small steps: what is written must be taken out.
		while ((left = flow_capture_end(b->table[i], capture, now_ns, end, 100, on)) > 0)
			bench_drain(b);
	}
	bench_drain(b);
	return left;
}

unsigned bench_active(const struct bench *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->tables; i++)
		n += flow_table_active(b->table[i]);
	return n;
}

uint64_t bench_count(const struct bench *b, enum counter_id id)
{
	return b->counters[0].value[id];
}

// --- Packets ---

static void set_addresses(struct ip_layer *l, const char *src, const char *dst)
{
	bool six = strchr(src, ':') != NULL;
	int r = inet_pton(six ? AF_INET6 : AF_INET, src, l->src);

	l->version = six ? 6 : 4;
	assert(r == 1);
	r = inet_pton(six ? AF_INET6 : AF_INET, dst, l->dst);
	assert(r == 1);
}

struct packet packet_ip(const char *src, const char *dst, uint8_t proto, uint64_t ts_ns)
{
	struct packet p;
	struct ip_layer *l = &p.layer[0];

	memset(&p, 0, sizeof(p));
	p.ts_ns = p.now_ns = ts_ns;
	p.link = LINK_ETHERNET;
	p.layer_count = 1;
	set_addresses(l, src, dst);
	l->proto = proto;
	l->ttl = 64;
	l->l3_off = 14;
	l->l3_len = l->version == 4 ? 20 : 40;
	l->l4_off = l->l3_off + l->l3_len;
	p.wirelen = p.caplen = l->l4_off;
	return p;
}

static void set_l4(struct packet *p, uint32_t header, uint32_t payload)
{
	struct ip_layer *l = &p->layer[0];

	l->flags |= LAYER_L4;
	l->payload_off = l->l4_off + header;
	l->payload_len = payload;
	l->l3_len += header + payload;
	p->wirelen = p->caplen = l->payload_off + payload;
}

struct packet packet_tcp(const char *src, uint16_t sport, const char *dst, uint16_t dport,
	uint8_t flags, uint32_t payload, uint64_t ts_ns)
{
	struct packet p = packet_ip(src, dst, 6, ts_ns);

	p.layer[0].src_port = sport;
	p.layer[0].dst_port = dport;
	p.layer[0].tcp.flags = flags;
	p.layer[0].tcp.window = 1000;
	set_l4(&p, 20, payload);
	return p;
}

struct packet packet_udp(const char *src, uint16_t sport, const char *dst, uint16_t dport,
	uint32_t payload, uint64_t ts_ns)
{
	struct packet p = packet_ip(src, dst, 17, ts_ns);

	p.layer[0].src_port = sport;
	p.layer[0].dst_port = dport;
	set_l4(&p, 8, payload);
	return p;
}

// Pairs of Community ID 1.0; other types go one way.
static int counterpart(unsigned version, uint8_t type)
{
	static const uint8_t four[][2] = {{8, 0}, {13, 14}, {15, 16}, {17, 18}, {10, 9}};
	static const uint8_t six[][2] = {
		{128, 129}, {133, 134}, {135, 136}, {130, 131}, {144, 145}, {139, 140}};
	const uint8_t(*pairs)[2] = version == 4 ? four : six;
	size_t n = version == 4 ? sizeof(four) / 2 : sizeof(six) / 2;

	for (size_t i = 0; i < n; i++)
		for (unsigned k = 0; k < 2; k++)
			if (pairs[i][k] == type)
				return pairs[i][k ^ 1];
	return -1;
}

struct packet packet_icmp(
	const char *src, const char *dst, uint8_t type, uint8_t code, uint64_t ts_ns)
{
	struct packet p = packet_ip(src, dst, strchr(src, ':') != NULL ? 58 : 1, ts_ns);
	struct ip_layer *l = &p.layer[0];
	int other = counterpart(l->version, type);

	l->icmp_type = type;
	l->icmp_code = code;
	l->src_port = type;
	l->dst_port = other >= 0 ? (uint16_t)other : code;
	if (other < 0)
		l->flags |= LAYER_ICMP_ONE_WAY;
	set_l4(&p, 8, 0);
	return p;
}

void packet_wrap(struct packet *p, const char *src, uint16_t sport, const char *dst, uint16_t dport,
	uint8_t proto, uint8_t tunnel_type, int64_t tunnel_id, uint32_t bytes)
{
	struct ip_layer *l = &p->layer[0];

	assert(p->layer_count < PACKET_LAYERS_MAX);
	memmove(l + 1, l, p->layer_count * sizeof(*l));
	p->layer_count++;
	l[1].tunnel_type = tunnel_type;
	if (tunnel_id >= 0) {
		l[1].tunnel_id = (uint32_t)tunnel_id;
		l[1].flags |= LAYER_TUNNEL_ID;
	}
	memset(l, 0, sizeof(*l));
	set_addresses(l, src, dst);
	l->src_port = sport;
	l->dst_port = dport;
	l->proto = proto;
	l->ttl = 60;
	if (proto == 17)
		l->flags |= LAYER_L4;
	l->payload_len = p->wirelen - 14 + bytes;
	p->wirelen += bytes;
	p->caplen += bytes;
}
