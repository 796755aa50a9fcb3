// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands about leases: acquire, release, leases. */
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/opt.h"
#include "base/util.h"
#include "sriov/func.h"
#include "sriov/lease.h"
#include "sriov/pool.h"
#include "sriov/quarantine.h"
#include "sriov/use.h"
#include "vfctl.h"
#include "vfctl_json.h"

#define ANY_TRIES 64 /* of PF/any, while others are faster */

static int idle(void *opaque, const struct host *host, const struct pci_addr *addr,
		struct err *err)
{
	const struct vfctl *v = opaque;

	return use_check(host, NULL, addr, v->force | USE_LEASE, NULL, err);
}

static void note(void *opaque, const char *text)
{
	(void)opaque;
	fprintf(stderr, "vfctl: %s\n", text);
}

static void add_lease(struct json_object *o, const struct lease *l)
{
	json_add_addr(o, "address", &l->addr);
	json_add_str_or_null(o, "owner", l->owner);
	json_add_int_or_null(o, "pid", l->process.pid ? l->process.pid : -1);
	json_add_str_or_null(o, "id", l->id);
	json_add_str_or_null(o, "driver", l->bind.driver);
}

static bool is_any(const char *name)
{
	const char *slash = strchr(name, '/');

	return slash && !strcmp(slash, "/any");
}

static int acquire_function(struct vfctl *v, const char *name, pid_t pid,
			    const struct lease_by *by, struct lease *ret_lease, struct err *err)
{
	unsigned int tries = is_any(name) ? ANY_TRIES : 1;
	struct pci_addr addr;
	int ret;

	do {
		ret = func_resolve(&v->host, name, &addr, err);
		if (ret == -ENODEV && pool_name_ok(name) && !strchr(name, '/')) {
			err_set(err, ret, "%s: no such pool, PCI address or network interface; "
				"pools are made by: vfctl apply", name);
			return -ENODEV;
		}
		if (!ret)
			ret = lease_acquire(&v->host, &addr, v->value[OPT_OWNER], pid, by,
					    ret_lease, err);
	} while (ret == -EBUSY && --tries);
	return ret;
}

static bool is_pool(const struct host *host, const char *name)
{
	struct pci_addr *addrs = NULL;
	size_t count;
	int ret = pool_name_ok(name) ? pool_read(host, name, &addrs, &count, NULL) : -ENODEV;

	free(addrs);
	return ret != -ENODEV;
}

static int parse_pid(const char *text, pid_t *ret_pid)
{
	uint64_t value;

	*ret_pid = 0;
	if (!text)
		return 0;
	if (opt_parse_u64(text, &value) || !value || value > INT_MAX)
		return -EINVAL;
	*ret_pid = (pid_t)value;
	return 0;
}

int vfctl_acquire(struct vfctl *v, int argc, char **argv)
{
	const struct lease_by by = { .idle = idle, .note = note, .opaque = v };
	struct err err = { .code = 0 };
	char a[PCI_ADDR_STRLEN], shown[48];
	struct json_object *o;
	struct lease l;
	pid_t pid;
	int ret;

	(void)argc;
	if (!v->value[OPT_OWNER])
		return vfctl_usage("acquire needs --owner=NAME");
	if (parse_pid(v->value[OPT_PID], &pid))
		return vfctl_usage("\"%s\" is no process's number",
				   host_printable(v->value[OPT_PID], shown, sizeof(shown)));
	vf_attr_init(&v->host);
	ret = is_pool(&v->host, argv[0]) ?
		      lease_acquire_pool(&v->host, argv[0], v->value[OPT_OWNER], pid, &by, &l,
					 &err) :
		      acquire_function(v, argv[0], pid, &by, &l, &err);
	if (ret)
		return vfctl_fail(v, &err);
	if (!v->value[OPT_JSON]) {
		printf("%s\n", pci_addr_str(&l.addr, a));
		return EXIT_DONE;
	}
	o = json_object_new_object();
	add_lease(o, &l);
	json_print(o);
	return EXIT_DONE;
}

/* Not leased is no failure: what was asked for is so. */
static int release_one(struct vfctl *v, const struct pci_addr *addr, struct json_object *list,
		       struct err *err)
{
	const struct lease_by by = { .idle = idle, .note = note, .opaque = v };
	char a[PCI_ADDR_STRLEN];
	struct json_object *o;
	int ret = lease_release(&v->host, addr, v->value[OPT_OWNER], v->force & USE_UNKNOWN, &by,
				err);

	if (ret && ret != -ENOENT)
		return ret;
	if (!v->value[OPT_JSON])
		printf("%s: %s\n", pci_addr_str(addr, a), ret ? "not leased" : "released");
	o = json_object_new_object();
	json_add_addr(o, "address", addr);
	json_add_bool(o, "released", !ret);
	json_object_array_add(list, o);
	return 0;
}

/* All that the owner has. Goes on after a failure, the last of which stays. */
static int release_all(struct vfctl *v, struct json_object *list, struct err *err)
{
	CLEANUP_FREE struct lease *all = NULL;
	struct err one = { .code = 0 };
	size_t count = 0, i, n = 0;
	int ret = lease_list(&v->host, &all, &count, err), code;

	for (i = 0; i < count; i++) {
		if (strcmp(all[i].owner, v->value[OPT_OWNER]) != 0)
			continue;
		n++;
		code = release_one(v, &all[i].addr, list, &one);
		if (code && ret)
			fprintf(stderr, "vfctl: %s\n", err->msg);
		if (code)
			*err = one;
		ret = code ? code : ret;
	}
	if (!ret && !n && !v->value[OPT_JSON])
		printf("%s has no lease\n", v->value[OPT_OWNER]);
	return ret;
}

int vfctl_release(struct vfctl *v, int argc, char **argv)
{
	struct json_object *list;
	struct err err = { .code = 0 };
	struct pci_addr addr;
	int i, ret = 0;

	if (!argc && !v->value[OPT_OWNER])
		return vfctl_usage("release needs a function, or --owner=NAME");
	if (v->value[OPT_OWNER] && !host_name_ok(v->value[OPT_OWNER]))
		return vfctl_usage("--owner: a name has 1 to %d printable characters without a "
				   "space or slash", HOST_NAME_MAX - 1);
	vf_attr_init(&v->host);
	list = json_object_new_array();
	for (i = 0; i < argc && !ret; i++) {
		/* One that is gone may have left its record. */
		if (pci_addr_parse(argv[i], &addr))
			ret = func_resolve(&v->host, argv[i], &addr, &err);
		if (!ret)
			ret = release_one(v, &addr, list, &err);
	}
	if (!argc)
		ret = release_all(v, list, &err);
	if (!ret && v->value[OPT_JSON])
		json_print(list);
	else
		json_object_put(list);
	return ret ? vfctl_fail(v, &err) : EXIT_DONE;
}

static const char *state_word(const struct host *host, const struct lease *l)
{
	if (l->state == LEASE_UNKNOWN)
		return "unknown";
	if (l->state == LEASE_DIRTY || !lease_is_alive(host, l))
		return "dirty";
	return l->state == LEASE_HELD ? "held" : "work";
}

/* What is odd about it, "" for nothing. */
static const char *remark(const struct host *host, const struct lease *l, char *buf, size_t size)
{
	char reason[QUARANTINE_REASON_MAX], id[LEASE_ID_MAX];

	buf[0] = '\0';
	if (l->state == LEASE_UNKNOWN)
		snprintf(buf, size, "its record cannot be understood: %s", l->why);
	else if (quarantine_has(host, &l->addr, reason))
		snprintf(buf, size, "in quarantine: %s", reason);
	else if (lease_id(host, &l->addr, id))
		snprintf(buf, size, "no such function now");
	else if (!lease_id_match(id, l->id))
		snprintf(buf, size, "another function sits there now: %s, was %s", id, l->id);
	else if (l->state != LEASE_DIRTY && !lease_is_alive(host, l))
		snprintf(buf, size, "its owner's process is no more");
	return buf;
}

static void list_text(const struct host *host, const struct lease *all, size_t count)
{
	char a[PCI_ADDR_STRLEN], pid[16], why[QUARANTINE_REASON_MAX + 32];
	size_t i;

	printf("%-12s %-8s %-20s %7s %s\n", "ADDRESS", "STATE", "OWNER", "PID", "REMARK");
	for (i = 0; i < count; i++) {
		const struct lease *l = &all[i];

		snprintf(pid, sizeof(pid), "%d", (int)l->process.pid);
		printf("%-12s %-8s %-20s %7s %s\n", pci_addr_str(&l->addr, a), state_word(host, l),
		       *l->owner ? l->owner : "-", l->process.pid ? pid : "-",
		       remark(host, l, why, sizeof(why)));
	}
}

static void list_json(const struct host *host, const struct lease *all, size_t count)
{
	struct json_object *list = json_object_new_array(), *o;
	char why[QUARANTINE_REASON_MAX + 32];
	size_t i;

	for (i = 0; i < count; i++) {
		o = json_object_new_object();
		json_add_str(o, "state", state_word(host, &all[i]));
		add_lease(o, &all[i]);
		json_add_str_or_null(o, "remark", remark(host, &all[i], why, sizeof(why)));
		json_object_array_add(list, o);
	}
	json_print(list);
}

/* Takes back what dead owners left. What cannot be is shown in the list, and said here. */
static int sweep_all(struct vfctl *v, struct err *err)
{
	const struct lease_by by = { .idle = idle, .note = note, .opaque = v };
	CLEANUP_FREE struct lease *all = NULL;
	struct err one = { .code = 0 };
	size_t count = 0, i;
	int ret = lease_list(&v->host, &all, &count, err);

	for (i = 0; i < count && !ret && !host_stopped(&v->host); i++) {
		/* A user who may only look only looks. */
		if (lease_sweep(&v->host, &all[i].addr, &by, &one) < 0 && one.code != -EACCES)
			fprintf(stderr, "vfctl: %s\n", one.msg);
	}
	return ret;
}

int vfctl_leases(struct vfctl *v, int argc, char **argv)
{
	CLEANUP_FREE struct lease *all = NULL;
	struct err err = { .code = 0 };
	size_t count = 0;

	(void)argc;
	(void)argv;
	vf_attr_init(&v->host);
	if (sweep_all(v, &err) || lease_list(&v->host, &all, &count, &err))
		return vfctl_fail(v, &err);
	if (v->value[OPT_JSON])
		list_json(&v->host, all, count);
	else if (count)
		list_text(&v->host, all, count);
	else
		puts("no leases");
	return EXIT_DONE;
}
