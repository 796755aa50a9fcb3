// SPDX-License-Identifier: GPL-2.0-or-later
#include "bridge_acl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLANKS " \t\r"

__attribute__((format(printf, 3, 4)))
static int acl_say(char why[BRIDGE_ACL_WHY], int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, BRIDGE_ACL_WHY, fmt, ap); /* NOLINT(clang-analyzer-valist.Uninitialized): it is */
	va_end(ap);
	return code;
}

/* One word of @line, *@len bytes of it; what follows is *@rest. */
static const char *acl_word(const char *line, size_t *len, const char **rest)
{
	line += strspn(line, BLANKS);
	*len = strcspn(line, BLANKS "\n#");
	*rest = line + *len;
	return line;
}

static bool acl_is(const char *word, size_t len, const char *name)
{
	return strlen(name) == len && !memcmp(word, name, len);
}

/* False: it is no line of such a file. */
static bool acl_line(const char *line, const char *bridge, bool *allowed, bool *denied)
{
	size_t verb_len, name_len, more_len;
	const char *rest, *verb = acl_word(line, &verb_len, &rest);
	const char *name = acl_word(rest, &name_len, &rest);
	bool allow = acl_is(verb, verb_len, "allow"), deny = acl_is(verb, verb_len, "deny");

	acl_word(rest, &more_len, &rest);
	if (!verb_len)
		return true;
	if ((!allow && !deny) || !name_len || more_len)
		return false;
	if (acl_is(name, name_len, "all") || acl_is(name, name_len, bridge)) {
		*allowed |= allow;
		*denied |= deny;
	}
	return true;
}

int bridge_acl_decide(const char *path, const char *text, const char *bridge,
		      char why[BRIDGE_ACL_WHY])
{
	bool allowed = false, denied = false;
	const char *line = text;
	unsigned int number;

	for (number = 1; line; number++) {
		if (!acl_line(line, bridge, &allowed, &denied))
			return acl_say(why, -EINVAL, "%s, line %u: it takes allow NAME, allow all, "
						     "deny NAME or deny all; no bridge is allowed until that is "
						     "mended", path, number);
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (denied)
		return acl_say(why, -EACCES, "%s denies it", path);
	if (!allowed)
		return acl_say(why, -EACCES, "%s does not allow it; the administrator adds the line "
					     "\"allow %s\"", path, bridge);
	return 0;
}

static int acl_read(int fd, const char *path, char text[BRIDGE_ACL_MAX + 1],
		    char why[BRIDGE_ACL_WHY])
{
	size_t len = 0;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return acl_say(why, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_uid || st.st_mode & (S_IWGRP | S_IWOTH))
		return acl_say(why, -EPERM, "%s has to be a file of root's that nobody else may write; "
					    "until then no bridge is allowed (chown root, chmod go-w)",
			       path);
	do {
		n = read(fd, text + len, BRIDGE_ACL_MAX + 1 - len);
		if (n < 0 && errno != EINTR)
			return acl_say(why, -errno, "%s: %s", path, strerror(errno));
		len += n > 0 ? (size_t)n : 0;
	} while (n && len <= BRIDGE_ACL_MAX);
	if (len > BRIDGE_ACL_MAX)
		return acl_say(why, -EFBIG, "%s: it has more than %u bytes", path, BRIDGE_ACL_MAX);
	text[len] = '\0';
	if (strlen(text) != len)
		return acl_say(why, -EINVAL, "%s: it is no text", path);
	return 0;
}

int bridge_acl_check(const char *path, const char *bridge, char why[BRIDGE_ACL_WHY])
{
	char text[BRIDGE_ACL_MAX + 1];
	int fd, ret;

	/* Not blocking, for it may be a FIFO. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return acl_say(why, -errno, "%s: %s; in it the administrator says which bridges are "
					    "allowed (\"allow %s\")", path, strerror(errno), bridge);
	ret = acl_read(fd, path, text, why);
	close(fd);
	return ret ? ret : bridge_acl_decide(path, text, bridge, why);
}
