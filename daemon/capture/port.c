// SPDX-License-Identifier: Apache-2.0
// Captures from DPDK ports: any vdev, AF_XDP, PCI devices. Packets stay in their mbufs; those that a
// driver delivers in several segments are copied into one piece, since all later stages read
// contiguous bytes. Time comes from the NIC where it stamps packets and its clock can be read, else
// from the processor's, once a burst.
//
// Each queue's worker receives; the first queue's worker also looks after the link, when nothing comes.
#include "port.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#undef NSEC_PER_S // rte_cycles.h: a floating-point number
#include "clock.h"

#define WATCH_NS (100 * UINT64_C(1000000))
#define CLOCK_SYNC_NS NSEC_PER_S

struct port_queue {
	struct packet_store store; // for packets of several segments
	uint64_t pkts;
	uint64_t watched_ns;
	struct port_clock clock;
} __attribute__((aligned(64)));

struct port {
	struct port_device device;
	struct capture *capture;
	struct netdev_watch watch;
	bool is_watched;
	_Atomic int state;          // enum capture_state; written by the first queue's worker
	struct rte_eth_stats first; // when the capture began
	char down_text[128], gone_text[128];
	struct port_queue queues[];
};

// --- receiving: the queue's worker ---

static void watch(struct port *p, struct port_queue *q)
{
	uint64_t now = clock_monotonic_ns();
	struct rte_eth_link link = {.link_status = RTE_ETH_LINK_UP};
	enum capture_state s = CAPTURE_RX_RUNNING;

	if (now - q->watched_ns < WATCH_NS)
		return;
	q->watched_ns = now;
	if (p->is_watched)
		s = netdev_watch_check(&p->watch);
	if (s == CAPTURE_RX_FAILED || rte_eth_dev_is_removed(p->device.port) == 1) {
		capture_set_state(p->capture, CAPTURE_RX_FAILED, p->gone_text);
		return;
	}
	if (rte_eth_link_get_nowait(p->device.port, &link) < 0)
		link.link_status = RTE_ETH_LINK_UP; // it does not say
	if (s == CAPTURE_RX_PAUSED)
		capture_set_state(p->capture, CAPTURE_RX_PAUSED, p->watch.down_text);
	else if (link.link_status == RTE_ETH_LINK_DOWN)
		capture_set_state(p->capture, CAPTURE_RX_PAUSED, p->down_text);
	else
		capture_set_state(p->capture, CAPTURE_RX_RUNNING, "");
}

static uint64_t read_time(struct port *p, struct port_queue *q)
{
	uint64_t now = clock_wall_ns(), ticks;

	if (p->device.has_clock && now - q->clock.anchor_ns >= CLOCK_SYNC_NS &&
		rte_eth_read_clock(p->device.port, &ticks) == 0)
		port_clock_sync(&q->clock, ticks, now);
	return now;
}

static uint64_t packet_time(
	const struct port *p, const struct port_queue *q, const struct rte_mbuf *m, uint64_t now)
{
	if (!p->device.has_clock || (m->ol_flags & p->device.timestamp_flag) == 0)
		return now;
	return port_clock_ns(&q->clock,
		*RTE_MBUF_DYNFIELD(m, p->device.timestamp_offset, rte_mbuf_timestamp_t *));
}

// Sets where the bytes are. Takes m. Returns false when there is no room for a copy in one piece.
static bool place(struct port_queue *q, struct rte_mbuf *m, struct packet *ret)
{
	uint8_t *data;

	if (m->nb_segs == 1) {
		ret->data = rte_pktmbuf_mtod(m, const uint8_t *);
		ret->mbuf = m;
		ret->chunk = NULL;
		return true;
	}
	data = packet_store_take(&q->store, m->pkt_len, ret);
	if (data != NULL)
		rte_pktmbuf_read(m, 0, m->pkt_len, data);
	rte_pktmbuf_free(m);
	return data != NULL;
}

static bool take(struct port *p, struct port_queue *q, unsigned queue, struct rte_mbuf *m,
	uint64_t now, struct packet *ret, struct capture_rx *rx)
{
	const struct capture *c = p->capture;

	ret->flags = 0;
	// We never ask for it, but some drivers take the tag out all the same: put it back.
	if ((m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0 && rte_vlan_insert(&m) != 0)
		ret->flags = PACKET_VLAN_STRIPPED;
	ret->caplen = ret->wirelen = m->pkt_len;
	ret->ts_ns = packet_time(p, q, m, now);
	ret->seq = q->pkts++ * c->queues + queue + 1;
	ret->capture = c->index;
	ret->queue = (uint16_t)queue;
	ret->link = LINK_ETHERNET;
	if (!place(q, m, ret)) {
		rx->received++;
		rx->received_bytes += ret->wirelen;
		rx->dropped_no_mbuf++;
		return false;
	}
	capture_account(c, ret, rx);
	return true;
}

static unsigned port_rx(
	struct capture *c, unsigned queue, struct packet *pkts, unsigned n, struct capture_rx *rx)
{
	struct port *p = c->state;
	struct port_queue *q = &p->queues[queue];
	struct rte_mbuf *m[PACKET_BURST];
	unsigned count = 0;
	uint64_t now;
	uint16_t got;

	rx->state = capture_state_now(c);
	if (rx->state == CAPTURE_RX_FAILED)
		return 0;
	got = rte_eth_rx_burst(p->device.port, (uint16_t)queue, m,
		(uint16_t)(n < PACKET_BURST ? n : PACKET_BURST));
	if (got == 0) {
		if (queue == 0)
			watch(p, q);
	} else {
		now = read_time(p, q);
		for (unsigned i = 0; i < got; i++)
			count += take(p, q, queue, m[i], now, &pkts[count], rx);
		packet_store_settle(&q->store);
		if (rx->state == CAPTURE_RX_PAUSED && queue == 0)
			capture_set_state(p->capture, CAPTURE_RX_RUNNING, "");
	}
	rx->state = capture_state_now(c);
	return count;
}

// --- opening: control ---

static void port_free(struct port *p, unsigned queues)
{
	const char *name = p->capture->source.target;

	port_device_close(&p->device);
	for (unsigned i = 0; i < queues; i++)
		packet_store_fini(&p->queues[i].store, name);
	netdev_watch_fini(&p->watch);
	free(p);
}

static void port_close(struct capture *c)
{
	port_free(c->state, c->queues);
}

// The rate of the NIC's clock, roughly; the workers better it as time goes on.
static void start_clocks(struct port *p)
{
	struct timespec wait = {.tv_nsec = 20 * 1000 * 1000};
	struct port_clock clock = {0};
	uint64_t ticks = 0;

	if (rte_eth_read_clock(p->device.port, &ticks) == 0)
		port_clock_start(&clock, ticks, clock_wall_ns());
	nanosleep(&wait, NULL);
	if (rte_eth_read_clock(p->device.port, &ticks) == 0)
		port_clock_sync(&clock, ticks, clock_wall_ns());
	for (unsigned i = 0; i < p->device.queues; i++)
		p->queues[i].clock = clock;
}

static void start_watch(struct port *p, struct capture *c)
{
	char name[IF_NAMESIZE];

	snprintf(p->down_text, sizeof(p->down_text),
		"the link of %s is down; the capture goes on when it is up", p->device.name);
	snprintf(p->gone_text, sizeof(p->gone_text), "device %s is gone", p->device.name);
	snprintf(c->interface, sizeof(c->interface), "%s", p->device.name);
	if (p->device.if_index == 0 || if_indextoname(p->device.if_index, name) == NULL)
		return;
	snprintf(c->interface, sizeof(c->interface), "%s", name);
	p->is_watched = netdev_watch_init(&p->watch, name) == 0;
	snprintf(p->gone_text, sizeof(p->gone_text), "interface %s is gone", name);
}

static int port_open(struct capture *c, const struct capture_options *o, char *error, size_t size)
{
	struct port_device device;
	struct port *p;
	size_t bytes;
	int r = port_device_open(&device, &c->source, o, error, size);

	if (r < 0)
		return r;
	bytes = sizeof(*p) + device.queues * sizeof(p->queues[0]);
	p = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
	if (p == NULL) {
		port_device_close(&device);
		return capture_fail(-ENOMEM, error, size, "no memory for a capture");
	}
	memset(p, 0, bytes);
	p->device = device;
	p->capture = c;
	c->queues = device.queues;
	for (unsigned i = 0; r == 0 && i < c->queues; i++)
		r = packet_store_init(&p->queues[i].store, o);
	if (r < 0) {
		port_free(p, c->queues);
		return capture_fail(r, error, size, "no memory for packets");
	}
	start_watch(p, c);
	if (p->device.has_clock)
		start_clocks(p);
	rte_eth_stats_get(p->device.port, &p->first);
	c->state = p;
	c->link = LINK_ETHERNET;
	c->numa_node = rte_eth_dev_socket_id(p->device.port);
	if (p->device.spread.is_known)
		c->spread = &p->device.spread;
	c->time_source = p->device.has_clock ? "nic" : "tsc";
	return 0;
}

static uint64_t since(uint64_t now, uint64_t first)
{
	return now > first ? now - first : 0;
}

static void port_losses(struct capture *c, struct capture_losses *ret)
{
	const struct port *p = c->state;
	struct rte_eth_stats s;

	if (rte_eth_stats_get(p->device.port, &s) != 0)
		return;
	ret->missed = since(s.imissed, p->first.imissed);
	ret->errors = since(s.ierrors, p->first.ierrors);
	ret->no_mbuf = since(s.rx_nombuf, p->first.rx_nombuf);
}

#define PORT_OPS(name)                                                                             \
	{                                                                                          \
		.scheme = name, .link = LINK_ETHERNET, .live = true, .open = port_open,            \
		.close = port_close, .rx = port_rx, .losses = port_losses                          \
	}

const struct capture_ops capture_ops_afxdp = PORT_OPS("afxdp");
const struct capture_ops capture_ops_vdev = PORT_OPS("vdev");
const struct capture_ops capture_ops_pci = PORT_OPS("pci");
