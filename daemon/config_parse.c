// SPDX-License-Identifier: Apache-2.0
// Loads a document that config_check has passed: libcyaml reads it by a schema which is made, at run
// time, of the table of keys. It delivers texts in the document's shape (a section is an array of
// pointers, one a key); they then become values in struct config.
#include "config_keys.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

// A section as libcyaml leaves it: slots[2 * i] is the text, section or array of the table's key i,
// slots[2 * i + 1] an array's count.
typedef void *slot;

// libcyaml's log of one load, to go with the message where it refuses what the check let pass.
struct load_log {
	char text[512];
	size_t used;
};

static void log_cyaml(cyaml_log_t level, void *ctx, const char *format, va_list ap)
{
	struct load_log *log = ctx;
	int n;

	(void)level;
	if (log->used + 1 >= sizeof(log->text))
		return;
	n = vsnprintf(log->text + log->used, sizeof(log->text) - log->used, format, ap);
	if (n > 0)
		log->used += (size_t)n;
	if (log->used >= sizeof(log->text))
		log->used = sizeof(log->text) - 1;
	for (char *c = log->text; *c != '\0'; c++)
		if (*c == '\n')
			*c = ' ';
}

static unsigned keys_count(const struct config_key *keys)
{
	unsigned n = 0;

	while (keys[n].name != NULL)
		n++;
	return n;
}

static void schema_free(const cyaml_schema_value_t *value)
{
	if (value->type == CYAML_SEQUENCE) {
		if (value->sequence.entry != NULL)
			schema_free(value->sequence.entry);
		free((void *)(uintptr_t)value->sequence.entry);
	} else if (value->type == CYAML_MAPPING && value->mapping.fields != NULL) {
		for (const cyaml_schema_field_t *f = value->mapping.fields; f->key != NULL; f++)
			schema_free(&f->value);
		free((void *)(uintptr_t)value->mapping.fields);
	}
}

static int schema_value(const struct config_key *key, cyaml_schema_value_t *ret);

// The schema of a mapping of keys. On failure what was made hangs on ret, for schema_free.
static int schema_mapping(
	const struct config_key *keys, enum cyaml_flag flags, cyaml_schema_value_t *ret)
{
	unsigned n = keys_count(keys);
	cyaml_schema_field_t *fields = calloc(n + 1, sizeof(*fields));

	*ret = (cyaml_schema_value_t){.type = CYAML_MAPPING,
		.flags = flags,
		.data_size = 2 * n * (uint32_t)sizeof(slot),
		.mapping = {.fields = fields}};
	if (fields == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		fields[i].key = keys[i].name;
		fields[i].data_offset = 2 * i * (uint32_t)sizeof(slot);
		fields[i].count_offset = (2 * i + 1) * (uint32_t)sizeof(slot);
		fields[i].count_size = sizeof(uint64_t);
		if (schema_value(&keys[i], &fields[i].value) != 0)
			return -ENOMEM;
	}
	return 0;
}

static int schema_list(
	const struct config_key *key, enum cyaml_flag flags, cyaml_schema_value_t *ret)
{
	cyaml_schema_value_t *entry = calloc(1, sizeof(*entry));

	*ret = (cyaml_schema_value_t){.type = CYAML_SEQUENCE,
		.flags = flags,
		.sequence = {.entry = entry, .min = 0, .max = (uint32_t)key->max}};
	if (entry == NULL || schema_mapping(key->keys, CYAML_FLAG_DEFAULT, entry) != 0)
		return -ENOMEM;
	ret->data_size = entry->data_size;
	return 0;
}

static int schema_value(const struct config_key *key, cyaml_schema_value_t *ret)
{
	const enum cyaml_flag flags = CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER_NULL_STR;

	switch (key->kind) {
	case CONFIG_SECTION:
		return schema_mapping(key->keys, flags, ret);
	case CONFIG_LIST:
		return schema_list(key, flags, ret);
	case CONFIG_TEXT:
	case CONFIG_SWITCH:
	case CONFIG_CHOICE:
	case CONFIG_NUMBER:
	case CONFIG_BYTES:
	case CONFIG_MEBIBYTES:
	case CONFIG_DURATION:
		*ret = (cyaml_schema_value_t){.type = CYAML_STRING,
			.flags = flags,
			.data_size = 1,
			.string = {.min = 0, .max = UINT32_MAX - 1}};
	}
	return 0;
}

static int apply_section(
	const struct config_key *keys, const slot *slots, void *base, struct config_errors *errors);

static int apply_list(const struct config_key *key, const slot *entries, uint64_t count, void *base,
	struct config_errors *errors)
{
	unsigned stride = 2 * keys_count(key->keys);
	char *array = calloc(count > 0 ? count : 1, key->entry_size);

	if (array == NULL)
		return -ENOMEM;
	*(void **)config_key_at(key, base) = array;
	*(unsigned *)((char *)base + key->count_offset) = (unsigned)count;
	for (uint64_t i = 0; i < count; i++) {
		int rc = apply_section(
			key->keys, entries + i * stride, array + i * key->entry_size, errors);

		if (rc != 0)
			return rc;
	}
	return 0;
}

static int apply_section(
	const struct config_key *keys, const slot *slots, void *base, struct config_errors *errors)
{
	char problem[512];

	for (unsigned i = 0; keys[i].name != NULL; i++) {
		const struct config_key *key = &keys[i];
		const void *value = slots[2 * i];
		int rc;

		if (value == NULL)
			continue;
		if (key->kind == CONFIG_SECTION)
			rc = apply_section(key->keys, value, base, errors);
		else if (key->kind == CONFIG_LIST)
			rc = apply_list(
				key, value, (uint64_t)(uintptr_t)slots[2 * i + 1], base, errors);
		else
			rc = config_value_set(key, base, value, problem, sizeof(problem));
		if (rc == -EINVAL && key->kind != CONFIG_SECTION && key->kind != CONFIG_LIST)
			config_error(errors, 0, 0, key->name, NULL, "%s", problem);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int config_parse(const char *yaml, size_t size, struct config *c, struct config_errors *errors)
{
	struct load_log log = {.used = 0};
	const cyaml_config_t cyaml = {.log_fn = log_cyaml,
		.log_ctx = &log,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_NO_ALIAS};
	cyaml_schema_value_t schema;
	cyaml_data_t *data = NULL;
	cyaml_err_t err;
	int rc;

	rc = schema_mapping(config_keys, CYAML_FLAG_POINTER_NULL_STR, &schema);
	if (rc != 0)
		goto out;
	err = cyaml_load_data((const uint8_t *)yaml, size, &cyaml, &schema, &data, NULL);
	if (err == CYAML_ERR_OOM) {
		rc = -ENOMEM;
	} else if (err != CYAML_OK) {
		config_error(errors, 0, 0, NULL, NULL, "%s (%s)", cyaml_strerror(err), log.text);
		rc = -EINVAL;
	} else if (data != NULL) {
		rc = apply_section(config_keys, (const slot *)data, c, errors);
	}
	cyaml_free(&cyaml, &schema, data, 0);
out:
	schema_free(&schema);
	return rc;
}
