// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs in a guest: draws a picture into a Linux frame buffer and reads it back, from the driver and
 * from the card's memory.
 *
 *	draw /dev/fb0 BAR-FILE [SEED]
 *
 * Prints "DRAWN WIDTHxHEIGHT", then "READ-BACK" and "CARD-MEMORY" for each that holds the picture.
 * Pixel (x, y) is red x + y + SEED, green x * 3, blue y * 5 (mod 256), so that a checker
 * elsewhere can compute it too.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct picture {
	uint32_t width, height, seed;
	size_t stride, size; /* bytes */
	uint32_t *pixels;    /* as in the frame buffer: 0x00RRGGBB */
};

static int fail(const char *what)
{
	fprintf(stderr, "draw: %s: %s\n", what, strerror(errno));
	return 1;
}

static int picture_make(int fb, struct picture *pic)
{
	struct fb_var_screeninfo var;
	struct fb_fix_screeninfo fix;
	uint32_t x, y;

	if (ioctl(fb, FBIOGET_VSCREENINFO, &var) < 0 || ioctl(fb, FBIOGET_FSCREENINFO, &fix) < 0)
		return fail("asking the frame buffer for its mode");
	if (var.bits_per_pixel != 32 || !var.xres || !var.yres || fix.line_length < var.xres * 4) {
		fprintf(stderr, "draw: %u bits a pixel, and only 32 are drawn\n",
			var.bits_per_pixel);
		return 1;
	}
	pic->width = var.xres;
	pic->height = var.yres;
	pic->stride = fix.line_length;
	pic->size = pic->stride * var.yres;
	pic->pixels = calloc(1, pic->size);
	if (!pic->pixels)
		return fail("memory");
	for (y = 0; y < pic->height; y++) {
		uint32_t *row = pic->pixels + y * pic->stride / 4;

		for (x = 0; x < pic->width; x++)
			row[x] = ((x + y + pic->seed) & 0xff) << 16 | ((x * 3) & 0xff) << 8 |
				 ((y * 5) & 0xff);
	}
	return 0;
}

static int picture_draw(int fb, const struct picture *pic)
{
	size_t done = 0;

	while (done < pic->size) {
		ssize_t n =
			pwrite(fb, (const char *)pic->pixels + done, pic->size - done, (off_t)done);

		if (n <= 0)
			return fail("drawing");
		done += (size_t)n;
	}
	printf("DRAWN %ux%u\n", pic->width, pic->height);
	return 0;
}

static int picture_read(int fb, const struct picture *pic)
{
	char *got = malloc(pic->size);
	size_t done = 0;
	int status = 1;

	while (got && done < pic->size) {
		ssize_t n = pread(fb, got + done, pic->size - done, (off_t)done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done == pic->size)
		status = memcmp(got, pic->pixels, pic->size) != 0;
	free(got);
	printf("%s\n", status ? "the frame buffer reads differently" : "READ-BACK");
	return status;
}

/* The top byte of a pixel is nobody's. */
static uint64_t wrong_pixels(const volatile uint32_t *memory, const struct picture *pic)
{
	uint64_t wrong = 0;
	size_t i;

	for (i = 0; i < pic->size / 4; i++)
		wrong += (memory[i] ^ pic->pixels[i]) << 8 != 0;
	return wrong;
}

/* The driver may bring a picture to the card some time after it was drawn. */
static int picture_in_card(const char *bar, const struct picture *pic)
{
	int tries, fd = open(bar, O_RDWR | O_CLOEXEC);
	uint64_t wrong = 0;
	void *memory;

	memory = fd < 0 ? MAP_FAILED : mmap(NULL, pic->size, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return fail(bar);
	for (tries = 0; tries < 50; tries++) {
		wrong = wrong_pixels(memory, pic);
		if (!wrong)
			break;
		usleep(200000);
	}
	munmap(memory, pic->size);
	close(fd);
	if (!wrong)
		printf("CARD-MEMORY\n");
	else
		printf("%llu pixels differ in the card's memory\n", (unsigned long long)wrong);
	return wrong != 0;
}

int main(int argc, char **argv)
{
	struct picture pic = { 0 };
	int fb, status;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: draw FRAME-BUFFER BAR-FILE [SEED]\n");
		return 2;
	}
	if (argc == 4)
		pic.seed = (uint32_t)strtoul(argv[3], NULL, 0);
	fb = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fb < 0)
		return fail(argv[1]);
	status = picture_make(fb, &pic) || picture_draw(fb, &pic);
	if (!status)
		status = picture_read(fb, &pic) | picture_in_card(argv[2], &pic);
	free(pic.pixels);
	close(fb);
	return status;
}
