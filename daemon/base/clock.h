// SPDX-License-Identifier: Apache-2.0
// Time: the wall clock in nanoseconds, and the clock of a capture, which follows the timestamps of
// its packets but never goes back, so that timeouts work on captures whose packets do.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define NSEC_PER_S UINT64_C(1000000000)

uint64_t clock_wall_ns(void);      // CLOCK_REALTIME
uint64_t clock_monotonic_ns(void); // CLOCK_MONOTONIC

// The clock of one capture. One thread uses it: the worker that reads the capture's queue.
//
// now_ns follows the packets' time. A packet that is older does not move it. After
// CLOCK_REBASE_PKTS packets in a row that are more than CLOCK_REBASE_NS older, time has gone back
// for good (files joined in the wrong order, a clock set back): from then on the clock runs on
// from where it stands, at the pace of the new timestamps.
enum { CLOCK_REBASE_PKTS = 16 };
#define CLOCK_REBASE_NS (60 * NSEC_PER_S)

struct capture_clock {
	uint64_t now_ns;
	int64_t offset_ns; // now_ns = packet time + offset_ns
	uint64_t last_ts_ns;
	unsigned behind_pkts;
	uint64_t backwards; // packets older than the one before, so far
	uint64_t rebased;   // times set anew, so far
};

// Returns the capture's time at a packet with timestamp ts_ns.
static inline uint64_t capture_clock_at(struct capture_clock *c, uint64_t ts_ns)
{
	uint64_t t = ts_ns + (uint64_t)c->offset_ns;

	c->backwards += ts_ns < c->last_ts_ns;
	c->last_ts_ns = ts_ns;
	if (t >= c->now_ns) {
		c->now_ns = t;
		c->behind_pkts = 0;
	} else if (c->now_ns - t > CLOCK_REBASE_NS) {
		if (++c->behind_pkts >= CLOCK_REBASE_PKTS) {
			c->offset_ns = (int64_t)(c->now_ns - ts_ns);
			c->behind_pkts = 0;
			c->rebased++;
		}
	} else {
		c->behind_pkts = 0;
	}
	return c->now_ns;
}

// Writes EVE's form with nine digits, 2026-11-23T06:02:19.123456789+0000, and a NUL.
enum { CLOCK_TEXT_SIZE = 36 };
void clock_text(uint64_t ns, char text[CLOCK_TEXT_SIZE]);
