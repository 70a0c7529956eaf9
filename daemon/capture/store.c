// SPDX-License-Identifier: Apache-2.0
// Copies of packets' bytes, one behind the other in chunks of a bounded pool. References are taken
// once a burst, or when a chunk is full.
#include "capture_internal.h"

#include <errno.h>

#include "chunk.h"
#include "log.h"

enum { STORE_CHUNK_BYTES = 256 * 1024, STORE_CHUNKS = 64, STORE_ALIGN = 16 };

int packet_store_init(struct packet_store *s, const struct capture_options *o)
{
	*s = (struct packet_store){0};
	s->pool = chunk_pool_new(
		o->chunk_bytes != 0 ? o->chunk_bytes : STORE_CHUNK_BYTES, STORE_CHUNKS);
	return s->pool == NULL ? -ENOMEM : 0;
}

void packet_store_fini(struct packet_store *s, const char *name)
{
	chunk_unref(s->chunk, 1);
	s->chunk = NULL;
	if (s->pool != NULL && chunk_pool_in_use(s->pool) != 0)
		log_error("capture %s: %u chunks are still in use at its end: kept", name,
			chunk_pool_in_use(s->pool));
	else
		chunk_pool_free(s->pool);
	s->pool = NULL;
}

uint8_t *packet_store_take(struct packet_store *s, uint32_t bytes, struct packet *p)
{
	uint8_t *data;
	uint32_t left = s->chunk != NULL ? s->chunk->size_bytes - s->used : 0;

	if (s->chunk == NULL || bytes > left) {
		packet_store_settle(s);
		chunk_unref(s->chunk, 1);
		s->chunk = chunk_get(s->pool, bytes);
		s->used = 0;
		if (s->chunk == NULL)
			return NULL;
		left = s->chunk->size_bytes;
	}
	data = s->chunk->data + s->used;
	bytes = (bytes + STORE_ALIGN - 1) & ~(STORE_ALIGN - 1U);
	s->used += bytes < left ? bytes : left;
	s->refs++;
	p->data = data;
	p->chunk = s->chunk;
	p->mbuf = NULL;
	return data;
}

void packet_store_settle(struct packet_store *s)
{
	if (s->refs > 0)
		chunk_ref(s->chunk, s->refs);
	s->refs = 0;
}
