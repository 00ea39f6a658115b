/* Gives every file of the folders named to the fuzz target, in a block of exactly its size: the normal
 * build's way to run a corpus, and anybody's to run one input that a fuzzer found. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int replay_file(const char *path, long size)
{
	FILE *f = fopen(path, "rb");
	if (f == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
	size_t len = data != NULL && size > 0 ? fread(data, 1, (size_t)size, f) : 0;
	fclose(f);
	if (data == NULL || len != (size_t)size) {
		fprintf(stderr, "%s: cannot be read\n", path);
		free(data);
		return -1;
	}
	printf("%s\n", path);
	fflush(stdout); /* the last line names the input that ended the program */
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	return 0;
}

/* The number of files replayed, or -1. */
static int replay_folder(const char *folder)
{
	DIR *d = opendir(folder);
	if (d == NULL) {
		fprintf(stderr, "%s: %s\n", folder, strerror(errno));
		return -1;
	}
	int count = 0;
	for (struct dirent *e; count >= 0 && (e = readdir(d)) != NULL;) {
		char path[4096];
		struct stat st;
		int n = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
		if (n < 0 || (size_t)n >= sizeof path || stat(path, &st) != 0 ||
			!S_ISREG(st.st_mode))
			continue;
		count = replay_file(path, (long)st.st_size) == 0 ? count + 1 : -1;
	}
	closedir(d);
	return count;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s FOLDER|FILE...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		struct stat st;
		if (stat(argv[i], &st) == 0 && S_ISREG(st.st_mode)) {
			if (replay_file(argv[i], (long)st.st_size) != 0)
				return 1;
			continue;
		}
		int count = replay_folder(argv[i]);
		if (count < 0)
			return 1;
		if (count == 0) {
			fprintf(stderr, "%s: no inputs there\n", argv[i]);
			return 1;
		}
	}
	return 0;
}
