// SPDX-License-Identifier: Apache-2.0
// pktctl flow ID --follow, which is a command in all but its name.
#pragma once

#include "ctl.h"

int ctl_flow_follow(struct ctl *, const struct ctl_args *);
