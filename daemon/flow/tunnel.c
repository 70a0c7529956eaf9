// SPDX-License-Identifier: Apache-2.0
// What flows must be able to say of their tunnel: type, identifier, outer addresses. Shared by all
// flows of a tunnel, counted references, bounded; when it is full, flows go without.
#include <string.h>

#include "flow_internal.h"

static uint32_t tunnel_new(struct flow_table *t)
{
	uint32_t i = t->tunnel_free;

	if (i != 0)
		t->tunnel_free = t->tunnel[i].next;
	else if (t->tunnel_fresh < FLOW_TUNNELS)
		i = t->tunnel_fresh++;
	return i;
}

uint32_t flow_tunnel_get(
	struct flow_table *t, const struct packet *p, unsigned layer, bool *ret_swapped)
{
	const struct ip_layer *l = &p->layer[layer], *around = &p->layer[layer - 1];
	uint32_t *bucket = &t->tunnel_bucket[l->tunnel_hash >> 8 & (FLOW_TUNNEL_BUCKETS - 1)];
	struct flow_tunnel *n;
	uint32_t i = *bucket;

	while (i != 0 && t->tunnel[i].hash != l->tunnel_hash)
		i = t->tunnel[i].next;
	if (i == 0) {
		i = tunnel_new(t);
		if (i == 0)
			return 0;
		n = &t->tunnel[i];
		*n = (struct flow_tunnel){
			.hash = l->tunnel_hash,
			.next = *bucket,
			.id = l->tunnel_id,
			.type = l->tunnel_type,
			.version = around->version,
			.has_id = (l->flags & LAYER_TUNNEL_ID) != 0,
		};
		memcpy(n->src, around->src, 16);
		memcpy(n->dst, around->dst, 16);
		*bucket = i;
	}
	t->tunnel[i].references++;
	*ret_swapped = memcmp(t->tunnel[i].src, around->src, 16) != 0;
	return i;
}

void flow_tunnel_put(struct flow_table *t, uint32_t i)
{
	struct flow_tunnel *n = &t->tunnel[i];
	uint32_t *link;

	if (i == 0 || --n->references > 0)
		return;
	link = &t->tunnel_bucket[n->hash >> 8 & (FLOW_TUNNEL_BUCKETS - 1)];
	while (*link != i)
		link = &t->tunnel[*link].next;
	*link = n->next;
	n->next = t->tunnel_free;
	t->tunnel_free = i;
}
