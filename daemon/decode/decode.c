// SPDX-License-Identifier: Apache-2.0
// The way through a frame: a short cut for what nearly all frames are (Ethernet, tags, IPv4 or IPv6
// without options, TCP or UDP), and a loop over one header function after the other for the rest.
// The short cut only recognises; at the first unusual thing it leaves the frame to the loop, which
// starts anew. Both must give the same result for every frame (the fuzz target compares them).
#include "decode.h"

#include "decoder.h"
#include "prefetch.h"

enum {
	HEADERS_MAX = 64,    // steps of the loop: bounds what a frame full of tags can cost
	PREFETCH_AHEAD = 14, // packets: what it takes to hide memory at about 15 ns a packet
};

struct ip_layer *decoder_layer(struct decoder *d)
{
	struct packet *p = d->p;
	struct ip_layer *l;

	if (p->layer_count >= PACKET_LAYERS_MAX || p->layer_count > d->config->tunnel_depth) {
		decoder_event(d, EVENT_too_many_layers);
		return NULL;
	}
	l = &p->layer[p->layer_count++];
	memset(l, 0, sizeof(*l));
	if (p->layer_count > 1) {
		l->tunnel_type = d->tunnel_type;
		if (d->has_tunnel_id) {
			l->flags |= LAYER_TUNNEL_ID;
			l->tunnel_id = d->tunnel_id;
		}
	}
	d->tunnel_type = TUNNEL_NONE;
	d->has_tunnel_id = false;
	d->layer = l;
	return l;
}

static enum decode_next decode_step(struct decoder *d, enum decode_next what)
{
	switch (what) {
	case DECODE_DONE:
		break;
	case DECODE_ETHERNET:
		return decode_ethernet(d);
	case DECODE_ETHERTYPE:
		return decode_ethertype(d);
	case DECODE_LLC:
		return decode_llc(d);
	case DECODE_MPLS:
		return decode_mpls(d);
	case DECODE_PPP:
		return decode_ppp(d);
	case DECODE_IPV4:
		return decode_ip4(d);
	case DECODE_IPV6:
		return decode_ip6(d);
	case DECODE_TRANSPORT:
		return decode_transport(d);
	}
	return DECODE_DONE;
}

void decode_slow(const struct decode_config *config, struct packet *p)
{
	struct decoder d = {
		.config = config,
		.p = p,
		.end = p->wirelen > p->caplen ? p->wirelen : p->caplen,
		.cap = p->caplen,
	};
	enum decode_next next;

	p->layer_count = 0;
	p->event_count = 0;
	p->ethertype = 0;
	p->arp_off = 0;
	p->eth_off = UINT32_MAX;
	p->protocols = 0;
	p->vlan_count = 0;
	if (p->flags & PACKET_VLAN_STRIPPED) { // the source left its tag's id in vlan[0]
		p->vlan_count = 1;
		p->vlan[0] &= 0xfff;
		p->protocols = PROTOCOL_BIT(VLAN);
	}
	next = decode_link(&d);
	for (unsigned i = 0; next != DECODE_DONE; i++) {
		if (i == HEADERS_MAX) {
			decoder_event(&d, EVENT_too_many_headers);
			return;
		}
		next = decode_step(&d, next);
	}
}

// Where the short cut has come to.
struct fast {
	const uint8_t *at; // L4 header
	uint32_t off;      // of it
	uint32_t left;     // L4 bytes by the IP header
	uint32_t captured; // L4 bytes captured
};

static inline bool fast_tcp(struct packet *p, struct ip_layer *l, const struct fast *f)
{
	enum { FIN = 1, SYN = 2, PSH = 8, ACK = 16, URG = 32 };
	const uint32_t timestamps_alone = 0x0101080a; // as every stack writes them
	const uint8_t *h = f->at;
	uint32_t hlen;
	uint8_t flags;

	if (f->left < 20 || f->captured < 20)
		return false;
	hlen = (h[12] >> 4) * 4u;
	flags = h[13];
	if (hlen < 20 || hlen > f->left || hlen > f->captured)
		return false;
	// What may be worth an event: SYN with FIN, and without ACK anything but a SYN or a RST.
	if ((flags & (SYN | FIN)) == (SYN | FIN))
		return false;
	if ((flags & ACK) == 0 && (flags == 0 || flags & (FIN | PSH | URG)))
		return false;
	l->flags = LAYER_L4;
	if (hlen == 32 && load_be32(h + 20) == timestamps_alone) {
		l->flags = LAYER_L4 | LAYER_TCP_TIMESTAMP;
		l->tcp.ts_val = load_be32(h + 24);
		l->tcp.ts_ecr = load_be32(h + 28);
	} else if (hlen > 20) {
		if (!decode_tcp_options(l, cursor_of(h + 20, hlen - 20), false))
			return false;
	}
	l->src_port = load_be16(h);
	l->dst_port = load_be16(h + 2);
	l->tcp.seq = load_be32(h + 4);
	l->tcp.ack = load_be32(h + 8);
	l->tcp.flags = flags;
	l->tcp.window = load_be16(h + 14);
	l->payload_off = f->off + hlen;
	l->payload_len = f->left - hlen;
	p->protocols |= PROTOCOL_BIT(TCP);
	return true;
}

static inline bool fast_udp(struct packet *p, struct ip_layer *l, const struct fast *f)
{
	const uint8_t *h = f->at;
	uint32_t size;
	uint16_t src, dst;

	if (f->left < 8 || f->captured < 8)
		return false;
	src = load_be16(h);
	dst = load_be16(h + 2);
	size = load_be16(h + 4);
	if (size < 8 || size > f->left || decode_is_tunnel_port(src, dst))
		return false;
	l->flags = LAYER_L4;
	l->src_port = src;
	l->dst_port = dst;
	l->payload_off = f->off + 8;
	l->payload_len = size - 8;
	p->protocols |= PROTOCOL_BIT(UDP);
	return true;
}

// captured, left: bytes from the IP header on. The address fields are written as 8-byte words, so
// that whoever hashes them next loads what one store wrote.
static inline bool fast_ip4(
	struct ip_layer *l, struct fast *f, const uint8_t *h, uint32_t captured, uint32_t left)
{
	uint32_t total, word;
	uint64_t address[2] = {0};

	if (captured < 20 || h[0] != 0x45)
		return false;
	total = load_be16(h + 2);
	if (total < 20 || total > left || (load_be16(h + 6) & 0x3fff) != 0)
		return false;
	memcpy(&word, h + 12, 4);
	memcpy(&address[0], &word, 4);
	memcpy(l->src, address, 16);
	memcpy(&word, h + 16, 4);
	memcpy(&address[0], &word, 4);
	memcpy(l->dst, address, 16);
	l->version = 4;
	l->proto = h[9];
	l->ttl = h[8];
	l->tos = h[1];
	l->l3_len = total;
	f->at = h + 20;
	f->left = total - 20;
	f->captured = (captured < total ? captured : total) - 20;
	return true;
}

static inline bool fast_ip6(
	struct ip_layer *l, struct fast *f, const uint8_t *h, uint32_t captured, uint32_t left)
{
	uint32_t length;

	if (captured < 40 || h[0] >> 4 != 6)
		return false;
	length = load_be16(h + 4);
	if (length == 0 || length + 40 > left)
		return false;
	memcpy(l->src, h + 8, 16);
	memcpy(l->dst, h + 24, 16);
	l->version = 6;
	l->proto = h[6];
	l->ttl = h[7];
	l->tos = (uint8_t)(load_be16(h) >> 4);
	l->l3_len = length + 40;
	f->at = h + 40;
	f->left = length;
	f->captured = (captured < length + 40 ? captured : length + 40) - 40;
	return true;
}

// Tags of the kinds that a frame of today has. Returns the offset behind them, 0 to give up.
static inline uint32_t fast_vlans(struct packet *p, uint16_t *type)
{
	uint32_t off = 14;

	p->vlan_count = 0;
	while (*type == ETHERTYPE_VLAN || *type == ETHERTYPE_QINQ) {
		const uint8_t *h = p->data + off;

		if (p->caplen < off + 4 || p->vlan_count == PACKET_VLANS_MAX)
			return 0;
		p->protocols |= *type == ETHERTYPE_VLAN ? PROTOCOL_BIT(VLAN) : PROTOCOL_BIT(QINQ);
		p->vlan[p->vlan_count++] = load_be16(h) & 0xfff;
		*type = load_be16(h + 2);
		off += 4;
	}
	return off;
}

// Returns false where the frame is not one of the usual kind; the packet then holds nothing of use.
static inline bool decode_fast(struct packet *p)
{
	const uint32_t caplen = p->caplen;
	const uint32_t wirelen = p->wirelen > caplen ? p->wirelen : caplen;
	struct ip_layer *l = &p->layer[0];
	struct fast f;
	uint32_t off;
	uint16_t type;
	bool ok;

	if (p->link != LINK_ETHERNET || caplen < 14 + 20 || p->flags & PACKET_VLAN_STRIPPED)
		return false;
	p->protocols = PROTOCOL_BIT(ETHERNET);
	type = load_be16(p->data + 12);
	off = fast_vlans(p, &type);
	if (off == 0)
		return false;
	if (type == ETHERTYPE_IPV4) {
		p->protocols |= PROTOCOL_BIT(IPV4);
		ok = fast_ip4(l, &f, p->data + off, caplen - off, wirelen - off);
	} else if (type == ETHERTYPE_IPV6) {
		p->protocols |= PROTOCOL_BIT(IPV6);
		ok = fast_ip6(l, &f, p->data + off, caplen - off, wirelen - off);
	} else {
		return false;
	}
	if (!ok)
		return false;
	f.off = (uint32_t)(f.at - p->data);
	ok = l->proto == IP_TCP   ? fast_tcp(p, l, &f)
	     : l->proto == IP_UDP ? fast_udp(p, l, &f)
	                          : false;
	if (!ok)
		return false;
	l->l3_off = off;
	l->l4_off = f.off;
	l->icmp_type = 0;
	l->icmp_code = 0;
	l->tunnel_type = TUNNEL_NONE;
	p->layer_count = 1;
	p->event_count = 0;
	p->ethertype = type;
	p->arp_off = 0;
	p->eth_off = 0;
	return true;
}

// Two cache lines: TCP's timestamps lie behind the first. A prefetch of nothing harms nothing.
static inline void prefetch_frame(const struct packet *p)
{
	prefetch(p->data);
	prefetch((const void *)((uintptr_t)p->data + 64));
}

void decode_burst(const struct decode_config *config, struct packet *pkts, unsigned n)
{
	unsigned ahead = n < PREFETCH_AHEAD ? n : PREFETCH_AHEAD;

	for (unsigned i = 0; i < ahead; i++)
		prefetch_frame(&pkts[i]);
	for (unsigned i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			prefetch_frame(&pkts[i + PREFETCH_AHEAD]);
		if (config->verify_checksum || !decode_fast(&pkts[i]))
			decode_slow(config, &pkts[i]);
	}
}
