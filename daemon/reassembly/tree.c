// SPDX-License-Identifier: Apache-2.0
// The pieces of a side as a treap: a search tree by sequence number, a heap by random priority. An
// attacker who chooses the order of segments cannot make it deep, and no piece is visited that is
// not on the way down.
#include "reassembly_internal.h"

static bool is_before(const struct reassembly *r, uint32_t a, uint32_t b)
{
	return seq_diff(r->block[a].seq, r->block[b].seq) < 0;
}

uint32_t tree_first(const struct reassembly *r, uint32_t root)
{
	if (root == 0)
		return 0;
	while (r->block[root].left != 0)
		root = r->block[root].left;
	return root;
}

uint32_t tree_after(const struct reassembly *r, uint32_t root, uint32_t seq)
{
	uint32_t best = 0;

	while (root != 0) {
		const struct reassembly_block *b = &r->block[root];

		if (seq_diff(piece_end(b), seq) > 0) {
			best = root;
			root = b->left;
		} else {
			root = b->right;
		}
	}
	return best;
}

void tree_insert(struct reassembly *r, uint32_t *root, uint32_t piece)
{
	struct reassembly_block *n = &r->block[piece];
	uint32_t *link = root, *left = &n->left, *right = &n->right, t;

	r->random ^= r->random << 13;
	r->random ^= r->random >> 17;
	r->random ^= r->random << 5;
	n->priority = r->random;
	while (*link != 0 && r->block[*link].priority >= n->priority)
		link = is_before(r, piece, *link) ? &r->block[*link].left : &r->block[*link].right;
	// What was below comes apart: to the left of the new one and to its right.
	for (t = *link; t != 0;) {
		if (is_before(r, t, piece)) {
			*left = t;
			left = &r->block[t].right;
			t = *left;
		} else {
			*right = t;
			right = &r->block[t].left;
			t = *right;
		}
	}
	*left = *right = 0;
	*link = piece;
}

void tree_remove(struct reassembly *r, uint32_t *root, uint32_t piece)
{
	uint32_t *link = root, a = r->block[piece].left, b = r->block[piece].right;

	while (*link != piece)
		link = is_before(r, piece, *link) ? &r->block[*link].left : &r->block[*link].right;
	while (a != 0 && b != 0) {
		if (r->block[a].priority >= r->block[b].priority) {
			*link = a;
			link = &r->block[a].right;
			a = *link;
		} else {
			*link = b;
			link = &r->block[b].left;
			b = *link;
		}
	}
	*link = a != 0 ? a : b;
}
