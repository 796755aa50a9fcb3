// SPDX-License-Identifier: GPL-2.0-or-later
/* The options of the user network: what they come to, and what is wrong with each wrong value. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/opt.h"
#include "base/util.h"
#include "vmm/net.h"
#include "vmm/net_options.h"
#include "vmm/net_user.h"

struct card {
	struct net_config config;
};

static const struct opt_field fields[] = { NET_OPTIONS(struct card, config), OPT_END };

/* As a device's options are read; the caller frees them. */
static void decode(struct card *card, const char *options)
{
	struct err err = { 0 };
	struct opt_list list;
	char text[512];
	size_t i;

	*card = (struct card){ .config = { .backend = NULL } };
	snprintf(text, sizeof(text), "card,%s", options);
	assert_int_equal(opt_list_parse(&list, text, &err), 0);
	for (i = 0; i < list.count; i++) {
		const struct opt_field *f = opt_find(fields, list.pairs[i].key);

		assert_non_null(f);
		assert_int_equal(opt_decode(f, card, list.pairs[i].value, &err), 0);
	}
	opt_list_done(&list);
}

static void assert_addr(struct in_addr addr, const char *want)
{
	char text[INET_ADDRSTRLEN];

	assert_string_equal(inet_ntop(AF_INET, &addr, text, sizeof(text)), want);
}

static void assert_network(const char *options, const char *network, const char *mask,
			   const char *gateway, const char *dns, const char *dhcpstart)
{
	struct err err = { 0 };
	struct net_user user;
	struct card card;

	decode(&card, options);
	if (net_check(&card.config, &err) || net_user_parse(&card.config, &user, &err))
		fail_msg("%s: %s", options, err.msg);
	assert_addr(user.network, network);
	assert_addr(user.mask, mask);
	assert_addr(user.gateway, gateway);
	assert_addr(user.dns, dns);
	assert_addr(user.dhcpstart, dhcpstart);
	opt_free(fields, &card);
}

static void networks(void **state)
{
	(void)state;
	assert_network("net=user", "10.0.2.0", "255.255.255.0", "10.0.2.2", "10.0.2.3",
		       "10.0.2.15");
	assert_network("subnet=192.168.0.0/16", "192.168.0.0", "255.255.0.0", "192.168.0.2",
		       "192.168.0.3", "192.168.0.15");
	assert_network("subnet=10.0.0.0/8,gateway=10.1.2.3,dns=10.255.255.254,dhcpstart=10.0.0.1",
		       "10.0.0.0", "255.0.0.0", "10.1.2.3", "10.255.255.254", "10.0.0.1");
	/* Where the fifteenth address is the broadcast address, and where there is none. */
	assert_network("subnet=10.9.0.16/28", "10.9.0.16", "255.255.255.240", "10.9.0.18",
		       "10.9.0.19", "10.9.0.20");
	assert_network("subnet=10.9.0.8/29", "10.9.0.8", "255.255.255.248", "10.9.0.10",
		       "10.9.0.11", "10.9.0.12");
}

static void assert_forward(const struct net_user_forward *fwd, bool udp, const char *host_addr,
			   unsigned int host_port, const char *guest_addr, unsigned int guest_port)
{
	assert_int_equal(fwd->udp, udp);
	assert_addr(fwd->host_addr, host_addr);
	assert_int_equal(fwd->host_port, host_port);
	assert_addr(fwd->guest_addr, guest_addr);
	assert_int_equal(fwd->guest_port, guest_port);
}

static void forwards(void **state)
{
	struct err err = { 0 };
	struct net_user user;
	struct card card;

	(void)state;
	decode(&card, "restrict=on,hostname=guest-1.lab,bootfile=pxelinux.0,tftp=/tmp,"
		      "hostfwd=tcp::2222-:22+udp:127.0.0.1:65535-10.0.2.99:1");
	assert_int_equal(net_user_parse(&card.config, &user, &err), 0);
	assert_int_equal(user.forward_count, 2);
	assert_forward(&user.forwards[0], false, "0.0.0.0", 2222, "0.0.0.0", 22);
	assert_forward(&user.forwards[1], true, "127.0.0.1", 65535, "10.0.2.99", 1);
	assert_true(user.restricted);
	assert_string_equal(user.hostname, "guest-1.lab");
	assert_string_equal(user.bootfile, "pxelinux.0");
	assert_string_equal(user.tftp, "/tmp");
	opt_free(fields, &card);
}

#define NAME33 "abcdefghijklmnopqrstuvwxyz0123456"

static const struct {
	const char *options;
	int code;
	const char *says[2]; /* the value that is wrong, and what to do */
} wrong[] = {
	{ "subnet=", -EINVAL, { "subnet=:", "such as 10.0.2.0/24" } },
	{ "subnet=10.0.2.0", -EINVAL, { "subnet=10.0.2.0", "such as" } },
	{ "subnet=10.0.2/24", -EINVAL, { "subnet=10.0.2/24", "such as" } },
	{ "subnet=fd00::/64", -EINVAL, { "subnet=fd00::/64", "IPv4" } },
	{ "subnet=10.0.2.0/", -EINVAL, { "subnet=10.0.2.0/", "such as" } },
	{ "subnet=10.0.2.0/-8", -EINVAL, { "subnet=10.0.2.0/-8", "such as" } },
	{ "subnet=1111111111.0000000000.0/24", -EINVAL, { "subnet=1111111111", "such as" } },
	{ "subnet=10.0.2.0/30", -EINVAL, { "/30", "/8 to /29" } },
	{ "subnet=0.0.0.0/0", -EINVAL, { "/0", "/8 to /29" } },
	{ "subnet=10.0.2.5/24", -EINVAL, { "10.0.2.5/24", "10.0.2.0/24" } },
	{ "subnet=127.0.0.0/8", -EINVAL, { "127.0.0.0/8", "10.0.2.0/24" } },
	{ "subnet=224.0.0.0/24", -EINVAL, { "224.0.0.0/24", "10.0.2.0/24" } },
	{ "gateway=10.0.3.2", -EINVAL, { "gateway=10.0.3.2", "10.0.2.1 to 10.0.2.254" } },
	{ "gateway=here", -EINVAL, { "gateway=here", "10.0.2.1 to 10.0.2.254" } },
	{ "dns=10.0.2.255", -EINVAL, { "dns=10.0.2.255", "10.0.2.1 to" } },
	{ "dns=10.0.2.0", -EINVAL, { "dns=10.0.2.0", "10.0.2.1 to" } },
	{ "subnet=10.0.2.0/28,dhcpstart=10.0.2.15", -EINVAL, { "dhcpstart=", "to 10.0.2.14" } },
	{ "gateway=10.0.2.3", -EINVAL, { "gateway= and dns=", "another" } },
	{ "dhcpstart=10.0.2.2", -EINVAL, { "gateway= and dhcpstart=", "another" } },
	{ "dns=10.0.2.15", -EINVAL, { "dns= and dhcpstart=", "another" } },
	{ "tftp=/nonexistent", -ENOENT, { "tftp=/nonexistent", "a folder that is there" } },
	{ "tftp=/etc/passwd", -ENOTDIR, { "tftp=/etc/passwd", "bootfile=" } },
	{ "bootfile=", -EINVAL, { "bootfile=", "1 to 127" } },
	{ "hostname=", -EINVAL, { "hostname=", "1 to 32" } },
	{ "hostname=a_b", -EINVAL, { "hostname=a_b", "letters" } },
	{ "hostname=" NAME33, -EINVAL, { NAME33, "1 to 32" } },
	{ "hostfwd=", -EINVAL, { "hostfwd=:", "it takes tcp|udp" } },
	{ "hostfwd=tcp::1-:2+", -EINVAL, { "hostfwd=:", "it takes tcp|udp" } },
	{ "hostfwd=tcp::2222", -EINVAL, { "hostfwd=tcp::2222:", "it takes tcp|udp" } },
	{ "hostfwd=tcp::22-22", -EINVAL, { "hostfwd=tcp::22-22:", "it takes tcp|udp" } },
	{ "hostfwd=sctp::1-:2", -EINVAL, { "hostfwd=sctp::1-:2", "neither tcp nor udp" } },
	{ "hostfwd=tcp::1-:2+tcp:x:1-:2", -EINVAL, { "=tcp:x:1-:2", "leave it empty" } },
	{ "hostfwd=tcp::0-:2", -EINVAL, { "tcp::0-:2", "1 to 65535" } },
	{ "hostfwd=tcp::1-:65536", -EINVAL, { "tcp::1-:65536", "1 to 65535" } },
	{ "hostfwd=tcp::1-:2x", -EINVAL, { "tcp::1-:2x", "1 to 65535" } },
	{ "hostfwd=tcp::1-10.0.3.1:2", -EINVAL, { "10.0.3.1", "leave it empty" } },
	{ "hostfwd=tcp::1-10.0.2.3:2", -EINVAL, { "10.0.2.3", "no guest's" } },
	{ "net=tap,hostfwd=tcp::1-:2", -EINVAL, { "hostfwd=", "net=user" } },
	{ "net=tap,subnet=10.0.2.0/24", -EINVAL, { "subnet=", "net=user" } },
	{ "net=tap,restrict=on", -EINVAL, { "restrict=", "net=user" } },
	{ "net=user,ifname=tap0", -EINVAL, { "ifname=", "net=tap" } },
	{ "fd=3", -EINVAL, { "fd=", "net=tap" } },
};

static void wrong_values(void **state)
{
	struct card card;
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct err err = { 0 };

		decode(&card, wrong[i].options);
		if (net_check(&card.config, &err) != wrong[i].code)
			fail_msg("%s: %s", wrong[i].options, err.msg);
		for (j = 0; j < 2; j++)
			if (!strstr(err.msg, wrong[i].says[j]))
				fail_msg("%s: \"%s\" says nothing of \"%s\"", wrong[i].options,
					 err.msg, wrong[i].says[j]);
		assert_null(strchr(err.msg, '\n'));
		opt_free(fields, &card);
	}
}

static void as_many_forwards_as_there_is_room(void **state)
{
	char text[16 * (NET_USER_FORWARDS + 1)], *end = text;
	struct net_config config = { .hostfwd = text };
	struct err err = { 0 };
	struct net_user user;
	unsigned int i;

	(void)state;
	for (i = 0; i < NET_USER_FORWARDS; i++)
		end += sprintf(end, "%stcp::%u-:%u", i ? "+" : "", i + 1, i + 101);
	assert_int_equal(net_user_parse(&config, &user, &err), 0);
	assert_int_equal(user.forward_count, NET_USER_FORWARDS);
	assert_int_equal(user.forwards[NET_USER_FORWARDS - 1].guest_port, NET_USER_FORWARDS + 100);
	sprintf(end, "+tcp::999-:9");
	assert_int_equal(net_user_parse(&config, &user, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "tcp::999-:9"));
	assert_non_null(strstr(err.msg, "64"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks),
		cmocka_unit_test(forwards),
		cmocka_unit_test(wrong_values),
		cmocka_unit_test(as_many_forwards_as_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
