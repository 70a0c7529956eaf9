// SPDX-License-Identifier: Apache-2.0
// A million fragments of datagrams that never become whole, in every shape that costs memory, beside
// datagrams that do: memory stays within what was configured, the others come out all the same, and
// each fragment that was let go or refused is counted, in the counters and in the flow with ports 0.
#include "fragments.h"

enum { FLOOD = 1000000, OTHER_EVERY = 20, OTHER_SIZE = 3000, TRACKERS = 4096, FRAGMENTS = 16384 };
#define BYTES (UINT64_C(8) << 20)

struct flood {
	const char *name;
	uint32_t per_datagram; // fragments under one identification
	uint32_t length;
};

static struct frame frame;
static uint8_t payload[MAX_PAYLOAD];
static uint64_t refused, completing, bytes_peak;
static unsigned trackers_peak, fragments_peak;

static enum defrag_result send_piece(struct defrag *d, unsigned version, uint32_t id,
	uint8_t source, struct cut k, bool more, struct packet *whole)
{
	enum defrag_result r;

	make_fragment(&frame, version, id, payload, k.offset, k.length, more, 1000);
	frame.p.layer[0].src[0] = source;
	r = defrag_add(d, &frame.p, &counters, whole, count_emitted, NULL);
	refused += r == DEFRAG_REFUSED;
	completing += r == DEFRAG_COMPLETE;
	if (defrag_bytes_in_use(d) > bytes_peak)
		bytes_peak = defrag_bytes_in_use(d);
	if (defrag_fragments_in_use(d) > fragments_peak)
		fragments_peak = defrag_fragments_in_use(d);
	if (defrag_trackers_in_use(d) > trackers_peak)
		trackers_peak = defrag_trackers_in_use(d);
	return r;
}

// Never the first fragment: nothing becomes whole.
static struct cut piece_of(const struct flood *f, uint32_t k)
{
	return (struct cut){8 + k * f->length, f->length};
}

// A datagram of somebody else, the later half first, with fragments of the flood between its halves.
static void send_other(struct defrag *d, uint32_t i, const struct flood *f)
{
	unsigned version = i & 1 ? 4 : 6;
	struct packet whole;

	payload[0] = (uint8_t)i;
	payload[2000] = (uint8_t)(i >> 8);
	assert_int_equal(
		send_piece(d, version, i, 77, (struct cut){1480, OTHER_SIZE - 1480}, false, &whole),
		DEFRAG_WAITING);
	for (uint32_t k = 0; k < 2; k++)
		send_piece(d, 4, FLOOD + i, 10, piece_of(f, k), true, &whole);
	assert_int_equal(send_piece(d, version, i, 77, (struct cut){0, 1480}, true, &whole),
		DEFRAG_COMPLETE);
	expect_datagram(&whole, version, payload, OTHER_SIZE);
	finish(d, &whole);
}

static void flood(void **state)
{
	const struct flood *f = *state;
	struct defrag_config c = config_default();
	uint64_t sent = 0, *v = counters.value;
	struct packet whole;
	struct defrag *d;

	c.trackers = TRACKERS;
	c.fragments = FRAGMENTS;
	c.bytes = BYTES;
	d = defrag_new(&c);
	assert_non_null(d);
	memset(&counters, 0, sizeof(counters));
	emitted = emitted_resolved = refused = completing = bytes_peak = 0;
	trackers_peak = fragments_peak = 0;
	for (uint32_t i = 0; i < FLOOD; i++) {
		uint32_t k = i % f->per_datagram;

		send_piece(d, i / f->per_datagram & 1 ? 4 : 6, i / f->per_datagram, 10,
			piece_of(f, k), true, &whole);
		sent++;
		if (i % OTHER_EVERY == 0) {
			send_other(d, i / OTHER_EVERY, f);
			sent += 4;
		}
	}
	defrag_expire(d, 0, 1000, true, &counters, count_emitted, NULL);
	assert_in_range(bytes_peak, 1, BYTES);
	assert_in_range(fragments_peak, 1, FRAGMENTS);
	assert_in_range(trackers_peak, 1, TRACKERS);
	assert_int_equal(completing, FLOOD / OTHER_EVERY);
	assert_int_equal(emitted + refused + completing, sent);
	assert_int_equal(emitted_resolved, FLOOD / OTHER_EVERY);
	assert_int_equal(v[COUNTER_ipv4_fragments] + v[COUNTER_ipv6_fragments], sent);
	assert_int_equal(v[COUNTER_ipv4_memcap] + v[COUNTER_ipv6_memcap] +
				 v[COUNTER_ipv4_too_many] + v[COUNTER_ipv6_too_many],
		refused);
	assert_true(v[COUNTER_ipv4_evicted] > 0 && v[COUNTER_ipv6_evicted] > 0);
	assert_int_equal(defrag_bytes_in_use(d) + defrag_trackers_in_use(d), 0);
	print_message("%s: at most %llu of %llu bytes, %u of %d fragments, %u of %d datagrams; "
		      "%llu datagrams evicted, %llu fragments refused, %llu others whole\n",
		f->name, (unsigned long long)bytes_peak, (unsigned long long)BYTES, fragments_peak,
		FRAGMENTS, trackers_peak, TRACKERS,
		(unsigned long long)(v[COUNTER_ipv4_evicted] + v[COUNTER_ipv6_evicted]),
		(unsigned long long)refused, (unsigned long long)completing);
	defrag_free(d);
}

int main(void)
{
	static struct flood floods[] = {{"one fragment a datagram", 1, 1480},
		{"the smallest fragments", 1, 8}, {"many fragments a datagram", 300, 200},
		{"more than a datagram may have", 2000, 8}, {"the largest fragments", 1, 32000}};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(flood, &floods[0]),
		cmocka_unit_test_prestate(flood, &floods[1]),
		cmocka_unit_test_prestate(flood, &floods[2]),
		cmocka_unit_test_prestate(flood, &floods[3]),
		cmocka_unit_test_prestate(flood, &floods[4]),
	};

	return cmocka_run_group_tests_name("defrag limits", tests, NULL, NULL);
}
