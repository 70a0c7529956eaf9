// SPDX-License-Identifier: Apache-2.0
// The table of captures, for `status` and `capture list`.
#pragma once

#include <stdio.h>

#include "ctl.h"

// captures: an array of Capture. Returns an exit code.
int capture_table(const struct ctl *, const cJSON *captures, FILE *f);
