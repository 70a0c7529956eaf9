// SPDX-License-Identifier: Apache-2.0
// The instruction sets that the compiler was allowed to use, looked for at the start: better a sentence
// than an illegal instruction somewhere.
#include "cpu.h"

#include <stddef.h>

const char *cpu_lacks(void)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
#ifdef __SSE4_2__
	if (!__builtin_cpu_supports("sse4.2"))
		return "SSE4.2";
#endif
#ifdef __AVX2__
	if (!__builtin_cpu_supports("avx2"))
		return "AVX2";
#endif
#ifdef __BMI2__
	if (!__builtin_cpu_supports("bmi2"))
		return "BMI2";
#endif
#ifdef __AVX512F__
	if (!__builtin_cpu_supports("avx512f"))
		return "AVX-512F";
#endif
#ifdef __AVX512BW__
	if (!__builtin_cpu_supports("avx512bw"))
		return "AVX-512BW";
#endif
#ifdef __AVX512VL__
	if (!__builtin_cpu_supports("avx512vl"))
		return "AVX-512VL";
#endif
#endif
	return NULL;
}
