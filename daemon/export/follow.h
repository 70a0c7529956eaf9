// SPDX-License-Identifier: Apache-2.0
// TCP streams as files: the tail thread writes what workers put in order, by buffers for the streams that
// had bytes last. Inside export/ only.
#pragma once

#include "export.h"

struct follow;

struct follow *follow_new(void);   // NULL without memory
void follow_free(struct follow *); // accepts NULL; writes what waits

// Thread: control, before the capture's first packet. Takes dirfd. Returns 0 or -ENOMEM.
int follow_capture(struct follow *, uint16_t capture, int dirfd, const char *path);
void follow_forget(struct follow *, uint16_t capture); // the index is free again
void follow_totals(
	struct follow *, struct export_stats *ret); // of all captures, past ones included
void follow_status(struct follow *, uint16_t capture, struct export_follow_status *ret);

// Thread: tail.
void follow_take(struct follow *, const struct stream_record *);
void follow_flush(struct follow *); // what has waited for long
void follow_capture_done(struct follow *, uint16_t capture);
