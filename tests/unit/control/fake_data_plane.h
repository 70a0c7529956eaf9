// SPDX-License-Identifier: Apache-2.0
// A data plane made up for the tests of control: worker.h's functions over flows that are computed,
// not captured. Answers come from workers_dispatch(), as the real ones do; ended flows go through
// real record rings to the real tail thread and its recent store.
#pragma once

#include "export.h"
#include "worker.h"

// flows: for each worker and capture.
struct workers *fake_new(unsigned workers, unsigned flows);
void fake_free(struct workers *);
void fake_set_export(struct workers *, struct export *);
void fake_tick(struct workers *); // packets come in

// hold: answers wait until release · freeze N, thaw: a worker's heartbeat stands still · busy,
// idle: no further question is taken · race: flows end between the workers' answer and its use.
// Returns false for anything else.
bool fake_command(struct workers *, const char *line);
