// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a guest can do to a PCI function by hand, through sysfs: switch its memory off under a
 * mapping, send it to sleep, reset it, and write anything anywhere. Runs in a guest whose kernel
 * has iomem=relaxed. Ends with 0 when what the specification says was seen.
 *
 *   meddle BDF memoff OFFSET    Memory Enable off: the register at OFFSET of BAR 0 reads as ones
 *   meddle BDF sleep OFFSET     the same for D3hot
 *   meddle BDF flr              function level reset
 *   meddle BDF random N SEED    N writes to BARs and config space
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BARS 6

struct function {
	char dir[64];
	int config;
	struct {
		volatile uint8_t *at;
		size_t size;
	} bars[BARS];
};

static void die(const char *what)
{
	printf("meddle: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void open_function(struct function *f, const char *bdf)
{
	char path[96];
	size_t all = 0;
	int i;

	snprintf(f->dir, sizeof(f->dir), "/sys/bus/pci/devices/%.16s", bdf);
	snprintf(path, sizeof(path), "%s/config", f->dir);
	f->config = open(path, O_RDWR);
	if (f->config < 0)
		die(path);
	for (i = 0; i < BARS; i++) {
		struct stat st;
		void *at;
		int fd;

		snprintf(path, sizeof(path), "%s/resource%d", f->dir, i);
		fd = open(path, O_RDWR);
		if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < 4096)
			continue;
		at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED)
			die(path);
		f->bars[i].at = at;
		f->bars[i].size = (size_t)st.st_size;
		all += f->bars[i].size;
		close(fd);
	}
	errno = ENXIO;
	if (!all)
		die("BARs");
}

static uint16_t config_get(const struct function *f, unsigned int at)
{
	uint16_t v = 0xffff;

	if (pread(f->config, &v, sizeof(v), at) != sizeof(v))
		die("config read");
	return v;
}

static void config_put(const struct function *f, unsigned int at, uint16_t v)
{
	if (pwrite(f->config, &v, sizeof(v), at) != sizeof(v))
		die("config write");
}

static unsigned int cap_find(const struct function *f, uint8_t id)
{
	unsigned int at = config_get(f, PCI_CAPABILITY_LIST) & 0xfc, steps;

	for (steps = 0; at && steps < 48; steps++) {
		uint16_t head = config_get(f, at);

		if ((head & 0xff) == id)
			return at;
		at = head >> 8 & 0xfc;
	}
	errno = ENOENT;
	die("capability");
	return 0;
}

static uint32_t reg_get(const struct function *f, unsigned int at)
{
	return *(volatile uint32_t *)(f->bars[0].at + at);
}

/* The register reads as ones while @bits are written to the config register, and is itself again
 * afterwards. */
static int away(const struct function *f, unsigned int config, uint16_t off, uint16_t on,
		unsigned int reg)
{
	uint32_t before = reg_get(f, reg), during, again, after;

	config_put(f, config, off);
	usleep(20000);
	during = reg_get(f, reg);
	*(volatile uint32_t *)(f->bars[0].at + reg) = 0;
	again = reg_get(f, reg);
	config_put(f, config, on);
	usleep(20000);
	after = reg_get(f, reg);
	printf("meddle: 0x%x: before %08x during %08x %08x after %08x\n", reg, before, during, again,
	       after);
	return !(before != UINT32_MAX && during == UINT32_MAX && again == UINT32_MAX &&
		 after == before);
}

static uint32_t next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void poke_bar(const struct function *f, uint32_t *seed)
{
	unsigned int bar = next(seed) % BARS, size = 1u << next(seed) % 4;
	uint64_t value = (uint64_t)next(seed) << 32 | next(seed);
	volatile uint8_t *p;

	while (!f->bars[bar].size)
		bar = (bar + 1) % BARS;
	p = f->bars[bar].at + next(seed) % (f->bars[bar].size / size) * size;
	if (size == 1)
		*p = (uint8_t)value;
	else if (size == 2)
		*(volatile uint16_t *)p = (uint16_t)value;
	else if (size == 4)
		*(volatile uint32_t *)p = (uint32_t)value;
	else
		*(volatile uint64_t *)p = value;
}

/* One in sixteen goes to config space, where each is an exit; most of those to its first 256. */
static void poke_random(const struct function *f, unsigned long n, uint32_t seed)
{
	while (n--) {
		uint32_t value = next(&seed), space = value & 0x700 ? 256 : 4096;

		if (value & 0xf)
			poke_bar(f, &seed);
		else if (pwrite(f->config, &seed, 1u << (seed & 3) % 3, next(&seed) % space & ~3u) <
			 0)
			die("config write");
	}
}

int main(int argc, char **argv)
{
	struct function f = { .config = -1 };
	const char *what = argc > 2 ? argv[2] : "";
	unsigned long arg = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;
	unsigned int cap;

	if (argc < 3)
		return 2;
	open_function(&f, argv[1]);
	if (!strcmp(what, "memoff")) {
		uint16_t on = config_get(&f, PCI_COMMAND);

		return away(&f, PCI_COMMAND, on & ~PCI_COMMAND_MEMORY, on, (unsigned int)arg);
	}
	if (!strcmp(what, "sleep")) {
		cap = cap_find(&f, PCI_CAP_ID_PM);
		return away(&f, cap + PCI_PM_CTRL, 3, 0, (unsigned int)arg);
	}
	if (!strcmp(what, "flr")) {
		cap = cap_find(&f, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;
		config_put(&f, cap, config_get(&f, cap) | PCI_EXP_DEVCTL_BCR_FLR);
		usleep(200000);
		return config_get(&f, PCI_VENDOR_ID) == 0xffff;
	}
	if (!strcmp(what, "random")) {
		poke_random(&f, arg, argc > 4 ? 2 * (uint32_t)strtoul(argv[4], NULL, 0) + 1 : 1);
		printf("meddle: WROTE %lu\n", arg);
		return 0;
	}
	return 2;
}
