// SPDX-License-Identifier: Apache-2.0
// Capture filters: libpcap compiles the text for a link type, and a burst is matched by machine code
// made of that (filter_code.c), at a few nanoseconds a packet; where there is none, by libpcap's
// interpreter.
#include "filter.h"

#include <errno.h>
#include <linux/filter.h> // the kernel's additions; before libpcap's version of the rest
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "capture_internal.h"
#include "log.h"

enum { FILTER_LINKS_MAX = 64, FILTER_TEXT_SHOWN = 200 };

struct program {
	uint16_t link;
	bool is_compiled; // else: nothing of this link type matches
	struct bpf_program classic;
	struct filter_code code;
};

struct filter {
	char *text;
	unsigned count;
	struct program *last; // the one that matched the last packet's link type
	struct program programs[FILTER_LINKS_MAX];
};

// Where libpcap's number for a link type differs from the one that files carry.
static const struct {
	uint16_t link;
	int dlt;
} links[] = {{LINK_RAW, DLT_RAW}, {100, DLT_ATM_RFC1483}, {102, DLT_SLIP_BSDOS},
	{103, DLT_PPP_BSDOS}, {106, DLT_ATM_CLIP}};

int link_to_dlt(uint16_t link)
{
	for (unsigned i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (links[i].link == link)
			return links[i].dlt;
	return link;
}

uint16_t link_from_dlt(int dlt)
{
	for (unsigned i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (links[i].dlt == dlt)
			return links[i].link;
	return dlt < 0 || dlt > UINT16_MAX ? UINT16_MAX : (uint16_t)dlt;
}

// inbound, outbound, ifindex: libpcap compiles them to loads that the kernel alone answers; here they
// would silently never match.
static bool asks_kernel(const struct bpf_program *p)
{
	for (unsigned i = 0; i < p->bf_len; i++) {
		const struct bpf_insn *insn = &p->bf_insns[i];

		if (BPF_CLASS(insn->code) == BPF_LD && BPF_MODE(insn->code) == BPF_ABS &&
			insn->k - (uint32_t)SKF_AD_OFF < SKF_AD_MAX)
			return true;
	}
	return false;
}

static int program_compile(
	struct program *p, const char *text, uint16_t link, char *error, size_t size)
{
	pcap_t *dead = pcap_open_dead(link_to_dlt(link), 262144);
	int r = 0;

	*p = (struct program){.link = link};
	if (dead == NULL)
		return capture_fail(-ENOMEM, error, size, "no memory to compile the filter");
	if (pcap_compile(dead, &p->classic, text, 1, PCAP_NETMASK_UNKNOWN) != 0)
		r = capture_fail(-EINVAL, error, size, "filter '%.*s%s': %s", FILTER_TEXT_SHOWN,
			text, strlen(text) > FILTER_TEXT_SHOWN ? "…" : "", pcap_geterr(dead));
	pcap_close(dead);
	if (r < 0)
		return r;
	p->is_compiled = true;
	if (asks_kernel(&p->classic)) {
		pcap_freecode(&p->classic);
		p->is_compiled = false;
		return capture_fail(-EINVAL, error, size,
			"filter '%.*s': it asks for a packet's direction or interface, which "
			"filters "
			"do not see here",
			FILTER_TEXT_SHOWN, text);
	}
	filter_code_init(&p->code, &p->classic); // without it, the classic program is run
	return 0;
}

int filter_new(const char *text, uint16_t link, struct filter **ret, char *error, size_t size)
{
	struct filter *f = calloc(1, sizeof(*f));
	int r;

	if (f == NULL || (f->text = strdup(text)) == NULL) {
		free(f);
		return capture_fail(-ENOMEM, error, size, "no memory for a filter");
	}
	r = program_compile(&f->programs[0], text, link, error, size);
	if (r < 0) {
		filter_free(f);
		return r;
	}
	f->count = 1;
	f->last = &f->programs[0];
	if (f->last->code.run == NULL)
		log_info("filter '%s' cannot be made machine code: libpcap's interpreter runs it",
			text);
	*ret = f;
	return 0;
}

void filter_free(struct filter *f)
{
	if (f == NULL)
		return;
	for (unsigned i = 0; i < f->count; i++) {
		struct program *p = &f->programs[i];

		filter_code_fini(&p->code);
		if (p->is_compiled)
			pcap_freecode(&p->classic);
	}
	free(f->text);
	free(f);
}

// Link types beyond the table match nothing.
static const struct program *program_for(struct filter *f, uint16_t link)
{
	char ignored[CAPTURE_ERROR_MAX];
	struct program *p;

	for (unsigned i = 0; i < f->count; i++)
		if (f->programs[i].link == link)
			return f->last = &f->programs[i];
	if (f->count == FILTER_LINKS_MAX)
		return NULL;
	p = &f->programs[f->count++];
	if (program_compile(p, f->text, link, ignored, sizeof(ignored)) < 0)
		p->is_compiled = false;
	return f->last = p;
}

static bool match(struct filter *f, const struct packet *p)
{
	const struct program *prog = p->link == f->last->link ? f->last : program_for(f, p->link);

	if (prog == NULL || !prog->is_compiled)
		return false;
	if (prog->code.run != NULL)
		return prog->code.run(p->data, p->caplen, p->wirelen) != 0;
	return bpf_filter(prog->classic.bf_insns, p->data, p->wirelen, p->caplen) != 0;
}

// Copies what the source sets, which is all that is set so far.
static void source_section_copy(struct packet *to, const struct packet *from)
{
	memcpy(to, from, offsetof(struct packet, layer_count));
}

unsigned filter_burst(struct filter *f, struct packet *pkts, unsigned n)
{
	struct packet *refused[PACKET_BURST];
	struct packet swap;
	unsigned kept = 0, refused_count = 0;

	for (unsigned i = 0; i < n; i++) {
		if (match(f, &pkts[i])) {
			if (kept != i) { // the refused one's bytes are still needed to release it
				source_section_copy(&swap, &pkts[kept]);
				source_section_copy(&pkts[kept], &pkts[i]);
				source_section_copy(&pkts[i], &swap);
			}
			kept++;
		}
	}
	for (unsigned i = kept; i < n; i++) {
		refused[refused_count++] = &pkts[i];
		if (refused_count == PACKET_BURST || i + 1 == n) {
			packet_release(refused, refused_count);
			refused_count = 0;
		}
	}
	return kept;
}

bool filter_is_jit(const struct filter *f)
{
	return f->programs[0].code.run != NULL;
}

bool filter_match(struct filter *f, const struct packet *p)
{
	return match(f, p);
}

bool filter_match_pcap(struct filter *f, const struct packet *p)
{
	const struct program *prog = program_for(f, p->link);

	return prog != NULL && prog->is_compiled &&
	       bpf_filter(prog->classic.bf_insns, p->data, p->wirelen, p->caplen) != 0;
}
