// SPDX-License-Identifier: Apache-2.0
// The reader of capture files inside: bytes in chunks, and one step function for each format that
// takes them apart in place.
#pragma once

#include <stdatomic.h>

#include "capture_internal.h"
#include "chunk.h"
#include "file_io.h"

enum {
	FILE_CHUNK_BYTES = 256 * 1024,
	FILE_CHUNKS = 64, // in use at a time: 16 MiB; the reader waits beyond
	FILE_INTERFACES_MAX = 65536,
	FILE_BLOCK_BYTES_MAX = 16 << 20,
};

// How an interface of the file writes time.
enum file_time { FILE_TIME_MULTIPLY, FILE_TIME_DIVIDE, FILE_TIME_SHIFT };

struct file_interface {
	uint16_t link;
	uint8_t time;     // enum file_time
	uint8_t shift;    // FILE_TIME_SHIFT: units are 2^-shift s
	uint32_t snaplen; // 0: none
	uint32_t caplen_max;
	uint64_t factor; // ns a unit, or units a second
	int64_t offset_ns;
};

enum file_step {
	FILE_STEP_PACKET, // ret is filled; the record takes step_bytes
	FILE_STEP_OTHER,  // something else was passed over
	FILE_STEP_NEED,   // more bytes are needed: need of them, counted from at
	FILE_STEP_CORRUPT // the reason is written
};

struct file {
	struct file_io io;
	struct capture *capture;
	// the bytes at hand: data[at] to data[end], at byte base + at of the (unpacked) file
	struct chunk_pool *pool;
	struct chunk *chunk;
	uint32_t at, end;
	uint32_t need;
	uint32_t step_bytes;
	uint64_t base;
	uint64_t skip; // bytes to pass over before the next step
	bool at_eof;
	// the format
	enum file_step (*step)(struct file *, struct packet *ret);
	bool is_swapped;
	uint8_t pcap_record_bytes;
	uint8_t pcap_swapped_lengths;      // old versions: 1 always, 2 where they look so
	struct file_interface *interfaces; // pcap: one
	uint32_t interface_count, interface_room;
	// packets
	uint64_t pkts;      // read so far
	uint64_t pass_pkts; // of this pass through the file
	uint32_t passes_left;
	uint64_t passes_done;
	bool has_times;
	uint64_t first_ns, last_ns; // earliest and latest time of the first pass
	uint64_t offset_ns;         // added to times: later passes
	// pace
	double ns_per_ns;                   // 0: none
	uint64_t pace_clock_ns, pace_ts_ns; // this moment stands for that timestamp; 0: not yet set
	enum capture_state state;
	_Atomic uint64_t progress;
	char reason[CAPTURE_ERROR_MAX];
};

static inline uint16_t file_u16(const struct file *f, const uint8_t *p)
{
	uint16_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return f->is_swapped ? __builtin_bswap16(v) : v;
}

static inline uint32_t file_u32(const struct file *f, const uint8_t *p)
{
	uint32_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return f->is_swapped ? __builtin_bswap32(v) : v;
}

static inline uint32_t file_left(const struct file *f)
{
	return f->end - f->at;
}

static inline enum file_step file_need(struct file *f, uint32_t bytes)
{
	f->need = bytes;
	return FILE_STEP_NEED;
}

// Writes the reason why the file cannot be read on: what is wrong, where, and what was read before.
enum file_step file_corrupt(struct file *, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

// Largest captured length that makes sense for a link type (as libpcap has it).
uint32_t file_caplen_max(uint16_t link);

// The formats' first steps: the file's head. pcap: magic is known to be one of pcap's.
bool file_is_pcap(uint32_t magic);
enum file_step file_pcap_head(struct file *, struct packet *);
enum file_step file_pcapng_step(struct file *, struct packet *);
