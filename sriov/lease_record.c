// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading of lease records, whatever is in them. A record is text: the line "viaduct-lease 1",
 * lines of a key and its value, and the line "end".
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/util.h"
#include "host_file.h"
#include "lease_priv.h"

#define RECORD_MAX 4096

static const char *const state_names[] = {
	[LEASE_HELD] = "held",
	[LEASE_WORK] = "work",
	[LEASE_DIRTY] = "dirty",
};

static int take_state(struct lease *l, const char *value)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(state_names); i++) {
		if (!strcmp(state_names[i], value)) {
			l->state = (enum lease_state)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int take_name(char buf[HOST_NAME_MAX], const char *value)
{
	if (!host_name_ok(value))
		return -EINVAL;
	memcpy(buf, value, strlen(value) + 1);
	return 0;
}

static int take_owner(struct lease *l, const char *value)
{
	return take_name(l->owner, value);
}

static int take_driver(struct lease *l, const char *value)
{
	return take_name(l->bind.driver, value);
}

static int take_override(struct lease *l, const char *value)
{
	return take_name(l->bind.override, value);
}

static int take_address(struct lease *l, const char *value)
{
	struct pci_addr addr;

	return pci_addr_parse(value, &addr) || !pci_addr_eq(&addr, &l->addr) ? -EINVAL : 0;
}

static int take_id(struct lease *l, const char *value)
{
	size_t len = strlen(value);

	if (!len || len >= sizeof(l->id))
		return -EINVAL;
	host_printable(value, l->id, sizeof(l->id));
	return strcmp(value, l->id) ? -EINVAL : 0;
}

/* "PID START BOOT NAMESPACE", the last "-" when it is not known. */
static int take_process(struct lease *l, const char *value)
{
	struct lease_process *p = &l->process;
	int end = -1;

	/* The widths are those of the members, their terminators apart. */
	if (strspn(value, "0123456789") > 9 ||
	    sscanf(value, "%d %20" SCNu64 " %39s %31s%n", &p->pid, &p->start, p->boot, p->ns,
		   &end) != 4 || end < 0 || value[end] || p->pid < 1)
		return -EINVAL;
	if (!strcmp(p->ns, "-"))
		p->ns[0] = '\0';
	return 0;
}

static const struct {
	const char *key;
	int (*take)(struct lease *l, const char *value);
} keys[] = {
	{ "address", take_address },
	{ "state", take_state },
	{ "owner", take_owner },
	{ "process", take_process },
	{ "id", take_id },
	{ "driver", take_driver },
	{ "override", take_override },
};

/* "mac 0x525400123456" */
static int take_attr(struct lease *l, char *value, int (*attr_find)(const char *name))
{
	char *number = strchr(value, ' '), *end;
	int attr;

	if (!number || strncmp(number, " 0x", 3) != 0)
		return -EINVAL;
	*number++ = '\0';
	if (!attr_find)
		return 0;
	attr = attr_find(value);
	if (attr < 0 || attr >= VF_ATTR_COUNT || l->attrs.has & BIT(attr))
		return -EINVAL;
	errno = 0;
	l->attrs.value[attr] = strtoull(number, &end, 16);
	l->attrs.has |= BIT(attr);
	return errno || *end ? -EINVAL : 0;
}

static int take_line(struct lease *l, char *line, int (*attr_find)(const char *name),
		     unsigned int *seen)
{
	char *value = strchr(line, ' ');
	size_t i;

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	if (!strcmp(line, "attr"))
		return take_attr(l, value, attr_find);
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!strcmp(keys[i].key, line)) {
			if (*seen & BIT(i))
				return -EINVAL;
			*seen |= BIT(i);
			return keys[i].take(l, value);
		}
	}
	return -EINVAL;
}

/* Is the first line of @text right? If not, @why says what is wrong. */
static bool head_ok(const char *line, char why[LEASE_WHY_MAX])
{
	unsigned int version;
	int end = -1;

	if (!line || sscanf(line, LEASE_MAGIC " %9u%n", &version, &end) != 1 || line[end]) {
		snprintf(why, LEASE_WHY_MAX, "it is no lease record, or a part of one");
		return false;
	}
	if (version == LEASE_VERSION)
		return true;
	snprintf(why, LEASE_WHY_MAX, "it is of version %u, and this program knows version %d",
		 version, LEASE_VERSION);
	return false;
}

static void parse(struct lease *l, char *text, int (*attr_find)(const char *name))
{
	char *line, *rest = text, shown[48];
	unsigned int seen = 0, n = 1;
	bool ended = false;

	if (!head_ok(strsep(&rest, "\n"), l->why))
		return;
	while (rest && *rest) {
		line = strsep(&rest, "\n");
		n++;
		host_printable(line, shown, sizeof(shown));
		if (ended || (strcmp(line, "end") != 0 && take_line(l, line, attr_find, &seen))) {
			snprintf(l->why, sizeof(l->why), "its line %u, \"%s\", makes no sense", n,
				 shown);
			l->state = LEASE_UNKNOWN;
			return;
		}
		ended = !strcmp(line, "end");
	}
	if (!ended || l->state == LEASE_UNKNOWN || !*l->id ||
	    (l->state == LEASE_HELD && !*l->owner) || (l->state == LEASE_WORK && !l->process.pid)) {
		snprintf(l->why, sizeof(l->why), "%s", ended ? "it is not complete" :
							      "its end is missing");
		l->state = LEASE_UNKNOWN;
	}
}

int lease_record_read(const struct host *host, const struct pci_addr *addr,
		      int (*attr_find)(const char *name), struct lease *ret)
{
	CLEANUP_FREE char *text = NULL;
	char a[PCI_ADDR_STRLEN];
	ssize_t n;

	memset(ret, 0, sizeof(*ret));
	ret->addr = *addr;
	ret->bind.addr = *addr;
	ret->state = LEASE_UNKNOWN;
	n = host_file_read(host->lib_root, LEASE_FOLDER, pci_addr_str(addr, a), RECORD_MAX, &text);
	if (n == -ENOENT || n == -ENOTDIR)
		return 0;
	if (n == -EFBIG || n == -EINVAL || n == -ELOOP)
		snprintf(ret->why, sizeof(ret->why), "it is no text file of a record's size");
	else if (n < 0)
		return (int)n;
	else
		parse(ret, text, attr_find);
	return 1;
}

/* Field 22 of PROC/PID/stat, and the state; the name in field 2 may have anything in it. */
static int stat_read(const struct host *host, pid_t pid, uint64_t *ret_start, char *ret_state)
{
	char path[HOST_PATH_MAX], text[1024], *at;
	ssize_t n;
	int i;

	n = host_path(path, host->proc_root, "%d/stat", (int)pid);
	if (!n)
		n = io_read_text(path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	at = strrchr(text, ')');
	if (!at || at[1] != ' ')
		return -EINVAL;
	at += 2;
	*ret_state = *at;
	for (i = 3; i < 22 && at; i++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -EINVAL;
	return sscanf(at, "%" SCNu64, ret_start) == 1 ? 0 : -EINVAL;
}

/* What this process can say of where it runs. */
static void place_read(const struct host *host, struct lease_process *p)
{
	char path[HOST_PATH_MAX], target[sizeof(p->ns)];
	ssize_t n;

	p->boot[0] = '\0';
	p->ns[0] = '\0';
	if (!host_path(path, host->proc_root, "sys/kernel/random/boot_id") &&
	    (io_read_text(path, p->boot, sizeof(p->boot)) < 0 || strchr(p->boot, ' ')))
		p->boot[0] = '\0';
	if (host_path(path, host->proc_root, "self/ns/pid"))
		return;
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	if (host_name_ok(target))
		memcpy(p->ns, target, (size_t)n + 1);
}

int lease_process_read(const struct host *host, pid_t pid, struct lease_process *ret)
{
	char state;

	memset(ret, 0, sizeof(*ret));
	if (pid < 1 || stat_read(host, pid, &ret->start, &state) || state == 'Z' || state == 'X')
		return -ESRCH;
	ret->pid = pid;
	place_read(host, ret);
	if (!*ret->boot)
		memcpy(ret->boot, "?", 2);
	return 0;
}

bool lease_is_alive(const struct host *host, const struct lease *lease)
{
	struct lease_process here;
	uint64_t start;
	char state;
	int ret;

	if (!lease->process.pid)
		return true;
	place_read(host, &here);
	if (*here.boot && strcmp(lease->process.boot, "?") != 0 &&
	    strcmp(here.boot, lease->process.boot) != 0)
		return false;
	/* In another namespace the number means another process, or none. */
	if (strcmp(here.ns, lease->process.ns) != 0)
		return true;
	ret = stat_read(host, lease->process.pid, &start, &state);
	if (ret == -ENOENT || ret == -ESRCH)
		return false;
	return ret || (start == lease->process.start && state != 'Z' && state != 'X');
}

int lease_find(const struct host *host, const struct pci_addr *addr, struct lease *ret)
{
	int found = lease_record_read(host, addr, NULL, ret);

	if (found <= 0)
		return found;
	return ret->state == LEASE_UNKNOWN ||
	       (ret->state != LEASE_DIRTY && lease_is_alive(host, ret));
}

const char *lease_text(const struct lease *lease, char buf[LEASE_TEXT_MAX])
{
	char pid[32] = "";

	if (lease->process.pid)
		snprintf(pid, sizeof(pid), " (pid %d)", (int)lease->process.pid);
	if (lease->state == LEASE_UNKNOWN)
		snprintf(buf, LEASE_TEXT_MAX, "leased to somebody: its record cannot be understood "
			 "(%s)", lease->why);
	else if (lease->state == LEASE_HELD)
		snprintf(buf, LEASE_TEXT_MAX, "leased to %s%s", lease->owner, pid);
	else if (lease->state == LEASE_WORK && *lease->owner)
		snprintf(buf, LEASE_TEXT_MAX, "being made ready for %s%s", lease->owner, pid);
	else
		snprintf(buf, LEASE_TEXT_MAX, "being cleaned up after its last owner%s", pid);
	return buf;
}
