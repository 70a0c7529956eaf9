// SPDX-License-Identifier: Apache-2.0
// Captures: where packets come from. A source is a string (pcap:FILE, afpacket:IFACE, afxdp:IFACE,
// pci:ADDRESS, vdev:NAME,ARGS, options after a comma); an open capture has one or more queues, each
// polled by one worker. Filtering belongs to it: what the capture's filter refuses never leaves here.
//
// Opening and closing may block and run on the control thread. Receiving never blocks, allocates
// from the system or logs; it reports its end or failure as a state, with a reason to read later.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"

struct capture;

enum capture_kind { CAPTURE_PCAP, CAPTURE_AFPACKET, CAPTURE_AFXDP, CAPTURE_VDEV, CAPTURE_PCI };

enum { CAPTURE_TARGET_MAX = 4096, CAPTURE_ERROR_MAX = 512, CAPTURE_QUEUES_MAX = 64 };

struct capture_source {
	enum capture_kind kind;
	char target
		[CAPTURE_TARGET_MAX]; // path, interface, PCI address, or vdev string with its arguments
	unsigned queues;              // 0: as the source thinks best
	uint32_t snaplen;             // 0: all
	int promisc;                  // -1 default (on for live), 0, 1
	double speed;                 // files: 0 as fast as possible, 1 as recorded, 2 twice that
	uint32_t loop;                // files: times to read it, 0 and 1 once
	uint32_t buffer_mib; // afpacket: kernel buffer of each queue, 0: as pktaid thinks best
};

// Parses a source string. Options stand behind the last commas; what is not an option's name belongs
// to the target (a path with commas, a device's own arguments). A comma at the very end says that no
// options follow: pcap:odd,loop=2, is the file "odd,loop=2".
// Returns 0, or -EINVAL with a message that names what is accepted.
int capture_source_parse(const char *text, struct capture_source *ret, char *error, size_t size);

struct capture_options {
	const char *filter; // libpcap filter text, or NULL
	unsigned workers;   // queues are at most this many
	int numa_node;      // -1 any
	uint16_t index;     // the capture's index, set in packets
	uint32_t
		chunk_bytes; // memory taken at a time for packets of files and afpacket, 0: default
};

// Opens a source and compiles its filter. Returns 0 or a negative errno with a message in error:
// what went wrong and what to do. Thread: control.
int capture_open(const struct capture_source *, const struct capture_options *,
	struct capture **ret, char *error, size_t error_size);

// Closes it. All its packets must have been released. Accepts NULL. Thread: control.
void capture_close(struct capture *);

unsigned capture_queues(const struct capture *);
bool capture_is_live(const struct capture *);            // false: a file
const char *capture_interface(const struct capture *);   // for in_iface; "" for files
const char *capture_time_source(const struct capture *); // nic kernel tsc file

enum capture_state {
	CAPTURE_RX_RUNNING,
	CAPTURE_RX_PAUSED, // nothing can come now (interface down); goes on by itself
	CAPTURE_RX_END,    // end of file
	CAPTURE_RX_FAILED,
};

// What one call of capture_rx_burst did. received = n returned + filtered + dropped_no_mbuf. Packets
// may come together with END or FAILED: they count, and nothing comes after them.
struct capture_rx {
	uint32_t received;
	uint32_t filtered;
	uint32_t dropped_no_mbuf;
	uint32_t truncated;
	uint64_t received_bytes;
	enum capture_state state;
};

// Fills up to n packets' source section (now_ns excepted) and returns how many. Each returned packet
// holds a reference to its mbuf or chunk. Data is contiguous whatever the driver delivered. seq counts
// from 1, what the filter refuses included; with several queues the numbers of each are apart by the
// number of queues, so that none comes twice in a capture.
//
// A source has a bounded number of buffers, and a packet that is held keeps one: a file then waits,
// a live source drops. So no stage may hold a packet longer than it takes to work on it: copy instead.
// Thread: the worker that polls the queue.
unsigned capture_rx_burst(
	struct capture *, unsigned queue, struct packet *pkts, unsigned n, struct capture_rx *ret);

// How it spreads packets over its queues, or NULL where that is not known. Lives as long as the capture.
// Thread: any.
struct capture_spread;
const struct capture_spread *capture_spread(const struct capture *);

// The NUMA node that its queues are on, or -1.
int capture_numa_node(const struct capture *);

// A file descriptor that poll() finds readable when the queue may have something, or -1 where only
// receiving tells. Lives as long as the capture. Thread: any.
int capture_wait_fd(const struct capture *, unsigned queue);

// Why it ended, failed or paused: text that lives as long as the capture. Thread: any.
const char *capture_reason(const struct capture *);

// Packets that were lost before they were received, since the capture was opened. Thread: control.
struct capture_losses {
	uint64_t missed;  // NIC: no free descriptor
	uint64_t errors;  // NIC: bad frames
	uint64_t no_mbuf; // NIC: no packet buffer
	uint64_t kernel;  // kernel: socket buffer full
};
void capture_losses(struct capture *, struct capture_losses *ret);

// Files: bytes read and in all (0, 0 for live). Thread: any.
void capture_progress(const struct capture *, uint64_t *ret_bytes, uint64_t *ret_total);

// Takes count more references on a packet's bytes, for count more owners. Thread: any that holds one.
void packet_ref(const struct packet *, unsigned count);

// Releases the bytes of n packets (a reference each), in bulk where they share a chunk. Thread: any.
void packet_release(struct packet *const *pkts, unsigned n);
