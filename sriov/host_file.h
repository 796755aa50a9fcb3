/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files that vfctl keeps of its own, below the host's state_root or lib_root: ROOT/FOLDER/NAME,
 * written so that a reader, also one after a crash, finds the old text or the new one and nothing
 * between. Anybody may read them, whatever the umask is.
 */
#ifndef VIADUCT_SRIOV_HOST_FILE_H
#define VIADUCT_SRIOV_HOST_FILE_H

#include <stddef.h>

#include "host.h"

/*
 * Makes ROOT/FOLDER/NAME hold @text, or be gone when @text is NULL; the folders are made when they
 * are not there. It is on the disk when this returns. Who writes one name does so alone: by a lock.
 * A file that is gone already is no error. Counts as no sysfs write, and is traced like one.
 * Returns 0 or -errno; the old text is then there still.
 */
int host_file_write(const struct host *host, const char *root, const char *folder,
		    const char *name, const char *text);

/* The text of ROOT/FOLDER/NAME on the heap, terminated, at most @max bytes. Returns its length,
 * -EFBIG for more, -EINVAL when it has a NUL in it, -ENOENT, or another -errno. */
ssize_t host_file_read(const char *root, const char *folder, const char *name, size_t max,
		       char **ret_text);

/* Makes ROOT and ROOT/FOLDER. 0 or -errno. */
int host_folder_make(const char *root, const char *folder);

/* host_ops.replace of the running host: @text at @path by way of a new file and rename(2), or
 * unlink(2) for NULL. 0 or -errno. */
int host_file_replace(const struct host *host, const char *path, const char *text);

#endif
