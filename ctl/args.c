// SPDX-License-Identifier: Apache-2.0
// The command line, by the tables of proto_commands.h: which command, which options, what they
// accept. Everything wrong is said with what is accepted instead, before any daemon is asked.
#include <stdint.h>
#include <string.h>

#include "codec.h"
#include "ctl.h"

struct parser {
	int argc, at;
	char **argv;
	bool options_ended;
	struct ctl_args *args;
	cJSON *globals;
	unsigned positionals; // taken so far
};

const cJSON *args_local(const struct ctl_args *args, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(args->local, name);
}

bool args_switch(const struct ctl_args *args, const char *name)
{
	return cJSON_IsTrue(args_local(args, name));
}

static const char *where(const struct parser *p)
{
	return p->args->command != NULL ? p->args->command->words : NULL;
}

static int usage(const struct parser *p, const char *text, const char *more)
{
	if (where(p) != NULL)
		ctl_error("%s: %s%s", where(p), text, more);
	else
		ctl_error("%s%s", text, more);
	return EXIT_USAGE;
}

// --- Options ---

static bool option_is(const struct ctl_option *o, const char *word, size_t size)
{
	return (o->flag != NULL && strlen(o->flag) == size && memcmp(o->flag, word, size) == 0) ||
	       (o->short_flag != NULL && strlen(o->short_flag) == size &&
		       memcmp(o->short_flag, word, size) == 0);
}

static const struct ctl_option *find_option(const struct parser *p, const char *word, size_t size)
{
	const struct ctl_command *c = p->args->command;

	for (unsigned i = 0; c != NULL && i < c->option_count; i++)
		if (option_is(&c->options[i], word, size))
			return &c->options[i];
	for (unsigned i = 0; i < ctl_global_option_count; i++)
		if (option_is(&ctl_global_options[i], word, size))
			return &ctl_global_options[i];
	return NULL;
}

static int unknown_option(const struct parser *p, const char *word)
{
	const struct ctl_command *c = p->args->command;
	const char *names[64] = {NULL}, *near;
	unsigned n = 0;
	char text[256];

	for (unsigned i = 0; c != NULL && i < c->option_count && n < 48; i++)
		if (c->options[i].flag != NULL)
			names[n++] = c->options[i].flag;
	for (unsigned i = 0; i < ctl_global_option_count && n < 64; i++)
		names[n++] = ctl_global_options[i].flag;
	near = proto_nearest(word, names, n);
	if (near != NULL)
		snprintf(text, sizeof(text), "no option %.64s; did you mean %s?", word, near);
	else
		snprintf(text, sizeof(text), "no option %.64s; pktctl%s%s --help lists them", word,
			c != NULL ? " " : "", c != NULL ? c->words : "");
	return usage(p, text, "");
}

static int store(struct parser *p, const struct ctl_option *o, cJSON *value)
{
	bool is_global = o >= ctl_global_options &&
	                 o < ctl_global_options + ctl_global_option_count;
	cJSON *object = is_global ? p->globals : o->local ? p->args->local : p->args->params;

	if (value == NULL)
		return usage(p, "out of memory", "");
	cJSON_DeleteItemFromObjectCaseSensitive(object, o->param.name); // the last one counts
	if (!cJSON_AddItemToObject(object, o->param.name, value)) {
		cJSON_Delete(value);
		return usage(p, "out of memory", "");
	}
	return 0;
}

static int store_word(struct parser *p, const struct ctl_option *o, const char *word)
{
	const char *name = o->flag != NULL ? o->flag : o->metavar;
	char problem[400], text[500];
	cJSON *value = proto_value_from_word(&o->param, word, problem, sizeof(problem));

	if (value == NULL) {
		snprintf(text, sizeof(text), "%s: %s", name, problem);
		return usage(p, text, "");
	}
	return store(p, o, value);
}

static int take_option(struct parser *p, const char *word)
{
	const char *equals = strchr(word, '=');
	size_t size = equals != NULL ? (size_t)(equals - word) : strlen(word);
	const struct ctl_option *o = find_option(p, word, size);
	char text[200];

	if (o == NULL)
		return unknown_option(p, word);
	if (o->param.kind == PROTO_BOOL) {
		if (equals == NULL)
			return store(p, o, cJSON_CreateTrue());
		snprintf(text, sizeof(text), "%s takes no value", o->flag);
		return usage(p, text, "");
	}
	if (equals != NULL)
		return store_word(p, o, equals + 1);
	if (p->at >= p->argc) {
		snprintf(text, sizeof(text), "%s wants a value: ", o->flag);
		return usage(p, text, o->param.accepts);
	}
	return store_word(p, o, p->argv[p->at++]);
}

// --- Commands ---

static const struct ctl_command *find_command(const char *words)
{
	for (unsigned i = 0; i < ctl_command_count; i++)
		if (strcmp(ctl_commands[i].words, words) == 0)
			return &ctl_commands[i];
	return NULL;
}

// The commands that begin with a word ("capture"): their second words, comma separated.
static bool group_words(const char *first, char *text, size_t size)
{
	size_t n = strlen(first), at = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < ctl_command_count; i++) {
		const char *w = ctl_commands[i].words;

		if (strncmp(w, first, n) == 0 && w[n] == ' ' && at < size)
			at += (size_t)snprintf(
				text + at, size - at, "%s%s", at > 0 ? ", " : "", w + n + 1);
	}
	return at > 0;
}

static int unknown_command(struct parser *p, const char *word)
{
	const char *names[64] = {NULL}, *near;
	char firsts[64][32], text[256];
	unsigned n = 0;

	for (unsigned i = 0; i < ctl_command_count && n < 64; i++) {
		snprintf(firsts[n], sizeof(firsts[n]), "%.*s",
			(int)strcspn(ctl_commands[i].words, " "), ctl_commands[i].words);
		names[n] = firsts[n];
		n++;
	}
	near = proto_nearest(word, names, n);
	if (near != NULL)
		snprintf(text, sizeof(text), "no command \"%.64s\"; did you mean %s?", word, near);
	else
		snprintf(
			text, sizeof(text), "no command \"%.64s\"; pktctl --help lists them", word);
	return usage(p, text, "");
}

static int take_command(struct parser *p, const char *word)
{
	char accepted[128], words[128], text[400];

	p->args->command = find_command(word);
	if (p->args->command != NULL)
		return 0;
	if (!group_words(word, accepted, sizeof(accepted)))
		return unknown_command(p, word);
	if (p->at < p->argc && p->argv[p->at][0] != '-') {
		const char *second = p->argv[p->at++];

		snprintf(words, sizeof(words), "%s %.64s", word, second);
		p->args->command = find_command(words);
		if (p->args->command != NULL)
			return 0;
		snprintf(text, sizeof(text), "%s: no command \"%.64s\"; accepts %s", word, second,
			accepted);
		return usage(p, text, "");
	}
	snprintf(text, sizeof(text), "%s: which command? accepts %s", word, accepted);
	return usage(p, text, "");
}

static int take_positional(struct parser *p, const char *word)
{
	const struct ctl_command *c = p->args->command;
	unsigned n = 0;
	char text[200];

	for (unsigned i = 0; i < c->option_count; i++) {
		if (c->options[i].flag != NULL)
			continue;
		if (n++ == p->positionals) {
			p->positionals++;
			return store_word(p, &c->options[i], word);
		}
	}
	snprintf(text, sizeof(text), "unexpected argument \"%.64s\"; pktctl %s --help", word,
		c->words);
	return usage(p, text, " shows what it takes");
}

static int check_required(const struct parser *p)
{
	const struct ctl_command *c = p->args->command;

	for (unsigned i = 0; c != NULL && i < c->option_count; i++) {
		const struct ctl_option *o = &c->options[i];
		const cJSON *object = o->local ? p->args->local : p->args->params;
		char text[200];

		if (!o->param.required ||
			cJSON_GetObjectItemCaseSensitive(object, o->param.name) != NULL)
			continue;
		snprintf(text, sizeof(text), "%s is missing: %s; accepts ",
			o->flag != NULL ? o->flag : o->metavar, o->param.help);
		return usage(p, text, o->param.accepts);
	}
	return 0;
}

static void fill_globals(struct ctl_globals *g)
{
	const cJSON *v;

	g->json = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(g->values, "json"));
	g->help = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(g->values, "help"));
	g->version = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(g->values, "version"));
	v = cJSON_GetObjectItemCaseSensitive(g->values, "socket");
	g->socket = v != NULL ? v->valuestring : NULL;
	v = cJSON_GetObjectItemCaseSensitive(g->values, "timeout");
	g->timeout_s = v != NULL ? v->valuedouble : 0;
	v = cJSON_GetObjectItemCaseSensitive(g->values, "color");
	g->color = v == NULL                               ? CTL_COLOR_WHEN_AUTO
	           : strcmp(v->valuestring, "always") == 0 ? CTL_COLOR_WHEN_ALWAYS
	           : strcmp(v->valuestring, "never") == 0  ? CTL_COLOR_WHEN_NEVER
	                                                   : CTL_COLOR_WHEN_AUTO;
}

int args_parse(int argc, char **argv, struct ctl_globals *globals, struct ctl_args *args)
{
	struct parser p = {.argc = argc, .at = 1, .argv = argv, .args = args};
	int r = 0;

	memset(globals, 0, sizeof(*globals));
	memset(args, 0, sizeof(*args));
	globals->values = p.globals = cJSON_CreateObject();
	args->params = cJSON_CreateObject();
	args->local = cJSON_CreateObject();
	while (r == 0 && p.at < argc) {
		const char *word = argv[p.at++];

		if (!p.options_ended && strcmp(word, "--") == 0)
			p.options_ended = true;
		else if (!p.options_ended && word[0] == '-' && word[1] != '\0')
			r = take_option(&p, word);
		else if (args->command == NULL)
			r = take_command(&p, word);
		else
			r = take_positional(&p, word);
	}
	if (r != 0)
		return r;
	fill_globals(globals);
	if (globals->help || globals->version)
		return 0;
	if (args->command == NULL) {
		ctl_error("which command? pktctl --help lists them");
		return EXIT_USAGE;
	}
	return check_required(&p);
}

void args_free(struct ctl_globals *globals, struct ctl_args *args)
{
	cJSON_Delete(globals->values);
	cJSON_Delete(args->params);
	cJSON_Delete(args->local);
}
