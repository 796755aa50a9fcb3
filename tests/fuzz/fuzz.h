/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a fuzzer defines, and how it reads its input. */
#ifndef VIADUCT_TESTS_FUZZ_H
#define VIADUCT_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Runs one input. Aborts when something that must hold does not; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_input {
	const uint8_t *data;
	size_t left;
};

/* The next byte or 16-bit word; 0 when the input is used up. */
static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->data++;
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
	uint16_t lo = fuzz_u8(in);

	return (uint16_t)(lo | fuzz_u8(in) << 8);
}

#endif
