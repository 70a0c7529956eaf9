// SPDX-License-Identifier: Apache-2.0
// References on packets' bytes: an mbuf each, or a chunk that many packets share.
#include "capture.h"

#include <rte_mbuf.h>

#include "chunk.h"

void packet_ref(const struct packet *p, unsigned count)
{
	if (p->chunk != NULL)
		chunk_ref(p->chunk, (int)count);
	else if (p->mbuf != NULL) // accounting of a fragment has no bytes
		rte_mbuf_refcnt_update(p->mbuf, (int16_t)count);
}

void packet_release(struct packet *const *pkts, unsigned n)
{
	struct rte_mbuf *mbufs[PACKET_BURST];
	struct chunk *chunk = NULL;
	unsigned mbuf_count = 0;
	int in_chunk = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct packet *p = pkts[i];

		if (p->chunk == NULL) {
			mbufs[mbuf_count++] = p->mbuf;
			if (mbuf_count == PACKET_BURST) {
				rte_pktmbuf_free_bulk(mbufs, mbuf_count);
				mbuf_count = 0;
			}
			continue;
		}
		if (p->chunk != chunk) {
			chunk_unref(chunk, in_chunk);
			chunk = p->chunk;
			in_chunk = 0;
		}
		in_chunk++;
	}
	chunk_unref(chunk, in_chunk);
	if (mbuf_count > 0)
		rte_pktmbuf_free_bulk(mbufs, mbuf_count);
}
