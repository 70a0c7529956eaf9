// SPDX-License-Identifier: Apache-2.0
// From a classic BPF program to rte_bpf's instructions, and by its JIT to machine code. Not by
// rte_bpf_convert: in DPDK 22.11 it takes A instead of X as index of [x + k] loads, which every port
// filter has, and the JIT writes JSET with a constant of one byte as an instruction that takes four.
// Here such constants go through a register.
//
// A lives in R0, where rte_bpf delivers what it loads from a packet; X in R7; R8 and R9 are spare;
// R6 points to the mbuf; the memory cells are on the stack. All arithmetic is in 32 bits, which clears
// the upper half of a register.
#include "filter.h"

#include <pcap/pcap.h>
#include <rte_bpf.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

enum {
	REG_A = EBPF_REG_0,
	REG_MBUF = EBPF_REG_6,
	REG_X = EBPF_REG_7,
	REG_SAVED = EBPF_REG_8,
	REG_CONSTANT = EBPF_REG_9,
	REG_STACK = EBPF_REG_10,
	EXPANSION_MAX = 8, // eBPF instructions that one classic instruction becomes at most
};

struct emitter {
	struct ebpf_insn *to;
	uint32_t count;
	uint32_t *place; // of each classic instruction; set by the first pass, used by the second
};

static void emit(struct emitter *e, unsigned code, unsigned dst, unsigned src, int off, int32_t imm)
{
	e->to[e->count++] = (struct ebpf_insn){.code = (uint8_t)code,
		.dst_reg = (uint8_t)(dst & 15),
		.src_reg = (uint8_t)(src & 15),
		.off = (int16_t)off,
		.imm = imm};
}

static void move(struct emitter *e, unsigned dst, unsigned src)
{
	emit(e, BPF_ALU | EBPF_MOV | BPF_X, dst, src, 0, 0);
}

static void set(struct emitter *e, unsigned dst, uint32_t value)
{
	emit(e, BPF_ALU | EBPF_MOV | BPF_K, dst, 0, 0, (int32_t)value);
}

static int cell(uint32_t k)
{
	return -8 * (int)(BPF_MEMWORDS - k % BPF_MEMWORDS);
}

static void load(struct emitter *e, const struct bpf_insn *i, unsigned dst)
{
	switch (BPF_MODE(i->code)) {
	case BPF_IMM:
		set(e, dst, i->k);
		break;
	case BPF_MEM:
		emit(e, BPF_LDX | BPF_MEM | EBPF_DW, dst, REG_STACK, cell(i->k), 0);
		break;
	case BPF_LEN:
		emit(e, BPF_LDX | BPF_MEM | BPF_W, dst, REG_MBUF,
			offsetof(struct rte_mbuf, pkt_len), 0);
		break;
	case BPF_ABS:
		emit(e, BPF_LD | BPF_ABS | BPF_SIZE(i->code), REG_A, 0, 0, (int32_t)i->k);
		break;
	case BPF_IND:
		emit(e, BPF_LD | BPF_IND | BPF_SIZE(i->code), REG_A, REG_X, 0, (int32_t)i->k);
		break;
	case BPF_MSH: // X = 4 * (byte & 15), A stays
		move(e, REG_SAVED, REG_A);
		emit(e, BPF_LD | BPF_ABS | BPF_B, REG_A, 0, 0, (int32_t)i->k);
		emit(e, BPF_ALU | BPF_AND | BPF_K, REG_A, 0, 0, 15);
		emit(e, BPF_ALU | BPF_LSH | BPF_K, REG_A, 0, 0, 2);
		move(e, REG_X, REG_A);
		move(e, REG_A, REG_SAVED);
		break;
	}
}

static int branch_to(const struct emitter *e, uint32_t target)
{
	return (int)(e->place[target] - e->count - 1); // count: where the jump itself stands
}

static unsigned opposite(unsigned op)
{
	return op == BPF_JEQ ? EBPF_JNE : op == BPF_JGT ? EBPF_JLE : EBPF_JLT;
}

static void jump(struct emitter *e, const struct bpf_insn *i, uint32_t at)
{
	uint32_t yes = at + 1 + i->jt, no = at + 1 + i->jf;
	unsigned op = BPF_OP(i->code), reg = REG_X;

	if (op == BPF_JA) {
		emit(e, BPF_JMP | BPF_JA, 0, 0, branch_to(e, at + 1 + i->k), 0);
		return;
	}
	if (BPF_SRC(i->code) == BPF_K) {
		reg = REG_CONSTANT;
		set(e, reg, i->k);
	}
	if (i->jt == 0 && op != BPF_JSET) {
		emit(e, BPF_JMP | opposite(op) | BPF_X, REG_A, reg, branch_to(e, no), 0);
		return;
	}
	emit(e, BPF_JMP | op | BPF_X, REG_A, reg, branch_to(e, yes), 0);
	if (i->jf != 0)
		emit(e, BPF_JMP | BPF_JA, 0, 0, branch_to(e, no), 0);
}

static void compute(struct emitter *e, const struct bpf_insn *i)
{
	unsigned op = BPF_OP(i->code);

	if (op == BPF_NEG)
		emit(e, BPF_ALU | BPF_NEG, REG_A, 0, 0, 0);
	else if (BPF_SRC(i->code) == BPF_X)
		emit(e, BPF_ALU | op | BPF_X, REG_A, REG_X, 0, 0);
	else if (op == BPF_LSH || op == BPF_RSH)
		emit(e, BPF_ALU | op | BPF_K, REG_A, 0, 0, (int32_t)i->k);
	else {
		set(e, REG_CONSTANT, i->k);
		emit(e, BPF_ALU | op | BPF_X, REG_A, REG_CONSTANT, 0, 0);
	}
}

static void translate_one(struct emitter *e, const struct bpf_insn *i, uint32_t at)
{
	switch (BPF_CLASS(i->code)) {
	case BPF_LD:
		load(e, i, REG_A);
		break;
	case BPF_LDX:
		load(e, i, REG_X);
		break;
	case BPF_ST:
		emit(e, BPF_STX | BPF_MEM | EBPF_DW, REG_STACK, REG_A, cell(i->k), 0);
		break;
	case BPF_STX:
		emit(e, BPF_STX | BPF_MEM | EBPF_DW, REG_STACK, REG_X, cell(i->k), 0);
		break;
	case BPF_ALU:
		compute(e, i);
		break;
	case BPF_JMP:
		jump(e, i, at);
		break;
	case BPF_RET:
		if (BPF_RVAL(i->code) != BPF_A)
			set(e, REG_A, i->k);
		emit(e, BPF_JMP | EBPF_EXIT, 0, 0, 0, 0);
		break;
	case BPF_MISC:
		if (BPF_MISCOP(i->code) == BPF_TAX)
			move(e, REG_X, REG_A);
		else
			move(e, REG_A, REG_X);
		break;
	}
}

static void translate(struct emitter *e, const struct bpf_program *classic)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		e->count = 0;
		emit(e, EBPF_ALU64 | EBPF_MOV | BPF_X, REG_MBUF, EBPF_REG_1, 0, 0);
		set(e, REG_A, 0);
		set(e, REG_X, 0);
		for (uint32_t i = 0; i < classic->bf_len; i++) {
			e->place[i] = e->count;
			translate_one(e, &classic->bf_insns[i], i);
		}
	}
}

struct rte_bpf *filter_translate(const struct bpf_program *classic, uint64_t (**ret_jit)(void *))
{
	size_t room = 3 + (size_t)classic->bf_len * EXPANSION_MAX;
	struct rte_bpf_prm prm = {.prog_arg = {.type = RTE_BPF_ARG_PTR_MBUF,
					  .size = sizeof(struct rte_mbuf),
					  .buf_size = UINT16_MAX}};
	struct rte_bpf_jit jit = {0};
	struct rte_bpf *bpf = NULL;
	struct emitter e = {0};

	if (room > INT16_MAX || !filter_is_bounded(classic->bf_insns, classic->bf_len))
		return NULL;
	e.to = calloc(room, sizeof(*e.to));
	e.place = calloc(classic->bf_len, sizeof(*e.place));
	if (e.to != NULL && e.place != NULL) {
		translate(&e, classic);
		prm.ins = e.to;
		prm.nb_ins = e.count;
		bpf = rte_bpf_load(&prm);
	}
	free(e.to);
	free(e.place);
	if (bpf != NULL && rte_bpf_get_jit(bpf, &jit) == 0)
		*ret_jit = jit.func;
	return bpf;
}
