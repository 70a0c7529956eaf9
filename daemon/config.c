// SPDX-License-Identifier: Apache-2.0
// Configuration as an object: made from defaults and a file, compared with another one, freed. The
// table of keys is in config_keys.c, checking and loading in config_check.c and config_parse.c, the
// command line in config_options.c.
#include "config_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 1 << 20 };

static unsigned list_count(const struct config_key *list, const void *base)
{
	return *(const unsigned *)((const char *)base + list->count_offset);
}

static void free_members(const struct config_key *keys, void *base)
{
	for (const struct config_key *k = keys; k->name != NULL; k++) {
		char **at = config_key_at(k, base);

		if (k->kind == CONFIG_SECTION) {
			free_members(k->keys, base);
		} else if (k->kind == CONFIG_TEXT) {
			free(*at);
		} else if (k->kind == CONFIG_LIST) {
			unsigned n = list_count(k, base);

			for (unsigned i = 0; i < n; i++)
				free_members(k->keys, *at + (size_t)i * k->entry_size);
			free(*at);
		}
	}
}

static void free_strings(char **strings, int count)
{
	for (int i = 0; i < count && strings != NULL; i++)
		free(strings[i]);
	free(strings);
}

void config_free(struct config *c)
{
	if (c == NULL)
		return;
	free_members(config_keys, c);
	free(c->events);
	free(c->follow_to);
	free_strings(c->eal_argv, c->eal_argc);
	free_strings(c->argv, c->argc);
	free(c);
}

static struct config *config_new(void)
{
	struct config *c = calloc(1, sizeof(*c));

	for (const struct config_key *k = config_keys; c != NULL && k->name != NULL; k++)
		if (config_value_default(k, c) != 0) {
			config_free(c);
			return NULL;
		}
	return c;
}

// The whole file, on the heap. Pipes and devices are read as well (--config /dev/stdin).
static int read_file(const char *path, char **ret, size_t *ret_size)
{
	char *text = malloc(FILE_MAX_BYTES + 1);
	size_t used = 0;
	int fd, rc = 0;

	if (text == NULL)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		rc = -errno;
		free(text);
		return rc;
	}
	while (used <= FILE_MAX_BYTES) {
		ssize_t n = read(fd, text + used, FILE_MAX_BYTES + 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = -errno;
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	close(fd);
	if (rc == 0 && used > FILE_MAX_BYTES)
		rc = -EFBIG;
	if (rc != 0) {
		free(text);
		return rc;
	}
	*ret = text;
	*ret_size = used;
	return 0;
}

static int load_into(struct config *c, const char *path, struct config_errors *errors)
{
	size_t size = 0;
	char *text = NULL;
	int rc = read_file(path, &text, &size);

	if (rc != 0) {
		config_error(errors, 0, 0, NULL,
			rc == -EFBIG ? "files of at most 1 MiB"
				     : "a readable file, or /dev/null for "
				       "the defaults",
			"%s", strerror(-rc));
		return rc;
	}
	rc = config_check(text, size, errors);
	if (rc == 0)
		rc = config_parse(text, size, c, errors);
	if (rc == 0)
		config_networks_resolve(c);
	if (rc == -ENOMEM)
		config_error(errors, 0, 0, NULL, NULL, "out of memory");
	free(text);
	return rc;
}

struct config *config_load(const char *path, char *error, size_t size)
{
	// room for the last line, which tells how many messages did not fit
	const size_t reserve = size > 64 ? 32 : 0;
	struct config_errors errors = {
		.file = path == NULL ? "defaults" : path, .text = error, .size = size - reserve};
	struct config *c = config_new();

	if (size > 0)
		error[0] = '\0';
	if (c == NULL)
		config_error(&errors, 0, 0, NULL, NULL, "out of memory");
	else if (path != NULL && load_into(c, path, &errors) != 0) {
		config_free(c);
		c = NULL;
	}
	if (errors.left_out > 0)
		snprintf(error + errors.used, size - errors.used, "%sand %u more",
			errors.used > 0 ? "\n" : "", errors.left_out);
	return c;
}

int config_socket_path(const struct config *c, char *path, size_t size)
{
	const char *runtime = getenv("RUNTIME_DIRECTORY");
	int n;

	if (c->socket != NULL) {
		n = snprintf(path, size, "%s", c->socket);
	} else if (runtime != NULL && runtime[0] == '/') {
		// systemd separates several directories by colons
		n = snprintf(path, size, "%.*s/pktaid.sock", (int)strcspn(runtime, ":"), runtime);
	} else if (geteuid() == 0) {
		n = snprintf(path, size, "/run/pktaid/pktaid.sock");
	} else {
		runtime = getenv("XDG_RUNTIME_DIR");
		if (runtime == NULL || runtime[0] != '/')
			return -ENOENT;
		n = snprintf(path, size, "%s/pktaid.sock", runtime);
	}
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

struct restart_keys {
	char *text;
	size_t size, used;
	unsigned count;
};

static bool list_equal(const struct config_key *list, const void *a, const void *b);

static bool value_equal(const struct config_key *k, const void *a, const void *b)
{
	const void *x = config_key_at(k, a), *y = config_key_at(k, b);

	if (k->kind == CONFIG_LIST)
		return list_equal(k, a, b);
	return k->kind == CONFIG_TEXT ? text_equal(*(char *const *)x, *(char *const *)y)
	                              : memcmp(x, y, k->width) == 0;
}

static bool list_equal(const struct config_key *list, const void *a, const void *b)
{
	const char *x = *(char *const *)config_key_at(list, a);
	const char *y = *(char *const *)config_key_at(list, b);
	unsigned n = list_count(list, a);

	if (n != list_count(list, b))
		return false;
	for (; n > 0; n--, x += list->entry_size, y += list->entry_size)
		for (const struct config_key *k = list->keys; k->name != NULL; k++)
			if (!value_equal(k, x, y))
				return false;
	return true;
}

static void compare(const struct config_key *keys, const char *prefix, const void *old,
	const void *new, struct restart_keys *r)
{
	for (const struct config_key *k = keys; k->name != NULL; k++) {
		char path[128];

		snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".",
			k->name);
		if (k->kind == CONFIG_SECTION) {
			compare(k->keys, path, old, new, r);
			continue;
		}
		if (k->live || value_equal(k, old, new))
			continue;
		if (r->used < r->size)
			r->used += (size_t)snprintf(r->text + r->used, r->size - r->used, "%s%s",
				r->count > 0 ? ", " : "", path);
		r->count++;
	}
}

unsigned config_restart_keys(
	const struct config *old, const struct config *new, char *text, size_t size)
{
	struct restart_keys r = {.text = text, .size = size};

	if (size > 0)
		text[0] = '\0';
	compare(config_keys, "", old, new, &r);
	return r.count;
}
