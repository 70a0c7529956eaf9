// SPDX-License-Identifier: Apache-2.0
// What the capture tests share: capture files built in memory, opened through a memory file, and read
// to their end.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <cmocka.h>

#include "capture.h"

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

// Bytes being built, in the byte order asked for.
struct bytes {
	uint8_t *data;
	size_t size, room;
	bool is_swapped;
};

void put(struct bytes *, const void *data, size_t size);
void put16(struct bytes *, uint16_t v);
void put32(struct bytes *, uint32_t v);
void put64(struct bytes *, uint64_t v);
void bytes_free(struct bytes *);

void pcap_head(struct bytes *, uint32_t magic, uint32_t link);
// A record of size bytes, each of them (number + place) & 0xff.
void pcap_record(struct bytes *, uint32_t s, uint32_t fraction, uint32_t size, uint32_t wire,
	uint8_t number);
void fill_bytes(struct bytes *, uint32_t size, uint8_t number);

void ng_section(struct bytes *);
// resolution: value of if_tsresol, 0: no option; offset: of if_tsoffset, 0: no option
void ng_interface(
	struct bytes *, uint16_t link, uint32_t snaplen, uint8_t resolution, int64_t offset);
void ng_enhanced(struct bytes *, uint32_t interface, uint64_t time, uint32_t size, uint32_t wire,
	uint8_t number);
void ng_simple(struct bytes *, uint32_t size, uint32_t wire, uint8_t number);
void ng_obsolete(struct bytes *, uint16_t interface, uint64_t time, uint32_t size, uint32_t wire,
	uint8_t number);
void ng_other(struct bytes *, uint32_t type, uint32_t body);

// A packet as it was read, with a copy of its bytes.
struct seen {
	uint64_t ts_ns, seq;
	uint32_t caplen, wirelen;
	uint16_t link;
	uint8_t flags;
	uint8_t *data;
};

struct run {
	int opened; // result of capture_open
	char error[CAPTURE_ERROR_MAX];
	struct seen *pkts;
	size_t count;
	struct capture_rx sum;
	enum capture_state state;
	char reason[CAPTURE_ERROR_MAX];
	uint64_t progress, total;
};

// Opens a source (text) and reads it to its end or failure; chunk_bytes as in capture_options.
void run_source(struct run *, const char *source, const char *filter, uint32_t chunk_bytes);
// The same for bytes as a file, with options (text behind the path, or NULL).
void run_bytes(struct run *, const struct bytes *, const char *options, const char *filter,
	uint32_t chunk_bytes);
void run_free(struct run *);
bool run_equal(const struct run *, const struct run *);

// The folder of reference captures, or NULL. each: called for each capture file in it, in order;
// returns how many there were.
const char *captures_folder(void);
unsigned captures_each(void (*each)(const char *path));
