// SPDX-License-Identifier: GPL-2.0-or-later
/* vfctl watch: what happens to functions, a line each, until it is interrupted or nobody reads. */
#include <errno.h>
#include <fcntl.h>
#include <libudev.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>

#include "base/io.h"
#include "base/util.h"
#include "sriov/watch.h"
#include "vfctl.h"
#include "vfctl_json.h"

#define SETTLE_MS 200  /* without announcements, then VFs are counted */
#define LOOK_MS 5000   /* in case that none can be heard, as in a network namespace of its own */
#define LOOK_OTHER_MS 500 /* another host's tree announces nothing here */
#define BUFFER (8 * (int)MIB) /* 127 VFs are two thousand announcements */

struct view {
	struct vfctl *v;
	struct watch *watch;
	struct udev *udev;
	struct udev_monitor *monitor; /* NULL: nothing can be heard */
	int signals;
	int error; /* of the output */
};

/* --- what is printed -------------------------------------------------------------------------- */

/* "2026-11-25T04:54:24.046+01:00" (RFC 3339) */
static void time_text(char buf[40])
{
	struct timespec now;
	char zone[8];
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	len = strftime(buf, 24, "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	snprintf(buf + len, 40 - len, ".%03ld%.3s:%s", now.tv_nsec / 1000000, zone, zone + 3);
}

/* Not by way of stdio: a line that nobody reads any more must not be tried again at the end. */
static void put_line(struct view *view, const char *line)
{
	if (view->error)
		return;
	view->error = io_write_full(STDOUT_FILENO, line, strlen(line));
	if (!view->error)
		view->error = io_write_full(STDOUT_FILENO, "\n", 1);
}

static void event_words(const struct watch_event *e, char *buf, size_t size)
{
	char a[PCI_ADDR_STRLEN], name[HOST_NAME_MAX], from[HOST_NAME_MAX], pf[PCI_ADDR_STRLEN];

	host_printable(e->name, name, sizeof(name));
	host_printable(e->from, from, sizeof(from));
	pci_addr_str(&e->addr, a);
	switch (e->what) {
	case WATCH_ADDED:
	case WATCH_REMOVED:
		snprintf(buf, size, "%s %s%s%s", a, watch_name(e->what), e->is_vf ? ", VF of " : "",
			 e->is_vf ? pci_addr_str(&e->pf, pf) : "");
		break;
	case WATCH_BOUND:
		snprintf(buf, size, "%s bound to %s", a, name);
		break;
	case WATCH_UNBOUND:
		snprintf(buf, size, "%s unbound from %s", a, name);
		break;
	case WATCH_VFS:
		snprintf(buf, size, "%s has %u VF%s, had %u", a, e->after, e->after == 1 ? "" : "s",
			 e->before);
		break;
	case WATCH_NET_ADDED:
	case WATCH_NET_REMOVED:
		snprintf(buf, size, "%s interface %s %s", a, name,
			 e->what == WATCH_NET_ADDED ? "added" : "removed");
		break;
	case WATCH_NET_RENAMED:
		snprintf(buf, size, "%s interface %s is now %s", a, from, name);
		break;
	case WATCH_NODE_ADDED:
	case WATCH_NODE_REMOVED:
		snprintf(buf, size, "%s%s/dev/%s %s", e->has_addr ? a : "", e->has_addr ? " " : "", name,
			 e->what == WATCH_NODE_ADDED ? "added" : "removed");
		break;
	}
}

static struct json_object *event_json(const struct watch_event *e)
{
	static const char *const names[] = {
		[WATCH_BOUND] = "driver",	      [WATCH_UNBOUND] = "driver",
		[WATCH_NET_ADDED] = "interface",      [WATCH_NET_REMOVED] = "interface",
		[WATCH_NET_RENAMED] = "interface",    [WATCH_NODE_ADDED] = "node",
		[WATCH_NODE_REMOVED] = "node",
	};
	struct json_object *o = json_object_new_object();
	char time[40];

	time_text(time);
	json_add_str(o, "time", time);
	json_add_str(o, "event", watch_name(e->what));
	if (e->has_addr)
		json_add_addr(o, "function", &e->addr);
	if (e->is_vf)
		json_add_addr(o, "pf", &e->pf);
	if (e->what == WATCH_VFS) {
		json_add_int(o, "before", e->before);
		json_add_int(o, "after", e->after);
	} else if (*e->name) {
		json_add_str(o, names[e->what], e->name);
	}
	if (*e->from)
		json_add_str(o, "before", e->from);
	return o;
}

static void put_json(struct view *view, struct json_object *o)
{
	put_line(view, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static void on_event(void *opaque, const struct watch_event *e)
{
	struct view *view = opaque;
	char line[512];
	size_t len;

	if (view->v->value[OPT_JSON]) {
		put_json(view, event_json(e));
		return;
	}
	time_text(line);
	len = strlen(line);
	line[len++] = ' ';
	event_words(e, line + len, sizeof(line) - len);
	put_line(view, line);
}

/* The first line: what happens from here on is told. */
static void put_start(struct view *view)
{
	char line[96], time[40];
	struct json_object *o;

	time_text(time);
	if (!view->v->value[OPT_JSON]) {
		snprintf(line, sizeof(line), "%s watching %zu functions", time, watch_count(view->watch));
		put_line(view, line);
		return;
	}
	o = json_object_new_object();
	json_add_str(o, "time", time);
	json_add_str(o, "event", "watching");
	json_add_int(o, "functions", (int64_t)watch_count(view->watch));
	put_json(view, o);
}

/* --- what is heard ---------------------------------------------------------------------------- */

static void monitor_open(struct view *view)
{
	static const char *const subsystems[] = { "pci", "net", "vfio", "vfio-dev" };
	size_t i;

	if (strcmp(view->v->host.sysfs_root, "/sys") != 0)
		return;
	view->udev = udev_new();
	/* Straight from the kernel: no udevd need run. */
	view->monitor = view->udev ? udev_monitor_new_from_netlink(view->udev, "kernel") : NULL;
	if (!view->monitor)
		return;
	for (i = 0; i < ARRAY_SIZE(subsystems); i++)
		udev_monitor_filter_add_match_subsystem_devtype(view->monitor, subsystems[i], NULL);
	udev_monitor_set_receive_buffer_size(view->monitor, BUFFER); /* root's */
	if (udev_monitor_enable_receiving(view->monitor) < 0) {
		udev_monitor_unref(view->monitor);
		view->monitor = NULL;
	}
}

/* Takes all that is queued. */
static int monitor_take(struct view *view, struct err *err)
{
	struct udev_device *dev;
	struct watch_raw raw;
	int ret = 0;

	errno = 0;
	while (!ret && (dev = udev_monitor_receive_device(view->monitor))) {
		raw = (struct watch_raw){ .action = udev_device_get_action(dev),
					  .subsystem = udev_device_get_subsystem(dev),
					  .path = udev_device_get_devpath(dev),
					  .old_path = udev_device_get_property_value(dev, "DEVPATH_OLD"),
					  .driver = udev_device_get_property_value(dev, "DRIVER"),
					  .node = udev_device_get_devnode(dev) };
		ret = watch_take(view->watch, &raw);
		udev_device_unref(dev);
		errno = 0;
	}
	if (ret)
		return err_sys(err, ret, "cannot watch the functions");
	/* More came than there was room for. */
	return errno == ENOBUFS ? watch_look(view->watch, err) : 0;
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Until a signal comes or nobody reads. 0 or -errno. */
static int run(struct view *view, struct err *err)
{
	int look_ms = view->monitor ? LOOK_MS : LOOK_OTHER_MS, wait_ms = SETTLE_MS, n, ret = 0;
	struct pollfd p[3] = {
		{ .fd = view->signals, .events = POLLIN },
		{ .fd = STDOUT_FILENO },
		{ .fd = view->monitor ? udev_monitor_get_fd(view->monitor) : -1, .events = POLLIN },
	};

	while (!ret && !view->error) {
		n = poll(p, ARRAY_SIZE(p), wait_ms);
		if (n < 0)
			return errno == EINTR ? 0 : err_sys(err, -errno, "cannot wait for events");
		if (p[0].revents || p[1].revents & (POLLERR | POLLHUP))
			return 0;
		if (n) {
			ret = monitor_take(view, err);
			wait_ms = SETTLE_MS;
		} else if (wait_ms == SETTLE_MS) {
			watch_settle(view->watch);
			wait_ms = look_ms;
		} else {
			ret = watch_look(view->watch, err);
		}
	}
	return ret;
}

int vfctl_watch(struct vfctl *v, int argc, char **argv)
{
	struct view view = { .v = v, .signals = open_signals() };
	struct err err = { .code = 0 };
	int ret = 0;

	(void)argc;
	(void)argv;
	/* Nobody would ever hear of one that was closed. */
	if ((fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY)
		view.error = -EBADF;
	else if (view.signals < 0)
		ret = err_sys(&err, -errno, "cannot watch the functions");
	/* Listened first, looked then: nothing falls between. */
	if (!ret && !view.error)
		monitor_open(&view);
	if (!ret && !view.error)
		ret = watch_new(&v->host, on_event, &view, &view.watch, &err);
	if (!ret && !view.error) {
		put_start(&view);
		ret = run(&view, &err);
	}
	watch_free(view.watch);
	udev_monitor_unref(view.monitor);
	udev_unref(view.udev);
	fd_close(&view.signals);
	if (!ret && view.error && view.error != -EPIPE)
		ret = err_sys(&err, view.error, "cannot write the output");
	return ret ? vfctl_fail(v, &err) : EXIT_DONE;
}
