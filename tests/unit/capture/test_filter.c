// SPDX-License-Identifier: Apache-2.0
// Filters: what becomes machine code and what must not, several link types, packets that were cut or
// are very large, and what a capture counts. (That filters choose as libpcap does: test_oracle.)
#include "testlib.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <string.h>

#include "filter.h"

static struct filter *compile(const char *text)
{
	char error[CAPTURE_ERROR_MAX];
	struct filter *f;

	if (filter_new(text, LINK_ETHERNET, &f, error, sizeof(error)) != 0)
		fail_msg("%s: %s", text, error);
	return f;
}

static void machine_code_where_it_is_safe(void **state)
{
	static const struct {
		const char *text;
		bool jit;
	} rows[] = {
		{"tcp port 80", true}, {"host 1.2.3.4 or net 10.0.0.0/8", true},
		{"tcp[tcpflags] & tcp-syn != 0", true},
		{"tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420", true},
		{"ip6 host ::1 or ip6 host ::2 or ip6 host ::3 or ip6 host ::4 or ip6 host ::5 or "
		 "ip6 "
		 "host ::6 or ip6 host ::7 or ip6 host ::8 or ip6 host ::9 or ip6 host ::10",
			true},
		{"len > 100", true}, {"ip[ip[2:2]] = 0", true}, // at most 65535 and a header
		{"ether[ether[0:4]] = 0", false},		// anywhere
		{"ether[3000000000] = 1", false}, {"1 << ip[0] = 2", false},  // by 32 and more
		{"1 << (ip[0] & 31) = 2", true}, {"ip6 protochain 6", false}, // a loop
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct filter *f = compile(rows[i].text);

		if (filter_is_jit(f) != rows[i].jit)
			fail_msg("'%s': machine code %d", rows[i].text, filter_is_jit(f));
		filter_free(f);
	}
}

static void bad_filters(void **state)
{
	static const char *const texts[] = {"tcp port", "nonsense", "port 99999999", "((", "host",
		"inbound", "\xff\xfe", "vlan 5000 and"};
	char error[CAPTURE_ERROR_MAX], text[3000];
	struct filter *f = (struct filter *)&error;

	(void)state;
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		error[0] = 0;
		assert_int_equal(
			filter_new(texts[i], LINK_ETHERNET, &f, error, sizeof(error)), -EINVAL);
		assert_non_null(strstr(error, texts[i]));
		assert_ptr_equal(f, &error);
	}
	memset(text, '(', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_int_equal(filter_new(text, LINK_ETHERNET, &f, error, sizeof(error)), -EINVAL);
	assert_true(strlen(error) < sizeof(error));
}

// Packets that are addressed at their very end, beyond it, and far beyond.
static void ends_of_packets(void **state)
{
	static const char *const texts[] = {"ether[59] = 7", "ether[60] = 7", "ether[56:4] > 0",
		"ether[57:4] > 0", "ether[1000000] = 0", "ether[(ether[0] & 1) + 58:2] = 7",
		"ip[ip[2:2]] = 7", "len = 60", "len = 100", "greater 61"};
	uint8_t data[60] = {0};

	(void)state;
	data[12] = 8;
	data[59] = 7;
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct filter *f = compile(texts[i]);

		for (unsigned v = 0; v < 6; v++) {
			struct packet p = {.data = data,
				.caplen = v & 1 ? 60 : 59,
				.wirelen = v & 2 ? 100 : 60,
				.link = LINK_ETHERNET};

			data[0] = v >> 2;
			assert_true(filter_is_jit(f));
			assert_int_equal(filter_match(f, &p), filter_match_pcap(f, &p));
		}
		filter_free(f);
	}
}

static void large_packets(void **state)
{
	static uint8_t data[200000];
	struct packet p = {.data = data, .link = LINK_ETHERNET};
	struct filter *f = compile("ether[65534] = 1 or ether[150000] = 2");

	(void)state;
	assert_true(filter_is_jit(f));
	data[65534] = 1;
	data[150000] = 2;
	for (p.caplen = 65533; p.caplen <= 65537; p.caplen++) {
		p.wirelen = p.caplen;
		assert_int_equal(filter_match(f, &p), p.caplen > 65534);
	}
	data[65534] = 0;
	p.wirelen = p.caplen = 150000;
	assert_false(filter_match(f, &p));
	p.wirelen = p.caplen = 150001;
	assert_true(filter_match(f, &p));
	filter_free(f);
}

static void ip_packet(struct bytes *b, uint8_t proto)
{
	static const uint8_t ip[20] = {
		0x45, 0, 0, 20, 0, 0, 0, 0, 64, 0, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
	size_t at = b->size;

	put(b, ip, sizeof(ip));
	b->data[at + 9] = proto;
}

// An Ethernet, a raw and an unknown interface: one program each, and counts that add up.
static void several_link_types(void **state)
{
	static const uint8_t ether[14] = {[12] = 8};
	struct bytes b = {0};
	struct run r;

	(void)state;
	ng_section(&b);
	ng_interface(&b, LINK_ETHERNET, 0, 0, 0);
	ng_interface(&b, LINK_RAW, 0, 0, 0);
	ng_interface(&b, 65000, 0, 0, 0);
	for (unsigned i = 0; i < 300; i++) {
		uint8_t proto = i % 2 == 0 ? 6 : 17;
		uint32_t link = i % 3, size = link == 0 ? 34 : 20;

		ng_enhanced(&b, link, i, 0, size, 0);
		b.size -= 4; // fill the block by hand
		if (link == 0)
			put(&b, ether, sizeof(ether));
		ip_packet(&b, proto);
		put(&b, "\0\0", (4 - size % 4) % 4);
		size = 32 + (size + 3) / 4 * 4;
		put32(&b, size);
		memcpy(b.data + b.size - size + 4, &size, 4);
		size = link == 0 ? 34 : 20;
		memcpy(b.data + b.size - (32 + (size + 3) / 4 * 4) + 20, &size, 4);
	}
	run_bytes(&r, &b, NULL, "ip proto 17", 256);
	assert_int_equal(r.opened, 0);
	assert_int_equal(r.state, CAPTURE_RX_END);
	assert_int_equal(r.sum.received, 300);
	assert_int_equal(r.sum.filtered, 200);
	assert_int_equal(r.count, 100);
	for (unsigned i = 0; i < r.count; i++) {
		assert_int_equal(r.pkts[i].seq % 2, 0);
		assert_true(r.pkts[i].link != 65000);
		assert_int_equal(r.pkts[i].data[r.pkts[i].link == LINK_RAW ? 9 : 23], 17);
	}
	run_free(&r);
	run_bytes(&r, &b, NULL, "port port", 0);
	assert_int_equal(r.opened, -EINVAL);
	assert_non_null(strstr(r.error, "filter 'port port': "));
	run_bytes(&r, &b, NULL, " \t", 0); // as good as none
	assert_int_equal(r.count, 300);
	run_free(&r);
	bytes_free(&b);
}

static void bounds(void **state)
{
	struct bpf_insn back[] = {{BPF_LD | BPF_IMM, 0, 0, 1},
		{BPF_JMP | BPF_JA, 0, 0, (uint32_t)-2}, {BPF_RET | BPF_K, 0, 0, 0}};
	struct bpf_insn out[] = {{BPF_JMP | BPF_JEQ | BPF_K, 5, 0, 1}, {BPF_RET | BPF_K, 0, 0, 0}};
	struct bpf_insn no_end[] = {{BPF_LD | BPF_IMM, 0, 0, 1}};
	struct bpf_insn memory[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}, {BPF_ST, 0, 0, 15},
		{BPF_LDX | BPF_MEM, 0, 0, 15}, {BPF_LD | BPF_B | BPF_IND, 0, 0, 0},
		{BPF_RET | BPF_A, 0, 0, 0}};

	(void)state;
	assert_false(filter_is_bounded(back, 3));
	assert_false(filter_is_bounded(out, 2));
	assert_false(filter_is_bounded(no_end, 1));
	assert_false(filter_is_bounded(memory, 5));
	memory[0].code = BPF_LD | BPF_H | BPF_ABS;
	assert_true(filter_is_bounded(memory, 5));
	memory[3].k = FILTER_OFFSET_MAX - 65535;
	assert_true(filter_is_bounded(memory, 5));
	memory[3].k++;
	assert_false(filter_is_bounded(memory, 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machine_code_where_it_is_safe),
		cmocka_unit_test(bad_filters),
		cmocka_unit_test(ends_of_packets),
		cmocka_unit_test(large_packets),
		cmocka_unit_test(several_link_types),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests_name("capture filter", tests, NULL, NULL);
}
