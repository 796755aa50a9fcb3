// SPDX-License-Identifier: GPL-2.0-or-later
/* VFIO's nodes for a user: all of them or none, with the bind or not at all. */
#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>

#include "sriov/node_owner.h"
#include "use_rig.h"

static const struct node_owner alice = { .name = "alice", .uid = 4711, .gid = 815 };

static mode_t mode_of(const struct fake *f, const char *node)
{
	char path[400];
	struct stat st;

	snprintf(path, sizeof(path), "%s/dev/%s", f->base, node);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void check_own(const struct fake *f, size_t i, const char *node, uid_t uid, mode_t mode)
{
	assert_true(i < f->own_count);
	assert_string_equal(f->owns[i].node, node);
	assert_int_equal(f->owns[i].uid, uid);
	assert_int_equal(f->owns[i].mode, mode);
}

static int bind2(struct fake *f, const char *a, const char *b, struct err *err)
{
	struct pci_addr addrs[2] = { fake_at(a) };

	if (b)
		addrs[1] = fake_at(b);
	return func_bind(&f->host, addrs, b ? 2 : 1, "vfio-pci", 0, NULL, err);
}

static void test_find(void **state)
{
	struct passwd *root = getpwuid(0);
	struct err err = { .code = 0 };
	struct node_owner o;

	(void)state;
	assert_non_null(root);
	assert_int_equal(node_owner_find("root", &o, &err), 0);
	assert_int_equal(o.uid, 0);
	assert_int_equal(o.gid, root->pw_gid);
	assert_int_equal(node_owner_find("0", &o, &err), 0);
	assert_string_equal(o.name, "root");
	assert_int_equal(node_owner_find("nosuchuser-x", &o, &err), -EINVAL);
	assert_string_equal(err.msg, "there is no user \"nosuchuser-x\"");
	assert_int_equal(node_owner_find("", &o, &err), -EINVAL);
	assert_int_equal(node_owner_find("-1", &o, &err), -EINVAL);
	assert_int_equal(node_owner_find("4294967295", &o, &err), -EINVAL);
	assert_int_equal(node_owner_find("4294967296", &o, &err), -EINVAL);
	assert_int_equal(node_owner_find("ro\not", &o, &err), -EINVAL);
	assert_string_equal(err.msg, "there is no user \"ro?ot\"");
}

static void test_bind(void **state)
{
	struct fake *f = *state;
	struct err err = { .code = 0 };

	f->host.owner = &alice;
	assert_int_equal(bind2(f, NVME, NULL, &err), 0);
	assert_int_equal(f->own_count, 1);
	check_own(f, 0, "vfio/13", 4711, 0600);
	assert_int_equal(f->owns[0].gid, 815);
	assert_int_equal(mode_of(f, "vfio/13"), 0600);
	/* It is so already for the driver, not for the nodes. */
	f->host.writes = 0;
	assert_int_equal(bind2(f, NVME, NULL, &err), 0);
	assert_int_equal(f->host.writes, 1);
}

static void test_group(void **state)
{
	struct fake *f = *state;
	struct err err = { .code = 0 };

	/* One node for two functions: both are named, it is handed over once. */
	f->host.owner = &alice;
	assert_int_equal(bind2(f, E1000, RTL, &err), 0);
	assert_int_equal(f->own_count, 1);
	check_own(f, 0, "vfio/15", 4711, 0600);
	assert_int_equal(bind2(f, E1000, NULL, &err), -EBUSY);
	assert_string_equal(err.msg, E1000 ": " RTL " is in its group 15 and would become alice's with "
			    "it; name both, or unbind that one");
	assert_int_equal(f->own_count, 1);
}

static void test_cdev(void **state)
{
	struct fake *f = *state;
	struct err err = { .code = 0 };

	fake_text(f, DEVICES NVME "/vfio-dev/vfio7/dev", "511:0\n");
	fake_text(f, "dev/vfio/devices/vfio7", "");
	f->host.owner = &alice;
	assert_int_equal(bind2(f, NVME, NULL, &err), 0);
	assert_int_equal(f->own_count, 2);
	check_own(f, 0, "vfio/13", 4711, 0600);
	check_own(f, 1, "vfio/devices/vfio7", 4711, 0600);
	/* A kernel without nodes for groups. */
	fake_remove(f, "dev/vfio/13");
	f->own_count = 0;
	assert_int_equal(bind2(f, NVME, NULL, &err), 0);
	assert_int_equal(f->own_count, 1);
	check_own(f, 0, "vfio/devices/vfio7", 4711, 0600);
}

static void check_driver(struct fake *f, const char *addr, const char *driver)
{
	struct pci_addr at = fake_at(addr);
	struct bind_state now;

	assert_int_equal(bind_state_read(&f->host, &at, &now, NULL), 0);
	assert_string_equal(now.driver, driver);
	assert_string_equal(now.override, "");
}

/* Whichever write fails, drivers, overrides and nodes are as they were. */
static void test_all_or_nothing(void **state)
{
	struct err err = { .code = 0 };
	unsigned long k, total;
	struct fake *f = fake_new_lab();
	int ret = -1;

	(void)state;
	f->host.owner = &alice;
	fake_fail(f, 0, 0);
	assert_int_equal(bind2(f, NVME, E1000, &err), -EBUSY); /* its companion */
	assert_int_equal(f->own_count, 0);
	fake_free(f);
	f = fake_new_lab();
	f->host.owner = &alice;
	assert_int_equal(bind2(f, E1000, RTL, &err), 0);
	total = f->seen;
	assert_int_equal(total, 7); /* three for each function, and the node */
	fake_free(f);
	for (k = 1; k <= total; k++) {
		f = fake_new_lab();
		f->host.owner = &alice;
		fake_fail(f, k, -EIO);
		ret = bind2(f, E1000, RTL, &err);
		assert_int_equal(ret, -EIO);
		assert_int_equal(f->own_count, k == total ? 1 : 0); /* given back */
		check_driver(f, E1000, "e1000");
		check_driver(f, RTL, "8139cp");
		fake_free(f);
	}
}

/* Nodes of functions that had the driver before are given back with their mode. */
static void test_given_back(void **state)
{
	struct fake *f = *state;
	struct pci_addr pf = fake_at(IGB);
	struct err err = { .code = 0 };
	char path[400];

	assert_int_equal(vf_create(&f->host, &pf, 2, "vfio-pci", 0, NULL, &err), 0);
	snprintf(path, sizeof(path), "%s/dev/vfio/20", f->base);
	assert_int_equal(chmod(path, 0640), 0);
	f->host.owner = &alice;
	fake_fail(f, 2, -EPERM); /* the second node */
	assert_int_equal(vf_create(&f->host, &pf, 2, "vfio-pci", 0, NULL, &err), -EPERM);
	assert_non_null(strstr(err.msg, "/dev/vfio/21 to alice, which needs root"));
	assert_int_equal(f->own_count, 3);
	check_own(f, 0, "vfio/20", 4711, 0600);
	check_own(f, 2, "vfio/20", getuid(), 0640);
	assert_int_equal(mode_of(f, "vfio/20"), 0640);
	fake_fail(f, 0, 0);
	f->own_count = 0;
	assert_int_equal(vf_create(&f->host, &pf, 2, "vfio-pci", 0, NULL, &err), 0);
	assert_int_equal(f->own_count, 2);
	check_own(f, 1, "vfio/21", 4711, 0600);
	/* Somebody has one open: it is not handed to another. */
	f->own_count = 0;
	fake_process(f, 77, "viaduct", "vfio/21");
	assert_int_equal(vf_create(&f->host, &pf, 2, "vfio-pci", 0, NULL, &err), -EBUSY);
	assert_int_equal(bind2(f, "0000:01:10.2", NULL, &err), -EBUSY);
	assert_int_equal(f->own_count, 0);
}

static void test_no_node(void **state)
{
	struct fake *f = *state;
	struct pci_addr pf = fake_at(IGB);
	struct err err = { .code = 0 };

	assert_int_equal(vf_create(&f->host, &pf, 2, "vfio-pci", 0, NULL, &err), 0);
	fake_remove(f, "dev/vfio/21");
	f->host.owner = &alice;
	assert_int_equal(bind2(f, "0000:01:10.0", "0000:01:10.2", &err), -ENOENT);
	assert_non_null(strstr(err.msg, "cannot hand /dev/vfio/21 to alice"));
	assert_int_equal(f->own_count, 0);
}

/* The real one takes character devices alone, and follows no link. */
static void test_real(void **state)
{
	struct fake *f = *state;
	struct host host;
	char path[400];

	assert_int_equal(host_init(&host, NULL, NULL), 0);
	fake_text(f, "dev/file", "");
	fake_link(f, "/dev/null", "dev/link");
	snprintf(path, sizeof(path), "%s/dev/file", f->base);
	assert_int_equal(host.ops->node_own(&host, path, getuid(), getgid(), 0600), -ENODEV);
	snprintf(path, sizeof(path), "%s/dev/link", f->base);
	assert_int_equal(host.ops->node_own(&host, path, getuid(), getgid(), 0600), -ENODEV);
	snprintf(path, sizeof(path), "%s/dev/none", f->base);
	assert_int_equal(host.ops->node_own(&host, path, getuid(), getgid(), 0600), -ENOENT);
	assert_int_equal(mode_of(f, "file"), 0644);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),  fake_lab_test(test_bind),
		fake_lab_test(test_group),    fake_lab_test(test_cdev),
		cmocka_unit_test(test_all_or_nothing), fake_lab_test(test_given_back),
		fake_lab_test(test_no_node),  fake_lab_test(test_real),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
