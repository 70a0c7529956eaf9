// SPDX-License-Identifier: Apache-2.0
// What the kinds of sources share behind capture.h: the capture itself, the table of what a kind can
// do, the filter, and watching a network interface. Not for other folders.
#pragma once

#include <stdatomic.h>

#include "capture.h"

struct filter;

// One kind of source. All but rx run on the control thread.
struct capture_ops {
	const char *scheme; // as in sources, without colon
	int link; // enum link_type of all its packets, or -1 if only the open source knows
	bool live;
	// Opens the source and sets queues, link, interface, time_source and state. On failure nothing
	// stays open; returns a negative errno with a message.
	int (*open)(struct capture *, const struct capture_options *, char *error, size_t size);
	void (*close)(struct capture *);
	// As capture_rx_burst, before the filter. Thread: the queue's worker.
	unsigned (*rx)(struct capture *, unsigned queue, struct packet *, unsigned n,
		struct capture_rx *ret);
	int (*wait_fd)(const struct capture *, unsigned queue);                  // NULL: none
	void (*losses)(struct capture *, struct capture_losses *ret);            // NULL: none
	void (*progress)(const struct capture *, uint64_t *done, uint64_t *all); // NULL: none
};

extern const struct capture_ops capture_ops_file;
extern const struct capture_ops capture_ops_afpacket;
extern const struct capture_ops capture_ops_afxdp;
extern const struct capture_ops capture_ops_vdev;
extern const struct capture_ops capture_ops_pci;

// Set by open, then read only, but for reason: written by workers, read by any thread.
struct capture {
	const struct capture_ops *ops;
	struct capture_source source;
	uint16_t index;
	uint16_t link; // of the first packets; files may hold several
	unsigned queues;
	char interface[64];
	const char *time_source;
	int numa_node;                       // -1: none
	const struct capture_spread *spread; // NULL: not known
	struct filter *filter;               // NULL: all packets pass
	void *state;                         // the kind's own
	_Atomic(const char *) reason;
	_Atomic int state_now; // live sources: enum capture_state of all queues
};

static inline void capture_set_reason(struct capture *c, const char *reason)
{
	atomic_store_explicit(&c->reason, reason, memory_order_release);
}

// A live source's state, for all its queues; failed is for ever. Thread: any worker of it.
void capture_set_state(struct capture *, enum capture_state, const char *reason);

static inline enum capture_state capture_state_now(const struct capture *c)
{
	return (enum capture_state)atomic_load_explicit(&c->state_now, memory_order_relaxed);
}

// Writes a message and returns code.
int capture_fail(int code, char *error, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

// Cuts a packet to the capture's snaplen, sets its flag and adds it to what was received.
static inline void capture_account(const struct capture *c, struct packet *p, struct capture_rx *rx)
{
	if (c->source.snaplen != 0 && p->caplen > c->source.snaplen)
		p->caplen = c->source.snaplen;
	if (p->caplen < p->wirelen) {
		p->flags |= PACKET_TRUNCATED;
		rx->truncated++;
	}
	rx->received++;
	rx->received_bytes += p->wirelen;
}

// --- filter.c ---

// Compiles text for a link type. Returns 0, or -EINVAL with libpcap's message, or -ENOMEM.
int filter_new(const char *text, uint16_t link, struct filter **ret, char *error, size_t size);
void filter_free(struct filter *); // accepts NULL

// Keeps the packets that match, in order, and releases the others; returns how many stay. A link type
// not met before is compiled here, which only files, read by one thread, can bring about; packets of a
// link type that the filter cannot be compiled for do not match.
unsigned filter_burst(struct filter *, struct packet *pkts, unsigned n);

bool filter_is_jit(const struct filter *); // the first program runs as machine code
// As it is run (match), and by libpcap's own interpreter: to compare. p->link: as for filter_new.
bool filter_match(struct filter *, const struct packet *p);
bool filter_match_pcap(struct filter *, const struct packet *p);

int link_to_dlt(uint16_t link);  // file's link type to libpcap's DLT
uint16_t link_from_dlt(int dlt); // and back

// --- store.c: packets' bytes copied into chunks, where a source cannot leave them where they are ---

struct chunk;
struct chunk_pool;

// One worker uses it.
struct packet_store {
	struct chunk_pool *pool;
	struct chunk *chunk; // being filled, or NULL
	uint32_t used;
	int refs; // packets of this burst in it
};

int packet_store_init(struct packet_store *, const struct capture_options *); // 0 or -ENOMEM
void packet_store_fini(struct packet_store *, const char *name); // name: of the source, for the log
// Room for bytes; sets p->data, chunk and mbuf. Returns NULL when all chunks are in use.
uint8_t *packet_store_take(struct packet_store *, uint32_t bytes, struct packet *p);
void packet_store_settle(struct packet_store *); // at the end of each burst

// --- netdev.c: is a network interface there, and up ---

struct netdev_watch {
	int fd;
	int index;
	char name[16];
	char down_text[96], gone_text[96]; // reasons
};

// Returns 0 or -ENODEV, -EMFILE…
int netdev_watch_init(struct netdev_watch *, const char *name);
void netdev_watch_fini(struct netdev_watch *);
// RUNNING, PAUSED (down) or FAILED (gone). A system call or two: not for every burst. Thread: any one.
enum capture_state netdev_watch_check(const struct netdev_watch *);
