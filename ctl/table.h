// SPDX-License-Identifier: Apache-2.0
// Tables on libsmartcols: aligned, never cut, coloured where wanted. Cells are copied.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct table;

enum table_color { TABLE_PLAIN, TABLE_GOOD, TABLE_WARN, TABLE_BAD, TABLE_DIM };

// columns: names, ending with NULL; one that begins with '>' is aligned to the right.
// Never returns NULL: without memory, all that follows does nothing and table_print says so.
struct table *table_new(bool color, const char *const *columns);
void table_row(struct table *);                    // begins a row
void table_cell(struct table *, const char *text); // the row's next cell
void table_cell_color(struct table *, enum table_color, const char *text);
// Prints to f and frees. Returns 0, or EXIT_ANSWERED_ERROR with an error printed.
int table_print(struct table *, FILE *f);

// What a state's name means, in colour: running, finished, failed, …
enum table_color table_state_color(const char *state);

// Bytes of the character at s when it is one that steers a terminal, else 0.
size_t control_length(const char *s);

// Text for people that may come from anywhere: control characters become \xNN.
void print_safe(FILE *f, const char *text);
