#include "tests/golden/golden.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX (64u << 20)
#define LINES_MAX 8192u

static const char *current_file;
static size_t current_line;

_Noreturn void golden_bad(const char *what, struct rt_slice word)
{
	fprintf(stderr, "%s:%zu: %s: %.*s\n", current_file, current_line, what, (int)word.len,
		(const char *)word.p);
	exit(1);
}

struct rt_slice golden_word(const struct golden_line *l, size_t at)
{
	return at < l->count ? l->words[at] : rt_slice_str("");
}

struct rt_slice golden_option(const struct golden_line *l, const char *key)
{
	size_t n = strlen(key);
	for (size_t i = 1; i < l->count; i++) {
		struct rt_slice w = l->words[i];
		if (w.len > n && memcmp(w.p, key, n) == 0 && w.p[n] == '=')
			return rt_slice_of(w.p + n + 1, w.len - n - 1);
	}
	return (struct rt_slice){ 0 };
}

bool golden_flag(const struct golden_line *l, const char *flag)
{
	for (size_t i = 1; i < l->count; i++)
		if (!l->quoted[i] && rt_slice_is(l->words[i], flag))
			return true;
	return false;
}

int64_t golden_number(struct rt_slice word)
{
	char text[32];
	char *end;
	if (word.len == 0 || word.len >= sizeof text)
		golden_bad("not a number", word);
	memcpy(text, word.p, word.len);
	text[word.len] = '\0';
	int64_t v = (int64_t)strtoll(text, &end, 0);
	if (*end != '\0')
		golden_bad("not a number", word);
	return v;
}

static char *read_file(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		exit(1);
	}
	struct rt_buf b;
	rt_buf_init(&b, TEXT_MAX);
	char chunk[4096];
	size_t n;
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		rt_buf_put(&b, chunk, n);
	fclose(f);
	rt_buf_char(&b, '\0');
	*ret_len = b.len - 1;
	return (char *)b.p;
}

static unsigned hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	golden_bad("not a hexadecimal digit", rt_slice_of(&c, 1));
}

/* Splits a line into words, in place: what is in quotes gets shorter, never longer. */
static void split(char *p, char *end, struct golden_line *ret)
{
	*ret = (struct golden_line){ 0 };
	while (p < end) {
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		if (p == end)
			return;
		if (ret->count == GOLDEN_WORDS)
			golden_bad("too many words", rt_slice_of(p, (size_t)(end - p)));
		char *begin = p, *to = p;
		bool in_quotes = false, quoted = false;
		for (; p < end && (in_quotes || (*p != ' ' && *p != '\t')); p++) {
			if (*p == '"') {
				in_quotes = !in_quotes;
				quoted = true;
			} else if (in_quotes && end - p > 3 && p[0] == '\\' && p[1] == 'x') {
				*to++ = (char)(hex_digit(p[2]) << 4 | hex_digit(p[3]));
				p += 3;
			} else {
				*to++ = *p;
			}
		}
		ret->quoted[ret->count] = quoted;
		ret->words[ret->count++] = rt_slice_of(begin, (size_t)(to - begin));
	}
}

struct file_run {
	const struct golden_handler *handler;
	void *world;
	struct golden_line *lines; /* of the block's commands */
	size_t *starts;            /* where each command begins in lines */
	size_t line_count;
	size_t command_count;
	struct rt_buf rewritten;
	size_t block_line;
	int failures;
	bool quiet;
};

static void run_block(struct file_run *r, struct rt_slice expected)
{
	struct rt_buf out;
	rt_buf_init(&out, TEXT_MAX);
	for (size_t i = 0; i < r->command_count; i++) {
		size_t end = i + 1 < r->command_count ? r->starts[i + 1] : r->line_count;
		struct golden_command c = { &r->lines[r->starts[i]], end - r->starts[i] };
		r->handler->run(r->world, &c, &out);
	}
	struct rt_slice got = rt_slice_of(out.len > 0 ? out.p : (const uint8_t *)"", out.len);
	rt_buf_slice(&r->rewritten, got);
	if (!rt_slice_eq(got, expected)) {
		r->failures++;
		if (!r->quiet)
			fprintf(stderr, "%s:%zu: expected\n%.*s---- but it printed\n%.*s\n",
				current_file, r->block_line, (int)expected.len,
				(const char *)expected.p, (int)got.len, (const char *)got.p);
	}
	rt_buf_done(&out);
	r->line_count = r->command_count = 0;
}

static void take_command_line(struct file_run *r, char *line, char *end)
{
	if (r->line_count == LINES_MAX)
		golden_bad("too many lines in a block", rt_slice_of(line, (size_t)(end - line)));
	bool more = *line == ' ' || *line == '\t';
	if (!more)
		r->starts[r->command_count++] = r->line_count;
	if (r->command_count == 0)
		golden_bad("belongs to no command", rt_slice_of(line, (size_t)(end - line)));
	split(line, end, &r->lines[r->line_count++]);
}

static char *line_end(char *p, char *end)
{
	char *nl = memchr(p, '\n', (size_t)(end - p));
	return nl != NULL ? nl : end;
}

/* Walks the text: comments and blank lines outside of blocks, commands up to the dashes, output up to a blank line. */
static void run_text(struct file_run *r, char *text, size_t len)
{
	char *end = text + len;
	current_line = 0;
	for (char *p = text; p < end;) {
		char *nl = line_end(p, end);
		current_line++;
		size_t n = (size_t)(nl - p);
		bool outside = r->line_count == 0;
		rt_buf_put(&r->rewritten, p, n);
		rt_buf_char(&r->rewritten, '\n');
		if (n == 4 && memcmp(p, "----", 4) == 0 && !outside) {
			char *from = nl < end ? nl + 1 : end, *to = from;
			while (to < end && *to != '\n') {
				to = line_end(to, end) + 1;
				current_line++;
			}
			run_block(r, rt_slice_of(from, (size_t)((to < end ? to : end) - from)));
			p = to;
			continue;
		}
		if (outside && (n == 0 || *p == '#'))
			p = nl + 1;
		else if (n == 0)
			golden_bad("a block without ----", rt_slice_str(""));
		else {
			if (outside)
				r->block_line = current_line;
			take_command_line(r, p, nl);
			p = nl + 1;
		}
	}
	if (r->line_count != 0)
		golden_bad("a block without ---- at the end", rt_slice_str(""));
}

static int run_file(const char *path, const struct golden_handler *handler, bool rewrite)
{
	size_t len;
	current_file = path;
	char *text = read_file(path, &len);
	struct file_run r = { .handler = handler, .quiet = rewrite };
	r.lines = calloc(LINES_MAX, sizeof *r.lines);
	r.starts = calloc(LINES_MAX, sizeof *r.starts);
	rt_buf_init(&r.rewritten, TEXT_MAX);
	r.world = handler->begin();
	run_text(&r, text, len);
	handler->end(r.world);
	if (rewrite && r.failures > 0) {
		FILE *f = fopen(path, "wb");
		if (f == NULL || fwrite(r.rewritten.p, 1, r.rewritten.len, f) != r.rewritten.len ||
			fclose(f) != 0) {
			perror(path);
			exit(1);
		}
		fprintf(stderr, "%s: rewritten, %d blocks changed\n", path, r.failures);
	}
	rt_buf_done(&r.rewritten);
	free(r.lines);
	free(r.starts);
	free(text);
	return r.failures;
}

int golden_main(int argc, char **argv, const struct golden_handler *handler)
{
	bool rewrite = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
	int failures = 0;
	if (argc < 2 + rewrite) {
		fprintf(stderr, "usage: %s [--rewrite] FILE...\n", argv[0]);
		return 2;
	}
	for (int i = 1 + rewrite; i < argc; i++)
		failures += run_file(argv[i], handler, rewrite);
	return failures > 0 && !rewrite ? 1 : 0;
}
