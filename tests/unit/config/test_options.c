// SPDX-License-Identifier: Apache-2.0
// The command line: every option, on top of the file and the environment; every usage error in one
// line with a hint; the options that print and exit; a reload keeps the command line's values.
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/pktaid-options-XXXXXX";
static struct config *config;
static const char *from;
static int exit_code;
static char output[16384], errors[16384];

static void write_file(const char *yaml)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(yaml, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

// What a stream gets between capture_begin and capture_end.
static int capture_begin(FILE *stream, FILE *into)
{
	int saved = dup(fileno(stream));

	fflush(stream);
	assert_true(saved >= 0 && dup2(fileno(into), fileno(stream)) >= 0);
	return saved;
}

static void capture_end(FILE *stream, int saved, FILE *into, char *text, size_t size)
{
	size_t n;

	fflush(stream);
	assert_true(dup2(saved, fileno(stream)) >= 0);
	close(saved);
	rewind(into);
	n = fread(text, 1, size - 1, into);
	text[n] = '\0';
	fclose(into);
}

// Runs with words up to NULL; "FILE" stands for the configuration file's path.
static int run(const char *first, ...)
{
	char *argv[80] = {(char[]){"pktaid"}};
	FILE *out = tmpfile(), *err = tmpfile();
	int argc = 1, rc, saved_out, saved_err;
	va_list ap;

	va_start(ap, first);
	for (const char *w = first; w != NULL; w = va_arg(ap, const char *))
		argv[argc++] = (char *)(uintptr_t)(strcmp(w, "FILE") == 0 ? path : w);
	va_end(ap);
	config_free(config);
	config = NULL;
	from = NULL;
	exit_code = -1;
	saved_out = capture_begin(stdout, out);
	saved_err = capture_begin(stderr, err);
	rc = config_from_command_line(argc, argv, &config, &from, &exit_code);
	capture_end(stderr, saved_err, err, errors, sizeof(errors));
	capture_end(stdout, saved_out, out, output, sizeof(output));
	return rc;
}

#define RUN(...) run(__VA_ARGS__, NULL)

static void expect_usage_error(const char *message)
{
	char text[512];

	snprintf(text, sizeof(text), "pktaid: %s\nTry 'pktaid --help'.\n", message);
	assert_string_equal(errors, text);
	assert_string_equal(output, "");
	assert_null(config);
	assert_int_equal(exit_code, 1);
}

static void every_option(void **state)
{
	(void)state;
	write_file("socket: /file\nworkers: 2\nlog: error\nmemory: 64\ncpus: 7\nidle: busy\n");
	assert_int_equal(RUN("--config", "FILE", "--socket", "/x.sock", "--workers=3", "--cpus",
				 "0-1", "--memory", "1024", "--no-huge", "--capture", "pcap:a",
				 "--capture=afpacket:eth0", "--events", "-", "--exit-when-done",
				 "--log-level", "debug", "--", "--file-prefix", "x"),
		0);
	assert_string_equal(from, path);
	assert_string_equal(config->socket, "/x.sock");
	assert_int_equal(config->workers, 3);
	assert_string_equal(config->cpus, "0-1");
	assert_int_equal(config->memory_mib, 1024);
	assert_true(config->no_huge);
	assert_true(config->busy);
	assert_int_equal(config->capture_count, 2);
	assert_string_equal(config->captures[0].source, "pcap:a");
	assert_string_equal(config->captures[1].source, "afpacket:eth0");
	assert_null(config->captures[1].name);
	assert_string_equal(config->events, "-");
	assert_true(config->exit_when_done);
	assert_int_equal(config->log, LOG_LEVEL_DEBUG);
	assert_int_equal(config->eal_argc, 2);
	assert_string_equal(config->eal_argv[0], "--file-prefix");
	assert_string_equal(config->eal_argv[1], "x");
	assert_null(config->eal_argv[2]);
	assert_string_equal(errors, "");
}

static void captures_of_the_file(void **state)
{
	(void)state;
	write_file("captures:\n- {source: pcap:f, name: f, filter: tcp}\n");
	assert_int_equal(RUN("--config", "FILE", "--exit-when-done"), 0);
	assert_int_equal(config->capture_count, 1);
	assert_string_equal(config->captures[0].name, "f");
	assert_int_equal(RUN("--config", "FILE", "--capture", "pcap:c"), 0);
	assert_int_equal(config->capture_count, 1);
	assert_string_equal(config->captures[0].source, "pcap:c");
	assert_null(config->captures[0].name);
	assert_null(config->captures[0].filter);
}

static void socket_order(void **state)
{
	char place[128], tiny[8];

	(void)state;
	write_file("socket: /file.sock\n");
	assert_int_equal(RUN("--config", "FILE"), 0);
	assert_string_equal(config->socket, "/file.sock");
	setenv("PKTAID_SOCKET", "/env.sock", 1);
	assert_int_equal(RUN("--config", "FILE"), 0);
	assert_string_equal(config->socket, "/env.sock");
	assert_int_equal(RUN("--config", "FILE", "--socket", "/arg.sock"), 0);
	assert_int_equal(config_socket_path(config, place, sizeof(place)), 0);
	assert_string_equal(place, "/arg.sock");
	assert_int_equal(config_socket_path(config, tiny, sizeof(tiny)), -ENAMETOOLONG);
	unsetenv("PKTAID_SOCKET");
	assert_int_equal(RUN("--config", "/dev/null"), 0);
	setenv("RUNTIME_DIRECTORY", "/run/a:/run/b", 1);
	assert_int_equal(config_socket_path(config, place, sizeof(place)), 0);
	assert_string_equal(place, "/run/a/pktaid.sock");
	unsetenv("RUNTIME_DIRECTORY");
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	assert_int_equal(config_socket_path(config, place, sizeof(place)), 0);
	assert_string_equal(
		place, geteuid() == 0 ? "/run/pktaid/pktaid.sock" : "/run/user/7/pktaid.sock");
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(
		config_socket_path(config, place, sizeof(place)), geteuid() == 0 ? 0 : -ENOENT);
}

static void usage_errors(void **state)
{
	(void)state;
	assert_int_equal(RUN("--frobnicate"), -EINVAL);
	expect_usage_error("--frobnicate: there is no such option");
	assert_int_equal(RUN("-x"), -EINVAL);
	expect_usage_error("-x: there is no such option");
	assert_int_equal(RUN("--workers"), -EINVAL);
	expect_usage_error("--workers: needs an argument");
	assert_int_equal(RUN("--no-huge=1"), -EINVAL);
	expect_usage_error("--no-huge=1: takes no argument");
	assert_int_equal(RUN("trace.pcap"), -EINVAL);
	expect_usage_error(
		"trace.pcap: unexpected argument; accepted: --capture pcap:FILE and other "
		"options");
	assert_int_equal(RUN("--socket", "--", "x"), -EINVAL);
	expect_usage_error(
		"x: unexpected argument; accepted: --capture pcap:FILE and other options");
	assert_int_equal(RUN("--config", "/dev/null", "--workers", "65"), -EINVAL);
	expect_usage_error("--workers: '65' is out of range; accepted: 1 to 64");
	assert_int_equal(RUN("--config", "/dev/null", "--workers", ""), -EINVAL);
	expect_usage_error("--workers: the value is empty; accepted: 1 to 64");
	assert_int_equal(RUN("--config", "/dev/null", "--log-level", "loud"), -EINVAL);
	expect_usage_error(
		"--log-level: 'loud' is no such value; accepted: error, warning, notice, "
		"info or debug");
	assert_int_equal(RUN("--config", "/dev/null", "--capture", "trace.pcap"), -EINVAL);
	expect_usage_error("--capture: 'trace.pcap' is no source: give pcap:FILE, afpacket:IFACE, "
			   "afxdp:IFACE, pci:ADDRESS or vdev:NAME,ARGS; accepted: a source such as "
			   "pcap:FILE or afpacket:INTERFACE");
	assert_int_equal(RUN("--config", "/dev/null", "--exit-when-done"), -EINVAL);
	expect_usage_error("--exit-when-done: there is no capture to wait for; accepted: --capture "
			   "SOURCE beside it");
	setenv("PKTAID_SOCKET",
		"/012345678901234567890123456789012345678901234567890123456789012345678901234567890"
		"1234567"
		"8901234567890123456789",
		1);
	assert_int_equal(RUN("--config", "/dev/null"), -EINVAL);
	unsetenv("PKTAID_SOCKET");
	expect_usage_error("PKTAID_SOCKET: is 111 bytes long, not 1 to 107; accepted: a path of at "
			   "most 107 bytes");
}

static void too_many_captures(void **state)
{
	char program[] = "pktaid", file[] = "--config=/dev/null", capture[] = "--capture=pcap:x";
	char *argv[CONFIG_CAPTURES_MAX + 8] = {program, file};
	const char *ret_path;
	struct config *c = NULL;
	int argc = 2, code;

	(void)state;
	for (unsigned i = 0; i < CONFIG_CAPTURES_MAX; i++)
		argv[argc++] = capture;
	assert_int_equal(config_from_command_line(argc, argv, &c, &ret_path, &code), 0);
	assert_int_equal(c->capture_count, CONFIG_CAPTURES_MAX);
	config_free(c);
	argv[argc++] = capture;
	assert_int_equal(config_from_command_line(argc, argv, &c, &ret_path, &code), -EINVAL);
}

static void broken_file(void **state)
{
	char text[512];

	(void)state;
	write_file("log: notice\nworkers: many\n");
	assert_int_equal(RUN("--config", "FILE", "--check-config"), -EINVAL);
	assert_int_equal(exit_code, 1);
	snprintf(text, sizeof(text),
		"%s:2:10: workers: 'many' is no such value; accepted: 1 to 64\n", path);
	assert_string_equal(errors, text);
	assert_string_equal(output, "");
}

static void print_and_exit(void **state)
{
	char text[512];

	(void)state;
	write_file("log: notice\n");
	assert_int_equal(RUN("--config", "FILE", "--check-config"), 1);
	assert_int_equal(exit_code, 0);
	snprintf(text, sizeof(text), "%s: no mistakes\n", path);
	assert_string_equal(output, text);
	assert_int_equal(RUN("--version"), 1);
	assert_int_equal(exit_code, 0);
	assert_string_equal(output, "pktaid " PKTAID_VERSION "\n");
	// help needs no readable file
	assert_int_equal(RUN("--config", "/nowhere", "--help"), 1);
	assert_int_equal(exit_code, 0);
	assert_non_null(strstr(output, "\n  --capture SOURCE\n"));
	assert_string_equal(errors, "");
	assert_int_equal(RUN("-h"), 1);
	assert_non_null(strstr(output, "Usage: pktaid"));
}

static void reload(void **state)
{
	char text[CONFIG_ERROR_MAX], keys[128];
	struct config *c;

	(void)state;
	write_file("workers: 2\nmemory: 64\n");
	assert_int_equal(RUN("--config", "FILE", "--workers", "3", "--", "-v"), 0);
	write_file("workers: 4\nmemory: 128\nlog: debug\n");
	c = config_reload(config, from, text, sizeof(text));
	assert_non_null(c);
	assert_int_equal(c->workers, 3);
	assert_int_equal(c->memory_mib, 128);
	assert_int_equal(c->log, LOG_LEVEL_DEBUG);
	assert_int_equal(c->eal_argc, 1);
	assert_int_equal(config_restart_keys(config, c, keys, sizeof(keys)), 1);
	assert_string_equal(keys, "memory");
	config_free(config);
	config = c;
	write_file("workers: 4\nmemori: 128\n");
	assert_null(config_reload(config, from, text, sizeof(text)));
	assert_non_null(strstr(text, ":2:1: memori: there is no such key"));
	// --exit-when-done lived on the file's captures
	write_file("captures: [{source: pcap:x}]\n");
	assert_int_equal(RUN("--config", "FILE", "--exit-when-done"), 0);
	write_file("\n");
	assert_null(config_reload(config, from, text, sizeof(text)));
	assert_non_null(strstr(text, "there is no capture to wait for"));
}

static int begin(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	unsetenv("PKTAID_SOCKET");
	unsetenv("RUNTIME_DIRECTORY");
	return fd < 0 ? -1 : close(fd);
}

static int end(void **state)
{
	(void)state;
	config_free(config);
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_option),
		cmocka_unit_test(captures_of_the_file),
		cmocka_unit_test(socket_order),
		cmocka_unit_test(usage_errors),
		cmocka_unit_test(too_many_captures),
		cmocka_unit_test(broken_file),
		cmocka_unit_test(print_and_exit),
		cmocka_unit_test(reload),
	};

	return cmocka_run_group_tests_name("options", tests, begin, end);
}
