// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over each file of a folder, as it is and cut at several places.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	static uint8_t data[1 << 20];
	DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
	unsigned count = 0;
	struct dirent *e;
	char path[4096];

	while (d != NULL && (e = readdir(d)) != NULL) {
		FILE *f;
		size_t n;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		f = fopen(path, "rb");
		if (f == NULL)
			return 1;
		n = fread(data, 1, sizeof(data), f);
		fclose(f);
		for (size_t cut = 0; cut <= n; cut += 1 + n / 50)
			LLVMFuzzerTestOneInput(data, n - cut);
		count++;
	}
	if (d != NULL)
		closedir(d);
	printf("%u seeds\n", count);
	return count == 0;
}
