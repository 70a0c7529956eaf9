// SPDX-License-Identifier: Apache-2.0
// The Internet checksum (RFC 1071) over headers and segments, for decode.checksum: verify.
#include "decoder.h"

// The sum does not depend on byte order (RFC 1071, 2B), so words are added as they lie in memory.
static uint64_t checksum_add(uint64_t sum, const uint8_t *data, uint32_t n)
{
	uint32_t word;
	uint16_t half;

	for (; n >= 4; n -= 4, data += 4) {
		memcpy(&word, data, 4);
		sum += word;
	}
	if (n >= 2) {
		memcpy(&half, data, 2);
		sum += half;
		n -= 2;
		data += 2;
	}
	if (n == 1) {
		uint8_t last[2] = {*data, 0};

		memcpy(&half, last, 2);
		sum += half;
	}
	return sum;
}

static bool checksum_is_right(uint64_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

bool decode_checksum_ok(const uint8_t *data, uint32_t n)
{
	return checksum_is_right(checksum_add(0, data, n));
}

bool decode_checksum_l4(
	const struct packet *p, const struct ip_layer *l, uint32_t l4_len, bool with_pseudo_header)
{
	uint64_t sum = checksum_add(0, p->data + l->l4_off, l4_len);
	uint8_t tail[8] = {l4_len >> 24, l4_len >> 16 & 0xff, l4_len >> 8 & 0xff, l4_len & 0xff, 0,
		0, 0, l->proto};

	if (with_pseudo_header) {
		uint32_t size = l->version == 4 ? 4 : 16;

		sum = checksum_add(sum, l->src, size);
		sum = checksum_add(sum, l->dst, size);
		sum = checksum_add(sum, tail, sizeof(tail));
	}
	return checksum_is_right(sum);
}
