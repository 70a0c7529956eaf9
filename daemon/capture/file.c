// SPDX-License-Identifier: Apache-2.0
// Capture files. Large reads go straight into chunks and packets are taken apart in place: a packet's
// data points into the chunk. A record that crosses a chunk's end moves to the head of the next one;
// one larger than a chunk gets a chunk of its own. No length of the file is trusted: what is read is
// bounded by the bytes at hand and by limits, and a file that breaks off or makes no sense ends as
// failed, with everything before that place delivered.
//
// A file has one queue. Its worker alone touches the reader after open; control reads the progress.
#include "file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"

enum { FILLS_PER_BURST = 8 }; // so that a file of other things than packets holds nobody up

uint32_t file_caplen_max(uint16_t link)
{
	switch (link) {
	case 231: // D-Bus
	case 249: // USBPcap
		return 128U << 20;
	case 279: // EBHSCR
		return 8U << 20;
	default:
		return 262144;
	}
}

static void add_what_was_read(struct file *f, int n)
{
	if (f->pkts > 0 && n > 0 && (size_t)n < sizeof(f->reason))
		snprintf(f->reason + n, sizeof(f->reason) - (size_t)n,
			"; the %llu packets before it were read", (unsigned long long)f->pkts);
}

enum file_step file_corrupt(struct file *f, const char *format, ...)
{
	int n = snprintf(f->reason, sizeof(f->reason),
		"corrupt at byte %llu, behind packet %llu: ", (unsigned long long)(f->base + f->at),
		(unsigned long long)f->pass_pkts);
	va_list ap;

	va_start(ap, format);
	n += vsnprintf(f->reason + n, sizeof(f->reason) - (size_t)n, format, ap);
	va_end(ap);
	add_what_was_read(f, n);
	return FILE_STEP_CORRUPT;
}

static void cut_off(struct file *f)
{
	int n = snprintf(f->reason, sizeof(f->reason),
		"cut off: it ends at byte %llu inside %s %llu",
		(unsigned long long)(f->base + f->end),
		f->skip != 0 ? "a block behind packet" : "packet",
		(unsigned long long)(f->pass_pkts + (f->skip == 0)));

	add_what_was_read(f, n);
}

// The first step of a file: which format is it.
static enum file_step detect_step(struct file *f, struct packet *ret)
{
	const uint8_t *p = f->chunk->data + f->at;
	uint32_t magic;

	if (file_left(f) < 4)
		return file_need(f, 4);
	memcpy(&magic, p, sizeof(magic));
	if (file_is_pcap(magic))
		f->step = file_pcap_head;
	else if (magic == 0x0a0d0d0a)
		f->step = file_pcapng_step;
	else {
		snprintf(f->reason, sizeof(f->reason),
			"not a capture file (pcap or pcapng): it begins with %02x %02x %02x %02x",
			p[0], p[1], p[2], p[3]);
		return FILE_STEP_CORRUPT;
	}
	return f->step(f, ret);
}

// Makes room for need bytes from at: moves what is left to the head of another chunk. Returns 0, or
// -EAGAIN while all chunks are in use.
static int make_room(struct file *f)
{
	struct chunk *c;
	uint32_t left = file_left(f);

	if (f->need <= f->chunk->size_bytes - f->at)
		return 0;
	c = chunk_get(f->pool, f->need);
	if (c == NULL)
		return -EAGAIN;
	memcpy(c->data, f->chunk->data + f->at, left);
	chunk_unref(f->chunk, 1);
	f->chunk = c;
	f->base += f->at;
	f->at = 0;
	f->end = left;
	return 0;
}

static int fail(struct file *f)
{
	f->state = CAPTURE_RX_FAILED;
	capture_set_reason(f->capture, f->reason);
	return -EBADMSG;
}

// Next pass through the file, later in time; or its end.
static int end_of_pass(struct file *f)
{
	int r;

	if (f->pass_pkts == 0 || f->passes_left == 0) {
		f->state = CAPTURE_RX_END;
		capture_set_reason(f->capture, "end of file");
		return -ENODATA;
	}
	r = file_io_rewind(&f->io);
	if (r < 0) {
		snprintf(f->reason, sizeof(f->reason), "cannot be read again: %s", strerror(-r));
		return fail(f);
	}
	f->passes_left--;
	f->passes_done++;
	f->offset_ns += f->last_ns - f->first_ns + 1000;
	f->base = 0;
	f->at = f->end;
	f->base -= f->at; // the next byte is byte 0
	f->pass_pkts = 0;
	f->at_eof = false;
	f->step = detect_step;
	f->need = 4;
	f->interface_count = 0;
	return 0;
}

// Reads on. Returns 1 when there are more bytes, 0 when nothing can be had now, or negative at the end
// or on failure, which state tells.
static int fill(struct file *f)
{
	ssize_t n;

	if (f->at_eof) {
		if (file_left(f) == 0 && f->skip == 0 && f->step != detect_step)
			return end_of_pass(f) == 0 ? 1 : -ENODATA;
		if (f->pass_pkts == 0 && (f->step == detect_step || f->step == file_pcap_head))
			snprintf(f->reason, sizeof(f->reason),
				"not a capture file (pcap or pcapng): it has %u bytes",
				file_left(f));
		else
			cut_off(f);
		return fail(f);
	}
	if (make_room(f) != 0)
		return 0;
	n = file_io_read(&f->io, f->chunk->data + f->end, f->chunk->size_bytes - f->end);
	if (n == -EAGAIN)
		return 0;
	if (n == -EBADMSG) {
		file_corrupt(f, "the compressed data are broken or cut off");
		return fail(f);
	}
	if (n < 0) {
		snprintf(f->reason, sizeof(f->reason), "reading failed at byte %llu: %s",
			(unsigned long long)(f->base + f->end), strerror((int)-n));
		return fail(f);
	}
	f->at_eof = n == 0;
	f->end += (uint32_t)n;
	return 1;
}

static enum file_step next_step(struct file *f, struct packet *ret)
{
	if (f->skip != 0) {
		uint32_t left = file_left(f);
		uint32_t n = f->skip < left ? (uint32_t)f->skip : left;

		f->skip -= n;
		f->at += n;
		if (f->skip != 0)
			return file_need(f, 1);
	}
	// The end of a file is where no byte follows; only there must no step be left hanging.
	if (file_left(f) == 0)
		return file_need(f, 1);
	return f->step(f, ret);
}

// Whether a packet's time has come, at the speed asked for. clock_ns: monotonic.
static bool is_due(struct file *f, uint64_t ts_ns, uint64_t clock_ns)
{
	int64_t ahead;

	if (f->pace_clock_ns == 0) {
		f->pace_clock_ns = clock_ns;
		f->pace_ts_ns = ts_ns;
	}
	ahead = (int64_t)(ts_ns - f->pace_ts_ns); // negative: time went back
	return (double)ahead * f->ns_per_ns <= (double)(clock_ns - f->pace_clock_ns);
}

static void note_time(struct file *f, uint64_t ts_ns)
{
	if (!f->has_times || ts_ns < f->first_ns)
		f->first_ns = ts_ns;
	if (!f->has_times || ts_ns > f->last_ns)
		f->last_ns = ts_ns;
	f->has_times = true;
}

static void take_packet(struct file *f, struct packet *p, struct capture_rx *rx)
{
	p->ts_ns += f->offset_ns;
	p->seq = ++f->pkts;
	p->mbuf = NULL;
	p->chunk = f->chunk;
	p->capture = f->capture->index;
	p->queue = 0;
	p->flags = PACKET_LOSSLESS;
	capture_account(f->capture, p, rx);
	f->at += f->step_bytes;
	f->pass_pkts++;
}

static uint64_t bytes_read(const struct file *f)
{
	return f->passes_done * f->io.size +
	       (f->io.gunzip != NULL ? f->io.offset : f->base + f->at);
}

static unsigned file_rx(
	struct capture *c, unsigned queue, struct packet *pkts, unsigned n, struct capture_rx *rx)
{
	struct file *f = c->state;
	uint64_t clock_ns = f->ns_per_ns != 0 ? clock_monotonic_ns() : 0;
	unsigned count = 0, fills = 0;
	int refs = 0;

	(void)queue;
	while (count < n && f->state == CAPTURE_RX_RUNNING) {
		enum file_step step = next_step(f, &pkts[count]);

		if (step == FILE_STEP_PACKET) {
			if (f->ns_per_ns != 0 &&
				!is_due(f, pkts[count].ts_ns + f->offset_ns, clock_ns))
				break;
			if (f->passes_left != 0 && f->offset_ns == 0)
				note_time(f, pkts[count].ts_ns);
			take_packet(f, &pkts[count++], rx);
			refs++;
		} else if (step == FILE_STEP_NEED) {
			if (refs > 0) // before the reader lets go of the chunk
				chunk_ref(f->chunk, refs);
			refs = 0;
			if (fills++ == FILLS_PER_BURST || fill(f) <= 0)
				break;
		} else if (step == FILE_STEP_CORRUPT) {
			fail(f);
		}
	}
	if (refs > 0)
		chunk_ref(f->chunk, refs);
	atomic_store_explicit(&f->progress, bytes_read(f), memory_order_relaxed);
	rx->state = f->state;
	return count;
}

static void file_free(struct file *f)
{
	file_io_close(&f->io);
	chunk_unref(f->chunk, 1);
	if (f->pool != NULL && chunk_pool_in_use(f->pool) != 0)
		log_error("capture: %u chunks of a file are still in use at its end: kept",
			chunk_pool_in_use(f->pool));
	else
		chunk_pool_free(f->pool);
	free(f->interfaces);
	free(f);
}

static void file_close(struct capture *c)
{
	file_free(c->state);
}

// Reads on to the first thing that tells a link type, so that what is no capture is refused by open,
// and that the filter can be compiled. A stream is not waited for.
static int read_head(struct file *f)
{
	struct packet ignored;

	while (f->state == CAPTURE_RX_RUNNING && f->interface_count == 0) {
		enum file_step step = next_step(f, &ignored);

		if (step == FILE_STEP_CORRUPT)
			fail(f);
		else if (step == FILE_STEP_NEED && fill(f) == 0)
			break;
		else if (f->base > FILE_BLOCK_BYTES_MAX)
			break; // a strange file: the rest is the worker's
	}
	return f->state == CAPTURE_RX_FAILED ? -EBADMSG : 0;
}

static int file_init(struct file *f, const struct capture_options *o)
{
	f->pool = chunk_pool_new(
		o->chunk_bytes != 0 ? o->chunk_bytes : FILE_CHUNK_BYTES, FILE_CHUNKS);
	if (f->pool == NULL)
		return -ENOMEM;
	f->chunk = chunk_get(f->pool, 1);
	f->interface_room = 4;
	f->interfaces = calloc(f->interface_room, sizeof(*f->interfaces));
	if (f->chunk == NULL || f->interfaces == NULL)
		return -ENOMEM;
	f->step = detect_step;
	f->need = 4;
	f->state = CAPTURE_RX_RUNNING;
	return 0;
}

static int file_open(struct capture *c, const struct capture_options *o, char *error, size_t size)
{
	const char *path = c->source.target;
	struct file *f = calloc(1, sizeof(*f));
	int r = f == NULL ? -ENOMEM : 0;

	if (r == 0)
		r = file_init(f, o);
	if (r < 0) {
		capture_fail(r, error, size, "no memory to read %s", path);
		goto fail;
	}
	f->capture = c;
	r = file_io_open(&f->io, path, error, size);
	if (r < 0)
		goto fail;
	if (f->io.regular && f->io.size == 0) {
		r = capture_fail(-EBADMSG, error, size, "%s is empty: not a capture file", path);
		goto fail;
	}
	if (c->source.loop > 1 && !f->io.regular) {
		r = capture_fail(-ESPIPE, error, size,
			"%s is a stream, which cannot be read again: leave loop= out", path);
		goto fail;
	}
	f->passes_left = c->source.loop > 1 ? c->source.loop - 1 : 0;
	f->ns_per_ns = c->source.speed > 0 ? 1 / c->source.speed : 0;
	if (f->io.regular && read_head(f) != 0) {
		r = capture_fail(-EBADMSG, error, size, "%s: %s", path, f->reason);
		goto fail;
	}
	c->state = f;
	c->link = f->interface_count > 0 ? f->interfaces[0].link : LINK_ETHERNET;
	c->time_source = "file";
	return 0;
fail:
	if (f != NULL)
		file_free(f);
	return r;
}

static void file_progress(const struct capture *c, uint64_t *done, uint64_t *all)
{
	const struct file *f = c->state;

	*done = atomic_load_explicit(&f->progress, memory_order_relaxed);
	*all = f->io.size * (c->source.loop > 1 ? c->source.loop : 1);
}

const struct capture_ops capture_ops_file = {
	.scheme = "pcap",
	.link = -1,
	.live = false,
	.open = file_open,
	.close = file_close,
	.rx = file_rx,
	.progress = file_progress,
};
