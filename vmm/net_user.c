// SPDX-License-Identifier: GPL-2.0-or-later
#include "net_user.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/opt.h"
#include "base/util.h"
#include "net_options.h"

/* What fits into a DHCP answer (RFC 2131, 2: the field `file`), and what libslirp keeps of a
 * name. */
#define BOOTFILE_MAX 127u
#define HOSTNAME_MAX 32u

#define FORWARD_LEN 64u /* longer than any rule */
#define FORWARD_FORM "it takes tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT, several joined by +"

struct addr_text {
	char text[INET_ADDRSTRLEN];
};

static struct addr_text addr_text(struct in_addr addr)
{
	struct addr_text out;

	inet_ntop(AF_INET, &addr, out.text, sizeof(out.text));
	return out;
}

static struct in_addr addr_of(uint32_t host_order)
{
	return (struct in_addr){ .s_addr = htonl(host_order) };
}

/* The network and its mask. */
static int user_subnet(const char *text, struct net_user *user, struct err *err)
{
	const char *slash = strchr(text, '/');
	char addr[INET_ADDRSTRLEN] = "";
	uint32_t net, mask, first;
	uint64_t bits = 0;

	if (slash && (size_t)(slash - text) < sizeof(addr))
		memcpy(addr, text, (size_t)(slash - text));
	if (inet_pton(AF_INET, addr, &user->network) != 1 || opt_parse_u64(slash + 1, &bits))
		return err_set(err, -EINVAL, "net=user: subnet=%s: it takes an IPv4 network such "
					     "as 10.0.2.0/24", text);
	if (bits < 8 || bits > 29)
		return err_set(err, -EINVAL, "net=user: subnet=%s: its prefix may be /8 to /29, for "
					     "gateway, DNS, DHCP and a guest need addresses", text);
	mask = UINT32_MAX << (32 - bits);
	net = ntohl(user->network.s_addr);
	first = net >> 24;
	if (!first || first == 127 || first >= 224)
		return err_set(err, -EINVAL, "net=user: subnet=%s: hosts have no such addresses; "
					     "take one such as 10.0.2.0/24", text);
	if (net & ~mask)
		return err_set(err, -EINVAL, "net=user: subnet=%s: that is an address in the network "
					     "%s/%u; give the network", text,
			       addr_text(addr_of(net & mask)).text, (unsigned int)bits);
	user->mask = addr_of(mask);
	return 0;
}

/* Is it a host's address in the network? */
static bool user_has(const struct net_user *user, struct in_addr addr)
{
	uint32_t host = ntohl(addr.s_addr) & ~ntohl(user->mask.s_addr);

	return (addr.s_addr & user->mask.s_addr) == user->network.s_addr && host &&
	       host != ~ntohl(user->mask.s_addr);
}

static int user_outside(const struct net_user *user, const char *option, const char *text,
			struct err *err)
{
	uint32_t net = ntohl(user->network.s_addr), last = net | ~ntohl(user->mask.s_addr);

	return err_set(err, -EINVAL, "net=user: %s=%s: it takes an address of the network, %s to %s; "
				     "subnet= chooses another", option, text,
		       addr_text(addr_of(net + 1)).text, addr_text(addr_of(last - 1)).text);
}

/* One of the three addresses, @fallback of the network when it is not given. */
static int user_addr(const struct net_user *user, const char *option, const char *text,
		     uint32_t fallback, struct in_addr *ret_addr, struct err *err)
{
	if (!text) {
		*ret_addr = addr_of(ntohl(user->network.s_addr) + fallback);
		return 0;
	}
	if (inet_pton(AF_INET, text, ret_addr) != 1 || !user_has(user, *ret_addr))
		return user_outside(user, option, text, err);
	return 0;
}

static int user_twice(const char *a, const char *b, struct in_addr addr, struct err *err)
{
	return err_set(err, -EINVAL, "net=user: %s= and %s= would both be %s; give one of them "
				     "another address", a, b, addr_text(addr).text);
}

static int user_addrs(const struct net_config *config, struct net_user *user, struct err *err)
{
	int ret = user_subnet(config->subnet ? config->subnet : "10.0.2.0/24", user, err);
	/* The fifteenth, as everywhere, or what comes first in a network that is smaller. */
	uint32_t dhcp = ~ntohl(user->mask.s_addr) > 15 ? 15 : 4;

	if (!ret)
		ret = user_addr(user, "gateway", config->gateway, 2, &user->gateway, err);
	if (!ret)
		ret = user_addr(user, "dns", config->dns, 3, &user->dns, err);
	if (!ret)
		ret = user_addr(user, "dhcpstart", config->dhcpstart, dhcp, &user->dhcpstart, err);
	if (ret)
		return ret;
	if (user->gateway.s_addr == user->dns.s_addr)
		return user_twice("gateway", "dns", user->dns, err);
	if (user->gateway.s_addr == user->dhcpstart.s_addr)
		return user_twice("gateway", "dhcpstart", user->dhcpstart, err);
	if (user->dns.s_addr == user->dhcpstart.s_addr)
		return user_twice("dns", "dhcpstart", user->dhcpstart, err);
	return 0;
}

static int user_tftp(const struct net_config *config, struct err *err)
{
	struct stat st;

	if (!config->tftp)
		return 0;
	if (stat(config->tftp, &st) < 0)
		return err_set(err, -errno, "net=user: tftp=%s: %s; give a folder that is there",
			       config->tftp, strerror(errno));
	if (S_ISDIR(st.st_mode) && access(config->tftp, R_OK | X_OK))
		return err_set(err, -errno, "net=user: tftp=%s: %s; this process has to read it",
			       config->tftp, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "net=user: tftp=%s is no folder; give the one that the "
					      "files are in, and bootfile= names one of them",
			       config->tftp);
	return 0;
}

static int user_names(const struct net_config *config, struct err *err)
{
	const char *p;

	if (config->bootfile && (!*config->bootfile || strlen(config->bootfile) > BOOTFILE_MAX))
		return err_set(err, -EINVAL, "net=user: bootfile=%s: a name has 1 to %u characters",
			       config->bootfile, BOOTFILE_MAX);
	if (!config->hostname)
		return 0;
	for (p = config->hostname; isalnum((unsigned char)*p) || *p == '-' || *p == '.'; p++)
		;
	if (*p || p == config->hostname || (size_t)(p - config->hostname) > HOSTNAME_MAX)
		return err_set(err, -EINVAL, "net=user: hostname=%s: a name has 1 to %u letters, "
					     "digits, dots and hyphens", config->hostname,
			       HOSTNAME_MAX);
	return 0;
}

static bool port_parse(const char *text, uint16_t *ret_port)
{
	uint64_t v;

	if (!text || opt_parse_u64(text, &v) || !v || v > UINT16_MAX)
		return false;
	*ret_port = (uint16_t)v;
	return true;
}

/* One rule of @len bytes. Returns what is wrong, NULL when nothing is. */
static const char *forward_parse(const char *rule, size_t len, const struct net_user *user,
				 struct net_user_forward *fwd)
{
	char text[FORWARD_LEN] = "", *rest = memcpy(text, rule, MIN(len, sizeof(text) - 1));
	const char *proto = strsep(&rest, ":"), *host_addr = strsep(&rest, ":");
	const char *host_port = strsep(&rest, "-"), *guest_addr = strsep(&rest, ":");

	if (!rest)
		return FORWARD_FORM;
	fwd->udp = !strcmp(proto, "udp");
	if (!fwd->udp && strcmp(proto, "tcp") != 0)
		return "neither tcp nor udp; " FORWARD_FORM;
	if (*host_addr && inet_pton(AF_INET, host_addr, &fwd->host_addr) != 1)
		return "the host's address is no IPv4 address; leave it empty for all of the host's";
	if (!port_parse(host_port, &fwd->host_port) || !port_parse(rest, &fwd->guest_port))
		return "a port is a number from 1 to 65535";
	if (!*guest_addr)
		return NULL;
	if (inet_pton(AF_INET, guest_addr, &fwd->guest_addr) != 1 ||
	    !user_has(user, fwd->guest_addr))
		return "the guest's address is no host's of the network; leave it empty for the one "
		       "that DHCP gives";
	if (fwd->guest_addr.s_addr == user->gateway.s_addr ||
	    fwd->guest_addr.s_addr == user->dns.s_addr)
		return "the guest's address is the gateway's or the DNS server's, which are no guest's";
	return NULL;
}

static int user_forwards(const struct net_config *config, struct net_user *user, struct err *err)
{
	const char *rule = config->hostfwd, *wrong;
	size_t len;

	for (; rule; rule = rule[len] ? rule + len + 1 : NULL) {
		len = strcspn(rule, "+");
		wrong = user->forward_count == NET_USER_FORWARDS ?
				"that is more than the 64 rules of a network" :
				forward_parse(rule, len, user,
					      &user->forwards[user->forward_count++]);
		if (wrong)
			return err_set(err, -EINVAL, "net=user: hostfwd=%.*s: %s", (int)len, rule,
				       wrong);
	}
	return 0;
}

int net_user_parse(const struct net_config *config, struct net_user *ret_user, struct err *err)
{
	int ret;

	*ret_user = (struct net_user){
		.tftp = config->tftp,
		.bootfile = config->bootfile,
		.hostname = config->hostname,
		.restricted = config->restricted,
	};
	ret = user_addrs(config, ret_user, err);
	if (!ret)
		ret = user_tftp(config, err);
	if (!ret)
		ret = user_names(config, err);
	return ret ? ret : user_forwards(config, ret_user, err);
}
