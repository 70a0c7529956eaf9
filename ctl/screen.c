// SPDX-License-Identifier: Apache-2.0
// --watch; see screen.h. Uses the alternate screen and reads keys without echo; what it changes of
// the terminal it changes back on every way out, signals included (they only end the wait).
#include "screen.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "client.h"

enum { WATCH_SECONDS = 1 };

struct screen {
	bool is_on;
	bool keys; // stdin is a terminal that we changed
	struct termios before;
};

static void screen_on(struct screen *s)
{
	struct termios raw;

	s->is_on = true;
	ctl_errors_hold(true);
	if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &s->before) == 0) {
		raw = s->before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw.c_cc[VMIN] = 0;
		raw.c_cc[VTIME] = 0;
		s->keys = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	}
	fputs("\033[?1049h\033[?25l", stdout); // alternate screen, no cursor
}

static void screen_off(struct screen *s)
{
	if (!s->is_on)
		return;
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (s->keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
	s->is_on = false;
}

// Columns that a line takes: UTF-8 characters, without colour sequences.
static size_t line_width(const char *line, size_t size)
{
	size_t width = 0;

	for (size_t i = 0; i < size; i++) {
		if (line[i] == '\033') {
			while (i < size && line[i] != 'm')
				i++;
			continue;
		}
		width += ((unsigned char)line[i] & 0xc0) != 0x80;
	}
	return width;
}

// Shows as many lines as fit; the last row says that there are more.
static void show(const char *text)
{
	struct winsize w = {.ws_row = 24, .ws_col = 80};
	size_t rows, used = 0;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_row == 0 || w.ws_col == 0)
		w = (struct winsize){.ws_row = 24, .ws_col = 80};
	rows = w.ws_row;
	fputs("\033[H", stdout);
	while (*text != '\0') {
		size_t n = strcspn(text, "\n"), width = line_width(text, n);
		size_t takes = width > w.ws_col ? (width + w.ws_col - 1) / w.ws_col : 1;
		bool is_last = text[n] == '\0' || text[n + 1] == '\0';

		if (used + takes > rows - !is_last) {
			fputs("(more; make the window larger, or show less)\033[K", stdout);
			break;
		}
		fprintf(stdout, "%.*s\033[K%s", (int)n, text, is_last ? "" : "\r\n");
		used += takes;
		text += n + (text[n] == '\n');
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

// Waits for the next picture. Returns whether to go on.
static bool wait_next(const struct screen *s, double until)
{
	for (;;) {
		int r = client_pause(s->keys ? STDIN_FILENO : -1, until - client_now());
		char key;

		if (r == EXIT_INTERRUPTED)
			return false;
		if (r <= 0)
			return true; // time is over, or the window has another size
		if (read(STDIN_FILENO, &key, 1) != 1)
			return false; // the terminal has gone
		if (key == 'q' || key == 'Q')
			return false;
	}
}

// Draws into memory. Returns the draw's exit code; text on the heap.
static int picture(struct ctl *ctl, const struct ctl_args *args, screen_draw draw, char **ret_text)
{
	size_t size = 0;
	FILE *f;
	int r;

	*ret_text = NULL;
	f = open_memstream(ret_text, &size);
	if (f == NULL) {
		ctl_error("out of memory");
		return EXIT_ANSWERED_ERROR;
	}
	r = draw(ctl, args, f);
	fclose(f);
	return r;
}

static int watch(struct ctl *ctl, const struct ctl_args *args, screen_draw draw)
{
	struct screen s = {0};
	char *text = NULL, *next = NULL;
	int r = EXIT_DONE;
	bool go_on = true;

	client_catch_signals();
	while (go_on) {
		double start = client_now();

		r = picture(ctl, args, draw, &next);
		if (r != EXIT_DONE)
			break;
		free(text);
		text = next;
		next = NULL;
		if (ctl->interactive && !ctl->json && !s.is_on)
			screen_on(&s);
		if (s.is_on) {
			show(text);
		} else {
			fprintf(stdout, "%s%s", text, ctl->json ? "" : "\n");
			if (fflush(stdout) != 0)
				break; // nobody reads any more
		}
		go_on = wait_next(&s, start + WATCH_SECONDS);
	}
	if (s.is_on) {
		screen_off(&s);
		fputs(text, stdout);
		fflush(stdout);
		ctl_errors_hold(false);
	}
	free(text);
	free(next);
	return r == EXIT_INTERRUPTED ? EXIT_DONE : r;
}

int screen_run(struct ctl *ctl, const struct ctl_args *args, bool again, screen_draw draw)
{
	return again ? watch(ctl, args, draw) : draw(ctl, args, stdout);
}
