// SPDX-License-Identifier: GPL-2.0-or-later
/* Runs a fuzzer over its corpus, as a test like the others; a file or folder may be given. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fuzz.h"

static int run_file(const char *path)
{
	uint8_t *data = NULL;
	struct stat st;
	size_t n = 0;
	FILE *file;

	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return 0;
	file = fopen(path, "re");
	assert_non_null(file);
	/* Exactly as long as the input, so that reading beyond it is seen. */
	data = malloc((size_t)st.st_size ? (size_t)st.st_size : 1);
	assert_non_null(data);
	n = fread(data, 1, (size_t)st.st_size, file);
	fclose(file);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	return 1;
}

static int run_all(const char *path)
{
	char file[4096];
	struct dirent *e;
	int count = 0;
	DIR *dir = opendir(path);

	if (!dir)
		return run_file(path);
	while ((e = readdir(dir))) {
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		count += run_file(file);
	}
	closedir(dir);
	return count;
}

static void corpus(void **state)
{
	const char *path = *state ? *state : FUZZ_CORPUS;
	int count = run_all(path);

	print_message("%d inputs\n", count);
	assert_true(count > 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(corpus, argc > 1 ? argv[1] : NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
