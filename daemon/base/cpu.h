// SPDX-License-Identifier: Apache-2.0
// Whether this processor has what the program was built for (meson's option march).
#pragma once

// Returns NULL, or the name of an instruction set that is missing. Thread: any; meant to be the first call.
const char *cpu_lacks(void);
