// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's announcements put into words, in the kernel's order and in worse ones; and the program
 * on a tree that announces nothing. */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "sriov/bind.h"
#include "sriov/watch.h"
#include "vfctl_rig.h"

#define BUS "/devices/pci0000:00/"
#define VF0 "0000:01:10.0"
#define VF1 "0000:01:10.2"

struct heard {
	char text[4096];
};

static void hear(void *opaque, const struct watch_event *e)
{
	struct heard *h = opaque;
	char a[PCI_ADDR_STRLEN], pf[PCI_ADDR_STRLEN];
	size_t len = strlen(h->text);

	assert_true(len < sizeof(h->text) - 300);
	snprintf(h->text + len, sizeof(h->text) - len, "%s%s%s%s%s%s%s%s", watch_name(e->what),
		 e->has_addr ? " " : "", e->has_addr ? pci_addr_str(&e->addr, a) : "",
		 e->is_vf ? " of " : "", e->is_vf ? pci_addr_str(&e->pf, pf) : "", *e->name ? " " : "",
		 e->name, *e->from ? " from " : "");
	len = strlen(h->text);
	if (e->what == WATCH_VFS)
		snprintf(h->text + len, sizeof(h->text) - len, " %u %u\n", e->before, e->after);
	else
		snprintf(h->text + len, sizeof(h->text) - len, "%s\n", e->from);
}

static void expect(struct heard *h, const char *text)
{
	assert_string_equal(h->text, text);
	h->text[0] = '\0';
}

static struct watch *start(struct fake *f, struct heard *h)
{
	struct watch *w;

	h->text[0] = '\0';
	assert_int_equal(watch_new(&f->host, hear, h, &w, NULL), 0);
	expect(h, "");
	return w;
}

/* @more: the driver of a bind, the old path of a move, a node. */
static void take(struct watch *w, const char *action, const char *subsystem, const char *path,
		 const char *more)
{
	const struct watch_raw raw = { action, subsystem, path, more, more, more };

	assert_int_equal(watch_take(w, &raw), 0);
}

static void test_vfs(void **state)
{
	struct fake *f = *state;
	struct pci_addr pf = fake_at(IGB);
	struct heard h;
	struct watch *w = start(f, &h);

	assert_int_equal(watch_count(w), 6);
	/* Announced before its link to the PF is there, then as changed. */
	take(w, "add", "pci", BUS VF0, NULL);
	expect(&h, "added " VF0 "\n");
	assert_int_equal(vf_create(&f->host, &pf, 2, "vfio-pci", 0, NULL, NULL), 0);
	take(w, "change", "pci", BUS VF0, NULL);
	take(w, "add", "pci", BUS VF1, NULL);
	take(w, "bind", "pci", BUS VF0, "vfio-pci");
	take(w, "bind", "pci", BUS VF0, "vfio-pci");
	expect(&h, "added " VF1 " of " IGB "\nbound " VF0 " of " IGB " vfio-pci\n");
	watch_settle(w);
	expect(&h, "vfs " IGB " 0 2\n");
	watch_settle(w);
	expect(&h, "");
	take(w, "unbind", "pci", BUS VF0, NULL);
	take(w, "remove", "pci", BUS VF0, NULL);
	take(w, "remove", "pci", BUS VF0, NULL);
	take(w, "remove", "pci", BUS VF1, NULL);
	expect(&h, "unbound " VF0 " of " IGB " vfio-pci\nremoved " VF0 " of " IGB "\nremoved " VF1
		   " of " IGB "\n");
	watch_settle(w);
	expect(&h, "vfs " IGB " 2 0\n");
	assert_int_equal(watch_count(w), 6);
	watch_free(w);
}

static void test_below(void **state)
{
	struct fake *f = *state;
	struct heard h;
	struct watch *w = start(f, &h);

	take(w, "add", "net", BUS IGB "/net/eth9", NULL);
	take(w, "move", "net", BUS IGB "/net/ens1", BUS IGB "/net/eth9");
	take(w, "remove", "net", BUS IGB "/net/ens1", NULL);
	take(w, "add", "net", "/devices/virtual/net/br0", NULL);
	take(w, "add", "vfio", "/devices/virtual/vfio/20", "/dev/vfio/20");
	take(w, "remove", "vfio", "/devices/virtual/vfio/20", "/dev/vfio/20");
	take(w, "add", "vfio-dev", BUS IGB "/vfio-dev/vfio0", NULL);
	take(w, "add", "vfio-dev", BUS IGB "/vfio-dev/vfio0", "/dev/vfio/devices/vfio0");
	take(w, "change", "net", BUS IGB "/net/ens1", NULL);
	expect(&h, "interface-added " IGB " eth9\ninterface-renamed " IGB " ens1 from eth9\n"
		   "interface-removed " IGB " ens1\nnode-added vfio/20\nnode-removed vfio/20\n"
		   "node-added " IGB " vfio/devices/vfio0\n");
	watch_free(w);
}

/* What was not heard is found. */
static void test_look(void **state)
{
	struct fake *f = *state;
	struct pci_addr pf = fake_at(IGB), e1000 = fake_at("0000:06:01.0");
	struct heard h;
	struct watch *w = start(f, &h);

	assert_int_equal(vf_create(&f->host, &pf, 1, "vfio-pci", 0, NULL, NULL), 0);
	assert_int_equal(func_bind(&f->host, &e1000, 1, "none", 0, NULL, NULL), 0);
	assert_int_equal(watch_look(w, NULL), 0);
	assert_non_null(strstr(h.text, "added " VF0 " of " IGB "\nbound " VF0 " of " IGB " vfio-pci\n"));
	assert_non_null(strstr(h.text, "unbound 0000:06:01.0 e1000\n"));
	assert_non_null(strstr(h.text, "vfs " IGB " 0 1\n"));
	h.text[0] = '\0';
	assert_int_equal(watch_look(w, NULL), 0);
	expect(&h, "");
	/* Heard late: known already. */
	take(w, "add", "pci", BUS VF0, NULL);
	take(w, "bind", "pci", BUS VF0, "vfio-pci");
	watch_settle(w);
	expect(&h, "");
	assert_int_equal(vf_destroy(&f->host, &pf, 0, NULL, NULL), 0);
	assert_int_equal(watch_look(w, NULL), 0);
	expect(&h, "unbound " VF0 " of " IGB " vfio-pci\nremoved " VF0 " of " IGB "\nvfs " IGB " 1 0\n");
	fake_remove(f, "sys/bus/pci/devices");
	assert_int_equal(watch_look(w, NULL), -ENODEV);
	watch_free(w);
}

static void test_hostile(void **state)
{
	struct fake *f = *state;
	char big[6000];
	struct heard h;
	struct watch *w = start(f, &h);

	memset(big, '/', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	take(w, NULL, "pci", BUS VF0, NULL);
	take(w, "add", NULL, BUS VF0, NULL);
	take(w, "add", "pci", NULL, NULL);
	take(w, "add", "pci", "", NULL);
	take(w, "add", "pci", "0000:00:00.8", NULL);
	take(w, "add", "net", big, NULL);
	take(w, "bind", "pci", BUS IGB, NULL);
	take(w, "remove", "pci", BUS "0000:44:00.0", NULL);
	take(w, "move", "net", BUS IGB "/net/x", NULL);
	expect(&h, "interface-renamed " IGB " x\n");
	memset(big, 'n', sizeof(big) - 1);
	take(w, "bind", "pci", BUS IGB, big);
	assert_int_equal(strncmp(h.text, "unbound " IGB " igb\nbound " IGB " nnnn", 46), 0);
	assert_int_equal(strspn(strstr(h.text, " nnn") + 1, "n"), HOST_NAME_MAX - 1);
	watch_free(w);
}

/* --- the program ------------------------------------------------------------------------------- */

struct running {
	pid_t pid;
	int out, err;
	char text[8192];
	size_t len;
};

static void run_watch(struct fake *f, struct running *r, const char *option)
{
	int out[2], err[2];

	memset(r, 0, sizeof(*r));
	assert_int_equal(pipe(out), 0);
	assert_int_equal(pipe(err), 0);
	r->pid = fork();
	if (!r->pid) {
		dup2(out[1], 1);
		dup2(err[1], 2);
		close(out[0]);
		close(out[1]);
		execl(VFCTL_PATH, "vfctl", "--sysfs-root", f->sys, "watch", option, NULL);
		_exit(98);
	}
	assert_true(r->pid > 0);
	close(out[1]);
	close(err[1]);
	r->out = out[0];
	r->err = err[0];
}

/* Reads until the output holds @text. */
static void read_until(struct running *r, const char *text)
{
	struct pollfd p = { .fd = r->out, .events = POLLIN };
	ssize_t n;

	while (!strstr(r->text, text)) {
		assert_int_equal(poll(&p, 1, 60000), 1);
		n = read(r->out, r->text + r->len, sizeof(r->text) - 1 - r->len);
		if (n <= 0)
			print_message("%s\n", r->text);
		assert_true(n > 0);
		r->len += (size_t)n;
	}
}

/* How it ends, and that it says nothing about it. */
static void expect_end(struct running *r, int code)
{
	char text[256] = "";
	int status;

	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
	assert_int_equal(read(r->err, text, sizeof(text) - 1), 0);
	if (r->out >= 0)
		close(r->out);
	close(r->err);
}

static void test_program(void **state)
{
	struct fake *f = *state;
	struct json_object *o;
	struct running r;
	char *line, *save = NULL;
	unsigned int bound = 0;

	run_watch(f, &r, "--json");
	read_until(&r, "\"watching\",\"functions\":6}\n");
	make_vfs(f);
	read_until(&r, "\"before\":0,\"after\":7}\n");
	assert_int_equal(kill(r.pid, SIGINT), 0);
	expect_end(&r, 0);
	for (line = strtok_r(r.text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		o = json_tokener_parse(line);
		assert_non_null(o);
		assert_int_equal(strlen(text_of(o, "time")), strlen("2026-11-25T04:54:24.046+00:00"));
		if (!strcmp(text_of(o, "event"), "bound")) {
			bound++;
			assert_string_equal(text_of(o, "driver"), "vfio-pci");
			assert_string_equal(text_of(o, "pf"), IGB);
		}
		json_object_put(o);
	}
	assert_int_equal(bound, 7);
}

static void test_program_text(void **state)
{
	struct fake *f = *state;
	struct pci_addr nvme = fake_at("0000:02:00.0");
	struct running r;

	run_watch(f, &r, NULL);
	read_until(&r, " watching 6 functions\n");
	assert_int_equal(func_bind(&f->host, &nvme, 1, "none", 0, NULL, NULL), 0);
	read_until(&r, " 0000:02:00.0 unbound from nvme\n");
	assert_int_equal(kill(r.pid, SIGTERM), 0);
	expect_end(&r, 0);
}

/* Who reads goes away: it ends without an event, and says nothing. */
static void test_closed_pipe(void **state)
{
	struct running r;

	run_watch(*state, &r, NULL);
	read_until(&r, "watching");
	close(r.out);
	r.out = -1;
	expect_end(&r, 0);
}

static void test_no_output(void **state)
{
	struct fake *f = *state;
	struct run r;

	run_to(f, &r, "", (const char *const[]){ "watch", NULL });
	assert_int_equal(r.code, 1);
	assert_string_equal(r.err, "vfctl: cannot write the output: Bad file descriptor\n");
	run_done(&r);
	run_to(f, &r, "/dev/full", (const char *const[]){ "watch", "--json", NULL });
	assert_int_equal(r.code, 1);
	assert_string_equal(r.err, "vfctl: cannot write the output: No space left on device\n");
	run_done(&r);
	EXPECT_ERROR(f, 2, "usage: vfctl watch", "watch", "eth0");
	fake_remove(f, "sys/bus");
	EXPECT_ERROR(f, 1, "there is no PCI bus", "watch");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_vfs),	 fake_lab_test(test_below),
		fake_lab_test(test_look),	 fake_lab_test(test_hostile),
		fake_lab_test(test_program),	 fake_lab_test(test_program_text),
		fake_lab_test(test_closed_pipe), fake_lab_test(test_no_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
