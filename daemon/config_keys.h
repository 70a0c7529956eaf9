// SPDX-License-Identifier: Apache-2.0
// The table of configuration keys and of command-line options, for the config_*.c files only. The
// checks, libcyaml's schema, the defaults, etc/pktaid.yaml, pktaid.yaml(5), pktaid(8), --help and the
// list of keys that need a restart all come from these two tables. A new key is one row.
#pragma once

#include "config.h"

enum config_kind {
	CONFIG_SECTION,   // a mapping of further keys, part of the same struct
	CONFIG_LIST,      // a sequence of mappings, an array on the heap
	CONFIG_TEXT,      // char *, on the heap
	CONFIG_SWITCH,    // bool
	CONFIG_CHOICE,    // one of choices; stored as its index
	CONFIG_NUMBER,    // plain integer
	CONFIG_BYTES,     // size; a plain number is bytes
	CONFIG_MEBIBYTES, // size, stored in MiB; a plain number is MiB
	CONFIG_DURATION,  // time, stored in ns; a plain number is seconds
};

// Looks at a text. Returns 0, or -EINVAL with what is wrong in error.
typedef int (*config_text_check)(const char *text, char *error, size_t size);

struct config_key {
	const char *name;
	enum config_kind kind;
	unsigned offset, width;        // of the member in its struct; list: of the pointer
	bool live;                     // a reload applies it; else it needs a restart
	bool required;                 // in a list's entries
	bool unique;                   // in a list's entries: no two may have the same text
	const char *zero;              // what 0 means where it is accepted beside min..max, or NULL
	uint64_t min, max;             // text: of its length
	uint64_t value;                // default of all kinds but text
	const char *text;              // default of a text, or NULL
	const char *const *choices;    // NULL-terminated
	config_text_check check;       // text: more than its length, or NULL
	const char *accepted;          // text: in words
	const char *unset;             // text without default: what happens then
	const char *about;             // sentences for people
	const struct config_key *keys; // section, list: ends with name NULL
	// lists
	unsigned count_offset, entry_size;
	const char *example; // YAML; for texts without a default, too
};

extern const struct config_key config_keys[];

// Reads ADDRESS or ADDRESS/BITS, IPv4 or IPv6. Returns 0, or -EINVAL with what is wrong in error.
int config_network_parse(const char *text, uint8_t ret_address[16], uint8_t *ret_version,
	uint8_t *ret_prefix_bits, char *error, size_t size);

// Fills in what stages want of the lists of networks. They have been checked.
void config_networks_resolve(struct config *);

// A key by its path ("flow.timeouts.udp"); lists are entered by their name. NULL: there is none.
const struct config_key *config_key_find(const char *path);

// The member's place; base is the struct that holds the key.
static inline void *config_key_at(const struct config_key *key, const void *base)
{
	return (char *)(uintptr_t)base + key->offset;
}

// Reads a value from text into its member (base may be NULL: only checks). Texts are copied; the old
// one is freed. Returns 0, -ENOMEM, or -EINVAL with what is wrong (not what is accepted) in error.
int config_value_set(
	const struct config_key *, void *base, const char *text, char *error, size_t size);

// Sets the member to its default; all members of a section, none of a list. 0 or -ENOMEM.
int config_value_default(const struct config_key *, void *base);

// The value of a member as the file would have it; "" for a text that is not set.
void config_value_text(const struct config_key *, const void *base, char *text, size_t size);

// What is accepted, in words: "1 to 64".
void config_value_accepted(const struct config_key *, char *text, size_t size);

// True for what YAML writers use for "nothing here": empty, ~, null.
bool config_value_is_null(const char *text);

// --- Checking a document ---

// Messages, one a line, as many as fit; the rest are counted.
struct config_errors {
	const char *file;
	char *text;
	size_t size, used;
	unsigned count, left_out;
};

// line and column from 1; 0: not known. key may be NULL. accepted may be NULL.
void config_error(struct config_errors *, size_t line, size_t column, const char *key,
	const char *accepted, const char *format, ...) __attribute__((format(printf, 6, 7)));

// Goes through a YAML document, event by event, and reports whatever the table does not accept.
// Returns 0, or -EINVAL with at least one message.
int config_check(const char *yaml, size_t size, struct config_errors *);

// --- Loading checked text ---

// By libcyaml, with a schema made of the table, over the defaults in c. Returns 0, -ENOMEM or -EINVAL
// with a message.
int config_parse(const char *yaml, size_t size, struct config *, struct config_errors *);

// --- Command line ---

enum config_option_kind {
	OPTION_KEY,  // a configuration key's value
	OPTION_LIST, // one more entry of a list
	OPTION_CONFIG,
	OPTION_EVENTS,
	OPTION_FOLLOW,
	OPTION_EXIT_WHEN_DONE,
	OPTION_NO_HUGE,
	OPTION_CHECK,
	OPTION_VERSION,
	OPTION_HELP,
};

struct config_option {
	const char *name;
	enum config_option_kind kind;
	const char *argument; // NULL: takes none
	const char *key;      // path of the configuration key that it sets
	const char *about;
};

extern const struct config_option config_options[]; // ends with name NULL

#define CONFIG_DEFAULT_PATH "/etc/pktaid/pktaid.yaml"
