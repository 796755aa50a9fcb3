// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sriov/inventory.h"
#include "sriov/quarantine.h"
#include "vfctl.h"
#include "vfctl_json.h"

/* What is in quarantine: next to nothing, as a rule. */
struct sick {
	struct pci_addr *addrs;
	size_t count;
};

static bool is_sick(const struct sick *sick, const struct pci_addr *addr)
{
	size_t i;

	for (i = 0; i < sick->count && !pci_addr_eq(&sick->addrs[i], addr); i++)
		;
	return i < sick->count;
}

/*
 * Ten thousand rows of a dozen fields: printf() and an object of json-c for each would cost more than
 * to read the functions. Only this thread writes to stdout.
 */

static void out(const char *text)
{
	fputs_unlocked(text, stdout);
}

static size_t out_hex(uint32_t value, unsigned int digits)
{
	unsigned int i;

	for (i = digits; i-- > 0;)
		putc_unlocked("0123456789abcdef"[value >> 4 * i & 0xf], stdout);
	return digits;
}

static size_t out_number(uint32_t value)
{
	char text[12];
	size_t at = sizeof(text) - 1;

	text[at] = '\0';
	do {
		text[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	out(text + at);
	return sizeof(text) - 1 - at;
}

static size_t out_text(const char *text)
{
	out(text);
	return strlen(text);
}

static void out_pad(size_t written, size_t width)
{
	while (written++ < width)
		putc_unlocked(' ', stdout);
	putc_unlocked(' ', stdout);
}

static size_t out_vf(const struct inventory_func *f)
{
	char pf[PCI_ADDR_STRLEN];
	size_t n;

	if (f->is_vf)
		return out_text("VF of ") + out_text(pci_addr_str(&f->pf, pf));
	if (!f->is_pf)
		return out_text("-");
	n = out_text("PF, ");
	n += out_number(f->num_vfs);
	n += out_text(" of ");
	return n + out_number(f->total_vfs);
}

static size_t out_nets(const struct inventory *inv, const struct inventory_func *f)
{
	size_t i, n = f->net_count ? 0 : out_text("-");

	for (i = 0; i < f->net_count; i++) {
		n += i ? out_text(",") : 0;
		n += out_text(inv->nets[f->net_first + i].name);
	}
	return n;
}

static void out_group(const struct inventory_func *f)
{
	uint32_t n = (uint32_t)f->group;
	size_t width = 1;

	for (; f->group >= 0 && n >= 10; n /= 10)
		width++;
	while (width++ < 5)
		putc_unlocked(' ', stdout);
	if (f->group >= 0)
		out_number((uint32_t)f->group);
	else
		out("-");
}

static void list_text(const struct inventory *inv, const struct sick *sick,
		      struct pci_names *names)
{
	char addr[PCI_ADDR_STRLEN];
	size_t i, n;

	printf("%-12s %-9s %-10s %5s %-18s %-8s %s\n", "ADDRESS", "ID", "DRIVER", "GROUP", "VF",
	       "NET", "CLASS AND NAME");
	for (i = 0; i < inv->func_count; i++) {
		const struct inventory_func *f = &inv->funcs[i];

		out_pad(out_text(pci_addr_str(&f->addr, addr)), 12);
		n = out_hex(f->vendor, 4) + out_text(":");
		out_pad(n + out_hex(f->device, 4), 9);
		out_pad(out_text(*f->driver ? f->driver : "-"), 10);
		out_group(f);
		out(" ");
		out_pad(out_vf(f), 18);
		out_pad(out_nets(inv, f), 8);
		if (is_sick(sick, &f->addr))
			out("(in quarantine) ");
		out(pci_names_class(names, f->class));
		out(": ");
		out(pci_names_vendor(names, f->vendor));
		out(" ");
		out(pci_names_device(names, f->vendor, f->device));
		out("\n");
	}
}

static void out_key(const char *key, const char *value)
{
	out(",\"");
	out(key);
	out("\":");
	json_write_str(stdout, value);
}

static void out_key_hex(const char *key, uint32_t value, unsigned int digits)
{
	out(",\"");
	out(key);
	out("\":\"0x");
	out_hex(value, digits);
	out("\"");
}

static void out_key_number(const char *key, uint32_t value)
{
	out(",\"");
	out(key);
	out("\":");
	out_number(value);
}

static void list_object(const struct inventory *inv, const struct inventory_func *f,
			const struct sick *sick, struct pci_names *names)
{
	char addr[PCI_ADDR_STRLEN];
	size_t i;

	out("{\"address\":");
	json_write_str(stdout, pci_addr_str(&f->addr, addr));
	out_key_hex("class", f->class, 6);
	out_key("class_name", pci_names_class(names, f->class));
	out_key_hex("vendor", f->vendor, 4);
	out_key_hex("device", f->device, 4);
	out_key("vendor_name", pci_names_vendor(names, f->vendor));
	out_key("device_name", pci_names_device(names, f->vendor, f->device));
	out_key("driver", *f->driver ? f->driver : NULL);
	if (f->group >= 0)
		out_key_number("group", (uint32_t)f->group);
	else
		out_key("group", NULL);
	if (f->is_vf)
		out_key("pf", pci_addr_str(&f->pf, addr));
	if (f->is_pf) {
		out_key_number("total_vfs", f->total_vfs);
		out_key_number("num_vfs", f->num_vfs);
	}
	out(",\"interfaces\":[");
	for (i = 0; i < f->net_count; i++) {
		out(i ? "," : "");
		json_write_str(stdout, inv->nets[f->net_first + i].name);
	}
	out(is_sick(sick, &f->addr) ? "],\"quarantine\":true}" : "],\"quarantine\":false}");
}

static void list_json(const struct inventory *inv, const struct sick *sick,
		      struct pci_names *names)
{
	size_t i;

	out("[\n");
	for (i = 0; i < inv->func_count; i++) {
		list_object(inv, &inv->funcs[i], sick, names);
		out(i + 1 < inv->func_count ? ",\n" : "\n");
	}
	out("]\n");
}

int vfctl_list(struct vfctl *v, int argc, char **argv)
{
	struct err err = { .code = 0 };
	struct inventory *inv;
	struct sick sick = { .count = 0 };
	struct pci_names *names;

	(void)argc;
	(void)argv;
	if (inventory_read(&v->host, &inv, &err))
		return vfctl_fail(v, &err);
	if (quarantine_list(&v->host, &sick.addrs, &sick.count, &err)) {
		inventory_free(inv);
		return vfctl_fail(v, &err);
	}
	names = vfctl_names(v);
	if (v->value[OPT_JSON])
		list_json(inv, &sick, names);
	else
		list_text(inv, &sick, names);
	free(sick.addrs);
	pci_names_free(names);
	inventory_free(inv);
	return EXIT_DONE;
}
