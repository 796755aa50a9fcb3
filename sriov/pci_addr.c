// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci_addr.h"

#include <errno.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Takes as many hexadecimal digits as there are, @min to @max of them. Returns false otherwise. */
static bool take_hex(const char **text, unsigned int min, unsigned int max, uint32_t *ret)
{
	unsigned int n = 0;
	uint32_t v = 0;

	while (n <= max && hex_digit(**text) >= 0) {
		v = v << 4 | (uint32_t)hex_digit(**text);
		(*text)++;
		n++;
	}
	*ret = v;
	return n >= min && n <= max;
}

static bool take_char(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

static bool parse_bdf(const char *text, uint32_t domain, struct pci_addr *ret)
{
	uint32_t bus, dev, fn;

	if (!take_hex(&text, 2, 2, &bus) || !take_char(&text, ':') ||
	    !take_hex(&text, 2, 2, &dev) || !take_char(&text, '.') ||
	    !take_hex(&text, 1, 1, &fn) || *text)
		return false;
	if (dev > 0x1f || fn > 7)
		return false;
	ret->domain = domain;
	ret->bus = (uint8_t)bus;
	ret->dev = (uint8_t)dev;
	ret->fn = (uint8_t)fn;
	return true;
}

int pci_addr_parse(const char *text, struct pci_addr *ret)
{
	const char *p = text;
	uint32_t domain;

	if (take_hex(&p, 4, 8, &domain) && take_char(&p, ':'))
		return parse_bdf(p, domain, ret) ? 0 : -EINVAL;
	return parse_bdf(text, 0, ret) ? 0 : -EINVAL;
}

/* Writes the lowest @digits digits of @value. */
static char *put_hex(char *at, uint32_t value, unsigned int digits)
{
	while (digits-- > 0)
		*at++ = "0123456789abcdef"[value >> 4 * digits & 0xf];
	return at;
}

/* By hand: a list of functions prints ten thousand of them. */
const char *pci_addr_str(const struct pci_addr *addr, char buf[PCI_ADDR_STRLEN])
{
	unsigned int digits = 4;
	char *at;

	while (digits < 8 && addr->domain >> 4 * digits)
		digits++;
	at = put_hex(buf, addr->domain, digits);
	*at++ = ':';
	at = put_hex(at, addr->bus, 2);
	*at++ = ':';
	at = put_hex(at, addr->dev & 0x1f, 2);
	*at++ = '.';
	at = put_hex(at, addr->fn & 7, 1);
	*at = '\0';
	return buf;
}

int pci_addr_cmp(const struct pci_addr *a, const struct pci_addr *b)
{
	if (a->domain != b->domain)
		return a->domain < b->domain ? -1 : 1;
	if (a->bus != b->bus)
		return a->bus < b->bus ? -1 : 1;
	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	return (int)a->fn - (int)b->fn;
}
