// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over files, without libFuzzer: run_seeds FILE... For builds without clang.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

int main(int argc, char **argv)
{
	uint8_t *bytes = malloc(INPUT_MAX);

	if (bytes == NULL || argc < 2)
		return 2;
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");

		if (f == NULL) {
			perror(argv[i]);
			return 2;
		}
		LLVMFuzzerTestOneInput(bytes, fread(bytes, 1, INPUT_MAX, f));
		fclose(f);
	}
	printf("%d inputs\n", argc - 1);
	free(bytes);
	return 0;
}
