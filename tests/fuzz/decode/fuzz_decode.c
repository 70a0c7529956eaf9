// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes as a frame of any link type. Beyond memory safety it holds the short cut
// against the complete way, checks what the descriptor promises (check.h), and that verifying
// checksums or the depth of tunnels changes nothing but events and the number of layers.
//
// Input: link type, tunnel depth, how many bytes the snap length cut (16 bits), frame. The seeds are
// the frames of the event tests (test_events_* --seeds DIR writes them).
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint16_t links[] = {LINK_ETHERNET, LINK_RAW, LINK_NULL, LINK_LOOP, LINK_SLL, LINK_SLL2,
	LINK_IPV4, LINK_IPV6, 147};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct packet trusting, verifying, shallow;
	struct decode_config config = {false, PACKET_LAYERS_MAX - 1};
	uint32_t caplen, wirelen;
	uint16_t link;

	if (size < 4 || size > 70000)
		return 0;
	link = links[data[0] % (sizeof(links) / sizeof(links[0]))];
	caplen = (uint32_t)size - 4;
	wirelen = caplen + load_be16(data + 2);
	check_decode(&config, link, data + 4, caplen, wirelen, &trusting);
	config.verify_checksum = true;
	check_decode(&config, link, data + 4, caplen, wirelen, &verifying);
	CHECK(trusting.protocols == verifying.protocols);
	CHECK(trusting.layer_count == verifying.layer_count);
	for (unsigned i = 0; i < trusting.layer_count; i++)
		check_same_layer(&trusting.layer[i], &verifying.layer[i]);
	config.verify_checksum = false;
	config.tunnel_depth = data[1] & 7;
	check_decode(&config, link, data + 4, caplen, wirelen, &shallow);
	for (unsigned i = 0; i < shallow.layer_count; i++)
		check_same_layer(&trusting.layer[i], &shallow.layer[i]);
	return 0;
}
