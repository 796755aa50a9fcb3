/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by chardev.c (buffers and events) and chardev_open.c (the kinds and the terminal). */
#ifndef VIADUCT_VMM_CHARDEV_INT_H
#define VIADUCT_VMM_CHARDEV_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

#include "chardev.h"

#define CHARDEV_BUF 65536u

/* How to write without ever waiting. */
enum chardev_out {
	CHARDEV_OUT_PLAIN,  /* a regular file, or O_NONBLOCK is set */
	CHARDEV_OUT_SOCKET, /* MSG_DONTWAIT */
	CHARDEV_OUT_POLL,   /* may block: poll, then write little */
};

struct chardev {
	char *name; /* "unix=/run/vm.sock", for messages */
	const char *path;
	const struct log *log;
	struct vm *vm; /* NULL: detached */
	struct chardev_front front;

	int in_fd, out_fd; /* equal for a client; -1: none */
	int listen_fd;	   /* unix only */
	bool own_out;	   /* out_fd is to be closed */
	enum chardev_out out_kind;
	dev_t sock_dev;
	ino_t sock_ino;
	struct loop_watch *in_watch, *out_watch, *listen_watch;
	uint32_t in_events, out_events, listen_events;
	struct loop_timer *timer; /* flush, retry of accept, input that epoll does not take */
	bool flush_due;
	bool accept_wait;

	bool keys;    /* Ctrl-A is an escape */
	bool escaped; /* it was the last byte */
	bool tty;     /* standard input is a terminal */
	bool in_poll; /* epoll takes in_fd */
	bool stalled; /* the front end has no room */
	bool dropping;
	bool out_dead;
	bool peer_told;	  /* what peer() last said */
	bool room_wanted; /* writable() is to be called */
	atomic_bool raw; /* saved is to be restored */
	struct termios saved;

	size_t out_head, out_len; /* ring */
	size_t in_off, in_len;
	uint8_t out[CHARDEV_BUF];
	uint8_t in[CHARDEV_BUF];
};

/* Standard input into raw mode if it is a terminal that is ours. */
void chardev_term_raw(struct chardev *ch);

#endif
