// SPDX-License-Identifier: Apache-2.0
// Frames built by hand for the tests: headers are appended outermost first, frame_close() then sets
// the length fields and checksums of all that were opened. What a test wants wrong it overwrites
// afterwards.
#pragma once

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"

struct frame {
	uint8_t data[70000];
	uint32_t size;
	uint16_t link;
	struct {
		enum {
			OPEN_IP4,
			OPEN_IP6,
			OPEN_TCP,
			OPEN_UDP,
			OPEN_ICMP,
			OPEN_ICMP6,
			OPEN_LENGTH
		} kind;
		uint32_t off;
		uint32_t ip;   // index of the enclosing IP header
		uint32_t skip; // OPEN_LENGTH: bytes behind the field that do not count
	} open[32];
	unsigned open_count;
	uint32_t open_ip;
};

static inline void frame_init(struct frame *f)
{
	f->size = 0;
	f->open_count = 0;
	f->open_ip = 0;
	f->link = LINK_ETHERNET;
}

static inline uint8_t *frame_put(struct frame *f, uint32_t n)
{
	uint8_t *p = f->data + f->size;

	assert(f->size + n <= sizeof(f->data));
	memset(p, 0, n);
	f->size += n;
	return p;
}

static inline void put_be16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v & 0xffff);
}

static inline void frame_bytes(struct frame *f, const void *data, uint32_t n)
{
	memcpy(frame_put(f, n), data, n);
}

// The bytes of a string literal, without its terminator.
#define FRAME_TEXT(f, text) frame_bytes(f, text, sizeof(text) - 1)

static inline void frame_open(struct frame *f, int kind, uint32_t off)
{
	assert(f->open_count < 32);
	f->open[f->open_count].kind = kind;
	f->open[f->open_count].off = off;
	f->open[f->open_count].ip = f->open_ip;
	if (kind == OPEN_IP4 || kind == OPEN_IP6)
		f->open_ip = f->open_count;
	f->open_count++;
}

static inline void frame_eth(struct frame *f, uint16_t type)
{
	uint8_t *p = frame_put(f, 14);

	memcpy(p, "\x02\0\0\0\0\x02\x02\0\0\0\0\x01", 12);
	put_be16(p + 12, type);
}

static inline void frame_vlan(struct frame *f, uint16_t id, uint16_t type)
{
	uint8_t *p = frame_put(f, 4);

	put_be16(p, id | 0x2000);
	put_be16(p + 2, type);
}

static inline void frame_ip4_options(
	struct frame *f, uint8_t proto, const void *options, uint32_t size)
{
	uint32_t off = f->size;
	uint8_t *p = frame_put(f, 20);

	assert(size % 4 == 0);
	p[0] = (uint8_t)(0x45 + size / 4);
	p[1] = 0x10;
	put_be16(p + 4, 0x1234);
	p[8] = 61;
	p[9] = proto;
	memcpy(p + 12, "\x0a\1\0\1\x0a\1\0\2", 8);
	frame_bytes(f, options, size);
	frame_open(f, OPEN_IP4, off);
}

static inline void frame_ip4(struct frame *f, uint8_t proto)
{
	frame_ip4_options(f, proto, "", 0);
}

static inline void frame_ip6(struct frame *f, uint8_t next)
{
	uint32_t off = f->size;
	uint8_t *p = frame_put(f, 40);

	put_be32(p, 0x60b12345);
	p[6] = next;
	p[7] = 62;
	memcpy(p + 8, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	memcpy(p + 24, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2", 16);
	frame_open(f, OPEN_IP6, off);
}

static inline void frame_udp(struct frame *f, uint16_t src, uint16_t dst)
{
	uint32_t off = f->size;
	uint8_t *p = frame_put(f, 8);

	put_be16(p, src);
	put_be16(p + 2, dst);
	frame_open(f, OPEN_UDP, off);
}

static inline void frame_tcp_options(
	struct frame *f, uint8_t flags, const void *options, uint32_t size)
{
	uint32_t off = f->size;
	uint8_t *p = frame_put(f, 20);

	assert(size % 4 == 0);
	put_be16(p, 40000);
	put_be16(p + 2, 443);
	put_be32(p + 4, 0x01020304);
	put_be32(p + 8, 0x05060708);
	p[12] = (uint8_t)((5 + size / 4) << 4);
	p[13] = flags;
	put_be16(p + 14, 0x7210);
	frame_bytes(f, options, size);
	frame_open(f, OPEN_TCP, off);
}

static inline void frame_tcp(struct frame *f, uint8_t flags)
{
	frame_tcp_options(f, flags, "", 0);
}

static inline void frame_icmp(struct frame *f, uint8_t type, uint8_t code)
{
	uint32_t off = f->size;
	uint8_t *p = frame_put(f, 8);

	p[0] = type;
	p[1] = code;
	frame_open(f, OPEN_ICMP, off);
}

static inline void frame_icmp6(struct frame *f, uint8_t type, uint8_t code)
{
	uint32_t off = f->size;
	uint8_t *p = frame_put(f, 8);

	p[0] = type;
	p[1] = code;
	frame_open(f, OPEN_ICMP6, off);
}

// A 16-bit field at off is to hold the bytes that follow it, skip of them not counted.
static inline void frame_length_at(struct frame *f, uint32_t off, uint32_t skip)
{
	frame_open(f, OPEN_LENGTH, off);
	f->open[f->open_count - 1].skip = skip;
}

// The checksum of RFC 1071 that makes a range sum up right, with what came before in sum. Written
// apart from the code under test, byte by byte.
static inline uint16_t frame_checksum(uint32_t sum, const uint8_t *data, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static inline uint32_t frame_pseudo(const struct frame *f, unsigned ip, uint8_t proto, uint32_t n)
{
	const uint8_t *h = f->data + f->open[ip].off;
	bool is_4 = f->open[ip].kind == OPEN_IP4;

	return proto + n + (uint16_t)~frame_checksum(0, h + (is_4 ? 12 : 8), is_4 ? 8 : 32);
}

static inline void frame_close(struct frame *f)
{
	while (f->open_count > 0) {
		unsigned i = --f->open_count;
		uint8_t *h = f->data + f->open[i].off;
		uint32_t n = f->size - f->open[i].off;
		unsigned ip = f->open[i].ip;

		switch (f->open[i].kind) {
		case OPEN_IP4:
			put_be16(h + 2, n);
			put_be16(h + 10, frame_checksum(0, h, (h[0] & 15u) * 4));
			break;
		case OPEN_IP6:
			put_be16(h + 4, n - 40);
			break;
		case OPEN_TCP:
			put_be16(h + 16, frame_checksum(frame_pseudo(f, ip, 6, n), h, n));
			break;
		case OPEN_UDP:
			put_be16(h + 4, n);
			put_be16(h + 6, frame_checksum(frame_pseudo(f, ip, 17, n), h, n));
			break;
		case OPEN_ICMP:
			put_be16(h + 2, frame_checksum(0, h, n));
			break;
		case OPEN_ICMP6:
			put_be16(h + 2, frame_checksum(frame_pseudo(f, ip, 58, n), h, n));
			break;
		case OPEN_LENGTH:
			put_be16(h, n - 2 - f->open[i].skip);
			break;
		}
	}
}
