// SPDX-License-Identifier: Apache-2.0
// A small translator of classic BPF to x86-64, instruction by instruction, with the meaning that
// libpcap's bpf_filter() gives each. rte_bpf is not used: in DPDK 22.11 its converter takes A instead of
// X as index of [x + k] loads, which every port filter has, and its JIT can place code elsewhere than
// where its jumps lead (it ends its sizing passes when the total happens to stay the same), which runs
// into garbage. Here all jumps are long, so that sizes never depend on distances.
//
// rdi data, esi captured length, r8d wire length, eax A, ecx X, r9 to r10 and edx scratch; the sixteen
// memory cells lie below the stack pointer (the red zone of the System V ABI: nothing is called).
#include "filter.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __x86_64__

enum { INSN_BYTES_MAX = 48, FRAME_BYTES = 64 };

enum condition { BELOW = 2, NOT_BELOW = 3, EQUAL = 4, NOT_EQUAL = 5, NOT_ABOVE = 6, ABOVE = 7 };

struct emitter {
	uint8_t *code;
	size_t size;
	size_t *place; // of each instruction; set by the first pass, used by the second
	size_t fail;   // where 0 is returned
};

#define BYTES(e, ...) put(e, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void put(struct emitter *e, const uint8_t *bytes, size_t n)
{
	memcpy(e->code + e->size, bytes, n);
	e->size += n;
}

static void put32(struct emitter *e, uint32_t v)
{
	memcpy(e->code + e->size, &v, sizeof(v));
	e->size += sizeof(v);
}

static void put_target(struct emitter *e, size_t target)
{
	put32(e, (uint32_t)(target - (e->size + 4)));
}

static void jump(struct emitter *e, size_t target)
{
	BYTES(e, 0xe9);
	put_target(e, target);
}

static void jump_if(struct emitter *e, enum condition c, size_t target)
{
	BYTES(e, 0x0f, (uint8_t)(0x80 | c));
	put_target(e, target);
}

static unsigned width(const struct bpf_insn *i)
{
	return BPF_SIZE(i->code) == BPF_B ? 1 : BPF_SIZE(i->code) == BPF_H ? 2 : 4;
}

// What was loaded is in network order.
static void to_host(struct emitter *e, unsigned bytes)
{
	if (bytes == 2)
		BYTES(e, 0x66, 0xc1, 0xc0, 8); // rol ax, 8
	else if (bytes == 4)
		BYTES(e, 0x0f, 0xc8); // bswap eax
}

// Fails unless bytes at k are there. Returns false where they never can be.
static bool check_end(struct emitter *e, uint32_t k, unsigned bytes)
{
	if (k > INT32_MAX - bytes) {
		jump(e, e->fail);
		return false;
	}
	BYTES(e, 0x81, 0xfe); // cmp esi, k + bytes
	put32(e, k + bytes);
	jump_if(e, BELOW, e->fail);
	return true;
}

static void load_absolute(struct emitter *e, const struct bpf_insn *i)
{
	unsigned bytes = width(i);

	if (!check_end(e, i->k, bytes))
		return;
	if (bytes == 4) // mov eax, [rdi + k], or movzx
		BYTES(e, 0x8b, 0x87);
	else
		BYTES(e, 0x0f, bytes == 1 ? 0xb6 : 0xb7, 0x87);
	put32(e, i->k);
	to_host(e, bytes);
}

static void load_indexed(struct emitter *e, const struct bpf_insn *i)
{
	unsigned bytes = width(i);

	if (i->k > INT32_MAX) { // negative: libpcap takes it for too large as well
		jump(e, e->fail);
		return;
	}
	BYTES(e, 0x4c, 0x8d, 0x89); // lea r9, [rcx + k]: 64 bits, so that nothing wraps
	put32(e, i->k);
	BYTES(e, 0x4d, 0x8d, 0x51, (uint8_t)bytes); // lea r10, [r9 + bytes]
	BYTES(e, 0x49, 0x39, 0xf2);                 // cmp r10, rsi
	jump_if(e, ABOVE, e->fail);
	if (bytes == 4) // mov eax, [rdi + r9], or movzx
		BYTES(e, 0x42, 0x8b, 0x04, 0x0f);
	else
		BYTES(e, 0x42, 0x0f, bytes == 1 ? 0xb6 : 0xb7, 0x04, 0x0f);
	to_host(e, bytes);
}

static uint8_t cell(uint32_t k)
{
	return (uint8_t)(4 * (k % BPF_MEMWORDS) - FRAME_BYTES);
}

static void load_a(struct emitter *e, const struct bpf_insn *i)
{
	switch (BPF_MODE(i->code)) {
	case BPF_IMM:
		BYTES(e, 0xb8); // mov eax, k
		put32(e, i->k);
		break;
	case BPF_ABS:
		load_absolute(e, i);
		break;
	case BPF_IND:
		load_indexed(e, i);
		break;
	case BPF_MEM:
		BYTES(e, 0x8b, 0x44, 0x24, cell(i->k)); // mov eax, [rsp + cell]
		break;
	case BPF_LEN:
		BYTES(e, 0x44, 0x89, 0xc0); // mov eax, r8d
		break;
	}
}

static void load_x(struct emitter *e, const struct bpf_insn *i)
{
	switch (BPF_MODE(i->code)) {
	case BPF_IMM:
		BYTES(e, 0xb9); // mov ecx, k
		put32(e, i->k);
		break;
	case BPF_MEM:
		BYTES(e, 0x8b, 0x4c, 0x24, cell(i->k)); // mov ecx, [rsp + cell]
		break;
	case BPF_LEN:
		BYTES(e, 0x44, 0x89, 0xc1); // mov ecx, r8d
		break;
	case BPF_MSH:
		if (!check_end(e, i->k, 1))
			break;
		BYTES(e, 0x0f, 0xb6, 0x8f); // movzx ecx, byte [rdi + k]
		put32(e, i->k);
		BYTES(e, 0x83, 0xe1, 0x0f); // and ecx, 15
		BYTES(e, 0xc1, 0xe1, 2);    // shl ecx, 2
		break;
	}
}

// A = A / divisor or A % divisor; the divisor is X or, in r9d, a constant.
static void divide(struct emitter *e, const struct bpf_insn *i)
{
	if (BPF_SRC(i->code) == BPF_X) {
		BYTES(e, 0x85, 0xc9); // test ecx, ecx
		jump_if(e, EQUAL, e->fail);
		BYTES(e, 0x31, 0xd2, 0xf7, 0xf1); // xor edx, edx; div ecx
	} else if (i->k == 0) {
		jump(e, e->fail);
	} else {
		BYTES(e, 0x41, 0xb9); // mov r9d, k
		put32(e, i->k);
		BYTES(e, 0x31, 0xd2, 0x41, 0xf7, 0xf1); // xor edx, edx; div r9d
	}
	if (BPF_OP(i->code) == BPF_MOD)
		BYTES(e, 0x89, 0xd0); // mov eax, edx
}

static void shift(struct emitter *e, const struct bpf_insn *i)
{
	uint8_t op = BPF_OP(i->code) == BPF_LSH ? 0xe0 : 0xe8;

	if (BPF_SRC(i->code) == BPF_X) {
		// cmp ecx, 31; jbe over; xor eax, eax: the processor would take the count's low bits
		BYTES(e, 0x83, 0xf9, 31, 0x76, 2, 0x31, 0xc0);
		BYTES(e, 0xd3, op); // shl or shr eax, cl
	} else if (i->k > 31) {
		BYTES(e, 0x31, 0xc0); // xor eax, eax
	} else {
		BYTES(e, 0xc1, op, (uint8_t)i->k);
	}
}

static void compute(struct emitter *e, const struct bpf_insn *i)
{
	static const struct {
		uint8_t by_k, by_x; // op eax, k; op eax, ecx
	} ops[] = {[BPF_ADD >> 4] = {0x05, 0x01},
		[BPF_SUB >> 4] = {0x2d, 0x29},
		[BPF_OR >> 4] = {0x0d, 0x09},
		[BPF_AND >> 4] = {0x25, 0x21},
		[BPF_XOR >> 4] = {0x35, 0x31}};
	unsigned op = BPF_OP(i->code);
	bool by_x = BPF_SRC(i->code) == BPF_X;

	switch (op) {
	case BPF_MUL:
		if (by_x) {
			BYTES(e, 0x0f, 0xaf, 0xc1); // imul eax, ecx
		} else {
			BYTES(e, 0x69, 0xc0); // imul eax, eax, k
			put32(e, i->k);
		}
		break;
	case BPF_DIV:
	case BPF_MOD:
		divide(e, i);
		break;
	case BPF_LSH:
	case BPF_RSH:
		shift(e, i);
		break;
	case BPF_NEG:
		BYTES(e, 0xf7, 0xd8); // neg eax
		break;
	default:
		if (by_x) {
			BYTES(e, ops[op >> 4].by_x, 0xc8);
		} else {
			BYTES(e, ops[op >> 4].by_k);
			put32(e, i->k);
		}
	}
}

static enum condition condition_of(unsigned op)
{
	return op == BPF_JEQ   ? EQUAL
	       : op == BPF_JGT ? ABOVE
	       : op == BPF_JGE ? NOT_BELOW
	                       : NOT_EQUAL;
}

static void branch(struct emitter *e, const struct bpf_insn *i, uint32_t at)
{
	unsigned op = BPF_OP(i->code);
	enum condition c = condition_of(op);

	if (op == BPF_JA) {
		jump(e, e->place[at + 1 + i->k]);
		return;
	}
	if (BPF_SRC(i->code) == BPF_X) {
		BYTES(e, op == BPF_JSET ? 0x85 : 0x39, 0xc8); // test or cmp eax, ecx
	} else {
		BYTES(e, op == BPF_JSET ? 0xa9 : 0x3d); // test or cmp eax, k
		put32(e, i->k);
	}
	if (i->jt == 0) {
		jump_if(e, c ^ 1, e->place[at + 1 + i->jf]); // the opposite condition
		return;
	}
	jump_if(e, c, e->place[at + 1 + i->jt]);
	if (i->jf != 0)
		jump(e, e->place[at + 1 + i->jf]);
}

static void translate_one(struct emitter *e, const struct bpf_insn *i, uint32_t at)
{
	switch (BPF_CLASS(i->code)) {
	case BPF_LD:
		load_a(e, i);
		break;
	case BPF_LDX:
		load_x(e, i);
		break;
	case BPF_ST:
		BYTES(e, 0x89, 0x44, 0x24, cell(i->k)); // mov [rsp + cell], eax
		break;
	case BPF_STX:
		BYTES(e, 0x89, 0x4c, 0x24, cell(i->k)); // mov [rsp + cell], ecx
		break;
	case BPF_ALU:
		compute(e, i);
		break;
	case BPF_JMP:
		branch(e, i, at);
		break;
	case BPF_RET:
		if (BPF_RVAL(i->code) != BPF_A) {
			BYTES(e, 0xb8); // mov eax, k
			put32(e, i->k);
		}
		BYTES(e, 0xc3); // ret
		break;
	case BPF_MISC:
		if (BPF_MISCOP(i->code) == BPF_TAX)
			BYTES(e, 0x89, 0xc1); // mov ecx, eax
		else
			BYTES(e, 0x89, 0xc8); // mov eax, ecx
		break;
	}
}

static void translate(struct emitter *e, const struct bpf_program *p)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		e->size = 0;
		BYTES(e, 0xf3, 0x0f, 0x1e, 0xfa); // endbr64
		BYTES(e, 0x89, 0xf6, 0x41, 0x89, 0xd0, 0x31, 0xc0, 0x31,
			0xc9); // rsi, r8d; A = X = 0
		for (uint32_t i = 0; i < p->bf_len; i++) {
			e->place[i] = e->size;
			translate_one(e, &p->bf_insns[i], i);
		}
		e->fail = e->size;
		BYTES(e, 0x31, 0xc0, 0xc3); // xor eax, eax; ret
	}
}

// Whether all jumps lead forward and stay inside, and the program ends with a return.
static bool is_plain(const struct bpf_program *p)
{
	if (p->bf_len == 0 || BPF_CLASS(p->bf_insns[p->bf_len - 1].code) != BPF_RET)
		return false;
	for (uint32_t i = 0; i < p->bf_len; i++) {
		const struct bpf_insn *insn = &p->bf_insns[i];
		uint32_t left = p->bf_len - i - 1; // instructions behind this one

		if (BPF_CLASS(insn->code) != BPF_JMP)
			continue;
		if (BPF_OP(insn->code) == BPF_JA ? insn->k >= left
						 : insn->jt >= left || insn->jf >= left)
			return false;
	}
	return true;
}

int filter_code_init(struct filter_code *c, const struct bpf_program *p)
{
	size_t room = ((size_t)p->bf_len + 2) * INSN_BYTES_MAX;
	struct emitter e = {0};
	void *pages = MAP_FAILED;

	*c = (struct filter_code){0};
	if (!is_plain(p))
		return -ENOTSUP;
	e.place = calloc(p->bf_len, sizeof(*e.place));
	if (e.place != NULL)
		pages = mmap(
			NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages != MAP_FAILED) {
		e.code = pages;
		translate(&e, p);
		if (mprotect(pages, room, PROT_READ | PROT_EXEC) == 0) {
			c->run = (filter_function)(uintptr_t)pages;
			c->pages = pages;
			c->bytes = room;
		} else {
			munmap(pages, room);
		}
	}
	free(e.place);
	return c->run != NULL ? 0 : -ENOTSUP;
}

#else

int filter_code_init(struct filter_code *c, const struct bpf_program *p)
{
	(void)p;
	*c = (struct filter_code){0};
	return -ENOTSUP;
}

#endif

void filter_code_fini(struct filter_code *c)
{
	if (c->pages != NULL)
		munmap(c->pages, c->bytes);
	*c = (struct filter_code){0};
}
