// SPDX-License-Identifier: GPL-2.0-or-later
/* What stands in a libvirt domain's <devices>. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "vfctl_export.h"

/* A pool's name fit for a comment, in which two hyphens may not follow each other. */
static void write_comment(const char *pool, FILE *out)
{
	char before = '-';

	fputs("  <!-- pool ", out);
	for (; *pool; pool++) {
		char c = *pool == '-' && before == '-' ? '_' : *pool;

		fputc(c == '<' || c == '>' || c == '&' ? '_' : c, out);
		before = c;
	}
	fputs(" -->\n", out);
}

/* Only an interface may have other sources than PCI, so only there the type is said. */
static void write_source(const struct pci_addr *a, const char *type, FILE *out)
{
	fprintf(out,
		"    <driver name='vfio'/>\n"
		"    <source>\n"
		"      <address %sdomain='0x%04x' bus='0x%02x' slot='0x%02x' function='0x%x'/>\n"
		"    </source>\n",
		type, a->domain, a->bus, a->dev, a->fn);
}

static void write_interface(const struct export_func *f, FILE *out)
{
	uint64_t mac = f->attrs.has & BIT(VF_ATTR_MAC) ? f->attrs.value[VF_ATTR_MAC] : 0;
	uint64_t vlan = f->attrs.has & BIT(VF_ATTR_VLAN) ? f->attrs.value[VF_ATTR_VLAN] : 0;
	unsigned int b[6], i;

	for (i = 0; i < 6; i++)
		b[i] = (unsigned int)(mac >> (40 - 8 * i)) & 0xff;
	fputs("  <interface type='hostdev' managed='no'>\n", out);
	write_source(&f->info.addr, "type='pci' ", out);
	/* Without one libvirt makes one up at each start, and sets it. */
	if (mac)
		fprintf(out, "    <mac address='%02x:%02x:%02x:%02x:%02x:%02x'/>\n", b[0], b[1], b[2],
			b[3], b[4], b[5]);
	if (vlan)
		fprintf(out, "    <vlan><tag id='%u'/></vlan>\n", (unsigned int)vlan);
	fputs("  </interface>\n", out);
}

int export_libvirt(const struct export *ex, FILE *out, struct err *err)
{
	const char *pool = "";
	size_t i;

	(void)err;
	fputs("<devices>\n", out);
	for (i = 0; i < ex->count; i++) {
		const struct export_func *f = &ex->funcs[i];

		if (strcmp(f->pool, pool) != 0)
			write_comment(f->pool, out);
		pool = f->pool;
		/* An interface is a VF whose PF's driver takes settings for it. */
		if (f->info.class >> 16 == 0x02 && *f->pf_name) {
			write_interface(f, out);
			continue;
		}
		fputs("  <hostdev mode='subsystem' type='pci' managed='no'>\n", out);
		write_source(&f->info.addr, "", out);
		fputs("  </hostdev>\n", out);
	}
	fputs("</devices>\n", out);
	return 0;
}
