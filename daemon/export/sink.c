// SPDX-License-Identifier: Apache-2.0
// The table of sinks, and opening one by its name.
#include "sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct sink_type sink_file;

const struct sink_type *const sink_table[] = {&sink_file, NULL};

int sink_open(const char *type, const char *target, struct sink **ret, char *error, size_t size)
{
	struct sink *s;
	int rc;

	for (const struct sink_type *const *t = sink_table; *t != NULL; t++) {
		if (strcmp((*t)->name, type) != 0)
			continue;
		s = calloc(1, sizeof(*s));
		if (s != NULL)
			s->target = strdup(target);
		if (s == NULL || s->target == NULL) {
			free(s);
			snprintf(error, size, "no memory for sink %s", type);
			return -ENOMEM;
		}
		s->type = *t;
		rc = s->type->open(s, error, size);
		if (rc < 0) {
			free(s->target);
			free(s);
			return rc;
		}
		*ret = s;
		return 0;
	}
	snprintf(error, size, "no sink is called %s", type);
	return -ENOENT;
}

void sink_close(struct sink *s)
{
	if (s == NULL)
		return;
	s->type->close(s);
	free(s->target);
	free(s);
}
