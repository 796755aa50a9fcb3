// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs in a guest: a BAR, mapped through its sysfs file.
 *
 *	bar fill FILE OFFSET LENGTH [STEP [SEED]]   writes a word at every STEP bytes (8: all)
 *	bar check FILE OFFSET LENGTH [STEP [SEED]]  reads them back
 *	bar dump FILE OFFSET LENGTH                 to standard output
 *	bar byte FILE OFFSET [VALUE]                writes one byte, or prints it; of the first page
 *
 * A word is a function of its offset and the seed, so that one in the wrong place, or of an earlier
 * run, is seen. Status 1 when a word is not what was written.
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

struct span {
	uint64_t offset, length, step, seed;
};

static uint64_t pattern(const struct span *span, uint64_t at)
{
	return (span->offset + at + 1) * 0x9e3779b97f4a7c15ull ^ span->seed;
}

static void fill(volatile uint64_t *words, const struct span *span)
{
	uint64_t at;

	for (at = 0; at < span->length; at += span->step)
		words[at / 8] = pattern(span, at);
}

static int check(const volatile uint64_t *words, const struct span *span)
{
	uint64_t at, wrong = 0;

	for (at = 0; at < span->length; at += span->step) {
		uint64_t word = words[at / 8];

		if (word == pattern(span, at))
			continue;
		if (!wrong++)
			printf("at 0x%" PRIx64 ": 0x%016" PRIx64 ", not 0x%016" PRIx64 "\n",
			       span->offset + at, word, pattern(span, at));
	}
	if (wrong)
		printf("%" PRIu64 " words are wrong\n", wrong);
	return wrong != 0;
}

/* The card's memory in words, for a card need not take whatever width write(2) copies by. */
static int dump(const volatile uint64_t *words, const struct span *span)
{
	uint64_t at;

	for (at = 0; at < span->length; at += 8) {
		uint64_t word = words[at / 8];

		if (fwrite(&word, 8, 1, stdout) != 1)
			return 1;
	}
	return fflush(stdout) != 0;
}

/* One register. */
static int byte(const char *file, const char *offset, const char *value)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);
	volatile uint8_t *map =
		fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	unsigned long at = strtoul(offset, NULL, 0);

	if (map == MAP_FAILED || at >= 4096) {
		fprintf(stderr, "bar: %s: %s\n", file, strerror(errno));
		return 2;
	}
	if (value)
		map[at] = (uint8_t)strtoul(value, NULL, 0);
	else
		printf("%u\n", map[at]);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: bar fill|check FILE OFFSET LENGTH [STEP [SEED]], bar dump FILE "
			"OFFSET LENGTH, bar byte FILE OFFSET [VALUE]; OFFSET a multiple of 4096, "
			"LENGTH and STEP of 8\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct span span = { .step = 8 };
	int fd, status = 0;
	void *map;

	if ((argc == 4 || argc == 5) && !strcmp(argv[1], "byte"))
		return byte(argv[2], argv[3], argv[4]);
	if (argc < 5 || argc > 7)
		return usage();
	span.offset = strtoull(argv[3], NULL, 0);
	span.length = strtoull(argv[4], NULL, 0);
	if (argc > 5)
		span.step = strtoull(argv[5], NULL, 0);
	if (argc > 6)
		span.seed = strtoull(argv[6], NULL, 0);
	if (span.offset % 4096 || !span.length || span.length % 8 || !span.step || span.step % 8)
		return usage();
	fd = open(argv[2], O_RDWR | O_CLOEXEC);
	map = fd < 0 ? MAP_FAILED
		     : mmap(NULL, span.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			    (off_t)span.offset);
	if (map == MAP_FAILED) {
		fprintf(stderr, "bar: %s: %s\n", argv[2], strerror(errno));
		return 2;
	}
	if (!strcmp(argv[1], "fill"))
		fill(map, &span);
	else if (!strcmp(argv[1], "check"))
		status = check(map, &span);
	else if (!strcmp(argv[1], "dump"))
		status = dump(map, &span);
	else
		return usage();
	munmap(map, span.length);
	close(fd);
	return status;
}
