// SPDX-License-Identifier: Apache-2.0
// Every overlap policy against its definition, byte by byte: random segments with random contents pile
// up behind a missing byte, which then comes, alone or in a segment that overlaps them as well.
#include "segments.h"

enum { ROOM = 96, PILE = 12, ROUNDS = 20000 };

struct owner {
	int segment; // -1: nobody
	uint8_t byte;
};

static uint8_t out[2 * ROOM];
static uint32_t out_length, gap_at[ROOM], gap_length[ROOM], gap_count;

static struct reassembly_answer on_data(void *ctx, const struct reassembly_data *d)
{
	(void)ctx;
	assert_int_equal(d->offset, out_length);
	memcpy(out + out_length, d->bytes, d->length);
	out_length += d->length;
	return (struct reassembly_answer){REASSEMBLY_ON, 0, 0};
}

static void on_gap(void *ctx, uint32_t stream, unsigned direction, uint32_t missing)
{
	(void)ctx;
	(void)stream;
	(void)direction;
	gap_at[gap_count] = out_length;
	gap_length[gap_count++] = missing;
	out_length += missing;
}

static bool later_wins(enum reassembly_policy policy, const uint32_t e[2], const uint32_t n[2])
{
	switch (policy) {
	case REASSEMBLY_FIRST:
	case REASSEMBLY_DROP:
		return false;
	case REASSEMBLY_LAST:
		return true;
	case REASSEMBLY_BSD:
		return !(e[0] <= n[0]);
	case REASSEMBLY_LINUX:
		return !(e[0] < n[0]);
	case REASSEMBLY_WINDOWS:
		return n[0] < e[0] && n[1] > e[1];
	}
	return false;
}

// The definition, applied to one more segment [n0, n1). Returns whether it contradicts what is held.
static bool apply(enum reassembly_policy policy, struct owner *owner, uint32_t (*range)[2], int id,
	const uint8_t *data)
{
	const uint32_t *n = range[id];
	bool is_differing = false;

	for (uint32_t i = n[0]; i < n[1]; i++)
		is_differing |= owner[i].segment >= 0 && owner[i].byte != data[i - n[0]];
	if (policy == REASSEMBLY_DROP && is_differing)
		return true;
	for (uint32_t i = n[0]; i < n[1]; i++)
		if (owner[i].segment < 0 || later_wins(policy, range[owner[i].segment], n))
			owner[i] = (struct owner){id, data[i - n[0]]};
	return is_differing;
}

static void check(const struct owner *owner)
{
	uint32_t end = ROOM, k = 0;

	while (end > 0 && owner[end - 1].segment < 0)
		end--;
	assert_int_equal(out_length, end);
	for (uint32_t i = 0; i < end;) {
		uint32_t n = 0;

		if (owner[i].segment >= 0) {
			assert_int_equal(out[i], owner[i].byte);
			i++;
			continue;
		}
		while (owner[i + n].segment < 0)
			n++;
		assert_true(k < gap_count);
		assert_int_equal(gap_at[k], i);
		assert_int_equal(gap_length[k++], n);
		i += n;
	}
	assert_int_equal(k, gap_count);
}

static void pile_up(struct reassembly *r, enum reassembly_policy policy, struct counters *c)
{
	uint32_t isn = rnd(3) ? (uint32_t)rnd(UINT32_MAX) : 0u - rnd(ROOM), range[PILE + 1][2];
	struct segment_args a = {.stream = 1, .seq = isn, .flags = TCP_SYN, .window = 1000};
	uint64_t differing = 0, before = c->value[COUNTER_tcp_overlap_differing];
	unsigned letters = 1 + rnd(4), count = 1 + rnd(PILE);
	struct owner owner[ROOM];
	uint8_t data[ROOM];

	for (unsigned i = 0; i < ROOM; i++)
		owner[i].segment = -1;
	out_length = gap_count = 0;
	send_segment(r, &a);
	a.flags = TCP_ACK;
	for (unsigned i = 0; i <= count; i++) {
		uint32_t from = 1 + rnd(ROOM - 1), n = 1 + rnd(ROOM - from);

		if (i == count) // the missing byte, alone or with more behind it
			from = 0, n = rnd(2) ? 1 : 1 + rnd(ROOM);
		range[i][0] = from;
		range[i][1] = from + n;
		for (uint32_t k = 0; k < n; k++)
			data[k] = (uint8_t)('a' + rnd(letters));
		differing += apply(policy, owner, range, (int)i, data);
		a.seq = isn + 1 + from;
		a.length = n;
		a.data = data;
		a.ts_ns++;
		send_segment(r, &a);
	}
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	check(owner);
	assert_int_equal(c->value[COUNTER_tcp_overlap_differing] - before, differing);
	assert_int_equal(reassembly_bytes_in_use(r), 0);
}

static void test_policies(void **state)
{
	struct reassembly_config config = {.streams = 1,
		.bytes = 1 << 20,
		.hold_bytes = 1000,
		.consumer = {NULL, on_data, on_gap, NULL}};

	(void)state;
	for (unsigned policy = REASSEMBLY_FIRST; policy <= REASSEMBLY_DROP; policy++) {
		static struct counters counters;
		struct reassembly *r;

		rng = 88172645463325252u + policy;
		config.policy = (enum reassembly_policy)policy;
		r = reassembly_new(&config);
		assert_non_null(r);
		reassembly_capture_begin(r, 0, &counters);
		for (unsigned i = 0; i < ROUNDS; i++)
			pile_up(r, config.policy, &counters);
		reassembly_free(r);
	}
}

// Networks choose by the receiver, the first that fits.
static void test_networks(void **state)
{
	static struct counters counters;
	struct reassembly_config config = {.streams = 1,
		.bytes = 1 << 20,
		.policy = REASSEMBLY_FIRST,
		.network = {{{10, 0, 0, 2}, 4, 32, REASSEMBLY_LAST},
			{{10}, 4, 8, REASSEMBLY_FIRST}},
		.network_count = 2,
		.consumer = {NULL, on_data, on_gap, NULL}};
	struct reassembly *r = reassembly_new(&config);

	(void)state;
	reassembly_capture_begin(r, 0, &counters);
	for (unsigned d = 0; d < 2; d++) { // direction 0 goes to 10.0.0.2
		struct segment_args a = {.stream = 1,
			.direction = (uint8_t)d,
			.seq = 9,
			.flags = TCP_SYN,
			.window = 1000};

		out_length = gap_count = 0;
		send_segment(r, &a);
		a.flags = TCP_ACK;
		a.seq = 11;
		a.length = 1;
		a.data = (const uint8_t *)"E";
		send_segment(r, &a);
		a.data = (const uint8_t *)"N";
		send_segment(r, &a);
		a.seq = 10;
		a.data = (const uint8_t *)"-";
		send_segment(r, &a);
		assert_int_equal(out_length, 2);
		assert_int_equal(out[1], d == 0 ? 'N' : 'E');
		reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	}
	reassembly_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policies), cmocka_unit_test(test_networks)};

	return cmocka_run_group_tests_name("reassembly policies", tests, NULL, NULL);
}
