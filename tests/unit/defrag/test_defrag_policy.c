// SPDX-License-Identifier: Apache-2.0
// Every overlap policy of IP fragments against its definition, byte by byte and slowly: random fragments
// with random contents pile up until no byte is missing. IPv4 and IPv6; policies by configuration and by
// network.
#include "fragments.h"

enum { SIZE = 256, PILE = 40, ROUNDS = 4000 };

struct owner {
	int fragment; // -1: nobody
	uint8_t byte;
};

struct pile {
	enum defrag_policy policy;
	struct owner owner[SIZE];
	struct cut cut[PILE];
	uint8_t bytes[PILE][SIZE];
	unsigned count;
	bool is_given_up;
	uint64_t overlaps, differing, repeats;
};

// Whether the later of two overlapping fragments wins, straight from the definitions.
static bool later_wins(enum defrag_policy policy, const struct cut *e, const struct cut *n)
{
	switch (policy) {
	case DEFRAG_FIRST:
		return false;
	case DEFRAG_LAST:
		return true;
	case DEFRAG_BSD:
		return !(e->offset <= n->offset);
	case DEFRAG_LINUX:
		return !(e->offset < n->offset);
	case DEFRAG_WINDOWS:
		return n->offset < e->offset && n->offset + n->length > e->offset + e->length;
	case DEFRAG_DROP:
		break;
	}
	fail();
	return false;
}

// Whether an earlier fragment had the same place and the same bytes.
static bool is_repeat(const struct pile *p, const struct cut *n, const uint8_t *bytes)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->cut[i].offset == n->offset && p->cut[i].length == n->length &&
			memcmp(p->bytes[i], bytes, n->length) == 0)
			return true;
	return false;
}

static void apply(struct pile *p, const struct cut *n, const uint8_t *bytes)
{
	bool is_overlap = false, is_differing = false;
	struct owner was[SIZE];

	if (p->is_given_up)
		return;
	if (is_repeat(p, n, bytes)) {
		p->repeats++;
		return;
	}
	memcpy(was, p->owner, sizeof(was));
	// A fragment that came is compared with, whether any of its bytes was taken or not.
	for (unsigned i = 0; i < p->count; i++)
		for (uint32_t at = n->offset; at < n->offset + n->length; at++)
			if (at >= p->cut[i].offset && at < p->cut[i].offset + p->cut[i].length) {
				is_overlap = true;
				is_differing |= p->bytes[i][at - p->cut[i].offset] !=
				                bytes[at - n->offset];
			}
	p->overlaps += is_overlap && !is_differing;
	p->differing += is_differing;
	if (is_overlap && p->policy == DEFRAG_DROP) {
		p->is_given_up = true;
		return;
	}
	p->cut[p->count] = *n;
	memcpy(p->bytes[p->count], bytes, n->length);
	for (uint32_t at = n->offset; at < n->offset + n->length; at++)
		if (was[at].fragment < 0 || later_wins(p->policy, &p->cut[was[at].fragment], n))
			p->owner[at] = (struct owner){(int)p->count, bytes[at - n->offset]};
	p->count++;
}

static bool is_whole(const struct pile *p)
{
	for (unsigned i = 0; i < SIZE; i++)
		if (p->owner[i].fragment < 0)
			return false;
	return !p->is_given_up;
}

// A fragment anywhere; those that reach the end are last ones.
static struct cut random_cut(enum defrag_policy policy)
{
	uint32_t blocks = policy == DEFRAG_DROP ? 4 : 12;
	struct cut k = {8 * rnd(SIZE / 8), 0};

	if (policy == DEFRAG_DROP)
		k.offset &= ~31u;
	k.length = 8 + 8 * rnd(blocks);
	if (policy == DEFRAG_DROP && rnd(40) != 0)
		k.length = 32;
	if (k.offset + k.length > SIZE)
		k.length = SIZE - k.offset;
	return k;
}

static bool pile_up(struct defrag *d, unsigned version, enum defrag_policy policy, uint8_t network)
{
	static struct frame f;
	struct pile p = {.policy = policy};
	unsigned letters = policy == DEFRAG_DROP ? 1 : 1 + rnd(3);
	enum defrag_result r = DEFRAG_WAITING;
	uint64_t before[3], *v = counters.value;
	unsigned six = version == 6 ? COUNTER_ipv6_fragments - COUNTER_ipv4_fragments : 0;
	struct packet whole;

	for (unsigned i = 0; i < SIZE; i++)
		p.owner[i].fragment = -1;
	before[0] = v[COUNTER_ipv4_overlap + six];
	before[1] = v[COUNTER_ipv4_overlap_differing + six];
	before[2] = v[COUNTER_ipv4_duplicate + six];
	for (unsigned i = 0; i < PILE && r != DEFRAG_COMPLETE; i++) {
		struct cut k = random_cut(policy);
		uint8_t bytes[2 * SIZE];

		for (unsigned at = 0; at < SIZE; at++)
			bytes[k.offset + at] = (uint8_t)('a' + rnd(letters));
		apply(&p, &k, bytes + k.offset);
		make_fragment(&f, version, 9, bytes, k.offset, k.length, k.offset + k.length < SIZE,
			1000);
		f.p.layer[0].dst[0] = network;
		r = defrag_add(d, &f.p, &counters, &whole, count_emitted, NULL);
		assert_int_equal(r == DEFRAG_COMPLETE, is_whole(&p));
	}
	assert_int_equal(v[COUNTER_ipv4_overlap + six] - before[0], p.overlaps);
	assert_int_equal(v[COUNTER_ipv4_overlap_differing + six] - before[1], p.differing);
	assert_int_equal(v[COUNTER_ipv4_duplicate + six] - before[2], p.repeats);
	if (r == DEFRAG_COMPLETE) {
		uint8_t want[SIZE];

		for (unsigned i = 0; i < SIZE; i++)
			want[i] = p.owner[i].byte;
		expect_datagram(&whole, version, want, SIZE);
		finish(d, &whole);
	}
	defrag_expire(d, 0, 1000, true, &counters, count_emitted, NULL);
	return r == DEFRAG_COMPLETE;
}

static void by_configuration(void **state)
{
	(void)state;
	for (unsigned policy = DEFRAG_FIRST; policy <= DEFRAG_DROP; policy++)
		for (unsigned version = 4; version <= 6; version += 2) {
			struct defrag_config c = config_default();
			unsigned whole = 0;
			struct defrag *d;

			rng = 88172645463325252u + policy;
			c.policy4 = version == 4 ? (enum defrag_policy)policy : DEFRAG_FIRST;
			c.policy6 = version == 6 ? (enum defrag_policy)policy : DEFRAG_FIRST;
			d = defrag_new(&c);
			assert_non_null(d);
			for (unsigned i = 0; i < ROUNDS; i++)
				whole += pile_up(d, version, (enum defrag_policy)policy, 192);
			print_message("policy %u, IPv%u: %u of %u whole\n", policy, version, whole,
				ROUNDS);
			assert_true(whole > ROUNDS / 20);
			defrag_free(d);
		}
}

// The first network that the receiver is in decides; without one, the version's policy.
static void by_network(void **state)
{
	struct defrag_config c = config_default();
	struct defrag *d;

	(void)state;
	rng = 99;
	for (unsigned policy = DEFRAG_FIRST; policy < DEFRAG_DROP; policy++)
		for (unsigned version = 4; version <= 6; version += 2)
			c.network[c.network_count++] = (struct defrag_network){
				{(uint8_t)(16 * policy)}, (uint8_t)version, 4, (uint8_t)policy};
	c.network[c.network_count++] = (struct defrag_network){{0}, 4, 1, DEFRAG_LAST};
	c.policy4 = DEFRAG_WINDOWS;
	c.policy6 = DEFRAG_BSD;
	d = defrag_new(&c);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned version = rnd(2) ? 4 : 6;
		uint8_t network = (uint8_t)rnd(256);
		enum defrag_policy policy = version == 4 ? DEFRAG_WINDOWS : DEFRAG_BSD;

		if (network < 16 * DEFRAG_DROP)
			policy = (enum defrag_policy)(network / 16);
		else if (version == 4 && network < 128)
			policy = DEFRAG_LAST;
		pile_up(d, version, policy, network);
	}
	defrag_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_configuration), cmocka_unit_test(by_network)};

	return cmocka_run_group_tests_name("defrag policies", tests, NULL, NULL);
}
