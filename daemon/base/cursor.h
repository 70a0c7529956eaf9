// SPDX-License-Identifier: Apache-2.0
// Bounded reading of bytes. A cursor knows where its bytes end; a length field opens a sub-cursor.
// No read goes beyond the end: it fails and leaves the cursor where it was.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
	const uint8_t *at;
	const uint8_t *end;
};

static inline struct cursor cursor_of(const void *data, size_t size)
{
	return (struct cursor){data, (const uint8_t *)data + size};
}

static inline size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->at);
}

static inline bool cursor_has(const struct cursor *c, size_t n)
{
	return cursor_left(c) >= n;
}

// Returns n bytes and moves on, or NULL.
static inline const uint8_t *cursor_take(struct cursor *c, size_t n)
{
	const uint8_t *p = c->at;

	if (!cursor_has(c, n))
		return NULL;
	c->at += n;
	return p;
}

static inline bool cursor_skip(struct cursor *c, size_t n)
{
	return cursor_take(c, n) != NULL;
}

// Opens a cursor over the next n bytes and moves on.
static inline bool cursor_sub(struct cursor *c, size_t n, struct cursor *ret_sub)
{
	const uint8_t *p = cursor_take(c, n);

	if (p == NULL)
		return false;
	*ret_sub = (struct cursor){p, p + n};
	return true;
}

static inline uint16_t load_be16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap16(v);
}

static inline uint32_t load_be32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static inline uint64_t load_be64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

static inline bool cursor_u8(struct cursor *c, uint8_t *ret)
{
	const uint8_t *p = cursor_take(c, 1);

	if (p == NULL)
		return false;
	*ret = *p;
	return true;
}

static inline bool cursor_be16(struct cursor *c, uint16_t *ret)
{
	const uint8_t *p = cursor_take(c, 2);

	if (p == NULL)
		return false;
	*ret = load_be16(p);
	return true;
}

static inline bool cursor_be32(struct cursor *c, uint32_t *ret)
{
	const uint8_t *p = cursor_take(c, 4);

	if (p == NULL)
		return false;
	*ret = load_be32(p);
	return true;
}
