// SPDX-License-Identifier: Apache-2.0
// pcapng (draft-ietf-opsawg-pcapng): sections of either byte order, interfaces with link types and
// clocks of their own, packets in enhanced, simple and the obsolete packet blocks. Other blocks are
// passed over without being kept.
#include "file.h"

#include <stdlib.h>
#include <string.h>

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 2, // obsolete
	BLOCK_SIMPLE = 3,
	BLOCK_ENHANCED = 6,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	OPTION_TSRESOL = 9,
	OPTION_TSOFFSET = 14,
	SECTION_BYTES = 28,
	INTERFACE_BYTES = 20,
};

static enum file_step section_step(struct file *f)
{
	const uint8_t *p = f->chunk->data + f->at;
	uint32_t order, length;

	if (file_left(f) < SECTION_BYTES)
		return file_need(f, SECTION_BYTES);
	memcpy(&order, p + 8, sizeof(order));
	if (order != BYTE_ORDER_MAGIC && __builtin_bswap32(order) != BYTE_ORDER_MAGIC)
		return file_corrupt(f, "section without byte-order magic");
	f->is_swapped = order != BYTE_ORDER_MAGIC;
	length = file_u32(f, p + 4);
	if (length < SECTION_BYTES || length % 4 != 0 || length > FILE_BLOCK_BYTES_MAX)
		return file_corrupt(f, "section header of %u bytes", length);
	if (file_u16(f, p + 12) != 1)
		return file_corrupt(f, "pcapng version %u.%u is not 1.x", file_u16(f, p + 12),
			file_u16(f, p + 14));
	f->interface_count = 0;
	f->skip = length;
	return FILE_STEP_OTHER;
}

// Returns whether the resolution can be read.
static bool set_resolution(struct file_interface *i, uint8_t v)
{
	unsigned n = v & 0x7f;

	if ((v & 0x80) != 0) {
		i->time = FILE_TIME_SHIFT;
		i->shift = (uint8_t)n;
		return n <= 63;
	}
	i->time = n <= 9 ? FILE_TIME_MULTIPLY : FILE_TIME_DIVIDE;
	i->factor = 1;
	for (unsigned e = n <= 9 ? 9 - n : n; e > 0 && n <= 19; e--)
		i->factor *= 10;
	return n <= 19;
}

static bool read_options(
	const struct file *f, struct file_interface *i, const uint8_t *p, const uint8_t *end)
{
	while (end - p >= 4) {
		uint16_t code = file_u16(f, p), length = file_u16(f, p + 2);
		uint32_t padded = (length + 3U) & ~3U;
		uint64_t v;

		p += 4;
		if (code == 0)
			return true;
		if (end - p < length)
			return false;
		if (code == OPTION_TSRESOL && (length != 1 || !set_resolution(i, p[0])))
			return false;
		if (code == OPTION_TSOFFSET) {
			if (length != 8)
				return false;
			memcpy(&v, p, sizeof(v));
			v = f->is_swapped ? __builtin_bswap64(v) : v;
			i->offset_ns = (int64_t)(v * UINT64_C(1000000000));
		}
		p += end - p < padded ? end - p : padded;
	}
	return true;
}

static enum file_step interface_step(struct file *f, uint32_t length)
{
	const uint8_t *p = f->chunk->data + f->at;
	struct file_interface *i;
	uint32_t link;

	if (length < INTERFACE_BYTES)
		return file_corrupt(f, "interface block of %u bytes", length);
	if (f->interface_count == FILE_INTERFACES_MAX)
		return file_corrupt(f, "more than %u interfaces", FILE_INTERFACES_MAX);
	if (f->interface_count == f->interface_room) {
		i = realloc(f->interfaces, 2 * f->interface_room * sizeof(*i));
		if (i == NULL)
			return file_corrupt(f, "no memory for %u interfaces", f->interface_count);
		f->interfaces = i;
		f->interface_room *= 2;
	}
	i = &f->interfaces[f->interface_count];
	link = file_u16(f, p + 8);
	*i = (struct file_interface){
		.link = link == 12 ? LINK_RAW : (uint16_t)link,
		.snaplen = file_u32(f, p + 12),
		.time = FILE_TIME_MULTIPLY,
		.factor = 1000,
	};
	i->caplen_max = file_caplen_max(i->link);
	if (!read_options(f, i, p + 16, p + length - 4))
		return file_corrupt(
			f, "interface %u has options that make no sense", f->interface_count);
	f->interface_count++;
	f->at += length;
	return FILE_STEP_OTHER;
}

static uint64_t time_ns(const struct file_interface *i, uint64_t t)
{
	switch ((enum file_time)i->time) {
	case FILE_TIME_MULTIPLY:
		t *= i->factor;
		break;
	case FILE_TIME_DIVIDE:
		t = (uint64_t)((__uint128_t)t * 1000000000 / i->factor);
		break;
	case FILE_TIME_SHIFT:
		t = (uint64_t)(((__uint128_t)t * 1000000000) >> i->shift);
		break;
	}
	return t + (uint64_t)i->offset_ns;
}

// Enhanced (head of 20 bytes), obsolete (the same, another meaning of the first four) and simple
// packet blocks (head of 4 bytes).
static enum file_step packet_step(
	struct file *f, uint32_t type, uint32_t length, struct packet *ret)
{
	const uint8_t *p = f->chunk->data + f->at + 8;
	uint32_t head = type == BLOCK_SIMPLE ? 4 : 20, id = 0;
	const struct file_interface *i;

	if (length < 12 + head)
		return file_corrupt(f, "packet block of %u bytes", length);
	if (type != BLOCK_SIMPLE)
		id = type == BLOCK_PACKET ? file_u16(f, p) : file_u32(f, p);
	if (id >= f->interface_count)
		return file_corrupt(f, "packet of interface %u, of which no block tells", id);
	i = &f->interfaces[id];
	ret->ts_ns = 0; // simple packet blocks have no time
	if (type == BLOCK_SIMPLE) {
		ret->wirelen = ret->caplen = file_u32(f, p);
		if (i->snaplen != 0 && ret->caplen > i->snaplen)
			ret->caplen = i->snaplen;
		if (ret->caplen > length - 16)
			ret->caplen = length - 16;
	} else {
		uint64_t t = (uint64_t)file_u32(f, p + 4) << 32 | file_u32(f, p + 8);

		ret->ts_ns = time_ns(i, t);
		ret->caplen = file_u32(f, p + 12);
		ret->wirelen = file_u32(f, p + 16);
	}
	if (ret->caplen > length - 12 - head || ret->caplen > i->caplen_max)
		return file_corrupt(
			f, "captured length %u in a block of %u bytes", ret->caplen, length);
	ret->data = p + head;
	ret->link = i->link;
	f->step_bytes = length;
	return FILE_STEP_PACKET;
}

enum file_step file_pcapng_step(struct file *f, struct packet *ret)
{
	const uint8_t *p = f->chunk->data + f->at;
	uint32_t type, length;

	if (file_left(f) < 12)
		return file_need(f, 12);
	type = file_u32(f, p);
	if (type == BLOCK_SECTION) // reads the same in both orders
		return section_step(f);
	length = file_u32(f, p + 4);
	if (length < 12 || length % 4 != 0)
		return file_corrupt(f, "block of %u bytes", length);
	if (type != BLOCK_INTERFACE && type != BLOCK_PACKET && type != BLOCK_SIMPLE &&
		type != BLOCK_ENHANCED) {
		f->skip = length;
		return FILE_STEP_OTHER;
	}
	if (length > FILE_BLOCK_BYTES_MAX)
		return file_corrupt(f, "block of %u bytes", length);
	if (file_left(f) < length)
		return file_need(f, length);
	if (file_u32(f, p + length - 4) != length)
		return file_corrupt(f, "block of %u bytes that says %u at its end", length,
			file_u32(f, p + length - 4));
	if (type == BLOCK_INTERFACE)
		return interface_step(f, length);
	return packet_step(f, type, length, ret);
}
