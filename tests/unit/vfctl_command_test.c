// SPDX-License-Identifier: GPL-2.0-or-later
/* The vfctl program itself, run on the fake host: what it prints, where, and how it ends. */
#include <errno.h>

#include "vfctl_rig.h"

static void test_list(void **state)
{
	struct fake *f = *state;
	struct json_object *list, *pf, *vf;
	struct run r;

	make_vfs(f);
	RUN(f, &r, "list");
	assert_int_equal(r.code, 0);
	assert_string_equal(r.err, "");
	assert_non_null(strstr(r.out, IGB " 8086:10c9 igb           14 PF, 7 of 7         eth0"));
	assert_non_null(strstr(r.out, "0000:01:10.2 8086:10ca vfio-pci      21 VF of " IGB));
	run_done(&r);
	RUN(f, &r, "list", "--json");
	list = json_tokener_parse(r.out);
	assert_int_equal(json_object_array_length(list), 13);
	pf = json_object_array_get_idx(list, 1);
	assert_string_equal(text_of(pf, "address"), IGB);
	assert_string_equal(text_of(pf, "driver"), "igb");
	assert_int_equal(json_object_get_int(member(pf, "num_vfs")), 7);
	assert_string_equal(json_object_get_string(json_object_array_get_idx(
				    member(pf, "interfaces"), 0)), "eth0");
	vf = json_object_array_get_idx(list, 2);
	assert_string_equal(text_of(vf, "pf"), IGB);
	assert_int_equal(json_object_get_int(member(vf, "group")), 20);
	assert_null(member(json_object_array_get_idx(list, 0), "driver"));
	json_object_put(list);
	run_done(&r);
}

static void test_show(void **state)
{
	struct fake *f = *state;
	struct json_object *o, *use, *cap, *list;
	struct run r;

	make_vfs(f);
	fake_process(f, 77, "viaduct", "vfio/22");
	RUN(f, &r, "show", "eth0/vf2");
	assert_int_equal(r.code, 0);
	assert_non_null(strstr(r.out, "VF:            2 of " IGB));
	assert_non_null(strstr(r.out, "driver:        vfio-pci, override vfio-pci"));
	assert_non_null(strstr(r.out, "22, viable"));
	assert_non_null(strstr(r.out, "group 22 is open in viaduct (pid 77)"));
	run_done(&r);
	RUN(f, &r, "show", "0000:06:01.0");
	assert_non_null(strstr(r.out, "0000:05:00.0 bridge, pcieport\n"));
	assert_non_null(strstr(r.out, "run: vfctl bind 0000:06:01.0 0000:06:02.0 vfio-pci"));
	run_done(&r);
	RUN(f, &r, "--json", "show", IGB);
	o = json_tokener_parse(r.out);
	assert_int_equal(json_object_array_length(member(o, "vfs")), 7);
	cap = json_object_array_get_idx(member(o, "capabilities"), 0);
	assert_string_equal(text_of(cap, "name"), "MSI-X");
	assert_string_equal(text_of(o, "reset_method"), "flr bus");
	use = member(o, "use");
	assert_true(json_object_get_boolean(member(use, "in_use")));
	list = member(use, "evidence");
	assert_int_equal(json_object_array_length(list), 2);
	assert_string_equal(text_of(json_object_array_get_idx(list, 0), "function"), IGB);
	use = json_object_array_get_idx(list, 1);
	assert_string_equal(text_of(use, "function"), "0000:01:10.4");
	assert_string_equal(text_of(use, "evidence"), "group 22 is open in viaduct (pid 77)");
	list = member(use, "kinds");
	assert_int_equal(json_object_array_length(list), 1);
	assert_string_equal(json_object_get_string(json_object_array_get_idx(list, 0)), "vfio");
	json_object_put(o);
	run_done(&r);
}

/* The tree is another host's, so no netlink answers for it: what remains is the PCI core's. */
static void test_set(void **state)
{
	struct fake *f = *state;
	struct json_object *o, *settings;
	struct run r;

	make_vfs(f);
	RUN(f, &r, "show", "eth0/vf2", "--json");
	o = json_tokener_parse(r.out);
	assert_int_equal(json_object_object_length(member(o, "settings")), 0);
	json_object_put(o);
	run_done(&r);
	fake_text(f, "sys/devices/pci0000:00/" IGB "/sriov_vf_total_msix", "64\n");
	fake_text(f, "sys/devices/pci0000:00/0000:01:10.4/sriov_vf_msix_count", "");
	RUN(f, &r, "show", "eth0/vf2");
	assert_non_null(strstr(r.out, "  settings:      vectors 3\n"));
	run_done(&r);
	RUN(f, &r, "show", IGB, "--json");
	o = json_tokener_parse(r.out);
	assert_null(member(o, "eswitch"));
	settings = member(json_object_array_get_idx(member(o, "vfs"), 2), "settings");
	assert_int_equal(json_object_get_int(member(settings, "vectors")), 3);
	json_object_put(o);
	run_done(&r);
	RUN(f, &r, "set", "eth0/vf2", "vectors=3");
	assert_int_equal(r.code, 0);
	assert_string_equal(r.out, "0000:01:10.4: it was so already, 0 writes\n");
	run_done(&r);
	RUN(f, &r, "set", "eth0/vf2", "vectors=3", "--json");
	o = json_tokener_parse(r.out);
	assert_string_equal(text_of(o, "address"), "0000:01:10.4");
	assert_string_equal(text_of(o, "pf"), IGB);
	assert_int_equal(json_object_get_int(member(o, "vf_index")), 2);
	assert_int_equal(json_object_get_int(member(member(o, "settings"), "vectors")), 3);
	assert_int_equal(json_object_get_int(member(o, "writes")), 0);
	assert_int_equal(json_object_array_length(member(o, "changed")), 0);
	json_object_put(o);
	run_done(&r);
	/* Files alone are no kernel: the driver's unbind and the count change nothing here. */
	EXPECT_ERROR(f, 1, "0000:01:10.4", "set", "eth0/vf2", "vectors=4");
	EXPECT_ERROR(f, 1, "has no setting vlan", "set", "eth0/vf2", "vlan=4");
	EXPECT_ERROR(f, 1, IGB " is no VF", "set", "eth0", "vectors=4");
	EXPECT_ERROR(f, 2, "usage: vfctl set VF KEY=VALUE", "set", "eth0/vf2");
	EXPECT_ERROR(f, 2, "\"vlan\" is no setting like vlan=100", "set", "eth0/vf2", "vlan");
	EXPECT_ERROR(f, 2, "there is no setting \"colour\", but mac, vlan, qos, vlan-protocol, ",
		     "set", "eth0/vf2", "colour=red");
	EXPECT_ERROR(f, 2, "there is no setting \"\", but mac", "set", "eth0/vf2", "=1");
	EXPECT_ERROR(f, 2, "vlan is given twice", "set", "eth0/vf2", "vlan=1", "vlan=1");
	EXPECT_ERROR(f, 2, "vlan: 4095 is not within 0 to 4094", "set", "eth0/vf2", "vlan=4095");
	EXPECT_ERROR(f, 2, "mac: \"\" is no address", "set", "eth0/vf2", "mac=");
	EXPECT_ERROR(f, 2, "set takes no --driver", "set", "eth0/vf2", "vlan=1", "--driver=x");
}

static void test_failures(void **state)
{
	struct fake *f = *state;
	char big[4097];

	memset(big, 'A', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	EXPECT_ERROR(f, 1, "neither a PCI address", "show", "0000:00:00.8");
	EXPECT_ERROR(f, 1, "after the PF comes", "show", "../../etc");
	EXPECT_ERROR(f, 1, "neither a PCI address", "show", big);
	EXPECT_ERROR(f, 1, "neither a PCI address", "show", "\xc3\xa9\xff\n");
	EXPECT_ERROR(f, 1, "no such function", "show", "0000:44:00.0");
	EXPECT_ERROR(f, 1, "at most", "create", "eth0", "8");
	EXPECT_ERROR(f, 1, "7 at most", "create", "eth0", "65536");
	EXPECT_ERROR(f, 1, "7 at most", "create", "eth0", "99999999999999999999");
	EXPECT_ERROR(f, 1, "vfctl destroy", "create", "eth0", "0");
	EXPECT_ERROR(f, 1, "modprobe mlx5", "create", "eth0", "2", "--driver", "mlx5");
	EXPECT_ERROR(f, 1, "no SR-IOV", "create", "eth1", "2");
	EXPECT_ERROR(f, 1, "modprobe nope", "bind", "eth0", "nope");
	EXPECT_ERROR(f, 1, "no driver's name", "bind", "eth0", "../igb");
	fake_net_addr(f, "eth0", "192.0.2.1");
	fake_text(f, "sys/devices/pci0000:00/0000:06:01.0/net/eth1/brport/state", "3\n");
	EXPECT_ERROR(f, 1, "0000:06:01.0: eth1 is a port of a bridge; take it out or use "
			   "--force=upper", "bind", "eth2", "eth1", "vfio-pci");
	EXPECT_ERROR(f, 1, "0000:06:02.0: in its group 15 0000:06:01.0 is bound to e1000, so no "
			   "guest could have it; run: vfctl bind 0000:06:01.0 0000:06:02.0 "
			   "vfio-pci, or use --force=group", "bind", "eth2", "vfio-pci");
	fake_remove(f, "sys/bus");
	EXPECT_ERROR(f, 1, "there is no PCI bus", "list");
}

static void test_usage(void **state)
{
	struct fake *f = *state;
	struct run r;

	EXPECT_ERROR(f, 2, "there is no command \"lost\"", "lost");
	EXPECT_ERROR(f, 2, "list takes no --force", "list", "--force=mount");
	EXPECT_ERROR(f, 2, "--force needs the kind of use", "destroy", "eth0", "--force");
	EXPECT_ERROR(f, 2, "\"all\" is no kind of use; there are: address, route,", "--force=all",
		     "destroy", "eth0");
	EXPECT_ERROR(f, 2, "bind takes no --driver", "bind", "eth0", "--driver", "x");
	EXPECT_ERROR(f, 2, "usage: vfctl show FUNCTION", "show");
	EXPECT_ERROR(f, 2, "usage: vfctl create PF N", "create", "eth0");
	EXPECT_ERROR(f, 2, "usage: vfctl bind", "bind", "eth0");
	EXPECT_ERROR(f, 2, "no number of VFs", "create", "eth0", "1e3");
	EXPECT_ERROR(f, 2, "no number of VFs", "create", "--", "eth0", "-1");
	EXPECT_ERROR(f, 2, "no number of VFs", "create", "eth0", "");
	EXPECT_ERROR(f, 2, "is a driver, not an address", "bind", "eth0", "0000:01:00.0");
	EXPECT_ERROR(f, 2, "no option \"--jason\"", "list", "--jason");
	EXPECT_ERROR(f, 2, "needs a value", "create", "eth0", "1", "--driver");
	RUN(f, &r, "--help");
	assert_int_equal(r.code, 0);
	assert_non_null(strstr(r.out, "vfctl bind FUNCTION... DRIVER"));
	assert_string_equal(r.err, "");
	run_done(&r);
	RUN(f, &r, "create", "--help");
	assert_int_equal(r.code, 0);
	assert_non_null(strstr(r.out, "sriov_drivers_autoprobe"));
	run_done(&r);
	RUN(f, &r, "--version");
	assert_int_equal(r.code, 0);
	assert_int_equal(strncmp(r.out, "vfctl ", 6), 0);
	run_done(&r);
	run_to(f, &r, NULL, (const char *const[]){ NULL });
	assert_int_equal(r.code, 2);
	assert_string_equal(r.out, "");
	run_done(&r);
}

static void expect_write_error(struct fake *f, const char *to, int code)
{
	struct run r;

	run_to(f, &r, to, (const char *const[]){ "list", NULL });
	assert_int_equal(r.code, 1);
	assert_non_null(strstr(r.err, "vfctl: cannot write the output: "));
	assert_non_null(strstr(r.err, strerror(code)));
	run_done(&r);
}

static void test_closed_stdout(void **state)
{
	struct fake *f = *state;

	expect_write_error(f, "", EBADF);
	expect_write_error(f, "/dev/full", ENOSPC);
}

static void test_broken_pipe(void **state)
{
	struct fake *f = *state;
	char text[512];
	int out[2], err[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	assert_int_equal(pipe(err), 0);
	close(out[0]);
	pid = fork();
	if (!pid) {
		dup2(out[1], 1);
		dup2(err[1], 2);
		execl(VFCTL_PATH, "vfctl", "--sysfs-root", f->sys, "list", NULL);
		_exit(98);
	}
	close(out[1]);
	close(err[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	n = read(err[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, strerror(EPIPE)));
	close(err[0]);
}

/* Without a kernel the VFs never come: interrupted while it waits, vfctl puts all back. */
static void test_interrupted(void **state)
{
	struct fake *f = *state;
	char path[300], *count = NULL;
	int status, fd, i;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/err", f->base);
	pid = fork();
	if (!pid) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		dup2(fd, 2);
		execl(VFCTL_PATH, "vfctl", "--sysfs-root", f->sys, "create", "eth0", "3",
		      "--driver", "vfio-pci", NULL);
		_exit(98);
	}
	for (i = 0; i < 5000; i++) {
		count = fake_read(f, "sys/devices/pci0000:00/" IGB "/sriov_numvfs");
		if (*count == '3')
			break;
		free(count);
		count = NULL;
		usleep(1000);
	}
	assert_non_null(count);
	free(count);
	assert_int_equal(kill(pid, SIGINT), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 130);
	count = slurp(path);
	assert_string_equal(count, "vfctl: " IGB ": interrupted, all put back\n");
	free(count);
	count = fake_read(f, "sys/devices/pci0000:00/" IGB "/sriov_numvfs");
	assert_int_equal(*count, '0');
	free(count);
	count = fake_read(f, "sys/devices/pci0000:00/" IGB "/sriov_drivers_autoprobe");
	assert_int_equal(*count, '1');
	free(count);
}

static void test_nothing_to_do(void **state)
{
	struct fake *f = *state;
	struct json_object *o;
	struct run r;

	make_vfs(f);
	RUN(f, &r, "create", "eth0", "7", "--driver", "vfio-pci", "--verbose");
	assert_int_equal(r.code, 0);
	assert_string_equal(r.err, "");
	assert_string_equal(r.out, IGB ": 7 VFs (before: 7), 0 writes\n");
	run_done(&r);
	RUN(f, &r, "create", "eth0", "7", "--json");
	o = json_tokener_parse(r.out);
	assert_int_equal(json_object_get_int(member(o, "writes")), 0);
	assert_int_equal(json_object_array_length(member(o, "vfs")), 7);
	json_object_put(o);
	run_done(&r);
	RUN(f, &r, "bind", "eth0/vf0", "eth0/vf1", "vfio-pci", "--json");
	assert_int_equal(r.code, 0);
	o = json_tokener_parse(r.out);
	assert_int_equal(json_object_array_length(o), 2);
	json_object_put(o);
	run_done(&r);
	RUN(f, &r, "destroy", "0000:02:00.0");
	assert_string_equal(r.out, "0000:02:00.0: 0 VFs (before: 0), 0 writes\n");
	run_done(&r);
}

/* What ten thousand of them cost is counted in sriov_inventory_test.c and timed by tests/bench/vfctl. */
static void test_many(void **state)
{
	struct fake *f = fake_new();
	struct json_object *list, *o;
	unsigned int lines = 0;
	struct run r;
	char *at;

	(void)state;
	fake_many(f, 10000);
	RUN(f, &r, "list");
	assert_int_equal(r.code, 0);
	for (at = r.out; (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 10001);
	assert_non_null(strstr(r.out, "\n0001:27:01.7 8086:10ca igbvf       9999 VF of 0001:27:00.0 -        "));
	run_done(&r);
	RUN(f, &r, "list", "--json");
	assert_int_equal(r.code, 0);
	list = json_tokener_parse(r.out);
	assert_int_equal(json_object_array_length(list), 10000);
	o = json_object_array_get_idx(list, 9999);
	assert_string_equal(text_of(o, "address"), "0001:27:01.7");
	assert_string_equal(text_of(o, "device"), "0x10ca");
	assert_string_equal(text_of(o, "pf"), "0001:27:00.0");
	assert_int_equal(json_object_get_int(member(o, "group")), 9999);
	assert_false(json_object_get_boolean(member(o, "quarantine")));
	json_object_put(list);
	run_done(&r);
	fake_free(f);
}

/* What comes from sysfs is a string of JSON whatever is in it. */
static void test_hostile_names(void **state)
{
	struct fake *f = *state;
	struct json_object *list;
	struct run r;

	fake_remove(f, "sys/bus/pci/drivers/e1000/0000:06:01.0");
	fake_link(f, "../../../../devices/pci0000:00/0000:06:01.0",
		  "sys/bus/pci/drivers/a\"b\\c\x01\td/0000:06:01.0");
	RUN(f, &r, "list", "--json");
	assert_int_equal(r.code, 0);
	list = json_tokener_parse(r.out);
	assert_non_null(list);
	assert_string_equal(text_of(json_object_array_get_idx(list, 4), "driver"), "a\"b\\c\x01\td");
	json_object_put(list);
	run_done(&r);
}

static void test_explain(void **state)
{
	struct fake *f = *state;
	struct json_object *o, *cause;
	struct run r;

	RUN(f, &r, "explain", "eth1");
	assert_int_equal(r.code, 0);
	assert_non_null(strstr(r.out, "0000:06:01.0: IOMMU group 15, 3 devices, not viable\n"));
	assert_non_null(strstr(r.out, "  0000:05:00.0 bridge, pcieport\n"));
	assert_non_null(strstr(r.out, "  0000:06:02.0 8139cp (keeps the group from a guest)\n"));
	assert_non_null(strstr(r.out, "They are one group because\n"));
	assert_non_null(strstr(r.out, "To give the group to a guest, run:\n"
				      "  vfctl bind 0000:06:01.0 0000:06:02.0 vfio-pci\n"));
	run_done(&r);
	RUN(f, &r, "explain", "02:00.0");
	assert_non_null(strstr(r.out, "group 13, 1 device, not viable"));
	assert_non_null(strstr(r.out, "It is alone in its group.\n"));
	assert_null(strstr(r.out, "because"));
	run_done(&r);
	RUN(f, &r, "explain", "--json", "eth1");
	o = json_tokener_parse(r.out);
	assert_int_equal(json_object_get_int(member(o, "group")), 15);
	assert_false(json_object_get_boolean(member(o, "viable")));
	assert_int_equal(json_object_array_length(member(o, "members")), 3);
	cause = json_object_array_get_idx(member(o, "causes"), 0);
	assert_string_equal(text_of(cause, "kind"), "unknown");
	assert_null(member(cause, "device"));
	assert_string_equal(json_object_get_string(json_object_array_get_idx(
				    member(o, "commands"), 0)),
			    "vfctl bind 0000:06:01.0 0000:06:02.0 vfio-pci");
	json_object_put(o);
	run_done(&r);
	RUN(f, &r, "show", "eth1");
	assert_non_null(strstr(r.out, "one group: no bridge and no missing ACS"));
	run_done(&r);
	fake_remove(f, "sys/devices/pci0000:00/0000:02:00.0/iommu_group");
	EXPECT_ERROR(f, 1, "0000:02:00.0: it is in no IOMMU group; turn the IOMMU on", "explain",
		     "02:00.0");
}

static void test_quarantine(void **state)
{
	struct fake *f = *state;
	struct json_object *o, *list;
	struct run r;

	fake_text(f, "run/viaduct/quarantine/0000:06:01.0", "it died of a reset\n");
	fake_text(f, "sys/devices/pci0000:00/0000:06:01.0/config",
		  "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
	RUN(f, &r, "list");
	assert_non_null(strstr(r.out, "0000:06:01.0 8086:100e e1000"));
	assert_non_null(strstr(r.out, "eth1     (in quarantine) "));
	assert_null(strstr(strstr(r.out, "(in quarantine)") + 1, "(in quarantine)"));
	run_done(&r);
	RUN(f, &r, "list", "--json");
	o = json_tokener_parse(r.out);
	assert_false(json_object_get_boolean(member(json_object_array_get_idx(o, 3), "quarantine")));
	assert_true(json_object_get_boolean(member(json_object_array_get_idx(o, 4), "quarantine")));
	json_object_put(o);
	run_done(&r);
	RUN(f, &r, "show", "0000:06:01.0");
	assert_non_null(strstr(r.out, "  in quarantine: it died of a reset; when it is well again, "
				      "run: vfctl clear 0000:06:01.0\n"));
	run_done(&r);
	RUN(f, &r, "show", "0000:06:01.0", "--json");
	o = json_tokener_parse(r.out);
	assert_string_equal(text_of(o, "quarantine"), "it died of a reset");
	json_object_put(o);
	run_done(&r);

	EXPECT_ERROR(f, 1, "0000:06:01.0: it still answers nothing but ones", "clear", "06:01.0");
	RUN(f, &r, "clear", "--force=dead", "06:01.0", "eth2");
	assert_int_equal(r.code, 0);
	assert_string_equal(r.out, "0000:06:01.0: out of quarantine, where it was because: it died "
				   "of a reset\n0000:06:02.0: not in quarantine\n");
	run_done(&r);
	RUN(f, &r, "show", "0000:06:01.0");
	assert_null(strstr(r.out, "quarantine"));
	run_done(&r);
	/* Of a card that is gone. */
	fake_text(f, "run/viaduct/quarantine/0000:77:00.0", "");
	RUN(f, &r, "clear", "77:00.0", "--json");
	list = json_tokener_parse(r.out);
	o = json_object_array_get_idx(list, 0);
	assert_true(json_object_get_boolean(member(o, "cleared")));
	assert_string_equal(text_of(o, "reason"), "no reason is written down");
	json_object_put(list);
	run_done(&r);
	EXPECT_ERROR(f, 1, "nosuch: no such PCI address or network interface", "clear", "nosuch");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_explain),
		fake_lab_test(test_quarantine),
		fake_lab_test(test_list),
		fake_lab_test(test_show),
		fake_lab_test(test_set),
		fake_lab_test(test_failures),
		fake_lab_test(test_usage),
		fake_lab_test(test_closed_stdout),
		fake_lab_test(test_broken_pipe),
		fake_lab_test(test_interrupted),
		fake_lab_test(test_nothing_to_do),
		cmocka_unit_test(test_many),
		fake_lab_test(test_hostile_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
