// SPDX-License-Identifier: Apache-2.0
// Filters: what becomes machine code and what must not, several link types, packets that were cut or
// are very large, and what a capture counts. (That filters choose as libpcap does: test_oracle.)
#include "testlib.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <string.h>

#include "capture_internal.h"
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
		{"len > 100", true}, {"ether[ether[0:4]] = 0", true}, // the packet says where
		{"ether[3000000000] = 1", true},
		{"1 << ip[0] = 2", true}, // by 32 and more {"ip6 protochain 6", false}, // a loop
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

static uint32_t random_number(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(*seed >> 32);
}

// Any instruction that libpcap's interpreter gives a meaning to, jumping forward at most to the end.
static struct bpf_insn random_insn(uint64_t *seed, uint32_t left)
{
	static const uint16_t codes[] = {BPF_LD | BPF_B | BPF_ABS, BPF_LD | BPF_H | BPF_ABS,
		BPF_LD | BPF_W | BPF_ABS, BPF_LD | BPF_B | BPF_IND, BPF_LD | BPF_H | BPF_IND,
		BPF_LD | BPF_W | BPF_IND, BPF_LD | BPF_IMM, BPF_LD | BPF_MEM,
		BPF_LD | BPF_W | BPF_LEN, BPF_LDX | BPF_IMM, BPF_LDX | BPF_MEM,
		BPF_LDX | BPF_W | BPF_LEN, BPF_LDX | BPF_MSH | BPF_B, BPF_ST, BPF_STX,
		BPF_ALU | BPF_ADD | BPF_K, BPF_ALU | BPF_SUB | BPF_K, BPF_ALU | BPF_MUL | BPF_K,
		BPF_ALU | BPF_DIV | BPF_K, BPF_ALU | BPF_MOD | BPF_K, BPF_ALU | BPF_AND | BPF_K,
		BPF_ALU | BPF_OR | BPF_K, BPF_ALU | BPF_XOR | BPF_K, BPF_ALU | BPF_LSH | BPF_K,
		BPF_ALU | BPF_RSH | BPF_K, BPF_ALU | BPF_ADD | BPF_X, BPF_ALU | BPF_SUB | BPF_X,
		BPF_ALU | BPF_MUL | BPF_X, BPF_ALU | BPF_DIV | BPF_X, BPF_ALU | BPF_MOD | BPF_X,
		BPF_ALU | BPF_AND | BPF_X, BPF_ALU | BPF_OR | BPF_X, BPF_ALU | BPF_XOR | BPF_X,
		BPF_ALU | BPF_LSH | BPF_X, BPF_ALU | BPF_RSH | BPF_X, BPF_ALU | BPF_NEG,
		BPF_JMP | BPF_JA, BPF_JMP | BPF_JEQ | BPF_K, BPF_JMP | BPF_JGT | BPF_K,
		BPF_JMP | BPF_JGE | BPF_K, BPF_JMP | BPF_JSET | BPF_K, BPF_JMP | BPF_JEQ | BPF_X,
		BPF_JMP | BPF_JGT | BPF_X, BPF_JMP | BPF_JGE | BPF_X, BPF_JMP | BPF_JSET | BPF_X,
		BPF_RET | BPF_K, BPF_RET | BPF_A, BPF_MISC | BPF_TAX, BPF_MISC | BPF_TXA};
	uint32_t which = random_number(seed), k = random_number(seed);
	struct bpf_insn i = {.code = codes[which % (sizeof(codes) / sizeof(codes[0]))]};
	unsigned class = BPF_CLASS(i.code), op = BPF_OP(i.code);

	k >>= random_number(seed) % 33 & 31; // small ones and large ones
	if (class == BPF_LD && BPF_MODE(i.code) != BPF_IMM && which % 5 != 0)
		k %= 70; // mostly inside the packet
	if (class == BPF_ST || class == BPF_STX ||
		((class == BPF_LD || class == BPF_LDX) && BPF_MODE(i.code) == BPF_MEM))
		k %= BPF_MEMWORDS;
	if (class == BPF_ALU && (op == BPF_LSH || op == BPF_RSH))
		k %= 32;
	if (class == BPF_ALU && (op == BPF_DIV || op == BPF_MOD) && k == 0)
		k = 7;
	if (class == BPF_JMP && op == BPF_JA)
		k %= left;
	if (class == BPF_JMP && op != BPF_JA) {
		i.jt = (uint8_t)(random_number(seed) % (left < 255 ? left : 255));
		i.jf = (uint8_t)(random_number(seed) % 2 ? 0 : random_number(seed) % left);
	}
	i.k = k;
	return i;
}

// Machine code means what libpcap's interpreter means, instruction by instruction.
static void random_programs(void **state)
{
	enum { CELLS = 2 + BPF_MEMWORDS, LENGTH = CELLS + 24 };
	uint64_t seed = 20261123;
	unsigned accepted = 0;

	(void)state;
	for (unsigned n = 0; n < 40000; n++) {
		struct bpf_insn insns[LENGTH] = {
			{BPF_LD | BPF_IMM, 0, 0, 5}, {BPF_LDX | BPF_IMM, 0, 0, 9}};
		struct bpf_program program = {.bf_len = LENGTH, .bf_insns = insns};
		struct filter_code code;
		uint8_t data[64];

		for (unsigned i = 2; i < CELLS; i++)
			insns[i] = (struct bpf_insn){BPF_ST, 0, 0, i - 2};
		for (unsigned i = CELLS; i < LENGTH - 1; i++)
			insns[i] = random_insn(&seed, LENGTH - 1 - i);
		insns[LENGTH - 1] = (struct bpf_insn){BPF_RET | BPF_A, 0, 0, 0};
		if (filter_code_init(&code, &program) != 0)
			fail_msg("program %u: no code", n);
		for (unsigned p = 0; p < 4; p++) {
			uint32_t caplen = p == 0 ? 64 : random_number(&seed) % 65;
			uint32_t wire = caplen + (p == 3 ? 1000 : 0), want, got;

			for (unsigned i = 0; i < sizeof(data); i++)
				data[i] = (uint8_t)random_number(&seed);
			want = bpf_filter(insns, data, wire, caplen);
			got = code.run(data, caplen, wire);
			if (got != want)
				fail_msg("program %u, packet %u: %x, not %x", n, p, got, want);
			accepted += want != 0;
		}
		filter_code_fini(&code);
	}
	assert_in_range(accepted, 10000, 150000); // they do not all just fail
}

static void programs_with_loops(void **state)
{
	struct bpf_insn back[] = {{BPF_LD | BPF_IMM, 0, 0, 1},
		{BPF_JMP | BPF_JA, 0, 0, (uint32_t)-2}, {BPF_RET | BPF_K, 0, 0, 0}};
	struct bpf_insn out[] = {{BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1}, {BPF_RET | BPF_K, 0, 0, 0}};
	struct bpf_insn no_end[] = {{BPF_LD | BPF_IMM, 0, 0, 1}};
	struct filter_code code;

	(void)state;
	assert_int_equal(
		filter_code_init(&code, &(struct bpf_program){.bf_len = 3, .bf_insns = back}),
		-ENOTSUP);
	assert_int_equal(
		filter_code_init(&code, &(struct bpf_program){.bf_len = 2, .bf_insns = out}),
		-ENOTSUP);
	assert_int_equal(
		filter_code_init(&code, &(struct bpf_program){.bf_len = 1, .bf_insns = no_end}),
		-ENOTSUP);
	assert_int_equal(filter_code_init(&code, &(struct bpf_program){0}), -ENOTSUP);
	out[0].jt = 0;
	assert_int_equal(
		filter_code_init(&code, &(struct bpf_program){.bf_len = 2, .bf_insns = out}), 0);
	filter_code_fini(&code);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machine_code_where_it_is_safe),
		cmocka_unit_test(bad_filters),
		cmocka_unit_test(ends_of_packets),
		cmocka_unit_test(large_packets),
		cmocka_unit_test(several_link_types),
		cmocka_unit_test(random_programs),
		cmocka_unit_test(programs_with_loops),
	};

	return cmocka_run_group_tests_name("capture filter", tests, NULL, NULL);
}
