// SPDX-License-Identifier: Apache-2.0
// Network interfaces through the kernel: libpcap live (TPACKET_V3 underneath), which keeps fragments,
// tags and nanoseconds as they are. Several queues are a handle each in one fanout group, by a hash
// that is the same for both directions of a flow. A packet's bytes are copied out of the kernel's
// ring into chunks, since a block of the ring goes back to the kernel as soon as it has been read.
//
// A worker reads its queue; control opens, closes and reads the kernel's drops, by a socket option
// that shares nothing with the reading side of libpcap.
#include "capture_internal.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "clock.h"
#include "log.h"

enum {
	AFPACKET_BUFFER_MIB = 8,   // of the kernel, a queue
	AFPACKET_SNAPLEN = 262144, // as libpcap's tools take it
	AFPACKET_BLOCK_MS = 10,    // longest time that the kernel keeps a packet back
	AFPACKET_WATCH_MS = 100,
};

struct afpacket_queue {
	// worker
	struct afpacket *owner;
	pcap_t *pcap;
	struct packet_store store;
	uint64_t pkts; // received so far
	uint64_t watched_ns;
	struct packet *burst; // of the running call
	unsigned count, room;
	struct capture_rx *rx;
	unsigned index;
	char reason[CAPTURE_ERROR_MAX];
	// control
	uint64_t kernel_drops;
} __attribute__((aligned(64)));

struct afpacket {
	struct capture *capture;
	struct netdev_watch watch;
	bool is_watched; // not "any"
	struct afpacket_queue queues[];
};

// --- receiving: the queue's worker ---

static void receive(u_char *user, const struct pcap_pkthdr *h, const u_char *bytes)
{
	struct afpacket_queue *q = (struct afpacket_queue *)user;
	const struct capture *c = q->owner->capture;
	struct packet *p = &q->burst[q->count];
	uint8_t *data;

	q->pkts++;
	data = q->count < q->room ? packet_store_take(&q->store, h->caplen, p) : NULL;
	if (data == NULL) {
		q->rx->received++;
		q->rx->received_bytes += h->len;
		q->rx->dropped_no_mbuf++;
		return;
	}
	memcpy(data, bytes, h->caplen);
	p->caplen = h->caplen;
	p->wirelen = h->len;
	p->ts_ns = (uint64_t)h->ts.tv_sec * NSEC_PER_S + (uint64_t)h->ts.tv_usec; // nanoseconds
	p->seq = (q->pkts - 1) * c->queues + q->index + 1;
	p->capture = c->index;
	p->queue = (uint16_t)q->index;
	p->link = c->link;
	p->flags = 0;
	capture_account(c, p, q->rx);
	q->count++;
}

// An empty queue of an interface: is it quiet, down or gone? The first queue asks for all.
static void watch(struct afpacket *a, struct afpacket_queue *q)
{
	uint64_t now = clock_monotonic_ns();

	if (!a->is_watched || q->index != 0 ||
		now - q->watched_ns < AFPACKET_WATCH_MS * UINT64_C(1000000))
		return;
	q->watched_ns = now;
	switch (netdev_watch_check(&a->watch)) {
	case CAPTURE_RX_RUNNING:
	case CAPTURE_RX_END:
		capture_set_state(a->capture, CAPTURE_RX_RUNNING, "");
		break;
	case CAPTURE_RX_PAUSED:
		capture_set_state(a->capture, CAPTURE_RX_PAUSED, a->watch.down_text);
		break;
	case CAPTURE_RX_FAILED:
		capture_set_state(a->capture, CAPTURE_RX_FAILED, a->watch.gone_text);
		break;
	}
}

static void fail(struct afpacket *a, struct afpacket_queue *q)
{
	if (a->is_watched && netdev_watch_check(&a->watch) == CAPTURE_RX_FAILED) {
		capture_set_state(a->capture, CAPTURE_RX_FAILED, a->watch.gone_text);
		return;
	}
	if (q->reason[0] == 0)
		snprintf(q->reason, sizeof(q->reason), "interface %s: %s", a->capture->interface,
			pcap_geterr(q->pcap));
	capture_set_state(a->capture, CAPTURE_RX_FAILED, q->reason);
}

static unsigned afpacket_rx(
	struct capture *c, unsigned queue, struct packet *pkts, unsigned n, struct capture_rx *rx)
{
	struct afpacket *a = c->state;
	struct afpacket_queue *q = &a->queues[queue];
	int r;

	rx->state = capture_state_now(c);
	if (rx->state == CAPTURE_RX_FAILED || n == 0)
		return 0;
	q->burst = pkts;
	q->count = 0;
	q->room = n;
	q->rx = rx;
	r = pcap_dispatch(q->pcap, (int)n, receive, (u_char *)q);
	packet_store_settle(&q->store);
	if (r < 0)
		fail(a, q);
	else if (r == 0)
		watch(a, q);
	else if (rx->state == CAPTURE_RX_PAUSED)
		capture_set_state(a->capture, CAPTURE_RX_RUNNING, "");
	rx->state = capture_state_now(c);
	return q->count;
}

// --- opening: control ---

static void list_interfaces(char *text, size_t size)
{
	struct if_nameindex *all = if_nameindex();
	size_t n = 0;

	text[0] = 0;
	if (all == NULL)
		return;
	for (struct if_nameindex *i = all; i->if_index != 0 && n + IF_NAMESIZE + 2 < size; i++)
		n += (size_t)snprintf(text + n, size - n, "%s%s", n > 0 ? ", " : "", i->if_name);
	if_freenameindex(all);
}

static int explain(const char *name, int status, pcap_t *pcap, char *error, size_t size)
{
	char names[256];

	switch (status) {
	case PCAP_ERROR_PERM_DENIED:
	case PCAP_ERROR_PROMISC_PERM_DENIED:
		return capture_fail(-EPERM, error, size,
			"no permission to capture on %s: it needs root or CAP_NET_RAW", name);
	case PCAP_ERROR_NO_SUCH_DEVICE:
		list_interfaces(names, sizeof(names));
		return capture_fail(
			-ENODEV, error, size, "no interface %s; there are: %s", name, names);
	case PCAP_ERROR_IFACE_NOT_UP:
		return capture_fail(-ENETDOWN, error, size,
			"interface %s is down: bring it up (ip link set %s up)", name, name);
	default:
		return capture_fail(-EIO, error, size, "interface %s: %s%s%s", name,
			pcap_statustostr(status), pcap_geterr(pcap)[0] != 0 ? ": " : "",
			pcap_geterr(pcap));
	}
}

static int open_handle(const struct capture *c, pcap_t **ret, char *error, size_t size)
{
	char text[PCAP_ERRBUF_SIZE];
	const struct capture_source *s = &c->source;
	uint32_t mib = s->buffer_mib != 0 ? s->buffer_mib : AFPACKET_BUFFER_MIB;
	pcap_t *p = pcap_create(s->target, text);
	int r;

	if (p == NULL)
		return capture_fail(-EIO, error, size, "interface %s: %s", s->target, text);
	pcap_set_snaplen(p, s->snaplen != 0 ? (int)s->snaplen : AFPACKET_SNAPLEN);
	pcap_set_promisc(p, s->promisc != 0);
	pcap_set_timeout(p, AFPACKET_BLOCK_MS);
	pcap_set_buffer_size(p, mib > 2047 ? INT32_MAX : (int)(mib << 20));
	pcap_set_tstamp_precision(p, PCAP_TSTAMP_PRECISION_NANO);
	r = pcap_activate(p);
	if (r < 0) {
		r = explain(s->target, r, p, error, size);
	} else if (pcap_get_tstamp_precision(p) != PCAP_TSTAMP_PRECISION_NANO) {
		r = capture_fail(
			-ENOTSUP, error, size, "interface %s has no nanosecond times", s->target);
	} else if (pcap_setnonblock(p, 1, text) != 0) {
		r = capture_fail(-EIO, error, size, "interface %s: %s", s->target, text);
	} else {
		if (r > 0)
			log_warning("interface %s: %s", s->target, pcap_statustostr(r));
		*ret = p;
		return 0;
	}
	pcap_close(p);
	return r;
}

static uint32_t kernel_drops(const struct afpacket_queue *q)
{
	struct tpacket_stats_v3 stats = {0};
	socklen_t length = sizeof(stats);

	if (getsockopt(pcap_fileno(q->pcap), SOL_PACKET, PACKET_STATISTICS, &stats, &length) != 0)
		return 0;
	return stats.tp_drops; // since the last call: the kernel starts anew at each
}

static void ignore(u_char *user, const struct pcap_pkthdr *h, const u_char *bytes)
{
	(void)user;
	(void)h;
	(void)bytes;
}

// Takes out what is there, until nothing has come for longer than the kernel keeps packets back.
static void drain(struct afpacket_queue *q)
{
	struct pollfd p = {.fd = pcap_fileno(q->pcap), .events = POLLIN};

	while (poll(&p, 1, 3 * AFPACKET_BLOCK_MS) > 0 && (p.revents & ~POLLIN) == 0)
		if (pcap_dispatch(q->pcap, -1, ignore, NULL) < 0)
			return;
}

// Joins the queues to one fanout group of the kernel's choice. A handle sees all packets from its
// opening until it has joined; so that none is counted twice, all are kept out meanwhile.
static int join_queues(struct capture *c, struct afpacket *a)
{
	struct sock_filter refuse_all = {BPF_RET | BPF_K, 0, 0, 0};
	struct sock_fprog program = {.len = 1, .filter = &refuse_all};
	uint32_t group = (uint32_t)(PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
	socklen_t length = sizeof(group);
	int none = 0;

	for (unsigned i = 0; i < c->queues; i++)
		if (setsockopt(pcap_fileno(a->queues[i].pcap), SOL_SOCKET, SO_ATTACH_FILTER,
			    &program, sizeof(program)) != 0)
			return -errno;
	for (unsigned i = 0; i < c->queues; i++) {
		int fd = pcap_fileno(a->queues[i].pcap);

		if (setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &group, sizeof(group)) != 0)
			return -errno;
		if (i == 0 && getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &group, &length) != 0)
			return -errno;
		group = (group & 0xffff) | (uint32_t)PACKET_FANOUT_HASH << 16;
	}
	for (unsigned i = 0; i < c->queues; i++) {
		drain(&a->queues[i]);
		kernel_drops(&a->queues[i]);
	}
	for (unsigned i = 0; i < c->queues; i++)
		if (setsockopt(pcap_fileno(a->queues[i].pcap), SOL_SOCKET, SO_DETACH_FILTER, &none,
			    sizeof(none)) != 0)
			return -errno;
	return 0;
}

// What the loopback interface sends it also receives: one of the two is enough. libpcap leaves the
// sent ones out; here the kernel does not even queue them, where it can.
static void skip_sent_on_loopback(const struct capture *c, const struct afpacket *a)
{
	struct ifreq r = {0};
	int on = 1;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%.15s", c->source.target);
	if (ioctl(a->watch.fd, SIOCGIFFLAGS, &r) != 0 || (r.ifr_flags & IFF_LOOPBACK) == 0)
		return;
	for (unsigned i = 0; i < c->queues; i++)
		if (setsockopt(pcap_fileno(a->queues[i].pcap), SOL_PACKET, PACKET_IGNORE_OUTGOING,
			    &on, sizeof(on)) != 0)
			log_info("interface %s: sent packets take room in the kernel's buffer",
				c->source.target);
}

static void afpacket_free(struct afpacket *a, unsigned queues)
{
	for (unsigned i = 0; i < queues; i++) {
		struct afpacket_queue *q = &a->queues[i];

		if (q->pcap != NULL)
			pcap_close(q->pcap);
		packet_store_fini(&q->store, a->capture->source.target);
	}
	netdev_watch_fini(&a->watch);
	free(a);
}

static void afpacket_close(struct capture *c)
{
	afpacket_free(c->state, c->queues);
}

static int open_queues(struct capture *c, struct afpacket *a, const struct capture_options *o,
	char *error, size_t size)
{
	int r;

	for (unsigned i = 0; i < c->queues; i++) {
		struct afpacket_queue *q = &a->queues[i];

		q->owner = a;
		q->index = i;
		if (packet_store_init(&q->store, o) != 0)
			return capture_fail(-ENOMEM, error, size, "no memory for packets");
		r = open_handle(c, &q->pcap, error, size);
		if (r < 0)
			return r;
	}
	r = c->queues > 1 ? join_queues(c, a) : 0;
	if (r < 0)
		return capture_fail(r, error, size,
			"interface %s: %u queues cannot be joined: %s; try queues=1",
			c->source.target, c->queues, strerror(-r));
	return 0;
}

static int afpacket_open(
	struct capture *c, const struct capture_options *o, char *error, size_t size)
{
	unsigned workers = o->workers > 0 ? o->workers : 1;
	struct afpacket *a;
	int r;

	c->queues = c->source.queues != 0 && c->source.queues < workers ? c->source.queues
	                                                                : workers;
	if (c->queues > CAPTURE_QUEUES_MAX)
		c->queues = CAPTURE_QUEUES_MAX;
	a = aligned_alloc(64, sizeof(*a) + c->queues * sizeof(a->queues[0]));
	if (a == NULL)
		return capture_fail(-ENOMEM, error, size, "no memory for a capture");
	memset(a, 0, sizeof(*a) + c->queues * sizeof(a->queues[0]));
	a->capture = c;
	r = open_queues(c, a, o, error, size);
	if (r == 0 && strcmp(c->source.target, "any") != 0) {
		r = netdev_watch_init(&a->watch, c->source.target);
		if (r < 0)
			capture_fail(
				r, error, size, "interface %s: %s", c->source.target, strerror(-r));
	}
	if (r < 0) {
		afpacket_free(a, c->queues);
		return r;
	}
	a->is_watched = a->watch.fd > 0;
	if (a->is_watched)
		skip_sent_on_loopback(c, a);
	c->state = a;
	c->link = link_from_dlt(pcap_datalink(a->queues[0].pcap));
	snprintf(c->interface, sizeof(c->interface), "%.15s", c->source.target);
	c->time_source = "kernel";
	return 0;
}

static int afpacket_wait_fd(const struct capture *c, unsigned queue)
{
	const struct afpacket *a = c->state;

	return pcap_get_selectable_fd(a->queues[queue].pcap);
}

static void afpacket_losses(struct capture *c, struct capture_losses *ret)
{
	struct afpacket *a = c->state;

	for (unsigned i = 0; i < c->queues; i++) {
		a->queues[i].kernel_drops += kernel_drops(&a->queues[i]);
		ret->kernel += a->queues[i].kernel_drops;
	}
}

const struct capture_ops capture_ops_afpacket = {
	.scheme = "afpacket",
	.link = -1,
	.live = true,
	.open = afpacket_open,
	.close = afpacket_close,
	.rx = afpacket_rx,
	.wait_fd = afpacket_wait_fd,
	.losses = afpacket_losses,
};
