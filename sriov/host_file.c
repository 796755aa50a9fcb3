// SPDX-License-Identifier: GPL-2.0-or-later
#include "host_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/util.h"

static int file_make(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	int ret = fd < 0 ? -errno : 0;

	if (ret)
		return ret;
	if (fchmod(fd, 0644) < 0)
		ret = -errno;
	if (!ret)
		ret = io_write_full(fd, text, strlen(text));
	if (!ret && fsync(fd) < 0)
		ret = -errno;
	if (close(fd) < 0 && !ret)
		ret = -errno;
	return ret;
}

/* A name is on the disk when its folder is. */
static int folder_sync(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	fd_close(&fd);
	return ret;
}

int host_file_replace(const struct host *host, const char *path, const char *text)
{
	char copy[HOST_PATH_MAX], temp[HOST_PATH_MAX];
	const char *name = strrchr(path, '/');
	int n, ret;

	(void)host;
	n = snprintf(copy, sizeof(copy), "%s", path);
	if (!name || n < 0 || (size_t)n >= sizeof(copy))
		return -ENAMETOOLONG;
	if (!text) {
		if (unlink(path) < 0)
			return errno == ENOENT ? 0 : -errno;
		return folder_sync(dirname(copy));
	}
	/* One name for the new file, hidden from who lists the folder: what a killed writer left is
	 * written over. */
	n = snprintf(temp, sizeof(temp), "%.*s/.%s.new", (int)(name - path), path, name + 1);
	if (n < 0 || (size_t)n >= sizeof(temp))
		return -ENAMETOOLONG;
	ret = file_make(temp, text);
	if (!ret && rename(temp, path) < 0)
		ret = -errno;
	if (ret) {
		unlink(temp);
		return ret;
	}
	return folder_sync(dirname(copy));
}

/* Others may look, whatever the umask is. */
static int folder_make(const char *path)
{
	if (!mkdir(path, 0755))
		return chmod(path, 0755) < 0 ? -errno : 0;
	return errno == EEXIST ? 0 : -errno;
}

int host_folder_make(const char *root, const char *folder)
{
	char path[HOST_PATH_MAX];
	int ret = host_path(path, root, "%s", folder);

	if (!ret && access(path, F_OK) == 0)
		return 0;
	if (!ret)
		ret = folder_make(root);
	return ret ? ret : folder_make(path);
}

int host_file_write(const struct host *host, const char *root, const char *folder,
		    const char *name, const char *text)
{
	char path[HOST_PATH_MAX];
	int ret = host_path(path, root, "%s/%s", folder, name);

	if (!ret)
		ret = host_folder_make(root, folder);
	if (ret)
		return ret;
	ret = host->ops->replace(host, path, text);
	if (host->trace)
		host->trace(host->report_opaque, path, text ? text : "(removed)", ret);
	return ret;
}

ssize_t host_file_read(const char *root, const char *folder, const char *name, size_t max,
		       char **ret_text)
{
	CLEANUP_CLOSE int fd = -1;
	char path[HOST_PATH_MAX], *text;
	struct stat st;
	size_t len;
	int ret = host_path(path, root, "%s/%s", folder, name);

	if (ret)
		return ret;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size < 0 || (size_t)st.st_size > max)
		return -EFBIG;
	len = (size_t)st.st_size;
	text = malloc(len + 1);
	if (!text)
		return -ENOMEM;
	ret = io_pread_full(fd, text, len, 0);
	text[len] = '\0';
	if (!ret && strlen(text) != len)
		ret = -EINVAL;
	if (ret) {
		free(text);
		return ret;
	}
	*ret_text = text;
	return (ssize_t)len;
}
