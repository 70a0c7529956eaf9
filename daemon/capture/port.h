// SPDX-License-Identifier: Apache-2.0
// DPDK ports inside: the device (found or added, configured, removed), and the clock of a NIC.
#pragma once

#include <stdatomic.h>

#include <rte_ethdev.h>

#include "capture_internal.h"
#include "spread.h"

// A NIC's clock as wall time. It runs at a rate of its own, which is measured over all the time since
// the start; each sync() anchors it anew, so that an error of the rate never adds up.
struct port_clock {
	uint64_t first_ticks, first_ns;
	uint64_t anchor_ticks, anchor_ns;
	double ns_per_tick;
};

static inline void port_clock_start(struct port_clock *c, uint64_t ticks, uint64_t wall_ns)
{
	*c = (struct port_clock){ticks, wall_ns, ticks, wall_ns, 1};
}

static inline void port_clock_sync(struct port_clock *c, uint64_t ticks, uint64_t wall_ns)
{
	if (ticks <= c->first_ticks || wall_ns <= c->first_ns) { // set back: begin anew
		double rate = c->ns_per_tick;

		port_clock_start(c, ticks, wall_ns);
		c->ns_per_tick = rate;
		return;
	}
	c->ns_per_tick = (double)(wall_ns - c->first_ns) / (double)(ticks - c->first_ticks);
	c->anchor_ticks = ticks;
	c->anchor_ns = wall_ns;
}

static inline uint64_t port_clock_ns(const struct port_clock *c, uint64_t ticks)
{
	double since = (double)(int64_t)(ticks - c->anchor_ticks) * c->ns_per_tick;

	return c->anchor_ns + (uint64_t)(int64_t)since;
}

// AF_XDP sockets of this process. net_af_xdp never closes those of its queues, which keeps the
// interface's queues bound: it could not be captured a second time. So they are noted at open and
// closed after removal.
struct port_sockets {
	unsigned count;
	int fds[256];
};
void port_sockets_list(struct port_sockets *ret);
void port_sockets_since(const struct port_sockets *before, struct port_sockets *ret);
void port_sockets_close(const struct port_sockets *);
// The kernel lets go of a closed socket's queue some time later: waits a little and returns true as
// long as that may be why a queue is busy.
bool port_sockets_wait(void);

// A device and its port, configured and started.
struct port_device {
	char bus[8];
	char name[RTE_DEV_NAME_MAX_LEN];
	uint16_t port;
	uint16_t queues;
	uint64_t owner;
	bool is_added, is_owned, is_started, is_promiscuous;
	bool has_clock; // RX timestamps that can be converted
	int timestamp_offset;
	uint64_t timestamp_flag;
	unsigned if_index; // network interface behind it, 0: none
	struct rte_mempool *pool;
	struct capture_spread spread;
	bool keeps_mbufs;            // the driver does not give all back
	struct port_sockets sockets; // that the driver will leave open
};

// Adds (or finds) the device of a source and starts its port. Returns 0 or a negative errno with a
// message; then nothing is left.
int port_device_open(struct port_device *, const struct capture_source *,
	const struct capture_options *, char *error, size_t size);
void port_device_close(struct port_device *);
