/* What the files of run_conf share with each other and with nobody else. */
#ifndef PANDO_RUN_CONF_INT_H
#define PANDO_RUN_CONF_INT_H

#include "daemon/run/run_conf.h"

/* A name found in the table: its row and its place there. row is NULL when there is none. */
struct run_conf_match {
	const struct run_conf_key *row;
	size_t at;
};

/* Finds a key as run_conf_find does; `name` has len bytes. */
struct run_conf_match run_conf_lookup(const char *name, size_t len);

/* The place of the row of exactly this name, which exists (asserted). */
size_t run_conf_place(const char *name);

/* The known key, alias or pattern that is fewest edits away from name, or null when none is near.
 * Static. */
struct rt_slice run_conf_nearest(const char *name, size_t len);

/* One setting, from wherever: key and value are raw bytes, `where` is the place that messages begin
 * with. */
__attribute__((warn_unused_result)) int run_conf_assign(struct run_conf *conf, struct rt_slice key,
	struct rt_slice value, const char *where, struct rt_buf *notices, struct rt_err *ret_err);

/* Whether the text is one of the words of "a|b|c", in any case; its place in *ret_at (may be NULL).
 */
bool run_conf_is_word(const char *words, const char *text, int *ret_at);

/* A copy that the caller owns. */
char *run_conf_copy(const char *p, size_t len);

/* Replaces *where by a copy of text, or by NULL. */
void run_conf_replace(char **where, const char *text);

/* For "%.*s": text from outside that may be long, cut so that the rest of the message has room. */
#define CUT(text) 200, (text)

/* Appends bytes from outside to a message: cut, control characters escaped. */
void run_conf_say(struct rt_buf *out, struct rt_slice bytes);

#endif
