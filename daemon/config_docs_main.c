// SPDX-License-Identifier: Apache-2.0
// Run by the build: writes one of the texts that are made from the configuration's tables.
#include "config.h"

#include <string.h>

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*write)(FILE *);
	} texts[] = {
		{"template", config_write_template},
		{"help", config_write_help},
		{"man8", config_write_man8},
		{"man5", config_write_man5},
	};

	for (unsigned i = 0; argc == 2 && i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(argv[1], texts[i].name) == 0) {
			texts[i].write(stdout);
			return fflush(stdout) == 0 ? 0 : 1;
		}
	fprintf(stderr, "usage: config-docs template|help|man8|man5\n");
	return 1;
}
