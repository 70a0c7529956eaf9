// SPDX-License-Identifier: Apache-2.0
// See kept.h. Pieces lie in a ring one behind the other, each with the record's head; positions only
// grow, so that a reader's cursor survives forgetting. Pieces of the same flow are found by a chain
// from the oldest to the newest of a bucket: what makes room is the oldest of all, hence the first
// of its chain. One lock, held for a piece by the tail and for a page by control.
#include "kept.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct piece {
	uint64_t next; // position of the next one in the bucket; 0: none
	uint64_t flow_id, offset, ts_ns;
	uint32_t size; // with this head, to the next piece
	uint32_t length;
	uint16_t capture;
	uint8_t direction;
	uint8_t flags; // enum piece_flag
	uint32_t unused;
	uint8_t bytes[];
};

enum piece_flag { PIECE_END = 1, PIECE_FILLER = 2, PIECE_FORGOTTEN = 4 };

_Static_assert(sizeof(struct piece) <= 64, "the rest of the ring holds a filler");

struct chain {
	uint64_t oldest, newest; // positions, 0: none
};

struct kept {
	pthread_mutex_t lock;
	uint8_t *ring;
	uint64_t size;
	uint64_t oldest,
		end; // positions: of the first piece, behind the last; begin at size, never 0
	struct chain *chain;
	uint64_t chain_mask;
	uint64_t bytes, forgotten;
};

static struct piece *at(const struct kept *k, uint64_t position)
{
	return (struct piece *)(k->ring + position % k->size);
}

static struct chain *chain_of(const struct kept *k, uint64_t flow_id)
{
	return &k->chain[(flow_id * UINT64_C(0x9e3779b97f4a7c15) >> 40) & k->chain_mask];
}

static void drop_oldest(struct kept *k)
{
	struct piece *p = at(k, k->oldest);

	if (!(p->flags & PIECE_FILLER)) {
		struct chain *c = chain_of(k, p->flow_id);

		c->oldest = p->next;
		if (p->next == 0)
			c->newest = 0;
		if (!(p->flags & PIECE_FORGOTTEN)) {
			k->bytes -= p->length;
			k->forgotten += p->length;
		}
	}
	k->oldest += p->size;
}

// Makes room for size bytes behind the last piece, in one piece.
static void make_room(struct kept *k, uint32_t size)
{
	uint64_t left = k->size - k->end % k->size;

	if (left < size) {
		while (k->end + left > k->oldest + k->size)
			drop_oldest(k);
		at(k, k->end)->size = (uint32_t)left; // all sizes are multiples of 64
		at(k, k->end)->flags = PIECE_FILLER;
		k->end += left;
	}
	while (k->end + size > k->oldest + k->size)
		drop_oldest(k);
}

// Returns the new piece, whose bytes the caller fills in.
static struct piece *append(struct kept *k, uint64_t flow_id, uint32_t length)
{
	uint32_t size = (uint32_t)(sizeof(struct piece) + length + 63) & ~63u;
	struct chain *c = chain_of(k, flow_id);
	struct piece *p;

	make_room(k, size);
	p = at(k, k->end);
	memset(p, 0, sizeof(*p));
	p->flow_id = flow_id;
	p->size = size;
	p->length = length;
	if (c->newest != 0)
		at(k, c->newest)->next = k->end;
	else
		c->oldest = k->end;
	c->newest = k->end;
	k->end += size;
	k->bytes += length;
	return p;
}

void kept_add(struct kept *k, const struct stream_record *r)
{
	struct piece *p;

	if (k->size == 0 || r->length == 0)
		return;
	pthread_mutex_lock(&k->lock);
	if (r->length + 2 * sizeof(*p) > k->size / 2) {
		k->forgotten += r->length;
	} else {
		p = append(k, r->flow_id, r->length);
		p->offset = r->offset;
		p->ts_ns = r->ts_ns;
		p->capture = r->capture;
		p->direction = r->direction;
		memcpy(p->bytes, r->bytes, r->length);
	}
	pthread_mutex_unlock(&k->lock);
}

void kept_flow_ended(struct kept *k, uint64_t flow_id, uint16_t capture)
{
	uint64_t position;

	if (k->size == 0)
		return;
	pthread_mutex_lock(&k->lock);
	position = chain_of(k, flow_id)->oldest;
	while (position != 0 && at(k, position)->flow_id != flow_id)
		position = at(k, position)->next;
	if (position != 0) { // nothing is to be told of a flow of which nothing is kept
		struct piece *p = append(k, flow_id, 0);

		p->capture = capture;
		p->flags = PIECE_END;
	}
	pthread_mutex_unlock(&k->lock);
}

// Puts what there is room for of a piece on the page.
static void read_piece(struct export_stream_query *q, uint64_t position, const struct piece *p)
{
	uint32_t skip = position == q->position ? q->skip : 0, n = p->length - skip;
	struct export_stream_piece *to = &q->piece[q->count++];

	n = n < q->limit - q->bytes_used ? n : q->limit - q->bytes_used;
	*to = (struct export_stream_piece){.offset = p->offset + skip,
		.ts_ns = p->ts_ns,
		.length = n,
		.at = q->bytes_used,
		.direction = p->direction};
	memcpy(q->bytes + q->bytes_used, p->bytes + skip, n);
	q->bytes_used += n;
	q->position = position;
	q->skip = skip + n;
	if (q->skip == p->length) { // the next one, wherever it will be
		q->position = position + 1;
		q->skip = 0;
	}
}

void kept_read(struct kept *k, struct export_stream_query *q)
{
	uint64_t position = 0;
	bool has_end = false;

	q->count = q->bytes_used = 0;
	q->is_known = q->has_more = false;
	if (k->size == 0)
		return;
	pthread_mutex_lock(&k->lock);
	for (position = chain_of(k, q->flow_id)->oldest; position != 0 && !q->has_more;
		position = at(k, position)->next) {
		const struct piece *p = at(k, position);

		if (p->flow_id != q->flow_id || (p->flags & PIECE_FORGOTTEN))
			continue;
		q->is_known = true;
		has_end |= (p->flags & PIECE_END) != 0;
		if (position < q->position || (p->flags & PIECE_END) ||
			(q->direction >= 0 && q->direction != p->direction))
			continue;
		q->has_more = q->bytes_used == q->limit || q->count == EXPORT_STREAM_PIECES;
		if (!q->has_more) {
			read_piece(q, position, p);
			q->has_more = q->skip > 0;
		}
	}
	q->is_ended = has_end && !q->has_more;
	pthread_mutex_unlock(&k->lock);
}

void kept_forget(struct kept *k, uint16_t capture)
{
	if (k->size == 0)
		return;
	pthread_mutex_lock(&k->lock);
	for (uint64_t position = k->oldest; position < k->end;) {
		struct piece *p = at(k, position);

		if (!(p->flags & (PIECE_FILLER | PIECE_FORGOTTEN)) && p->capture == capture) {
			p->flags |= PIECE_FORGOTTEN;
			k->bytes -= p->length;
			k->forgotten += p->length;
		}
		position += p->size;
	}
	pthread_mutex_unlock(&k->lock);
}

void kept_stats(struct kept *k, uint64_t *ret_bytes, uint64_t *ret_forgotten)
{
	pthread_mutex_lock(&k->lock);
	*ret_bytes = k->bytes;
	*ret_forgotten = k->forgotten;
	pthread_mutex_unlock(&k->lock);
}

struct kept *kept_new(uint64_t bytes)
{
	struct kept *k = calloc(1, sizeof(*k));
	uint64_t chains = 1024;
	void *ring;

	if (k == NULL)
		return NULL;
	pthread_mutex_init(&k->lock, NULL);
	if (bytes == 0)
		return k;
	k->size = bytes & ~UINT64_C(63);
	k->oldest = k->end = k->size;
	while (chains < k->size / 4096)
		chains *= 2;
	k->chain_mask = chains - 1;
	k->chain = calloc(chains, sizeof(*k->chain));
	ring = mmap(NULL, k->size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	k->ring = ring == MAP_FAILED ? NULL : ring;
	if (k->chain == NULL || k->ring == NULL) {
		kept_free(k);
		return NULL;
	}
	return k;
}

void kept_free(struct kept *k)
{
	if (k == NULL)
		return;
	if (k->ring != NULL)
		munmap(k->ring, k->size);
	free(k->chain);
	pthread_mutex_destroy(&k->lock);
	free(k);
}
