/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One YAML document as a tree, for files that people write: read by libyaml, and bounded in size,
 * depth and number of nodes, whatever stands in it. Anchors, aliases and tags are refused: such a
 * file says the same with less to trip over, and an alias makes a small file large. A scalar is its
 * text; what it means is the reader's. Only programs that read such files link libyaml.
 *
 * Source: YAML 1.1, as libyaml reads it.
 */
#ifndef VIADUCT_BASE_YAML_H
#define VIADUCT_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>

struct err;

#define YAML_BYTES_MAX ((size_t)4 << 20)
#define YAML_DEPTH_MAX 16
#define YAML_NODES_MAX 262144
#define YAML_KEYS_MAX 2048 /* of one map */

enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP };

struct yaml_node {
	enum yaml_kind kind;
	unsigned int line;	 /* from 1 */
	char *key;		 /* of a map's member, NULL elsewhere; no key is twice in a map */
	char *text;		 /* of YAML_TEXT, printable; "" for nothing */
	struct yaml_node *child; /* the first member of a list or map */
	struct yaml_node *next;	 /* the member after this one */
};

struct yaml {
	char *name; /* in messages: the file's path */
	struct yaml_node *root;
};

/* Reads the @len bytes at @text. Returns 0; -EINVAL with "NAME:LINE: what"; -E2BIG for what is
 * larger than a limit; or -ENOMEM. The caller ends with yaml_done(). */
int yaml_parse(struct yaml *ret, const char *name, const char *text, size_t len, struct err *err);

/* yaml_parse() of a file. Returns -errno with the path when it cannot be read. */
int yaml_parse_file(struct yaml *ret, const char *path, struct err *err);

void yaml_done(struct yaml *doc);

/* Sets "NAME:LINE: formatted". Returns @code. */
int yaml_err(const struct yaml *doc, const struct yaml_node *node, struct err *err, int code,
	     const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* 0 when @node is of this kind; else -EINVAL with "NAME:LINE: KEY takes a list". */
int yaml_want(const struct yaml *doc, const struct yaml_node *node, enum yaml_kind kind,
	      struct err *err);

/* The index of @node's key in @names; else -EINVAL with "NAME:LINE: there is no "drivr"; did you mean
 * driver?" or with all the names there are. */
int yaml_key(const struct yaml *doc, const struct yaml_node *node, const char *const *names,
	     size_t count, struct err *err);

#endif
