// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "func.h"
#include "lease_priv.h"

/* "serial=..." of the card, or the MAC that its interface was made with: one that was set since
 * (addr_assign_type other than 0, as by a bond) says nothing. */
static void card_id(const struct host *host, const struct func_info *card, char *buf, size_t size)
{
	char serial[FUNC_SERIAL_MAX], mac[20];
	unsigned int i;
	long type;

	buf[0] = '\0';
	if (!func_serial(host, &card->addr, serial)) {
		snprintf(buf, size, " serial=%s", serial);
		return;
	}
	for (i = 0; i < card->netdev_count; i++) {
		if (!host_read_long(host, &type, "class/net/%s/addr_assign_type",
				    card->netdevs[i]) && !type &&
		    host_read(host, mac, sizeof(mac), "class/net/%s/address",
			      card->netdevs[i]) > 0 && host_name_ok(mac)) {
			snprintf(buf, size, " mac=%s", mac);
			return;
		}
	}
}

int lease_id(const struct host *host, const struct pci_addr *addr, char buf[LEASE_ID_MAX])
{
	struct func_info info, pf;
	char card[64], vf[48] = "";
	int ret = func_read(host, addr, &info, NULL);

	if (ret)
		return -ENODEV;
	pf = info;
	if (info.is_vf && func_read(host, &info.pf, &pf, NULL))
		return -ENODEV;
	if (info.is_vf)
		snprintf(vf, sizeof(vf), " vf=%d pf=%04x:%04x", info.vf_index, pf.vendor,
			 pf.device);
	card_id(host, &pf, card, sizeof(card));
	snprintf(buf, LEASE_ID_MAX, "ids=%04x:%04x%s%s", info.vendor, info.device, vf, card);
	return 0;
}

/* The value of the word that begins with @key, up to the next space; NULL when there is none. */
static const char *word_of(const char *text, const char *key, size_t key_len)
{
	while (text) {
		text += *text == ' ';
		if (!strncmp(text, key, key_len))
			return text + key_len;
		text = strchr(text, ' ');
	}
	return NULL;
}

bool lease_id_match(const char *a, const char *b)
{
	const char *other, *value;
	size_t key_len, len;

	for (; a; a = strchr(a, ' ')) {
		a += *a == ' ';
		key_len = strcspn(a, "= ");
		if (a[key_len] != '=')
			return false;
		value = a + ++key_len;
		len = strcspn(value, " ");
		other = word_of(b, a, key_len);
		if (other && (strcspn(other, " ") != len || strncmp(other, value, len) != 0))
			return false;
	}
	return true;
}
