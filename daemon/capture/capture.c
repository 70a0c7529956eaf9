// SPDX-License-Identifier: Apache-2.0
// The front that all kinds of sources share: opening and closing, the filter behind each burst, and
// what control asks. What a kind does itself stands in its file, behind struct capture_ops.
#include "capture_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static const struct capture_ops *const ops_table[] = {
	[CAPTURE_PCAP] = &capture_ops_file,
	[CAPTURE_AFPACKET] = &capture_ops_afpacket,
	[CAPTURE_AFXDP] = &capture_ops_afxdp,
	[CAPTURE_VDEV] = &capture_ops_vdev,
	[CAPTURE_PCI] = &capture_ops_pci,
};

int capture_fail(int code, char *error, size_t size, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, size, format, ap);
	va_end(ap);
	return code;
}

void capture_set_state(struct capture *c, enum capture_state state, const char *reason)
{
	int now = atomic_load_explicit(&c->state_now, memory_order_relaxed);

	do
		if (now == (int)state || now == CAPTURE_RX_FAILED)
			return;
	while (!atomic_compare_exchange_weak_explicit(
		&c->state_now, &now, (int)state, memory_order_relaxed, memory_order_relaxed));
	capture_set_reason(c, reason);
}

static bool wants_filter(const struct capture_options *o)
{
	return o->filter != NULL && o->filter[strspn(o->filter, " \t\n")] != 0;
}

int capture_open(const struct capture_source *source, const struct capture_options *options,
	struct capture **ret, char *error, size_t size)
{
	struct capture *c = calloc(1, sizeof(*c));
	int r = 0;

	if (c == NULL)
		return capture_fail(-ENOMEM, error, size, "no memory for a capture");
	c->ops = ops_table[source->kind];
	c->source = *source;
	c->index = options->index;
	c->queues = 1;
	c->numa_node = -1;
	atomic_init(&c->reason, "");
	atomic_init(&c->state_now, CAPTURE_RX_RUNNING);
	// A bad filter should not cost a device its start where the link type is known before.
	if (wants_filter(options) && c->ops->link >= 0)
		r = filter_new(options->filter, (uint16_t)c->ops->link, &c->filter, error, size);
	if (r == 0)
		r = c->ops->open(c, options, error, size);
	if (r < 0)
		goto fail;
	if (wants_filter(options) && c->filter == NULL) {
		r = filter_new(options->filter, c->link, &c->filter, error, size);
		if (r < 0) {
			c->ops->close(c);
			goto fail;
		}
	}
	*ret = c;
	return 0;
fail:
	filter_free(c->filter);
	free(c);
	return r;
}

void capture_close(struct capture *c)
{
	if (c == NULL)
		return;
	c->ops->close(c);
	filter_free(c->filter);
	free(c);
}

unsigned capture_rx_burst(
	struct capture *c, unsigned queue, struct packet *pkts, unsigned n, struct capture_rx *ret)
{
	unsigned count, kept;

	*ret = (struct capture_rx){.state = CAPTURE_RX_RUNNING};
	count = c->ops->rx(c, queue, pkts, n, ret);
	if (c->filter == NULL || count == 0)
		return count;
	kept = filter_burst(c->filter, pkts, count);
	ret->filtered += count - kept;
	return kept;
}

const struct capture_spread *capture_spread(const struct capture *c)
{
	return c->spread;
}

int capture_numa_node(const struct capture *c)
{
	return c->numa_node;
}

int capture_wait_fd(const struct capture *c, unsigned queue)
{
	return c->ops->wait_fd != NULL ? c->ops->wait_fd(c, queue) : -1;
}

unsigned capture_queues(const struct capture *c)
{
	return c->queues;
}

bool capture_is_live(const struct capture *c)
{
	return c->ops->live;
}

const char *capture_interface(const struct capture *c)
{
	return c->interface;
}

const char *capture_time_source(const struct capture *c)
{
	return c->time_source;
}

const char *capture_reason(const struct capture *c)
{
	return atomic_load_explicit(&c->reason, memory_order_acquire);
}

void capture_losses(struct capture *c, struct capture_losses *ret)
{
	*ret = (struct capture_losses){0};
	if (c->ops->losses != NULL)
		c->ops->losses(c, ret);
}

void capture_progress(const struct capture *c, uint64_t *ret_bytes, uint64_t *ret_total)
{
	*ret_bytes = *ret_total = 0;
	if (c->ops->progress != NULL)
		c->ops->progress(c, ret_bytes, ret_total);
}
