/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor: a unix socket on which programs ask things of a running guest, in the protocol that
 * QEMU's clients know (QMP: JSON objects, a greeting, qmp_capabilities, ids, error classes, events).
 *
 * All of it runs on the loop thread. Nothing a client does makes the loop wait: what it sends is
 * read in pieces, an unfinished message has at most MONITOR_MESSAGE_MAX bytes, and a client that
 * does not take what is said to it is dropped at MONITOR_OUT_MAX bytes.
 */
#ifndef VIADUCT_VMM_MONITOR_H
#define VIADUCT_VMM_MONITOR_H

#include <stddef.h>

#define MONITOR_MESSAGE_MAX 0x10000u
#define MONITOR_OUT_MAX 0x10000u
/* Further ones are hung up on. */
#define MONITOR_CLIENTS_MAX 32u

struct err;
struct monitor;
struct vm;

/*
 * Listens at @path, mode 0600, with @vm's loop, and takes the place of vm->event. A socket that a
 * dead VM left behind is replaced; one that answers, and anything that is no socket, is refused.
 * Before vm_run(). -ENAMETOOLONG, -EADDRINUSE, -EEXIST, what module_open() says, or what the kernel
 * does; nothing is left then.
 */
int monitor_new(struct monitor **ret_monitor, struct vm *vm, const char *path, struct err *err);
/* Hangs up on all clients and removes the socket, if it is still this one. After vm_run(), before
 * vm_free(). NULL is fine. */
void monitor_free(struct monitor *monitor);

#endif
