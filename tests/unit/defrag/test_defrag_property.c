// SPDX-License-Identifier: Apache-2.0
// Random datagrams of both versions, cut into fragments that are reordered, repeated, cut anew with the
// same bytes and lost, many under way at a time under few identifications: each comes out exactly when
// its last byte has come, with the bytes that went in and no others, and no other does. Every fragment
// is accounted for once, with its ports where its datagram came out. Every policy; at least a million
// fragments of each version.
#include "fragments.h"

enum { DATAGRAMS = 64, SIZE_MAX_BYTES = 12000, SENT_MAX = 1000, REORDER = 24 };
#define FRAGMENTS_WANTED 1000000

struct sent {
	uint32_t offset, length;
};

// One datagram under way, and what the stage must make of it.
struct model {
	uint8_t bytes[SIZE_MAX_BYTES];
	uint8_t covered[SIZE_MAX_BYTES / 8];
	struct sent sent[SENT_MAX], kept[SENT_MAX];
	unsigned count, next, kept_count;
	uint32_t size, id, missing;
	uint16_t vlan;
	uint8_t version, options;
	uint64_t tunnel;
	bool is_given_up;
};

static struct model model[DATAGRAMS];
static uint64_t sent_by_version[2], whole_count, lost_count, given_up_count;

static void add_sent(struct model *m, uint32_t offset, uint32_t length)
{
	if (m->count < SENT_MAX)
		m->sent[m->count++] = (struct sent){offset, length};
}

static void forget(struct model *m)
{
	memset(m->covered, 0, sizeof(m->covered));
	m->missing = (m->size + 7) / 8;
	m->kept_count = 0;
	m->is_given_up = false;
}

static void cut(struct model *m)
{
	unsigned loss = rnd(4) == 0 ? 10 : 0, repeat = rnd(3) * 10, anew = rnd(3) == 0 ? 20 : 0;
	uint32_t piece = 8 + 8 * rnd(rnd(2) ? 8 : 180);

	if (m->size / piece > SENT_MAX / 4)
		piece = (m->size / (SENT_MAX / 4) / 8 + 1) * 8;
	m->count = m->next = 0;
	for (uint32_t at = 0; at < m->size; at += piece) {
		uint32_t n = piece < m->size - at ? piece : m->size - at;

		if (rnd(100) < anew) {
			uint32_t from = 8 * rnd(at / 8 + 1), to = at + n;

			from = to - from > 2400 ? at : from;
			add_sent(m, from, to - from);
		}
		if (rnd(100) < loss)
			continue;
		add_sent(m, at, n);
		if (rnd(100) < repeat)
			add_sent(m, at, n);
	}
}

static void reorder(struct model *m)
{
	unsigned reach = rnd(3) * REORDER;

	for (unsigned i = 0; reach > 0 && i < m->count; i++) {
		unsigned k = i + rnd(rnd(5) == 0 ? m->count : reach);
		struct sent t = m->sent[i];

		k = k < m->count ? k : m->count - 1;
		m->sent[i] = m->sent[k];
		m->sent[k] = t;
	}
}

static void make_datagram(struct model *m, uint32_t number)
{
	m->size = 9 + rnd(rnd(2) ? SIZE_MAX_BYTES - 9 : 200);
	m->version = rnd(2) ? 4 : 6;
	m->options = (uint8_t)rnd(3);
	// Few identifications, told apart by what else is in the key.
	m->id = number / 4;
	m->vlan = number & 1;
	m->tunnel = number & 2;
	for (uint32_t i = 0; i < m->size; i++)
		m->bytes[i] = (uint8_t)rnd(256);
	cut(m);
	reorder(m);
	forget(m);
}

// The definition: returns whether the datagram is whole with this fragment.
static bool apply(struct model *m, const struct sent *s, enum defrag_policy policy)
{
	bool is_repeat = false, is_overlap = false;

	if (m->is_given_up)
		return false;
	for (unsigned i = 0; i < m->kept_count; i++)
		is_repeat |= m->kept[i].offset == s->offset && m->kept[i].length == s->length;
	if (is_repeat)
		return false;
	for (uint32_t b = s->offset / 8; b < (s->offset + s->length + 7) / 8; b++)
		is_overlap |= m->covered[b];
	if (is_overlap && policy == DEFRAG_DROP) {
		m->is_given_up = true;
		return false;
	}
	for (uint32_t b = s->offset / 8; b < (s->offset + s->length + 7) / 8; b++) {
		m->missing -= !m->covered[b];
		m->covered[b] = 1;
	}
	m->kept[m->kept_count++] = *s;
	return m->missing == 0;
}

// Puts options behind the IPv4 header, or an extension header before the fragment's.
static void add_options(struct frame *f, const struct model *m)
{
	uint32_t n = m->options * 8u, at = m->version == 4 ? 20 : 40;

	if (n == 0)
		return;
	memmove(f->bytes + at + n, f->bytes + at, f->p.caplen - at);
	if (m->version == 4) {
		memset(f->bytes + at, 1, n);
		f->bytes[0] = (uint8_t)(0x45 + n / 4);
	} else {
		memset(f->bytes + at, 0, n);
		f->bytes[6] = 60;
		f->bytes[at] = 44;
		f->bytes[at + 1] = (uint8_t)(n / 8 - 1);
	}
	f->p.caplen += n;
	f->p.wirelen += n;
	f->p.layer[0].l3_len += n;
}

static void check_whole(const struct packet *whole, const struct model *m)
{
	uint32_t header = (m->version == 4 ? 20 : 40) + m->options * 8u;

	assert_int_equal(whole->caplen, header + m->size);
	assert_memory_equal(whole->data + header, m->bytes, m->size);
	if (m->version == 4) {
		assert_int_equal(whole->data[0], 0x45 + m->options * 2);
		assert_int_equal(whole->data[2] << 8 | whole->data[3], header + m->size);
		assert_int_equal(whole->data[6] & 0x3f, 0);
		assert_int_equal(whole->data[7], 0);
	} else {
		assert_int_equal(whole->data[4] << 8 | whole->data[5], header - 40 + m->size);
		assert_int_equal(whole->data[6], m->options == 0 ? 17 : 60);
		assert_int_equal(whole->data[m->options == 0 ? 6 : 40], 17);
	}
}

static void send_one(struct defrag *d, struct model *m, const struct defrag_config *c)
{
	static struct frame f;
	const struct sent *s = &m->sent[m->next++];
	enum defrag_policy policy = m->version == 4 ? c->policy4 : c->policy6;
	bool is_whole = apply(m, s, policy);
	struct packet whole;

	make_fragment(&f, m->version, m->id, m->bytes, s->offset, s->length,
		s->offset + s->length < m->size, 1000);
	add_options(&f, m);
	f.p.vlan_count = 1;
	f.p.vlan[0] = m->vlan;
	f.p.layer[0].tunnel_hash = m->tunnel;
	sent_by_version[m->version == 6]++;
	emitted_bytes -= f.p.wirelen;
	assert_int_equal(defrag_add(d, &f.p, &counters, &whole, count_emitted, NULL),
		is_whole ? DEFRAG_COMPLETE : DEFRAG_WAITING);
	if (!is_whole)
		return;
	emitted++; // the one that completes is the caller's to count
	emitted_bytes += f.p.wirelen;
	check_whole(&whole, m);
	finish(d, &whole);
	whole_count++;
	forget(m);
}

static void run(struct defrag *d, const struct defrag_config *c, uint32_t *number)
{
	unsigned left = DATAGRAMS;

	for (unsigned i = 0; i < DATAGRAMS; i++)
		make_datagram(&model[i], (*number)++);
	while (left > 0) {
		struct model *m = &model[rnd(DATAGRAMS)];

		if (m->next > m->count)
			continue;
		if (m->next < m->count) {
			send_one(d, m, c);
			continue;
		}
		m->next++;
		left--;
		lost_count += m->missing > 0 && !m->is_given_up;
		given_up_count += m->is_given_up;
	}
}

static void check_counters(uint64_t fragments)
{
	const uint64_t *v = counters.value;

	assert_int_equal(emitted, fragments);
	assert_int_equal(emitted_bytes, 0);
	assert_int_equal(v[COUNTER_ipv4_fragments], sent_by_version[0]);
	assert_int_equal(v[COUNTER_ipv6_fragments], sent_by_version[1]);
	assert_int_equal(v[COUNTER_ipv4_reassembled] + v[COUNTER_ipv6_reassembled], whole_count);
	assert_int_equal(v[COUNTER_ipv4_overlap_differing] + v[COUNTER_ipv6_overlap_differing], 0);
	assert_int_equal(v[COUNTER_ipv4_memcap] + v[COUNTER_ipv6_memcap], 0);
	assert_int_equal(v[COUNTER_ipv4_evicted] + v[COUNTER_ipv6_evicted], 0);
	assert_true(v[COUNTER_ipv4_overlap] > 0 && v[COUNTER_ipv6_overlap] > 0);
	assert_true(v[COUNTER_ipv4_duplicate] > 0 && v[COUNTER_ipv6_duplicate] > 0);
	assert_true(lost_count > 0 && given_up_count > 0);
}

static void test_property(void **state)
{
	uint64_t seed = 0;

	(void)state;
	while (sent_by_version[0] < FRAGMENTS_WANTED || sent_by_version[1] < FRAGMENTS_WANTED) {
		uint64_t until = sent_by_version[0] + sent_by_version[1] + FRAGMENTS_WANTED / 6;
		struct defrag_config c = config_default();
		uint32_t number = 0;
		struct defrag *d;

		rng = ++seed * UINT64_C(0x9e3779b97f4a7c15);
		c.policy4 = (enum defrag_policy)(seed % 6);
		c.policy6 = (enum defrag_policy)((seed + 3) % 6);
		d = defrag_new(&c);
		assert_non_null(d);
		while (sent_by_version[0] + sent_by_version[1] < until) {
			run(d, &c, &number);
			defrag_expire(d, 0, 1000, true, &counters, count_emitted, NULL);
			assert_int_equal(defrag_trackers_in_use(d), 0);
			assert_int_equal(defrag_fragments_in_use(d), 0);
			assert_int_equal(defrag_bytes_in_use(d), 0);
		}
		defrag_free(d);
	}
	assert_true(seed >= 6);
	check_counters(sent_by_version[0] + sent_by_version[1]);
	print_message(
		"%llu IPv4 and %llu IPv6 fragments, %llu seeds: %llu datagrams whole, %llu not\n",
		(unsigned long long)sent_by_version[0], (unsigned long long)sent_by_version[1],
		(unsigned long long)seed, (unsigned long long)whole_count,
		(unsigned long long)(lost_count + given_up_count));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_property)};

	return cmocka_run_group_tests_name("defrag property", tests, NULL, NULL);
}
