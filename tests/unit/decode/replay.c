// SPDX-License-Identifier: Apache-2.0
// Runs the fuzz target over a folder of inputs, so that the seeds and what fuzzing once found are
// tested without a fuzzer.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	static uint8_t data[1 << 20];
	unsigned count = 0;
	struct dirent *e;
	DIR *dir;

	if (argc != 2 || (dir = opendir(argv[1])) == NULL)
		return 2;
	while ((e = readdir(dir)) != NULL) {
		char path[4096];
		FILE *file;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		file = fopen(path, "rb");
		if (file == NULL)
			return 2;
		LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof(data), file));
		fclose(file);
		count++;
	}
	closedir(dir);
	printf("%u inputs\n", count);
	return count > 0 ? 0 : 1;
}
