// SPDX-License-Identifier: Apache-2.0
// Upper bounds of what a classic BPF program can hold in A, X and its memory cells, instruction by
// instruction, for any packet: jumps go forward only, so one pass does, where each instruction is
// entered with the largest values of all ways that lead to it. Text such as ether[ether[0:4]] lets
// the packet choose an address, which this finds.
#include "filter.h"

#include <pcap/pcap.h>
#include <stdint.h>
#include <stdlib.h>

struct bounds {
	bool is_reached;
	uint32_t a, x;
	uint32_t mem[BPF_MEMWORDS];
};

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static void merge(struct bounds *to, const struct bounds *from)
{
	to->is_reached = true;
	to->a = larger(to->a, from->a);
	to->x = larger(to->x, from->x);
	for (unsigned i = 0; i < BPF_MEMWORDS; i++)
		to->mem[i] = larger(to->mem[i], from->mem[i]);
}

static uint32_t saturate(uint64_t v)
{
	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static uint32_t ones(uint32_t v) // the largest number of as many bits
{
	return v == 0 ? 0 : UINT32_MAX >> __builtin_clz(v);
}

// Returns false where the packet could choose an address that is too large.
static bool load(struct bounds *b, const struct bpf_insn *i)
{
	uint64_t offset = i->k;

	switch (BPF_MODE(i->code)) {
	case BPF_IMM:
		b->a = i->k;
		return true;
	case BPF_MEM:
		b->a = b->mem[i->k % BPF_MEMWORDS];
		return true;
	case BPF_LEN:
		b->a = UINT32_MAX;
		return true;
	case BPF_IND:
		offset += b->x;
		break;
	case BPF_ABS:
		break;
	default:
		return false;
	}
	b->a = BPF_SIZE(i->code) == BPF_B ? 0xff : BPF_SIZE(i->code) == BPF_H ? 0xffff : UINT32_MAX;
	return offset <= FILTER_OFFSET_MAX;
}

static bool load_x(struct bounds *b, const struct bpf_insn *i)
{
	switch (BPF_MODE(i->code)) {
	case BPF_IMM:
		b->x = i->k;
		return true;
	case BPF_MEM:
		b->x = b->mem[i->k % BPF_MEMWORDS];
		return true;
	case BPF_LEN:
		b->x = UINT32_MAX;
		return true;
	case BPF_MSH:
		b->x = 60;
		return i->k <= FILTER_OFFSET_MAX;
	default:
		return false;
	}
}

// Returns false for a shift that x86 would do otherwise.
static bool compute(struct bounds *b, const struct bpf_insn *i)
{
	bool by_x = BPF_SRC(i->code) == BPF_X;
	uint32_t v = by_x ? b->x : i->k;

	switch (BPF_OP(i->code)) {
	case BPF_ADD:
		b->a = saturate((uint64_t)b->a + v);
		return true;
	case BPF_MUL:
		b->a = saturate((uint64_t)b->a * v);
		return true;
	case BPF_DIV:
		if (!by_x && v != 0)
			b->a /= v;
		return true;
	case BPF_MOD:
		if (v != 0 && b->a > v - 1)
			b->a = v - 1;
		return true;
	case BPF_AND:
		b->a = b->a < v ? b->a : v;
		return true;
	case BPF_OR:
	case BPF_XOR:
		b->a = ones(b->a | v);
		return true;
	case BPF_LSH:
		b->a = v > 31 ? UINT32_MAX : saturate((uint64_t)b->a << v);
		return v <= 31;
	case BPF_RSH:
		b->a = by_x || v > 31 ? b->a : b->a >> v;
		return v <= 31;
	default: // subtraction and negation may wrap
		b->a = UINT32_MAX;
		return true;
	}
}

static bool run(struct bounds *b, const struct bpf_insn *i)
{
	switch (BPF_CLASS(i->code)) {
	case BPF_LD:
		return load(b, i);
	case BPF_LDX:
		return load_x(b, i);
	case BPF_ST:
		b->mem[i->k % BPF_MEMWORDS] = b->a;
		return true;
	case BPF_STX:
		b->mem[i->k % BPF_MEMWORDS] = b->x;
		return true;
	case BPF_ALU:
		return compute(b, i);
	case BPF_MISC:
		if (BPF_MISCOP(i->code) == BPF_TAX)
			b->x = b->a;
		else
			b->a = b->x;
		return true;
	default: // jumps and returns change nothing
		return true;
	}
}

// Hands an instruction's result to those that may come next. Returns false for a jump that leads
// back (protochain) or out of the program.
static bool hand_on(struct bounds *all, unsigned at, unsigned count, const struct bpf_insn *i)
{
	uint64_t next[2] = {at + 1, at + 1};

	if (BPF_CLASS(i->code) == BPF_RET)
		return true;
	if (BPF_CLASS(i->code) == BPF_JMP) {
		if (BPF_OP(i->code) == BPF_JA) {
			next[0] = next[1] = (uint64_t)at + 1 + i->k; // negative: beyond count
		} else {
			next[0] += i->jt;
			next[1] += i->jf;
		}
	}
	for (unsigned n = 0; n < 2; n++) {
		if (next[n] >= count)
			return false;
		merge(&all[next[n]], &all[at]);
	}
	return true;
}

bool filter_is_bounded(const struct bpf_insn *program, unsigned count)
{
	struct bounds *all = calloc(count, sizeof(*all));
	bool ok = all != NULL && count > 0;

	if (ok)
		all[0].is_reached = true;
	for (unsigned i = 0; ok && i < count; i++)
		if (all[i].is_reached)
			ok = run(&all[i], &program[i]) && hand_on(all, i, count, &program[i]);
	free(all);
	return ok;
}
