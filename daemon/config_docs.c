// SPDX-License-Identifier: Apache-2.0
// The tables of keys and options as text for people: the commented etc/pktaid.yaml, --help, and the
// manual pages pktaid(8) and pktaid.yaml(5). What is fixed prose stands here; everything about a key
// or an option comes from its row.
#include "config_keys.h"

#include <stdlib.h>
#include <string.h>

// Writes text broken into lines of at most width columns, each behind prefix.
static void write_wrapped(FILE *f, const char *prefix, const char *text, size_t width)
{
	size_t column = 0;

	for (const char *word = text; *word != '\0';) {
		size_t n = strcspn(word, " ");

		if (column > 0 && column + 1 + n > width) {
			fputc('\n', f);
			column = 0;
		}
		if (column == 0)
			column = (size_t)fprintf(f, "%s%.*s", prefix, (int)n, word);
		else
			column += (size_t)fprintf(f, " %.*s", (int)n, word);
		word += n + strspn(word + n, " ");
	}
	if (column > 0)
		fputc('\n', f);
}

// The value that a key has in the template, "" where it is left out.
static void default_text(const struct config_key *key, char *text, size_t size)
{
	struct {
		uint64_t number; // keeps the member behind it aligned
		char room[64];
	} member = {.number = 0};
	struct config_key copy = *key;

	text[0] = '\0';
	if (key->kind == CONFIG_TEXT) {
		snprintf(text, size, "%s", key->text == NULL ? "" : key->text);
	} else if (key->kind != CONFIG_SECTION && key->kind != CONFIG_LIST) {
		copy.offset = 0;
		(void)config_value_default(&copy, &member); // fails for texts only
		config_value_text(&copy, &member, text, size);
	}
}

// --- etc/pktaid.yaml ---

static void template_keys(FILE *f, const struct config_key *keys, unsigned depth);

static void template_key(FILE *f, const struct config_key *key, unsigned depth)
{
	char prefix[32], value[256], accepted[256], note[600];

	snprintf(prefix, sizeof(prefix), "%*s# ", (int)(4 * depth), "");
	write_wrapped(f, prefix, key->about, 92);
	if (key->kind == CONFIG_SECTION) {
		fprintf(f, "%*s%s:\n", (int)(4 * depth), "", key->name);
		template_keys(f, key->keys, depth + 1);
		return;
	}
	if (key->kind == CONFIG_LIST) {
		for (const struct config_key *k = key->keys; k->name != NULL; k++) {
			snprintf(note, sizeof(note), "- %s: %s", k->name, k->about);
			write_wrapped(f, prefix, note, 92);
		}
		fprintf(f, "%*s%s:\n", (int)(4 * depth), "", key->name);
		for (const char *line = key->example; *line != '\0'; line += *line == '\n') {
			size_t n = strcspn(line, "\n");

			fprintf(f, "#%*s%.*s\n", (int)(4 * depth), "", (int)n, line);
			line += n;
		}
		return;
	}
	config_value_accepted(key, accepted, sizeof(accepted));
	snprintf(note, sizeof(note), "Accepted: %s.%s%s%s", accepted,
		key->unset != NULL ? " Not set: " : "", key->unset != NULL ? key->unset : "",
		key->unset != NULL ? "." : "");
	write_wrapped(f, prefix, note, 92);
	default_text(key, value, sizeof(value));
	fprintf(f, "%*s%s%s: %s\n", (int)(4 * depth), "", value[0] == '\0' ? "#" : "", key->name,
		value[0] == '\0' ? key->example : value);
}

static void template_keys(FILE *f, const struct config_key *keys, unsigned depth)
{
	for (const struct config_key *k = keys; k->name != NULL; k++) {
		if (k != keys || depth == 0)
			fputc('\n', f);
		template_key(f, k, depth);
	}
}

void config_write_template(FILE *f)
{
	fputs("# Configuration of pktaid, the packet-analytics daemon: see pktaid.yaml(5).\n"
	      "#\n"
	      "# All keys are shown with their defaults; what is left out keeps its default. Check "
	      "a\n"
	      "# changed file with \"pktaid --check-config\", apply it with \"systemctl reload "
	      "pktaid\"\n"
	      "# (log and captures) or \"systemctl restart pktaid\" (everything).\n",
		f);
	template_keys(f, config_keys, 0);
}

// --- --help ---

void config_write_help(FILE *f)
{
	fputs("Usage: pktaid [OPTION]... [-- EAL ARGUMENTS]\n"
	      "Analyse packets of captures into flows; pktctl shows them.\n\n",
		f);
	for (const struct config_option *o = config_options; o->name != NULL; o++) {
		fprintf(f, "  --%s%s%s\n", o->name, o->argument != NULL ? " " : "",
			o->argument != NULL ? o->argument : "");
		write_wrapped(f, "        ", o->about, 92);
	}
	fputs("\nAfter --, arguments for DPDK's EAL.\n"
	      "\nOne file, all flows and events as JSON lines:\n"
	      "  pktaid --capture pcap:FILE --events - --exit-when-done\n"
	      "\nMore: pktaid(8), pktaid.yaml(5), pktctl(1).\n",
		f);
}

// --- Manual pages ---

// Text as troff: hyphens as minus signs, so that options can be copied; no request at a line's start.
static void troff(FILE *f, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", f);
	for (; *text != '\0'; text++) {
		if (*text == '-')
			fputs("\\-", f);
		else if (*text == '\\')
			fputs("\\e", f);
		else
			fputc(*text, f);
	}
}

static void man_options(FILE *f)
{
	for (const struct config_option *o = config_options; o->name != NULL; o++) {
		fputs(".TP\n.BR ", f);
		fputs("\\-\\-", f);
		troff(f, o->name);
		if (o->argument != NULL)
			fprintf(f, " \" \" \\fI%s\\fR", o->argument);
		fputc('\n', f);
		troff(f, o->about);
		fputc('\n', f);
	}
	fputs(".TP\n.B \\-\\-\n"
	      "What follows are arguments for DPDK's EAL, such as\n"
	      ".BR \\-\\-file\\-prefix .\n",
		f);
}

void config_write_man8(FILE *f)
{
	fprintf(f,
		".TH PKTAID 8 \"\" \"pktaid %s\" \"System administration\"\n"
		".SH NAME\npktaid \\- packet\\-analytics daemon\n"
		".SH SYNOPSIS\n.B pktaid\n[\\fIOPTION\\fR]... [\\-\\- \\fIEAL ARGUMENTS\\fR]\n"
		".SH DESCRIPTION\n"
		"pktaid reads packets from files, network interfaces and NIC ports, joins them "
		"into\n"
		"flows and answers questions about them on a UNIX socket, where\n"
		".BR pktctl (1)\nasks. It runs in the foreground, as\n"
		".BR systemd (1)\nwants it; pktaid.service starts it.\n.PP\n"
		"Without hugepages it says so and carries on with ordinary memory. Files can be "
		"analysed\n"
		"without privileges; interfaces need CAP_NET_RAW.\n"
		".SH OPTIONS\n"
		"What is given here goes before the configuration file. Values have the form of "
		"the\n"
		"key of the same name in\n.BR pktaid.yaml (5).\n",
		PKTAID_VERSION);
	man_options(f);
	fputs(".SH BATCH USE\n"
	      "With\n.B \\-\\-exit\\-when\\-done\nand captures of files, pktaid reads them to "
	      "their end,\n"
	      "writes all flows and events to\n.BR \\-\\-events ,\n"
	      "prints a summary to standard error and exits:\n.PP\n.RS\n.EX\n"
	      "pktaid \\-\\-capture pcap:trace.pcap \\-\\-events eve.json "
	      "\\-\\-exit\\-when\\-done\n"
	      ".EE\n.RE\n"
	      ".SH STREAMS\n"
	      "With\n.B \\-\\-follow\\-to\nthe bytes of each TCP stream are saved in the order in "
	      "which its receiver\nread them, one file for each direction that carries bytes. A "
	      "name "
	      "is\nFLOWID_SRC_SPORT_DST_DPORT: the\n.I flow_id\nof the flow's record, address and "
	      "port of the sender, and of the receiver.\nA file of that name is replaced. Bytes "
	      "that "
	      "never came are left out, and\ncounted in the flow's record "
	      "(pktai.stream.gap_bytes_toserver, _toclient).\nAt the first error, such as a full "
	      "disk, "
	      "saving ends for the capture; what is\nlost then is counted "
	      "(export.stream_bytes_unsaved in\n"
	      ".BR \"pktctl stats\" ).\nA live capture that is faster than the disk loses bytes "
	      "and "
	      "counts them\n(export.stream_bytes_lost).\n"
	      ".SH SIGNALS\n"
	      ".TP\n.B SIGTERM, SIGINT\nStop the captures, end and write all flows, exit.\n"
	      ".TP\n.B SIGHUP\nRead the configuration file again. The log level, the groups,\n"
	      "the interval of stats events and the list of captures follow it; a\n"
	      "message names the keys that need a restart. A file with mistakes changes nothing.\n"
	      ".SH EXIT STATUS\n"
	      ".TP\n.B 0\nDone.\n"
	      ".TP\n.B 1\nUsage or configuration; or the daemon could not start.\n"
	      ".TP\n.B 2\nWith \\-\\-exit\\-when\\-done: a capture could not be opened or read to "
	      "its end,\nor events or streams could not be written.\n"
	      ".SH ENVIRONMENT\n"
	      ".TP\n.B PKTAID_SOCKET\nThe socket, for pktaid and pktctl; \\-\\-socket goes before "
	      "it.\n"
	      ".TP\n.B XDG_RUNTIME_DIR\nWhere the socket is when neither root nor systemd started "
	      "pktaid.\n"
	      ".SH FILES\n"
	      ".TP\n.I /etc/pktaid/pktaid.yaml\nThe configuration, see\n.BR pktaid.yaml (5).\n"
	      ".TP\n.I /run/pktaid/pktaid.sock\nThe socket of the service.\n"
	      ".SH SEE ALSO\n.BR pktctl (1),\n.BR pktaid.yaml (5),\n.BR pcap\\-filter (7)\n",
		f);
}

static void man_keys(FILE *f, const struct config_key *keys, const char *prefix)
{
	char path[128], value[256], accepted[256];

	for (const struct config_key *k = keys; k->name != NULL; k++) {
		snprintf(path, sizeof(path), "%s%s", prefix, k->name);
		fputs(".TP\n.B ", f);
		troff(f, path);
		fputc('\n', f);
		troff(f, k->about);
		fputc('\n', f);
		if (k->kind != CONFIG_SECTION) {
			config_value_accepted(k, accepted, sizeof(accepted));
			fputs("Accepted: ", f);
			troff(f, accepted);
			fputs(".\n", f);
			default_text(k, value, sizeof(value));
			if (!k->required && (value[0] != '\0' || k->unset != NULL)) {
				fputs("Default: ", f);
				troff(f, value[0] != '\0' ? value : k->unset);
				fputs(".\n", f);
			}
			if (k->required)
				fputs("Required.\n", f);
			if (k->live)
				fputs("A reload applies changes.\n", f);
		}
		if (k->keys != NULL) {
			snprintf(path, sizeof(path), "%s%s%s", prefix, k->name,
				k->kind == CONFIG_LIST ? "[]." : ".");
			man_keys(f, k->keys, path);
		}
	}
}

void config_write_man5(FILE *f)
{
	const struct config_key *captures = config_key_find("captures");

	fprintf(f,
		".TH PKTAID.YAML 5 \"\" \"pktaid %s\" \"File formats\"\n"
		".SH NAME\npktaid.yaml \\- configuration of pktaid\n"
		".SH SYNOPSIS\n.I /etc/pktaid/pktaid.yaml\n"
		".SH DESCRIPTION\n"
		"A YAML document in UTF\\-8: a mapping of the keys below, all of them optional. A "
		"key\n"
		"that is left out or left empty has its default. Unknown keys, values of another "
		"type\n"
		"or out of range, keys given twice, aliases and further documents are mistakes:\n"
		".BR pktaid (8)\n"
		"names each with file, line, column and what is accepted, and does not start; on "
		"a\n"
		"reload it goes on as before.\n"
		".PP\nTimes take ns, us, ms, s, m, h or d; sizes take B, kB, MB, GB and TB (powers "
		"of\n"
		"ten) and KiB, MiB, GiB and TiB, or plain K, M, G and T (powers of two). Both may "
		"have\n"
		"a fraction: 1.5s. Switches are true or false (yes, no, on, off are understood).\n"
		".PP\nCommand\\-line options go before this file.\n"
		".SH KEYS\n",
		PKTAID_VERSION);
	man_keys(f, config_keys, "");
	fputs(".SH EXAMPLE\n.EX\nworkers: 4\nmemory: 2GiB\nflow:\n    capacity: 4000000\n"
	      "    timeouts:\n        tcp_established: 10m\ncaptures:\n",
		f);
	troff(f, captures->example);
	fputs(".EE\n.SH SEE ALSO\n.BR pktaid (8),\n.BR pktctl (1),\n.BR pcap\\-filter (7)\n", f);
}
