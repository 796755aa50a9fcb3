// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf_attr.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/opt.h"
#include "base/util.h"
#include "vf_backend.h"

#define NAMESPACES_MAX 64
#define RATE_MAX INT32_MAX /* the kernel's drivers are handed an int */
#define SHOWN 48

struct word {
	const char *text; /* NULL: the end */
	uint64_t value;
};

static const struct word on_off[] = { { "on", 1 }, { "off", 0 }, { NULL, 0 } };
static const struct word link_states[] = {
	{ "auto", 0 }, { "enable", 1 }, { "disable", 2 }, { NULL, 0 }
};
static const struct word vlan_protocols[] = {
	{ "802.1q", 0x8100 }, { "802.1ad", 0x88a8 }, { NULL, 0 }
};

static const struct {
	struct vf_attr_row row;
	uint64_t max;		  /* VF_ATTR_NUMBER */
	const struct word *words; /* VF_ATTR_WORD */
} rows[VF_ATTR_COUNT] = {
#define ROW(name, kind, cost, help) .row = { name, VF_ATTR_##kind, VF_ATTR_##cost, help }
	[VF_ATTR_MAC] = { ROW("mac", ADDR, RESET, "the VF's address, none to leave it to the VF") },
	[VF_ATTR_VLAN] = { ROW("vlan", NUMBER, LIVE, "VLAN of all its packets to 4094, 0 for none"),
			   .max = 4094 },
	[VF_ATTR_QOS] = { ROW("qos", NUMBER, LIVE, "802.1p priority in that VLAN, 0 to 7"),
			  .max = 7 },
	[VF_ATTR_VLAN_PROTO] = { ROW("vlan-protocol", WORD, LIVE, "802.1q or 802.1ad"),
				 .words = vlan_protocols },
	[VF_ATTR_SPOOFCHK] = { ROW("spoof-check", WORD, LIVE,
				   "on: packets from another address than its own are dropped"),
			       .words = on_off },
	[VF_ATTR_TRUST] = { ROW("trust", WORD, LIVE,
				"on: it may change its address and see all packets"),
			    .words = on_off },
	[VF_ATTR_LINK_STATE] = { ROW("link-state", WORD, LIVE,
				     "auto (as the port), enable or disable"),
				 .words = link_states },
	[VF_ATTR_MIN_RATE] = { ROW("min-rate", NUMBER, LIVE, "guaranteed Mb/s, 0 for none"),
			       .max = RATE_MAX },
	[VF_ATTR_MAX_RATE] = { ROW("max-rate", NUMBER, LIVE, "transmit limit in Mb/s, 0 for none"),
			       .max = RATE_MAX },
	[VF_ATTR_NODE_GUID] = { ROW("node-guid", GUID, RESET, "InfiniBand GUID of the VF") },
	[VF_ATTR_PORT_GUID] = { ROW("port-guid", GUID, RESET, "InfiniBand GUID of its port") },
	[VF_ATTR_VECTORS] = { ROW("vectors", NUMBER, UNBOUND, "interrupt vectors"),
			      .max = UINT16_MAX },
	[VF_ATTR_QUEUES] = { ROW("queues", NUMBER, UNBOUND,
				 "NVMe queues, the admin queue among them"),
			     .max = UINT16_MAX },
	[VF_ATTR_ONLINE] = { ROW("online", WORD, UNBOUND, "NVMe: on makes the controller usable"),
			     .words = on_off },
	[VF_ATTR_NAMESPACES] = { ROW("namespaces", LIST, LIVE,
				     "NVMe namespaces attached to it: 1,3 or 1-4") },
#undef ROW
};

const struct vf_attr_row *vf_attr_row(enum vf_attr attr)
{
	return &rows[attr].row;
}

int vf_attr_find(const char *name)
{
	int i;

	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (!strcmp(rows[i].row.name, name))
			return i;
	}
	return -1;
}

/* Digits alone: no sign, no blank, no 0x, and no zero in front that could mean octal. */
static int parse_number(const char *text, uint64_t *ret)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || text[digits] || (*text == '0' && digits > 1))
		return -EINVAL;
	return opt_parse_u64(text, ret);
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* "aa:bb:...", exactly @bytes of them, or "none". */
static int parse_bytes(const char *text, unsigned int bytes, uint64_t *ret)
{
	uint64_t value = 0;
	unsigned int i;

	*ret = 0;
	if (!strcmp(text, "none"))
		return 0;
	for (i = 0; i < bytes; i++, text += 3) {
		int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0 || text[2] != (i + 1 < bytes ? ':' : '\0'))
			return -EINVAL;
		value = value << 8 | (uint64_t)(high << 4 | low);
	}
	*ret = value;
	return 0;
}

/* One "3" or "1-4" of a list, up to @end. */
static int parse_span(const char *text, const char *end, uint64_t *bits)
{
	char part[8], *dash;
	uint64_t from, to;

	if (end == text || (size_t)(end - text) >= sizeof(part))
		return -EINVAL;
	memcpy(part, text, (size_t)(end - text));
	part[end - text] = '\0';
	dash = strchr(part, '-');
	if (dash)
		*dash = '\0';
	if (parse_number(part, &from) || parse_number(dash ? dash + 1 : part, &to))
		return -EINVAL;
	if (!from || from > to || to > NAMESPACES_MAX)
		return -ERANGE;
	for (; from <= to; from++)
		*bits |= BIT64(from - 1);
	return 0;
}

static int parse_list(const char *text, uint64_t *ret)
{
	const char *end;
	int err;

	*ret = 0;
	if (!strcmp(text, "none"))
		return 0;
	for (;;) {
		end = strchrnul(text, ',');
		err = parse_span(text, end, ret);
		if (err || !*end)
			return err;
		text = end + 1;
	}
}

static int parse_word(const struct word *words, const char *text, uint64_t *ret)
{
	for (; words->text; words++) {
		if (!strcasecmp(words->text, text)) {
			*ret = words->value;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_mac(const char *text, uint64_t *ret, const char *name, struct err *err)
{
	char shown[SHOWN];

	if (parse_bytes(text, 6, ret))
		return err_set(err, -EINVAL,
			       "%s: \"%s\" is no address like 52:54:00:12:34:56; none "
			       "leaves it to the VF",
			       name, host_printable(text, shown, sizeof(shown)));
	if (*ret & BIT64(40))
		return err_set(err, -EINVAL,
			       "%s: %s is a group address; a VF needs one whose first "
			       "byte is even",
			       name, host_printable(text, shown, sizeof(shown)));
	return 0;
}

/* "on or off", "auto, enable or disable". */
static const char *words_text(const struct word *words, char buf[SHOWN])
{
	size_t len = 0, i;

	for (i = 0; words[i].text && len < SHOWN; i++)
		len += (size_t)snprintf(buf + len, SHOWN - len, "%s%s",
					!i ? "" : words[i + 1].text ? ", " : " or ", words[i].text);
	return buf;
}

int vf_attr_parse(enum vf_attr attr, const char *text, uint64_t *ret_value, struct err *err)
{
	const char *name = rows[attr].row.name;
	char shown[SHOWN], words[SHOWN];
	uint64_t value = 0;
	int ret = 0;

	host_printable(text, shown, sizeof(shown));
	switch (rows[attr].row.kind) {
	case VF_ATTR_NUMBER:
		ret = parse_number(text, &value);
		if (ret == -EINVAL)
			return err_set(err, ret, "%s: \"%s\" is no number", name, shown);
		if (ret || value > rows[attr].max)
			return err_set(err, -ERANGE, "%s: %s is not within 0 to %llu", name, shown,
				       (unsigned long long)rows[attr].max);
		break;
	case VF_ATTR_WORD:
		if (parse_word(rows[attr].words, text, &value))
			return err_set(err, -EINVAL, "%s: \"%s\" is not %s", name, shown,
				       words_text(rows[attr].words, words));
		break;
	case VF_ATTR_ADDR:
		ret = parse_mac(text, &value, name, err);
		if (ret)
			return ret;
		break;
	case VF_ATTR_GUID:
		if (parse_bytes(text, 8, &value))
			return err_set(err, -EINVAL, "%s: \"%s\" is no GUID like "
				       "02:1c:b0:00:00:12:34:56", name, shown);
		break;
	case VF_ATTR_LIST:
		ret = parse_list(text, &value);
		if (ret)
			return err_set(err, ret, "%s: \"%s\" is no list like 1,3 or 1-4 of "
				       "namespaces 1 to %d; none is none", name, shown,
				       NAMESPACES_MAX);
		break;
	}
	*ret_value = value;
	return 0;
}

static void bytes_text(uint64_t value, unsigned int bytes, char *buf, size_t size)
{
	size_t len = 0;

	while (bytes-- && len < size)
		len += (size_t)snprintf(buf + len, size - len, "%02x%s",
					(unsigned int)(value >> (8 * bytes)) & 0xff,
					bytes ? ":" : "");
}

static void list_text(uint64_t bits, char *buf, size_t size)
{
	unsigned int from, to;
	size_t len = 0;

	for (from = 1; from <= NAMESPACES_MAX && len < size; from = to + 1) {
		to = from;
		if (!(bits & BIT64(from - 1)))
			continue;
		while (to < NAMESPACES_MAX && bits & BIT64(to))
			to++;
		len += (size_t)snprintf(buf + len, size - len, to > from ? "%s%u-%u" : "%s%u",
					len ? "," : "", from, to);
	}
}

const char *vf_attr_text(enum vf_attr attr, uint64_t value, char buf[VF_ATTR_TEXT_MAX])
{
	const struct word *word = rows[attr].words;
	enum vf_attr_kind kind = rows[attr].row.kind;

	snprintf(buf, VF_ATTR_TEXT_MAX, "none");
	for (; word && word->text; word++) {
		if (word->value == value) {
			snprintf(buf, VF_ATTR_TEXT_MAX, "%s", word->text);
			return buf;
		}
	}
	if (!value && kind != VF_ATTR_NUMBER && kind != VF_ATTR_WORD)
		return buf;
	switch (kind) {
	case VF_ATTR_ADDR:
		bytes_text(value, 6, buf, VF_ATTR_TEXT_MAX);
		break;
	case VF_ATTR_GUID:
		bytes_text(value, 8, buf, VF_ATTR_TEXT_MAX);
		break;
	case VF_ATTR_LIST:
		list_text(value, buf, VF_ATTR_TEXT_MAX);
		break;
	default: /* also a word that this table does not know, from a newer kernel */
		snprintf(buf, VF_ATTR_TEXT_MAX, "%llu", (unsigned long long)value);
	}
	return buf;
}

uint32_t vf_attrs_differ(const struct vf_attrs *now, const struct vf_attrs *want)
{
	uint32_t differ = want->has & ~now->has;
	unsigned int i;

	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (want->has & now->has & BIT(i) && want->value[i] != now->value[i])
			differ |= BIT(i);
	}
	return differ;
}

/* Where two have a way to the same setting, the first that claims the card is asked. */
static const struct vf_backend *const backends[] = {
	&vf_backend_net,
	&vf_backend_nvme,
	&vf_backend_pci,
};

int vf_attrs_read(struct host *host, const struct pci_addr *pf, unsigned int index,
		  struct vf_attrs *ret_attrs, struct err *err)
{
	struct vf_attrs more;
	uint32_t new;
	size_t i, j;
	int ret;

	memset(ret_attrs, 0, sizeof(*ret_attrs));
	for (i = 0; i < ARRAY_SIZE(backends); i++) {
		if (!backends[i]->claims(host, pf))
			continue;
		memset(&more, 0, sizeof(more));
		ret = backends[i]->read(host, pf, index, &more, err);
		if (ret)
			return ret;
		new = more.has & ~ret_attrs->has;
		for (j = 0; j < VF_ATTR_COUNT; j++) {
			if (new & BIT(j))
				ret_attrs->value[j] = more.value[j];
		}
		ret_attrs->has |= new;
	}
	return 0;
}

/* The settings of @which that none of the card's back ends has. */
static uint32_t nobodys(const struct host *host, const struct pci_addr *pf, uint32_t which)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(backends) && which; i++) {
		if (which & backends[i]->attrs && backends[i]->claims(host, pf))
			which &= ~backends[i]->attrs;
	}
	return which;
}

static int refuse(const struct host *host, const struct pci_addr *pf, unsigned int index,
		  uint32_t which, struct err *err)
{
	char a[PCI_ADDR_STRLEN], driver[HOST_NAME_MAX];

	pci_addr_str(pf, a);
	if (host_link(host, driver, sizeof(driver), "bus/pci/devices/%s/driver", a))
		return err_set(err, -ENOTSUP, "%s: VF %u has no setting %s while its PF has no "
			       "driver; run: vfctl bind %s default", a, index,
			       rows[__builtin_ctz(which)].row.name, a);
	return err_set(err, -ENOTSUP,
		       "%s: VF %u has no setting %s: its PF is no card of that kind, the "
		       "driver %s has none, or its interface is in another network namespace",
		       a, index, rows[__builtin_ctz(which)].row.name, driver);
}

/* A driver may say yes and do nothing, or undo one setting with another. */
static int check_kept(struct host *host, const struct pci_addr *pf, unsigned int index,
		      const struct vf_attrs *want, uint32_t which, struct err *err)
{
	char a[PCI_ADDR_STRLEN], asked[VF_ATTR_TEXT_MAX], is[VF_ATTR_TEXT_MAX];
	struct vf_attrs now;
	unsigned int i;
	int ret = vf_attrs_read(host, pf, index, &now, err);

	if (ret)
		return ret;
	which &= vf_attrs_differ(&now, want);
	if (!which)
		return 0;
	i = (unsigned int)__builtin_ctz(which);
	err_set(err, -EIO, "%s: VF %u: the card took %s %s and did not keep it: it %s %s",
		pci_addr_str(pf, a), index, rows[i].row.name,
		vf_attr_text(i, want->value[i], asked), now.has & BIT(i) ? "is" : "shows",
		now.has & BIT(i) ? vf_attr_text(i, now.value[i], is) : "none");
	/* Some drivers know no way from an address that was given back to the VF's own. */
	if (i == VF_ATTR_MAC && !want->value[i])
		err_append(err, "; this driver forgets an address only when it makes its VFs anew "
			   "(vfctl destroy, create)");
	return -EIO;
}

int vf_attrs_write(struct host *host, const struct pci_addr *pf, unsigned int index,
		   const struct vf_attrs *want, uint32_t which, struct err *err)
{
	uint32_t left, mine;
	size_t i;
	int ret = 0;

	which &= want->has;
	left = nobodys(host, pf, which);
	if (left)
		return refuse(host, pf, index, left, err);
	left = which;
	for (i = 0; i < ARRAY_SIZE(backends) && left && !ret; i++) {
		mine = left & backends[i]->attrs;
		if (!mine || !backends[i]->claims(host, pf))
			continue;
		ret = backends[i]->write(host, pf, index, want, mine, err);
		left &= ~mine;
	}
	return ret || !which ? ret : check_kept(host, pf, index, want, which, err);
}

const char *eswitch_mode_name(enum eswitch_mode mode)
{
	return mode == ESWITCH_SWITCHDEV ? "switchdev" : "legacy";
}

/* What devlink answers for a card without an eswitch, or without devlink. */
static bool no_eswitch(int code)
{
	return code == -EOPNOTSUPP || code == -ENODEV || code == -ENOENT;
}

static int eswitch_error(const struct pci_addr *pf, const char *doing, int code,
			 const struct err *words, struct err *err)
{
	char a[PCI_ADDR_STRLEN], shown[200];

	pci_addr_str(pf, a);
	if (no_eswitch(code))
		return err_set(err, -ENOTSUP, "%s: its driver knows no eswitch mode", a);
	err_sys(err, code, "%s: cannot %s the eswitch mode", a, doing);
	if (words->code)
		err_append(err, " (%s)", host_printable(words->msg, shown, sizeof(shown)));
	if (code == -EPERM || code == -EACCES)
		err_append(err, "; it needs the right to administer networks; run it with sudo");
	return code;
}

int eswitch_mode_read(struct host *host, const struct pci_addr *pf, enum eswitch_mode *ret_mode,
		      struct err *err)
{
	struct err words = { .code = 0 };
	char a[PCI_ADDR_STRLEN];
	unsigned int mode = 0;
	int ret = -EOPNOTSUPP;

	if (host->vf_ops && host->vf_ops->eswitch_get)
		ret = host->vf_ops->eswitch_get(host, pci_addr_str(pf, a), &mode);
	if (ret)
		return eswitch_error(pf, "read", ret, &words, err);
	if (mode > ESWITCH_SWITCHDEV)
		return err_set(err, -ENOTSUP,
			       "%s: its eswitch is in mode %u, which this program does not know",
			       pci_addr_str(pf, a), mode);
	*ret_mode = (enum eswitch_mode)mode;
	return 0;
}

int eswitch_mode_write(struct host *host, const struct pci_addr *pf, enum eswitch_mode mode,
		       struct err *err)
{
	struct err words = { .code = 0 };
	char a[PCI_ADDR_STRLEN], where[PCI_ADDR_STRLEN + 16];
	enum eswitch_mode now = ESWITCH_LEGACY;
	int ret = eswitch_mode_read(host, pf, &now, err);

	if (ret)
		return ret;
	pci_addr_str(pf, a);
	snprintf(where, sizeof(where), "%s eswitch", a);
	host_ask(host, where);
	ret = host->vf_ops->eswitch_set(host, a, mode, &words);
	host_asked(host, where, eswitch_mode_name(mode), ret);
	if (ret)
		return eswitch_error(pf, "set", ret, &words, err);
	ret = eswitch_mode_read(host, pf, &now, err);
	if (!ret && now != mode)
		ret = err_set(err, -EIO, "%s: the card took the eswitch mode and did not keep it",
			      a);
	return ret;
}
