// SPDX-License-Identifier: GPL-2.0-or-later
#include "want.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "base/yaml.h"
#include "func.h"
#include "pool.h"
#include "vf.h"

struct reader {
	const struct yaml *doc;
	struct want *want;
	enum want_form form;
	struct err *err;
};

/* One key of a map: where its value goes is the taker's. */
struct field {
	const char *key;
	bool journal; /* nobody but the journal may say it */
	int (*take)(const struct reader *r, const struct yaml_node *node, void *obj);
};

#define FIELDS_MAX 24

/* Decodes all members of the map @node by the table. */
static int take_map(const struct reader *r, const struct yaml_node *node,
		    const struct field *fields, size_t count, void *obj)
{
	const char *names[FIELDS_MAX];
	const struct yaml_node *n;
	size_t i, known = 0;
	int ret = yaml_want(r->doc, node, YAML_MAP, r->err);

	for (i = 0; i < count; i++) {
		if (!fields[i].journal || r->form == WANT_JOURNAL)
			names[known++] = fields[i].key;
	}
	for (n = node->child; n && !ret; n = n->next) {
		ret = yaml_key(r->doc, n, names, known, r->err);
		if (ret < 0)
			return ret;
		for (i = 0; strcmp(fields[i].key, n->key) != 0; i++)
			;
		ret = fields[i].take(r, n, obj);
	}
	return ret;
}

static int bad(const struct reader *r, const struct yaml_node *node, const char *takes)
{
	return yaml_err(r->doc, node, r->err, -EINVAL, "%s: \"%.48s\" will not do; it takes %s",
			node->key, node->text, takes);
}

/* The value of @node, a text. */
static int text_of(const struct reader *r, const struct yaml_node *node, const char **ret_text)
{
	int ret = yaml_want(r->doc, node, YAML_TEXT, r->err);

	*ret_text = ret ? NULL : node->text;
	return ret;
}

static int take_word(const struct reader *r, const struct yaml_node *node,
		     char buf[HOST_NAME_MAX])
{
	const char *text;
	int ret = text_of(r, node, &text);

	if (ret)
		return ret;
	if (!host_name_ok(text))
		return bad(r, node, "a name: up to 63 letters, digits, \"-\", \"_\", \".\"");
	memcpy(buf, text, strlen(text) + 1);
	return 0;
}

/* A name that a pool may have too. */
static int take_name(const struct reader *r, const struct yaml_node *node,
		     char buf[HOST_NAME_MAX])
{
	int ret = take_word(r, node, buf);

	if (ret || pool_name_ok(buf))
		return ret;
	return bad(r, node, "a name without a comma, a colon, or a dot in front");
}

static int take_number(const struct reader *r, const struct yaml_node *node, uint32_t max,
		       uint32_t *ret_value)
{
	const char *text;
	uint64_t v;
	int ret = text_of(r, node, &text);

	if (ret)
		return ret;
	ret = opt_parse_u64(text, &v);
	if (ret == -EINVAL)
		return bad(r, node, "a number");
	if (ret || v > max)
		return yaml_err(r->doc, node, r->err, -ERANGE,
				"%s: %.48s is out of range, it takes 0 to %u", node->key, text, max);
	*ret_value = (uint32_t)v;
	return 0;
}

/* --- match ------------------------------------------------------------------------------------ */

static int match_slot(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_match *m = obj;

	m->has |= BIT(MATCH_SLOT);
	return take_word(r, node, m->slot);
}

static int match_serial(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_match *m = obj;
	const char *text;
	int ret = text_of(r, node, &text);

	if (ret)
		return ret;
	if (!*text || strlen(text) >= sizeof(m->serial))
		return bad(r, node, "a serial number");
	memcpy(m->serial, text, strlen(text) + 1);
	m->has |= BIT(MATCH_SERIAL);
	return 0;
}

static int match_mac(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_match *m = obj;
	const char *text;
	int ret = text_of(r, node, &text);

	if (ret)
		return ret;
	if (opt_parse_mac(text, &m->mac))
		return bad(r, node, "an address of one card, as 52:54:00:12:34:56");
	m->has |= BIT(MATCH_MAC);
	return 0;
}

static int match_vendor(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_match *m = obj;

	m->has |= BIT(MATCH_VENDOR);
	return take_number(r, node, 0xffff, &m->vendor);
}

static int match_device(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_match *m = obj;

	m->has |= BIT(MATCH_DEVICE);
	return take_number(r, node, 0xffff, &m->device);
}

static int match_driver(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_match *m = obj;

	m->has |= BIT(MATCH_DRIVER);
	return take_word(r, node, m->driver);
}

static int match_address(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_match *m = obj;
	const char *text;
	int ret = text_of(r, node, &text);

	if (ret)
		return ret;
	if (pci_addr_parse(text, &m->addr))
		return bad(r, node, "a PCI address, as \"0000:01:00.0\"");
	m->has |= BIT(MATCH_ADDRESS);
	return 0;
}

static const struct field match_fields[] = {
	{ "slot", false, match_slot },	     { "serial", false, match_serial },
	{ "mac", false, match_mac },	     { "vendor", false, match_vendor },
	{ "device", false, match_device },   { "driver", false, match_driver },
	{ "address", false, match_address },
};

/* --- a VF -------------------------------------------------------------------------------------- */

/* A driver's name; the journal writes "" for none. */
static int take_driver(const struct reader *r, const struct yaml_node *node,
		       char buf[HOST_NAME_MAX])
{
	if (r->form == WANT_JOURNAL && node->kind == YAML_TEXT && !*node->text)
		return 0;
	return take_word(r, node, buf);
}

static int vf_driver(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_vf *vf = obj;

	vf->state.has |= STATE_DRIVER;
	return take_driver(r, node, vf->state.bind.driver);
}

static int vf_override(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_vf *vf = obj;

	vf->state.has |= STATE_OVERRIDE;
	return take_driver(r, node, vf->state.bind.override);
}

static int vf_name(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_vf *vf = obj;

	if (vf->first != vf->last)
		return yaml_err(r->doc, node, r->err, -EINVAL, "name: one name for several VFs; "
				"give each its own below vf:, or name a pool");
	return take_name(r, node, vf->name);
}

static int vf_pool(const struct reader *r, const struct yaml_node *node, void *obj)
{
	return take_name(r, node, ((struct want_vf *)obj)->pool);
}

/* What no two VFs can have in common. */
static const uint32_t attrs_of_one = BIT(VF_ATTR_MAC) | BIT(VF_ATTR_NODE_GUID) |
				     BIT(VF_ATTR_PORT_GUID);

static int vf_attr(const struct reader *r, const struct yaml_node *node, void *obj)
{
	int attr = vf_attr_find(node->key);
	struct want_vf *vf = obj;
	struct err why = { .code = 0 };
	const char *text;
	int ret = text_of(r, node, &text);

	if (ret)
		return ret;
	if (vf->first != vf->last && attrs_of_one & BIT((unsigned int)attr))
		return yaml_err(r->doc, node, r->err, -EINVAL,
				"%s: several VFs cannot have one; give each its own below vf:",
				node->key);
	/* The journal has the number itself: what a card had need not be what a file may ask. */
	if (r->form == WANT_JOURNAL)
		ret = opt_parse_u64(text, &vf->state.attrs.value[attr]);
	else
		ret = vf_attr_parse((enum vf_attr)attr, text, &vf->state.attrs.value[attr], &why);
	vf->state.attrs.has |= BIT((unsigned int)attr);
	if (ret && why.code)
		return yaml_err(r->doc, node, r->err, ret, "%s", why.msg);
	return ret ? bad(r, node, "a number") : 0;
}

#define VF_WORDS 4

static int take_vf(const struct reader *r, const struct yaml_node *node, struct want_vf *vf)
{
	struct field fields[VF_WORDS + VF_ATTR_COUNT] = {
		{ "driver", false, vf_driver },
		{ "name", false, vf_name },
		{ "pool", false, vf_pool },
	};
	const struct vf_attrs *a = &vf->state.attrs;
	size_t i;
	int ret;

	for (i = 0; i < VF_ATTR_COUNT; i++)
		fields[VF_WORDS - 1 + i] = (struct field){ vf_attr_row((enum vf_attr)i)->name,
							   false, vf_attr };
	fields[VF_WORDS - 1 + i] = (struct field){ "override", true, vf_override };
	vf->line = node->line;
	ret = take_map(r, node, fields, ARRAY_SIZE(fields), vf);
	if (ret || !(a->has & BIT(VF_ATTR_MIN_RATE)) || !(a->has & BIT(VF_ATTR_MAX_RATE)) ||
	    !a->value[VF_ATTR_MAX_RATE] || a->value[VF_ATTR_MIN_RATE] <= a->value[VF_ATTR_MAX_RATE])
		return ret;
	return yaml_err(r->doc, node, r->err, -EINVAL, "min-rate is larger than max-rate");
}

/* --- a device ---------------------------------------------------------------------------------- */

static int device_name(const struct reader *r, const struct yaml_node *node, void *obj)
{
	return take_name(r, node, ((struct want_device *)obj)->name);
}

static int device_match(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_device *d = obj;

	return take_map(r, node, match_fields, ARRAY_SIZE(match_fields), &d->match);
}

static int device_driver(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_device *d = obj;

	d->state.has |= STATE_DRIVER;
	return take_driver(r, node, d->state.bind.driver);
}

static int device_override(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_device *d = obj;

	d->state.has |= STATE_OVERRIDE;
	return take_driver(r, node, d->state.bind.override);
}

static int device_mode(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_device *d = obj;
	const char *text;
	int ret = text_of(r, node, &text);

	if (ret)
		return ret;
	if (strcmp(text, "legacy") != 0 && strcmp(text, "switchdev") != 0)
		return bad(r, node, "legacy or switchdev");
	d->state.has |= STATE_MODE;
	d->state.mode = *text == 's' ? ESWITCH_SWITCHDEV : ESWITCH_LEGACY;
	return 0;
}

static int device_vfs(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_device *d = obj;

	d->state.has |= STATE_COUNT;
	return take_number(r, node, VF_COUNT_MAX, &d->state.count);
}

static int device_autoprobe(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_device *d = obj;
	uint32_t v = 0;
	int ret = take_number(r, node, 1, &v);

	d->state.has |= STATE_AUTOPROBE;
	d->state.autoprobe = (int)v;
	return ret;
}

static int device_id(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_device *d = obj;
	const char *text;
	int ret = text_of(r, node, &text);

	if (!ret && strlen(text) >= sizeof(d->id))
		return bad(r, node, "what an apply wrote there");
	if (!ret)
		memcpy(d->id, text, strlen(text) + 1);
	return ret;
}

static int device_pool(const struct reader *r, const struct yaml_node *node, void *obj)
{
	return take_name(r, node, ((struct want_device *)obj)->pool);
}

static int device_defaults(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_device *d = obj;

	d->defaults.last = VF_COUNT_MAX;
	return take_vf(r, node, &d->defaults);
}

/* "3" or "2-5" */
static int take_range(const struct reader *r, const struct yaml_node *node, struct want_vf *vf)
{
	char text[16];
	uint64_t first, last;
	char *dash;

	if (strlen(node->key) < sizeof(text)) {
		memcpy(text, node->key, strlen(node->key) + 1);
		dash = strchr(text, '-');
		if (dash)
			*dash = '\0';
		if (!opt_parse_u64(text, &first) && text[1] != 'x' &&
		    !opt_parse_u64(dash ? dash + 1 : text, &last) && first <= last &&
		    last < VF_COUNT_MAX) {
			vf->first = (unsigned int)first;
			vf->last = (unsigned int)last;
			return 0;
		}
	}
	return yaml_err(r->doc, node, r->err, -EINVAL, "\"%.40s\" is no VF; write its number from "
			"0, or a range as 2-5", node->key);
}

static int check_overlap(const struct reader *r, const struct yaml_node *node,
			 const struct want_device *d, const struct want_vf *vf)
{
	size_t i;

	for (i = 0; i < d->vf_count; i++) {
		if (vf->first <= d->vfs[i].last && d->vfs[i].first <= vf->last)
			return yaml_err(r->doc, node, r->err, -EINVAL, "VF %u stands in line %u "
					"too", MAX(vf->first, d->vfs[i].first), d->vfs[i].line);
	}
	return 0;
}

static int device_vf(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want_device *d = obj;
	const struct yaml_node *n;
	struct want_vf *grown, vf;
	int ret = yaml_want(r->doc, node, YAML_MAP, r->err);

	for (n = node->child; n && !ret; n = n->next) {
		memset(&vf, 0, sizeof(vf));
		ret = take_range(r, n, &vf);
		if (!ret)
			ret = take_vf(r, n, &vf);
		if (!ret)
			ret = check_overlap(r, n, d, &vf);
		if (ret)
			return ret;
		grown = reallocarray(d->vfs, d->vf_count + 1, sizeof(vf));
		if (!grown)
			return err_sys(r->err, -ENOMEM, "%s", r->doc->name);
		d->vfs = grown;
		d->vfs[d->vf_count++] = vf;
	}
	return ret;
}

static const struct field device_fields[] = {
	{ "name", false, device_name },
	{ "match", false, device_match },
	{ "driver", false, device_driver },
	{ "mode", false, device_mode },
	{ "pool", false, device_pool },
	{ "vfs", false, device_vfs },
	{ "vf-defaults", false, device_defaults },
	{ "vf", false, device_vf },
	{ "override", true, device_override },
	{ "autoprobe", true, device_autoprobe },
	{ "id", true, device_id },
};

/* What cannot be told any more once the file was applied. */
static int check_match(const struct reader *r, const struct yaml_node *node,
		       const struct want_device *d)
{
	const struct want_match *m = &d->match;
	const char *driver = d->state.bind.driver;

	if (!m->has)
		return yaml_err(r->doc, node, r->err, -EINVAL, "which function is meant? give it a "
				"match: {address: ...}, or serial, mac, slot, vendor, device, driver");
	if (!(d->state.has & STATE_DRIVER) || r->form == WANT_JOURNAL)
		return 0;
	if (m->has & BIT(MATCH_DRIVER) && strcmp(m->driver, driver) != 0)
		return yaml_err(r->doc, node, r->err, -EINVAL, "it is to be found by its driver %s "
				"and to have the driver %s: the next time it would not be found; "
				"match it by something that stays", m->driver, driver);
	if (m->has & BIT(MATCH_MAC) && func_driver_is_vfio(driver))
		return yaml_err(r->doc, node, r->err, -EINVAL, "it is to be found by the MAC of its "
				"interface, which it has no more with %s; match it by something "
				"that stays", driver);
	return 0;
}

/* @d may say nothing of VFs beyond those that it asks for. */
static int check_vfs(const struct reader *r, const struct yaml_node *node,
		     const struct want_device *d)
{
	struct yaml_node at = *node;
	size_t i;

	for (i = 0; i < d->vf_count && d->state.has & STATE_COUNT; i++) {
		at.line = d->vfs[i].line;
		if (d->vfs[i].last >= d->state.count)
			return yaml_err(r->doc, &at, r->err, -EINVAL, "VF %u: with vfs: %u the "
					"last one is %d", d->vfs[i].last, d->state.count,
					(int)d->state.count - 1);
	}
	if (*d->pool && (d->vf_count || d->defaults.line || d->state.count))
		return yaml_err(r->doc, node, r->err, -EINVAL, "pool: this function has VFs; it is "
				"they that belong into a pool, by vf-defaults: {pool: %s}",
				d->pool);
	return 0;
}

static int take_device(const struct reader *r, const struct yaml_node *node,
		       struct want_device *d)
{
	int ret;

	d->line = node->line;
	ret = take_map(r, node, device_fields, ARRAY_SIZE(device_fields), d);
	if (!ret)
		ret = check_match(r, node, d);
	return ret ? ret : check_vfs(r, node, d);
}

/* --- the file ---------------------------------------------------------------------------------- */

static int top_version(const struct reader *r, const struct yaml_node *node, void *obj)
{
	uint32_t version = 0;
	int ret = take_number(r, node, UINT32_MAX, &version);

	(void)obj;
	if (!ret && version != WANT_VERSION)
		return yaml_err(r->doc, node, r->err, -EINVAL,
				"it is of version %u; this vfctl reads version %d", version,
				WANT_VERSION);
	return ret;
}

static int top_devices(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want *want = obj;
	const struct yaml_node *n;
	size_t count = 0;
	int ret;

	/* "devices:" with nothing behind it asks for nothing. */
	if (node->kind == YAML_TEXT && !*node->text)
		return 0;
	ret = yaml_want(r->doc, node, YAML_LIST, r->err);
	if (ret)
		return ret;
	for (n = node->child; n; n = n->next)
		count++;
	if (count > WANT_DEVICES_MAX)
		return yaml_err(r->doc, node, r->err, -E2BIG, "devices: at most %d are taken",
				WANT_DEVICES_MAX);
	want->devices = calloc(count ? count : 1, sizeof(*want->devices));
	if (!want->devices)
		return err_sys(r->err, -ENOMEM, "%s", r->doc->name);
	for (n = node->child; n && !ret; n = n->next)
		ret = take_device(r, n, &want->devices[want->count++]);
	return ret;
}

static int top_boot(const struct reader *r, const struct yaml_node *node, void *obj)
{
	struct want *want = obj;
	const char *text;
	int ret = text_of(r, node, &text);

	if (!ret && strlen(text) < sizeof(want->boot))
		memcpy(want->boot, text, strlen(text) + 1);
	return ret;
}

static const struct field top_fields[] = {
	{ "version", false, top_version },
	{ "devices", false, top_devices },
	{ "boot", true, top_boot },
};

static int file_err(const struct want *want, unsigned int line, struct err *err, const char *what,
		    const char *name, unsigned int other)
{
	return err_set(err, -EINVAL, "%s:%u: %s %s stands in line %u too", want->file, line, what,
		       name, other);
}

/* A VF's name is a pool too, so no other VF and no pool may have it. */
static int check_name(const struct want *want, const struct want_vf *mine, struct err *err)
{
	const struct want_device *d;
	const char *name = mine->name;
	const struct want_vf *vf;

	for (d = want->devices; *name && d < want->devices + want->count; d++) {
		if (!strcmp(d->pool, name) || !strcmp(d->defaults.pool, name))
			return file_err(want, mine->line, err, "the pool", name, d->line);
		for (vf = d->vfs; vf < d->vfs + d->vf_count; vf++) {
			if (vf != mine && !strcmp(vf->name, name))
				return file_err(want, mine->line, err, "the name", name, vf->line);
			if (!strcmp(vf->pool, name))
				return file_err(want, mine->line, err, "the pool", name, vf->line);
		}
	}
	return 0;
}

static int check_mac(const struct want *want, const struct want_vf *mine, struct err *err)
{
	const uint64_t mac = mine->state.attrs.value[VF_ATTR_MAC];
	const struct want_device *d;
	const struct want_vf *vf;
	char text[VF_ATTR_TEXT_MAX];

	if (!(mine->state.attrs.has & BIT(VF_ATTR_MAC)) || !mac)
		return 0;
	for (d = want->devices; d < want->devices + want->count; d++) {
		for (vf = d->vfs; vf < d->vfs + d->vf_count; vf++) {
			if (vf != mine && vf->state.attrs.has & BIT(VF_ATTR_MAC) &&
			    vf->state.attrs.value[VF_ATTR_MAC] == mac)
				return file_err(want, mine->line, err, "the mac",
						vf_attr_text(VF_ATTR_MAC, mac, text), vf->line);
		}
	}
	return 0;
}

static int check_all(const struct want *want, struct err *err)
{
	const struct want_device *d, *other;
	const struct want_vf *vf;
	int ret = 0;

	for (d = want->devices; d < want->devices + want->count && !ret; d++) {
		for (other = want->devices; *d->name && other < d; other++) {
			if (!strcmp(other->name, d->name))
				return file_err(want, d->line, err, "the name", d->name,
						other->line);
		}
		for (vf = d->vfs; vf < d->vfs + d->vf_count && !ret; vf++) {
			ret = check_name(want, vf, err);
			if (!ret)
				ret = check_mac(want, vf, err);
		}
	}
	return ret;
}

static int take_all(const struct reader *r)
{
	const struct yaml_node *root = r->doc->root;
	int ret = take_map(r, root, top_fields, ARRAY_SIZE(top_fields), r->want);

	if (!ret && (!root->child || strcmp(root->child->key, "version") != 0))
		return yaml_err(r->doc, root, r->err, -EINVAL,
				"its first line should be \"version: %d\"", WANT_VERSION);
	/* The journal's text is made by a program, from what could be. */
	return ret || r->form == WANT_JOURNAL ? ret : check_all(r->want, r->err);
}

static int take_doc(struct want *want, const struct yaml *doc, enum want_form form,
		    struct err *err)
{
	struct reader r = { .doc = doc, .want = want, .form = form, .err = err };
	struct err own = { .code = 0 };
	int ret;

	r.err = err ? err : &own;
	want->file = strdup(doc->name);
	ret = want->file ? take_all(&r) : err_sys(err, -ENOMEM, "%s", doc->name);
	if (ret)
		want_done(want);
	return ret;
}

int want_read(struct want *ret_want, const char *path, struct err *err)
{
	struct yaml doc;
	int ret;

	memset(ret_want, 0, sizeof(*ret_want));
	ret = yaml_parse_file(&doc, path, err);
	if (ret)
		return ret;
	ret = take_doc(ret_want, &doc, WANT_FILE, err);
	yaml_done(&doc);
	return ret;
}

int want_parse(struct want *ret_want, const char *name, const char *text, size_t len,
	       enum want_form form, struct err *err)
{
	struct yaml doc;
	int ret;

	memset(ret_want, 0, sizeof(*ret_want));
	ret = yaml_parse(&doc, name, text, len, err);
	if (ret)
		return ret;
	ret = take_doc(ret_want, &doc, form, err);
	yaml_done(&doc);
	return ret;
}

void want_done(struct want *want)
{
	size_t i;

	for (i = 0; i < want->count; i++)
		free(want->devices[i].vfs);
	free(want->devices);
	free(want->file);
	memset(want, 0, sizeof(*want));
}

/* Lays over @ret what @from says. */
static void lay_over(struct vf_state *ret, const struct vf_state *from)
{
	unsigned int i;

	if (from->has & STATE_DRIVER) {
		ret->has |= from->has & STATE_EXACT;
		ret->bind = from->bind;
	}
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (from->attrs.has & BIT(i))
			ret->attrs.value[i] = from->attrs.value[i];
	}
	ret->attrs.has |= from->attrs.has;
}

void want_vf(const struct want_device *dev, unsigned int index, struct vf_state *ret_state,
	     const char **ret_name, const char **ret_pool)
{
	const char *name = "", *pool = dev->defaults.pool;
	size_t i;

	*ret_state = dev->defaults.state;
	for (i = 0; i < dev->vf_count; i++) {
		const struct want_vf *vf = &dev->vfs[i];

		if (index < vf->first || index > vf->last)
			continue;
		lay_over(ret_state, &vf->state);
		name = vf->name;
		pool = *vf->pool ? vf->pool : pool;
	}
	if (ret_name)
		*ret_name = name;
	if (ret_pool)
		*ret_pool = pool;
}

int want_state(const struct want *want, const struct want_device *dev,
	       const struct pci_addr *addr, unsigned int now, struct func_state *ret_state,
	       struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	unsigned int i;
	size_t v;

	*ret_state = dev->state;
	ret_state->bind.addr = *addr;
	ret_state->vfs = NULL;
	ret_state->count = 0;
	for (v = 0; v < dev->vf_count; v++) {
		if (!(dev->state.has & STATE_COUNT) && dev->vfs[v].last >= now)
			return err_set(err, -EINVAL, "%s:%u: VF %u: %s has %u VFs now; say how many "
				       "it should have by vfs:", want->file, dev->vfs[v].line,
				       dev->vfs[v].last, pci_addr_str(addr, a), now);
	}
	if (func_state_resize(ret_state, dev->state.has & STATE_COUNT ? dev->state.count : now))
		return err_sys(err, -ENOMEM, "%s", want->file);
	for (i = 0; i < ret_state->count; i++)
		want_vf(dev, i, &ret_state->vfs[i], NULL, NULL);
	return 0;
}

const char *want_label(const struct want_device *dev, const struct pci_addr *addr,
		       char buf[HOST_NAME_MAX])
{
	if (!*dev->name)
		return pci_addr_str(addr, buf);
	memcpy(buf, dev->name, HOST_NAME_MAX);
	return buf;
}
