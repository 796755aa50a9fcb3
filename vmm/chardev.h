/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character back ends: where the bytes of a serial port come from and go to.
 *
 *   none       nowhere
 *   stdio      standard input and output. A terminal is put into raw mode while a front end is
 *              attached. Ctrl-A x quits the VMM, Ctrl-A h or c tells the keys, Ctrl-A a sends
 *              Ctrl-A. The end of standard input is not an error.
 *   file=PATH  output only; the file is made (mode 0600) or emptied
 *   unix=PATH  a listening socket (mode 0600), one client at a time. What is written while there
 *              is no client is kept for the next one, the last 64 KiB of it.
 *
 * Output is buffered and written in batches, without ever waiting for the peer: when 64 KiB are
 * waiting, the oldest go, unless the front end asks chardev_room() first and waits. Input is read
 * only as far as the front end takes it. Standard input and output are for one front end of a VM.
 *
 * A back end has no lock of its own: the front end's lock serialises everything between
 * chardev_attach() and chardev_detach().
 */
#ifndef VIADUCT_VMM_CHARDEV_H
#define VIADUCT_VMM_CHARDEV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chardev;
struct err;
struct log;
struct vm;

struct chardev_front {
	/* Bytes from the peer, with the lock held: takes what it has room for and returns how many
	 * that were. After taking fewer than it was offered it must call chardev_resume(). */
	size_t (*receive)(void *opaque, const uint8_t *buf, size_t len);
	/* A peer has come or gone, with the lock held, from the loop, and not within a call of the
	 * front end's. A front end that wants to know has nothing kept: what is written while there
	 * is no client, or not read when one goes, is lost. NULL: it does not ask. */
	void (*peer)(void *opaque, bool connected);
	/* There is room after chardev_room() said that there is none. As peer(). NULL when that is
	 * not called. */
	void (*writable)(void *opaque);
	void *opaque;
	pthread_mutex_t *lock;
};

/* Opens the back end that @spec names. @log may be NULL and must outlive it. The caller owns it,
 * and frees it after the VM. -EINVAL: no such back end; -EADDRINUSE: somebody listens on the
 * socket; -EEXIST: the path is there and no socket; or what opening the file gives. The program
 * ignores SIGPIPE. */
int chardev_new(struct chardev **ret_chardev, const char *spec, const struct log *log,
		struct err *err);
/* Detached already. Closes, and takes the socket's path away if it is still this one. NULL is
 * fine. */
void chardev_free(struct chardev *chardev);

/* Gives the back end its front end and its place in vm->loop. Loop thread, lock not needed. 0 or
 * -errno, then nothing is attached. -EBUSY: there is a front end, or stdio is another's. */
int chardev_attach(struct chardev *chardev, struct vm *vm, const struct chardev_front *front,
		   struct err *err);
/* Writes what is waiting (for 200 ms at most) and lets go of front end and loop; the terminal gets
 * its settings back. Loop thread, lock held. Detached already is fine. */
void chardev_detach(struct chardev *chardev);

/* Front end, lock held, any thread. */
void chardev_write(struct chardev *chardev, const void *buf, size_t len);
/* How many bytes chardev_write() takes now without that any are lost for it; all there are when
 * nobody is there to read them. After 0 writable() is called when there is room. */
size_t chardev_room(struct chardev *chardev);
/* Is somebody at the other end? Always, but for a socket without a client. */
bool chardev_connected(const struct chardev *chardev);
/* There is room again; may call receive() before it returns. */
void chardev_resume(struct chardev *chardev);

/* Gives the terminal its settings back and nothing else. Async-signal-safe: for the handler of a
 * fatal signal. NULL is fine. */
void chardev_restore(const struct chardev *chardev);

#endif
