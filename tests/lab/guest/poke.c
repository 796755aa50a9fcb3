// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs in a guest: touches a PCI function as no driver would, through its sysfs folder and the
 *ports 0xcf8 and 0xcfc. Nothing may have a driver bound to it meanwhile.
 *
 *	poke config DIR          every size at every offset, sizing, and all bits of all
 *capabilities poke move DIR BAR OFFSET each BAR to where it must not be; the word at OFFSET of BAR
 *tells whether it answers poke sleep DIR BAR OFFSET D3hot, with its BAR touched, and back poke bar
 *DIR BAR COUNT   every size at every offset of the first and last bytes of each page, then COUNT
 *writes of anything anywhere
 *
 * Config space is left as it was found. Prints what is wrong; status 1 then.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

#define CONFIG_SIZE 4096
#define BARS 6

struct function {
	const char *dir;
	int config;
	unsigned int address; /* for 0xcf8 */
	uint64_t start[BARS], size[BARS];
	uint8_t saved[CONFIG_SIZE];
};

static int failures;

static void wrong(const char *what, uint64_t at, uint64_t got, uint64_t want)
{
	printf("poke: %s at 0x%" PRIx64 ": 0x%" PRIx64 ", not 0x%" PRIx64 "\n", what, at, got,
	       want);
	failures++;
}

static void die(const char *what)
{
	printf("poke: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t config_get(struct function *f, unsigned int at, unsigned int size)
{
	uint64_t value = 0;

	if (pread(f->config, &value, size, at) != (ssize_t)size)
		die("reading config space");
	return value;
}

static void config_put(struct function *f, unsigned int at, unsigned int size, uint64_t value)
{
	if (pwrite(f->config, &value, size, at) != (ssize_t)size)
		die("writing config space");
}

static void function_open(struct function *f, const char *dir)
{
	unsigned int domain = 0, bus = 0, slot = 0, func = 0, i;
	const char *name = strrchr(dir, '/');
	char path[512];
	FILE *file;

	memset(f, 0, sizeof(*f));
	f->dir = dir;
	if (!name || sscanf(name + 1, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		die("no function's folder");
	f->address = 0x80000000u | bus << 16 | slot << 11 | func << 8;
	snprintf(path, sizeof(path), "%s/config", dir);
	f->config = open(path, O_RDWR | O_CLOEXEC);
	if (f->config < 0 || pread(f->config, f->saved, CONFIG_SIZE, 0) != CONFIG_SIZE)
		die(path);
	snprintf(path, sizeof(path), "%s/resource", dir);
	file = fopen(path, "re");
	if (!file)
		die(path);
	for (i = 0; i < BARS; i++) {
		uint64_t start, end, flags;

		if (fscanf(file, "%" SCNx64 " %" SCNx64 " %" SCNx64, &start, &end, &flags) != 3)
			die(path);
		f->start[i] = start;
		f->size[i] = end > start ? end - start + 1 : 0;
	}
	fclose(file);
}

/* As Linux restores a function: the header last to first, so that decoding comes back at the end.
 */
static void restore(struct function *f)
{
	unsigned int at;

	for (at = PCI_STD_HEADER_SIZEOF; at < CONFIG_SIZE; at += 4)
		config_put(f, at, 4, *(uint32_t *)(void *)(f->saved + at));
	for (at = PCI_INTERRUPT_LINE; at >= PCI_BASE_ADDRESS_0; at -= 4)
		config_put(f, at, 4, *(uint32_t *)(void *)(f->saved + at));
	config_put(f, PCI_CACHE_LINE_SIZE, 4,
		   *(uint32_t *)(void *)(f->saved + PCI_CACHE_LINE_SIZE));
	config_put(f, PCI_COMMAND, 2, *(uint16_t *)(void *)(f->saved + PCI_COMMAND));
}

static uint32_t port_in(unsigned int port, unsigned int size)
{
	return size == 1   ? inb((unsigned short)port)
	       : size == 2 ? inw((unsigned short)port)
			   : inl((unsigned short)port);
}

/* The ports, also unaligned and beyond their end, give what the file gives. */
static void ports(struct function *f)
{
	unsigned int at, lane, size, i;

	for (at = 0; at < 256; at += 4) {
		for (lane = 0; lane < 4; lane++) {
			for (size = 1; size <= 4; size *= 2) {
				uint32_t value, want = 0;

				outl(f->address | at, 0xcf8);
				value = port_in(0xcfc + lane, size);
				/* What lies behind 0xcff is nobody's. */
				for (i = 0; i < size; i++)
					want |= (lane + i < 4 ? f->saved[at + lane + i] : 0xffu)
						<< 8 * i;
				if (value != want && at >= PCI_BASE_ADDRESS_0 &&
				    at < PCI_STD_HEADER_SIZEOF)
					wrong("port read", at + lane, value, want);
			}
		}
	}
	outl(f->address | 0x40, 0xcf8);
	outw(0xffff, 0xcff);
	outl(0xffffffff, 0xcfd);
}

static void sizing(struct function *f)
{
	unsigned int bar, reg;

	for (bar = 0; bar < BARS; bar++) {
		uint32_t old, mask;

		reg = PCI_BASE_ADDRESS_0 + 4 * bar;
		old = (uint32_t)config_get(f, reg, 4);
		config_put(f, reg, 4, 0xffffffff);
		mask = (uint32_t)config_get(f, reg, 4) & (old & 1 ? ~3u : ~15u);
		if (f->size[bar] && f->size[bar] < 1ull << 31 && f->start[bar] &&
		    ~mask + 1 != f->size[bar])
			wrong("BAR size", reg, ~mask + 1, f->size[bar]);
		config_put(f, reg, 4, old);
		if (config_get(f, reg, 4) != old)
			wrong("BAR", reg, config_get(f, reg, 4), old);
	}
}

static void config_all(struct function *f)
{
	static const uint8_t patterns[] = { 0xff, 0x00, 0xa5 };
	unsigned int at, size, i;
	uint64_t value;

	for (size = 1; size <= 8; size++) {
		for (at = 0; at + size <= CONFIG_SIZE; at += at < 256 ? 1 : 61)
			config_get(f, at, size);
	}
	if (pread(f->config, &value, 8, CONFIG_SIZE - 3) != 3)
		wrong("read over the end", CONFIG_SIZE - 3, 0, 3);
	if (iopl(3))
		die("iopl");
	ports(f);
	sizing(f);
	for (i = 0; i < sizeof(patterns); i++) {
		for (at = 4; at < CONFIG_SIZE; at += at < 0x200 ? 1 : 4) {
			config_put(f, at, at < 0x200 ? 1 : 4, patterns[i] * 0x01010101ull);
			config_get(f, at & ~3u, 4);
		}
		restore(f);
	}
	for (at = 0; at < PCI_STD_HEADER_SIZEOF; at++) {
		if (at / 2 != PCI_STATUS / 2 && config_get(f, at, 1) != f->saved[at])
			wrong("header after all that", at, config_get(f, at, 1), f->saved[at]);
	}
}

static void *bar_map(struct function *f, unsigned int bar)
{
	char path[512];
	void *map;
	int fd;

	snprintf(path, sizeof(path), "%s/resource%u", f->dir, bar);
	fd = open(path, O_RDWR | O_CLOEXEC);
	map = fd < 0 || !f->size[bar]
		      ? MAP_FAILED
		      : mmap(NULL, f->size[bar], PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		die(path);
	close(fd);
	return map;
}

static void bar_put(struct function *f, unsigned int bar, uint64_t addr)
{
	unsigned int reg = PCI_BASE_ADDRESS_0 + 4 * bar;

	config_put(f, reg, 4, (uint32_t)addr);
	if ((f->saved[reg] & 7) == PCI_BASE_ADDRESS_MEM_TYPE_64)
		config_put(f, reg + 4, 4, addr >> 32);
}

static void move(struct function *f, unsigned int bar, unsigned int offset)
{
	volatile uint32_t *reg = (volatile uint32_t *)(void *)((uint8_t *)bar_map(f, bar) + offset);
	uint32_t was = *reg;
	unsigned int i, other;
	uint64_t places[] = {
		0,
		0x00100000,
		0x1000000,
		0xfee00000,
		0xfec00000,
		0xfffff000,
		0xffffffff00000000ull,
		1ull << 52,
		f->start[bar] + f->size[bar],
		0,
		0,
	};

	for (other = 0; other < BARS; other++) {
		if (other != bar && f->size[other]) {
			places[9] = f->start[other];
			places[10] = f->start[other] + f->size[other] / 2;
		}
	}
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		bar_put(f, bar, places[i]);
		if (*reg != 0xffffffff)
			wrong("a BAR that went away", places[i], *reg, 0xffffffff);
		bar_put(f, bar, f->start[bar]);
		if (*reg != was)
			wrong("a BAR that came back", places[i], *reg, was);
	}
	/* Each of the others onto this one, which stays. */
	for (other = 0; other < BARS; other++) {
		if (other == bar || !f->size[other])
			continue;
		bar_put(f, other, f->start[bar]);
		if (*reg != was)
			wrong("a BAR under another one", other, *reg, was);
		bar_put(f, other, f->start[other]);
	}
	config_put(f, PCI_COMMAND, 2, 0);
	if (*reg != 0xffffffff)
		wrong("a BAR switched off", bar, *reg, 0xffffffff);
	restore(f);
	if (*reg != was)
		wrong("a BAR restored", bar, *reg, was);
}

static unsigned int cap_find(struct function *f, uint8_t id)
{
	unsigned int at = f->saved[PCI_CAPABILITY_LIST], n;

	for (n = 0; at && n < 48; n++) {
		if (f->saved[at] == id)
			return at;
		at = f->saved[at + 1];
	}
	return 0;
}

static void nap(struct function *f, unsigned int bar, unsigned int offset)
{
	uint8_t *map = bar_map(f, bar);
	volatile uint32_t *reg = (volatile uint32_t *)(void *)(map + offset);
	unsigned int pm = cap_find(f, PCI_CAP_ID_PM), i;
	uint32_t was = *reg;

	if (!pm)
		die("no power management capability");
	for (i = 0; i < 5; i++) {
		config_put(f, pm + PCI_PM_CTRL, 2, 3);
		if (config_get(f, pm + PCI_PM_CTRL, 1) % 4 != 3)
			wrong("power state", pm, config_get(f, pm + PCI_PM_CTRL, 1) % 4, 3);
		*reg = 0;
		if (*reg != 0xffffffff || map[0] != 0xff)
			wrong("a BAR asleep", offset, *reg, 0xffffffff);
		config_put(f, pm + PCI_PM_CTRL, 2, 0);
		usleep(20000);
		restore(f);
		if (*reg != was)
			wrong("a BAR awake", offset, *reg, was);
	}
}

static void touch_read(volatile uint8_t *at, unsigned int size)
{
	if (size == 1)
		(void)*at;
	else if (size == 2)
		(void)*(volatile uint16_t *)(volatile void *)at;
	else if (size == 4)
		(void)*(volatile uint32_t *)(volatile void *)at;
	else
		(void)*(volatile uint64_t *)(volatile void *)at;
}

static void touch_write(volatile uint8_t *at, unsigned int size, uint64_t value)
{
	if (size == 1)
		*at = (uint8_t)value;
	else if (size == 2)
		*(volatile uint16_t *)(volatile void *)at = (uint16_t)value;
	else if (size == 4)
		*(volatile uint32_t *)(volatile void *)at = (uint32_t)value;
	else
		*(volatile uint64_t *)(volatile void *)at = value;
}

static void bar_all(struct function *f, unsigned int bar, unsigned int count)
{
	volatile uint8_t *map = bar_map(f, bar);
	uint64_t seed = 0x2545f4914f6cdd1dull, at, page;
	unsigned int size, i;

	for (page = 0; page < f->size[bar]; page += 4096) {
		for (at = 0; at < 32; at++) {
			for (size = 1; size <= 8; size *= 2) {
				touch_read(map + page + at, size);
				/* Over the page's end, but not over the BAR's. */
				if (at + size <= 32 || page + 4096 < f->size[bar])
					touch_read(map + page + 4096 - 32 + at, size);
			}
		}
	}
	for (i = 0; i < count; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		size = 1u << (seed >> 60) % 4;
		at = (seed >> 8) % (f->size[bar] - 8);
		if (seed & 1)
			touch_write(map + at, size, seed >> 24);
		else
			touch_read(map + at, size);
	}
}

int main(int argc, char **argv)
{
	unsigned int bar = argc > 3 ? (unsigned int)strtoul(argv[3], NULL, 0) : 0;
	unsigned int number = argc > 4 ? (unsigned int)strtoul(argv[4], NULL, 0) : 0;
	struct function f;

	if (argc < 3 || bar >= BARS) {
		fprintf(stderr, "usage: poke config|move|sleep|bar DIR [BAR [OFFSET|COUNT]]\n");
		return 2;
	}
	function_open(&f, argv[2]);
	config_put(&f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	f.saved[PCI_COMMAND] = PCI_COMMAND_MEMORY;
	if (!strcmp(argv[1], "config"))
		config_all(&f);
	else if (!strcmp(argv[1], "move"))
		move(&f, bar, number);
	else if (!strcmp(argv[1], "sleep"))
		nap(&f, bar, number);
	else if (!strcmp(argv[1], "bar"))
		bar_all(&f, bar, number);
	printf("POKED %s: %d wrong\n", argv[1], failures);
	return failures ? 1 : 0;
}
