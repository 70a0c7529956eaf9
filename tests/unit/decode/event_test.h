// SPDX-License-Identifier: Apache-2.0
// What the tests of events share: a table of frames that raise one and of valid ones beside them,
// and what must hold for each row.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "check.h"
#include "frame.h"

struct event_case {
	enum event_id id;
	void (*good)(void);
	void (*bad)(void);
};

struct event_cases {
	const struct event_case *rows;
	unsigned count;
	enum event_id first, last; // all of these must have a row
};

static struct frame f;
static uint32_t mark; // where the header under test begins

static inline void eth_udp_tail(void)
{
	frame_udp(&f, 5000, 6000);
	FRAME_TEXT(&f, "payload");
	frame_close(&f);
}

static inline void plain_udp4(void)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	mark = f.size;
	frame_ip4(&f, IP_UDP);
	eth_udp_tail();
}

static inline void plain_udp6(void)
{
	frame_eth(&f, ETHERTYPE_IPV6);
	mark = f.size;
	frame_ip6(&f, IP_UDP);
	eth_udp_tail();
}

static inline void plain_tcp(uint8_t flags)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_TCP);
	mark = f.size;
	frame_tcp(&f, flags);
	FRAME_TEXT(&f, "payload");
	frame_close(&f);
}

static inline void cut_to(uint32_t size)
{
	f.size = size;
}

static const struct decode_config verify = {true, PACKET_LAYERS_MAX - 1};
static const struct decode_config trust = {false, PACKET_LAYERS_MAX - 1};

static void decode(void (*make)(void), const struct decode_config *config, struct packet *p)
{
	frame_init(&f);
	make();
	check_decode(config, f.link, f.data, f.size, f.size, p);
}

static void each_event_has_a_frame_that_raises_it(void **state)
{
	const struct event_cases *t = *state;
	static struct packet p;

	for (unsigned i = 0; i < t->count; i++) {
		const struct event_case *c = &t->rows[i];

		decode(c->bad, &verify, &p);
		if (!check_has(&p, c->id))
			fail_msg("case %u: no %s", i, event_table[c->id].name);
	}
}

static void a_valid_neighbour_raises_nothing(void **state)
{
	const struct event_cases *t = *state;
	static struct packet p;

	for (unsigned i = 0; i < t->count; i++) {
		decode(t->rows[i].good, &verify, &p);
		if (p.event_count > 0)
			fail_msg("neighbour of case %u (%s): %s", i,
				event_table[t->rows[i].id].name, event_table[p.events[0]].name);
	}
}

static void every_event_of_decoding_has_a_case(void **state)
{
	const struct event_cases *t = *state;

	for (unsigned id = t->first; id <= t->last; id++) {
		bool has = false;

		for (unsigned i = 0; i < t->count; i++)
			has |= t->rows[i].id == id;
		if (!has)
			fail_msg("%s has no case", event_table[id].name);
	}
}

static void checksums_are_not_verified_unless_asked(void **state)
{
	const struct event_cases *t = *state;
	static struct packet p;

	for (unsigned i = 0; i < t->count; i++) {
		if (strstr(event_table[t->rows[i].id].name, "bad_checksum") == NULL)
			continue;
		decode(t->rows[i].bad, &trust, &p);
		assert_int_equal(p.event_count, 0);
	}
}

// What the snap length cut off is no malformation: each valid frame at each captured length.
static void a_snapped_frame_raises_nothing(void **state)
{
	const struct event_cases *t = *state;
	static struct packet p;

	for (unsigned i = 0; i < t->count; i++) {
		frame_init(&f);
		t->rows[i].good();
		for (uint32_t size = 0; size < f.size; size++) {
			check_decode(&verify, f.link, f.data, size, f.size, &p);
			if (p.event_count > 0)
				fail_msg("case %u at %u of %u: %s", i, size, f.size,
					event_table[p.events[0]].name);
		}
	}
}

// A frame that ends early on the wire is malformed at every length below its headers' claim.
static void a_frame_cut_on_the_wire_never_harms(void **state)
{
	const struct event_cases *t = *state;
	static struct packet p;

	for (unsigned i = 0; i < t->count; i++) {
		frame_init(&f);
		t->rows[i].bad();
		for (uint32_t size = 0; size < f.size; size++)
			check_decode(&verify, f.link, f.data, size, size, &p);
		frame_init(&f);
		t->rows[i].good();
		for (uint32_t size = 0; size < f.size; size++)
			check_decode(&trust, f.link, f.data, size, size, &p);
	}
}

// Writes one frame as input of the fuzz target: Ethernet or else the link type that none has.
static void write_seed(const char *dir, const char *name, unsigned row, bool is_good)
{
	const uint8_t head[4] = {f.link == LINK_ETHERNET ? 0 : 8, 7, 0, 0};
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s-%u-%s", dir, name, row, is_good ? "good" : "bad");
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(head, 1, sizeof(head), file), sizeof(head));
	assert_int_equal(fwrite(f.data, 1, f.size, file), f.size);
	assert_int_equal(fclose(file), 0);
}

static void write_seeds(const struct event_cases *t, const char *dir)
{
	for (unsigned i = 0; i < t->count; i++) {
		if (i == 0 || t->rows[i].good != t->rows[i - 1].good) {
			frame_init(&f);
			t->rows[i].good();
			write_seed(dir, event_table[t->rows[i].id].name, i, true);
		}
		frame_init(&f);
		t->rows[i].bad();
		write_seed(dir, event_table[t->rows[i].id].name, i, false);
	}
}

static inline int event_test_run(
	const char *name, const struct event_cases *t, int argc, char **argv)
{
	void *state = (void *)(uintptr_t)t;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(each_event_has_a_frame_that_raises_it, state),
		cmocka_unit_test_prestate(a_valid_neighbour_raises_nothing, state),
		cmocka_unit_test_prestate(every_event_of_decoding_has_a_case, state),
		cmocka_unit_test_prestate(checksums_are_not_verified_unless_asked, state),
		cmocka_unit_test_prestate(a_snapped_frame_raises_nothing, state),
		cmocka_unit_test_prestate(a_frame_cut_on_the_wire_never_harms, state),
	};

	if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
		write_seeds(t, argv[2]);
		return 0;
	}
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
