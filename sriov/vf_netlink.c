// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf_netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netlink/errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/err.h"

/* Longer than a driver that resets its card takes, shorter than for ever. */
#define ANSWER_S 60

int netlink_init(struct netlink_ask *ask, int protocol)
{
	struct timeval limit = { .tv_sec = ANSWER_S };
	int one = 1, fd;

	ask->sock = nl_socket_alloc();
	if (!ask->sock)
		return -ENOMEM;
	/* libnl's error codes are fewer than the kernel's: -errno comes by ask_failed(). */
	if (nl_connect(ask->sock, protocol))
		return errno ? -errno : -EPROTONOSUPPORT;
	/* The settings of 256 VFs are one message of some 64 KiB. */
	nl_socket_enable_msg_peek(ask->sock);
	fd = nl_socket_get_fd(ask->sock);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	/* Only for the kernel's words; one that cannot do it has none. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	return 0;
}

void netlink_done(struct netlink_ask *ask)
{
	nl_socket_free(ask->sock);
	ask->sock = NULL;
}

/* The kernel's words follow the header that it hands back, which comes with its payload unless the
 * answer is capped. */
static void take_words(struct netlink_ask *ask, const struct nlmsghdr *answer)
{
	const struct nlmsgerr *e = nlmsg_data(answer);
	int len = nlmsg_datalen(answer), skip = (int)sizeof(*e);
	struct nlattr *words;

	if (!ask->words || !(answer->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(answer->nlmsg_flags & NLM_F_CAPPED)) {
		if (e->msg.nlmsg_len < sizeof(e->msg) || e->msg.nlmsg_len > (uint32_t)len)
			return;
		skip += NLMSG_ALIGN((int)(e->msg.nlmsg_len - sizeof(e->msg)));
	}
	if (skip >= len)
		return;
	words = nla_find((struct nlattr *)(void *)((char *)nlmsg_data(answer) + skip), len - skip,
			 NLMSGERR_ATTR_MSG);
	if (words)
		err_set(ask->words, e->error, "%.*s", nla_len(words), (char *)nla_data(words));
}

static int ask_failed(struct sockaddr_nl *from, struct nlmsgerr *e, void *opaque)
{
	struct netlink_ask *ask = opaque;

	(void)from;
	ask->code = e->error < 0 ? e->error : -EPROTO;
	take_words(ask, (const struct nlmsghdr *)(void *)((char *)e - NLMSG_HDRLEN));
	return NL_STOP;
}

static int ask_acked(struct nl_msg *msg, void *opaque)
{
	struct netlink_ask *ask = opaque;

	(void)msg;
	if (ask->code == -EINPROGRESS)
		ask->code = 0;
	return NL_STOP;
}

static int ask_takes(struct nl_msg *msg, void *opaque)
{
	struct netlink_ask *ask = opaque;
	int ret = ask->take ? ask->take(ask->opaque, nlmsg_hdr(msg)) : 0;

	if (!ret)
		return NL_OK;
	ask->code = ret;
	return NL_STOP;
}

int netlink_run(struct netlink_ask *ask, struct nl_msg *msg)
{
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int ret;

	if (!cb)
		return -ENOMEM;
	ask->code = -EINPROGRESS;
	nl_cb_err(cb, NL_CB_CUSTOM, ask_failed, ask);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, ask_acked, ask);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, ask_acked, ask); /* a list ends so */
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, ask_takes, ask);
	nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_ACK;
	errno = 0;
	ret = nl_send_auto(ask->sock, msg);
	while (ret >= 0 && ask->code == -EINPROGRESS)
		ret = nl_recvmsgs(ask->sock, cb);
	if (!ask->code && ret == -NLE_DUMP_INTR)
		ask->code = -EAGAIN;
	/* libnl fails before the kernel has answered: no memory, no answer in time, nonsense. */
	if (ask->code == -EINPROGRESS)
		ask->code = ret == -NLE_AGAIN ? -ETIMEDOUT : ret == -NLE_NOMEM ? -ENOMEM :
			    errno ? -errno : -EPROTO;
	nl_cb_put(cb);
	return ask->code;
}
