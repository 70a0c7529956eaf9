// SPDX-License-Identifier: Apache-2.0
// Counters over time: a copy of all once a second, for rates, and the copy that a reset makes, which
// stats.get subtracts. The workers' counters themselves are never set back. Thread: control.
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

static void take(struct control *c, struct sample *s)
{
	unsigned n = captures_list(c->config.workers, c->captures, CAPTURES_MAX);

	memset(s, 0, sizeof(*s));
	s->at_ns = clock_monotonic_ns();
	captures_counters(c->config.workers, -1, -1, &s->all);
	for (unsigned i = 0; i < n; i++) {
		const struct capture_status *st = &c->captures[i];

		if (st->index >= CAPTURES_MAX)
			continue;
		s->started_ns[st->index] = st->started_ns;
		captures_counters(c->config.workers, st->index, -1, &s->capture[st->index]);
	}
}

int sample_init(struct control *c)
{
	c->captures = calloc(CAPTURES_MAX, sizeof(*c->captures));
	c->sample[0] = aligned_alloc(64, sizeof(struct sample));
	c->sample[1] = aligned_alloc(64, sizeof(struct sample));
	c->baseline = aligned_alloc(64, sizeof(struct sample));
	if (c->captures == NULL || c->sample[0] == NULL || c->sample[1] == NULL ||
		c->baseline == NULL)
		return -ENOMEM;
	memset(c->sample[1], 0, sizeof(struct sample));
	memset(c->baseline, 0, sizeof(struct sample));
	take(c, c->sample[0]);
	return 0;
}

void sample_fini(struct control *c)
{
	free(c->captures);
	free(c->sample[0]);
	free(c->sample[1]);
	free(c->baseline);
}

void sample_take(struct control *c)
{
	struct sample *oldest = c->sample[1];

	take(c, oldest);
	c->sample[1] = c->sample[0];
	c->sample[0] = oldest;
}

void sample_rates(struct control *c, int capture, struct rates *ret)
{
	const struct sample *now = c->sample[0], *before = c->sample[1];

	*ret = (struct rates){.now = &now->all, .before = &before->all};
	if (before->at_ns == 0 || now->at_ns <= before->at_ns)
		return;
	if (capture >= 0) {
		// an index is used anew: a capture that has just begun has no rate yet
		if (now->started_ns[capture] == 0 ||
			now->started_ns[capture] != before->started_ns[capture])
			return;
		ret->now = &now->capture[capture];
		ret->before = &before->capture[capture];
	}
	ret->seconds = (double)(now->at_ns - before->at_ns) / (double)NSEC_PER_S;
}

struct counters *sample_baseline(struct control *c, const struct capture_status *st)
{
	struct sample *b = c->baseline;

	if (st == NULL)
		return &b->all;
	if (b->started_ns[st->index] != st->started_ns) {
		memset(&b->capture[st->index], 0, sizeof(b->capture[0]));
		b->started_ns[st->index] = st->started_ns;
	}
	return &b->capture[st->index];
}
