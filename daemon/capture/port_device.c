// SPDX-License-Identifier: Apache-2.0
// A DPDK device from its string to a running port, and back. Every feature is asked for only where the
// port offers it: symmetric RSS, receive offloads, timestamps, scattered receive. Nothing is ever sent;
// a transmit queue is there only because many drivers want one.
//
// Runs on the control thread.
#include "port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_pci.h>

#include "log.h"

enum {
	PORT_RX_DESCRIPTORS = 1024,
	PORT_TX_DESCRIPTORS = 64,
	PORT_SPARE_MBUFS = 4096, // a queue: on their way through the workers
	PORT_POOL_CACHE = 256,
	PORT_MTU_MAX = 9600, // jumbo frames
	PORT_DRAIN_BURSTS = 1024,
	PORT_XDP_TRIES = 20,
	RSS_KEY_MAX = 255,
};

// --- finding, adding, removing ---

static int find_port(const char *name, uint16_t *ret)
{
	struct rte_eth_dev_info info;

	for (uint16_t p = rte_eth_find_next(0); p < RTE_MAX_ETHPORTS; p = rte_eth_find_next(p + 1))
		if (rte_eth_dev_info_get(p, &info) == 0 && info.device != NULL &&
			strcmp(rte_dev_name(info.device), name) == 0) {
			*ret = p;
			return 0;
		}
	return -ENODEV;
}

// Splits a source into bus, device name and arguments.
static int name_device(struct port_device *d, const struct capture_source *s, unsigned queues,
	char *args, size_t args_size, char *error, size_t size)
{
	static unsigned afxdp_count;
	size_t n = strcspn(s->target, ",");
	struct rte_pci_addr address;

	snprintf(d->bus, sizeof(d->bus), "%s", s->kind == CAPTURE_PCI ? "pci" : "vdev");
	if (s->kind == CAPTURE_AFXDP) {
		snprintf(d->name, sizeof(d->name), "net_af_xdp%u", afxdp_count++);
		snprintf(args, args_size, "iface=%s,start_queue=0,queue_count=%u", s->target,
			queues);
		return 0;
	}
	if (n >= sizeof(d->name))
		return capture_fail(-EINVAL, error, size,
			"device name is longer than %zu characters", sizeof(d->name) - 1);
	snprintf(d->name, sizeof(d->name), "%.*s", (int)n, s->target);
	snprintf(args, args_size, "%s", s->target[n] == ',' ? s->target + n + 1 : "");
	if (s->kind == CAPTURE_PCI) {
		if (rte_eal_has_pci() == 0)
			return capture_fail(-ENOTSUP, error, size,
				"PCI devices are switched off: start pktaid without --no-pci");
		if (rte_pci_addr_parse(d->name, &address) != 0)
			return capture_fail(
				-EINVAL, error, size, "'%s' is no PCI address", d->name);
		rte_pci_device_name(&address, d->name, sizeof(d->name));
	}
	return 0;
}

static int explain_add(const struct port_device *d, const struct capture_source *s, int r,
	const char *args, char *error, size_t size)
{
	if (s->kind == CAPTURE_PCI)
		return capture_fail(r, error, size,
			"device %s cannot be taken: %s; it must exist and be bound to vfio-pci or "
			"another "
			"driver that DPDK can use (dpdk-devbind.py --status)",
			d->name, strerror(-r));
	if (s->kind == CAPTURE_AFXDP)
		return capture_fail(r, error, size,
			"AF_XDP on %s failed: %s; it needs root or CAP_NET_RAW, CAP_NET_ADMIN and "
			"CAP_BPF, "
			"an interface that is up and has that many queues; afpacket:%s works on "
			"any",
			s->target, strerror(-r), s->target);
	if (r == -EEXIST)
		return capture_fail(r, error, size,
			"device %s exists already: give another name, such as one with the next "
			"number",
			d->name);
	return capture_fail(r, error, size,
		"DPDK could not make device %s%s%s: %s; is that a vdev driver's name, and are its "
		"arguments right? (--log-level debug shows what the driver says)",
		d->name, args[0] != 0 ? " with " : "", args,
		r == -1 ? "the driver refused" : strerror(-r)); // many drivers just say -1
}

static int add_device(struct port_device *d, const struct capture_source *s, unsigned queues,
	char *error, size_t size)
{
	char args[CAPTURE_TARGET_MAX + 64];
	int r = name_device(d, s, queues, args, sizeof(args), error, size);
	struct rte_eth_dev_owner owner;

	if (r < 0)
		return r;
	if (find_port(d->name, &d->port) != 0) {
		r = rte_eal_hotplug_add(d->bus, d->name, args);
		if (r < 0)
			return explain_add(d, s, r, args, error, size);
		d->is_added = true;
		if (find_port(d->name, &d->port) != 0)
			return capture_fail(
				-ENODEV, error, size, "device %s has no network port", d->name);
	}
	if (rte_eth_dev_owner_get(d->port, &owner) == 0 && owner.id != RTE_ETH_DEV_NO_OWNER)
		return capture_fail(-EBUSY, error, size,
			"device %s is in use by %s: give another name, or stop that first", d->name,
			owner.name);
	if (rte_eth_dev_owner_new(&owner.id) != 0)
		return capture_fail(-ENOSPC, error, size, "DPDK has no more port owners");
	snprintf(owner.name, sizeof(owner.name), "another capture");
	r = rte_eth_dev_owner_set(d->port, &owner);
	if (r < 0)
		return capture_fail(r, error, size, "device %s: %s", d->name, strerror(-r));
	d->owner = owner.id;
	d->is_owned = d->is_added =
		true; // found ones are taken over: a stopped port's queues hold mbufs
	return 0;
}

// --- configuration ---

static uint64_t rss_functions(const struct rte_eth_dev_info *info)
{
	return info->flow_type_rss_offloads &
	       (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP);
}

// With this repeated key the Toeplitz hash is the same for both directions of a flow.
static void rss_symmetric(
	struct rte_eth_conf *conf, const struct rte_eth_dev_info *info, uint8_t key[RSS_KEY_MAX])
{
	for (unsigned i = 0; i < RSS_KEY_MAX; i++)
		key[i] = i % 2 == 0 ? 0x6d : 0x5a;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf.rss_key = key;
	conf->rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size != 0 ? info->hash_key_size
	                                                                  : 40;
	conf->rx_adv_conf.rss_conf.rss_hf = rss_functions(info);
}

// Spreads the table evenly, also where the driver's default leaves queues out. What the port reported
// before it was configured is not asked: mlx5 sizes its table by the number of queues.
static void rss_table(const struct port_device *d, unsigned entries)
{
	struct rte_eth_rss_reta_entry64 table[SPREAD_ENTRIES_MAX / RTE_ETH_RETA_GROUP_SIZE];
	int r;

	if (entries == 0 || entries > SPREAD_ENTRIES_MAX)
		return;
	memset(table, 0, sizeof(table));
	for (unsigned i = 0; i < entries; i++) {
		struct rte_eth_rss_reta_entry64 *e = &table[i / RTE_ETH_RETA_GROUP_SIZE];

		e->mask |= UINT64_C(1) << i % RTE_ETH_RETA_GROUP_SIZE;
		e->reta[i % RTE_ETH_RETA_GROUP_SIZE] = (uint16_t)(i % d->queues);
	}
	r = rte_eth_dev_rss_reta_update(d->port, table, (uint16_t)entries);
	if (r < 0)
		log_info("device %s keeps its own RSS table: %s", d->name, strerror(-r));
}

// The table as the port has it now. Returns whether it says, and is of a size that RSS can be computed
// for.
static bool read_table(const struct port_device *d, unsigned entries, uint16_t *ret_queue)
{
	struct rte_eth_rss_reta_entry64 table[SPREAD_ENTRIES_MAX / RTE_ETH_RETA_GROUP_SIZE];

	if (entries == 0 || entries > SPREAD_ENTRIES_MAX || (entries & (entries - 1)) != 0)
		return false;
	memset(table, 0, sizeof(table));
	for (unsigned i = 0; i < entries; i += RTE_ETH_RETA_GROUP_SIZE)
		table[i / RTE_ETH_RETA_GROUP_SIZE].mask = UINT64_MAX;
	if (rte_eth_dev_rss_reta_query(d->port, table, (uint16_t)entries) != 0)
		return false;
	for (unsigned i = 0; i < entries; i++) {
		ret_queue[i] = table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
		if (ret_queue[i] >= d->queues)
			return false;
	}
	return true;
}

static uint8_t ports_hashed(uint64_t functions)
{
	static const struct {
		uint64_t function;
		uint8_t bit;
	} all[] = {
		{RTE_ETH_RSS_NONFRAG_IPV4_TCP, SPREAD_TCP},
		{RTE_ETH_RSS_NONFRAG_IPV4_UDP, SPREAD_UDP},
		{RTE_ETH_RSS_NONFRAG_IPV4_SCTP, SPREAD_SCTP},
		{RTE_ETH_RSS_NONFRAG_IPV6_TCP, SPREAD_TCP << SPREAD_IPV6},
		{RTE_ETH_RSS_NONFRAG_IPV6_UDP, SPREAD_UDP << SPREAD_IPV6},
		{RTE_ETH_RSS_NONFRAG_IPV6_SCTP, SPREAD_SCTP << SPREAD_IPV6},
	};
	uint8_t bits = 0;

	for (unsigned i = 0; i < RTE_DIM(all); i++)
		if (functions & all[i].function)
			bits |= all[i].bit;
	return bits;
}

// Reads back what the port hashes, with which key. A driver that does not tell is taken at its word.
static bool has_key(
	const struct port_device *d, const struct rte_eth_rss_conf *want, uint64_t *ret_hf)
{
	uint8_t key[RSS_KEY_MAX] = {0};
	struct rte_eth_rss_conf is = {.rss_key = key, .rss_key_len = want->rss_key_len};

	*ret_hf = want->rss_hf;
	if (rte_eth_dev_rss_hash_conf_get(d->port, &is) != 0)
		return true;
	*ret_hf = is.rss_hf;
	return is.rss_key == NULL || memcmp(key, want->rss_key, want->rss_key_len) == 0;
}

// After the start: gives the port its table, and its key once more where it did not take it with the
// configuration; notes how packets will be spread, as far as the port says that it does as it was told.
static void rss_settle(struct port_device *d, struct rte_eth_conf *conf)
{
	struct rte_eth_rss_conf *want = &conf->rx_adv_conf.rss_conf;
	uint16_t queue[SPREAD_ENTRIES_MAX];
	struct rte_eth_dev_info info;
	uint64_t functions;

	if (rte_eth_dev_info_get(d->port, &info) != 0)
		return;
	rss_table(d, info.reta_size);
	if (!has_key(d, want, &functions) &&
		(rte_eth_dev_rss_hash_update(d->port, want) != 0 || !has_key(d, want, &functions)))
		log_info("device %s keeps an RSS key of its own", d->name);
	else if (read_table(d, info.reta_size, queue))
		capture_spread_init(&d->spread, ports_hashed(functions), queue, info.reta_size);
	log_info("device %s: RSS with a key of %u bytes, functions %#llx of %#llx, a table of %u%s",
		d->name, want->rss_key_len, (unsigned long long)functions,
		(unsigned long long)info.flow_type_rss_offloads, info.reta_size,
		d->spread.is_known ? "" : "; packets are passed on to their flows' workers");
}

static void choose_offloads(struct port_device *d, const struct capture_source *s,
	const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	uint64_t ticks;

	if ((info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_TIMESTAMP) != 0 &&
		rte_eth_read_clock(d->port, &ticks) == 0 &&
		rte_mbuf_dyn_rx_timestamp_register(&d->timestamp_offset, &d->timestamp_flag) == 0) {
		conf->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_TIMESTAMP;
		d->has_clock = true;
	}
	if ((info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) == 0)
		return;
	conf->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	// A virtual device's MTU is that of the kernel's interface behind it: not ours to change.
	if (s->kind == CAPTURE_PCI && info->max_mtu > RTE_ETHER_MTU)
		conf->rxmode.mtu = RTE_MIN(info->max_mtu, (uint16_t)PORT_MTU_MAX);
}

static int make_pool(
	struct port_device *d, uint16_t descriptors, int numa, char *error, size_t size)
{
	static unsigned count;
	char name[32];
	unsigned want = d->queues * (descriptors + PORT_SPARE_MBUFS) + PORT_POOL_CACHE;
	unsigned least = d->queues * (descriptors + PORT_SPARE_MBUFS / 8U) + PORT_POOL_CACHE;

	snprintf(name, sizeof(name), "capture%u", count++);
	for (unsigned n = want;; n = RTE_MAX(n / 2, least)) {
		d->pool = rte_pktmbuf_pool_create(
			name, n, PORT_POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, numa);
		if (d->pool != NULL)
			return 0;
		if (n == least)
			return capture_fail(-ENOMEM, error, size,
				"no memory for the packets of %s: %u MiB are wanted, %u MiB "
				"needed; start "
				"pktaid with more (--memory)",
				d->name, want / 400 + 1, least / 400 + 1);
	}
}

static int set_up_queues(struct port_device *d, const struct rte_eth_dev_info *info, uint16_t tx,
	uint64_t offloads, int numa, char *error, size_t size)
{
	uint16_t rx_descriptors = PORT_RX_DESCRIPTORS, tx_descriptors = PORT_TX_DESCRIPTORS;
	struct rte_eth_rxconf rx_conf = info->default_rxconf;
	int r = rte_eth_dev_adjust_nb_rx_tx_desc(d->port, &rx_descriptors, &tx_descriptors);

	if (r < 0)
		return r;
	if (d->pool == NULL) {
		r = make_pool(d, rx_descriptors, numa, error, size);
		if (r < 0)
			return r;
	}
	rx_conf.offloads = offloads & info->rx_queue_offload_capa;
	for (uint16_t q = 0; r == 0 && q < d->queues; q++)
		r = rte_eth_rx_queue_setup(
			d->port, q, rx_descriptors, (unsigned)numa, &rx_conf, d->pool);
	for (uint16_t q = 0; r == 0 && q < tx; q++)
		r = rte_eth_tx_queue_setup(d->port, q, tx_descriptors, (unsigned)numa, NULL);
	return r;
}

// One way to configure the port: with tx transmit queues.
static int start_with(struct port_device *d, const struct capture_source *s,
	const struct capture_options *o, uint16_t tx, char *error, size_t size)
{
	uint8_t key[RSS_KEY_MAX];
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	int numa = rte_eth_dev_socket_id(d->port);
	int r = rte_eth_dev_info_get(d->port, &info);

	if (r < 0)
		return r;
	if (numa < 0)
		numa = o->numa_node >= 0 ? o->numa_node : SOCKET_ID_ANY;
	if (d->queues > 1 && rss_functions(&info) != 0)
		rss_symmetric(&conf, &info, key);
	choose_offloads(d, s, &info, &conf);
	r = rte_eth_dev_configure(d->port, d->queues, tx, &conf);
	if (r == 0)
		r = set_up_queues(d, &info, tx, conf.rxmode.offloads, numa, error, size);
	if (r == 0)
		r = rte_eth_dev_start(d->port);
	if (r == 0 && conf.rxmode.mq_mode == RTE_ETH_MQ_RX_RSS)
		rss_settle(d, &conf);
	else if (r == 0 && d->queues > 1)
		log_info("device %s has no RSS: whoever sends spreads the packets over its queues",
			d->name);
	return r;
}

// Drivers differ in how many transmit queues they insist on: as many as receive queues, one, none.
static int start_port(struct port_device *d, const struct capture_source *s,
	const struct capture_options *o, char *error, size_t size)
{
	uint16_t tries[3] = {s->kind == CAPTURE_PCI ? 1 : d->queues, d->queues, 0};
	struct rte_eth_dev_info info;
	int r = rte_eth_dev_info_get(d->port, &info), first = 0;

	error[0] = 0;
	for (unsigned i = 0; r == 0 && i < 3; i++) {
		if (tries[i] > info.max_tx_queues || (i > 0 && tries[i] == tries[i - 1]))
			continue;
		first = start_with(d, s, o, tries[i], error, size);
		if (first == 0) {
			d->is_started = true;
			return 0;
		}
		if (first == -ENOMEM)
			break;
	}
	r = first < 0 ? first : r < 0 ? r : -ENOTSUP;
	if (error[0] != 0)
		return r;
	if (s->kind == CAPTURE_AFXDP)
		return explain_add(d, s, r, "", error, size);
	return capture_fail(r, error, size, "device %s does not start with %u queues: %s", d->name,
		d->queues, strerror(-r));
}

static void set_promiscuous(struct port_device *d, const struct capture_source *s)
{
	int r;

	if (s->promisc == 0 || rte_eth_promiscuous_get(d->port) == 1)
		return;
	r = rte_eth_promiscuous_enable(d->port);
	d->is_promiscuous = r == 0;
	if (r < 0 && s->promisc == 1)
		log_warning("device %s cannot be made promiscuous: %s", d->name, strerror(-r));
}

static unsigned choose_queues(const struct capture_source *s, const struct capture_options *o)
{
	unsigned workers = RTE_MIN(RTE_MAX(o->workers, 1U), (unsigned)CAPTURE_QUEUES_MAX);

	if (s->queues == 0) // AF_XDP: what each interface has
		return s->kind == CAPTURE_AFXDP ? 1 : workers;
	return RTE_MIN(s->queues, workers);
}

static int try_open(struct port_device *d, const struct capture_source *s,
	const struct capture_options *o, char *error, size_t size)
{
	unsigned queues = choose_queues(s, o);
	struct rte_eth_dev_info info;
	struct port_sockets before;
	int r;

	*d = (struct port_device){.timestamp_offset = -1};
	port_sockets_list(&before);
	r = add_device(d, s, queues, error, size);
	if (r == 0)
		r = rte_eth_dev_info_get(d->port, &info);
	if (r == 0) {
		d->queues = (uint16_t)RTE_MIN(queues, (unsigned)RTE_MAX(info.max_rx_queues, 1));
		d->if_index = s->kind == CAPTURE_PCI ? 0 : info.if_index;
		d->keeps_mbufs = strcmp(info.driver_name, "net_af_xdp") == 0;
		r = start_port(d, s, o, error, size);
		port_sockets_since(&before, &d->sockets);
	}
	if (r < 0)
		port_device_close(d);
	return r;
}

int port_device_open(struct port_device *d, const struct capture_source *s,
	const struct capture_options *o, char *error, size_t size)
{
	unsigned tries = 0;
	int r;

	if (rte_lcore_count() == 0)
		return capture_fail(-ENOTSUP, error, size, "ports need DPDK's EAL to be started");
	do
		r = try_open(d, s, o, error, size);
	while (r < 0 && s->kind == CAPTURE_AFXDP && ++tries < PORT_XDP_TRIES &&
		port_sockets_wait());
	if (r == 0)
		set_promiscuous(d, s);
	return r;
}

// Packets that no worker took any more: some drivers (net_ring) would keep their mbufs.
static void drain(const struct port_device *d)
{
	struct rte_mbuf *m[PACKET_BURST];

	for (uint16_t q = 0; q < d->queues; q++)
		for (unsigned i = 0; i < PORT_DRAIN_BURSTS; i++) {
			uint16_t n = rte_eth_rx_burst(d->port, q, m, PACKET_BURST);

			if (n == 0)
				break;
			rte_pktmbuf_free_bulk(m, n);
		}
}

void port_device_close(struct port_device *d)
{
	int r = 0;

	if (d->is_started) {
		drain(d);
		if (d->is_promiscuous)
			rte_eth_promiscuous_disable(d->port);
		rte_eth_dev_stop(d->port);
	}
	if (d->is_owned)
		rte_eth_dev_owner_unset(d->port, d->owner);
	if (d->is_added)
		r = rte_eal_hotplug_remove(d->bus, d->name);
	if (r < 0)
		log_warning("device %s cannot be removed: %s", d->name, strerror(-r));
	port_sockets_close(&d->sockets);
	// Memory that somebody may still write to is better lost than freed. AF_XDP's fill rings are gone
	// with their sockets; the buffers in them are not handed back.
	if (d->pool != NULL &&
		(r < 0 || (!d->keeps_mbufs && rte_mempool_in_use_count(d->pool) != 0)))
		log_warning("device %s: %u packet buffers did not come back: kept", d->name,
			rte_mempool_in_use_count(d->pool));
	else
		rte_mempool_free(d->pool);
	*d = (struct port_device){0};
}
