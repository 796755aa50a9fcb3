// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs in a guest: a BAR, mapped through its sysfs file.
 *
 *	bar fill FILE OFFSET LENGTH [STEP]   writes a word at every STEP bytes (8: all of them)
 *	bar check FILE OFFSET LENGTH [STEP]  reads them back
 *	bar dump FILE OFFSET LENGTH          to standard output
 *
 * A word is a function of its offset, so that one in the wrong place is seen. Prints what it did;
 * status 1 when a word is not what was written.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t pattern(uint64_t offset)
{
	return (offset + 1) * 0x9e3779b97f4a7c15ull;
}

static void fill(volatile uint64_t *words, uint64_t offset, uint64_t length, uint64_t step)
{
	uint64_t at;

	for (at = 0; at < length; at += step)
		words[at / 8] = pattern(offset + at);
}

static int check(const volatile uint64_t *words, uint64_t offset, uint64_t length, uint64_t step)
{
	uint64_t at, wrong = 0;

	for (at = 0; at < length; at += step) {
		uint64_t word = words[at / 8];

		if (word == pattern(offset + at))
			continue;
		if (!wrong++)
			printf("at 0x%" PRIx64 ": 0x%016" PRIx64 ", not 0x%016" PRIx64 "\n",
			       offset + at, word, pattern(offset + at));
	}
	if (wrong)
		printf("%" PRIu64 " words are wrong\n", wrong);
	return wrong != 0;
}

/* The card's memory in words, for a card need not take whatever width write(2) copies by. */
static int dump(const volatile uint64_t *words, uint64_t length)
{
	uint64_t at;

	for (at = 0; at < length; at += 8) {
		uint64_t word = words[at / 8];

		if (fwrite(&word, 8, 1, stdout) != 1)
			return 1;
	}
	return fflush(stdout) != 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: bar fill|check FILE OFFSET LENGTH [STEP], bar dump FILE OFFSET "
			"LENGTH; multiples of a page, STEP of 8\n");
	return 2;
}

int main(int argc, char **argv)
{
	uint64_t offset, length, step = 8;
	int fd, status = 0;
	void *map;

	if (argc < 5 || argc > 6)
		return usage();
	offset = strtoull(argv[3], NULL, 0);
	length = strtoull(argv[4], NULL, 0);
	if (argc == 6)
		step = strtoull(argv[5], NULL, 0);
	if (offset % 4096 || !length || length % 8 || !step || step % 8)
		return usage();
	fd = open(argv[2], O_RDWR | O_CLOEXEC);
	map = fd < 0 ? MAP_FAILED
		     : mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	if (map == MAP_FAILED) {
		fprintf(stderr, "bar: %s: %s\n", argv[2], strerror(errno));
		return 2;
	}
	if (!strcmp(argv[1], "fill"))
		fill(map, offset, length, step);
	else if (!strcmp(argv[1], "check"))
		status = check(map, offset, length, step);
	else if (!strcmp(argv[1], "dump"))
		status = dump(map, length);
	else
		return usage();
	munmap(map, length);
	close(fd);
	return status;
}
