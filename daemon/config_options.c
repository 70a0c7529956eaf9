// SPDX-License-Identifier: Apache-2.0
// The command line: getopt_long over the table of options. It is gone through twice: first for what
// must be known before the file is read (--config, --help, --version), then to lay its values on top
// of the file's. A reload repeats the second pass.
#include "config_keys.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPTIONS_MAX = 32, LONG_OPTION = 1000 };

struct command_line {
	int argc;
	char **argv;
	struct option table[OPTIONS_MAX];
	struct config_errors *errors;
};

// What the first pass finds.
struct preview {
	const char *path; // --config
	bool check, version, help;
};

static void command_line_init(
	struct command_line *l, int argc, char **argv, struct config_errors *errors)
{
	unsigned n = 0;

	*l = (struct command_line){.argc = argc, .argv = argv, .errors = errors};
	for (; config_options[n].name != NULL && n + 1 < OPTIONS_MAX; n++)
		l->table[n] = (struct option){.name = config_options[n].name,
			.has_arg = config_options[n].argument != NULL ? required_argument
		                                                      : no_argument,
			.val = LONG_OPTION + (int)n};
	optind = 0; // glibc: begin anew
	opterr = 0;
}

static const struct config_option *option_of_kind(enum config_option_kind kind)
{
	const struct config_option *o = config_options;

	while (o->kind != kind)
		o++;
	return o;
}

// Returns 1 with the next option, 0 at the end, or -EINVAL after a message.
static int next_option(const struct command_line *l, const struct config_option **ret)
{
	const char *word = l->argc > 0 ? l->argv[optind == 0 ? 1 : optind] : NULL;
	int o = getopt_long(l->argc, l->argv, "+:h", l->table, NULL);

	if (o == -1)
		return 0;
	if (o == ':' || o == '?') {
		config_error(l->errors, 0, 0, word, NULL, "%s",
			o == ':'                ? "needs an argument"
			: optopt >= LONG_OPTION ? "takes no argument"
						: "there is no such option");
		return -EINVAL;
	}
	*ret = o == 'h' ? option_of_kind(OPTION_HELP) : &config_options[o - LONG_OPTION];
	return 1;
}

// What follows the last option: nothing, or EAL's arguments after "--".
// Returns their number, or -EINVAL after a message. last: the argument of the last option, or NULL.
static int eal_arguments(const struct command_line *l, const char *last)
{
	if (optind >= l->argc)
		return 0;
	if (strcmp(l->argv[optind - 1], "--") == 0 && l->argv[optind - 1] != last)
		return l->argc - optind;
	config_error(l->errors, 0, 0, l->argv[optind], "--capture pcap:FILE and other options",
		"unexpected argument");
	return -EINVAL;
}

static int preview(const struct command_line *l, struct preview *p)
{
	const struct config_option *o;
	const char *last = NULL;
	int rc;

	while ((rc = next_option(l, &o)) > 0) {
		last = o->argument != NULL ? optarg : NULL;
		switch (o->kind) {
		case OPTION_CONFIG:
			p->path = optarg;
			break;
		case OPTION_CHECK:
			p->check = true;
			break;
		case OPTION_VERSION:
			p->version = true;
			break;
		case OPTION_HELP:
			p->help = true;
			break;
		case OPTION_KEY:
		case OPTION_LIST:
		case OPTION_EVENTS:
		case OPTION_FOLLOW:
		case OPTION_EXIT_WHEN_DONE:
		case OPTION_NO_HUGE:
			break;
		}
	}
	if (rc == 0)
		rc = eal_arguments(l, last);
	return rc < 0 ? rc : 0;
}

static int set_key(struct config_errors *errors, const char *name, const struct config_key *key,
	void *base, const char *text)
{
	char problem[512], accepted[256];
	int rc = config_value_is_null(text) ? -EINVAL : 0;

	if (rc != 0)
		snprintf(problem, sizeof(problem), "the value is empty");
	else
		rc = config_value_set(key, base, text, problem, sizeof(problem));
	if (rc == -EINVAL) {
		config_value_accepted(key, accepted, sizeof(accepted));
		config_error(errors, 0, 0, name, accepted, "%s", problem);
	}
	return rc;
}

// One more capture; the first one takes the place of the file's.
static int add_capture(
	const struct command_line *l, struct config *c, const char *source, bool *first)
{
	struct config_capture *more;

	if (*first) {
		for (unsigned i = 0; i < c->capture_count; i++) {
			free(c->captures[i].name);
			free(c->captures[i].source);
			free(c->captures[i].filter);
		}
		c->capture_count = 0;
		*first = false;
	}
	if (c->capture_count == CONFIG_CAPTURES_MAX) {
		config_error(l->errors, 0, 0, "--capture", NULL, "at most %d can be given",
			CONFIG_CAPTURES_MAX);
		return -EINVAL;
	}
	more = realloc(c->captures, (c->capture_count + 1) * sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	c->captures = more;
	more[c->capture_count] = (struct config_capture){NULL, NULL, NULL};
	c->capture_count++;
	return set_key(l->errors, "--capture", config_key_find("captures.source"),
		&c->captures[c->capture_count - 1], source);
}

static int set_string(char **at, const char *text)
{
	char *copy = strdup(text);

	if (copy == NULL)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

static int set_folder(const struct command_line *l, struct config *c, const char *path)
{
	struct stat st;
	int rc = 0;

	if (stat(path, &st) < 0)
		rc = errno;
	else if (!S_ISDIR(st.st_mode))
		rc = ENOTDIR;
	else if (access(path, W_OK | X_OK) < 0)
		rc = errno;
	if (rc != 0) {
		config_error(l->errors, 0, 0, "--follow-to",
			"a folder that exists and can be written to", "%s: %s", path, strerror(rc));
		return -EINVAL;
	}
	return set_string(&c->follow_to, path);
}

static int copy_strings(char **from, int count, char ***ret, int *ret_count)
{
	char **copy = calloc((size_t)count + 1, sizeof(*copy));

	if (copy == NULL)
		return -ENOMEM;
	*ret = copy;
	for (int i = 0; i < count; i++) {
		copy[i] = strdup(from[i]);
		if (copy[i] == NULL)
			return -ENOMEM;
		*ret_count = i + 1;
	}
	return 0;
}

static int apply_option(const struct command_line *l, const struct config_option *o,
	struct config *c, bool *first_capture)
{
	char name[64];

	switch (o->kind) {
	case OPTION_KEY:
		snprintf(name, sizeof(name), "--%s", o->name);
		return set_key(l->errors, name, config_key_find(o->key), c, optarg);
	case OPTION_LIST:
		return add_capture(l, c, optarg, first_capture);
	case OPTION_EVENTS:
		return set_string(&c->events, optarg);
	case OPTION_FOLLOW:
		return set_folder(l, c, optarg);
	case OPTION_EXIT_WHEN_DONE:
		c->exit_when_done = true;
		break;
	case OPTION_NO_HUGE:
		c->no_huge = true;
		break;
	case OPTION_CHECK:
		c->check_only = true;
		break;
	case OPTION_CONFIG:
	case OPTION_VERSION:
	case OPTION_HELP:
		break;
	}
	return 0;
}

// Lays environment and command line over what the file said.
static int apply(struct config *c, int argc, char **argv, struct config_errors *errors)
{
	const char *socket = getenv("PKTAID_SOCKET");
	const struct config_option *o;
	const char *last = NULL;
	struct command_line l;
	bool first = true;
	int rc;

	command_line_init(&l, argc, argv, errors);
	if (socket != NULL && socket[0] != '\0') {
		rc = set_key(errors, "PKTAID_SOCKET", config_key_find("socket"), c, socket);
		if (rc != 0)
			return rc;
	}
	while ((rc = next_option(&l, &o)) > 0) {
		last = o->argument != NULL ? optarg : NULL;
		rc = apply_option(&l, o, c, &first);
		if (rc != 0)
			return rc;
	}
	if (rc == 0)
		rc = eal_arguments(&l, last);
	if (rc > 0)
		rc = copy_strings(argv + argc - rc, rc, &c->eal_argv, &c->eal_argc);
	if (rc == 0)
		rc = copy_strings(argv, argc, &c->argv, &c->argc);
	if (rc == 0 && c->exit_when_done && c->capture_count == 0) {
		config_error(errors, 0, 0, "--exit-when-done", "--capture SOURCE beside it",
			"there is no capture to wait for");
		rc = -EINVAL;
	}
	return rc;
}

struct config *config_reload(const struct config *old, const char *path, char *error, size_t size)
{
	struct config_errors errors = {.file = "pktaid", .text = error, .size = size};
	struct config *c = config_load(path, error, size);

	if (c == NULL)
		return NULL;
	if (apply(c, old->argc, old->argv, &errors) != 0) {
		if (errors.count == 0)
			config_error(&errors, 0, 0, NULL, NULL, "out of memory");
		config_free(c);
		return NULL;
	}
	return c;
}

// Prints the messages and how to learn more.
static int usage_error(const struct config_errors *errors)
{
	fprintf(stderr, "%s\nTry 'pktaid --help'.\n", errors->text);
	return -EINVAL;
}

int config_from_command_line(
	int argc, char **argv, struct config **ret, const char **ret_path, int *ret_exit)
{
	char text[CONFIG_ERROR_MAX] = "";
	struct config_errors errors = {.file = "pktaid", .text = text, .size = sizeof(text)};
	struct preview p = {.path = NULL};
	struct command_line l;
	struct config *c;
	int rc;

	*ret_exit = 1;
	command_line_init(&l, argc, argv, &errors);
	if (preview(&l, &p) != 0)
		return usage_error(&errors);
	if (p.help || p.version) {
		*ret_exit = 0;
		if (p.help)
			config_write_help(stdout);
		else
			printf("pktaid %s\n", PKTAID_VERSION);
		return 1;
	}
	if (p.path == NULL && access(CONFIG_DEFAULT_PATH, F_OK) == 0)
		p.path = CONFIG_DEFAULT_PATH;
	c = config_load(p.path, text, sizeof(text));
	if (c == NULL) {
		fprintf(stderr, "%s\n", text);
		return -EINVAL;
	}
	rc = apply(c, argc, argv, &errors);
	if (rc != 0) {
		config_free(c);
		if (rc == -ENOMEM)
			config_error(&errors, 0, 0, NULL, NULL, "out of memory");
		return rc == -ENOMEM ? (fprintf(stderr, "%s\n", text), rc) : usage_error(&errors);
	}
	if (p.check) {
		printf("%s: no mistakes\n",
			p.path != NULL ? p.path : "no configuration file, defaults");
		config_free(c);
		*ret_exit = 0;
		return 1;
	}
	*ret = c;
	*ret_path = p.path;
	return 0;
}
