// SPDX-License-Identifier: GPL-2.0-or-later
/* Who uses a function's interfaces. */
#include "use_rig.h"

#define UP 1u
#define UP_IT "; bring it down or use --force="
#define APART "; take that apart or use --force=upper"

static void up(struct fake *f)
{
	fake_text(f, ETH0 "/flags", "0x1003\n");
}

static void test_address(void **state)
{
	struct fake *f = *state;

	/* A PF that is there for its VFs is up without address; an address while down is none. */
	fake_netdev(f, E1000, "eth9", 1, NULL);
	expect(f, E1000, NULL);
	fake_net_addr(f, "eth0", "10.0.2.15");
	expect(f, IGB, NULL);
	up(f);
	expect(f, IGB, ": eth0 is up with address 10.0.2.15" UP_IT "address");
	expect_forced(f, IGB, USE_ADDRESS, NULL);
}

static void test_route(void **state)
{
	struct fake *f = *state;

	fake_route(f, "eth00", "default");
	fake_route(f, "eth0", "192.0.2.0/24");
	expect(f, IGB, NULL);
	up(f);
	expect(f, IGB, ": eth0 is up with the route to 192.0.2.0/24" UP_IT "route");
	snprintf(f->routes[1].to, sizeof(f->routes[1].to), "default");
	expect(f, IGB, ": eth0 is up with the default route" UP_IT "route");
}

/* Two kinds at once: each alone is not enough, and what is forced is not spoken of. */
static void test_exact(void **state)
{
	struct fake *f = *state;

	up(f);
	fake_net_addr(f, "eth0", "10.0.2.15");
	fake_route(f, "eth0", "default");
	expect(f, IGB, ": eth0 is up with address 10.0.2.15 and the default route" UP_IT
		       "address,route");
	expect_forced(f, IGB, USE_ROUTE, ": eth0 is up with address 10.0.2.15" UP_IT "address");
	expect_forced(f, IGB, USE_ADDRESS, ": eth0 is up with the default route" UP_IT "route");
	expect_forced(f, IGB, USE_KINDS & ~USE_ADDRESS & ~USE_ROUTE,
		      ": eth0 is up with address 10.0.2.15 and the default route" UP_IT
		      "address,route");
	expect_forced(f, IGB, USE_ADDRESS | USE_ROUTE, NULL);
}

static void test_uppers(void **state)
{
	struct fake *f = *state;

	fake_upper(f, "eth0.7", 0, "eth0", false);
	expect(f, IGB, ": eth0 carries eth0.7" APART);
	fake_remove(f, ETH0 "/upper_eth0.7");
	fake_upper(f, "vrf-red", UP, "eth0", true);
	expect(f, IGB, ": eth0 is in vrf-red" APART);
	fake_text(f, "sys/devices/virtual/net/vrf-red/bridge/bridge_id", "8000\n");
	expect(f, IGB, ": eth0 is a port of vrf-red" APART);
	expect_forced(f, IGB, USE_UPPER, NULL);
	fake_remove(f, ETH0 "/upper_vrf-red");
	fake_remove(f, ETH0 "/master");
	fake_text(f, ETH0 "/brport/state", "3\n");
	expect(f, IGB, ": eth0 is a port of a bridge; take it out or use --force=upper");
}

/* br0 on bond0.7 on bond0 on eth0. */
static void pile(struct fake *f)
{
	fake_upper(f, "bond0", UP, "eth0", true);
	fake_upper(f, "bond0.7", UP, "bond0", false);
	fake_upper(f, "br0", UP, "bond0.7", true);
	fake_text(f, "sys/devices/virtual/net/br0/bridge/bridge_id", "8000\n");
}

#define CHAIN ": eth0 is in bond0, that carries bond0.7, that is a port of br0"
#define DOWN_APART "; bring that down and take it apart or use --force="

static void test_chain(void **state)
{
	struct fake *f = *state;

	pile(f);
	expect(f, IGB, CHAIN APART);
	fake_net_addr(f, "br0", "10.0.2.15");
	fake_route(f, "br0", "default");
	expect(f, IGB, CHAIN " with address 10.0.2.15 and the default route" DOWN_APART
		       "address,route,upper");
	expect_forced(f, IGB, USE_UPPER, CHAIN " with address 10.0.2.15 and the default route"
		      DOWN_APART "address,route");
	expect_forced(f, IGB, USE_UPPER | USE_ROUTE, CHAIN " with address 10.0.2.15" DOWN_APART
		      "address");
	expect_forced(f, IGB, USE_UPPER | USE_ADDRESS, CHAIN " with the default route" DOWN_APART
		      "route");
	expect_forced(f, IGB, USE_UPPER | USE_ADDRESS | USE_ROUTE, NULL);
	/* Down it carries nothing, but it stands there. */
	fake_text(f, "sys/devices/virtual/net/br0/flags", "0x1002\n");
	expect(f, IGB, CHAIN APART);
}

/* An address half way up and another interface beside it: each is said. */
static void test_branches(void **state)
{
	struct fake *f = *state;

	up(f);
	fake_upper(f, "eth0.7", UP, "eth0", false);
	fake_net_addr(f, "eth0.7", "192.0.2.7");
	fake_upper(f, "mac0", UP, "eth0.7", false);
	expect(f, IGB, ": eth0 carries eth0.7, that carries mac0 (take that apart); eth0 carries "
		       "eth0.7 with address 192.0.2.7 (bring that down and take it apart); or use "
		       "--force=address,upper");
	expect_forced(f, IGB, USE_UPPER, ": eth0 carries eth0.7 with address 192.0.2.7" DOWN_APART
		      "address");
}

/* What a kernel never shows: uppers in a circle, deeper than it stacks, with impossible names. */
static void test_hostile(void **state)
{
	char name[32], lower[32] = "eth0", long_name[HOST_NAME_MAX + 40], path[512];
	struct fake *f = *state;
	unsigned int i;

	fake_upper(f, "a", UP, "eth0", false);
	fake_upper(f, "b", UP, "a", false);
	fake_link(f, "../a", "sys/class/net/b/upper_a");
	fake_link(f, "../../../pci0000:00/" IGB "/net/eth0", "sys/class/net/b/upper_eth0");
	fake_net_addr(f, "b", "192.0.2.9");
	expect(f, IGB, ": eth0 carries a, that carries b with address 192.0.2.9" DOWN_APART
		       "address,upper");
	fake_remove(f, ETH0 "/upper_a");
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "an-interface-%u", i);
		fake_upper(f, name, UP, lower, false);
		memcpy(lower, name, sizeof(lower));
	}
	expect(f, IGB, ": what stands on eth0 cannot be followed: Too many levels of symbolic links; "
		       "make that readable or use --force=unknown");
	fake_remove(f, ETH0 "/upper_an-interface-0");
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	snprintf(path, sizeof(path), ETH0 "/upper_%s", long_name);
	fake_link(f, "..", path);
	expect(f, IGB, ": what eth0 carries has an odd name: Invalid argument; make that readable or "
		       "use --force=unknown");
}

/* A chain of names as long as they get stays one readable message. */
static void test_long_chain(void **state)
{
	char name[HOST_NAME_MAX], lower[HOST_NAME_MAX] = "eth0";
	struct pci_addr addr = fake_at(IGB);
	struct use_found found;
	struct err err = { .code = 0 };
	struct fake *f = *state;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		memset(name, (int)('a' + i), sizeof(name) - 1);
		name[sizeof(name) - 1] = '\0';
		fake_upper(f, name, UP, lower, false);
		memcpy(lower, name, sizeof(lower));
	}
	assert_int_equal(use_check(&f->host, NULL, &addr, 0, &found, &err), -EBUSY);
	assert_int_equal(found.kinds, USE_UPPER);
	assert_non_null(strstr(err.msg, ": eth0 carries aaaa"));
	assert_non_null(strstr(err.msg, "or use --force=upper"));
}

static void test_other_namespace(void **state)
{
	struct fake *f = *state;

	fake_remove(f, "sys/class/net/eth0");
	fake_remove(f, ETH0);
	expect(f, IGB, ": its network interface is in another network namespace; move it back or "
		       "use --force=netns");
}

static void test_unreadable(void **state)
{
	struct fake *f = *state;

	up(f);
	f->routes_code = -EIO;
	expect(f, IGB, ": the routes cannot be read: Input/output error; make that readable or use "
		       "--force=unknown");
	fake_net_addr(f, "eth0", "10.0.2.15");
	expect_forced(f, IGB, USE_UNKNOWN, ": eth0 is up with address 10.0.2.15" UP_IT "address");
	expect_forced(f, IGB, USE_UNKNOWN | USE_ADDRESS, NULL);
	f->routes_code = 0;
	fake_remove(f, ETH0 "/flags");
	fake_text(f, ETH0 "/flags/x", ""); /* a folder: EISDIR */
	expect(f, IGB, ": whether eth0 is up cannot be read: Is a directory; make that readable or "
		       "use --force=unknown");
}

/* --- the session of who asks ----------------------------------------------------------------- */

static void environment(struct fake *f, const char *process, const char *text, size_t len,
			const char *parent)
{
	char path[512], status[64];
	FILE *file;

	snprintf(path, sizeof(path), "proc/%s/status", process);
	snprintf(status, sizeof(status), "Name:\tx\nPPid:\t%s\nUid:\t0\n", parent);
	fake_text(f, path, status);
	snprintf(path, sizeof(path), "proc/%s/environ", process);
	fake_text(f, path, "");
	snprintf(path, sizeof(path), "%s/proc/%s/environ", f->base, process);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	fclose(file);
}

#define SSH "PATH=/bin\0SSH_CONNECTION=192.0.2.7 50000 10.0.2.15 22\0TERM=xterm"
#define NO_SSH "PATH=/bin\0XSSH_CONNECTION=192.0.2.7 1 2 3\0TERM=xterm"
#define THROUGH ": your SSH session from 192.0.2.7 comes in through eth0"
#define OTHER_WAY "; come in another way or use --force=ssh"

static void test_ssh(void **state)
{
	struct fake *f = *state;

	fake_way(f, "192.0.2.7", "eth0");
	environment(f, "self", NO_SSH, sizeof(NO_SSH), "1");
	expect(f, IGB, NULL);
	environment(f, "self", SSH, sizeof(SSH), "1");
	expect(f, IGB, THROUGH OTHER_WAY);
	expect(f, E1000, NULL);
	expect_forced(f, IGB, USE_SSH, NULL);
	fake_way(f, "192.0.2.8", "eth0");
	expect(f, IGB, NULL);
	/* Through what stands on it. */
	pile(f);
	fake_way(f, "192.0.2.7", "br0");
	expect_forced(f, IGB, USE_UPPER, THROUGH " (by bond0, bond0.7, br0)" OTHER_WAY);
	fake_net_addr(f, "br0", "10.0.2.15");
	expect_forced(f, IGB, USE_UPPER,
		      THROUGH " (by bond0, bond0.7, br0) (come in another way)"
		      "; eth0 is in bond0, that carries bond0.7, that is a port of br0 with address "
		      "10.0.2.15 (bring that down and take it apart); or use --force=address,ssh");
}

/* sudo took the variable away; its parents have it. */
static void test_ssh_of_parent(void **state)
{
	struct fake *f = *state;

	fake_way(f, "192.0.2.7", "eth0");
	environment(f, "self", NO_SSH, sizeof(NO_SSH), "71");
	environment(f, "71", "", 0, "70");
	environment(f, "70", SSH, sizeof(SSH), "69");
	expect(f, IGB, THROUGH OTHER_WAY);
	environment(f, "70", NO_SSH, sizeof(NO_SSH), "1");
	environment(f, "1", SSH, sizeof(SSH), "0");
	expect(f, IGB, NULL);
	/* Parents in a circle, and one that is gone. */
	environment(f, "70", NO_SSH, sizeof(NO_SSH), "71");
	expect(f, IGB, NULL);
	environment(f, "70", NO_SSH, sizeof(NO_SSH), "4711");
	expect(f, IGB, NULL);
	fake_remove(f, "proc/70/environ");
	fake_text(f, "proc/70/environ/x", ""); /* a folder: EISDIR */
	expect(f, IGB, ": whether your SSH session comes in through it cannot be found out: Is a "
		       "directory; make that readable or use --force=unknown");
	expect(f, NVME, NULL);
}

static void test_ssh_values(void **state)
{
	static const char scoped[] = "SSH_CONNECTION=fe80::1%eth0 50000 fe80::2%eth0 22";
	static const char *const nonsense[] = {
		"SSH_CONNECTION=", "SSH_CONNECTION=192.0.2.7", "SSH_CONNECTION=192.0.2.7 1",
		"SSH_CONNECTION=%eth00 1 2 3", "SSH_CONNECTION",
	};
	struct fake *f = *state;
	char big[8192];
	size_t i;

	fake_way(f, "192.0.2.7", "eth0");
	environment(f, "self", scoped, sizeof(scoped), "1");
	expect(f, IGB, ": your SSH session from fe80::1%eth0 comes in through eth0" OTHER_WAY);
	for (i = 0; i < ARRAY_SIZE(nonsense); i++) {
		environment(f, "self", nonsense[i], strlen(nonsense[i]), "1");
		expect(f, IGB, NULL);
	}
	memset(big, 'x', sizeof(big));
	/* Terminated by nothing, on purpose. */
	memcpy(big, "SSH_CONNECTION=", 15); // NOLINT(bugprone-not-null-terminated-result)
	environment(f, "self", big, sizeof(big), "1");
	expect(f, IGB, NULL);
	environment(f, "self", SSH, sizeof(SSH), "1");
	f->way_code = -EPERM;
	expect(f, IGB, ": whether your SSH session comes in through it cannot be found out: "
		       "Operation not permitted; make that readable or use --force=unknown");
	f->way_code = -ENETUNREACH;
	expect(f, IGB, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_address),
		fake_lab_test(test_route),
		fake_lab_test(test_exact),
		fake_lab_test(test_uppers),
		fake_lab_test(test_chain),
		fake_lab_test(test_branches),
		fake_lab_test(test_hostile),
		fake_lab_test(test_long_chain),
		fake_lab_test(test_other_namespace),
		fake_lab_test(test_unreadable),
		fake_lab_test(test_ssh),
		fake_lab_test(test_ssh_of_parent),
		fake_lab_test(test_ssh_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
