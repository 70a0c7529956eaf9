// SPDX-License-Identifier: Apache-2.0
// --watch: the same picture again each second, in place; q or Ctrl-C ends it and the terminal is as
// it was, with the last picture on it. Without a terminal, pictures follow each other.
#pragma once

#include <stdio.h>

#include "ctl.h"

// Draws one picture into f. Returns EXIT_DONE; anything else ends the watch with it.
typedef int (*screen_draw)(struct ctl *, const struct ctl_args *, FILE *f);

// Draws once to stdout; with watch, again and again. Returns an exit code.
int screen_run(struct ctl *, const struct ctl_args *, bool watch, screen_draw draw);
