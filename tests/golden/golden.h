/* Scenarios in text files. A file is a row of blocks:
 *
 *     # comment lines, kept
 *     command
 *     another
 *     ----
 *     what they printed
 *
 * with a blank line behind each. A command's line that begins with a blank belongs to the command above it.
 * golden_main runs each file through a handler of its own life; with --rewrite it writes what was printed
 * into the file, for a human to look at in the diff. */
#ifndef PANDO_TESTS_GOLDEN_H
#define PANDO_TESTS_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/runtime/rt_buf.h"

#define GOLDEN_WORDS 64u

/* A line of a command: its words, quotes and \xNN resolved. */
struct golden_line {
	struct rt_slice words[GOLDEN_WORDS];
	bool quoted[GOLDEN_WORDS];
	size_t count;
};

struct golden_command {
	const struct golden_line *lines; /* the command's own, then those that belong to it */
	size_t count;
};

/* Makes, feeds and ends what a file is run against. run prints into out. */
struct golden_handler {
	void *(*begin)(void);
	void (*run)(void *world, const struct golden_command *command, struct rt_buf *out);
	void (*end)(void *world);
};

int golden_main(int argc, char **argv, const struct golden_handler *handler);

/* The word at `at`, or the empty one. */
struct rt_slice golden_word(const struct golden_line *l, size_t at);
/* The rest of the first word (behind the command) that begins with key=; null when there is none. */
struct rt_slice golden_option(const struct golden_line *l, const char *key);
/* Whether a word stands there by itself. */
bool golden_flag(const struct golden_line *l, const char *flag);
/* A number, decimal or 0x; ends the test with a message for what is none. */
int64_t golden_number(struct rt_slice word);
/* Ends the test: the scenario is not well-formed. */
_Noreturn void golden_bad(const char *what, struct rt_slice word);

#endif
