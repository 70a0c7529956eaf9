// SPDX-License-Identifier: Apache-2.0
// IP reassembly: timeouts, accounting, what is refused, the largest datagrams. Random datagrams, overlap
// policies and limits have tests of their own.
#include "fragments.h"

static void drop_gives_up_on_overlap_but_not_on_repeats(void **state)
{
	struct defrag_config c = config_default();
	struct defrag *d = defrag_new(&c);
	struct frame *f = malloc(sizeof(*f));
	uint8_t payload[64] = {1, 2, 3};
	struct packet whole;

	(void)state;
	make_fragment(f, 6, 1, payload, 0, 32, true, 1);
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_WAITING);
	make_fragment(f, 6, 1, payload, 0, 32, true, 1);
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_WAITING);
	make_fragment(f, 6, 1, payload, 32, 32, false, 1);
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_COMPLETE);
	finish(d, &whole);
	make_fragment(f, 6, 2, payload, 0, 32, true, 1);
	defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL);
	make_fragment(f, 6, 2, payload, 24, 16, true, 1);
	defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL);
	make_fragment(f, 6, 2, payload, 32, 32, false, 1);
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_WAITING);
	assert_int_equal(f->p.event_count, 0);
	defrag_free(d);
	free(f);
}

static void timeout_is_decided_by_time(void **state)
{
	struct defrag_config c = config_default();
	struct defrag *d = defrag_new(&c);
	struct frame *f = malloc(sizeof(*f));
	uint8_t payload[64] = {1, 2, 3};
	struct packet whole;

	(void)state;
	emitted = 0;
	make_fragment(f, 4, 1, payload, 0, 32, true, NSEC_PER_S);
	defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL);
	// Nobody looked in between; still the second half comes too late.
	make_fragment(f, 4, 1, payload, 32, 32, false, 31 * NSEC_PER_S);
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_WAITING);
	assert_int_equal(emitted, 1);
	defrag_expire(d, 0, 60 * NSEC_PER_S, false, &counters, count_emitted, NULL);
	assert_int_equal(emitted, 1);
	defrag_expire(d, 0, 61 * NSEC_PER_S, false, &counters, count_emitted, NULL);
	assert_int_equal(emitted, 2);
	defrag_free(d);
	free(f);
}

static uint64_t emitted_now_ns, emitted_ts_ns;

static void note_times(void *ctx, const struct packet *p)
{
	(void)ctx;
	emitted_now_ns = p->now_ns;
	emitted_ts_ns = p->ts_ns;
}

// Flows must not see a clock that goes back, whoever asks for idle ones in the meantime.
static void late_accounting_comes_at_the_time_it_comes(void **state)
{
	struct defrag_config c = config_default();
	struct defrag *d = defrag_new(&c);
	struct frame *f = malloc(sizeof(*f));
	uint8_t payload[64] = {1, 2, 3};
	struct packet whole;

	(void)state;
	make_fragment(f, 4, 1, payload, 0, 32, true, NSEC_PER_S);
	defrag_add(d, &f->p, &counters, &whole, note_times, NULL);
	defrag_expire(d, 0, 40 * NSEC_PER_S, false, &counters, note_times, NULL);
	assert_int_equal(emitted_ts_ns, NSEC_PER_S);
	assert_int_equal(emitted_now_ns, 40 * NSEC_PER_S);
	defrag_free(d);
	free(f);
}

static void impossible_fragments_are_refused(void **state)
{
	struct defrag_config c = config_default();
	struct defrag *d = defrag_new(&c);
	struct frame *f = malloc(sizeof(*f));
	uint8_t *payload = calloc(1, 70000);
	uint64_t before = counters.value[COUNTER_ipv4_too_large];
	struct packet whole;

	(void)state;
	make_fragment(f, 4, 1, payload, 65528, 100, false, 1); // the ping of death
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_WAITING);
	assert_int_equal(counters.value[COUNTER_ipv4_too_large], before + 1);
	make_fragment(f, 4, 2, payload, 0, 100, true, 1);
	f->p.caplen = 60; // not captured whole
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_REFUSED);
	for (unsigned i = 0; i <= DEFRAG_FRAGMENTS_PER_DATAGRAM; i++) {
		make_fragment(f, 4, 3, payload, 8 * i, 8, true, 1);
		assert_int_equal(defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL),
			i < DEFRAG_FRAGMENTS_PER_DATAGRAM ? DEFRAG_WAITING : DEFRAG_REFUSED);
	}
	free(payload);
	free(f);
	defrag_free(d);
}

static enum defrag_result add_piece(struct defrag *d, struct frame *f, unsigned version,
	uint32_t id, const uint8_t *payload, struct cut k, bool more, struct packet *whole)
{
	make_fragment(f, version, id, payload, k.offset, k.length, more, 1);
	return defrag_add(d, &f->p, &counters, whole, count_emitted, NULL);
}

// Bytes beyond the last fragment's end are none of the datagram's: they neither complete it nor are
// they copied into it, wherever they lie.
static void the_last_fragment_ends_the_datagram(void **state)
{
	struct defrag_config c = config_default();
	struct frame *f = malloc(sizeof(*f));
	uint8_t *payload = calloc(1, 65536);
	struct defrag *d;
	struct packet whole;

	(void)state;
	c.policy6 = DEFRAG_FIRST;
	d = defrag_new(&c);
	for (uint32_t i = 0; i < 65536; i++)
		payload[i] = (uint8_t)(i / 8);
	for (unsigned v = 4; v <= 6; v += 2) {
		for (uint32_t beyond = 24; beyond <= 65520; beyond += 8 * 8187) {
			uint32_t id = beyond;

			// The end comes after bytes beyond it; a later end is the right one.
			add_piece(d, f, v, id, payload, (struct cut){beyond, 8}, true, &whole);
			add_piece(d, f, v, id, payload, (struct cut){8, 8}, false, &whole);
			assert_int_equal(f->p.event_count, 1);
			assert_int_equal(f->p.events[0], EVENT_frag_overlap_differing);
			assert_int_equal(
				add_piece(d, f, v, id, payload, (struct cut){0, 8}, true, &whole),
				DEFRAG_WAITING);
			// The end comes before bytes beyond it.
			id++;
			add_piece(d, f, v, id, payload, (struct cut){16, 8}, false, &whole);
			add_piece(d, f, v, id, payload, (struct cut){beyond, 8}, true, &whole);
			assert_int_equal(f->p.event_count, 1);
			assert_int_equal(f->p.events[0], EVENT_frag_overlap_differing);
			assert_int_equal(
				add_piece(d, f, v, id, payload, (struct cut){0, 8}, true, &whole),
				DEFRAG_WAITING);
			assert_int_equal(
				add_piece(d, f, v, id, payload, (struct cut){8, 8}, true, &whole),
				DEFRAG_COMPLETE);
			expect_datagram(&whole, v, payload, 24);
			finish(d, &whole);
		}
	}
	defrag_free(d);
	free(payload);
	free(f);
}

// The largest datagrams that the length fields allow, and one byte more.
static void the_largest_datagrams_come_out(void **state)
{
	struct defrag_config c = config_default();
	struct defrag *d = defrag_new(&c);
	struct frame *f = malloc(sizeof(*f));
	uint8_t *payload = calloc(1, 65537);
	struct packet whole;

	(void)state;
	for (uint32_t i = 0; i < 65537; i++)
		payload[i] = (uint8_t)(i * 7);
	for (unsigned v = 4; v <= 6; v += 2) {
		uint32_t most = v == 4 ? 65515 : 65535;

		add_piece(d, f, v, 1, payload, (struct cut){0, 32768}, true, &whole);
		assert_int_equal(add_piece(d, f, v, 1, payload, (struct cut){32768, most - 32768},
					 false, &whole),
			DEFRAG_COMPLETE);
		expect_datagram(&whole, v, payload, most);
		finish(d, &whole);
		add_piece(d, f, v, 2, payload, (struct cut){0, 32768}, true, &whole);
		assert_int_equal(add_piece(d, f, v, 2, payload,
					 (struct cut){32768, most + 1 - 32768}, false, &whole),
			DEFRAG_WAITING);
	}
	defrag_free(d);
	free(payload);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drop_gives_up_on_overlap_but_not_on_repeats),
		cmocka_unit_test(timeout_is_decided_by_time),
		cmocka_unit_test(late_accounting_comes_at_the_time_it_comes),
		cmocka_unit_test(impossible_fragments_are_refused),
		cmocka_unit_test(the_last_fragment_ends_the_datagram),
		cmocka_unit_test(the_largest_datagrams_come_out),
	};

	return cmocka_run_group_tests_name("defrag", tests, NULL, NULL);
}
