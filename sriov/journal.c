// SPDX-License-Identifier: GPL-2.0-or-later
#include "journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "base/yaml.h"
#include "host_file.h"
#include "lease.h"

#define FOLDER "apply"

static void boot_id(const struct host *host, char buf[40])
{
	char path[HOST_PATH_MAX];

	if (host_path(path, host->proc_root, "sys/kernel/random/boot_id") ||
	    io_read_text(path, buf, 40) < 0 || !host_name_ok(buf))
		memcpy(buf, "unknown", 8);
}

void journal_done(struct journal *journal)
{
	size_t i;

	for (i = 0; i < journal->count; i++)
		func_state_done(&journal->entries[i].state);
	free(journal->entries);
	memset(journal, 0, sizeof(*journal));
}

const struct journal_entry *journal_find(const struct journal *journal,
					 const struct pci_addr *addr)
{
	size_t i;

	for (i = 0; i < journal->count; i++) {
		if (pci_addr_eq(&journal->entries[i].state.bind.addr, addr))
			return &journal->entries[i];
	}
	return NULL;
}

/* Room for one more, all zero; NULL without memory. */
static struct journal_entry *entry_new(struct journal *journal)
{
	struct journal_entry *grown;

	grown = reallocarray(journal->entries, journal->count + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	journal->entries = grown;
	grown += journal->count++;
	memset(grown, 0, sizeof(*grown));
	return grown;
}

int journal_add(const struct host *host, struct journal *journal, const struct func_state *state)
{
	struct journal_entry *e;

	if (journal_find(journal, &state->bind.addr))
		return 0;
	e = entry_new(journal);
	if (!e)
		return -ENOMEM;
	if (lease_id(host, &state->bind.addr, e->id))
		e->id[0] = '\0';
	return func_state_copy(&e->state, state);
}

/* --- reading ----------------------------------------------------------------------------------- */

static int take_want(struct journal *journal, const struct want *want, struct err *err)
{
	struct journal_entry *e;
	size_t i;
	int ret = 0;

	for (i = 0; i < want->count && !ret; i++) {
		const struct want_device *d = &want->devices[i];

		if (!(d->match.has & BIT(MATCH_ADDRESS)) || (d->state.has & STATE_EXACT) != STATE_EXACT)
			return err_set(err, -EINVAL, "%s:%u: address, driver or override is missing",
				       want->file, d->line);
		e = entry_new(journal);
		if (!e)
			return err_sys(err, -ENOMEM, "%s", want->file);
		memcpy(e->id, d->id, sizeof(e->id));
		ret = want_state(want, d, &d->match.addr, 0, &e->state, err);
	}
	return ret;
}

int journal_read(const struct host *host, const char *name, struct journal *ret_journal,
		 struct err *err)
{
	char path[HOST_PATH_MAX], boot[40];
	CLEANUP_FREE char *text = NULL;
	struct want want;
	ssize_t len;
	int ret;

	memset(ret_journal, 0, sizeof(*ret_journal));
	len = host_file_read(host->lib_root, FOLDER, name, YAML_BYTES_MAX, &text);
	if (len == -ENOENT || len == -ENOTDIR)
		return 0;
	ret = host_path(path, host->lib_root, FOLDER "/%s", name);
	if (ret || len < 0)
		return err_sys(err, ret ? ret : (int)len, "cannot read %s/" FOLDER "/%s",
			       host->lib_root, name);
	ret = want_parse(&want, path, text, (size_t)len, WANT_JOURNAL, err);
	if (!ret) {
		boot_id(host, boot);
		ret_journal->there = true;
		if (strcmp(name, JOURNAL_UNDER_WAY) != 0 || !strcmp(boot, want.boot))
			ret = take_want(ret_journal, &want, err);
		want_done(&want);
	}
	if (!ret)
		return 0;
	journal_done(ret_journal);
	err_append(err, "; vfctl wrote this file, and what was before the first apply cannot be "
		   "told without it; nothing was changed; move it away to go on from what is now");
	return ret;
}

/* --- writing ----------------------------------------------------------------------------------- */

/* What the reader would not take is no driver's name anyhow. */
static const char *word(const char *text)
{
	return host_name_ok(text) && !strpbrk(text, "\"\\") ? text : "";
}

static void put_vf(FILE *f, unsigned int index, const struct vf_state *vf)
{
	unsigned int i;

	fprintf(f, "    %u: {driver: \"%s\", override: \"%s\"", index, word(vf->bind.driver),
		word(vf->bind.override));
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (vf->attrs.has & BIT(i))
			fprintf(f, ", %s: %" PRIu64, vf_attr_row((enum vf_attr)i)->name,
				vf->attrs.value[i]);
	}
	fprintf(f, "}\n");
}

static void put_entry(FILE *f, const struct journal_entry *e)
{
	const struct func_state *s = &e->state;
	char a[PCI_ADDR_STRLEN];
	unsigned int i;

	fprintf(f, "- match: {address: \"%s\"}\n  id: \"%s\"\n", pci_addr_str(&s->bind.addr, a),
		strpbrk(e->id, "\"\\") ? "" : e->id);
	fprintf(f, "  driver: \"%s\"\n  override: \"%s\"\n", word(s->bind.driver),
		word(s->bind.override));
	if (s->has & STATE_MODE)
		fprintf(f, "  mode: %s\n", s->mode == ESWITCH_SWITCHDEV ? "switchdev" : "legacy");
	if (s->has & STATE_AUTOPROBE)
		fprintf(f, "  autoprobe: %d\n", s->autoprobe);
	if (s->has & STATE_COUNT)
		fprintf(f, "  vfs: %u\n", s->count);
	if (s->count)
		fprintf(f, "  vf:\n");
	for (i = 0; i < s->count; i++)
		put_vf(f, i, &s->vfs[i]);
}

static char *text_of(const struct host *host, const struct journal *journal, size_t *ret_len)
{
	char *text = NULL, boot[40];
	FILE *f = open_memstream(&text, ret_len);
	size_t i;
	int failed;

	if (!f)
		return NULL;
	boot_id(host, boot);
	fprintf(f, "version: %d\nboot: \"%s\"\ndevices:\n", WANT_VERSION, boot);
	for (i = 0; i < journal->count; i++)
		put_entry(f, &journal->entries[i]);
	failed = ferror(f);
	if (fclose(f) || failed) {
		free(text);
		return NULL;
	}
	return text;
}

static int file_err(const struct host *host, const char *name, int code, struct err *err)
{
	if ((code == -EACCES || code == -EPERM) && geteuid() != 0)
		return err_set(err, code, "changing the host needs root; run it with sudo");
	return err_sys(err, code, "cannot write %s/" FOLDER "/%s", host->lib_root, name);
}

int journal_write(struct host *host, const char *name, const struct journal *journal,
		  struct err *err)
{
	CLEANUP_FREE char *text = NULL;
	struct want check;
	size_t len = 0;
	int ret;

	if (journal->count) {
		text = text_of(host, journal, &len);
		if (!text)
			return err_sys(err, -ENOMEM, "%s", name);
		/* What cannot be read back is of no use. */
		ret = want_parse(&check, name, text, len, WANT_JOURNAL, err);
		if (ret)
			return err_prefix(err, "cannot write down what is there"), ret;
		want_done(&check);
	}
	ret = host_file_write(host, host->lib_root, FOLDER, name, text);
	return ret ? file_err(host, name, ret, err) : 0;
}
