// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci_addr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

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

const char *pci_addr_str(const struct pci_addr *addr, char buf[PCI_ADDR_STRLEN])
{
	snprintf(buf, PCI_ADDR_STRLEN, "%04" PRIx32 ":%02x:%02x.%x", addr->domain, addr->bus,
		 addr->dev & 0x1f, addr->fn & 7);
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
