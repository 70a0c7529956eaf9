// SPDX-License-Identifier: Apache-2.0
// The classic capture file: a head of 24 bytes, then records (draft-ietf-opsawg-pcap). Both byte
// orders, micro- and nanoseconds, and Kuznetsov's variant with 8 more bytes a record.
#include "file.h"

#include <string.h>

enum {
	MAGIC_MICRO = 0xa1b2c3d4,
	MAGIC_NANO = 0xa1b23c4d,
	MAGIC_KUZNETSOV = 0xa1b2cd34,
	HEAD_BYTES = 24,
	RECORD_BYTES = 16,
	RECORD_KUZNETSOV_BYTES = 24,
};

bool file_is_pcap(uint32_t magic)
{
	for (unsigned i = 0; i < 2; i++, magic = __builtin_bswap32(magic))
		if (magic == MAGIC_MICRO || magic == MAGIC_NANO || magic == MAGIC_KUZNETSOV)
			return true;
	return false;
}

static enum file_step pcap_step(struct file *f, struct packet *ret)
{
	const struct file_interface *i = &f->interfaces[0];
	const uint8_t *p = f->chunk->data + f->at;
	uint32_t caplen, wirelen;

	if (file_left(f) < f->pcap_record_bytes)
		return file_need(f, f->pcap_record_bytes);
	caplen = file_u32(f, p + 8);
	wirelen = file_u32(f, p + 12);
	if (f->pcap_swapped_lengths == 1 || (f->pcap_swapped_lengths == 2 && caplen > wirelen)) {
		uint32_t other = caplen;

		caplen = wirelen;
		wirelen = other;
	}
	if (caplen > i->caplen_max)
		return file_corrupt(f, "captured length %u is above %u", caplen, i->caplen_max);
	if (file_left(f) < f->pcap_record_bytes + caplen)
		return file_need(f, f->pcap_record_bytes + caplen);
	ret->data = p + f->pcap_record_bytes;
	ret->caplen = caplen;
	ret->wirelen = wirelen;
	ret->ts_ns = file_u32(f, p) * UINT64_C(1000000000) + file_u32(f, p + 4) * i->factor;
	ret->link = i->link;
	f->step_bytes = f->pcap_record_bytes + caplen;
	return FILE_STEP_PACKET;
}

enum file_step file_pcap_head(struct file *f, struct packet *ret)
{
	const uint8_t *p = f->chunk->data + f->at;
	struct file_interface *i = &f->interfaces[0];
	uint32_t magic, link;
	uint16_t major, minor;

	(void)ret;
	if (file_left(f) < HEAD_BYTES)
		return file_need(f, HEAD_BYTES);
	memcpy(&magic, p, sizeof(magic));
	f->is_swapped = (magic & 0xffff) == 0xb2a1; // all magics begin with a1b2
	magic = file_u32(f, p);
	major = file_u16(f, p + 4);
	minor = file_u16(f, p + 6);
	if (major != 2 && !(major == 543 && minor == 0)) // DG/UX tcpdump writes 543.0
		return file_corrupt(f, "pcap version %u.%u is not 2.x", major, minor);
	f->pcap_swapped_lengths = major == 543 || minor < 3 ? 1 : minor == 3 ? 2 : 0;
	f->pcap_record_bytes = magic == MAGIC_KUZNETSOV ? RECORD_KUZNETSOV_BYTES : RECORD_BYTES;
	link = file_u32(f, p + 20) & 0x03ffffff; // above: length of the frame check sequence
	i->link = link == 12 ? LINK_RAW : link > UINT16_MAX ? UINT16_MAX : (uint16_t)link;
	i->caplen_max = file_caplen_max(i->link);
	i->factor = magic == MAGIC_NANO ? 1 : 1000;
	f->interface_count = 1;
	f->at += HEAD_BYTES;
	f->step = pcap_step;
	return FILE_STEP_OTHER;
}
