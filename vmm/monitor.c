// SPDX-License-Identifier: GPL-2.0-or-later
#include "monitor.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "monitor_priv.h"
#include "vm.h"

#define MONITOR_READ 4096
/* Accepting goes on after this when the process had no descriptor left. */
#define MONITOR_RETRY_NS 1000000000ull

struct monitor_client {
	struct monitor *monitor;
	int fd;
	struct loop_watch *watch;
	struct monitor_reader *reader;
	size_t unfinished; /* bytes of the message that the reader holds */
	bool skipping;	   /* to the end of the line, after a message that was none */
	bool negotiated;
	bool dead; /* freed by monitor_bury() */
	char *out;
	size_t out_len;
	struct monitor_client *next;
};

struct monitor {
	struct vm *vm;
	const struct monitor_module *module;
	void *handle;
	char *path;
	int fd;
	dev_t sock_dev; /* of the socket that is ours */
	ino_t sock_ino;
	struct loop_watch *watch;
	struct loop_timer *retry;
	struct monitor_client *clients;
	unsigned int client_count;
	unsigned int busy; /* within a client's callback: nobody is buried */
};

int monitor_module_get(const struct monitor_module **ret_module, void **ret_handle,
		       struct err *err)
{
	static const struct module_want want = { "viaduct-monitor.so", "viaduct_monitor_module",
						 "monitor", "json-c" };
	const struct module_head *head;
	int ret = module_open(&want, ret_handle, &head, err);

	if (!ret)
		*ret_module = container_of(head, const struct monitor_module, head);
	return ret;
}

static void client_drop(struct monitor_client *c)
{
	if (c->dead)
		return;
	c->dead = true;
	c->monitor->client_count--;
	loop_watch_del(c->watch);
	c->watch = NULL;
	fd_close(&c->fd);
}

static void monitor_bury(struct monitor *m)
{
	struct monitor_client **at = &m->clients, *c;

	while (!m->busy && (c = *at)) {
		if (!c->dead) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		m->module->reader_free(c->reader);
		free(c->out);
		free(c);
	}
}

/* What the socket takes now; the rest waits for EPOLLOUT. */
static void client_flush(struct monitor_client *c)
{
	size_t done = 0;

	while (!c->dead && done < c->out_len) {
		ssize_t n = send(c->fd, c->out + done, c->out_len - done,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			client_drop(c);
			return;
		}
		done += (size_t)n;
	}
	if (c->dead)
		return;
	memmove(c->out, c->out + done, c->out_len - done);
	c->out_len -= done;
	if (loop_watch_set(c->watch, EPOLLIN | (c->out_len ? EPOLLOUT : 0)))
		client_drop(c);
}

static void client_say(struct monitor_client *c, const char *text, size_t len)
{
	char *out;

	if (c->dead)
		return;
	if (c->out_len + len > MONITOR_OUT_MAX) {
		log_line(c->monitor->vm->log, LOG_WARN, "monitor: a client does not read what it "
			 "is told, it is hung up on");
		client_drop(c);
		return;
	}
	out = realloc(c->out, c->out_len + len);
	if (!out) {
		client_drop(c);
		return;
	}
	memcpy(out + c->out_len, text, len);
	c->out = out;
	c->out_len += len;
	client_flush(c);
}

static void client_error(struct monitor_client *c, const char *id, const char *class,
			 const char *why)
{
	size_t len;
	char *text = NULL;
	FILE *out = open_memstream(&text, &len);

	if (!out) {
		client_drop(c);
		return;
	}
	fprintf(out, "{\"error\": {\"class\": \"%s\", \"desc\": ", class);
	monitor_print_string(out, why);
	fprintf(out, id ? "}, \"id\": %s}\r\n" : "}}\r\n", id);
	if (fclose(out))
		client_drop(c);
	else
		client_say(c, text, len);
	free(text);
}

static void client_return(struct monitor_client *c, const char *id, const char *value)
{
	char *text;
	int len = asprintf(&text, "{\"return\": %s%s%s}\r\n", *value ? value : "{}",
			   id ? ", \"id\": " : "", id ? id : "");

	if (len < 0) {
		client_drop(c);
		return;
	}
	client_say(c, text, (size_t)len);
	free(text);
}

static void client_negotiate(struct monitor_client *c, const struct monitor_request *req)
{
	if (strcmp(req->execute, "qmp_capabilities") != 0) {
		client_error(c, req->id, "CommandNotFound",
			     "Expecting capabilities negotiation with 'qmp_capabilities'");
		return;
	}
	/* Its one argument, enable, can only name what the greeting offers, which is nothing. */
	c->negotiated = true;
	client_return(c, req->id, "");
}

static void client_do(struct monitor_client *c, const struct monitor_request *req)
{
	struct err err = { .code = 0 };
	struct monitor_reply reply = { .error_class = "GenericError", .err = &err };
	char *text = NULL;
	size_t len;
	int ret;

	if (!req->execute) {
		client_error(c, req->id, "GenericError", req->why);
		return;
	}
	if (!c->negotiated) {
		client_negotiate(c, req);
		return;
	}
	reply.out = open_memstream(&text, &len);
	if (!reply.out) {
		client_drop(c);
		return;
	}
	ret = monitor_execute(c->monitor->vm, req, &reply);
	if (fclose(reply.out))
		client_drop(c);
	else if (ret)
		client_error(c, req->id, reply.error_class, err.msg);
	else
		client_return(c, req->id, text);
	free(text);
}

/* Throws away the rest of a line; returns how much of @buf. */
static size_t client_skip(struct monitor_client *c, const char *buf, size_t len)
{
	const char *end = memchr(buf, '\n', len);

	if (!end)
		return len;
	c->skipping = false;
	return (size_t)(end - buf) + 1;
}

static void client_bad(struct monitor_client *c, const char *why)
{
	c->monitor->module->reset(c->reader);
	c->skipping = true;
	c->unfinished = 0;
	client_error(c, NULL, "GenericError", why);
}

static void client_take(struct monitor_client *c, const char *buf, size_t len)
{
	const struct monitor_module *module = c->monitor->module;
	struct monitor_request req;
	size_t used;
	int ret;

	while (len && !c->dead) {
		if (c->skipping) {
			used = client_skip(c, buf, len);
		} else {
			ret = module->feed(c->reader, buf, len, &used, &req);
			c->unfinished = ret ? 0 : c->unfinished + used;
			if (ret > 0)
				client_do(c, &req);
			else if (ret < 0)
				client_bad(c, "JSON parse error, this line is thrown away");
			else if (c->unfinished > MONITOR_MESSAGE_MAX)
				client_bad(c, "the message is too long, this line is thrown away");
		}
		buf += used;
		len -= used;
	}
}

static void on_client(void *opaque, uint32_t events)
{
	struct monitor_client *c = opaque;
	struct monitor *m = c->monitor;
	char buf[MONITOR_READ];
	ssize_t n;

	m->busy++;
	if (events & EPOLLOUT)
		client_flush(c);
	if (!c->dead && events & ~(uint32_t)EPOLLOUT) {
		n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n > 0)
			client_take(c, buf, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			client_drop(c);
	}
	m->busy--;
	monitor_bury(m);
}

static void client_greet(struct monitor_client *c)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out) {
		client_drop(c);
		return;
	}
	fprintf(out, "{\"QMP\": {\"version\": ");
	monitor_print_version(out);
	fprintf(out, ", \"capabilities\": []}}\r\n");
	if (fclose(out))
		client_drop(c);
	else
		client_say(c, text, len);
	free(text);
}

/* Takes @fd over. */
static void client_new(struct monitor *m, int fd)
{
	struct monitor_client *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	c->monitor = m;
	c->fd = fd;
	c->reader = m->module->reader_new();
	if (!c->reader ||
	    loop_watch_add(m->vm->loop, fd, EPOLLIN, NULL, on_client, c, &c->watch, NULL)) {
		m->module->reader_free(c->reader);
		close(fd);
		free(c);
		return;
	}
	c->next = m->clients;
	m->clients = c;
	m->client_count++;
	client_greet(c);
}

static void on_connect(void *opaque, uint32_t events)
{
	struct monitor *m = opaque;
	int fd = accept4(m->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0 && m->client_count >= MONITOR_CLIENTS_MAX) {
		close(fd);
	} else if (fd >= 0) {
		client_new(m, fd);
		monitor_bury(m);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		/* The client stays in the queue, and would wake the loop without end. */
		loop_watch_set(m->watch, 0);
		loop_timer_set(m->retry, MONITOR_RETRY_NS);
	}
}

static void on_retry(void *opaque)
{
	struct monitor *m = opaque;

	loop_watch_set(m->watch, EPOLLIN);
}

static void print_event(FILE *out, struct vm *vm, enum vm_event event)
{
	static const char *const names[] = {
		[VM_EVENT_SHUTDOWN] = "SHUTDOWN", [VM_EVENT_RESET] = "RESET",
		[VM_EVENT_STOP] = "STOP", [VM_EVENT_RESUME] = "RESUME",
		[VM_EVENT_POWERDOWN] = "POWERDOWN", [VM_EVENT_BALLOON] = "BALLOON_CHANGE",
	};
	struct err err = { .code = 0 };
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	fprintf(out, "{\"timestamp\": {\"seconds\": %lld, \"microseconds\": %ld}, "
		"\"event\": \"%s\"", (long long)now.tv_sec, now.tv_nsec / 1000, names[event]);
	if (event == VM_EVENT_BALLOON) {
		struct monitor_request none = { .execute = "query-balloon" };
		struct monitor_reply reply = { .out = out, .err = &err };

		fprintf(out, ", \"data\": ");
		if (monitor_execute(vm, &none, &reply))
			fprintf(out, "{}");
	} else if (event == VM_EVENT_SHUTDOWN || event == VM_EVENT_RESET) {
		bool guest = vm->request_by_guest;

		fprintf(out, ", \"data\": {\"guest\": %s, \"reason\": \"%s%s\"}",
			guest ? "true" : "false", guest ? "guest-" : "host-",
			event == VM_EVENT_RESET ? guest ? "reset" : "qmp-system-reset" :
			guest ? "shutdown" : "qmp-quit");
	}
	fprintf(out, "}\r\n");
}

static void on_event(void *opaque, enum vm_event event)
{
	struct monitor *m = opaque;
	struct monitor_client *c;
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!m->client_count)
		return;
	out = open_memstream(&text, &len);
	if (!out)
		return;
	print_event(out, m->vm, event);
	if (!fclose(out))
		for (c = m->clients; c; c = c->next)
			if (c->negotiated)
				client_say(c, text, len);
	free(text);
	monitor_bury(m);
}

/* A socket is left behind by a VMM that was killed: it goes if nobody answers there. */
static int monitor_unlink_stale(const char *path, const struct sockaddr_un *addr, struct err *err)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(err, -errno, "monitor %s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST, "monitor %s: is there and not a socket; remove it or "
			       "give another path", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, -errno, "monitor %s", path);
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) || errno != ECONNREFUSED)
		return err_set(err, -EADDRINUSE, "monitor %s: is in use, another guest listens "
			       "there; give another path", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "monitor %s: is stale and cannot be removed", path);
	return 0;
}

static int monitor_listen(struct monitor *m, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	int ret;

	if (!*m->path || strlen(m->path) >= sizeof(addr.sun_path))
		return err_set(err, -ENAMETOOLONG, "monitor %s: the path of a socket has 1 to %zu "
			       "bytes", m->path, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, m->path, strlen(m->path));
	ret = monitor_unlink_stale(m->path, &addr, err);
	if (ret)
		return ret;
	m->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The path takes its mode from the socket, so it is never open to others. */
	if (m->fd < 0 || fchmod(m->fd, 0600) < 0 ||
	    bind(m->fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(err, -errno, "monitor %s", m->path);
	if (!lstat(m->path, &st)) {
		m->sock_dev = st.st_dev;
		m->sock_ino = st.st_ino;
	}
	return listen(m->fd, 64) < 0 ? err_sys(err, -errno, "monitor %s", m->path) : 0;
}

int monitor_new(struct monitor **ret_monitor, struct vm *vm, const char *path, struct err *err)
{
	struct monitor *m = calloc(1, sizeof(*m));
	int ret;

	if (m)
		m->path = strdup(path);
	if (!m || !m->path) {
		free(m);
		return err_sys(err, -ENOMEM, "monitor %s", path);
	}
	m->vm = vm;
	m->fd = -1;
	ret = monitor_module_get(&m->module, &m->handle, err);
	if (!ret)
		ret = monitor_listen(m, err);
	if (!ret)
		ret = loop_timer_new(vm->loop, NULL, on_retry, m, &m->retry, err);
	if (!ret)
		ret = loop_watch_add(vm->loop, m->fd, EPOLLIN, NULL, on_connect, m, &m->watch, err);
	if (ret) {
		monitor_free(m);
		return ret;
	}
	vm->event = on_event;
	vm->event_opaque = m;
	*ret_monitor = m;
	return 0;
}

void monitor_free(struct monitor *m)
{
	struct monitor_client *c;
	struct stat st;

	if (!m)
		return;
	if (m->vm->event_opaque == m)
		m->vm->event = NULL;
	for (c = m->clients; c; c = c->next)
		client_drop(c);
	if (m->module)
		monitor_bury(m);
	loop_watch_del(m->watch);
	if (m->retry)
		loop_timer_del(m->retry);
	if (m->sock_ino && !lstat(m->path, &st) && st.st_dev == m->sock_dev &&
	    st.st_ino == m->sock_ino)
		unlink(m->path);
	fd_close(&m->fd);
	if (m->handle)
		dlclose(m->handle);
	free(m->path);
	free(m);
}
