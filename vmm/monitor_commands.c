// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "monitor_priv.h"
#include "vm.h"

struct monitor_command {
	const char *name;
	int (*fn)(struct vm *vm, const struct monitor_request *req, struct monitor_reply *reply);
	const char *args[MONITOR_ARGS_MAX]; /* all of them are required */
	enum monitor_kind kinds[MONITOR_ARGS_MAX];
};

void monitor_print_string(FILE *out, const char *s)
{
	fputc('"', out);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

/* Clients look at this to know what they may ask; the package says who really answers. */
void monitor_print_version(FILE *out)
{
	fprintf(out, "{\"qemu\": {\"major\": 0, \"minor\": 1, \"micro\": 0}, "
		"\"package\": \"viaduct-%s\"}", VIADUCT_VERSION);
}

static int query_version(struct vm *vm, const struct monitor_request *req,
			 struct monitor_reply *reply)
{
	(void)vm;
	(void)req;
	monitor_print_version(reply->out);
	return 0;
}

static int query_status(struct vm *vm, const struct monitor_request *req,
			struct monitor_reply *reply)
{
	bool running = !vm->paused;

	(void)req;
	fprintf(reply->out, "{\"running\": %s, \"singlestep\": false, \"status\": \"%s\"}",
		running ? "true" : "false", running ? "running" : "paused");
	return 0;
}

static int query_name(struct vm *vm, const struct monitor_request *req,
		      struct monitor_reply *reply)
{
	(void)req;
	fprintf(reply->out, "{\"name\": ");
	monitor_print_string(reply->out, vm->config.name);
	fprintf(reply->out, "}");
	return 0;
}

static struct dev *find_balloon(struct vm *vm, struct monitor_reply *reply)
{
	struct dev *dev;

	for (dev = vm->devs; dev; dev = dev->next)
		if (dev->class->control && dev->class->control->balloon_set)
			return dev;
	reply->error_class = "DeviceNotActive";
	err_set(reply->err, -ENODEV, "this guest has no balloon; start it with "
		"--device virtio-balloon");
	return NULL;
}

static int query_balloon(struct vm *vm, const struct monitor_request *req,
			 struct monitor_reply *reply)
{
	struct dev *dev = find_balloon(vm, reply);
	uint64_t bytes = 0;
	int ret;

	(void)req;
	if (!dev)
		return -ENODEV;
	pthread_mutex_lock(&dev->lock);
	ret = dev->class->control->balloon_get(dev, &bytes, reply->err);
	pthread_mutex_unlock(&dev->lock);
	if (!ret)
		fprintf(reply->out, "{\"actual\": %llu}", (unsigned long long)bytes);
	return ret;
}

/* Ours, for QEMU has this as a property that is polled. The members are named as there. */
static int query_balloon_stats(struct vm *vm, const struct monitor_request *req,
			       struct monitor_reply *reply)
{
	struct dev *dev = find_balloon(vm, reply);
	struct dev_balloon_stats stats;
	unsigned int i;
	int ret;

	(void)req;
	if (!dev)
		return -ENODEV;
	if (!dev->class->control->balloon_stats)
		return err_set(reply->err, -ENOTSUP, "%s: %s has no statistics", dev->id,
			       dev->class->name);
	pthread_mutex_lock(&dev->lock);
	ret = dev->class->control->balloon_stats(dev, &stats, reply->err);
	pthread_mutex_unlock(&dev->lock);
	if (ret)
		return ret;
	fprintf(reply->out, "{\"stats\": {");
	for (i = 0; i < stats.count; i++)
		fprintf(reply->out, "%s\"%s\": %llu", i ? ", " : "", stats.stats[i].name,
			(unsigned long long)stats.stats[i].value);
	fprintf(reply->out, "}, \"last-update\": %llu, \"age-ms\": %llu}",
		(unsigned long long)stats.time, (unsigned long long)stats.age_ms);
	return 0;
}

static int balloon(struct vm *vm, const struct monitor_request *req, struct monitor_reply *reply)
{
	struct dev *dev = find_balloon(vm, reply);
	int ret;

	if (!dev)
		return -ENODEV;
	if (req->args[0].number <= 0 || (uint64_t)req->args[0].number > vm->config.memory)
		return err_set(reply->err, -EINVAL, "balloon: value is %lld bytes: it takes 1 to "
			       "%llu, the guest's memory", (long long)req->args[0].number,
			       (unsigned long long)vm->config.memory);
	pthread_mutex_lock(&dev->lock);
	ret = dev->class->control->balloon_set(dev, (uint64_t)req->args[0].number, reply->err);
	pthread_mutex_unlock(&dev->lock);
	return ret;
}

static const struct monitor_arg *arg_of(const struct monitor_request *req, const char *name)
{
	unsigned int i;

	for (i = 0; i < req->arg_count; i++)
		if (!strcmp(req->args[i].name, name))
			return &req->args[i];
	return NULL;
}

static int set_link(struct vm *vm, const struct monitor_request *req, struct monitor_reply *reply)
{
	const char *name = arg_of(req, "name")->string;
	struct dev *dev;
	int ret;

	for (dev = vm->devs; dev && strcmp(dev->id, name) != 0; dev = dev->next)
		;
	if (!dev) {
		reply->error_class = "DeviceNotFound";
		return err_set(reply->err, -ENODEV, "Device '%s' not found", name);
	}
	if (!dev->class->control || !dev->class->control->set_link)
		return err_set(reply->err, -ENOTSUP, "%s: %s has no link that can be set", name,
			       dev->class->name);
	pthread_mutex_lock(&dev->lock);
	ret = dev->class->control->set_link(dev, arg_of(req, "up")->flag, reply->err);
	pthread_mutex_unlock(&dev->lock);
	return ret;
}

static int stop(struct vm *vm, const struct monitor_request *req, struct monitor_reply *reply)
{
	(void)req;
	(void)reply;
	vm_pause(vm);
	return 0;
}

static int cont(struct vm *vm, const struct monitor_request *req, struct monitor_reply *reply)
{
	(void)req;
	(void)reply;
	vm_resume(vm);
	return 0;
}

static int system_powerdown(struct vm *vm, const struct monitor_request *req,
			    struct monitor_reply *reply)
{
	(void)req;
	(void)reply;
	vm_power_button(vm);
	return 0;
}

static int system_reset(struct vm *vm, const struct monitor_request *req,
			struct monitor_reply *reply)
{
	(void)req;
	(void)reply;
	vm_request_host(vm, VM_RESET, "monitor");
	return 0;
}

static int quit(struct vm *vm, const struct monitor_request *req, struct monitor_reply *reply)
{
	(void)req;
	(void)reply;
	vm_request_host(vm, VM_QUIT, "monitor");
	return 0;
}

static int query_commands(struct vm *vm, const struct monitor_request *req,
			  struct monitor_reply *reply);

static const struct monitor_command commands[] = {
	{ .name = "balloon", .fn = balloon, .args = { "value" }, .kinds = { MONITOR_NUMBER } },
	{ .name = "cont", .fn = cont },
	{ .name = "query-balloon", .fn = query_balloon },
	{ .name = "query-balloon-stats", .fn = query_balloon_stats },
	{ .name = "query-commands", .fn = query_commands },
	{ .name = "query-name", .fn = query_name },
	{ .name = "query-status", .fn = query_status },
	{ .name = "query-version", .fn = query_version },
	{ .name = "quit", .fn = quit },
	{ .name = "set_link", .fn = set_link, .args = { "name", "up" },
	  .kinds = { MONITOR_STRING, MONITOR_BOOL } },
	{ .name = "stop", .fn = stop },
	{ .name = "system_powerdown", .fn = system_powerdown },
	{ .name = "system_reset", .fn = system_reset },
};

static int query_commands(struct vm *vm, const struct monitor_request *req,
			  struct monitor_reply *reply)
{
	size_t i;

	(void)vm;
	(void)req;
	fprintf(reply->out, "[{\"name\": \"qmp_capabilities\"}");
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(reply->out, ", {\"name\": \"%s\"}", commands[i].name);
	fprintf(reply->out, "]");
	return 0;
}

static int check_args(const struct monitor_command *c, const struct monitor_request *req,
		      struct err *err)
{
	static const char *const words[] = { "a string", "a whole number", "true or false" };
	const struct monitor_arg *arg;
	unsigned int i;

	for (i = 0; i < MONITOR_ARGS_MAX && c->args[i]; i++) {
		arg = arg_of(req, c->args[i]);
		if (!arg)
			return err_set(err, -EINVAL, "Parameter '%s' is missing", c->args[i]);
		if (arg->kind != c->kinds[i])
			return err_set(err, -EINVAL, "Invalid parameter type for '%s', expected: "
				       "%s", c->args[i], words[c->kinds[i]]);
	}
	/* Names are distinct, so more of them than asked for means one that is unknown. */
	if (req->arg_count > i)
		return err_set(err, -EINVAL, "%s takes %u arguments, there are %u", c->name, i,
			       req->arg_count);
	return 0;
}

int monitor_execute(struct vm *vm, const struct monitor_request *req, struct monitor_reply *reply)
{
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(req->execute, commands[i].name) != 0)
			continue;
		ret = check_args(&commands[i], req, reply->err);
		return ret ? ret : commands[i].fn(vm, req, reply);
	}
	reply->error_class = "CommandNotFound";
	return err_set(reply->err, -ENOSYS, "The command %.64s has not been found", req->execute);
}
