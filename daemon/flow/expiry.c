// SPDX-License-Identifier: Apache-2.0
// Ends by time. What decides is timestamps alone: a flow is idle when its capture's clock has reached
// its last packet plus its timeout, and a part is full when the clock has reached its begin plus the
// active timeout, whichever comes first. flow_resolve() applies that, be it because the next packet came,
// because the wheel came by, or because the capture ended; so when somebody looks changes nothing.
//
// A closed flow only waits for late packets. Its part is not cut while it waits, so that what is written
// last says how it closed; a late packet beyond the part's end does cut it.
//
// The wheel of a capture has a slot for each second, a list of flows each. A flow is put where it would
// end if nothing more came; when its slot is due it is looked at, and put further on if more did come.
#include "clock.h"
#include "flow_internal.h"
#include "prefetch.h"

enum { FLOW_PART_SHIFT = 24 };

uint64_t flow_timeout(const struct flow_table *t, const struct flow_hot *h)
{
	switch (flow_proto_of(h)) {
	case 6:
		if (h->state & FLOW_CLOSED)
			return t->config.tcp_closed_ns;
		if ((h->state & FLOW_STATE) < FLOW_TCP_ESTABLISHED)
			return t->config.tcp_new_ns;
		return t->config.tcp_established_ns;
	case 17:
		return t->config.udp_ns;
	case 1:
	case 58:
		return t->config.icmp_ns;
	default:
		return t->config.other_ns;
	}
}

// Before anything more comes: a handshake's end changes the timeout, and moves no flow in the wheel.
static uint64_t shortest_timeout(const struct flow_table *t, const struct flow_hot *h)
{
	uint64_t timeout = flow_timeout(t, h);

	if (flow_proto_of(h) == 6 && !(h->state & FLOW_CLOSED) &&
		t->config.tcp_established_ns < timeout)
		return t->config.tcp_established_ns;
	return timeout;
}

static uint64_t idle_at(const struct flow_table *t, const struct flow_hot *h)
{
	return h->last_now_ns + flow_timeout(t, h);
}

// When the current part is full; a part without packets never is.
static uint64_t part_full_at(const struct flow_table *t, uint32_t i)
{
	if (t->config.active_ns == 0 || !(t->turn[i].marks & FLOW_PART_OPEN))
		return UINT64_MAX;
	return flow_part_now(t, i) + t->config.active_ns;
}

// --- Wheel ---

static void link_before(struct flow_table *t, uint32_t head, uint32_t i)
{
	uint32_t last = t->link[head].prev;

	t->link[i] = (struct flow_link){last, head};
	t->link[last].next = i;
	t->link[head].prev = i;
}

void flow_wheel_remove(struct flow_table *t, uint32_t i)
{
	struct flow_link *l = &t->link[i];

	t->link[l->prev].next = l->next;
	t->link[l->next].prev = l->prev;
}

void flow_wheel_insert(struct flow_table *t, uint32_t i, uint64_t now_ns)
{
	const struct flow_hot *h = &t->hot[i];
	uint16_t capture = flow_capture_of(h);
	struct flow_capture_state *c = &t->capture[capture];
	uint64_t idle = h->last_now_ns + shortest_timeout(t, h), full = UINT64_MAX;
	uint64_t due, base = now_ns / NSEC_PER_S;

	if (!(h->state & FLOW_CLOSED))
		full = part_full_at(t, i);
	due = (idle < full ? idle : full) / NSEC_PER_S + 1;
	if (!c->ticking) {
		c->tick = base;
		c->ticking = true;
	}
	if (base < c->tick)
		base = c->tick;
	if (due <= base)
		due = base + 1;
	if (due > base + FLOW_WHEEL_SLOTS - 1)
		due = base + FLOW_WHEEL_SLOTS - 1;
	link_before(t, flow_wheel_head(t, capture, due % FLOW_WHEEL_SLOTS), i);
}

// --- Ends ---

static uint32_t far_away(uint64_t now_ns)
{
	return UINT32_MAX / 2 + (uint32_t)(now_ns >> FLOW_PART_SHIFT);
}

void flow_part_begin(struct flow_table *t, uint32_t i, uint64_t now_ns)
{
	struct flow_turn *u = &t->turn[i];

	t->splt_first[i].other = now_ns;
	u->part_no++;
	u->marks |= FLOW_PART_OPEN;
	// One unit early at most: the exact time is looked at then.
	t->hot[i].part_q = t->config.active_ns != 0
	                           ? (uint32_t)((now_ns + t->config.active_ns) >> FLOW_PART_SHIFT)
	                           : far_away(now_ns);
}

void flow_finish(struct flow_table *t, uint32_t i, enum flow_end end)
{
	struct flow_hot *h = &t->hot[i];
	bool is_reused = end == FLOW_END_REUSE;

	if ((h->state & FLOW_CLOSED) == FLOW_CLOSED_RST)
		end = FLOW_END_RST;
	else if (h->state & FLOW_CLOSED)
		end = FLOW_END_FIN;
	if (t->listener.end != NULL && flow_proto_of(h) == 6)
		t->listener.end(t->listener.ctx, i, is_reused ? FLOW_END_REUSE : end);
	if (t->turn[i].marks & FLOW_PART_OPEN)
		flow_write(t, i, end);
	flow_release(t, i);
}

// The flow goes on; what it counts begins anew with its next packet.
void flow_part_end(struct flow_table *t, uint32_t i)
{
	struct flow_hot *h = &t->hot[i];
	struct flow_turn *u = &t->turn[i];

	flow_sync(t, i); // also where there is no room for a record
	flow_write(t, i, FLOW_END_ACTIVE);
	if (t->listener.part != NULL && flow_proto_of(h) == 6)
		t->listener.part(t->listener.ctx, i);
	u->tcp_flags[0] = u->tcp_flags[1] = 0;
	u->response_sum_ns = 0;
	u->response_samples = 0;
	u->marks &= (uint16_t) ~(FLOW_PART_OPEN | FLOW_BOTH_COUNT);
	// The sequence of the first packets is the flow's, not the part's.
	u->splt_count = 0;
	h->bits = (uint8_t)((h->bits & ~(3 * FLOW_LOGS)) | FLOW_SPLT_FULL);
	h->part_q = far_away(h->last_now_ns);
	flow_volume_set(t, i);
}

bool flow_resolve(struct flow_table *t, uint32_t i, uint64_t now_ns, bool is_packet)
{
	const struct flow_hot *h = &t->hot[i];
	uint64_t idle = idle_at(t, h), full = part_full_at(t, i);
	bool is_kept = (h->state & FLOW_CLOSED) && !(is_packet && idle > now_ns);

	if (full <= now_ns && full < idle && !is_kept)
		flow_part_end(t, i);
	if (idle > now_ns)
		return false;
	flow_finish(t, i, FLOW_END_IDLE);
	return true;
}

enum { FLOW_LOOK_AHEAD = 8 };

// Asks for what ending the next flows of a list will touch.
static void look_ahead(const struct flow_table *t, uint32_t head, uint32_t i)
{
	uint32_t streams[FLOW_LOOK_AHEAD];
	unsigned n = 0;

	for (unsigned k = 0; k < FLOW_LOOK_AHEAD && i != head; k++, i = t->link[i].next) {
		flow_prefetch_bucket(t, i);
		if (t->listener.early != NULL && flow_proto_of(&t->hot[i]) == 6) {
			t->listener.early(t->listener.ctx, i);
			streams[n++] = i;
		}
		prefetch(&t->turn[i]);
		prefetch(&t->stats[2 * i]);
		prefetch(&t->stats[2 * i + 1]);
		prefetch(&t->splt_first[i]);
		prefetch(&t->cold[i]);
	}
	for (unsigned k = 0; k < n; k++)
		t->listener.soon(t->listener.ctx, streams[k]);
}

// Looks at up to budget flows of one slot's list. Returns how many.
static unsigned drain(struct flow_table *t, uint32_t head, uint64_t now_ns, unsigned budget)
{
	unsigned n = 0;
	uint32_t i;

	while (n < budget && (i = t->link[head].next) != head) {
		if (n % FLOW_LOOK_AHEAD == 0)
			look_ahead(t, head, i);
		n++;
		if (flow_resolve(t, i, now_ns, false))
			continue;
		flow_wheel_remove(t, i);
		flow_wheel_insert(t, i, now_ns);
	}
	return n;
}

// Moves a slot's list to the wheel's last head, so that flows which are put into the same slot again
// are not met a second time.
static void detach(struct flow_table *t, uint32_t from, uint32_t to)
{
	struct flow_link *f = &t->link[from], *l = &t->link[to];

	if (f->next == from)
		return;
	l->next = f->next;
	l->prev = f->prev;
	t->link[l->next].prev = to;
	t->link[l->prev].next = to;
	f->next = f->prev = from;
}

unsigned flow_expire(struct flow_table *t, uint16_t capture, uint64_t now_ns, unsigned budget)
{
	struct flow_capture_state *c = &t->capture[capture];
	uint32_t pending = flow_wheel_head(t, capture, FLOW_WHEEL_SLOTS);
	uint64_t now_tick = now_ns / NSEC_PER_S;
	unsigned n = 0;

	if (!c->in_use || !c->ticking)
		return 0;
	// After a jump one turn looks at every flow.
	if (now_tick > c->tick + FLOW_WHEEL_SLOTS)
		c->tick = now_tick - FLOW_WHEEL_SLOTS;
	for (;;) {
		n += drain(t, pending, now_ns, budget - n);
		if (n >= budget || c->tick >= now_tick)
			break;
		c->tick++;
		detach(t, flow_wheel_head(t, capture, c->tick % FLOW_WHEEL_SLOTS), pending);
	}
	return n;
}

unsigned flow_capture_end(struct flow_table *t, uint16_t capture, uint64_t now_ns,
	enum flow_end end, unsigned budget, bool keep)
{
	struct flow_capture_state *c = &t->capture[capture];

	if (!c->in_use)
		return 0;
	for (unsigned slot = 0; slot <= FLOW_WHEEL_SLOTS && budget > 0; slot++) {
		uint32_t head = flow_wheel_head(t, capture, slot), i;

		for (; budget > 0 && (i = t->link[head].next) != head; budget--) {
			if (budget % FLOW_LOOK_AHEAD == 0)
				look_ahead(t, head, i);
			if (!flow_resolve(t, i, now_ns, false))
				flow_finish(t, i, end);
		}
	}
	if (c->active == 0 && !keep)
		c->in_use = false;
	return c->active;
}
